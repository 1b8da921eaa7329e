"""How well decoded spectra agree with the observed ones: overall, by S/N, along the wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.evaluation.codebooks import CodebookUse
from astromodal.evaluation.metrics import (
    measure_fraction,
    measure_median,
    measure_pooled_r2,
    measure_quantile,
    measure_statistic,
    r2_of,
    reduced_chi2,
    robust_sigma,
    squares,
)
from astromodal.evaluation.report.values import Measurement
from astromodal.evaluation.spectra.sample import GroupSample

N_SEGMENTS = 16
"""Segments of the wavelength range in which the errors are measured."""
FOLLOWS = 0.1
"""Largest error of the continuum, in the worst segment, that reaches the mark."""
CLEAR = 3.0
"""Median S/N above which codes should keep nearly all of the variance of a spectrum."""
NEARLY_ALL = 0.98
"""R² that counts as nearly all of the variance."""
SNR_EDGES = (0.0, 1.0, 3.0, 10.0, 30.0, np.inf)
"""Edges of the S/N bins (median S/N of a spectrum's rebinned pixels); below 0 joins the first."""


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
        over = not np.isfinite(self.high)
        return f"over {self.low:g}" if over else f"{self.low:g} to {self.high:g}"


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
    """Numbers of the spectra of a S/N above `CLEAR`.

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
    clear : ClearNumbers
        Numbers of spectra of a high S/N.
    bits_an_object : float
        Bits per spectrum of an ideal coder that knows the frequencies of the codes.
    r2, chi2 : Measurement
        Medians over spectra of R² and of the reduced χ².
    r2_pooled : Measurement
        R² of all spectra together.
    scale_error, scale_error_p90 : Measurement
        Median and 90th percentile of |decoded scale / scale - 1|.
    snr : tuple of SnrBin
        Medians by S/N.
    codebook : CodebookUse
        Use of the codes.
    along : Along, optional
        Errors along the wavelength; None without a live spectrum.
    worst_continuum_error : float
        `Along.worst`; NaN without a live spectrum.
    """

    n_live: int
    n_dead: int
    clear: ClearNumbers
    bits_an_object: float
    r2: Measurement
    r2_pooled: Measurement
    chi2: Measurement
    scale_error: Measurement
    scale_error_p90: Measurement
    snr: tuple[SnrBin, ...]
    codebook: CodebookUse
    along: Along | None
    worst_continuum_error: float


def measure_group(sample: GroupSample, wave: np.ndarray, seed: int) -> GroupNumbers:
    """Measure one group.

    Parameters
    ----------
    sample : GroupSample
        Its spectra.
    wave : float (L,)
        Centres of its bins.
    seed : int
        Seed of the bootstrap errors.
    """
    residual, total, _ = squares(sample.flux, sample.decoded, sample.ivar)
    chi2 = reduced_chi2(sample.flux, sample.decoded, sample.ivar)
    r2 = r2_of(residual, total)
    snr = np.maximum(sample.snr(), SNR_EDGES[0])
    scale_error = np.abs(sample.decoded_scale / sample.scale - 1)
    codebook = CodebookUse.of(sample.counts)
    clear = r2[snr > CLEAR]
    along = measure_along(sample, wave, seed) if len(sample.flux) else None
    return GroupNumbers(
        n_live=len(sample.flux),
        n_dead=sample.n_dead,
        clear=ClearNumbers(
            len(clear), measure_median(clear, seed), measure_fraction(clear >= NEARLY_ALL)
        ),
        bits_an_object=codebook.bits * float(sample.n_codes.mean()) if len(sample.n_codes) else 0.0,
        r2=measure_median(r2, seed),
        r2_pooled=measure_pooled_r2(residual, total, seed),
        chi2=measure_median(chi2, seed),
        scale_error=measure_median(scale_error, seed),
        scale_error_p90=measure_quantile(scale_error, 0.9, seed),
        snr=measure_by_snr(snr, SNR_EDGES, r2, chi2, seed),
        codebook=codebook,
        along=along,
        worst_continuum_error=np.nan if along is None else along.worst(),
    )


def measure_along(sample: GroupSample, wave: np.ndarray, seed: int) -> Along:
    """Divide the wavelength range into segments and measure the errors in each."""
    edges = np.linspace(0, len(wave), min(N_SEGMENTS, len(wave)) + 1).astype(int)
    n = len(edges) - 1
    out = {name: np.full(n, np.nan) for name in Along.__annotations__}
    good = (sample.ivar > 0) & np.isfinite(sample.decoded)
    noise = np.median(1 / np.sqrt(sample.ivar[good])) if good.any() else 1.0
    for k, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        here = good[:, a:b]
        live = here.any(axis=1)
        out["start"][k], out["stop"][k], out["live"][k] = wave[a], wave[b - 1], live.sum()
        if not live.any():
            continue
        observed, decoded = sample.flux[live, a:b], sample.decoded[live, a:b]
        error = continuum_error(observed, decoded, here[live], sample.scale[live])
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
