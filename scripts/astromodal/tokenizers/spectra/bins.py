"""The bins of a spectrum: a weighted mean of native pixels, which conserves the flux of lines.

The weight of a pixel is the same in every spectrum of a group. The inverse variance of the pixel
itself would be no weight: photon noise makes it small where a line is bright, so that a mean with
these weights loses the line's flux. Of a line of a thousand times the continuum it loses a quarter
in the median of DESI's arm r, and four fifths where the line is narrow. A weight of the pixel alone
loses no flux, but for a line that stands on a line of the night sky.

Weights are a power of the group's typical noise, between equal weights, which conserve every line,
and inverse variances, which suppress the residuals of the sky most. On simulated DESI spectra the
noise of a bin on a sky line is 3 % above that of inverse variances, where equal weights give 28 %,
and the fluxes of 90 (arm z) to 99 % (arm b) of all lines are right to 2 %; the others stand on a
line of the sky.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.sparse import block_array, csc_array, diags_array
from scipy.sparse.linalg import splu

from astromodal.surveys.spectra import SpectrumBatch, good_pixels

POWER = 1.25
"""A pixel weighs noise to the power -`POWER`: 2 is the least noise, 0 conserves every line."""
MIN_SPECTRA = 16
"""Fewest spectra that a group's typical noise is measured from; with fewer, weights are equal."""


@dataclass(frozen=True)
class NoiseProfile:
    """The typical noise of each pixel of a group: sums over spectra, which can be added.

    The noise of a spectrum is taken relative to its own geometric mean, so that long and short
    exposures count alike. The mean of its logarithm is robust against single lines.

    Attributes
    ----------
    total : float64 (L,)
        Sum of ln(noise / mean noise of the spectrum) over the spectra where the pixel is good.
        No pixels where nothing was measured.
    count : int64 (L,)
        Number of these spectra.
    """

    total: np.ndarray
    count: np.ndarray

    @classmethod
    def unknown(cls) -> NoiseProfile:
        """Return the profile of no spectrum."""
        return cls(np.empty(0), np.empty(0, np.int64))

    @classmethod
    def measure(cls, flux: np.ndarray, ivar: np.ndarray) -> NoiseProfile:
        """Measure the profile of spectra, (m, L) each; bad pixels do not count."""
        good = good_pixels(flux, ivar)
        live = good.any(axis=1)
        good = good[live]
        noise = -0.5 * np.log(np.where(good, ivar[live], 1), dtype=np.float64)
        relative = noise - noise.sum(axis=1, keepdims=True) / good.sum(axis=1, keepdims=True)
        return cls(np.where(good, relative, 0).sum(axis=0), good.sum(axis=0))

    @classmethod
    def of_batches(cls, batches: Iterable[SpectrumBatch], rows: np.ndarray) -> NoiseProfile:
        """Measure the profile of the spectra in some rows of a field, a mask, bool (n,)."""
        chosen = [batch.take(rows[batch.row]) for batch in batches]
        if not chosen:
            return cls.unknown()
        # In one piece: sums then do not depend on the batches.
        flux = np.concatenate([batch.flux for batch in chosen])
        return cls.measure(flux, np.concatenate([batch.ivar for batch in chosen]))

    @classmethod
    def add(cls, parts: Iterable[NoiseProfile]) -> NoiseProfile:
        """Return the profile of all spectra of some profiles; those of no spectrum add nothing."""
        listed = [part for part in parts if len(part.total)]
        if not listed:
            return cls.unknown()
        total = np.sum([part.total for part in listed], axis=0)
        return cls(total, np.sum([part.count for part in listed], axis=0))

    def typical(self, length: int) -> np.ndarray:
        """Return the noise of each pixel relative to the spectrum's mean, float64 (length,).

        It is 1 everywhere where fewer than `MIN_SPECTRA` spectra were measured, and at a pixel
        that is good in none of them.
        """
        noise = np.ones(length)
        if len(self.count) and self.count.max() >= MIN_SPECTRA:
            known = self.count > 0
            noise[known] = np.exp(self.total[known] / self.count[known])
        return noise

    def weights(self, length: int) -> np.ndarray:
        """Return the weight of each pixel, float64 (length,), with a median of 1.

        It is the noise that `typical` returns, to the power -`POWER`.
        """
        weights = self.typical(length) ** -POWER
        return weights / np.median(weights)


def rebin(
    flux: np.ndarray, ivar: np.ndarray, factor: int, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring pixels over the whole range, with weights that no spectrum changes.

    Parameters
    ----------
    flux, ivar : float (m, L)
        Spectra; bad pixels have no weight.
    factor : int
        Pixels per bin; the last bin takes the pixels that are left.
    weight : float64 (L,)
        Positive weight of each pixel.

    Returns
    -------
    flux : float64 (m, ceil(L / factor))
        Weighted mean of the good pixels of a bin; NaN without a good pixel.
    ivar : float64 (m, ceil(L / factor))
        Inverse variance of this mean, propagated from those of its pixels; 0 without a good pixel.
    """
    shape = len(flux), -(-flux.shape[1] // factor)
    mean, inverse = np.empty(shape), np.empty(shape)
    _rebin(np.ascontiguousarray(flux), np.ascontiguousarray(ivar), factor, weight, mean, inverse)
    return mean, inverse


def to_pixels(mean: np.ndarray, factor: int, weight: np.ndarray) -> np.ndarray:
    """Return the smoothest spectra whose bins have given means: an interpolation that keeps flux.

    Of all fluxes with these weighted means it is the one with the smallest sum of squared second
    differences. It is linear in the means.

    Parameters
    ----------
    mean : float64 (m, ceil(L / factor))
        Flux in the bins, as `rebin` returns it; NaN where missing.
    factor : int
        Pixels per bin.
    weight : float64 (L,)
        Positive weight of each pixel in the mean of its bin.

    Returns
    -------
    float64 (m, L)
        NaN at the pixels of a missing bin, which are interpolated for the sake of its neighbours.
    """
    length, n_bins = len(weight), mean.shape[1]
    missing = np.isnan(mean)
    bins = np.arange(n_bins)
    filled = np.zeros(mean.shape)
    for i in np.flatnonzero(~missing.all(axis=1)):
        known = ~missing[i]
        filled[i] = np.interp(bins, bins[known], mean[i, known])
    bin_of = np.arange(length) // factor
    share = weight / np.bincount(bin_of, weight)[bin_of]
    average = csc_array((share, (bin_of, np.arange(length))), shape=(n_bins, length))
    bend = diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(length - 2, length))
    system = block_array([[bend.T @ bend, average.T], [average, None]], format="csc")
    right = np.concatenate([np.zeros((length, len(mean))), filled.T])
    fluxes: np.ndarray = splu(system).solve(right)[:length].T
    return np.where(missing[:, bin_of], np.nan, fluxes)


@njit(cache=True, nogil=True, error_model="numpy")
def _rebin(flux, ivar, factor, weight, mean, inverse):  # type: ignore[no-untyped-def]
    """Fill `mean` and `inverse`, (m, bins) each."""
    m, length = flux.shape
    for i in range(m):
        for j in range(mean.shape[1]):
            total = summed = variance = 0.0
            for k in range(j * factor, min((j + 1) * factor, length)):
                value, precision = np.float64(flux[i, k]), np.float64(ivar[i, k])
                if np.isfinite(value) and np.isfinite(precision) and precision > 0:
                    total += weight[k]
                    summed += weight[k] * value
                    variance += weight[k] * weight[k] / precision
            mean[i, j] = summed / total if total > 0 else np.nan
            inverse[i, j] = total * total / variance if total > 0 else 0.0
