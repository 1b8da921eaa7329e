"""Conversion of tables, arrays and mappings of columns of various packages to cubes.

Columns that the model reads are converted and written to a temporary parquet file, which the
workflow's code then reads. Of other columns only the names are used. The type of a table is
recognised without importing pandas or astropy.
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
from astromodal.inference.frame_columns import Converted, convert, is_a
from astromodal.inference.frame_values import Expected, UnfitError

SOURCES = (
    "a path, a Cube, a pandas DataFrame, an astropy Table, a pyarrow table, "
    "a structured array or a mapping of columns"
)
_REPAIR = "repair the column, or leave it out"
_FOREIGN = (
    pa.ArrowException, TypeError, ValueError, AttributeError, LookupError, OverflowError,
    NotImplementedError,
)  # fmt: skip
"""Errors that the package of a table raises on invalid columns."""


@dataclass(frozen=True)
class Frame:
    """The columns of a table, by position.

    Attributes
    ----------
    what : str
        Name of the table in errors.
    names : tuple
        Names of the columns, in order; they may repeat, and need not be text.
    column : callable of int
        Returns the values of a column.
    units : mapping of str to str
        Units of columns whose values have no unit attribute.
    index : tuple
        Names of index levels, which are not read.
    """

    what: str
    names: tuple[Hashable, ...]
    column: Callable[[int], Any]
    units: Mapping[str, Any] = field(default_factory=dict)
    index: tuple[Hashable, ...] = ()

    def error(self, column: str, must: str, got: object, do: str | None = _REPAIR) -> DataError:
        """Return the error that a column must be something else than it is."""
        return DataError(must_be(f"column {column!r} of {self.what}", must, got, do))


class FrameCube(Cube):
    """A cube of the rows of a table; errors name the table, not its temporary file.

    Its ``columns`` are all columns of the table, including those that are not read.

    Parameters
    ----------
    path : path
        The file that the columns were written to.
    frame : Frame
        The table.
    columns : ColumnSettings
        Names of the columns that identify and place a source.
    """

    def __init__(self, path: Path, frame: Frame, columns: ColumnSettings) -> None:
        self.frame = frame
        super().__init__(path, frame.what, columns)
        self.columns = frozenset(str(name) for name in frame.names)

    def error(self, column: str, must: str, got: object, do: str = _REPAIR) -> DataError:
        """Return the error that a column must be something else than it is."""
        return self.frame.error(column, must, got, do)

    def require(self, name: str, do: str | None = None) -> None:
        """Raise `DataError` if column `name`, which related columns need, is missing."""
        if name not in self.columns:
            near = suggestion(name, self.columns)
            do = do or "give it too, or leave out the columns that go with it"
            raise DataError(f"column {name!r} is missing from {self.frame.what}{near}; {do}")


def frame_of(source: Any) -> Frame:
    """Return the columns of a table.

    Raises
    ------
    DataError
        If `source` is not a table of a known kind.
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
    """Return the fields of a structured array, or of a FITS table with its units and nulls."""
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
    """Return the columns of an object that has Arrow's C interface."""
    what = f"the {type(source).__name__}"
    try:
        table = pa.table(source)
    except _FOREIGN as error:
        raise DataError(must_be("what to encode", SOURCES, f"{what} ({error})")) from error
    return Frame(what, tuple(table.column_names), table.column)


def frame_cube(
    source: Any,
    path: Path,
    read: Callable[[ColumnSettings], Mapping[str, Expected]],
    columns: ColumnSettings | None,
) -> FrameCube:
    """Write a table to a file and open it as a cube.

    Parameters
    ----------
    source : object
        The table.
    path : path
        The parquet file to write.
    read : callable
        Returns the columns to read, given the names of those that identify a source.
    columns : ColumnSettings, optional
        Names of the columns that identify and place a source.

    Raises
    ------
    DataError
        If `source` is not a table, has no ids, or has a column to read twice or of a wrong type.
    """
    settings = columns or ColumnSettings()
    frame, expected = frame_of(source), read(settings)
    _check_names(frame, expected, settings.id)
    places = {str(name): i for i, name in enumerate(frame.names)}
    converted = {
        name: _converted(frame, places[name], each)
        for name, each in expected.items()
        if name in places
    }
    _check_lengths(frame, {name: len(each.column) for name, each in converted.items()})
    _write(pa.table(_joined(converted, expected)), path)
    return FrameCube(path, frame, settings)


def _write(table: pa.Table, path: Path) -> None:
    """Write a table without compression, as the file is read only once.

    Ids are not dictionary-encoded: `Cube` recognises a whole file by their least size.
    """
    try:
        pq.write_table(table, path, compression="none", use_dictionary=False)
    except OSError as error:
        raise machine_error(error, path.parent) or error from error


def _check_names(frame: Frame, expected: Mapping[str, Expected], identifier: str) -> None:
    """Raise `DataError` if names are not text or repeat, or the id or an index level is missing."""
    others = [name for name in frame.names if not isinstance(name, str)]
    if others:
        got = ", ".join(f"{name!r} ({type(name).__name__})" for name in others[:3])
        do = "rename the columns, or leave them out"
        raise DataError(must_be(f"names of columns of {frame.what}", "text", got, do))
    twice = [name for name, n in Counter(frame.names).items() if n > 1 and name in expected]
    if twice:
        do = "rename or leave out one of them"
        what = f"names of columns of {frame.what}"
        raise DataError(must_be(what, "unique", f"{', '.join(map(repr, twice[:3]))} twice", do))
    missing = [name for name in expected if name not in frame.names]
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


def _converted(frame: Frame, place: int, expected: Expected) -> Converted:
    """Convert a column of a table to that of a cube."""
    name = expected.name
    try:
        return convert(frame.column(place), expected, frame.units.get(name))
    except UnfitError as error:
        raise frame.error(name, error.must, error.got, error.do or _REPAIR) from error
    except _FOREIGN as error:
        got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]:.200}"
        raise frame.error(name, expected.kind.value, got) from error


def _check_lengths(frame: Frame, lengths: Mapping[str, int]) -> None:
    """Raise `DataError` if columns differ in length."""
    first = next(iter(lengths))
    for name, length in lengths.items():
        if length != lengths[first]:
            must = f"as long as column {first!r}, {lengths[first]}"
            raise frame.error(name, must, length, "give every column one value per row")


def _joined(
    converted: Mapping[str, Converted], expected: Mapping[str, Expected]
) -> dict[str, pa.Array]:
    """Return the columns; lists of a group are null in rows where one is masked or NaN throughout.

    An array of two dimensions has no other way to mark a row without a spectrum.
    """
    voids: dict[str, np.ndarray] = {}
    for name, each in converted.items():
        if each.void is not None:
            group = expected[name].group
            voids[group] = each.void | voids.get(group, False)
    columns = {}
    for name, each in converted.items():
        void = voids.get(expected[name].group)
        columns[name] = each.column if void is None else _without(each.column, void)
    return columns


def _without(column: pa.ChunkedArray, rows: np.ndarray) -> pa.ChunkedArray:
    if not rows.any() or pa.types.is_null(column.type):
        return column
    return pc.if_else(pa.array(rows), pa.scalar(None, column.type), column)
