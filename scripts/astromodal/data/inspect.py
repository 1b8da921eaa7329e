"""All problems of a cube: those that its footer shows, and those of every value that is read.

`snakemake -n` reports the errors that the footer shows (`astromodal.data.check`); this module
starts from the same errors and then reads the cube, with the readers that jobs use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.config.base import A_FIELD_NAME, FIELD_NAME
from astromodal.config.inputs import FIELD
from astromodal.config.schema import Config
from astromodal.core.fields import cube_template
from astromodal.data.check import (
    Kinds,
    column_errors,
    nearest_of_absent,
    nearest_of_unread,
    read_columns,
)
from astromodal.data.columns import GAIA_COLUMN, Column, cutout_column
from astromodal.data.list_problems import (
    CutoutTally,
    GroupTally,
    InspectedCube,
    RowError,
    problem_of,
)
from astromodal.data.parquet import Footer, is_number, is_text
from astromodal.data.problems import (
    Problem,
    gaia_numbers,
    judge_designations,
    judge_gaia_ids,
    judge_large_ids,
    judge_numbers,
    judge_positions,
    judge_repeats,
)
from astromodal.data.splits import count_cut
from astromodal.errors import DataError, machine_error, must_be
from astromodal.surveys.registry import spectrum_group

_ROWS = 65_536
"""Rows of a column of numbers that are read at a time."""
_GAIA_IDS = ("gaia_source_id", "gaiaxp_source_id")
"""Columns that hold the number of `GAIA_COLUMN` too."""
_ID_NAMES = r"(?i)(source_?id|target_?id|obj_?id|designation)$"
"""Pattern of columns of whole numbers that float64 rounds."""
_MANY = 0.5
"""Share of rows without a magnitude, and of values that are not finite, which is likely a fault."""


def check_cube(
    path: str | Path, config: Config, say: Callable[[str], None] = lambda stage: None
) -> list[Problem]:
    """Return all problems of a cube, errors first.

    It is read a slice of rows at a time; no more than one column of numbers is in memory.

    Parameters
    ----------
    path : path
        The file. `field_of` gives the name of its field.
    config : Config
        The configuration, which names the columns that are read.
    say : callable
        Receives a few words for each stage, and from time to time while cutouts are read.

    Returns
    -------
    list of Problem
        None for a cube in which nothing is wrong.
    """
    path = Path(path)
    name = field_of(path, config)
    problems = [*_of_name(path, name)]
    try:
        kinds = Footer(path, name).kinds()
        problems += _of_footer(name, path.name, kinds, config)
        if len({each for each, _ in kinds}) == len(kinds):
            problems += _Inspection.of(path, name, kinds, config, say).problems()
    except (DataError, OSError) as error:
        problems.append(_unreadable(str(machine_error(error, path) or error)))
    return sorted(problems, key=lambda problem: problem.severity != "error")


def field_of(path: Path, config: Config) -> str:
    """Return the name of the field of a cube, by the template of the configuration.

    It is the file's name without its ending where that does not fit the template.
    """
    for template in (Path(cube_template(config)).name, f"datacube_{FIELD}.parquet"):
        before, _, after = template.partition(FIELD)
        if FIELD in template and path.name.startswith(before) and path.name.endswith(after):
            return path.name[len(before) : len(path.name) - len(after)]
    return path.stem


def _unreadable(line: str, column: str = "") -> Problem:
    """Return the problem of an error in words, from which the advice is taken."""
    what, _, do = line.rpartition("; ")
    return Problem("error", column, what or line, do if what else "write the cube again")


def _of_name(path: Path, name: str) -> Iterator[Problem]:
    if not re.fullmatch(FIELD_NAME, name):
        what = must_be(f"name of the field in {path.name}", A_FIELD_NAME, repr(name))
        yield Problem("error", "", what, "rename the file")


def _of_footer(name: str, file: str, kinds: Kinds, config: Config) -> Iterator[Problem]:
    """Yield what the names and types of columns show."""
    for error in column_errors(name, file, kinds, config):
        what = error.line.removesuffix(f"; {error.do}").removeprefix(f"field {name}: ")
        yield Problem("error", error.column, what, error.do)
    read, held = read_columns(config), {each for each, _ in kinds}
    for unread, close in nearest_of_unread(kinds, read).items():
        what = "is a column of lists that is not read" + (f"; nearest: {close!r}" if close else "")
        do = f"rename it {close}" if close else "leave it, or name its group or band in the config"
        yield Problem("warning", unread, what, do)
    plain = [column.name for column in read.values() if not column.kind.startswith("list")]
    for absent, close in nearest_of_absent(kinds, plain).items():
        what = f"is not read, and {absent!r}, which would be, is missing"
        yield Problem("warning", close, what, f"rename it {absent}, if it is that column")
    for group in map(spectrum_group, config.tokenizers.spectrum.groups):
        if group.partial and (lacking := group.lacking(held)):
            has = next(each for each in group.column_names if each in held)
            what = f"is not used: the cube lacks {', '.join(lacking)} of the group {group.name}"
            yield Problem("warning", has, what, "add these columns, or leave all of the group out")


@dataclass(frozen=True)
class _Inspection:
    """A cube that is being read, and the columns that can be read from it."""

    cube: InspectedCube
    config: Config
    usable: dict[str, Column]
    say: Callable[[str], None]

    @classmethod
    def of(
        cls, path: Path, name: str, kinds: Kinds, config: Config, say: Callable[[str], None]
    ) -> _Inspection:
        """Open a cube; columns of a wrong type, and groups with columns missing, are left out."""
        errors = column_errors(name, path.name, kinds, config)
        held, wrong = dict(kinds), {error.column for error in errors}
        settings = config.columns
        if settings.id not in held:  # no id is read then, and a cube cannot be opened without
            settings = settings.model_copy(update={"id": kinds[0][0]})
        read = read_columns(config).items()
        usable = {key: column for key, column in read if key in held and key not in wrong}
        return cls(InspectedCube(path, name, settings), config, usable, say)

    def problems(self) -> Iterator[Problem]:
        """Yield what the values show."""
        if not self.cube.n_rows:
            yield Problem("warning", "", "has no row", "leave the field out")
            return
        stages = {
            "identifiers": self._ids,
            "positions": self._positions,
            "numbers": self._all_numbers,
            "texts": self._texts,
            "spectra": self._spectra,
            "cutouts": self._cutouts,
        }
        for stage, check in stages.items():
            self.say(stage)
            yield from check()
        yield from _caught("", self._unchanged)

    def _unchanged(self) -> Iterator[Problem]:
        self.cube.require_unchanged()
        yield from ()

    def _ids(self) -> Iterator[Problem]:
        name = self.config.columns.id
        if name in self.usable:
            yield from _caught(name, self._repeats, name)
        yield from _caught(GAIA_COLUMN, self._gaia)
        for other, kind in self.cube.kinds():
            compared = GAIA_COLUMN in self.usable and other in _GAIA_IDS
            named = re.search(_ID_NAMES, other) and other not in self.usable
            if kind == "numbers" and named and not compared:
                yield from _caught(other, self._large_ids, other)

    def _repeats(self, name: str) -> Iterator[Problem]:
        what, do = "is that of an earlier row too", "give every row of a field its own id"
        yield from judge_repeats(name, self.cube.ids(), what, do)

    def _gaia(self) -> Iterator[Problem]:
        if GAIA_COLUMN not in self.usable:
            return
        names = self.cube.text(GAIA_COLUMN)
        yield from judge_designations(GAIA_COLUMN, names)
        what = "is that of an earlier row too"
        do = "keep the nearest match of each Gaia source, or leave it if both rows are that source"
        yield from judge_repeats(GAIA_COLUMN, names, what, do)
        for other in _GAIA_IDS:
            if other in self.cube.columns:
                numbers = self._id_numbers(other)
                yield from judge_gaia_ids(other, numbers, gaia_numbers(names), GAIA_COLUMN)

    def _large_ids(self, name: str) -> Iterator[Problem]:
        yield from judge_large_ids(name, self._id_numbers(name))

    def _id_numbers(self, name: str) -> list[int | float | None]:
        """Return a column of ids, numbers or texts, as numbers."""
        return [_whole(value) for value in self._column(name).to_pylist()]

    def _positions(self) -> Iterator[Problem]:
        names = (self.config.columns.ra, self.config.columns.dec)
        absent = [name for name in names if name not in self.cube.columns]
        for name in absent:
            do = "add it; until then ids decide on splits, and neighbours may stand in different"
            yield Problem("warning", name, "is missing: no row has a position", do)
        if not absent and all(name in self.usable for name in names):
            yield from _caught(names[0], self._positions_of, names)

    def _positions_of(self, names: tuple[str, str]) -> Iterator[Problem]:
        yield from judge_positions(names, *self.cube.scalars(names).T)
        for name in names:
            if (kind := self.cube.dtype(name)) in (pa.float32(), pa.float16()):
                what = f"is {kind}, which rounds positions to a tenth of an arcsec or worse"
                yield Problem("warning", name, what, "write positions as float64")

    def _all_numbers(self) -> Iterator[Problem]:
        places = (self.config.columns.ra, self.config.columns.dec)
        for name, column in self.usable.items():
            kind = self.cube.dtype(name)
            readable = is_number(kind) or pa.types.is_null(kind)
            if column.kind in ("number", "label") and readable and name not in places:
                yield from _caught(name, self._numbers, name)
        cut = self.config.selection.column
        if cut is not None and cut in self.usable:
            yield from _caught(cut, self._selection, cut)

    def _numbers(self, name: str) -> Iterator[Problem]:
        raw = pc.cast(self._column(name), pa.float64(), safe=False)
        yield from judge_numbers(name, raw.to_numpy(zero_copy_only=False), self.cube.scalar(name))

    def _column(self, name: str) -> pa.ChunkedArray:
        """Return a column as it is stored."""
        parts = [piece.table.column(0) for piece in self.cube.slices([name], _ROWS)]
        return pa.chunked_array(parts, self.cube.dtype(name))

    def _selection(self, cut: str) -> Iterator[Problem]:
        counts = count_cut(self.cube, self.config.selection)
        n, without = self.cube.n_rows, sum(counts.values())
        why = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
        do = "see selection.column, selection.minimum and selection.maximum"
        if without == n:
            yield Problem("warning", cut, f"selects no row ({why})", do, n, 0)
        elif counts["missing"] > _MANY * n:
            what = "is missing in most rows: these are not selected, and get no scalar codes"
            yield Problem("warning", cut, what, do, counts["missing"])

    def _texts(self) -> Iterator[Problem]:
        for name, column in self.usable.items():
            if column.kind in ("text", "label") and is_text(self.cube.dtype(name)):
                yield from _caught(name, self._read, self.cube.text, name)
        for flag, settings in self.config.columns.flags.items():
            if flag in self.usable:
                described = settings.columns[0]
                yield from _caught(flag, self._read, self.cube.unreliable, described)

    @staticmethod
    def _read(read: Callable[[str], np.ndarray], name: str) -> Iterator[Problem]:
        """Read a column, only to see whether it can be read."""
        read(name)
        yield from ()

    def _spectra(self) -> Iterator[Problem]:
        for group in map(spectrum_group, self.config.tokenizers.spectrum.groups):
            if all(name in self.usable for name in group.column_names):
                self.say(group.name)
                tally = GroupTally(group)
                yield from _caught(group.column_names[0], tally.problems, self.cube)

    def _cutouts(self) -> Iterator[Problem]:
        image = self.config.tokenizers.image
        bands = [band for band in image.bands if cutout_column(band) in self.usable]
        if bands:  # those of a wrong type are left out
            tally = CutoutTally(image.model_copy(update={"bands": tuple(bands)}))
            yield from _caught(cutout_column(bands[0]), tally.problems, self.cube, self.say)


def _caught(
    column: str, check: Callable[..., Iterator[Problem]], *arguments: Any
) -> Iterator[Problem]:
    """Yield the problems of a check with some arguments, and the error at which it stopped."""
    try:
        yield from check(*arguments)
    except RowError as error:
        yield problem_of(error)
    except (DataError, OSError) as error:
        yield _unreadable(str(machine_error(error) or error), column)


def _whole(value: object) -> int | float | None:
    """Return an id as a number; None for what is missing or none."""
    if isinstance(value, bytes | str):
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        return int(text) if text.strip().isdigit() else None
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float) else None
