"""What is known of sources: their classes, and which of their redshifts are distances."""

from __future__ import annotations

import numpy as np

from astromodal.config.evaluate import LabelSettings
from astromodal.data.cube import Cube
from astromodal.data.missing import base_class


def read_kinds(cube: Cube, labels: LabelSettings) -> np.ndarray:
    """Class of every row of a cube, without what stands in brackets.

    Returns
    -------
    unicode (n,)
        Empty where it is missing or unreliable, or there is no such column.

    Raises
    ------
    DataError
        Where the column holds no text.
    """
    if labels.kind is None:
        return np.full(cube.n_rows, "", dtype="U1")
    return base_class(cube.text(labels.kind))


def has_class(kinds: np.ndarray, labels: LabelSettings) -> np.ndarray:
    """Which of some classes, unicode (n,), say what a source is, bool (n,)."""
    return (kinds != "") & ~np.isin(kinds, labels.unclear)


def cosmological(redshifts: np.ndarray, kinds: np.ndarray, labels: LabelSettings) -> np.ndarray:
    """Redshifts that tell a distance.

    Parameters
    ----------
    redshifts : float64 (n,)
        Spectroscopic redshifts.
    kinds : unicode (n,)
        What `read_kinds` gives. A source without a class keeps its redshift.
    labels : LabelSettings
        Classes of stars, whose redshift is a velocity, and classes that say nothing.

    Returns
    -------
    float64 (n,)
        NaN where a redshift is none, or at most -1.
    """
    meant = (redshifts > -1) & ~np.isin(kinds, (*labels.stars, *labels.unclear))
    return np.where(meant, redshifts, np.nan)
