"""Features of spectra on a grid: pairs of bins relative to the local scale, and levels.

The *scale* of a spectrum is the median over good bins of sqrt(flux² + error²): the typical flux of
a bright spectrum, the noise of an empty one, and never 0. The *local scale* is sqrt(flux² / 2 +
error²) near a bin: its mean logarithm in sixteen segments of the range, interpolated. A code stands
for two neighbouring bins, whose features are

    mean = (flux1 + flux2) / 2                         compressed to arcsinh(mean)
    contrast = (flux1 - flux2) / (2 sqrt(1 + mean²))   compressed to t arcsinh(contrast / t)

with each flux in units of the local scale at its bin. The mean is near 1.4 in any continuum,
whatever its slope and S/N, so that few codes cover all continua and are close to each other. Up to
about the continuum, arcsinh keeps an absolute error in units of the local scale: noise around 0,
with its negative fluxes, keeps its shape. Above, it keeps a relative error: an emission line a
hundred times the continuum costs a few codes. Up to t = `CONTRAST`, an error counts the same in
both features; above, that of the mean counts more, since the flux of a line is the sum over its
bins.

The noise of a spectrum is the typical noise of the training spectra, bin by bin, times a smooth
function: its mean logarithm in eight segments of the range, interpolated. These eight *levels*,
ln(scale / noise), and the sixteen of the local scale, ln(local scale / scale), are coded by the
same codebook, two a code, behind the bins. So no bin spends its code on its error.
"""

from __future__ import annotations

import numpy as np

from astromodal.surveys.spectra import (
    BINS_PER_CODE,
    LEVEL_CODES,
    LOCAL_CODES,
    NOISE_CODES,
    n_pairs,
)
from astromodal.tokenizers.spectra.bins import (
    between_segments,
    in_bins,
    in_pairs,
    local_levels,
    noise_levels,
)

N_SEGMENTS = NOISE_CODES * BINS_PER_CODE
"""Segments of the range in which the noise is measured."""
N_LOCAL = LOCAL_CODES * BINS_PER_CODE
"""Segments of the range in which the local scale is measured."""
CONTRAST = 0.2
"""Contrast of two bins above which its error counts less than that of their mean."""
STRETCH = 3.0
"""Levels are divided by this, which brings them to where codes of flux are dense."""


def level_features(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Compute the compressed features of the levels of noise and of the local scale.

    Parameters
    ----------
    flux, ivar : float64 (m, L)
        Rebinned spectra, as `bins.rebin` returns them.
    scale : float64 (m,)
        Positive scale of each spectrum; NaN for one without a good bin.
    noise : float64 (L,)
        Typical noise of each bin, as `NoiseProfile.of_bins` returns it.

    Returns
    -------
    float64 (m, LEVEL_CODES, 2)
        Mean and compressed contrast of two levels each; NaN without a good bin.
    """
    levels = [
        noise_levels(ivar, scale, noise, N_SEGMENTS),
        local_levels(flux, ivar, scale, N_LOCAL),
    ]
    shape = len(flux), LEVEL_CODES, BINS_PER_CODE  # -1 would not do for no spectrum
    pairs = (np.concatenate(levels, axis=1) / STRETCH).reshape(shape)
    features = np.empty(shape)
    _write_features(features, *_half_sums(pairs[..., 0], pairs[..., 1]))
    return features


def levels_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `level_features`: levels of noise, float64 (m, 8), and of the local scale, (m, 16)."""
    levels = two_levels(features).reshape(len(features), N_SEGMENTS + N_LOCAL)
    return levels[:, :N_SEGMENTS], levels[:, N_SEGMENTS:]


def two_levels(features: np.ndarray) -> np.ndarray:
    """Return the two levels that features (…, 2) stand for, float64 (…, 2)."""
    mean, half = _from_features(features)
    return np.stack([mean + half, mean - half], axis=-1) * STRETCH


def local_scale(levels: np.ndarray, scale: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the local scale at each bin, float64 (m, n_bins), in the unit of flux.

    Parameters
    ----------
    levels : float64 (m, 16)
        Levels of the local scale, ln(local scale / scale).
    scale : float64 (m,)
        Scale of each spectrum.
    n_bins : int
        Number of bins.
    """
    return between_segments(np.exp(levels) * scale[:, None], n_bins)


def pair_features(flux: np.ndarray, ivar: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Compute the compressed features of pairs of bins.

    Parameters
    ----------
    flux, ivar : float64 (m, L)
        Rebinned spectra, as `bins.rebin` returns them.
    local : float64 (m, L)
        Local scale at each bin.

    Returns
    -------
    float64 (m, pairs, 2)
        Compressed mean and contrast of the bins of each code. A bin without a good pixel has the
        flux, in local scales, of the other; NaN without a good pixel in both.
    """
    pairs = in_pairs(np.where(ivar > 0, flux, np.nan) / local)
    first, second = pairs[..., 0], pairs[..., 1]
    known = np.where(np.isnan(first), second, first), np.where(np.isnan(second), first, second)
    return features_of(*known)


def compress(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Compute the compressed features of rebinned spectra, with levels that no code rounds.

    Parameters
    ----------
    flux, ivar, scale, noise
        As for `level_features`.

    Returns
    -------
    float64 (m, slots, 2)
        Features of pairs of bins, as of `pair_features`, and those of `level_features`.
    """
    levels = level_features(flux, ivar, scale, noise)
    local = local_scale(levels_of(levels)[1], scale, flux.shape[1])
    return np.concatenate([pair_features(flux, ivar, local), levels], axis=1)


def expand(
    features: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Undo `compress`, but for details of the noise.

    Parameters
    ----------
    features : float64 (m, slots, 2)
        Compressed features; NaN where missing.
    scale : float64 (m,)
        Scale of each spectrum.
    noise : float64 (L,)
        Typical noise of each bin.

    Returns
    -------
    flux, ivar : float64 (m, L)
        NaN where missing.
    """
    n_bins = len(noise)
    level, local = levels_of(features[:, -LEVEL_CODES:])
    relative = in_bins(local_fluxes(features[:, : n_pairs(n_bins)]), n_bins)
    flux = relative * local_scale(local, scale, n_bins)
    error = np.exp(-between_segments(level, n_bins)) * noise * scale[:, None]
    return flux, np.where(np.isnan(flux), np.nan, error**-2)


def training_samples(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Return the samples of rebinned spectra: features that are known, and ln(precision).

    Parameters
    ----------
    flux, ivar, scale, noise
        As for `level_features`.

    Returns
    -------
    float64 (n, 3)
        Two features, and ln(scale / error) of the more precise bin; NaN for levels.
    """
    features = compress(flux, ivar, scale, noise)
    largest = np.fmax.reduce(in_pairs(ivar), axis=2)
    with np.errstate(divide="ignore"):
        precision = np.log(np.sqrt(largest) * scale[:, None])
    precision = np.pad(precision, ((0, 0), (0, LEVEL_CODES)), constant_values=np.nan)
    known = np.isfinite(features).all(axis=2)
    return np.concatenate([features, precision[..., None]], axis=2)[known]


def features_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the compressed features of the fluxes (…) of two bins in local scales, (…, 2)."""
    mean, half = _half_sums(first, second)
    features = np.empty((*mean.shape, BINS_PER_CODE))
    _write_features(features, np.arcsinh(mean), half / np.sqrt(1 + mean**2))
    return features


def local_fluxes(features: np.ndarray) -> np.ndarray:
    """Undo `features_of`: the fluxes of two bins in local scales, float64 (…, 2)."""
    compressed, contrast = _from_features(features)
    mean = np.sinh(compressed)
    half = contrast * np.sqrt(1 + mean**2)
    return np.stack([mean + half, mean - half], axis=-1)


def _write_features(features: np.ndarray, mean: np.ndarray, contrast: np.ndarray) -> None:
    """Fill `features` (…, 2) with means and compressed contrasts (…)."""
    features[..., 0] = mean
    features[..., 1] = CONTRAST * np.arcsinh(contrast / CONTRAST)


def _from_features(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `_write_features`."""
    return features[..., 0], CONTRAST * np.sinh(features[..., 1] / CONTRAST)


def _half_sums(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return half the sum and half the difference of two arrays."""
    return (first + second) / 2, (first - second) / 2
