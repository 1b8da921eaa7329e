"""Rest-frame spectra on one logarithmic grid, and their shift to observed wavelengths."""

from __future__ import annotations

import numpy as np

from astromodal.simulate.cosmology import SPEED_OF_LIGHT_KMS

STEP = 1e-4
"""Step of the natural logarithm of wavelength: 30 km/s."""

REST_GRID = np.exp(np.arange(np.log(500.0), np.log(26000.0), STEP))
"""Rest wavelengths (Angstrom) that templates are tabulated on."""

_FIRST = float(np.log(REST_GRID[0]))


def rest_positions(wave: np.ndarray, redshift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where on `REST_GRID` the rest wavelengths lie that redshifted sources show.

    Parameters
    ----------
    wave : ndarray of shape (L,)
        Observed wavelengths (Angstrom).
    redshift : ndarray of shape (n,)
        Redshifts.

    Returns
    -------
    index : ndarray of int32, shape (n, L)
        The grid point below; the grid's ends stand for what lies beyond them.
    weight : ndarray of shape (n, L)
        Weight of the grid point above, 0 to 1.
    """
    place = (np.log(wave)[None, :] - np.log1p(redshift)[:, None] - _FIRST) / STEP
    place = np.clip(place, 0.0, len(REST_GRID) - 1.001)
    index = place.astype(np.int32)
    return index, place - index


def gather(template: np.ndarray, index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Interpolate `template` at positions of `rest_positions`."""
    lower = template[index]
    return lower + (template[index + 1] - lower) * weight


def lines(centres: np.ndarray, heights: np.ndarray, sigmas: np.ndarray | float) -> np.ndarray:
    """Sum of Gaussian lines on the rest grid, (len(REST_GRID),).

    Parameters
    ----------
    centres, heights : ndarray of shape (k,)
        Wavelengths (Angstrom) and peaks.
    sigmas : ndarray of shape (k,), or float
        Widths (Angstrom).
    """
    out = np.zeros(len(REST_GRID))
    widths = np.broadcast_to(sigmas, np.shape(centres))
    for centre, height, width in zip(centres, heights, widths, strict=True):
        first, last = np.searchsorted(REST_GRID, [centre - 6 * width, centre + 6 * width])
        out[first:last] += height * np.exp(-0.5 * ((REST_GRID[first:last] - centre) / width) ** 2)
    return out


def wings(centres: np.ndarray, depths: np.ndarray, gamma: float) -> np.ndarray:
    """Sum of pressure-broadened lines on the rest grid, (len(REST_GRID),).

    Their profile falls like a Lorentzian's of half width `gamma` (Angstrom), a little faster, and
    ends at 40 half widths.
    """
    out = np.zeros(len(REST_GRID))
    for centre, depth in zip(centres, depths, strict=True):
        first, last = np.searchsorted(REST_GRID, [centre - 40 * gamma, centre + 40 * gamma])
        distance = (REST_GRID[first:last] - centre) / gamma
        taper = np.clip(1 - np.abs(distance) / 40, 0, 1)
        out[first:last] += depth * taper / (1 + distance**2) ** 1.2
    return out


def smooth(template: np.ndarray, velocity: float) -> np.ndarray:
    """Convolve a template with a Gaussian of `velocity` (km/s, one sigma)."""
    sigma = velocity / SPEED_OF_LIGHT_KMS / STEP
    reach = int(4 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(template, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def black_body(wave: np.ndarray, temperature: np.ndarray | float) -> np.ndarray:
    """Planck's law per wavelength, 1 at 5500 Angstrom; the shapes broadcast."""
    hc_over_k = 1.438776877e8  # Angstrom K
    at = np.minimum(hc_over_k / (wave * temperature), 500.0)
    norm = np.expm1(np.minimum(hc_over_k / (5500.0 * np.asarray(temperature)), 500.0))
    return (5500.0 / wave) ** 5 * norm / np.expm1(at)
