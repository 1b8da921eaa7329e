"""Frames as cubes: tables, arrays and mappings of columns, of whatever package.

A frame is looked at through its columns. Those that the model reads are converted and written to a
temporary parquet file, which the workflow's own code then reads; of all others only the names are
looked at. pandas and astropy are not imported to find out whether an object is theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from astromodal.config.inputs import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.errors import DataError, machine_error, must_be, suggestion
from astromodal.inference.frame_columns import Found, convert, is_a
from astromodal.inference.frame_values import UnfitError, Wanted

SOURCES = (
    "a path, a Cube, a pandas DataFrame, an astropy Table, a pyarrow table, "
    "a structured array or a mapping of columns"
)
_MEND = "mend the column, or leave it out"
_FOREIGN = (
    pa.ArrowException, TypeError, ValueError, AttributeError, LookupError, OverflowError,
    NotImplementedError,
)  # fmt: skip
"""What the packages of a frame's columns raise where one is not what it seems."""


@dataclass(frozen=True)
class Frame:
    """Columns of some object, by their places.

    Attributes
    ----------
    what : str
        What errors call it.
    names : tuple
        Names of the columns, in order; a name may stand twice, and need not be text.
    column : callable of int
        The values of a column.
    units : mapping of str to str
        Units that the values do not carry.
    index : tuple
        Names of the columns of the index, which is not read.
    """

    what: str
    names: tuple[Hashable, ...]
    column: Callable[[int], Any]
    units: Mapping[str, Any] = field(default_factory=dict)
    index: tuple[Hashable, ...] = ()

    def error(self, column: str, must: str, got: object, do: str | None = _MEND) -> DataError:
        """The error that says what a column must be, and was found to be instead."""
        return DataError(must_be(f"column {column!r} of {self.what}", must, got, do))


class FrameCube(Cube):
    """The cube of a frame, of whose file errors do not speak.

    Its ``columns`` are all names of the frame, and among them those that are not read.

    Parameters
    ----------
    path : path
        The file that the columns were written to.
    frame : Frame
        Where they are from.
    columns : ColumnSettings
        Names of the columns that identify and place a source.
    """

    def __init__(self, path: Path, frame: Frame, columns: ColumnSettings) -> None:
        self.frame = frame
        super().__init__(path, frame.what, columns)
        self.columns = frozenset(str(name) for name in frame.names)

    def error(self, column: str, must: str, got: object, do: str = _MEND) -> DataError:
        """The error that says what a column must be, and was found to be instead."""
        return self.frame.error(column, must, got, do)

    def require(self, name: str, do: str | None = None) -> None:
        """Raise `DataError` where column `name` is missing, which others of its kind call for."""
        if name not in self.columns:
            near = suggestion(name, self.columns)
            do = do or "give it too, or leave out the columns that go with it"
            raise DataError(f"column {name!r} is missing from {self.frame.what}{near}; {do}")


def frame_of(source: Any) -> Frame:
    """The columns of an object.

    Raises
    ------
    DataError
        Where it is no frame.
    """
    if isinstance(source, pa.Table | pa.RecordBatch):
        what = f"the pyarrow {type(source).__name__}"
        return Frame(what, tuple(source.schema.names), source.column)
    if is_a(source, "pandas", "DataFrame"):
        index = tuple(name for name in source.index.names if name is not None)
        names = tuple(source.columns)
        return Frame("the DataFrame", names, lambda i: source.iloc[:, i], index=index)
    if is_a(source, "astropy", "Table"):
        what = "the QTable" if is_a(source, "astropy", "QTable") else "the astropy Table"
        names = tuple(source.colnames)
        return Frame(what, names, lambda i: source[names[i]])
    if isinstance(source, np.ndarray) and source.dtype.names is not None and source.ndim == 1:
        return _structured(source)
    if isinstance(source, Mapping):
        keys = list(source)
        return Frame("the mapping of columns", tuple(keys), lambda i: source[keys[i]])
    if hasattr(source, "__arrow_c_stream__") and not is_a(source, "pandas", "Series"):
        return _streamed(source)
    got = type(source).__name__
    if isinstance(source, np.ndarray):
        got = f"an array of shape {source.shape} and dtype {source.dtype}"
    raise DataError(must_be("what to encode", SOURCES, got))


def _structured(source: np.ndarray) -> Frame:
    """The fields of a structured array, or of a FITS table's data, which says more of them."""
    names = tuple(source.dtype.names or ())
    if not is_a(source, "astropy", "FITS_rec"):
        return Frame("the structured array", names, lambda i: source[names[i]])
    columns: Any = source.columns  # type: ignore[attr-defined]

    def column(i: int) -> Any:
        values, null = source[names[i]], columns[i].null
        if null in (None, "") or np.asarray(values).dtype.kind not in "iu":
            return values
        return np.ma.masked_equal(values, null)

    units = {str(each.name): each.unit for each in columns if each.unit}
    return Frame("the FITS table", tuple(columns.names), column, units)


def _streamed(source: Any) -> Frame:
    """What any package gives that speaks Arrow's C interface."""
    what = f"the {type(source).__name__}"
    try:
        table = pa.table(source)
    except _FOREIGN as error:
        raise DataError(must_be("what to encode", SOURCES, f"{what} ({error})")) from error
    return Frame(what, tuple(table.column_names), table.column)


def frame_cube(
    source: Any,
    path: Path,
    read: Callable[[ColumnSettings], Mapping[str, Wanted]],
    columns: ColumnSettings | None,
) -> FrameCube:
    """The cube of a frame's rows.

    Parameters
    ----------
    source : object
        The frame.
    path : path
        Where the columns that are read are written.
    read : callable
        The columns that are read, given the names of those that identify a source.
    columns : ColumnSettings, optional
        Names of the columns that identify and place a source.

    Raises
    ------
    DataError
        Where it is no frame, lacks the id, has a column that is read twice, or one that is not what
        it must be.
    """
    settings = columns or ColumnSettings()
    frame, wanted = frame_of(source), read(settings)
    _check_names(frame, wanted, settings.id)
    places = {str(name): i for i, name in enumerate(frame.names)}
    found = {
        name: _converted(frame, places[name], each)
        for name, each in wanted.items()
        if name in places
    }
    _check_lengths(frame, {name: len(each.column) for name, each in found.items()})
    _write(pa.table(_joined(found, wanted)), path)
    return FrameCube(path, frame, settings)


def _write(table: pa.Table, path: Path) -> None:
    """Write a file that is read once: packing it would not pay.

    Ids are not encoded either: what they take at least is what tells a whole file (`Cube`).
    """
    try:
        pq.write_table(table, path, compression="none", use_dictionary=False)
    except OSError as error:
        raise machine_error(error, path.parent) or error from error


def _check_names(frame: Frame, wanted: Mapping[str, Wanted], identifier: str) -> None:
    """Raise `DataError` where names are no text, stand twice, or only the index has one."""
    others = [name for name in frame.names if not isinstance(name, str)]
    if others:
        got = ", ".join(f"{name!r} ({type(name).__name__})" for name in others[:3])
        do = "rename the columns, or leave them out"
        raise DataError(must_be(f"names of columns of {frame.what}", "text", got, do))
    twice = [name for name, n in Counter(frame.names).items() if n > 1 and name in wanted]
    if twice:
        do = "rename or leave out one of them"
        what = f"names of columns of {frame.what}"
        raise DataError(must_be(what, "unique", f"{', '.join(map(repr, twice[:3]))} twice", do))
    missing = [name for name in wanted if name not in frame.names]
    for name in missing:
        if name in frame.index:
            do = "the index is not read: call reset_index() first"
            raise DataError(f"column {name!r} of {frame.what} is its index; {do}")
    if identifier in missing:
        near = suggestion(identifier, [str(name) for name in frame.names])
        do = "; name another with columns=ColumnSettings(id=…)"
        if frame.what == "the DataFrame":
            do += ", or, where the index holds the ids, call rename_axis and reset_index() first"
        raise DataError(f"column {identifier!r} is missing from {frame.what}{near}{do}")


def _converted(frame: Frame, place: int, wanted: Wanted) -> Found:
    """A column of a frame as a cube has it."""
    name = wanted.name
    try:
        return convert(frame.column(place), wanted, frame.units.get(name))
    except UnfitError as error:
        raise frame.error(name, error.must, error.got, error.do or _MEND) from error
    except _FOREIGN as error:
        got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]:.200}"
        raise frame.error(name, wanted.kind.value, got) from error


def _check_lengths(frame: Frame, lengths: Mapping[str, int]) -> None:
    """Raise `DataError` where columns differ in length."""
    first = next(iter(lengths))
    for name, length in lengths.items():
        if length != lengths[first]:
            must = f"as long as column {first!r}, {lengths[first]}"
            raise frame.error(name, must, length, "give every column one value a row")


def _joined(found: Mapping[str, Found], wanted: Mapping[str, Wanted]) -> dict[str, pa.Array]:
    """The columns, and the lists of a group null where one of them is masked or NaN throughout.

    An array of two dimensions cannot say otherwise that a row has no spectrum.
    """
    voids: dict[str, np.ndarray] = {}
    for name, each in found.items():
        if each.void is not None:
            group = wanted[name].group
            voids[group] = each.void | voids.get(group, False)
    columns = {}
    for name, each in found.items():
        void = voids.get(wanted[name].group)
        columns[name] = each.column if void is None else _without(each.column, void)
    return columns


def _without(column: pa.ChunkedArray, rows: np.ndarray) -> pa.ChunkedArray:
    if not rows.any() or pa.types.is_null(column.type):
        return column
    return pc.if_else(pa.array(rows), pa.scalar(None, column.type), column)
