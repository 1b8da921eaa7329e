"""The tokenizer of light curves: three features per epoch, relative to the median magnitude.

    deviation = (magnitude - median) / 0.05 mag   compressed to arcsinh(deviation)
    precision = 1 / error                         compressed to ln(precision)
    step = days since the previous epoch          compressed to ln(1 + step), 0 for the first epoch

- The compressed deviation keeps an absolute error below 0.05 mag, where most epochs of a quiet
  source lie, and a relative error above. A fixed magnitude serves better than the epoch's own
  error: relative to that error, an error of the decoded precision would multiply the deviation.
  On simulated curves and 2048 codes, the χ² of the most variable sources would be about nine times
  as large.
- Precision keeps a relative error. Steps keep an absolute error up to a night or two, and a
  relative one over seasons, so that one codebook serves both nights and months.
- All three have an inverse in closed form.

The cells of a codebook are round in the standardised features. Magnitudes and times are
standardised to one standard deviation, precisions to half of one. On simulated curves and 2048
codes, decoded magnitudes are then off by a tenth of their noise, errors by 9 %, steps by 3 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from astromodal.surveys.group import GroupSettings
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.tokenizers.spectra.bins import NoiseProfile
from astromodal.tokenizers.spectra.groups import (
    EncodedBatch,
    FeatureSpace,
    GroupTokenizer,
    ScaleCoder,
)

FEATURE_WEIGHTS = np.array([1.0, 0.5, 1.0])
"""Standard deviations of the standardised features: deviation, precision, time step."""
SOFTENING = 0.05
"""Deviation (mag) up to which the compression is linear."""
MEDIAN_LEEWAY = 0.5
"""Largest correction (mag) that the epochs of a light curve make to its decoded median."""


@dataclass(frozen=True)
class DecodedCurves:
    """Decoded light curves: m curves of n epochs in all.

    Attributes
    ----------
    indptr : int64 (m + 1,)
        The epochs of curve i are ``indptr[i]`` to ``indptr[i + 1]``.
    time : float64 (n,)
        Days since the curve's first epoch: the sum of the steps, whose errors add up.
    step : float64 (n,)
        Days since the previous epoch; 0 for the first.
    mag, error : float64 (n,)
        Magnitude and its standard error (mag).
    """

    indptr: np.ndarray
    time: np.ndarray
    step: np.ndarray
    mag: np.ndarray
    error: np.ndarray


class LightCurveFeatures(FeatureSpace):
    """Compressed deviation, precision and step of an epoch, and the median magnitude of a curve."""

    weights: ClassVar[np.ndarray] = FEATURE_WEIGHTS

    def sample(
        self,
        group: str,
        batch: LightCurveBatch,
        chosen: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the median magnitudes of the chosen curves, and the features of their epochs."""
        fitted = batch.take(chosen)
        median = median_magnitude(fitted)
        return median, compress(fitted, median)

    def scale_to_column(self, scale: np.ndarray) -> np.ndarray:
        """Return median magnitudes as they are: a magnitude is a logarithm already."""
        return scale

    def scale_from_column(self, values: np.ndarray) -> np.ndarray:
        """Return median magnitudes as they are."""
        return values


@dataclass(frozen=True)
class LightCurveGroupTokenizer(GroupTokenizer):
    """The codebook of one group of light curves: one code per epoch, relative to the median."""

    space: ClassVar[FeatureSpace] = LightCurveFeatures()
    n_hashed: ClassVar[int] = 5

    @staticmethod
    def hashed(batch: LightCurveBatch) -> tuple[np.ndarray, ...]:
        """Return rows, lengths, times, magnitudes and errors."""
        return batch.row, batch.lengths(), batch.time, batch.mag, batch.error

    def encode_batch(self, batch: LightCurveBatch, code_scale: ScaleCoder) -> EncodedBatch:
        """Encode light curves; every curve has as many codes as it has good epochs."""
        exact = median_magnitude(batch)
        scale_codes, coded = code_scale(exact)
        used = np.clip(coded, exact - MEDIAN_LEEWAY, exact + MEDIAN_LEEWAY)
        return EncodedBatch(self.encode(batch, used), batch.lengths(), scale_codes)

    def encode(self, curves: LightCurveBatch, median: np.ndarray) -> np.ndarray:
        """Return the codes of all epochs, uint16 (n,), relative to the magnitudes (m,) given.

        All are 65535 without a codebook.
        """
        return self.nearest(compress(curves, median))

    def decode(self, codes: np.ndarray, indptr: np.ndarray, median: np.ndarray) -> DecodedCurves:
        """Decode light curves.

        Parameters
        ----------
        codes : uint16 (n,)
            Codes of the epochs, one curve after another.
        indptr : int64 (m + 1,)
            The codes of curve i are ``codes[indptr[i]:indptr[i + 1]]``.
        median : float64 (m,)
            Median magnitude of each curve.

        Returns
        -------
        DecodedCurves
            NaN where a code is missing; a missing code adds no time to the epochs after it.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """
        lengths = np.diff(indptr)
        mag, error, step = expand(self.features(codes), np.repeat(median, lengths))
        step[indptr[:-1][lengths > 0]] = 0.0
        reached = np.cumsum(np.nan_to_num(step))
        begin = np.repeat(np.append(reached, 0.0)[indptr[:-1]], lengths)
        return DecodedCurves(indptr, reached - begin, step, mag, error)


def median_magnitude(curves: LightCurveBatch) -> np.ndarray:
    """Return the median magnitude of each curve's epochs, float64 (m,); NaN without an epoch."""
    n, first = curves.lengths(), curves.indptr[:-1]
    ordered = np.append(curves.mag[np.lexsort((curves.mag, curves.owner()))], np.nan)
    last = len(ordered) - 1  # the place of the NaN, for curves without an epoch
    pair = (np.where(n > 0, first + half, last) for half in ((n - 1) // 2, n // 2))
    low, high = (ordered[place] for place in pair)
    return (low + high) / 2


def compress(curves: LightCurveBatch, median: np.ndarray) -> np.ndarray:
    """Compute the compressed features of light curves.

    Parameters
    ----------
    curves : LightCurveBatch
        Curves of n epochs in all.
    median : float64 (m,)
        Magnitude that the deviations of each curve are relative to.

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
        Magnitude that the deviation of each epoch is relative to.

    Returns
    -------
    mag, error, step : float64 (n,)
        Magnitude and its error (mag), and days since the previous epoch, never negative; NaN where
        missing.
    """
    mag = np.sinh(features[:, 0]) * SOFTENING + median
    return mag, np.exp(-features[:, 1]), np.maximum(np.expm1(features[:, 2]), 0.0)
