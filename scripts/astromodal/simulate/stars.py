"""Stars of three populations: atmospheres, absolute magnitudes, distances and motions."""

from __future__ import annotations

import numpy as np

from astromodal.simulate.cosmology import SPEED_OF_LIGHT_KMS

THIN, THICK, HALO = 0, 1, 2
_SHARES = (0.58, 0.25, 0.17)
_METALLICITY = (np.array([-0.12, -0.6, -1.5]), np.array([0.20, 0.25, 0.45]))
"""Mean and spread of [M/H] (dex) of thin disc, thick disc and halo."""

_SPREAD = np.array([32.0, 60.0, 140.0])
_DRIFT = np.array([-12.0, -50.0, -210.0])
"""Velocity spread and asymmetric drift (km/s), about as in Bland-Hawthorn & Gerhard 2016."""


def draw_stars(
    r_mag: np.ndarray, reddening: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw a star for every magnitude.

    Parameters
    ----------
    r_mag : ndarray of shape (n,)
        r magnitudes (AB).
    reddening : float
        E(B-V) between the stars and us (mag).

    Returns
    -------
    dict of ndarray of shape (n,)
        ``teff`` (K), ``logg``, ``metallicity`` (dex), ``distance`` (pc), ``pmra``, ``pmdec``
        (mas/yr) and ``redshift`` (radial velocity over the speed of light).
    """
    population = rng.choice(3, size=len(r_mag), p=_SHARES)
    mean, spread = _METALLICITY
    metallicity = mean[population] + spread[population] * rng.standard_normal(len(r_mag))
    metallicity = np.clip(metallicity, -3.5, 0.5)
    teff, logg, metallicity = _evolved(
        population, *_dwarfs(population, r_mag, rng), metallicity, r_mag, rng
    )
    absolute = absolute_magnitude(teff, logg, metallicity)
    distance = 10 ** ((r_mag - 2.31 * reddening - absolute) / 5 + 1)
    atmosphere = {"teff": teff, "logg": logg, "metallicity": metallicity, "distance": distance}
    return atmosphere | _motions(population, distance, rng)


def _dwarfs(
    population: np.ndarray, r_mag: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Temperature and gravity on the main sequence.

    Turn-off stars are seen far away, so they are common for their numbers; the fainter the
    magnitude, the more of what is seen are red dwarfs.
    """
    n = len(r_mag)
    cool = np.clip(0.30 + 0.06 * (r_mag - 17), 0.15, 0.60) * np.array([1.0, 0.8, 0.45])[population]
    turn_off = np.array([5900.0, 5750.0, 6250.0])[population]
    warm = turn_off - np.abs(rng.standard_normal(n)) * 650 + rng.standard_normal(n) * 180
    teff = np.where(rng.uniform(size=n) < cool, rng.uniform(2950, 4300, n), warm)
    young = (population == THIN) & (rng.uniform(size=n) < 0.06)
    teff = np.where(young, rng.uniform(6500, 9500, n), teff)
    known = [3000, 3600, 4300, 5200, 6000, 7500, 9500]
    logg = np.interp(teff, known, [5.05, 4.85, 4.65, 4.55, 4.3, 4.15, 4.0])
    return teff, logg + rng.standard_normal(n) * 0.05


def _evolved(
    population: np.ndarray,
    teff: np.ndarray,
    logg: np.ndarray,
    metallicity: np.ndarray,
    r_mag: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn some dwarfs into giants, blue horizontal-branch stars of the halo and white dwarfs."""
    n = len(r_mag)
    giant = rng.uniform(size=n) < np.clip(0.14 - 0.035 * (r_mag - 14), 0.0, 0.14)
    gravity = rng.uniform(0.9, 3.4, n)
    branch = 3900 + 420 * gravity - 160 * (metallicity + 0.5) + 70 * rng.standard_normal(n)
    teff, logg = np.where(giant, branch, teff), np.where(giant, gravity, logg)
    blue = (population == HALO) & (rng.uniform(size=n) < np.clip(0.1 - 0.02 * (r_mag - 15), 0, 0.1))
    teff = np.where(blue, rng.uniform(7500, 12000, n), teff)
    logg = np.where(blue, rng.normal(3.3, 0.15, n), logg)
    white = rng.uniform(size=n) < np.clip(0.012 * (r_mag - 15), 0, 0.05)
    hot = np.exp(rng.uniform(np.log(6500), np.log(32000), n))
    teff, logg = np.where(white, hot, teff), np.where(white, rng.normal(8.0, 0.15, n), logg)
    return teff, logg, np.where(white, 0.0, metallicity)


def absolute_magnitude(teff: np.ndarray, logg: np.ndarray, metallicity: np.ndarray) -> np.ndarray:
    """Absolute r magnitude (AB) of stars, (n,).

    From radius and temperature, ``M_bol = 4.75 + 2.5 (log g - 4.44) - 10 log10(Teff / 5772)
    - 2.5 log10(mass)``, and a bolometric correction through values typical of r. Masses follow
    the main sequence; giants have 0.8, white dwarfs 0.6 solar masses; poor dwarfs are fainter.
    """
    known = [3000, 3600, 4300, 5200, 5800, 7500, 9500]
    mass = np.interp(teff, known, [0.12, 0.4, 0.65, 0.85, 1.0, 1.6, 2.1])
    mass = np.where(logg < 3.6, 0.8, np.where(logg > 6, 0.6, mass))
    bolometric = 4.75 + 2.5 * (logg - 4.44) - 10 * np.log10(teff / 5772) - 2.5 * np.log10(mass)
    known = [2900, 3300, 3700, 4300, 5200, 6000, 7500, 10000, 15000, 32000]
    correction = [-2.9, -1.6, -0.95, -0.35, -0.02, 0.10, 0.12, -0.15, -1.0, -2.9]
    dwarf = (logg > 3.6) & (logg < 6)
    subdwarf = np.where(dwarf, -0.35 * np.minimum(metallicity, 0.0), 0.0)
    return bolometric - np.interp(teff, known, correction) + subdwarf


def _motions(
    population: np.ndarray, distance: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Proper motions and radial velocities over c, from each population's velocities."""
    n = len(population)
    spread, drift = _SPREAD[population], _DRIFT[population]
    per_kms = 1000.0 / (4.74047 * distance)  # mas/yr a km/s
    # The drift's direction on the sky is kept the same everywhere: fields need no position here.
    return {
        "pmra": (rng.standard_normal(n) * spread - 0.4 * drift) * per_kms,
        "pmdec": (rng.standard_normal(n) * spread + 0.8 * drift) * per_kms,
        "redshift": (rng.standard_normal(n) * spread + 0.3 * drift) / SPEED_OF_LIGHT_KMS,
    }
