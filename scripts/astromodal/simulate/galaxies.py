"""Galaxies and quasars: redshifts, light and sizes."""

from __future__ import annotations

import numpy as np

from astromodal.simulate.cosmology import angular_distance, comoving_distance
from astromodal.simulate.extragalactic import GalaxyLight, QuasarLight

ARCSEC = 206_264.8
"""Arcsec a radian."""


def galaxy_redshifts(r_mag: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Redshifts whose median grows from 0.04 at r = 15 to about 0.45 at r = 22."""
    scale = 0.034 * 10 ** (0.155 * (r_mag - 14.5))
    return np.clip(scale * rng.gamma(3.2, 1 / 2.9, len(r_mag)), 0.003, 1.25)


def quasar_redshifts(n: int, rng: np.random.Generator) -> np.ndarray:
    """Redshifts of quasars: most between 1 and 2.5, a few beyond 4."""
    return np.clip(0.15 + rng.gamma(3.0, 0.52, n), 0.15, 5.0)


def luminosity(r_mag: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Absolute r magnitude with the rough correction 0.8 z for the band's shift, (n,)."""
    distance = comoving_distance(redshift) * (1 + redshift)  # luminosity distance (Mpc)
    return r_mag - 25 - 5 * np.log10(distance) - 0.8 * redshift


def draw_galaxies(absolute: np.ndarray, rng: np.random.Generator) -> tuple[GalaxyLight, np.ndarray]:
    """Stars, gas and dust of galaxies: luminous ones are more often red, dead and metal-rich.

    Parameters
    ----------
    absolute : ndarray of shape (n,)
        Absolute r magnitudes.

    Returns
    -------
    GalaxyLight, ndarray of shape (n,)
        What their spectra are made of, and the share of the r light in the bulge.
    """
    n = len(absolute)
    luminous = np.clip((-20.3 - absolute) / 2.0, -1.5, 1.5)
    dead = rng.uniform(size=n) < 0.38 + 0.18 * luminous
    forming = np.clip(rng.lognormal(-1.35, 0.65, n), 0.02, 0.75)
    young = np.where(dead, rng.uniform(0, 0.015, n), forming)
    middle = np.where(dead, rng.uniform(0, 0.08, n), rng.uniform(0.05, 0.45, n)) * (1 - young)
    bulge = np.where(dead, rng.uniform(0.45, 1.0, n), rng.beta(1.2, 4.0, n))
    light = GalaxyLight(
        metallicity=np.clip(-0.15 + 0.25 * luminous + rng.normal(0, 0.15, n), -1.0, 0.35),
        young=young,
        middle=middle,
        dust=np.where(dead, rng.uniform(0, 0.06, n), np.clip(rng.gamma(2.0, 0.09, n), 0, 0.6)),
        gas=np.where(dead, rng.exponential(0.02, n), 7.0 * young * rng.lognormal(0, 0.45, n)),
    )
    return light, bulge


def galaxy_shapes(
    absolute: np.ndarray, redshift: np.ndarray, bulge: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Sizes that follow luminosity (about as in Shen et al. 2003), and random orientations.

    Returns
    -------
    dict of ndarray of shape (n,)
        ``radius`` (half-light radius of the disc, arcsec), ``axis_ratio``, ``angle`` (degree).
    """
    n = len(absolute)
    kiloparsec = 5.5 * 10 ** (-0.13 * (absolute + 20.8)) * rng.lognormal(0, 0.30, n)
    arcsec = kiloparsec / (angular_distance(redshift) * 1e3) * ARCSEC
    flat = np.where(bulge > 0.45, rng.uniform(0.55, 1.0, n), rng.uniform(0.18, 1.0, n))
    return {
        "radius": np.clip(arcsec, 0.25, 11.0),
        "axis_ratio": flat,
        "angle": rng.uniform(-90, 90, n),
    }


def draw_quasars(n: int, rng: np.random.Generator) -> QuasarLight:
    """Slopes, lines, dust and lines of sight of n quasars."""
    return QuasarLight(
        slope=rng.normal(-0.5, 0.22, n),
        lines=rng.lognormal(0, 0.35, n),
        speed=rng.uniform(0, 1, n),
        dust=np.clip(rng.exponential(0.02, n), 0, 0.25),
        sightline=rng.uniform(0, 1, n),
    )
