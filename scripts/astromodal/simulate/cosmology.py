"""Distances in a flat universe of matter and a cosmological constant."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SPEED_OF_LIGHT_KMS = 299_792.458
"""km/s."""

HUBBLE = 70.0
"""km/s/Mpc."""

MATTER = 0.3
"""Density of matter over the critical density."""


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0.0, 8.0, 8001)
    rate = SPEED_OF_LIGHT_KMS / HUBBLE / np.sqrt(MATTER * (1 + z) ** 3 + 1 - MATTER)
    middle = (rate[1:] + rate[:-1]) / 2 * np.diff(z)
    return z, np.concatenate([[0.0], np.cumsum(middle)])


def comoving_distance(redshift: np.ndarray) -> np.ndarray:
    """Comoving distance (Mpc) of redshifts up to 8."""
    return np.interp(redshift, *_table())


def angular_distance(redshift: np.ndarray) -> np.ndarray:
    """Angular diameter distance (Mpc)."""
    return comoving_distance(redshift) / (1 + redshift)
