"""Magnitudes, colours, brightest pixels and widths of stars, decoded against measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from astromodal.evaluation.images.apertures import APERTURES
from astromodal.evaluation.images.sample import STAGES, ImageSample, Stage, Stages
from astromodal.evaluation.metrics import (
    measure_fraction,
    measure_mean,
    measure_median,
    measure_pooled,
    measure_scatter,
    robust_sigma,
)
from astromodal.evaluation.report.section import Measurement
from astromodal.tokenizers.images.pixels import PIXEL_SCALE

BROAD = ("U", "G", "R", "I", "Z")
"""Broad bands by wavelength."""

COLOURS = (("G", "R"), ("R", "Z"))
CLOSE = 0.1
"""Change of a magnitude (mag) that is small enough."""

BRIGHT = 30.0
"""S/N of the measured flux above which magnitudes are judged: there noise alone is 0.036 mag, so
that 99 % of perfectly denoised fluxes are close to the measured ones."""

SHARP = 50.0
"""S/N of a star's flux (3 arcsec) above which its width is compared: noise then changes a width by
some 2 %."""

CORE_CLOSE = 0.05
"""Deviation of a decoded over measured brightest pixel from 1 that is small enough."""

FEWEST = 10
"""Sources that a band needs for a verdict."""

DETECTED = 5.0
"""Signal-to-noise of the flux in the mask above which a magnitude is compared."""

SNR_EDGES = (5.0, 10.0, 30.0, 100.0, np.inf)
ABOVE_BRIGHT = f"above_{BRIGHT:g}"
"""The bin of S/N of all bright sources."""

ABOVE_SURE = "above_100"
"""The bin of S/N in which brightest pixels are judged: there noise alone is below 1 %."""


@dataclass(frozen=True)
class MagnitudeChange:
    """Decoded minus measured aperture magnitudes of bright sources.

    Attributes
    ----------
    within_0p1 : Measurement
        Fraction that changes by less than 0.1 mag. A decoded flux that is not positive counts as a
        larger change.
    dmag, dmag_scatter : Measurement
        Median and 68 % half-range of the change (mag).
    """

    within_0p1: Measurement
    dmag: Measurement
    dmag_scatter: Measurement


@dataclass(frozen=True)
class ApertureNumbers(Stages[MagnitudeChange]):
    """Change of the magnitudes of `n` bright sources in one aperture."""

    n: int


@dataclass(frozen=True)
class ColourChange:
    """Median and 68 % half-range of the decoded minus the measured colour (mag)."""

    median: Measurement
    scatter: Measurement


@dataclass(frozen=True)
class MaskColour(ColourChange):
    """Change of a colour in the mask, from codes, of `n` cutouts."""

    n: int


@dataclass(frozen=True)
class ColourNumbers(Stages[ColourChange]):
    """Change of a colour of `n` sources in one bin of S/N."""

    n: int


@dataclass(frozen=True)
class PeakRatio:
    """Decoded over measured light of the brightest pixel.

    Attributes
    ----------
    within_5pct : Measurement
        Fraction within 5 % of 1.
    ratio, ratio_scatter : Measurement
        Median and 68 % half-range of the ratio.
    """

    within_5pct: Measurement
    ratio: Measurement
    ratio_scatter: Measurement


@dataclass(frozen=True)
class PeakNumbers(Stages[PeakRatio]):
    """Brightest pixels of `n` sources in one bin of the S/N of that pixel.

    Attributes
    ----------
    n : int
        Sources, counted once a band.
    ceiling : float
        Fraction within 5 % that an image without noise would have, under the noise of the sky.
    """

    n: int
    ceiling: float


@dataclass(frozen=True)
class WidthRatio:
    """Decoded over measured widths of stars.

    Attributes
    ----------
    ratio, ratio_scatter : Measurement
        Median and 68 % half-range of the ratio.
    failed : int
        Stars whose decoded cutout has no width.
    """

    ratio: Measurement
    ratio_scatter: Measurement
    failed: int


@dataclass(frozen=True)
class StarNumbers(Stages[WidthRatio]):
    """Widths of bright stars.

    Attributes
    ----------
    n : int
        Stars whose width was measured.
    fwhm, fwhm_scatter : Measurement
        Median and 68 % half-range of the measured widths (arcsec).
    """

    n: int
    fwhm: Measurement
    fwhm_scatter: Measurement


def magnitude_change(sample: ImageSample, stage: Stage, i: int) -> np.ndarray:
    """Return the decoded minus the measured magnitude in the mask of band `i`, (n,) mag.

    NaN where a flux is not positive.
    """
    decoded, measured = sample.at(stage).flux[:, i], sample.measured.flux[:, i]
    return instrumental(decoded / np.where(measured > 0, measured, np.nan))


def is_detected(sample: ImageSample, i: int) -> np.ndarray:
    """Return which cutouts have a flux in the mask of band `i` above `DETECTED` sigmas, (n,)."""
    sigma = sample.noise[:, i] * np.sqrt(sample.n_pixels[:, i])
    return (sample.total[:, i] > 0) & (sample.measured.flux[:, i] > DETECTED * sigma)


def measure_colours(sample: ImageSample, seed: int) -> dict[str, MaskColour]:
    """Measure the change of the colours of neighbouring broad bands, decoded minus measured."""
    out = {}
    broad = [band for band in BROAD if band in sample.bands]
    for blue, red in zip(broad[:-1], broad[1:], strict=True):
        i, j = sample.bands.index(blue), sample.bands.index(red)
        both = is_detected(sample, i) & is_detected(sample, j)
        change = magnitude_change(sample, "codes", i) - magnitude_change(sample, "codes", j)
        change = change[both]
        median, scatter = measure_median(change, seed), measure_scatter(change, seed)
        out[f"{blue}-{red}"] = MaskColour(median, scatter, int(np.isfinite(change).sum()))
    return out


def circle_snr(sample: ImageSample, aperture: int) -> np.ndarray:
    """Return the S/N of the measured flux in an aperture, (n, B).

    The noise is that of as many pixels of sky as the circle covers. Photon noise of the source is
    left out, because a cube does not contain the gain; it matters for the brightest sources only.
    NaN with an unmeasured pixel or without noise.
    """
    pixels = np.sqrt(np.pi) * APERTURES[aperture] / 2 / PIXEL_SCALE
    sigma = np.where(sample.noise > 0, sample.noise * pixels, np.nan)
    return sample.measured.circle[..., aperture] / sigma


def circle_change(sample: ImageSample, stage: Stage, aperture: int) -> np.ndarray:
    """Return the decoded minus the measured magnitude in an aperture, (n, B) mag.

    NaN where a flux is not positive or a pixel was not measured.
    """
    decoded = sample.at(stage).circle[..., aperture]
    return instrumental(decoded) - instrumental(sample.measured.circle[..., aperture])


def instrumental(flux: np.ndarray) -> np.ndarray:
    """Return -2.5 log10 of fluxes; NaN where they are not positive."""
    good = np.isfinite(flux) & (flux > 0)
    return np.where(good, -2.5 * np.log10(np.where(good, flux, 1.0)), np.nan)


def measure_apertures(sample: ImageSample, aperture: int, seed: int) -> dict[str, ApertureNumbers]:
    """Measure the change of the magnitudes of bright sources by band, and as ``all`` over bands."""
    bright = circle_snr(sample, aperture) > BRIGHT
    changes = Stages(*(circle_change(sample, stage, aperture) for stage in STAGES))

    def of_band(i: int, stage: Stage) -> MagnitudeChange:
        change = changes.at(stage)[bright[:, i], i]
        within = measure_fraction(_is_close(change))
        return MagnitudeChange(within, measure_median(change, seed), measure_scatter(change, seed))

    def of_all(stage: Stage) -> MagnitudeChange:
        change = changes.at(stage)
        close = _is_close(change) & bright
        used = np.where(bright, change, np.nan)
        return MagnitudeChange(
            measure_mean(close.sum(1), bright.sum(1), seed),
            measure_pooled(np.median, used, seed),
            measure_pooled(robust_sigma, used, seed),
        )

    bands = {
        name: ApertureNumbers(of_band(i, "codes"), of_band(i, "latents"), int(bright[:, i].sum()))
        for i, name in enumerate(sample.bands)
    }
    return {**bands, "all": ApertureNumbers(of_all("codes"), of_all("latents"), int(bright.sum()))}


def _is_close(change: np.ndarray) -> np.ndarray:
    return np.abs(np.nan_to_num(change, nan=np.inf)) < CLOSE


def measure_aperture_colours(sample: ImageSample, seed: int) -> dict[str, dict[str, ColourNumbers]]:
    """Measure the change of the colours in 3 arcsec.

    Returns
    -------
    dict of str to dict of str to ColourNumbers
        By colour and bin of the lower S/N of its two bands: ``5-10`` … ``above_100``, and
        ``above_30`` for all bright sources.
    """
    snr, out = circle_snr(sample, 0), {}
    for blue, red in known_colours(sample.bands):
        i, j = sample.bands.index(blue), sample.bands.index(red)
        lower = np.minimum(snr[:, i], snr[:, j])
        codes, latents = (_colour_change(sample, stage, i, j) for stage in STAGES)
        bins = {}
        for name, low, high in _bins():
            here = (lower >= low) & (lower < high)
            bins[name] = ColourNumbers(
                _measure_change(codes[here], seed),
                _measure_change(latents[here], seed),
                int(here.sum()),
            )
        out[f"{blue}-{red}"] = bins
    return out


def _colour_change(sample: ImageSample, stage: Stage, i: int, j: int) -> np.ndarray:
    change = circle_change(sample, stage, 0)
    return change[:, i] - change[:, j]


def _measure_change(change: np.ndarray, seed: int) -> ColourChange:
    return ColourChange(measure_median(change, seed), measure_scatter(change, seed))


def known_colours(bands: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return those of `COLOURS` whose two bands are among `bands`."""
    return [pair for pair in COLOURS if set(pair) <= set(bands)]


def _bins() -> list[tuple[str, float, float]]:
    """Return the name and the limits of each bin of S/N."""
    ranges = list(zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True))
    named = [
        (f"{low:g}-{high:g}" if np.isfinite(high) else f"above_{low:g}", low, high)
        for low, high in ranges
    ]
    return [*named, (ABOVE_BRIGHT, BRIGHT, np.inf)]


def peak_snr(sample: ImageSample) -> np.ndarray:
    """Return the S/N of the brightest pixel of each source, (n, B); NaN as for `circle_snr`."""
    return sample.measured.peak / np.where(sample.noise > 0, sample.noise, np.nan)


def measure_peaks(sample: ImageSample, seed: int) -> dict[str, dict[str, PeakNumbers]]:
    """Measure the brightest pixels, decoded over measured.

    Returns
    -------
    dict of str to dict of str to PeakNumbers
        By band, and as ``all`` over bands, and by bin of the pixel's S/N: ``30-100``,
        ``above_100``, and ``above_30`` for both.
    """
    snr, every = peak_snr(sample), np.eye(len(sample.bands), dtype=bool)
    columns = {**dict(zip(sample.bands, every, strict=True)), "all": every.any(0)}
    bins = [each for each in _bins() if each[1] >= BRIGHT]
    return {
        band: {
            name: _measure_peaks(sample, (snr >= low) & (snr < high) & column, seed)
            for name, low, high in bins
        }
        for band, column in columns.items()
    }


def _measure_peaks(sample: ImageSample, here: np.ndarray, seed: int) -> PeakNumbers:
    """Measure the brightest pixels of sources in bands where `here` (n, B) is True."""

    def ratio(stage: Stage) -> PeakRatio:
        values = np.where(here, sample.at(stage).peak, np.nan) / sample.measured.peak
        close = here & (np.abs(values - 1) < CORE_CLOSE)
        return PeakRatio(
            measure_mean(close.sum(1), here.sum(1), seed),
            measure_pooled(np.median, values, seed),
            measure_pooled(robust_sigma, values, seed),
        )

    noiseless = erf(CORE_CLOSE * peak_snr(sample)[here] / np.sqrt(2))
    ceiling = float(noiseless.mean()) if here.any() else np.nan
    return PeakNumbers(ratio("codes"), ratio("latents"), int(here.sum()), ceiling)


def measure_stars(sample: ImageSample, seed: int) -> dict[str, StarNumbers]:
    """Measure the widths of bright stars by band, and as ``all`` over bands."""
    used = bright_stars(sample)
    bands = {
        name: used & np.eye(len(sample.bands), dtype=bool)[i] for i, name in enumerate(sample.bands)
    }
    return {name: _star_widths(sample, here, seed) for name, here in {**bands, "all": used}.items()}


def _star_widths(sample: ImageSample, here: np.ndarray, seed: int) -> StarNumbers:
    """Measure the widths of stars in bands where `here` (n, B) is True."""
    width = np.where(here, sample.measured.fwhm, np.nan)

    def ratio(stage: Stage) -> WidthRatio:
        values = sample.at(stage).fwhm / width
        return WidthRatio(
            measure_pooled(np.median, values, seed),
            measure_pooled(robust_sigma, values, seed),
            failed=int((here & np.isnan(values)).sum()),
        )

    return StarNumbers(
        codes=ratio("codes"),
        latents=ratio("latents"),
        n=int(here.sum()),
        fwhm=measure_pooled(np.median, width, seed),
        fwhm_scatter=measure_pooled(robust_sigma, width, seed),
    )


def bright_stars(sample: ImageSample) -> np.ndarray:
    """Return the stars and bands whose widths are compared, bool (n, B)."""
    snr = np.nan_to_num(circle_snr(sample, 0))
    return sample.star[:, None] & (snr > SHARP) & np.isfinite(sample.measured.fwhm)
