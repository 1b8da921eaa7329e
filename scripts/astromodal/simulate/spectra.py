"""Spectra of stars, and the rest-frame grid that templates of all sources are tabulated on.

All wavelengths are those in vacuum, as in DESI's and Gaia's spectra.

A star is a black body seen through lines, bands and blanketing. The continuum is Planck's; the
opacity is a sum of feature templates whose strengths follow effective temperature, surface gravity
and metallicity as spectral classification describes (Gray & Corbally 2009). Strengths were chosen
by eye to give sensible colours and line depths.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import constants

SPEED_OF_LIGHT_KMS = constants.c / 1000
"""km/s."""

STEP = 1e-4
"""Step of the natural logarithm of wavelength: 30 km/s."""

REST_GRID = np.exp(np.arange(np.log(500.0), np.log(26000.0), STEP))
"""Rest wavelengths (Angstrom) that templates are tabulated on."""

_FIRST = float(np.log(REST_GRID[0]))


def vacuum(air: np.ndarray) -> np.ndarray:
    """Return wavelengths in vacuum of wavelengths in air (Angstrom), (n,).

    The refractive index is that of Ciddor 1996 (Applied Optics 35, 1566) for dry air at 15 °C and
    101.325 kPa with 450 ppm of CO2. It is a function of the wavelength in vacuum, so that the
    inversion is iterated; two steps converge to 1e-6 Angstrom above 2000 Angstrom.
    """
    wave = air
    for _ in range(3):
        squared = (1e4 / wave) ** 2  # wave numbers squared (1/µm²)
        index = 1 + 0.05792105 / (238.0185 - squared) + 0.00167917 / (57.362 - squared)
        wave = air * index
    return wave


def rest_positions(wave: np.ndarray, redshift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions on `REST_GRID` of observed wavelengths, for sources at redshifts.

    Parameters
    ----------
    wave : ndarray of shape (L,)
        Observed wavelengths (Angstrom).
    redshift : ndarray of shape (n,)
        Redshifts.

    Returns
    -------
    index : ndarray of int32, shape (n, L)
        The grid point below; wavelengths beyond the grid take its ends.
    weight : ndarray of shape (n, L)
        Weight of the grid point above, 0 to 1.
    """
    place = (np.log(wave)[None, :] - np.log1p(redshift)[:, None] - _FIRST) / STEP
    place = np.clip(place, 0.0, len(REST_GRID) - 1.001)
    index = place.astype(np.int32)
    return index, place - index


def gather(template: np.ndarray, index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Interpolate `template` at positions returned by `rest_positions`."""
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

    The profile is a Lorentzian of half width `gamma` (Angstrom) with slightly steeper wings, cut at
    40 half widths.
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
    """Planck's law per wavelength, normalised to 1 at 5500 Angstrom; the shapes broadcast."""
    hc_over_k = 1.438776877e8  # Angstrom K
    at = np.minimum(hc_over_k / (wave * temperature), 500.0)
    norm = np.expm1(np.minimum(hc_over_k / (5500.0 * np.asarray(temperature)), 500.0))
    return (5500.0 / wave) ** 5 * norm / np.expm1(at)


BALMER_LIMIT, PASCHEN_LIMIT = 3647.0, 8205.9
"""Limits of hydrogen's series (Angstrom): 4 and 9 over Rydberg's constant of hydrogen."""


def _series(limit: float, lower: int, last: int) -> np.ndarray:
    """Wavelengths of a hydrogen series that starts from level `lower`."""
    upper = np.arange(lower + 1, last + 1)
    return limit / (1 - lower**2 / upper**2)


def _step_below(edge: float, softness: float) -> np.ndarray:
    """Return a smooth step that is 1 below `edge` and 0 above (Angstrom)."""
    return 1 / (1 + np.exp(np.clip((REST_GRID - edge) / softness, -50, 50)))


def _hydrogen(gamma: float) -> np.ndarray:
    """Balmer and Paschen lines with wings of `gamma` (Angstrom), and the Balmer jump."""
    balmer = _series(BALMER_LIMIT, 2, 14)
    paschen = _series(PASCHEN_LIMIT, 3, 16)
    depth = 1.5 * np.exp(-0.07 * np.arange(len(balmer)))
    total = wings(balmer, depth, gamma) + wings(paschen, np.full(len(paschen), 0.35), 1.2 * gamma)
    jump = 0.85 * _step_below(3700.0, 12.0) * (REST_GRID / BALMER_LIMIT) ** 1.5
    small = 0.10 * _step_below(8250.0, 30.0) * (REST_GRID / PASCHEN_LIMIT) ** 3
    return total + jump + np.where(REST_GRID > 4000.0, small, 0.0)


def _iron() -> np.ndarray:
    """Blanketing by thousands of metal lines, whose density rises towards the blue."""
    # The line list is random but the same for all stars, so that spectra share small features.
    rng = np.random.Generator(np.random.PCG64(1913))
    centres = 2200.0 - 900.0 * np.log(rng.uniform(np.exp(-7.4), 1.0, 6000))
    strengths = rng.lognormal(-2.9, 0.9, 6000) * np.exp(-np.maximum(centres - 3000, 0) / 3500)
    haze = 0.5 * np.exp(-np.maximum(REST_GRID - 3000.0, -600.0) / 550.0)
    return lines(centres, strengths, 1.1) + haze


def _titanium_oxide() -> np.ndarray:
    """Band heads of TiO, each with a long tail to the red, and the water bands of the infrared."""
    heads = vacuum(
        np.array([4761, 4954, 5167, 5448, 5847, 6158, 6651, 7053, 7589, 8432, 8860, 9209.0])
    )
    depth = (0.5, 0.7, 0.7, 0.6, 0.8, 0.9, 0.8, 1.3, 1.0, 0.8, 0.5, 0.4)
    tail = (110, 130, 140, 150, 160, 220, 180, 260, 260, 220, 200, 200)
    out = np.zeros(len(REST_GRID))
    for head, strength, length in zip(heads, depth, tail, strict=True):
        beyond = np.maximum(REST_GRID - head, 0.0)
        edge = 1 / (1 + np.exp(np.clip((head - REST_GRID) / 2.0, -50, 50)))
        out += strength * edge * np.exp(-beyond / length)
    water = lines(np.array([14000.0, 19000.0]), np.array([0.35, 0.45]), 900.0)
    return out + water


@lru_cache(maxsize=1)
def features() -> dict[str, np.ndarray]:
    """Return the opacity templates on the rest grid by name; the table is built once."""
    calcium = wings(np.array([3934.8, 3969.6]), np.array([3.0, 2.6]), 4.5)
    triplet = wings(np.array([8500.4, 8544.4, 8664.5]), np.array([0.5, 0.9, 0.75]), 2.5)
    return {
        "hydrogen_giant": _hydrogen(3.0),
        "hydrogen_dwarf": _hydrogen(9.0),
        "hydrogen_degenerate": _hydrogen(32.0),
        "calcium": calcium,
        "triplet": triplet,
        "neutral_calcium": wings(np.array([4227.9]), np.array([1.2]), 3.0),
        "g_band": lines(np.array([4301.2, 4311.2, 3884.1]), np.array([0.45, 0.35, 0.35]), 9.0),
        "magnesium": lines(np.array([5168.7, 5174.1, 5185.0]), np.array([0.5, 0.8, 0.8]), 2.2)
        + lines(np.array([5100.0]), np.array([0.2]), 60.0),
        "sodium": wings(
            np.array([5891.6, 5897.6, 7667.0, 7701.1, 8185.5, 8197.1]),
            np.array([1.4, 1.2, 0.7, 0.6, 0.7, 0.8]),
            2.0,
        ),
        "iron": _iron(),
        "titanium_oxide": _titanium_oxide(),
        "hydride": lines(vacuum(np.array([6385.0, 6830.0])), np.array([0.5, 0.7]), 45.0),
    }


def _strengths(
    teff: np.ndarray, logg: np.ndarray, metallicity: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the strength of each template in each star, (n,)."""
    metals = 10 ** (0.45 * np.clip(metallicity, -3.5, 0.6))
    hydrogen = np.exp(-0.5 * (np.log(teff / 9300.0) / 0.36) ** 2)
    hydrogen = np.maximum(hydrogen, 0.16 * np.clip((teff - 4200.0) / 1300.0, 0, 1))
    degenerate = np.clip((logg - 5.5) / 2.0, 0, 1)
    dwarf = np.clip((logg - 1.5) / 3.0, 0, 1) * (1 - degenerate)
    giant = 1 - dwarf - degenerate
    alive = 1 - degenerate  # metals have settled out of the atmospheres of white dwarfs
    cool = np.clip((7400.0 - teff) / 2600.0, 0, 1.25)
    molecules = np.clip((4150.0 - teff) / 750.0, 0, 1.6) ** 1.3
    return {
        "hydrogen_giant": hydrogen * giant,
        "hydrogen_dwarf": hydrogen * dwarf,
        "hydrogen_degenerate": hydrogen * degenerate,
        "calcium": alive * metals * np.clip((8600.0 - teff) / 2600.0, 0.02, 1.2),
        "triplet": alive * metals * np.clip((9000.0 - teff) / 3000.0, 0, 1.1) * (1.6 - 0.15 * logg),
        "neutral_calcium": alive * metals * np.clip((5600.0 - teff) / 1600.0, 0, 1.2),
        "g_band": alive * metals * np.exp(-0.5 * ((teff - 5000.0) / 800.0) ** 2),
        "magnesium": alive
        * metals
        * np.clip((6300.0 - teff) / 1500.0, 0, 1.2)
        * (0.4 + 0.14 * logg),
        "sodium": alive * metals * np.clip((5400.0 - teff) / 1600.0, 0, 1.4) * (0.3 + 0.16 * logg),
        "iron": alive * metals * cool,
        "titanium_oxide": alive * metals**0.6 * molecules,
        "hydride": alive * molecules * np.clip((logg - 3.0) / 1.5, 0, 1),
    }


def star_spectrum(
    teff: np.ndarray,
    logg: np.ndarray,
    metallicity: np.ndarray,
    wave: np.ndarray,
    redshift: np.ndarray,
) -> np.ndarray:
    """Return spectra of stars, in arbitrary units.

    Parameters
    ----------
    teff, logg, metallicity : ndarray of shape (n,)
        Effective temperature (K), surface gravity (dex of cm/s²), [M/H] (dex).
    wave : ndarray of shape (L,)
        Observed wavelengths (Angstrom).
    redshift : ndarray of shape (n,)
        Radial velocity over the speed of light.

    Returns
    -------
    ndarray of shape (n, L)
        Flux per wavelength; the continuum is 1 at 5500 Angstrom.
    """
    index, weight = rest_positions(wave, redshift)
    opacity = np.zeros((len(teff), len(wave)))
    table = features()
    for name, strength in _strengths(teff, logg, metallicity).items():
        shown = strength > 1e-3
        if shown.any():
            template = gather(table[name], index[shown], weight[shown])
            opacity[shown] += strength[shown, None] * template
    # The optical light of F to K stars comes from deeper, hotter layers than the average.
    colour = teff * np.interp(teff, [3400.0, 5000.0, 7000.0, 12000.0], [1.0, 1.06, 1.06, 1.0])
    continuum = black_body(wave[None, :] / (1 + redshift[:, None]), colour[:, None])
    return continuum * np.exp(-opacity)


class PopulationStar(NamedTuple):
    """One star of a stellar population: its weight at 5500 Angstrom, and its atmosphere."""

    weight: float
    teff: float
    logg: float
    metallicity: float


def _population(*parts: PopulationStar) -> np.ndarray:
    weight, teff, logg, metallicity = np.array(parts).T
    stars = star_spectrum(teff, logg, metallicity, REST_GRID, np.zeros(len(teff)))
    level = stars[:, np.searchsorted(REST_GRID, 5500)][:, None]
    total = (weight[:, None] * stars / level).sum(axis=0)
    total[REST_GRID < 912.0] = 0.0  # nothing leaves a galaxy beyond the Lyman limit
    return total / total[np.searchsorted(REST_GRID, 5500)]


@lru_cache(maxsize=1)
def populations() -> dict[str, np.ndarray]:
    """Return spectra of stellar populations on the rest grid, 1 at 5500 Angstrom, by name.

    Each is the sum of a few stars that dominate the light of a population that is old and
    metal-rich, old and metal-poor, 1 Gyr old, or forming stars.
    """
    star = PopulationStar
    return {
        "old_rich": _population(
            star(0.34, 4350, 2.0, 0.2),
            star(0.31, 4900, 2.6, 0.2),
            star(0.27, 5700, 4.3, 0.2),
            star(0.08, 3600, 1.0, 0.2),
        ),
        "old_poor": _population(
            star(0.30, 4650, 2.0, -0.8),
            star(0.30, 5200, 2.6, -0.8),
            star(0.37, 6200, 4.3, -0.8),
            star(0.03, 3900, 1.0, -0.8),
        ),
        "middle": _population(
            star(0.42, 8300, 4.0, -0.1), star(0.30, 6800, 4.1, -0.1), star(0.28, 4700, 2.4, -0.1)
        ),
        "young": _population(
            star(0.55, 24000, 4.0, -0.2),
            star(0.22, 13000, 3.9, -0.2),
            star(0.13, 9300, 3.8, -0.2),
            star(0.10, 4100, 1.2, -0.2),
        ),
    }
