"""Random streams: every part of every field draws from its own, so that one never moves another."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, field: str, part: str, *numbers: int) -> np.random.Generator:
    """Random generator of one part of one field.

    Parameters
    ----------
    seed : int
        Seed of the sky.
    field, part : str
        The field's name, and what is drawn ("sources", "cutouts", ...).
    *numbers : int
        Tells apart pieces of a part, such as the first row of a row group.

    Returns
    -------
    numpy.random.Generator
        A PCG64 generator: the same arguments give the same draws on any machine.
    """
    text = "|".join([str(seed), field, part, *map(str, numbers)])
    return np.random.Generator(np.random.PCG64(int(hashlib.sha256(text.encode()).hexdigest(), 16)))
