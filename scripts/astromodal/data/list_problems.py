"""Problems of lists in a cube: spectra, light curves and cutouts, read a slice of rows at a time.

Spectra and light curves are read by the readers that jobs use. A reader stops at its first error:
it is given ever fewer rows, until each row that it refuses is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.data.columns import PIXELS, cutout_column
from astromodal.data.cube import Cube, Slice
from astromodal.data.cutouts import CutoutSlice, cutout_slices, valid_pixels
from astromodal.data.parquet import flatten, list_lengths
from astromodal.data.problems import (
    Problem,
    judge_fluxes,
    judge_times,
    judge_unit,
    judge_whole_share,
)
from astromodal.data.spectra import ROWS
from astromodal.errors import REPAIR, DataError
from astromodal.surveys.group import Batch, SpectrumGroup
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.surveys.spectra import GridGroup, ListGroup, SpectrumBatch, good_pixels

_OFTEN = 4096
"""Rows of cutouts after which a stage is announced again."""


class RowError(DataError):
    """What a column of a cube must be and is not, in parts, as a reader finds it."""

    def __init__(self, column: str, message: str, must: str, got: str, do: str) -> None:
        super().__init__(message)
        self.column, self.must, self.got, self.do = column, must, got, do


class InspectedCube(Cube):
    """A cube whose readers raise `RowError`."""

    def error(self, column: str, must: str, got: object, do: str = REPAIR) -> DataError:
        """Return the error in parts, with the message that jobs print."""
        message = str(super().error(column, must, got, do))
        return RowError(column, message, must, str(got), do)


def problem_of(error: RowError, n_rows: int | None = None, first: int | None = None) -> Problem:
    """Return the problem of a reader's error.

    Where numbers of rows are not given, they are taken from the words of the error.
    """
    if n_rows is None and (found := re.search(r"^(\d+) of \d+ .* row (\d+)", error.got)):
        n_rows, first = int(found[1]), int(found[2])
    what = f"must be {error.must}, got {error.got}"
    return Problem("error", error.column, what, error.do, n_rows, first, f"{error.got:.60}")


@dataclass
class _Rows:
    """Rows with the same problem: their number, the first, and what is there."""

    n: int = 0
    first: int | None = None
    example: str = ""

    def add(self, rows: np.ndarray, example: Callable[[], object]) -> None:
        """Add numbers of rows, ascending; `example` shows the first of them."""
        if len(rows) and self.first is None:
            self.first, self.example = int(rows[0]), f"{example()!s:.60}"
        self.n += len(rows)

    def problem(self, column: str, what: str, do: str) -> Iterator[Problem]:
        """Yield the problem of the rows; none for no row."""
        if self.n:
            yield Problem("warning", column, what, do, self.n, self.first, self.example)


@dataclass
class GroupTally:
    """What is wrong with one group of spectra or light curves.

    Attributes
    ----------
    group : SpectrumGroup
        The group.
    """

    group: SpectrumGroup
    _refused: dict[tuple[str, str], tuple[RowError, list[int]]] = field(default_factory=dict)
    _negative: _Rows = field(default_factory=_Rows)
    _dead: _Rows = field(default_factory=_Rows)
    _levels: list[np.ndarray] = field(default_factory=list)
    _times: list[np.ndarray] = field(default_factory=list)
    _n: int = 0
    _n_values: int = 0
    _n_finite: int = 0

    def problems(self, cube: Cube) -> Iterator[Problem]:
        """Read the group from a cube, and yield what is wrong with it."""
        names = self.group.column_names
        for piece in cube.slices(names, ROWS):
            for part, batch in self._read(piece):
                self._add(part, batch)
        for error, rows in self._refused.values():
            yield problem_of(error, len(rows), rows[0])
        if self._n:
            yield from self._judged()

    def _read(self, piece: Slice) -> Iterator[tuple[Slice, Batch]]:
        """Yield what can be read of a slice, in parts; note the rows that are refused."""
        group = self.group
        try:
            read = group.read_observed if isinstance(group, GridGroup) else group.read
            yield piece, read(piece)
        except DataError as error:
            n = piece.table.num_rows
            if n > 1:
                for start, size in ((0, n // 2), (n // 2, n - n // 2)):
                    table = piece.table.slice(start, size)
                    yield from self._read(replace(piece, start=piece.start + start, table=table))
                return
            if not isinstance(error, RowError):  # a group of a user's own raised it
                error = RowError(group.column_names[0], str(error), "readable", str(error), REPAIR)
            _, rows = self._refused.setdefault((error.column, error.must), (error, []))
            rows.append(piece.start)

    def _add(self, piece: Slice, batch: Batch) -> None:
        live = batch.live()
        self._n += len(live)
        self._dead.add(batch.row[~live], lambda: "")
        if isinstance(batch, SpectrumBatch):
            self._add_spectra(batch, live)
        elif isinstance(batch, LightCurveBatch):
            starts = batch.indptr[:-1][live]
            self._levels.append(batch.mag[starts])
            self._times.append(batch.time[starts])
            self._add_errors(piece)

    def _add_spectra(self, batch: SpectrumBatch, live: np.ndarray) -> None:
        good = good_pixels(batch.flux, batch.ivar)[live]
        self._n_values += batch.flux.size
        self._n_finite += int(np.isfinite(batch.flux).sum())
        sizes = np.where(good, np.abs(batch.flux[live]), np.nan)
        self._levels.append(np.nanmedian(sizes, axis=1) if len(sizes) else np.empty(0))
        below = (batch.ivar < 0).any(axis=1)
        self._negative.add(batch.row[below], lambda: np.nanmin(batch.ivar[below][0]))

    def _add_errors(self, piece: Slice) -> None:
        """Note the light curves with a negative error."""
        values, lengths = piece.lists(self.group.column_names[1], np.float64)
        owner = np.unique(np.repeat(np.arange(len(lengths)), lengths)[values < 0])
        self._negative.add(piece.rows()[owner], lambda: values[values < 0][0])

    def _judged(self) -> Iterator[Problem]:
        value, error, axis = self.group.column_names[:3]
        levels = np.concatenate(self._levels) if self._levels else np.empty(0)
        if self.group.kind == "light_curve":
            yield from judge_unit(value, levels)
            yield from judge_times(axis, np.concatenate(self._times))
            what, do = "has negative errors: these epochs are left out", "write their size"
            yield from self._negative.problem(error, what, do)
        elif isinstance(self.group, GridGroup):
            yield from judge_fluxes(value, levels, self.group.values.unit, len(levels))
            yield from judge_whole_share(value, self._n_finite, self._n_values)
        if isinstance(self.group, ListGroup):
            what, do = "is negative: these pixels are bad", "write 0 for a bad pixel"
            yield from self._negative.problem(error, what, do)
        # Some fibres of DESI have no light; coefficients without good errors are a fault.
        alarming = self.group.kind == "coefficients" or self._dead.n == self._n
        if alarming:
            what = "has no good value in these rows: an error that is no positive number, perhaps"
            do = "see values and errors of these rows; fibres without light have inverse variance 0"
            yield from self._dead.problem(error, what, do)


@dataclass
class CutoutTally:
    """What is wrong with the cutouts.

    Attributes
    ----------
    settings : ImageSettings
        Bands, and the side of a cutout.
    """

    settings: ImageSettings
    _short: _Rows = field(default_factory=_Rows)
    _short_band: str = ""
    _blank: _Rows = field(default_factory=_Rows)
    _levels: dict[str, list[float]] = field(default_factory=dict)
    _n_values: dict[str, int] = field(default_factory=dict)
    _n_valid: dict[str, int] = field(default_factory=dict)

    def problems(self, cube: Cube, say: Callable[[str], None]) -> Iterator[Problem]:
        """Read the cutouts of a cube, and yield what is wrong with them."""
        said = 0
        for part in cutout_slices(cube, self.settings):
            self._add(part)
            if part.start - said >= _OFTEN:
                said = part.start
                say(f"cutouts, row {said:,} of {cube.n_rows:,}")
        size = self.settings.size
        what = f"is no list of {size} x {size} values: the cutout is missing, and no job stops"
        do = "cut it out with a margin of its own, filled with NaN, or leave it"
        yield from self._short.problem(self._short_band, what, do)
        first = next(iter(self._n_values), "")
        what = "has cutouts whose pixels are all 0 or not finite, in every band: they are missing"
        yield from self._blank.problem(first, what, "write null")
        for name, levels in self._levels.items():
            yield from judge_fluxes(name, np.array(levels), PIXELS)
            yield from judge_whole_share(name, self._n_valid[name], self._n_values[name])

    def _add(self, part: CutoutSlice) -> None:
        rows = part.start + np.arange(len(part.short))
        if part.short.any() and not self._short_band:
            self._short_band, example = self._wrong(part, int(np.argmax(part.short)))
            self._short.add(rows[part.short], lambda: example)
        else:
            self._short.add(rows[part.short], lambda: "")
        self._blank.add(rows[part.blank], lambda: "")
        for band in part.present:
            name = cutout_column(band)
            values, lengths, _ = flatten(part.table.column(name))
            valid = valid_pixels(values)
            self._n_values[name] = self._n_values.get(name, 0) + len(values)
            self._n_valid[name] = self._n_valid.get(name, 0) + int(valid.sum())
            levels = self._levels.setdefault(name, [])
            # One cutout of each slice shows the unit.
            if some := lengths.max(initial=0):
                start = int(np.argmax(lengths == some))
                begin = int(lengths[:start].sum())
                pixels = np.abs(values[begin : begin + some][valid[begin : begin + some]])
                levels += [float(np.median(pixels))] if len(pixels) else []

    def _wrong(self, part: CutoutSlice, row: int) -> tuple[str, str]:
        """Return the first column of a row whose list has a wrong length, and this length."""
        for band in part.present:
            lengths, valid = list_lengths(part.table.column(cutout_column(band)))
            if valid[row] and lengths[row] != self.settings.size**2:
                return cutout_column(band), f"{lengths[row]} values"
        return "", ""
