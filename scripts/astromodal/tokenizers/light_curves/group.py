"""The tokenizer of one light-curve group: a codebook of (deviation, precision, time step)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.light_curves import LightCurveBatch
from astromodal.errors import FormatError, must_be
from astromodal.tokenizers.light_curves.features import compress, expand
from astromodal.tokenizers.quantizers.base import FittedQuantizer


@dataclass(frozen=True)
class DecodedCurves:
    """What the codes of m light curves say, epoch by epoch (n in all).

    Attributes
    ----------
    indptr : int64 (m + 1,)
        Curve i's epochs are ``indptr[i]`` to ``indptr[i + 1]``.
    time : float64 (n,)
        Days since the curve's first epoch: the sum of the steps, whose errors add up.
    step : float64 (n,)
        Days since the epoch before; 0 for the first.
    mag, error : float64 (n,)
        Magnitude and its standard error (mag).
    """

    indptr: np.ndarray
    time: np.ndarray
    step: np.ndarray
    mag: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class LightCurveGroupTokenizer:
    """The codebook of one group of light curves.

    Attributes
    ----------
    group : str
        Light-curve group.
    quantizer : FittedQuantizer
        Quantizes the standardised features; without codes where the group has no training data.
    mean, std : float64 (3,)
        A compressed feature x is standardised to (x - mean) / std.
    """

    group: str
    quantizer: FittedQuantizer
    mean: np.ndarray
    std: np.ndarray

    @property
    def centroids(self) -> np.ndarray:
        """Centroids of the standardised features, float32 (k, 3)."""
        return self.quantizer.centroids

    def encode(self, curves: LightCurveBatch, median: np.ndarray) -> np.ndarray:
        """Codes, uint16 (n,), of all epochs relative to the magnitudes (m,) given.

        All are 65535 without a codebook.
        """
        codes = np.full(len(curves.time), MISSING_CODE, dtype=np.uint16)
        if len(self.centroids) and len(codes):
            features = (compress(curves, median) - self.mean) / self.std
            codes[:] = self.quantizer.encode(features)
        return codes

    def decode(self, codes: np.ndarray, indptr: np.ndarray, median: np.ndarray) -> DecodedCurves:
        """Decode light curves.

        Parameters
        ----------
        codes : uint16 (n,)
            Codes of the epochs, one curve after another.
        indptr : int64 (m + 1,)
            Curve i's codes are ``codes[indptr[i]:indptr[i + 1]]``.
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
        known = codes != MISSING_CODE
        if known.any() and codes[known].max() >= len(self.centroids):
            must, got = f"below {len(self.centroids)}", int(codes[known].max())
            raise FormatError(must_be(f"codes of group {self.group}", must, got, "encode again"))
        lengths = np.diff(indptr)
        features = np.full((len(codes), len(self.mean)), np.nan)
        features[known] = self.quantizer.decode(codes[known]) * self.std + self.mean
        mag, error, step = expand(features, np.repeat(median, lengths))
        step[indptr[:-1][lengths > 0]] = 0.0
        reached = np.cumsum(np.nan_to_num(step))
        begin = np.repeat(np.append(reached, 0.0)[indptr[:-1]], lengths)
        return DecodedCurves(indptr, reached - begin, step, mag, error)
