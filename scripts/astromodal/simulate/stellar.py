"""Stellar spectra: a black body seen through lines, bands and blanketing.

The continuum is Planck's; the opacity is a sum of feature templates whose strengths follow
effective temperature, surface gravity and metallicity in the way that spectral classification
knows (Gray & Corbally 2009). Strengths were chosen by eye to give sensible colours and line depths.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from astromodal.simulate.spectra import REST_GRID, black_body, gather, lines, rest_positions, wings

BALMER_LIMIT, PASCHEN_LIMIT = 3647.0, 8205.9
"""Limits of hydrogen's series (Angstrom); wavelengths are those in vacuum, as in DESI's spectra."""


def _series(limit: float, lower: int, last: int) -> np.ndarray:
    """Wavelengths of a hydrogen series that starts from level `lower`."""
    upper = np.arange(lower + 1, last + 1)
    return limit / (1 - lower**2 / upper**2)


def _step_below(edge: float, softness: float) -> np.ndarray:
    """1 below `edge`, 0 above (Angstrom)."""
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
    """Blanketing by thousands of metal lines, ever denser towards the blue."""
    # The list is made up, but it is the same in every star: spectra share their small features.
    rng = np.random.Generator(np.random.PCG64(1913))
    centres = 2200.0 - 900.0 * np.log(rng.uniform(np.exp(-7.4), 1.0, 6000))
    strengths = rng.lognormal(-2.9, 0.9, 6000) * np.exp(-np.maximum(centres - 3000, 0) / 3500)
    haze = 0.5 * np.exp(-np.maximum(REST_GRID - 3000.0, -600.0) / 550.0)
    return lines(centres, strengths, 1.1) + haze


def _titanium_oxide() -> np.ndarray:
    """Band heads of TiO, each with a long tail to the red, and the water bands of the infrared."""
    heads = (4761, 4954, 5167, 5448, 5847, 6158, 6651, 7053, 7589, 8432, 8860, 9209)
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
    """Opacity templates on the rest grid, by name; a read-only table built once."""
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
        "hydride": lines(np.array([6385.0, 6830.0]), np.array([0.5, 0.7]), 45.0),
    }


def _strengths(
    teff: np.ndarray, logg: np.ndarray, metallicity: np.ndarray
) -> dict[str, np.ndarray]:
    """Strength of each template in each star, (n,)."""
    metals = 10 ** (0.45 * np.clip(metallicity, -3.5, 0.6))
    hydrogen = np.exp(-0.5 * (np.log(teff / 9300.0) / 0.36) ** 2)
    hydrogen = np.maximum(hydrogen, 0.16 * np.clip((teff - 4200.0) / 1300.0, 0, 1))
    degenerate = np.clip((logg - 5.5) / 2.0, 0, 1)
    dwarf = np.clip((logg - 1.5) / 3.0, 0, 1) * (1 - degenerate)
    giant = 1 - dwarf - degenerate
    alive = 1 - degenerate  # white dwarfs have sunk their metals
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
    """Spectra of stars, in arbitrary units.

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


def _population(parts: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    weight, teff, logg, metallicity = np.array(parts).T
    stars = star_spectrum(teff, logg, metallicity, REST_GRID, np.zeros(len(teff)))
    level = stars[:, np.searchsorted(REST_GRID, 5500)][:, None]
    total = (weight[:, None] * stars / level).sum(axis=0)
    total[REST_GRID < 912.0] = 0.0  # nothing leaves a galaxy beyond the Lyman limit
    return total / total[np.searchsorted(REST_GRID, 5500)]


@lru_cache(maxsize=1)
def populations() -> dict[str, np.ndarray]:
    """Light of star populations on the rest grid, 1 at 5500 Angstrom, by name.

    Each is a handful of stars (weight at 5500 Angstrom, Teff, log g, [M/H]) that dominate the light
    of a population that is old and metal-rich, old and metal-poor, of 1 Gyr, or forming stars.
    """
    return {
        "old_rich": _population(
            (
                (0.34, 4350, 2.0, 0.2),
                (0.31, 4900, 2.6, 0.2),
                (0.27, 5700, 4.3, 0.2),
                (0.08, 3600, 1.0, 0.2),
            )
        ),
        "old_poor": _population(
            (
                (0.30, 4650, 2.0, -0.8),
                (0.30, 5200, 2.6, -0.8),
                (0.37, 6200, 4.3, -0.8),
                (0.03, 3900, 1.0, -0.8),
            )
        ),
        "middle": _population(
            ((0.42, 8300, 4.0, -0.1), (0.30, 6800, 4.1, -0.1), (0.28, 4700, 2.4, -0.1))
        ),
        "young": _population(
            (
                (0.55, 24000, 4.0, -0.2),
                (0.22, 13000, 3.9, -0.2),
                (0.13, 9300, 3.8, -0.2),
                (0.10, 4100, 1.2, -0.2),
            )
        ),
    }
