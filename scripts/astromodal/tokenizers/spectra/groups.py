"""What differs between groups of spectra and of light curves, for code that serves both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.surveys.grids import is_light_curve
from astromodal.tokenizers.light_curves import features as light_curve_features
from astromodal.tokenizers.spectra import features as spectrum_features


def feature_weights(group: str) -> np.ndarray:
    """Standard deviations of a group's standardised features, float64 (D,)."""
    kind = light_curve_features if is_light_curve(group) else spectrum_features
    return kind.FEATURE_WEIGHTS


def n_features(group: str) -> int:
    """Features of one code of a group: D."""
    return len(feature_weights(group))


def scale_to_column(group: str, scale: np.ndarray) -> np.ndarray:
    """Scales as their scalar column holds them.

    Parameters
    ----------
    group : str
        The group.
    scale : float64 (m,)
        Flux scales of spectra, positive; median magnitudes of light curves.

    Returns
    -------
    float64 (m,)
        log10 of a flux; a magnitude, a logarithm itself, as it is; NaN stays NaN.
    """
    return scale if is_light_curve(group) else np.log10(scale)


def scale_from_column(group: str, values: np.ndarray) -> np.ndarray:
    """Undo `scale_to_column`."""
    return values if is_light_curve(group) else 10**values


@dataclass(frozen=True)
class GroupTokens:
    """Codes of one group.

    Attributes
    ----------
    codes : uint16 (sum of lengths,)
        Codes of all objects, one object after another; 65535 where missing.
    indptr : int64 (n + 1,)
        Object i's codes are ``codes[indptr[i]:indptr[i + 1]]``: all bins of a spectrum, the good
        epochs of a light curve, or none where it has no live one of this group.
    scale : uint16 (n,)
        Codes of the scales; 65535 where there is no live spectrum or light curve.
    """

    codes: np.ndarray
    indptr: np.ndarray
    scale: np.ndarray

    @classmethod
    def of_rows(
        cls,
        row: np.ndarray,
        own: np.ndarray,
        codes: np.ndarray,
        lengths: np.ndarray,
        scale: np.ndarray,
    ) -> GroupTokens:
        """Codes of the objects at `row`, of which some are of this group.

        Parameters
        ----------
        row : int32 (n,)
            Rows of all objects, ascending.
        own : int32 (m,)
            Rows of this group's objects, ascending, all of them in `row`.
        codes : uint16 (sum of lengths,)
            Their codes, one object after another.
        lengths : int64 (m,)
            Number of codes of each.
        scale : uint16 (m,)
            Their scales' codes.
        """
        place = np.searchsorted(row, own)
        every = np.zeros(len(row), dtype=np.int64)
        every[place] = lengths
        scales = np.full(len(row), MISSING_CODE, dtype=np.uint16)
        scales[place] = scale
        return cls(codes, np.concatenate([[0], np.cumsum(every)]).astype(np.int64), scales)
