"""Redshifts of measured and decoded spectra: does an astronomer get the same from the codes?

Every spectrum is compared with templates at all redshifts, as in Tonry & Davis 1979 (AJ 84, 1511),
on a grid of even steps in the logarithm of the wavelength, where a redshift is a shift. A template
is a sum of lines above or below a continuum of zero; the continuum of the spectrum is subtracted.
The score of a redshift is the amplitude of the template over its error, both from a fit weighted by
inverse variance: its square is by how much the template lowers χ². The redshift is that of the
highest score of all templates. Δχ², by how much χ² is lower there than at any other redshift, says
how sure it is, as in DESI's redshift catalogues (Guy et al. 2023, AJ 165, 144).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy import constants, fft

from astromodal.evaluation.metrics import bin_label, measure_fraction, measure_median
from astromodal.evaluation.report.section import Measurement
from astromodal.evaluation.spectra.sample import GroupSample, continuum

SPEED_OF_LIGHT: Final = constants.c / 1000
"""Speed of light (km/s)."""
SAME = 1000.0
"""Largest difference (km/s) between two redshifts that agree."""
DELTA_CHI2 = (9.0, 100.0, 1000.0, np.inf)
"""Edges of the bins of Δχ²; below the first a redshift is not determined."""
STEP = 5e-5
"""Step of log10 of the wavelength."""
STEP_SPEED: Final = STEP * np.log(10) * SPEED_OF_LIGHT
"""The same as a velocity (km/s): 34.5."""
LOWEST = -0.002
"""Lowest redshift: that of a star that moves towards us at 600 km/s."""
_REST = (1150.0, 10_000.0)
"""Rest wavelengths of the templates (Angstrom)."""
_CHUNK = 64
"""Spectra that are compared at a time."""


class _Template(NamedTuple):
    """Heights of lines by vacuum wavelength (Angstrom), and their common sigma (km/s)."""

    lines: Mapping[float, float]
    sigma: float


TEMPLATES: Final = {
    "narrow emission lines": _Template(
        {3728.5: 1.0, 4341.7: 0.3, 4862.7: 0.8, 4960.3: 0.6, 5008.2: 1.5, 6549.9: 0.3,
         6564.6: 2.0, 6585.3: 0.7, 6718.3: 0.3, 6732.7: 0.3}, 120.0),
    "absorption lines": _Template(
        {3934.8: -1.0, 3969.6: -1.0, 4102.9: -0.5, 4305.6: -0.6, 4341.7: -0.4, 4862.7: -0.5,
         5176.6: -0.8, 5270.0: -0.4, 5895.6: -0.5, 6564.6: -0.5, 8500.4: -0.5, 8544.4: -0.6,
         8664.5: -0.6}, 250.0),
    "broad emission lines": _Template(
        {1215.7: 1.5, 1549.1: 1.0, 1908.7: 0.7, 2798.8: 0.8, 4341.7: 0.3, 4862.7: 0.8,
         6564.6: 1.5}, 2200.0),
}  # fmt: skip
"""Lines of galaxies, stars and quasars, with heights by eye; vacuum wavelengths as those of the
SDSS (Stoughton et al. 2002, AJ 123, 485, table 30)."""


@dataclass(frozen=True)
class RedshiftBin:
    """Redshifts of the objects in a bin of Δχ².

    Attributes
    ----------
    low, high : float
        Edges of the bin.
    n : int
        Number of objects.
    offset : Measurement
        Median of |Δv| (km/s).
    other : Measurement
        Fraction whose redshifts differ by more than `SAME`.
    """

    low: float
    high: float
    n: int
    offset: Measurement
    other: Measurement

    @classmethod
    def of(cls, low: float, high: float, offsets: np.ndarray, seed: int) -> RedshiftBin:
        """Measure some offsets (km/s); `seed` is that of the bootstrap errors."""
        sizes = np.abs(offsets)
        other = measure_fraction(sizes > SAME)
        return cls(low, high, len(offsets), measure_median(sizes, seed), other)

    def __str__(self) -> str:
        return bin_label(self.low, self.high)


@dataclass(frozen=True)
class RedshiftNumbers:
    """Agreement of redshifts from decoded with those from measured spectra of one survey.

    Attributes
    ----------
    n_objects : int
        Objects with a spectrum.
    all : RedshiftBin
        Those whose measured spectrum determines a redshift.
    by_delta_chi2 : tuple of RedshiftBin
        The same by Δχ² of the measured spectrum.
    """

    n_objects: int
    all: RedshiftBin
    by_delta_chi2: tuple[RedshiftBin, ...]


class Redshifts(NamedTuple):
    """Redshifts of n spectra and their Δχ², float64 (n,) each; Δχ² is 0 without a good pixel."""

    z: np.ndarray
    delta_chi2: np.ndarray


class Compared(NamedTuple):
    """Redshifts of n objects from their measured and from their decoded spectra."""

    measured: Redshifts
    decoded: Redshifts

    def offsets(self) -> np.ndarray:
        """Return the velocity of the decoded relative to the measured spectrum, km/s, (n,)."""
        return SPEED_OF_LIGHT * (self.decoded.z - self.measured.z) / (1 + self.measured.z)


def compare_redshifts(arms: Sequence[GroupSample]) -> Compared:
    """Estimate redshifts of all objects from measured and from decoded spectra.

    Parameters
    ----------
    arms : sequence of GroupSample
        The arms of one survey, with wavelengths in Angstrom. Arms of one object count together.
    """
    ids = np.unique(np.concatenate([arm.ids for arm in arms]))
    low = np.log10(min(arm.pixels.wave[0] for arm in arms))
    high = np.log10(max(arm.pixels.wave[-1] for arm in arms))
    grid = np.arange(low, high, STEP)
    return Compared(*(_estimate(ids, arms, grid, decoded) for decoded in (False, True)))


def measure_redshifts(compared: Compared, seed: int) -> RedshiftNumbers:
    """Measure how redshifts agree; `seed` is that of the bootstrap errors."""
    sure, offsets = compared.measured.delta_chi2, compared.offsets()

    def between(low: float, high: float) -> RedshiftBin:
        return RedshiftBin.of(low, high, offsets[(sure >= low) & (sure < high)], seed)

    bins = tuple(between(*pair) for pair in zip(DELTA_CHI2[:-1], DELTA_CHI2[1:], strict=True))
    return RedshiftNumbers(len(sure), between(DELTA_CHI2[0], DELTA_CHI2[-1]), bins)


def _estimate(
    ids: np.ndarray, arms: Sequence[GroupSample], grid: np.ndarray, decoded: bool
) -> Redshifts:
    """Return redshifts of objects, some at a time, on a grid of log10 of the wavelength."""
    rest = np.arange(np.log10(_REST[0]), max(grid[-1], np.log10(_REST[1])) + STEP, STEP)
    parts = [
        _best(*_on_grid(ids[i : i + _CHUNK], arms, grid, decoded), grid, rest)
        for i in range(0, len(ids), _CHUNK)
    ]
    return Redshifts(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _on_grid(
    ids: np.ndarray, arms: Sequence[GroupSample], grid: np.ndarray, decoded: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return spectra without their continuum times their weights, and the weights.

    Each is float64 (len(ids), len(grid)): the sum over the arms that an object has.
    """
    weighted, weight = np.zeros((2, len(ids), len(grid)))
    for arm in arms:
        rows = np.flatnonzero(np.isin(arm.ids, ids))
        fluxes = arm.pixels.take(rows)
        good = fluxes.good
        flux = np.where(good, fluxes.decoded if decoded else fluxes.flux, 0)
        excess, ivar = flux - continuum(flux, good), np.where(good, fluxes.ivar, 0)
        own = np.log10(fluxes.wave)
        inside = (grid >= own[0]) & (grid <= own[-1])
        for i, e, w in zip(np.searchsorted(ids, arm.ids[rows]), excess, ivar, strict=True):
            there = np.interp(grid[inside], own, w)
            weight[i, inside] += there
            weighted[i, inside] += there * np.interp(grid[inside], own, e)
    return weighted, weight


def _best(
    weighted: np.ndarray, weight: np.ndarray, grid: np.ndarray, rest: np.ndarray
) -> Redshifts:
    """Return the redshift of the highest score, and its Δχ².

    Parameters
    ----------
    weighted, weight : float64 (m, len(grid))
        As `_on_grid` returns them.
    grid, rest : float64
        log10 of the observed and of the rest wavelengths, in steps of `STEP`.
    """
    size = fft.next_fast_len(len(grid) + len(rest), real=True)
    spectra = [np.conj(fft.rfft(values, size, axis=1)) for values in (weighted, weight)]
    shifts = np.arange(len(rest) - 1)
    allowed = 10 ** (grid[0] - rest[shifts]) - 1 > LOWEST
    best = np.zeros((len(weight), allowed.sum()))  # an amplitude below 0 is no detection
    for template in TEMPLATES.values():
        heights = _heights(template, rest)
        numerator, squared = (
            fft.irfft(fft.rfft(heights**power, size) * spectrum, size, axis=1)[:, shifts[allowed]]
            for power, spectrum in zip((1, 2), spectra, strict=True)
        )
        # Where the template has next to no line in the spectrum, its amplitude is not determined.
        floor = 1e-3 * squared.max(axis=1, keepdims=True)
        error = np.sqrt(np.maximum(squared, floor))
        score = np.divide(numerator, error, out=np.zeros(error.shape), where=error > 0)
        best = np.maximum(best, score)
    place, every = best.argmax(axis=1), np.arange(len(best))
    # The vertex of the parabola through the highest score and its neighbours.
    inner = place.clip(1, best.shape[1] - 2)
    before, peak, after = (best[every, inner + k] for k in (-1, 0, 1))
    bend = before - 2 * peak + after
    vertex = np.divide(before - after, 2 * bend, out=np.zeros(len(best)), where=bend < 0)
    shift = np.where(inner == place, place + vertex.clip(-0.5, 0.5), place)
    z = 10 ** (grid[0] - rest[0] - (shifts[allowed][0] + shift) * STEP) - 1
    elsewhere = np.abs(np.arange(best.shape[1]) - place[:, None]) > SAME / STEP_SPEED
    second = best.max(axis=1, where=elsewhere, initial=0)
    return Redshifts(z, best[every, place] ** 2 - second**2)


def _heights(template: _Template, rest: np.ndarray) -> np.ndarray:
    """Return a template at log10 of the rest wavelength, float64 (len(rest),)."""
    out = np.zeros(len(rest))
    for wave, height in template.lines.items():
        speed = (rest - np.log10(wave)) * np.log(10) * SPEED_OF_LIGHT
        out += height * np.exp(-0.5 * (speed / template.sigma) ** 2)
    return out
