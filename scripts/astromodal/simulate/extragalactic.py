"""Galaxies and quasars: distances, and spectra from templates on one rest-frame grid."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from astromodal.simulate.spectra import (
    REST_GRID,
    SPEED_OF_LIGHT_KMS,
    STEP,
    black_body,
    gather,
    lines,
    populations,
    rest_positions,
    smooth,
)

HUBBLE = 70.0
"""km/s/Mpc."""

MATTER = 0.3
"""Density of matter over the critical density; the rest is a cosmological constant."""


@lru_cache(maxsize=1)
def _distances() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0.0, 8.0, 8001)
    rate = SPEED_OF_LIGHT_KMS / HUBBLE / np.sqrt(MATTER * (1 + z) ** 3 + 1 - MATTER)
    middle = (rate[1:] + rate[:-1]) / 2 * np.diff(z)
    return z, np.concatenate([[0.0], np.cumsum(middle)])


def comoving_distance(redshift: np.ndarray) -> np.ndarray:
    """Return the comoving distance (Mpc) of redshifts up to 8, in a flat universe."""
    return np.interp(redshift, *_distances())


def angular_distance(redshift: np.ndarray) -> np.ndarray:
    """Return the angular diameter distance (Mpc) of redshifts up to 8."""
    return comoving_distance(redshift) / (1 + redshift)


class GalaxyLight(NamedTuple):
    """Parameters of the spectra of n galaxies, each (n,).

    Attributes
    ----------
    metallicity : ndarray
        [M/H] of old stars and of the gas (dex).
    young, middle : ndarray
        Shares of the disc's light at 5500 Angstrom, before dust, of newly formed stars and of stars
        of 1 Gyr; old stars make up the rest.
    dust : ndarray
        E(B-V) in the disc (mag).
    gas : ndarray
        Peak of Hbeta over the disc's continuum at 5500 Angstrom.
    """

    metallicity: np.ndarray
    young: np.ndarray
    middle: np.ndarray
    dust: np.ndarray
    gas: np.ndarray

    def take(self, rows: np.ndarray) -> GalaxyLight:
        """Return the galaxies in `rows`."""
        return GalaxyLight(*(values[rows] for values in self))


class QuasarLight(NamedTuple):
    """Parameters of the spectra of n quasars, each (n,).

    Attributes
    ----------
    slope : ndarray
        Index of the power law per frequency, near -0.5.
    lines : ndarray
        Factor on the equivalent widths of all lines.
    speed : ndarray
        Width of broad lines, 0 (1100 km/s) to 1 (2600 km/s, one sigma).
    dust : ndarray
        E(B-V) of dust in the host (mag), with an SMC-like law.
    sightline : ndarray
        Position of the line of sight in the simulated intergalactic medium, 0 to 1.
    """

    slope: np.ndarray
    lines: np.ndarray
    speed: np.ndarray
    dust: np.ndarray
    sightline: np.ndarray

    def take(self, rows: np.ndarray) -> QuasarLight:
        """Return the quasars in `rows`."""
        return QuasarLight(*(values[rows] for values in self))


NARROW = {  # vacuum wavelength: (strength in metal-rich gas, in metal-poor gas), Hbeta = 1
    3727.1: (0.9, 1.1), 3729.9: (1.2, 1.5), 3869.9: (0.05, 0.45), 3890.2: (0.08, 0.2),
    4102.9: (0.26, 0.26), 4341.7: (0.47, 0.47), 4862.7: (1.0, 1.0), 4960.3: (0.12, 1.5),
    5008.2: (0.36, 4.5), 5877.2: (0.1, 0.12), 6302.0: (0.06, 0.08), 6549.9: (0.42, 0.04),
    6564.6: (2.86, 2.86), 6585.3: (1.25, 0.12), 6718.3: (0.5, 0.25), 6732.7: (0.38, 0.18),
    9071.1: (0.2, 0.25), 9533.2: (0.5, 0.6), 10833.0: (0.15, 0.3), 12821.6: (0.16, 0.16),
    18756.1: (0.33, 0.33),
}  # fmt: skip
"""H II regions: case B recombination (Osterbrock & Ferland 2006), collisional lines by eye."""

BROAD = {  # vacuum wavelength: (equivalent width in Angstrom, width over that of C IV)
    1025.7: (9.0, 1.0), 1215.7: (85.0, 0.9), 1240.1: (18.0, 1.0), 1306.0: (4.0, 1.0),
    1399.8: (9.0, 1.1), 1549.1: (32.0, 1.0), 1640.4: (5.0, 1.4), 1857.0: (5.0, 1.0),
    1908.7: (22.0, 1.2), 2798.8: (34.0, 0.8), 4102.9: (6.0, 0.9), 4341.7: (14.0, 0.9),
    4862.7: (50.0, 0.9), 5877.2: (6.0, 0.9), 6564.6: (210.0, 0.8), 10833.0: (40.0, 0.8),
    12821.6: (40.0, 0.8), 18756.1: (80.0, 0.8),
}  # fmt: skip
"""Equivalent widths near those of the composite quasar of Vanden Berk et al. 2001."""


@lru_cache(maxsize=1)
def galaxy_templates() -> dict[str, np.ndarray]:
    """Templates of galaxies on the rest grid by name; in those of lines Hbeta has height 1."""
    light = {name: smooth(template, 160.0) for name, template in populations().items()}
    centres = np.array(list(NARROW))
    rich, poor = np.array(list(NARROW.values())).T
    # At a fixed velocity width, a line of longer wavelength is wider and so has a lower peak.
    lower, sigmas = 4862.7 / centres, centres * 120.0 / SPEED_OF_LIGHT_KMS
    light["lines_rich"] = lines(centres, rich * lower, sigmas)
    light["lines_poor"] = lines(centres, poor * lower, sigmas)
    return light


def calzetti(rest: np.ndarray) -> np.ndarray:
    """Attenuation k of starbursts (Calzetti et al. 2000, R_V = 4.05) at `rest` in Angstrom."""
    micron = np.clip(rest * 1e-4, 0.09, 3.2)
    x = 1 / micron
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 * x) + 4.05
    return np.maximum(np.where(micron < 0.63, blue, red), 0.0)


def _richness(metallicity: np.ndarray) -> np.ndarray:
    """Return the share of the metal-rich template, (n, 1)."""
    return np.clip(metallicity + 0.8, 0, 1)[:, None]


def bulge_spectrum(metallicity: np.ndarray, wave: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return spectra of the old stars of galaxies, (n, L), 1 at 5500 Angstrom in the rest frame."""
    index, weight = rest_positions(wave, redshift)
    table = galaxy_templates()
    rich = _richness(metallicity)
    return rich * gather(table["old_rich"], index, weight) + (1 - rich) * gather(
        table["old_poor"], index, weight
    )


def disc_spectrum(galaxy: GalaxyLight, wave: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Spectra of star-forming discs, (n, L), whose continuum is 1 at rest-frame 5500 Angstrom.

    Parameters
    ----------
    galaxy : GalaxyLight
        Stars, gas and dust of n galaxies.
    wave : ndarray of shape (L,)
        Observed wavelengths (Angstrom).
    redshift : ndarray of shape (n,)
        Redshifts.
    """
    index, weight = rest_positions(wave, redshift)
    table = galaxy_templates()
    rich = _richness(galaxy.metallicity)
    old = 1 - galaxy.young - galaxy.middle
    light = old[:, None] * bulge_spectrum(galaxy.metallicity, wave, redshift)
    light += galaxy.young[:, None] * gather(table["young"], index, weight)
    light += galaxy.middle[:, None] * gather(table["middle"], index, weight)
    gas = rich * gather(table["lines_rich"], index, weight)
    gas += (1 - rich) * gather(table["lines_poor"], index, weight)
    light += galaxy.gas[:, None] * gas
    rest = wave[None, :] / (1 + redshift[:, None])
    dust = 10 ** (-0.4 * galaxy.dust[:, None] * (calzetti(rest) - calzetti(np.array(5500.0))))
    return light * dust


def _equivalent(centres: np.ndarray, widths: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Return lines of given equivalent widths and sigmas (Angstrom), for a continuum of 1."""
    return lines(centres, widths / (np.sqrt(2 * np.pi) * sigmas), sigmas)


@lru_cache(maxsize=1)
def _quasar_templates() -> dict[str, np.ndarray]:
    """Return the templates of quasars on the rest grid, relative to the power law, by name."""
    centres = np.array(list(BROAD))
    width, relative = np.array(list(BROAD.values())).T

    speed = centres * relative / SPEED_OF_LIGHT_KMS  # sigma (Angstrom) of 1 km/s
    narrow = np.array([3728.5, 4960.3, 5008.2, 6549.9, 6585.3, 6725.0])
    narrow_width = np.array([2.0, 5.0, 15.0, 2.0, 6.0, 5.0])
    bumps = np.array([2300.0, 2500.0, 3300.0, 4570.0, 5250.0])  # Fe II, and the Balmer continuum
    bump_width = np.array([28.0, 64.0, 116.0, 28.0, 29.0])
    bump_sigma = np.array([110.0, 160.0, 330.0, 70.0, 90.0])
    return {
        "broad_slow": _equivalent(centres, width, 1100.0 * speed),
        "broad_fast": _equivalent(centres, width, 2600.0 * speed),
        "narrow": _equivalent(narrow, narrow_width, narrow * 250.0 / SPEED_OF_LIGHT_KMS),
        "iron": _equivalent(bumps, bump_width, bump_sigma),
        "hot_dust": black_body(REST_GRID, 1300.0) / black_body(np.array(10000.0), 1300.0),
    }


@lru_cache(maxsize=1)
def _forest() -> np.ndarray:
    """Relative opacity of intergalactic gas along a line of sight, mean 1, per `STEP`."""
    rng = np.random.Generator(np.random.PCG64(1965))
    field = rng.standard_normal(40_000)
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 4.0) ** 2)
    field = np.convolve(field, kernel / np.sqrt((kernel**2).sum()), mode="same")
    return np.exp(1.3 * field - 0.5 * 1.3**2)


def forest_transmission(
    wave: np.ndarray, redshift: np.ndarray, sightline: np.ndarray
) -> np.ndarray:
    """Return the transmission of the Lyman alpha forest, (n, L), in 0 to 1.

    The mean optical depth 0.0028 (1 + z)^3.5 is close to that of Faucher-Giguère et al. 2008; its
    lines are a log-normal field, read from `sightline` (n, in 0 to 1) on. Beyond the Lyman limit
    absorption is complete within a few Angstrom.
    """
    absorber = wave[None, :] / 1215.67  # (1 + z) of the gas that absorbs here
    mean = 0.0028 * np.minimum(absorber, 8.0) ** 3.5
    table = _forest()
    place = (sightline[:, None] * len(table) + np.log(wave)[None, :] / STEP) % (len(table) - 1)
    index = place.astype(np.int32)
    clumps = table[index] + (table[index + 1] - table[index]) * (place - index)
    rest = wave[None, :] / (1 + redshift[:, None])
    depth = np.where(rest < 1210.0, mean * clumps, 0.0)
    depth += np.clip((914.0 - rest) / 6.0, 0.0, 8.0)
    return np.exp(-depth)


def quasar_spectrum(quasar: QuasarLight, wave: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return spectra of quasars, (n, L): power law, lines, iron, hot dust and Lyman alpha forest.

    The continuum is 1 at 3000 Angstrom in the rest frame.

    Parameters
    ----------
    quasar : QuasarLight
        Parameters of n quasars.
    wave : ndarray of shape (L,)
        Observed wavelengths (Angstrom).
    redshift : ndarray of shape (n,)
        Redshifts.
    """
    index, weight = rest_positions(wave, redshift)
    table = _quasar_templates()
    rest = wave[None, :] / (1 + redshift[:, None])
    power = (rest / 3000.0) ** (-2.0 - quasar.slope[:, None])
    power *= np.maximum(rest / 6000.0, 1.0) ** 0.5  # beyond, hot dust and the host flatten it
    fast = quasar.speed[:, None]
    emission = (1 - fast) * gather(table["broad_slow"], index, weight)
    emission += fast * gather(table["broad_fast"], index, weight)
    emission += gather(table["narrow"], index, weight)
    emission += gather(table["iron"], index, weight)
    light = power * (1 + quasar.lines[:, None] * emission)
    light += 0.10 * gather(table["hot_dust"], index, weight)
    # Pei 1992: the extinction of the Small Magellanic Cloud goes as wavelength^-1.2.
    extinction = 1.39 * quasar.dust[:, None] * (np.maximum(rest, 900.0) / 10000.0) ** -1.2
    return light * 10 ** (-0.4 * extinction) * forest_transmission(wave, redshift, quasar.sightline)
