"""Sources of a field: their classes, positions, magnitudes and physical properties."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from astromodal.config.inputs import SimulateSettings
from astromodal.simulate.extragalactic import (
    GalaxyLight,
    QuasarLight,
    angular_distance,
    comoving_distance,
)
from astromodal.simulate.spectra import SPEED_OF_LIGHT_KMS


def stream(seed: int, field: str, part: str, *numbers: int) -> np.random.Generator:
    """Return the random generator of one part of one field.

    Every part of every field has its own, so that a change of one part never changes another.

    Parameters
    ----------
    seed : int
        Seed of the sky.
    field, part : str
        The field's name, and what is sampled ("sources", "cutouts", ...).
    *numbers : int
        Numbers of a piece of the part, such as the first row of a row group.

    Returns
    -------
    numpy.random.Generator
        A PCG64 generator: the same arguments give the same numbers on any machine.
    """
    text = "|".join([str(seed), field, part, *map(str, numbers)])
    return np.random.Generator(np.random.PCG64(int(hashlib.sha256(text.encode()).hexdigest(), 16)))


THIN, THICK, HALO = 0, 1, 2
_SHARES = (0.58, 0.25, 0.17)
_METALLICITY = (np.array([-0.12, -0.6, -1.5]), np.array([0.20, 0.25, 0.45]))
"""Mean and spread of [M/H] (dex) of thin disc, thick disc and halo."""

_SPREAD = np.array([32.0, 60.0, 140.0])
_DRIFT = np.array([-12.0, -50.0, -210.0])
"""Velocity spread and asymmetric drift (km/s), about as in Bland-Hawthorn & Gerhard 2016."""


class Atmosphere(NamedTuple):
    """Effective temperature (K), gravity (dex of cm/s²) and [M/H] (dex) of stars, (n,) each."""

    teff: np.ndarray
    logg: np.ndarray
    metallicity: np.ndarray


def sample_stars(
    r_mag: np.ndarray, reddening: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Sample a star for every magnitude.

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
    dwarfs = Atmosphere(*_dwarfs(population, r_mag, rng), metallicity)
    stars = _evolved(population, dwarfs, r_mag, rng)
    distance = 10 ** ((r_mag - 2.31 * reddening - absolute_magnitude(stars)) / 5 + 1)
    return stars._asdict() | {"distance": distance} | _motions(population, distance, rng)


def _dwarfs(
    population: np.ndarray, r_mag: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample temperatures and gravities on the main sequence.

    A magnitude-limited sample has many turn-off stars, which are seen to large distances. The share
    of red dwarfs rises towards faint magnitudes.
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
    dwarfs: Atmosphere,
    r_mag: np.ndarray,
    rng: np.random.Generator,
) -> Atmosphere:
    """Turn some dwarfs into giants, blue horizontal-branch stars of the halo and white dwarfs."""
    n = len(r_mag)
    teff, logg, metallicity = dwarfs
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
    return Atmosphere(teff, logg, np.where(white, 0.0, metallicity))


def absolute_magnitude(stars: Atmosphere) -> np.ndarray:
    """Return the absolute r magnitude (AB) of stars, (n,).

    From radius and temperature, ``M_bol = 4.75 + 2.5 (log g - 4.44) - 10 log10(Teff / 5772)
    - 2.5 log10(mass)``, and a bolometric correction through values typical of r. Masses follow
    the main sequence; giants have 0.8, white dwarfs 0.6 solar masses; poor dwarfs are fainter.
    """
    teff, logg, metallicity = stars
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
    """Sample proper motions, and radial velocities over c, from each population's velocities."""
    n = len(population)
    spread, drift = _SPREAD[population], _DRIFT[population]
    per_kms = 1000.0 / (4.74047 * distance)  # mas/yr per km/s
    # The drift has the same direction on the sky in all fields.
    return {
        "pmra": (rng.standard_normal(n) * spread - 0.4 * drift) * per_kms,
        "pmdec": (rng.standard_normal(n) * spread + 0.8 * drift) * per_kms,
        "redshift": (rng.standard_normal(n) * spread + 0.3 * drift) / SPEED_OF_LIGHT_KMS,
    }


ARCSEC = 206_264.8
"""Arcsec per radian."""


def galaxy_redshifts(r_mag: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sample redshifts whose median grows from 0.04 at r = 15 to about 0.45 at r = 22."""
    scale = 0.034 * 10 ** (0.155 * (r_mag - 14.5))
    return np.clip(scale * rng.gamma(3.2, 1 / 2.9, len(r_mag)), 0.003, 1.25)


def quasar_redshifts(n: int, rng: np.random.Generator) -> np.ndarray:
    """Sample redshifts of quasars: most between 1 and 2.5, a few beyond 4."""
    return np.clip(0.15 + rng.gamma(3.0, 0.52, n), 0.15, 5.0)


def luminosity(r_mag: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return absolute r magnitudes, (n,), with the rough K correction 0.8 z."""
    distance = comoving_distance(redshift) * (1 + redshift)  # luminosity distance (Mpc)
    return r_mag - 25 - 5 * np.log10(distance) - 0.8 * redshift


def sample_galaxies(
    absolute: np.ndarray, rng: np.random.Generator
) -> tuple[GalaxyLight, np.ndarray]:
    """Sample stars, gas and dust of galaxies; luminous ones are more often red and metal-rich.

    Parameters
    ----------
    absolute : ndarray of shape (n,)
        Absolute r magnitudes.

    Returns
    -------
    GalaxyLight, ndarray of shape (n,)
        Parameters of their spectra, and the share of the r light in the bulge.
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
    """Sample sizes that follow luminosity (about as in Shen et al. 2003) and random orientations.

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


def sample_quasars(n: int, rng: np.random.Generator) -> QuasarLight:
    """Sample slopes, lines, dust and lines of sight of n quasars."""
    return QuasarLight(
        slope=rng.normal(-0.5, 0.22, n),
        lines=rng.lognormal(0, 0.35, n),
        speed=rng.uniform(0, 1, n),
        dust=np.clip(rng.exponential(0.02, n), 0, 0.25),
        sightline=rng.uniform(0, 1, n),
    )


STAR, GALAXY, QUASAR = 0, 1, 2
CLASSES = ("STAR", "GALAXY", "QSO")
SHARES = (0.61, 0.33, 0.06)
"""Shares of stars, galaxies and quasars at high latitude; of quasars, three times the sky's."""

FIELD_SIZE = 1.4
"""Side of a field (degree)."""


@dataclass(frozen=True)
class Sources:
    """True properties of the n sources of a field; arrays are float64 (n,) unless stated.

    Properties that a source's class does not have are NaN.

    Attributes
    ----------
    kind : ndarray of int
        `STAR`, `GALAXY` or `QUASAR`.
    ra, dec : ndarray
        Position (ICRS, degree).
    r_mag : ndarray
        r magnitude (AB) without noise.
    redshift : ndarray
        Redshift; of stars, radial velocity over the speed of light.
    distance : ndarray
        Distance of stars, comoving distance of the others (pc).
    teff, logg, metallicity : ndarray
        Atmosphere of stars (K, dex of cm/s², dex); metallicity of galaxies too.
    pmra, pmdec : ndarray
        Proper motion (mas/yr); 0 beyond the Galaxy.
    shape : dict of ndarray
        Of galaxies: ``radius`` (half-light radius of the disc along the major axis, arcsec),
        ``axis_ratio``, ``angle`` (degree, from x to y), ``bulge`` (share of the r light).
    galaxy, quasar : GalaxyLight, QuasarLight
        Parameters of spectra, sampled for every row and used for rows of that class.
    reddening : float
        E(B-V) of our Galaxy in this field (mag).
    """

    kind: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    r_mag: np.ndarray
    redshift: np.ndarray
    distance: np.ndarray
    teff: np.ndarray
    logg: np.ndarray
    metallicity: np.ndarray
    pmra: np.ndarray
    pmdec: np.ndarray
    shape: dict[str, np.ndarray]
    galaxy: GalaxyLight
    quasar: QuasarLight
    reddening: float

    def __len__(self) -> int:
        return len(self.kind)


def field_centre(field: str) -> tuple[float, float]:
    """Choose a field's centre: 30 degrees or more from the Galactic plane, declination -65 to 0.

    Returns
    -------
    (float, float)
        Right ascension and declination (ICRS, degree), a function of the name alone.
    """
    digest = hashlib.sha256(f"centre of {field}".encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    pole_ra, pole_dec = np.radians([192.85948, 27.12825])  # north Galactic pole (J2000)
    while True:
        ra = rng.uniform(0.0, 2 * np.pi)
        dec = np.arcsin(rng.uniform(np.sin(np.radians(-65.0)), 0.0))
        sin_b = np.sin(dec) * np.sin(pole_dec) + np.cos(dec) * np.cos(pole_dec) * np.cos(
            ra - pole_ra
        )
        if abs(sin_b) > 0.5:
            return float(np.degrees(ra)), float(np.degrees(dec))


def sample_sources(settings: SimulateSettings, field: str) -> Sources:
    """Sample the sources of a field, in a random order."""
    own = settings.fields[field]
    n = own.n_sources or settings.n_sources
    rng = stream(settings.seed, field, "sources")
    kind = rng.choice(3, size=n, p=SHARES)
    r_mag = _magnitudes(kind, rng)
    ra, dec = _positions(n, own.ra, own.dec, field, rng)
    reddening = float(rng.uniform(0.015, 0.09))
    # All classes' parameters are sampled for every row: the number of one class changes no other.
    star, galaxy = kind == STAR, kind == GALAXY
    stars = sample_stars(r_mag, reddening, rng)
    beyond = np.where(galaxy, galaxy_redshifts(r_mag, rng), quasar_redshifts(n, rng))
    absolute = luminosity(r_mag, beyond)
    light, bulge = sample_galaxies(absolute, rng)
    shape = galaxy_shapes(absolute, beyond, bulge, rng) | {"bulge": bulge}
    metallicity = np.where(galaxy, light.metallicity, np.nan)
    return Sources(
        kind=kind,
        ra=ra,
        dec=dec,
        r_mag=r_mag,
        redshift=np.where(star, stars["redshift"], beyond),
        distance=np.where(star, stars["distance"], comoving_distance(beyond) * 1e6),
        teff=np.where(star, stars["teff"], np.nan),
        logg=np.where(star, stars["logg"], np.nan),
        metallicity=np.where(star, stars["metallicity"], metallicity),
        pmra=np.where(star, stars["pmra"], 0.0),
        pmdec=np.where(star, stars["pmdec"], 0.0),
        shape={name: np.where(galaxy, values, np.nan) for name, values in shape.items()},
        galaxy=light,
        quasar=sample_quasars(n, rng),
        reddening=reddening,
    )


def _positions(
    n: int, ra: float | None, dec: float | None, field: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample positions evenly over a square; right ascension wraps through 0."""
    centre = field_centre(field)
    dec = centre[1] if dec is None else dec
    widen = FIELD_SIZE / max(np.cos(np.radians(dec)), 0.01)
    north = np.clip(dec + rng.uniform(-0.5, 0.5, n) * FIELD_SIZE, -90.0, 90.0)
    east = (centre[0] if ra is None else ra) + rng.uniform(-0.5, 0.5, n) * widen
    return east % 360.0, north


def _magnitudes(kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sample magnitudes whose counts rise as 10^(slope m), for galaxies close to Euclidean 0.6."""
    slope = np.array([0.12, 0.34, 0.38])[kind]
    bright = np.array([13.2, 14.0, 16.0])[kind]
    # Completeness falls near 21.3; a few sources are fainter, beyond any sensible cut.
    deep = rng.uniform(size=len(kind)) < 0.08
    faint = np.where(deep, 22.6, np.array([21.1, 21.4, 21.6])[kind])
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.log10(low + rng.uniform(size=len(kind)) * (high - low)) / slope
