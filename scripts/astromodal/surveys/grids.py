"""Wavelength grids of the spectrum groups, and what the tokens of each group stand for.

All of it is a function of the settings alone, so that a sequence's length is known before any data
is read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from astromodal.config.schema import LIGHT_CURVE_GROUPS, SPECTRUM_GROUPS, SpectrumSettings
from astromodal.errors import ConfigError, must_be, suggestion


class Grid(NamedTuple):
    """An evenly spaced grid: `start`, `start + step`, … (`length` points)."""

    start: float
    step: float
    length: int

    def points(self) -> np.ndarray:
        """The grid's points, float64 (length,)."""
        return self.start + self.step * np.arange(self.length)


DESI_GRIDS = {
    "desi_b": Grid(3600.0, 0.8, 2751),
    "desi_r": Grid(5760.0, 0.8, 2326),
    "desi_z": Grid(7520.0, 0.8, 2881),
}
"""Vacuum wavelengths (Angstrom) of the coadded arms of DESI; b and r, and r and z, overlap."""

XP_RANGE = (0.0, 60.0)
"""Pseudo-wavelengths of a Gaia XP spectrum, the range that GaiaXPy samples by default."""


def native_grid(group: str, settings: SpectrumSettings) -> Grid:
    """Grid that a group's spectra are read on: Angstrom (DESI) or pseudo-wavelength (Gaia XP).

    Raises
    ------
    ConfigError
        Where there is no such group of spectra.
    """
    if group not in SPECTRUM_GROUPS:
        must = f"one of {', '.join(SPECTRUM_GROUPS)}"
        message = must_be("tokenizers.spectrum.groups", must, group)
        raise ConfigError(message + suggestion(group, SPECTRUM_GROUPS))
    if group in DESI_GRIDS:
        return DESI_GRIDS[group]
    first, last = XP_RANGE
    return Grid(first, (last - first) / (settings.xp_samples - 1), settings.xp_samples)


def bin_factor(group: str, settings: SpectrumSettings) -> int:
    """Pixels of a bin: the fewest with which the whole range fits a group's token budget."""
    return -(-native_grid(group, settings).length // settings.max_spec_tokens_per_group)


def n_bins(group: str, settings: SpectrumSettings) -> int:
    """Bins, and so tokens, of a group's spectrum; the last bin may hold fewer pixels."""
    return -(-native_grid(group, settings).length // bin_factor(group, settings))


def is_light_curve(group: str) -> bool:
    """Whether a group's tokens stand for epochs of a light curve, not for bins of a spectrum."""
    return group in LIGHT_CURVE_GROUPS


def n_slots(group: str, settings: SpectrumSettings) -> int:
    """Slots of a group's block after that of the scale: bins of a spectrum, or most epochs."""
    return settings.max_epochs if is_light_curve(group) else n_bins(group, settings)


def bin_centres(group: str, settings: SpectrumSettings) -> np.ndarray:
    """Mean wavelength of each bin's pixels, float64 (n_bins,), in the unit of `native_grid`."""
    points = native_grid(group, settings).points()
    starts = np.arange(0, len(points), bin_factor(group, settings))
    counts = np.diff(np.append(starts, len(points)))
    return np.add.reduceat(points, starts) / counts
