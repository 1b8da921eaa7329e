"""The sources of a field: what they are, where they are, and how bright."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from astromodal.config.simulate import SimulateSettings
from astromodal.simulate.cosmology import comoving_distance
from astromodal.simulate.extragalactic import GalaxyLight, QuasarLight
from astromodal.simulate.galaxies import (
    draw_galaxies,
    draw_quasars,
    galaxy_redshifts,
    galaxy_shapes,
    luminosity,
    quasar_redshifts,
)
from astromodal.simulate.stars import draw_stars
from astromodal.simulate.streams import stream

STAR, GALAXY, QUASAR = 0, 1, 2
CLASSES = ("STAR", "GALAXY", "QSO")
SHARES = (0.61, 0.33, 0.06)
"""Stars, galaxies and quasars of a high-latitude field; quasars are three times too common."""

FIELD_SIZE = 1.4
"""Side of a field (degree)."""


@dataclass(frozen=True)
class Sources:
    """The truth about the n sources of a field; each array is float64 (n,) unless said.

    What does not apply to a source's class is NaN.

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
        What spectra are made of; drawn for every row, and used where the class is theirs.
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
    """A place for a field that has none: 30 degrees or more from the Galactic plane, dec -65 to 0.

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


def draw_sources(settings: SimulateSettings, field: str) -> Sources:
    """Draw the sources of a field, in a random order."""
    own = settings.fields[field]
    n = own.n_sources or settings.n_sources
    rng = stream(settings.seed, field, "sources")
    kind = rng.choice(3, size=n, p=SHARES)
    r_mag = _magnitudes(kind, rng)
    ra, dec = _positions(n, own.ra, own.dec, field, rng)
    reddening = float(rng.uniform(0.015, 0.09))
    # Every row draws all classes' parameters and keeps its own: no class's number moves another's.
    star, galaxy = kind == STAR, kind == GALAXY
    stars = draw_stars(r_mag, reddening, rng)
    beyond = np.where(galaxy, galaxy_redshifts(r_mag, rng), quasar_redshifts(n, rng))
    absolute = luminosity(r_mag, beyond)
    light, bulge = draw_galaxies(absolute, rng)
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
        quasar=draw_quasars(n, rng),
        reddening=reddening,
    )


def _positions(
    n: int, ra: float | None, dec: float | None, field: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions spread evenly over a square; right ascension wraps through 0."""
    centre = field_centre(field)
    dec = centre[1] if dec is None else dec
    widen = FIELD_SIZE / max(np.cos(np.radians(dec)), 0.01)
    north = np.clip(dec + rng.uniform(-0.5, 0.5, n) * FIELD_SIZE, -90.0, 90.0)
    east = (centre[0] if ra is None else ra) + rng.uniform(-0.5, 0.5, n) * widen
    return east % 360.0, north


def _magnitudes(kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts that rise as 10^(slope m): gently for stars, towards Euclid's 0.6 for galaxies."""
    slope = np.array([0.12, 0.34, 0.38])[kind]
    bright = np.array([13.2, 14.0, 16.0])[kind]
    # Detection fades near 21.3; a few sources are found deeper, beyond any sensible cut.
    deep = rng.uniform(size=len(kind)) < 0.08
    faint = np.where(deep, 22.6, np.array([21.1, 21.4, 21.6])[kind])
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.log10(low + rng.uniform(size=len(kind)) * (high - low)) / slope
