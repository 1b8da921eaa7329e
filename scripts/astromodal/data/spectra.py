"""Spectra of one field, read a slice of rows at a time and rebinned over their whole range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.data.columns import group_columns
from astromodal.data.cube import Cube, Slice
from astromodal.data.gaiaxp import read_xp
from astromodal.data.light_curves import LightCurveBatch, read_light_curves
from astromodal.data.lists import flatten
from astromodal.surveys.grids import DESI_GRIDS, bin_factor, is_light_curve, native_grid


@dataclass(frozen=True)
class SpectrumBatch:
    """Spectra of one group, on the grid of `core.grids.native_grid`.

    Attributes
    ----------
    row : int32 (m,)
        Rows in the cube, ascending.
    flux : float32 (m, L)
        1e-17 erg/s/cm²/Angstrom (DESI), electron/s (Gaia XP); anything where `ivar` is not
        positive.
    ivar : float32 (m, L)
        Inverse variance of `flux`; a pixel where it is not positive, or where either is not
        finite, is bad.
    """

    row: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray

    def live(self) -> np.ndarray:
        """Which spectra have a good pixel, bool (m,); those of dead fibres have none."""
        return np.any(good_pixels(self.flux, self.ivar), axis=1)


def has_group(cube: Cube, group: str) -> bool:
    """Whether a cube has any column of a group: a survey that matched nothing has none."""
    return not cube.columns.isdisjoint(group_columns(group))


def read_spectra(
    cube: Cube, group: str, settings: SpectrumSettings, rows: int = 1024
) -> Iterator[SpectrumBatch]:
    """Stream the spectra of one group, in row order; rows without one are skipped.

    Parameters
    ----------
    cube : Cube
        The field's datacube; it may lack the group's columns altogether.
    group : str
        Spectrum group.
    settings : SpectrumSettings
        Gives the sampling of Gaia XP.
    rows : int
        Rows of the cube that are read at a time; it does not change what is read.

    Yields
    ------
    SpectrumBatch
        At least one spectrum; dead fibres are among them.

    Raises
    ------
    DataError
        Where some but not all of the group's columns exist, lists of a row differ in length or are
        not on the group's grid, or a Gaia XP text is no list of numbers.
    """
    if not has_group(cube, group):
        return
    columns = group_columns(group)
    for name in columns:
        cube.require(name)
        if group in DESI_GRIDS:
            cube.require_lists(name)
    grid = native_grid(group, settings).points()
    for piece in cube.slices(columns, rows):
        if group in DESI_GRIDS:
            has, flux, ivar = _read_desi(cube, piece, columns, grid)
        else:
            has, flux, ivar = read_xp(cube, piece, group, grid)
        if has.any():
            yield SpectrumBatch(piece.rows()[has], flux, ivar)


def good_pixels(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Pixels with a finite flux and a positive, finite inverse variance, bool like `flux`."""
    return np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)


def rebin(flux: np.ndarray, ivar: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring pixels, weighted by their inverse variances, over the whole range.

    Parameters
    ----------
    flux, ivar : float (m, L)
        Spectra; bad pixels count for nothing.
    factor : int
        Pixels of a bin; the last bin takes what is left.

    Returns
    -------
    flux : float64 (m, ceil(L / factor))
        Weighted mean of a bin's good pixels; NaN without a good pixel.
    ivar : float64 (m, ceil(L / factor))
        Sum of their inverse variances; 0 without a good pixel.
    """
    good = good_pixels(flux, ivar)
    weight = np.where(good, ivar, 0).astype(np.float64)
    product = np.where(good, flux, 0) * weight
    starts = np.arange(0, flux.shape[1], factor)
    total = np.add.reduceat(weight, starts, axis=1)
    summed = np.add.reduceat(product, starts, axis=1)
    mean = np.full(total.shape, np.nan)
    np.divide(summed, total, out=mean, where=total > 0)
    return mean, total


def rebinned(
    batch: SpectrumBatch, group: str, settings: SpectrumSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar of a batch in the bins that tokens stand for, float64 (m, n_bins) each."""
    return rebin(batch.flux, batch.ivar, bin_factor(group, settings))


def count_spectra(cube: Cube, settings: SpectrumSettings) -> dict[str, dict[str, int]]:
    """Count every group's spectra or light curves, all (`n_spectra`) and live ones (`n_live`)."""
    counts: dict[str, dict[str, int]] = {
        group: {"n_spectra": 0, "n_live": 0} for group in settings.groups
    }
    for group, count in counts.items():
        batches: Iterator[SpectrumBatch | LightCurveBatch] = (
            read_light_curves(cube, group)
            if is_light_curve(group)
            else read_spectra(cube, group, settings)
        )
        for batch in batches:
            count["n_spectra"] += len(batch.row)
            count["n_live"] += int(batch.live().sum())
    return counts


def _read_desi(
    cube: Cube, piece: Slice, columns: list[str], grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rows of a slice have a spectrum, bool (rows,), and their flux and ivar (m, L)."""
    parts = [flatten(piece.table.column(name)) for name in columns]
    lengths = np.stack([part[1] for part in parts])  # (3, rows)
    has = np.any(lengths > 0, axis=0)
    for (_, length, _), name in zip(parts, columns, strict=True):
        wrong = np.flatnonzero(has & (length != len(grid)))
        if len(wrong):
            others = ", ".join(
                f"{c} {n}" for c, n in zip(columns, lengths[:, wrong[0]], strict=True)
            )
            must = f"a list of {len(grid)} values where the fibre has a spectrum"
            got = f"lengths {others} in row {piece.start + wrong[0]}"
            raise cube.error(name, must, got)
    flux, ivar, wave = (part[0].reshape(-1, len(grid)) for part in parts)
    half = (grid[1] - grid[0]) / 2
    off = np.flatnonzero(~(np.abs(wave - grid) < half).all(axis=1))
    if len(off):
        must = f"{grid[0]:g} to {grid[-1]:g} Angstrom in steps of {2 * half:g}"
        first = wave[off[0]]
        got = f"{first[0]:g} to {first[-1]:g} in row {piece.start + np.flatnonzero(has)[off[0]]}"
        raise cube.error(columns[2], must, got)
    return has, flux, ivar
