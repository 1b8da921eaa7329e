"""Whether an object is recognised by its scalars alone, among all other objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from astromodal.evaluation.metrics import measure_fraction
from astromodal.evaluation.report.section import Measurement

TEN_OF = 10 / 5000
"""Part of the objects among which one is looked for."""
_AT_ONCE = 256


@dataclass(frozen=True)
class Recognition:
    """How many objects are near themselves if embedded from their scalars alone.

    Attributes
    ----------
    nearest, of : int
        Number of nearest objects among which an object is looked for, and number of all objects.
    share : Measurement
        Fraction of the objects with more than scalars that are among these.
    """

    nearest: int
    of: int
    share: Measurement


def recognise(points: np.ndarray, alone: np.ndarray) -> Recognition | None:
    """Look for objects among the nearest to their embeddings from scalars alone.

    Parameters
    ----------
    points : float (n, C)
        Embeddings from everything, in the space in which objects are compared.
    alone : float (n, C)
        Those from the scalars alone; NaN of objects that are not looked for.

    Returns
    -------
    Recognition or None
        Among as many nearest as ten of 5,000 objects are; None where no object is looked for.
    """
    own = np.flatnonzero(np.isfinite(alone).all(axis=1))
    if not len(own):
        return None
    nearest = max(1, round(len(points) * TEN_OF))
    hits = np.empty(len(own), dtype=bool)
    for begin in range(0, len(own), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        distance = cdist(alone[own[part]], points)
        itself = np.take_along_axis(distance, own[part, None], axis=1)
        hits[part] = (distance < itself).sum(axis=1) < nearest
    return Recognition(nearest, len(points), measure_fraction(hits))
