"""What differs between groups of spectra and of light curves, for code that serves both."""

from __future__ import annotations

import numpy as np

from astromodal.core.grids import is_light_curve
from astromodal.tokenizers import light_curve_features, spectrum_features


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
