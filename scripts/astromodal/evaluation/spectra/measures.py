"""How well decoded spectra agree with the observed ones: overall, by S/N, along the wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.evaluation.metrics import (
    CodebookUse,
    bin_label,
    measure_fraction,
    measure_median,
    measure_pooled_r2,
    measure_quantile,
    measure_statistic,
    r2_of,
    robust_sigma,
    squares,
)
from astromodal.evaluation.report.section import Measurement
from astromodal.evaluation.spectra.sample import Fluxes, GroupSample, LineNumbers, strongest_lines

N_SEGMENTS = 16
"""Segments of the wavelength range in which the errors are measured."""
FOLLOWS = 0.1
"""Largest error of the continuum, in the worst segment, that reaches the mark."""
WITHIN_NOISE = 1.5
"""Largest median reduced χ² of the pixels, at any S/N, that reaches the mark."""
CLEAR = 3.0
"""Median S/N above which codes should keep nearly all of the variance of a rebinned spectrum."""
NEARLY_ALL = 0.98
"""R² that counts as nearly all of the variance."""
SNR_EDGES = (0.0, 1.0, 3.0, 10.0, 30.0, np.inf)
"""Edges of the S/N bins (median S/N of a spectrum's pixels); below 0 joins the first."""


@dataclass(frozen=True)
class SnrBin:
    """Medians over the spectra, or light curves, in a bin of S/N.

    Attributes
    ----------
    low, high : float
        Edges of the bin.
    n : int
        Number of spectra.
    r2, chi2 : Measurement
        Medians of R² and of the reduced χ².
    """

    low: float
    high: float
    n: int
    r2: Measurement
    chi2: Measurement

    def __str__(self) -> str:
        return bin_label(self.low, self.high)


def measure_by_snr(
    snr: np.ndarray, edges: Sequence[float], r2: np.ndarray, chi2: np.ndarray, seed: int
) -> tuple[SnrBin, ...]:
    """Measure the medians of R² and χ² in bins of S/N.

    Parameters
    ----------
    snr, r2, chi2 : float (n,)
        Values of each spectrum.
    edges : sequence of float
        Edges of the bins.
    seed : int
        Seed of the bootstrap errors.
    """
    bins = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        chosen = (snr >= low) & (snr < high)
        medians = measure_median(r2[chosen], seed), measure_median(chi2[chosen], seed)
        bins.append(SnrBin(low, high, int(chosen.sum()), *medians))
    return tuple(bins)


@dataclass(frozen=True)
class Along:
    """Errors of the decoded flux in S segments of the wavelength range, each float64 (S,).

    The continuum of a segment is its mean flux. Its error is decoded minus observed, divided by
    the object's scale and the continuum added in quadrature. NaN in a segment without a good bin.

    Attributes
    ----------
    start, stop : float64 (S,)
        Centres of the first and of the last bin.
    live : float64 (S,)
        Spectra with a good bin.
    offset, offset_error : float64 (S,)
        Median error of the continuum over spectra, and its bootstrap error.
    scatter : float64 (S,)
        Half the 16 to 84 % range of the errors of the continuum.
    p68, p90 : float64 (S,)
        68th and 90th percentile of the absolute errors of the continuum.
    r2, r2_error : float64 (S,)
        R² of arcsinh(flux / noise) over all spectra and bins, and its bootstrap error.
    """

    start: np.ndarray
    stop: np.ndarray
    live: np.ndarray
    offset: np.ndarray
    offset_error: np.ndarray
    scatter: np.ndarray
    p68: np.ndarray
    p90: np.ndarray
    r2: np.ndarray
    r2_error: np.ndarray

    def worst(self) -> float:
        """Return the largest `p68`: the continuum's error in the worst segment."""
        return float(np.nanmax(self.p68)) if np.isfinite(self.p68).any() else np.nan


@dataclass(frozen=True)
class ClearNumbers:
    """Numbers of the rebinned spectra whose bins have a S/N above `CLEAR`.

    Attributes
    ----------
    n : int
        Number of spectra.
    r2 : Measurement
        Median R².
    share : Measurement
        Fraction of the spectra whose R² reaches `NEARLY_ALL`.
    """

    n: int
    r2: Measurement
    share: Measurement


@dataclass(frozen=True)
class GroupNumbers:
    """All numbers of one group of spectra.

    Attributes
    ----------
    n_live, n_dead : int
        Spectra with and without a good pixel.
    chi2, r2 : Measurement
        Medians over spectra of the reduced χ² and of R², both of the pixels that were measured.
    snr : tuple of SnrBin
        The same by S/N.
    emission, absorption : LineNumbers, optional
        What is kept of the strongest line of each spectrum; None for a group without wavelengths.
    bins_chi2, bins_r2 : Measurement
        Medians over spectra of the reduced χ² and of R², both of the rebinned spectra.
    bins_snr : tuple of SnrBin
        The same by the S/N of the pixels.
    bins_r2_pooled : Measurement
        R² of all rebinned spectra together.
    clear : ClearNumbers
        Numbers of rebinned spectra of a high S/N.
    bits_an_object : float
        Bits per spectrum of an ideal coder that knows the frequencies of the codes.
    scale_error, scale_error_p90 : Measurement
        Median and 90th percentile of |decoded scale / scale - 1|.
    codebook : CodebookUse
        Use of the codes.
    along : Along, optional
        Errors along the wavelength; None without a live spectrum.
    worst_continuum_error : float
        `Along.worst`; NaN without a live spectrum.
    """

    n_live: int
    n_dead: int
    chi2: Measurement
    r2: Measurement
    snr: tuple[SnrBin, ...]
    emission: LineNumbers | None
    absorption: LineNumbers | None
    bins_chi2: Measurement
    bins_r2: Measurement
    bins_snr: tuple[SnrBin, ...]
    bins_r2_pooled: Measurement
    clear: ClearNumbers
    bits_an_object: float
    scale_error: Measurement
    scale_error_p90: Measurement
    codebook: CodebookUse
    along: Along | None
    worst_continuum_error: float

    def lines(self) -> dict[str, LineNumbers]:
        """Return the numbers of the kinds of lines that were measured, by name."""
        kinds = {"emission": self.emission, "absorption": self.absorption}
        return {kind: lines for kind, lines in kinds.items() if lines is not None}

    def within_noise(self) -> bool:
        """Return whether the median χ² of the pixels reaches the mark at every S/N."""
        return all(b.chi2.value <= WITHIN_NOISE for b in self.snr if b.chi2.known)


def measure_group(sample: GroupSample, lines: bool, seed: int) -> GroupNumbers:
    """Measure one group.

    Parameters
    ----------
    sample : GroupSample
        Its spectra.
    lines : bool
        Whether its pixels have wavelengths, so that lines can be measured.
    seed : int
        Seed of the bootstrap errors.
    """
    bins, pixels = sample.bins, sample.pixels
    residual, total, _ = squares(bins.flux, bins.decoded, bins.ivar)
    bins_r2, bins_chi2, chi2, r2 = r2_of(residual, total), bins.chi2(), pixels.chi2(), pixels.r2()
    snr = np.maximum(pixels.snr(), SNR_EDGES[0])
    scale_error = np.abs(sample.decoded_scale / sample.scale - 1)
    codebook = CodebookUse.of(sample.counts)
    clear = bins_r2[bins.snr() > CLEAR]
    along = measure_along(bins, sample.scale, seed) if len(bins.flux) else None
    emission, absorption = (
        LineNumbers.of(strongest_lines(pixels, sign), seed) if lines else None for sign in (1, -1)
    )
    return GroupNumbers(
        n_live=len(bins.flux),
        n_dead=sample.n_dead,
        chi2=measure_median(chi2, seed),
        r2=measure_median(r2, seed),
        snr=measure_by_snr(snr, SNR_EDGES, r2, chi2, seed),
        emission=emission,
        absorption=absorption,
        bins_chi2=measure_median(bins_chi2, seed),
        bins_r2=measure_median(bins_r2, seed),
        bins_snr=measure_by_snr(snr, SNR_EDGES, bins_r2, bins_chi2, seed),
        bins_r2_pooled=measure_pooled_r2(residual, total, seed),
        clear=ClearNumbers(
            len(clear), measure_median(clear, seed), measure_fraction(clear >= NEARLY_ALL)
        ),
        bits_an_object=codebook.bits * float(sample.n_codes.mean()) if len(sample.n_codes) else 0.0,
        scale_error=measure_median(scale_error, seed),
        scale_error_p90=measure_quantile(scale_error, 0.9, seed),
        codebook=codebook,
        along=along,
        worst_continuum_error=np.nan if along is None else along.worst(),
    )


def measure_along(bins: Fluxes, scale: np.ndarray, seed: int) -> Along:
    """Divide the wavelength range into segments and measure the errors in each.

    Parameters
    ----------
    bins : Fluxes
        Rebinned spectra.
    scale : float (n,)
        Flux scale of each spectrum.
    seed : int
        Seed of the bootstrap errors.
    """
    length = len(bins.wave)
    edges = np.linspace(0, length, min(N_SEGMENTS, length) + 1).astype(int)
    n = len(edges) - 1
    out = {name: np.full(n, np.nan) for name in Along.__annotations__}
    good = bins.good
    noise = np.median(1 / np.sqrt(bins.ivar[good])) if good.any() else 1.0
    for k, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        here = good[:, a:b]
        live = here.any(axis=1)
        out["start"][k], out["stop"][k], out["live"][k] = bins.wave[a], bins.wave[b - 1], live.sum()
        if not live.any():
            continue
        observed, decoded = bins.flux[live, a:b], bins.decoded[live, a:b]
        error = continuum_error(observed, decoded, here[live], scale[live])
        offset = measure_median(error, seed)
        out["offset"][k], out["offset_error"][k] = offset.value, offset.error
        out["scatter"][k] = robust_sigma(error)
        out["p68"][k], out["p90"][k] = np.quantile(np.abs(error), [0.68, 0.9])
        pair = np.arcsinh(observed / noise), np.arcsinh(decoded / noise)
        r2 = _common_r2(*pair, here[live], seed)
        out["r2"][k], out["r2_error"][k] = r2.value, r2.error
    return Along(**out)


def continuum_error(
    observed: np.ndarray, decoded: np.ndarray, good: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Return the relative error of each object's mean flux.

    Parameters
    ----------
    observed, decoded : (n, L) float
        Fluxes.
    good : (n, L) bool
        Bins that count; at least one per object.
    scale : (n,) float
        Flux scales of the objects.

    Returns
    -------
    (n,) float
        Difference of the means over the scale and the observed mean, added in quadrature.
    """
    count = good.sum(axis=1)
    means = [np.where(good, flux, 0).sum(axis=1) / count for flux in (observed, decoded)]
    return (means[1] - means[0]) / np.hypot(scale, means[0])


def _common_r2(truth: np.ndarray, estimate: np.ndarray, good: np.ndarray, seed: int) -> Measurement:
    """Measure R² of all values together about their common mean."""
    n = good.sum(axis=1)
    t, e = np.where(good, truth, 0), np.where(good, estimate, 0)
    sums = np.stack([n, t.sum(1), (t**2).sum(1), ((t - e) ** 2).sum(1)])  # (4, objects)

    def explained(index: np.ndarray) -> float:
        count, first, second, residual = sums[:, index].sum(axis=1)
        return float(r2_of(residual, second - first**2 / count))

    return measure_statistic(explained, len(n), seed)
