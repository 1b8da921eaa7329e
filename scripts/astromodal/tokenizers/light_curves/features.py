"""What a light curve's codes are made of: three features an epoch, relative to the curve's median.

    deviation = (magnitude - median) / 0.05 mag   compressed to arcsinh(deviation)
    precision = 1 / error                         compressed to ln(precision)
    step = days since the epoch before            compressed to ln(1 + step), 0 for the first epoch

- Deviations below 0.05 mag, most of a quiet source's, are kept to an absolute error and larger
  ones to a relative one. A fixed magnitude serves better than the epoch's own error: relative to
  it, an error of the decoded precision multiplies the deviation (on simulated curves and 2048
  codes, the χ² of the most variable sources is then about nine times as large).
- Precision is kept to a relative error, steps to an absolute one within a night or two and to a
  relative one over seasons. Nights and months are told apart by no codebook of even steps.
- All have an inverse in closed form.

A cluster of nearest codes is round in the standardised features. Magnitudes and times are
standardised to one standard deviation, precisions to half of one: on simulated curves and 2048
codes, decoded magnitudes are then off by a tenth of their noise, errors by 9 %, steps by 3 %.
"""

from __future__ import annotations

import numpy as np

from astromodal.data.light_curves import LightCurveBatch

FEATURE_WEIGHTS = np.array([1.0, 0.5, 1.0])
"""Standard deviations of the standardised features: deviation, precision, time step."""
SOFTENING = 0.05
"""Deviation (mag) up to which the compression is linear."""


def median_magnitude(curves: LightCurveBatch) -> np.ndarray:
    """Median magnitude of each curve's epochs, float64 (m,); NaN without an epoch."""
    n, first = curves.lengths(), curves.indptr[:-1]
    ordered = np.append(curves.mag[np.lexsort((curves.mag, curves.owner()))], np.nan)
    last = len(ordered) - 1  # the NaN, which a curve without an epoch gets
    pair = (np.where(n > 0, first + half, last) for half in ((n - 1) // 2, n // 2))
    low, high = (ordered[place] for place in pair)
    return (low + high) / 2


def compress(curves: LightCurveBatch, median: np.ndarray) -> np.ndarray:
    """Compressed features of light curves.

    Parameters
    ----------
    curves : LightCurveBatch
        Curves of n epochs in all.
    median : float64 (m,)
        Magnitude that each curve's deviations are taken from.

    Returns
    -------
    float64 (n, 3)
        arcsinh(deviation), ln(precision) and ln(1 + step).
    """
    step = np.diff(curves.time, prepend=0.0)
    step[curves.indptr[:-1][curves.live()]] = 0.0
    deviation = (curves.mag - median[curves.owner()]) / SOFTENING
    return np.stack([np.arcsinh(deviation), -np.log(curves.error), np.log1p(step)], axis=1)


def expand(features: np.ndarray, median: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undo `compress`.

    Parameters
    ----------
    features : float64 (n, 3)
        Compressed features; NaN where missing.
    median : float64 (n,)
        Magnitude that the deviation of each epoch is taken from.

    Returns
    -------
    mag, error, step : float64 (n,)
        Magnitude and its error (mag), and days since the epoch before, never negative; NaN where
        missing.
    """
    mag = np.sinh(features[:, 0]) * SOFTENING + median
    return mag, np.exp(-features[:, 1]), np.maximum(np.expm1(features[:, 2]), 0.0)
