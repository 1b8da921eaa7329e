"""Numbers of the decoded cutouts: R² and flux in the mask, causes of losses, hidden bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from astromodal.evaluation.images.photometry import (
    ApertureNumbers,
    ColourNumbers,
    MaskColour,
    PeakNumbers,
    StarNumbers,
    is_detected,
    magnitude_change,
)
from astromodal.evaluation.images.sample import HiddenBands, ImageSample, Stage, Stages
from astromodal.evaluation.metrics import (
    CodebookUse,
    column_medians,
    measure_mean,
    measure_median,
    measure_pooled_r2,
    measure_scatter,
    r2_of,
)
from astromodal.evaluation.report.section import Measurement
from astromodal.models.autoencoder import PATCH

SHARES: tuple[Literal["noise", "autoencoder", "codebook"], ...] = (
    "noise", "autoencoder", "codebook",
)  # fmt: skip
"""Causes of unexplained variance."""

_SURE = 2.0  # errors by which one loss must exceed the other to be the larger one


@dataclass(frozen=True)
class R2Numbers:
    """R² of decoded cutouts inside the mask.

    Attributes
    ----------
    r2 : Measurement
        Of all cutouts together, so that bright ones count most.
    r2_object : Measurement
        Median of the R² of each cutout.
    """

    r2: Measurement
    r2_object: Measurement


@dataclass(frozen=True)
class DecodedNumbers(R2Numbers):
    """R² and magnitudes of the decoded cutouts of one band.

    Attributes
    ----------
    dmag, dmag_scatter : Measurement
        Median and 68 % half-range of the decoded minus the measured magnitude in the mask, of
        detected cutouts.
    """

    dmag: Measurement
    dmag_scatter: Measurement


@dataclass(frozen=True)
class BandNumbers(Stages[DecodedNumbers]):
    """Numbers of one band; NaN without cutouts.

    Attributes
    ----------
    n, n_detected : int
        Cutouts with light that varies in the mask, and detected cutouts.
    ceiling : float
        R² that an image without noise would have, of all cutouts together.
    ceiling_object : Measurement
        Median of that R² of each cutout.
    """

    n: int
    n_detected: int
    ceiling: float
    ceiling_object: Measurement


@dataclass(frozen=True)
class Losses:
    """Unexplained variance 1 - R² from codes, split into its causes.

    Attributes
    ----------
    n : int
        Cutouts.
    noise : Measurement
        Loss of an image without sky noise: 1 - ceiling.
    autoencoder : Measurement
        Loss of latents beyond that: ceiling - R² from latents. It includes the photon noise of
        bright sources, because a cube does not contain the gain.
    codebook : Measurement
        Loss of codes beyond latents: R² from latents - R² from codes.
    difference : Measurement
        Autoencoder minus codebook.
    limit : {"autoencoder", "codebook", "undecided"}
        The larger of the two where they differ by more than 2 errors.
    """

    n: int
    noise: Measurement
    autoencoder: Measurement
    codebook: Measurement
    difference: Measurement
    limit: Literal["autoencoder", "codebook", "undecided"]


@dataclass(frozen=True)
class LimitNumbers:
    """Losses by band, and as ``all`` over all bands in units of their noise.

    Attributes
    ----------
    pooled : dict of str to Losses
        Of sums over all cutouts, so that the brightest count most.
    typical : dict of str to Losses
        Means over detected cutouts of the losses of each.
    """

    pooled: Mapping[str, Losses]
    typical: Mapping[str, Losses]


@dataclass(frozen=True)
class MissingLoss:
    """R² lost inside the mask of the bands that are given when others are missing.

    Attributes
    ----------
    n : int
        Cutouts.
    loss : Measurement
        R² with all bands minus R² without the missing ones, of all cutouts together, bands in
        units of their noise.
    loss_object : Measurement
        Median of the loss of each cutout.
    """

    n: int
    loss: Measurement
    loss_object: Measurement


@dataclass(frozen=True)
class MissingBandLoss(MissingLoss):
    """The same when one band is missing, and the R² of that band itself.

    Attributes
    ----------
    seen, guessed : Measurement
        R² of the band, encoded with it and without it.
    """

    seen: Measurement
    guessed: Measurement


@dataclass(frozen=True)
class MissingNumbers:
    """Losses when bands are missing, from `n_objects` cutouts, by number of bands and by band."""

    n_objects: int
    by_number: Mapping[int, MissingLoss]
    by_band: Mapping[str, MissingBandLoss]


@dataclass(frozen=True)
class ImageCounts:
    """Numbers of evaluated, whole and short cutouts, and the use of the codebook.

    Attributes
    ----------
    n_objects, n_whole, n_short : int
        Evaluated cutouts, and whole and short ones of these fields.
    bits_an_object : float
        Bits per cutout of an ideal coder that knows the frequencies of the codes of place,
        brightness and latents.
    codebook : CodebookUse
        Use of the codebook of latents.
    """

    n_objects: int
    n_whole: int
    n_short: int
    bits_an_object: float
    codebook: CodebookUse


@dataclass(frozen=True)
class ImageNumbers(ImageCounts):
    """All numbers of the section, where a cutout has light that varies in the mask.

    Attributes
    ----------
    bands : dict of str to BandNumbers
        By band.
    all_bands : Stages of R2Numbers
        Over all bands in units of their noise.
    colours : dict of str to MaskColour
        By pair of neighbouring broad bands.
    limits : LimitNumbers
        Causes of the losses.
    apertures, apertures_2arcsec, apertures_6arcsec : dict of str to ApertureNumbers
        Magnitudes in the apertures of 3, 2 and 6 arcsec, by band and as ``all``.
    aperture_colours : dict of str to dict of str to ColourNumbers
        Colours in 3 arcsec by pair of bands and bin of S/N.
    peaks : dict of str to dict of str to PeakNumbers
        Brightest pixels by band, and as ``all``, and bin of S/N.
    stars : dict of str to StarNumbers
        Widths of stars by band and as ``all``.
    missing_bands : MissingNumbers
        Losses when bands are missing.
    """

    bands: Mapping[str, BandNumbers]
    all_bands: Stages[R2Numbers]
    colours: Mapping[str, MaskColour]
    limits: LimitNumbers
    apertures: Mapping[str, ApertureNumbers]
    apertures_2arcsec: Mapping[str, ApertureNumbers]
    apertures_6arcsec: Mapping[str, ApertureNumbers]
    aperture_colours: Mapping[str, Mapping[str, ColourNumbers]]
    peaks: Mapping[str, Mapping[str, PeakNumbers]]
    stars: Mapping[str, StarNumbers]
    missing_bands: MissingNumbers

    @property
    def known(self) -> dict[str, BandNumbers]:
        """The bands that some evaluated cutout has."""
        return {name: band for name, band in self.bands.items() if band.n}


def bits_an_object(sample: ImageSample) -> float:
    """Return the bits of an ideal coder for the codes of a cutout, each code on its own."""
    latents = CodebookUse.of(sample.counts).bits * (sample.size // PATCH) ** 2
    return latents + sum(CodebookUse.of(counts).bits for counts in sample.head_counts)


def measure_band(sample: ImageSample, i: int, seed: int) -> BandNumbers:
    """Measure R² and magnitudes of band `i`."""
    here = sample.total[:, i] > 0
    total = sample.total[here, i]
    noise = sample.n_pixels[here, i] * sample.noise[here, i] ** 2
    bright = is_detected(sample, i)

    def of(stage: Stage) -> DecodedNumbers:
        residual = sample.at(stage).residual[here, i]
        change = magnitude_change(sample, stage, i)[bright]
        return DecodedNumbers(
            r2=measure_pooled_r2(residual, total, seed),
            r2_object=measure_median(r2_of(residual, total), seed),
            dmag=measure_median(change, seed),
            dmag_scatter=measure_scatter(change, seed),
        )

    return BandNumbers(
        codes=of("codes"),
        latents=of("latents"),
        n=int(here.sum()),
        n_detected=int(bright.sum()),
        ceiling=float(1 - noise.sum() / total.sum()) if here.any() else np.nan,
        ceiling_object=measure_median(1 - noise / total, seed),
    )


def noise_weights(sample: ImageSample) -> np.ndarray:
    """Return the inverse square of each band's median noise, (B,); 0 for a band without noise."""
    noise = column_medians(np.where(sample.noise > 0, sample.noise, np.nan))
    return np.where(noise > 0, 1 / np.where(noise > 0, noise, 1) ** 2, 0.0)


def measure_all_bands(sample: ImageSample, seed: int) -> Stages[R2Numbers]:
    """Measure R² over all bands, each in units of its noise so that no band dominates."""
    weight = noise_weights(sample)
    total = (sample.total * weight).sum(1)

    def of(stage: Stage) -> R2Numbers:
        residual = (sample.at(stage).residual * weight).sum(1)
        pooled = measure_pooled_r2(residual, total, seed)
        return R2Numbers(pooled, measure_median(r2_of(residual, total), seed))

    return Stages(of("codes"), of("latents"))


def measure_limits(sample: ImageSample, seed: int) -> LimitNumbers:
    """Measure how much noise, the autoencoder and the codebook each lose.

    A loss is negative where the step helped at random, or where noise was kept.
    """
    noise, codes, latents = (
        sample.n_pixels * sample.noise**2, sample.codes.residual, sample.latents.residual,
    )  # fmt: skip
    steps = {
        "noise": noise,
        "autoencoder": latents - noise,
        "codebook": codes - latents,
        "difference": 2 * latents - noise - codes,
    }
    n_bands = len(sample.bands)
    varies = sample.total > 0
    seen = np.stack([is_detected(sample, i) for i in range(n_bands)], axis=1)
    weights = dict(zip(sample.bands, np.eye(n_bands), strict=True)) | {"all": noise_weights(sample)}
    return LimitNumbers(
        {name: _split(steps, sample.total, varies * w, False, seed) for name, w in weights.items()},
        {name: _split(steps, sample.total, seen * w, True, seed) for name, w in weights.items()},
    )


def _split(
    steps: Mapping[str, np.ndarray], total: np.ndarray, weight: np.ndarray, each: bool, seed: int
) -> Losses:
    """Measure losses over `total` (n, B) under a `weight` (n, B), together or mean of `each`."""
    whole = (total * weight).sum(1)
    used = whole > 0
    losses = {}
    for name, step in steps.items():
        loss = (step * weight).sum(1)[used]
        if each:
            losses[name] = measure_mean(loss / whole[used], np.ones(used.sum()), seed)
        else:
            losses[name] = measure_mean(loss, whole[used], seed)
    difference = losses["difference"]
    larger: Literal["autoencoder", "codebook"] = (
        "autoencoder" if difference.value > 0 else "codebook"
    )
    sure = abs(difference.value) > _SURE * difference.error
    return Losses(n=int(used.sum()), **losses, limit=larger if sure else "undecided")


def measure_missing(
    sample: HiddenBands, bands: tuple[str, ...], weights: np.ndarray, seed: int
) -> MissingNumbers:
    """Measure the loss in the bands that are given, and the R² of a hidden band.

    Parameters
    ----------
    sample : HiddenBands
        Sums of each cutout and pass.
    bands : tuple of str
        Bands in channel order.
    weights : (B,) float
        Weight of each band's sums: the inverse square of its noise.
    seed : int
        Seed of bootstrap errors.
    """
    loss, whole = _losses(sample, weights)
    by_number, by_band = {}, {}
    for k in np.unique(sample.n_hidden).tolist():
        same = sample.n_hidden == k
        by_number[k] = MissingLoss(*_loss(loss[:, same].sum(1), whole[:, same].sum(1), seed))
    for i, name in enumerate(bands):
        here = sample.hidden[:, i, i] & (sample.total[:, i] > 0)
        total = sample.total[here, i]
        by_band[name] = MissingBandLoss(
            *_loss(loss[:, i], whole[:, i], seed),
            seen=measure_pooled_r2(sample.complete[here, i], total, seed),
            guessed=measure_pooled_r2(sample.residual[here, i, i], total, seed),
        )
    return MissingNumbers(len(sample.total), by_number, by_band)


def _losses(sample: HiddenBands, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted squares lost in the bands that are given, and their total, (n, P) each.

    Both are 0 in a pass that hides nothing.
    """
    counts = sample.hidden.any(2, keepdims=True)
    given = counts & ~sample.hidden & (sample.total[:, None] > 0)
    more = np.where(given, sample.residual - sample.complete[:, None], 0.0)
    total = np.where(given, sample.total[:, None], 0.0)
    return (more * weights).sum(2), (total * weights).sum(2)


def _loss(loss: np.ndarray, whole: np.ndarray, seed: int) -> tuple[int, Measurement, Measurement]:
    used = whole > 0
    loss, whole = loss[used], whole[used]
    return int(used.sum()), measure_mean(loss, whole, seed), measure_median(loss / whole, seed)
