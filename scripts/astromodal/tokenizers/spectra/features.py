"""The features of spectra: flux and precision of a bin, relative to the spectrum's own scale.

The *scale* is the median over good bins of sqrt(flux² + error²): the typical flux of a bright
spectrum, the noise of an empty one, and never 0. The features are

    flux_norm = flux / scale            compressed to arcsinh(flux_norm)
    precision = scale * sqrt(ivar)      compressed to ln(precision)

flux_norm is near 1 in any continuum, whatever the S/N. precision is near 1 where there is only
noise, and near the S/N where there is a signal. The compressions are chosen for three reasons:

- Up to about the continuum, flux keeps an absolute error in units of the scale (arcsinh x ≈ x):
  noise around 0, with its negative fluxes, keeps its shape. Above, flux keeps a relative error
  (arcsinh x ≈ ln 2x): an emission line a hundred times the continuum costs a few codes.
- Precision keeps a relative error, from sky lines in noise to the brightest stars.
- Both have an inverse in closed form.

The cells of a codebook are round in the standardised features: an error of one standard deviation
counts the same in both. The flux matters more than its error, which is needed to some percent
only. So ln(precision) is standardised to a quarter of a standard deviation, which spends the codes
on flux. On simulated DESI spectra and 2048 codes, this halves the error of flux (at S/N > 10 from a
fifth of its noise to a tenth) and leaves an error of 4 % in precision.
"""

from __future__ import annotations

import numpy as np

N_FEATURES = 2
FEATURE_WEIGHTS = np.array([1.0, 0.25])
"""Standard deviations of the standardised features: compressed flux_norm, compressed precision."""


def object_scale(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return the scale of rebinned spectra: the median of sqrt(flux² + 1 / ivar) over good bins.

    Parameters
    ----------
    flux, ivar : float64 (m, L)
        Rebinned spectra, as `bins.rebin` returns them.

    Returns
    -------
    float64 (m,)
        Positive, in the unit of flux; NaN without a good bin.
    """
    good = ivar > 0
    size = np.full(flux.shape, np.inf)
    size[good] = np.hypot(flux[good], 1 / np.sqrt(ivar[good]))
    size.sort(axis=1)
    n_good = good.sum(axis=1)
    pair = np.stack([np.maximum(n_good - 1, 0) // 2, n_good // 2], axis=1)
    pair = np.minimum(pair, flux.shape[1] - 1)
    return np.where(n_good > 0, np.take_along_axis(size, pair, axis=1).mean(axis=1), np.nan)


def compress(flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Compute the compressed features of rebinned spectra.

    Parameters
    ----------
    flux, ivar : float64 (m, L)
        Rebinned spectra, as `bins.rebin` returns them.
    scale : float64 (m,)
        Positive scale of each spectrum; NaN for one without a good bin.

    Returns
    -------
    float64 (m, L, 2)
        arcsinh(flux_norm) and ln(precision); NaN in a bin without a good pixel.
    """
    good = (ivar > 0) & np.isfinite(scale)[:, None]
    features = np.full((*flux.shape, N_FEATURES), np.nan)
    relative = np.broadcast_to(scale[:, None], flux.shape)[good]
    features[good, 0] = np.arcsinh(flux[good] / relative)
    features[good, 1] = np.log(np.sqrt(ivar[good]) * relative)
    return features


def expand(features: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `compress`.

    Parameters
    ----------
    features : float64 (m, L, 2)
        Compressed features; NaN where missing.
    scale : float64 (m,)
        Scale of each spectrum.

    Returns
    -------
    flux, ivar : float64 (m, L)
        NaN where missing.
    """
    flux = np.sinh(features[..., 0]) * scale[:, None]
    ivar = (np.exp(features[..., 1]) / scale[:, None]) ** 2
    return flux, ivar
