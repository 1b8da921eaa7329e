"""Light curves of one field, read a slice of rows at a time, ragged as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.data.columns import group_columns
from astromodal.data.cube import Cube, Slice
from astromodal.data.lists import flatten, gather


@dataclass(frozen=True)
class LightCurveBatch:
    """Good epochs of one group's light curves, one curve after another, each in time order.

    An epoch is good that has a finite magnitude, a finite, positive error and a finite time, none
    of which is a sentinel. There are no places for others: a curve is as long as it has good
    epochs.

    Attributes
    ----------
    row : int32 (m,)
        Rows in the cube, ascending: every row that has a list, be it without a good epoch.
    indptr : int64 (m + 1,)
        Curve i's epochs are ``indptr[i]`` to ``indptr[i + 1]``.
    time : float64 (n,)
        Heliocentric MJD (day), ascending in a curve; epochs of one time stand in the file's order.
    mag, error : float64 (n,)
        Magnitude and its standard error (mag).
    """

    row: np.ndarray
    indptr: np.ndarray
    time: np.ndarray
    mag: np.ndarray
    error: np.ndarray

    def lengths(self) -> np.ndarray:
        """Good epochs of each curve, int64 (m,)."""
        return np.diff(self.indptr)

    def live(self) -> np.ndarray:
        """Which curves have a good epoch, bool (m,)."""
        return self.lengths() > 0

    def owner(self) -> np.ndarray:
        """Number of the curve that each epoch is of, int64 (n,)."""
        return np.repeat(np.arange(len(self.row)), self.lengths())

    def take(self, curves: np.ndarray) -> LightCurveBatch:
        """The curves of the numbers or the mask given, in that order."""
        place = np.arange(len(self.row))[curves]
        at, indptr = gather(self.indptr, place)
        return LightCurveBatch(self.row[place], indptr, self.time[at], self.mag[at], self.error[at])

    @classmethod
    def join(cls, parts: Sequence[LightCurveBatch]) -> LightCurveBatch:
        """All curves of the parts, one part after another; none for no part."""
        lengths = [np.zeros(1, np.int64), *(part.lengths() for part in parts)]
        return cls(
            np.concatenate([np.empty(0, np.int32), *(part.row for part in parts)]),
            np.cumsum(np.concatenate(lengths)),
            *(
                np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)])
                for name in ("time", "mag", "error")
            ),
        )


def absent_parts(cube: Cube, group: str) -> list[str]:
    """Columns of a group that the cube lacks although it has others of it."""
    columns = group_columns(group)
    missing = [name for name in columns if name not in cube.columns]
    return missing if len(missing) < len(columns) else []


def read_light_curves(cube: Cube, group: str, rows: int = 2048) -> Iterator[LightCurveBatch]:
    """Stream the light curves of one group, in row order; rows without one are skipped.

    Parameters
    ----------
    cube : Cube
        The field's datacube. Where it lacks any of the group's three columns it has no light
        curves: an epoch is nothing without its time or its error.
    group : str
        Light-curve group.
    rows : int
        Rows of the cube that are read at a time; it does not change what is read.

    Yields
    ------
    LightCurveBatch
        At least one light curve; curves without a good epoch are among them.

    Raises
    ------
    DataError
        Where a column holds no lists of numbers, or the lists of a row differ in length.
    """
    columns = group_columns(group)
    if not cube.columns.issuperset(columns):
        return
    for name in columns:
        cube.require_lists(name)
    for piece in cube.slices(columns, rows):
        batch = _read(cube, piece, columns)
        if len(batch.row):
            yield batch


def _read(cube: Cube, piece: Slice, columns: list[str]) -> LightCurveBatch:
    """The light curves of a slice."""
    # Times in float64: a float32 at MJD 58,000 resolves 0.004 days only.
    parts = [flatten(piece.table.column(name), np.float64) for name in columns]
    lengths = np.stack([part[1] for part in parts])  # (3, rows)
    wrong = np.flatnonzero((lengths != lengths[0]).any(axis=0))
    if len(wrong):
        found = lengths[:, wrong[0]]
        at = int(np.flatnonzero(found != found[0])[0])
        must = f"a list as long as that of {columns[0]!r}, {found[0]}"
        got = f"{found[at]} in row {piece.start + wrong[0]}"
        raise cube.error(columns[at], must, got)
    mag, error, time = (part[0] for part in parts)
    has = lengths[0] > 0
    good = np.isfinite(mag) & np.isfinite(time) & np.isfinite(error) & (error > 0)
    good &= ~cube.sentinel(columns[0], mag) & ~cube.sentinel(columns[1], error)
    owner = np.repeat(np.arange(int(has.sum())), lengths[0][has])[good]
    time, mag, error = time[good], mag[good], error[good]
    order = np.lexsort((time, owner))  # stable: what is of one time stays in order
    counts = np.bincount(owner, minlength=int(has.sum()))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return LightCurveBatch(piece.rows()[has], indptr, time[order], mag[order], error[order])
