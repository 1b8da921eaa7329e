"""Spectra and light curves of one field, read a slice of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from astromodal.data.cube import Cube
from astromodal.surveys.group import Batch, CubeSlice, SpectrumGroup
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.surveys.registry import grid_group, light_curve_group, spectrum_group
from astromodal.surveys.spectra import SpectrumBatch

B = TypeVar("B", bound=Batch)
ROWS = 1024
"""Rows of a cube that are read at a time; their number does not change what is read."""


def has_group(cube: Cube, group: str) -> bool:
    """Return whether a cube has any column of a group; without a match it has none."""
    return not cube.columns.isdisjoint(spectrum_group(group).column_names)


def read_group(
    cube: Cube, group: str, rows: int = ROWS, keep: np.ndarray | None = None
) -> Iterator[Batch]:
    """Stream the spectra or light curves of one group, in row order.

    Parameters
    ----------
    cube : Cube
        The field's datacube; it may lack the columns of the group.
    group : str
        Name of the group.
    rows : int
        Rows of the cube that are read at a time.
    keep : bool (n,), optional
        Rows of interest, as for `read_spectra`.

    Yields
    ------
    Batch
        At least one spectrum or light curve, dead ones included.

    Raises
    ------
    DataError
        Where columns are missing that the group cannot do without, or where a column does not
        hold what the group needs.
    """
    kind = spectrum_group(group)
    yield from _batches(cube, kind, kind.coded_columns, kind.read, rows, keep)


def read_spectra(
    cube: Cube, group: str, rows: int = ROWS, keep: np.ndarray | None = None
) -> Iterator[SpectrumBatch]:
    """Stream the spectra of one group, in row order; rows without a spectrum are left out.

    They come with all that a comparison with them needs: the correlations of errors too.

    Parameters
    ----------
    cube : Cube
        The field's datacube; it may lack the columns of the group.
    group : str
        Name of a group of spectra.
    rows : int
        Rows of the cube that are read at a time.
    keep : bool (n,), optional
        Rows of interest: row groups without any of them are not read. Others of their row groups
        are returned too.

    Yields
    ------
    SpectrumBatch
        At least one spectrum; dead fibres are among them.

    Raises
    ------
    DataError
        Where some but not all of the group's columns exist, where lists of a row differ in length
        or are not on the group's grid, or where a Gaia XP text is no list of numbers.
    """
    kind = grid_group(group)
    yield from _batches(cube, kind, kind.column_names, kind.read_observed, rows, keep)


def read_light_curves(cube: Cube, group: str, rows: int = ROWS) -> Iterator[LightCurveBatch]:
    """Stream the light curves of one group, in row order; rows without one are left out.

    Parameters
    ----------
    cube : Cube
        The field's datacube. Where it lacks any column of the group it has no light curves: an
        epoch is useless without its time or its error.
    group : str
        Name of a group of light curves.
    rows : int
        Rows of the cube that are read at a time.

    Yields
    ------
    LightCurveBatch
        At least one light curve; curves without a good epoch are among them.

    Raises
    ------
    DataError
        Where a column holds no lists of numbers, or the lists of a row differ in length.
    """
    kind = light_curve_group(group)
    yield from _batches(cube, kind, kind.column_names, kind.read_curves, rows)


def count_spectra(cube: Cube, groups: Iterable[str]) -> dict[str, dict[str, int]]:
    """Count the spectra or light curves of each group: all (`n_spectra`), and live (`n_live`)."""
    counts = {group: {"n_spectra": 0, "n_live": 0} for group in groups}
    for group, count in counts.items():
        for batch in read_group(cube, group):
            count["n_spectra"] += len(batch.row)
            count["n_live"] += int(batch.live().sum())
    return counts


def _batches(
    cube: Cube,
    group: SpectrumGroup,
    names: list[str],
    read: Callable[[CubeSlice], B],
    rows: int,
    keep: np.ndarray | None = None,
) -> Iterator[B]:
    """Apply a reader to slices of some of the group's columns, where the cube has them."""
    if cube.columns.isdisjoint(group.column_names) or (
        group.partial and group.lacking(cube.columns)
    ):
        return
    for column in (c for c in group.columns if c.name in names):
        cube.require(column.name)
        if column.kind == "list":
            cube.require_lists(column.name)
    for piece in cube.slices(names, rows, keep):
        batch = read(piece)
        if len(batch.row):
            yield batch
