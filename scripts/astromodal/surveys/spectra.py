"""Groups of spectra on a fixed grid of wavelengths, and the bins that codes stand for."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from astromodal.surveys.group import (
    CubeSlice,
    GroupKind,
    GroupSettings,
    Quantity,
    SpectrumGroup,
)

BINS_PER_CODE = 2
"""Neighbouring bins of a spectrum that one code stands for."""
NOISE_CODES = 4
"""Codes of a spectrum's noise, which stand behind those of its flux."""
LOCAL_CODES = 8
"""Codes of a spectrum's local scales, which stand behind those of its noise."""
LEVEL_CODES = NOISE_CODES + LOCAL_CODES
"""Codes of a spectrum that stand for no bins."""


def n_pairs(n_bins: int) -> int:
    """Return the number of codes of the flux in bins; the last may stand for a single bin."""
    return -(-n_bins // BINS_PER_CODE)


class Grid(NamedTuple):
    """An evenly spaced grid: `start`, `start + step`, … (`length` points)."""

    start: float
    step: float
    length: int

    def points(self) -> np.ndarray:
        """Return the points of the grid, float64 (length,)."""
        return self.start + self.step * np.arange(self.length)


@dataclass(frozen=True)
class SpectrumBatch:
    """Spectra of one group on its grid.

    Attributes
    ----------
    row : int32 (m,)
        Rows in the cube, ascending.
    flux : float32 (m, L)
        Flux in the group's unit; any value where `ivar` is not positive.
    ivar : float32 (m, L)
        Inverse variance of `flux`. A pixel is bad where `ivar` is not positive, or where `flux`
        or `ivar` is not finite.
    correlation : float64 (m, L (L - 1) / 2), optional
        Correlations of the pixels' errors: the upper triangle without the diagonal, in column-major
        order. None where errors are independent, or where correlations were not read.
    """

    row: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    correlation: np.ndarray | None = None

    def take(self, chosen: np.ndarray) -> SpectrumBatch:
        """Return some of the spectra, chosen by number, int (k,), or by a mask, bool (m,)."""
        correlation = None if self.correlation is None else self.correlation[chosen]
        return SpectrumBatch(self.row[chosen], self.flux[chosen], self.ivar[chosen], correlation)

    def live(self) -> np.ndarray:
        """Return which spectra have a good pixel, bool (m,); those of dead fibres have none."""
        return np.any(good_pixels(self.flux, self.ivar), axis=1)


def good_pixels(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return the pixels with a finite flux and a positive, finite inverse variance, bool."""
    return np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)


class GridGroup(SpectrumGroup):
    """A group of spectra that all have the same grid; it is rebinned to fit its token budget."""

    kind: ClassVar[GroupKind] = "spectrum"
    ragged: ClassVar[bool] = False
    partial: ClassVar[bool] = False
    sentinels: ClassVar[bool] = False

    @abstractmethod
    def grid(self, settings: GroupSettings) -> Grid:
        """Return the grid that the spectra are read on, in the unit of `axis`."""

    @abstractmethod
    def read(self, piece: CubeSlice) -> SpectrumBatch:
        """Return the spectra of some rows of a cube, dead ones included.

        Raises
        ------
        DataError
            Where a column does not hold what the group needs.
        """

    def read_observed(self, piece: CubeSlice) -> SpectrumBatch:
        """Return the spectra as `read` does, with all that a comparison with them needs."""
        return self.read(piece)

    def bin_factor(self, settings: GroupSettings) -> int:
        """Return the pixels per bin: the fewest with which the codes fit the budget."""
        most = BINS_PER_CODE * (settings.max_spec_tokens_per_group - LEVEL_CODES)
        return -(-self.grid(settings).length // most)

    def n_bins(self, settings: GroupSettings) -> int:
        """Return the number of bins of a spectrum; the last bin may hold fewer pixels."""
        return -(-self.grid(settings).length // self.bin_factor(settings))

    def n_slots(self, settings: GroupSettings) -> int:
        """Return the number of codes: one for each pair of bins, and those of noise and scales."""
        return n_pairs(self.n_bins(settings)) + LEVEL_CODES

    @property
    def slot_axis(self) -> Quantity:
        """Return the quantity along which the slots of a sequence are ordered."""
        return self.axis

    def slot_points(self, settings: GroupSettings) -> np.ndarray:
        """Return where the slots are on `slot_axis`, float64 (n_slots,).

        It is NaN for noise and local scales.
        """
        centres = self.bin_centres(settings)
        starts = np.arange(0, len(centres), BINS_PER_CODE)
        pairs = np.add.reduceat(centres, starts) / np.diff(np.append(starts, len(centres)))
        return np.append(pairs, np.full(LEVEL_CODES, np.nan))

    def bin_centres(self, settings: GroupSettings) -> np.ndarray:
        """Return the mean wavelength of the pixels of each bin, float64 (n_bins,)."""
        points = self.grid(settings).points()
        starts = np.arange(0, len(points), self.bin_factor(settings))
        counts = np.diff(np.append(starts, len(points)))
        return np.add.reduceat(points, starts) / counts


@dataclass(frozen=True, kw_only=True)
class ListGroup(GridGroup):
    """A group of spectra in three columns of lists: flux, inverse variance and wavelength.

    `columns` names them in this order.

    Attributes
    ----------
    pixels : Grid
        Wavelengths that every spectrum has.
    """

    pixels: Grid

    n_columns: ClassVar[int | None] = 3

    def grid(self, settings: GroupSettings) -> Grid:
        """Return `pixels`, whatever the settings."""
        return self.pixels

    def read(self, piece: CubeSlice) -> SpectrumBatch:
        """Return the spectra of some rows of a cube.

        Raises
        ------
        DataError
            Where lists of a row differ in length, or wavelengths are not those of the grid.
        """
        names, grid = self.column_names, self.pixels.points()
        parts = [piece.lists(name) for name in names]
        lengths = np.stack([part[1] for part in parts])  # (3, rows)
        has = np.any(lengths > 0, axis=0)
        rows = piece.rows()
        for name, (_, length) in zip(names, parts, strict=True):
            wrong = np.flatnonzero(has & (length != len(grid)))
            if len(wrong):
                every = ", ".join(
                    f"{n} {k}" for n, k in zip(names, lengths[:, wrong[0]], strict=True)
                )
                must = f"a list of {len(grid)} values where the fibre has a spectrum"
                raise piece.error(name, must, f"lengths {every} in row {rows[wrong[0]]}")
        flux, ivar, wave = (part[0].reshape(-1, len(grid)) for part in parts)
        half = (grid[1] - grid[0]) / 2
        off = np.flatnonzero(~(np.abs(wave - grid) < half).all(axis=1))
        if len(off):
            steps = f"in steps of {2 * half:g}"
            must = f"{grid[0]:g} to {grid[-1]:g} {self.axis.unit} {steps}"
            first = wave[off[0]]
            got = f"{first[0]:g} to {first[-1]:g} in row {rows[has][off[0]]}"
            raise piece.error(names[2], must, got)
        return SpectrumBatch(rows[has], flux, ivar)
