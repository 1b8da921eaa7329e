"""The spectrum of every source of a field, and its flux in every band: one from the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.simulate.extragalactic import bulge_spectrum, disc_spectrum, quasar_spectrum
from astromodal.simulate.passbands import BAND_NAMES, PHOTOMETRIC_GRID, ab_flux
from astromodal.simulate.sources import GALAXY, QUASAR, STAR, Sources
from astromodal.simulate.stellar import star_spectrum

ROWS = 256
"""Sources whose spectra are held at a time."""


@dataclass(frozen=True)
class Light:
    """Fluxes of a field's sources without noise.

    Attributes
    ----------
    flux : ndarray of shape (n, bands)
        In units of AB magnitude 0, a column a name of `BAND_NAMES`.
    extended : ndarray of shape (n, bands)
        The part of `flux` that comes from the discs of galaxies.
    scale : ndarray of shape (n, 2)
        Factors that bring the two components of `components` to 1e-17 erg/s/cm²/Angstrom.
    """

    flux: np.ndarray
    extended: np.ndarray
    scale: np.ndarray


def galactic_extinction(wave: np.ndarray, reddening: float) -> np.ndarray:
    """Transmission of our Galaxy's dust, (L,): A = 2.742 E(B-V) (wavelength / 5500)^-1.25.

    A power law through the coefficients of Schlafly & Finkbeiner 2011 for R_V = 3.1.
    """
    return 10 ** (-0.4 * 2.742 * reddening * (wave / 5500.0) ** -1.25)


def components(sources: Sources, rows: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Compact and extended component of sources before normalisation, (m, 2, L)."""
    out = np.zeros((len(rows), 2, len(wave)))
    star, galaxy, quasar = (
        np.flatnonzero(sources.kind[rows] == kind) for kind in (STAR, GALAXY, QUASAR)
    )
    if len(star):
        at = rows[star]
        atmosphere = (sources.teff[at], sources.logg[at], sources.metallicity[at])
        out[star, 0] = star_spectrum(*atmosphere, wave, sources.redshift[at])
    if len(galaxy):
        at = rows[galaxy]
        light, redshift = sources.galaxy.take(at), sources.redshift[at]
        out[galaxy, 0] = bulge_spectrum(light.metallicity, wave, redshift)
        out[galaxy, 1] = disc_spectrum(light, wave, redshift)
    if len(quasar):
        at = rows[quasar]
        out[quasar, 0] = quasar_spectrum(sources.quasar.take(at), wave, sources.redshift[at])
    return out * galactic_extinction(wave, sources.reddening)


def integrate_light(sources: Sources) -> Light:
    """Normalise every source to its r magnitude and integrate it through all bands."""
    n, r_band = len(sources), BAND_NAMES.index("r")
    flux = np.zeros((n, 2, len(BAND_NAMES)))
    for start in range(0, n, ROWS):
        rows = np.arange(start, min(start + ROWS, n))
        spectra = components(sources, rows, PHOTOMETRIC_GRID)
        flux[rows] = ab_flux(spectra.reshape(2 * len(rows), -1)).reshape(len(rows), 2, -1)
    bulge = np.where(sources.kind == GALAXY, sources.shape["bulge"], 1.0)
    share = np.stack([bulge, 1 - bulge], axis=1)  # (n, 2)
    seen = np.maximum(flux[:, :, r_band], 1e-300)
    scale = np.where(share > 0, share * 10 ** (-0.4 * sources.r_mag)[:, None] / seen, 0.0)
    scale = np.where(flux[:, :, r_band] > 0, scale, 0.0)
    flux *= scale[:, :, None]
    return Light(flux.sum(axis=1), flux[:, 1], scale)


def spectra(sources: Sources, light: Light, rows: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Spectra of sources (m, L) at `wave` (Angstrom), in 1e-17 erg/s/cm²/Angstrom."""
    parts = components(sources, rows, wave)
    return np.einsum("mcl,mc->ml", parts, light.scale[rows])
