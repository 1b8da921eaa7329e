"""The datacube of one field, read a slice of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike

from astromodal.config.inputs import ColumnSettings
from astromodal.data.check import repeated_names
from astromodal.data.columns import ACCEPTED, NAME_IDS
from astromodal.data.parquet import (
    Footer,
    flatten,
    is_bytes,
    is_list,
    is_number,
    is_text,
)
from astromodal.data.provenance import PROVENANCE, Provenance, provenance_of
from astromodal.data.values import is_sentinel, is_unreliable, sentinels_of
from astromodal.errors import REPAIR, ChangedError, DataError, missing_column, must_be
from astromodal.storage.hashing import FileVersion

_LONGEST_ID = 256  # characters; the array of ids is as wide as the longest id


@dataclass(frozen=True)
class Slice:
    """Consecutive rows of a cube, with some of its columns.

    It is a `astromodal.surveys.group.CubeSlice`: readers of spectra and light curves get it.

    Attributes
    ----------
    start : int
        Number of the first row.
    table : pyarrow.RecordBatch
        The columns.
    cube : Cube
        The cube that the rows are read from.
    """

    start: int
    table: pa.RecordBatch
    cube: Cube

    def rows(self) -> np.ndarray:
        """Return the row numbers in the cube, int32 (m,)."""
        return np.arange(self.start, self.start + self.table.num_rows, dtype=np.int32)

    def lists(self, name: str, dtype: DTypeLike = np.float32) -> tuple[np.ndarray, np.ndarray]:
        """Return all values of a column of lists, `dtype` (n,), and the lengths, int64 (m,).

        A null list has length 0. A null value is NaN.
        """
        values, lengths, _ = flatten(self.table.column(name), dtype)
        return values, lengths

    def objects(self, name: str) -> list[Any]:
        """Return the values of a column as Python objects: text as bytes, null as None."""
        column = self.table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if is_text(column.type):
            column = column.cast(pa.large_binary())  # damaged text may be no UTF-8
        return column.to_pylist()

    def sentinel(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return which values of column `name` stand for missing ones, bool like `values`."""
        return self.cube.sentinel(name, values)

    def error(self, column: str, must: str, got: object) -> DataError:
        """Return the error which says what a column must be and what it holds instead."""
        return self.cube.error(column, must, got)


class Cube:
    """The datacube of a field, opened for reading.

    Parameters
    ----------
    path : path
        The parquet file.
    field : str
        Name of the field, used in errors.
    columns : ColumnSettings
        Names of the columns that identify and place a source, sentinels and flags.

    Raises
    ------
    DataError
        Where the file is no parquet file, is empty or cut short, has a footer that contradicts
        itself, or lacks the column of identifiers.
    """

    def __init__(self, path: str | Path, field: str, columns: ColumnSettings | None = None) -> None:
        self._footer = Footer(path, field)
        self.path, self.field = self._footer.path, field
        self.settings = columns or ColumnSettings()
        self.version, self.n_rows = self._footer.version, self._footer.n_rows
        names = self._footer.schema.names
        self.columns = frozenset(names)
        if error := repeated_names(field, self.path.name, names):
            raise DataError(error)
        self.require(self.settings.id, NAME_IDS)

    def error(self, column: str, must: str, got: object, do: str = REPAIR) -> DataError:
        """Return the error which says what a column must be and what it holds instead."""
        what = f"field {self.field}: column {column!r} of {self.path.name}"
        return DataError(must_be(what, must, got, do))

    def require_lists(self, name: str) -> None:
        """Raise `DataError` where column `name` holds anything but lists of numbers or nulls."""
        kind = self.dtype(name)
        if not (is_list(kind) or pa.types.is_null(kind)):
            raise self.error(name, ACCEPTED["list"][0], str(kind))

    def require(self, name: str, do: str | None = None) -> None:
        """Raise `DataError` where column `name` is missing; it names the nearest column."""
        if name not in self.columns:
            raise DataError(missing_column(self.field, self.path.name, name, self.columns, do))

    def kinds(self) -> list[tuple[str, str]]:
        """Return the name of each column and what it holds, as `Footer.kinds` does."""
        return self._footer.kinds()

    def row_groups(self) -> list[range]:
        """Return the rows of each row group: the parts of the file that are read by themselves."""
        return [range(span.start, span.end) for span in self._footer.spans(0)]

    @property
    def provenance(self) -> dict[str, Provenance]:
        """What each source of raw files gave, by source; empty for a cube that was not built.

        Raises
        ------
        DataError
            Where these metadata are damaged.
        """
        try:
            return provenance_of(self._footer.metadata)
        except ValueError as error:
            what = f"field {self.field}: metadata {PROVENANCE.decode()!r} of {self.path.name}"
            must, do = "those of a cube that was built", "delete the cube and build it again"
            raise DataError(must_be(what, must, str(error), do)) from error

    def require_unchanged(self) -> None:
        """Raise `ChangedError` where the file was written to since it was opened."""
        now = FileVersion.of(self.path)
        if now != self.version:
            what = f"field {self.field}: {self.path.name}"
            must, do = f"the file that was opened ({self.version})", "run again once it is whole"
            raise ChangedError(must_be(what, must, now, do))

    def slices(
        self, columns: Sequence[str], rows: int, keep: np.ndarray | None = None
    ) -> Iterator[Slice]:
        """Stream some columns in row order.

        Parameters
        ----------
        columns : sequence of str
            Names of the columns.
        rows : int
            Most rows of a slice.
        keep : bool (n,), optional
            Rows of interest: row groups without any of them are not read.
        """
        for span in self._footer.spans(rows, keep):
            start = span.start
            for batch in self._footer.read(columns, rows, span):
                yield Slice(start, batch, self)
                start += batch.num_rows

    def ids(self) -> np.ndarray:
        """Return the identifiers as text, unicode (n,), whatever type the column has.

        Blanks and NULs at the end of bytes are the padding of a fixed width; they are left out.

        Raises
        ------
        DataError
            Where the column holds no text, bytes or whole numbers, or where an id is missing,
            longer than 256 characters or no UTF-8 text.
        """
        name = self.settings.id
        if not is_text(self.dtype(name)) and not pa.types.is_integer(self.dtype(name)):
            do = "name another column in columns.id"
            raise self.error(name, ACCEPTED["id"][0], str(self.dtype(name)), do)
        column = self._texts(name)
        if is_bytes(self.dtype(name)):
            column = pc.utf8_rtrim(column, " \0")
        lengths = pc.fill_null(pc.utf8_length(column), 0).to_numpy()
        for wrong, must in (
            (lengths == 0, "present in every row"),
            (lengths > _LONGEST_ID, f"of at most {_LONGEST_ID} characters"),
        ):
            if wrong.any():
                got = f"{wrong.sum()} of {self.n_rows} rows not, from row {wrong.argmax()} on"
                raise self.error(name, must, got)
        return np.asarray(column.to_pylist(), dtype=np.str_) if self.n_rows else np.empty(0, "U1")

    def scalar(self, name: str) -> np.ndarray:
        """Return one numeric column, float64 (n,); missing values are NaN."""
        return self.scalars([name])[:, 0]

    def scalars(self, names: Sequence[str]) -> np.ndarray:
        """Return numeric columns, float64 (n, columns); missing values, absent columns are NaN.

        A value is missing that is null, NaN, infinite, a sentinel, or unreliable by its flag. The
        array is in column-major order, because its users work on one column at a time.

        Raises
        ------
        DataError
            Where a column holds no numbers.
        """
        values = np.full((self.n_rows, len(names)), np.nan, order="F")
        present = [name for name in names if name in self.columns]
        if not present or not self.n_rows:
            return values
        table = self._table(present)
        for place, name in enumerate(names):
            if name in self.columns:
                numbers = self._numbers(name, table.column(name))
                known = (
                    np.isfinite(numbers) & ~self.sentinel(name, numbers) & ~self.unreliable(name)
                )
                np.copyto(values[:, place], numbers, where=known)
        return values

    def sentinel(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return which values of column `name` stand for missing ones, bool like `values`."""
        return is_sentinel(values, sentinels_of(name, self.settings))

    def unreliable(self, name: str) -> np.ndarray:
        """Return the rows whose flags say that column `name` is not reliable, bool (n,)."""
        wrong = np.zeros(self.n_rows, dtype=bool)
        for flag, settings in self.settings.flags.items():
            if name in settings.columns and flag in self.columns:
                wrong |= is_unreliable(self._flags(flag), settings)
        return wrong

    def count_missing(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count the values that are present but treated as missing.

        Parameters
        ----------
        names : sequence of str
            Columns of numbers or text; those that the cube lacks are left out.

        Returns
        -------
        dict
            Number of rows by reason (``sentinel``, ``unreliable``) and column; columns without
            such rows are left out.
        """
        counts: dict[str, dict[str, int]] = {"sentinel": {}, "unreliable": {}}
        present = [name for name in dict.fromkeys(names) if name in self.columns]
        numeric = [name for name in present if is_number(self.dtype(name))]
        table = self._table(numeric)
        for name in present:
            unreliable, sentinel = self.unreliable(name), np.zeros(self.n_rows, dtype=bool)
            if is_text(self.dtype(name)):
                unreliable &= self._stripped(self._texts(name)) != ""
            else:
                column = (table if name in numeric else self._table([name])).column(name)
                numbers = self._numbers(name, column)
                sentinel = self.sentinel(name, numbers)
                unreliable &= np.isfinite(numbers) & ~sentinel
            for reason, rows in (("sentinel", sentinel), ("unreliable", unreliable)):
                if rows.any():
                    counts[reason][name] = int(rows.sum())
        return counts

    def text(self, name: str) -> np.ndarray:
        """Return one column of text, unicode (n,).

        A text is empty where it is missing or unreliable, or where the cube lacks the column.

        Raises
        ------
        DataError
            Where the column holds no text.
        """
        if name not in self.columns:
            return np.full(self.n_rows, "", dtype="U1")
        if pa.types.is_null(self.dtype(name)):
            return np.full(self.n_rows, "", dtype="U1")
        if not is_text(self.dtype(name)):
            raise self.error(name, ACCEPTED["text"][0], str(self.dtype(name)))
        return np.where(self.unreliable(name), "", self._stripped(self._texts(name)))

    def _flags(self, name: str) -> np.ndarray:
        """Return one column of flags, texts or numbers, unicode (n,); empty where missing."""
        kind = self.dtype(name)
        if pa.types.is_floating(kind):  # whole numbers and nulls, as pandas keeps them
            numbers = self._numbers(name, self._table([name]).column(name))
            texts = [f"{value:g}" if np.isfinite(value) else "" for value in numbers.tolist()]
            return np.asarray(texts, dtype=np.str_)
        if pa.types.is_null(kind) or pa.types.is_integer(kind) or is_text(kind):
            return self._stripped(self._texts(name))
        do = "name another column in columns.flags"
        raise self.error(name, ACCEPTED["flag"][0], str(kind), do)

    @staticmethod
    def _stripped(texts: pa.ChunkedArray) -> np.ndarray:
        """Return texts without blanks around them, unicode (n,); empty where null."""
        values = np.asarray(texts.fill_null("").to_pylist(), dtype=np.str_)
        return np.char.strip(values) if len(values) else np.empty(0, "U1")

    def dtype(self, name: str) -> pa.DataType:
        """Return the Arrow type of column `name`."""
        self.require(name)
        return self._footer.schema.field(name).type

    def _numbers(self, name: str, column: pa.ChunkedArray) -> np.ndarray:
        kind = column.type
        if not (is_number(kind) or pa.types.is_null(kind)):
            raise self.error(name, ACCEPTED["number"][0], str(kind))
        return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)

    def _texts(self, name: str) -> pa.ChunkedArray:
        """Return a column of text, bytes or whole numbers as text."""
        column = self._table([name]).column(0)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not pa.types.is_integer(column.type):
            column = column.cast(pa.large_binary())  # Arrow does not check text for UTF-8
        try:
            return pc.cast(column, pa.string())
        except pa.ArrowInvalid as error:
            raise self.error(name, "UTF-8 text", str(error)) from error

    def _table(self, columns: Sequence[str]) -> pa.Table:
        batches = [piece.table for piece in self.slices(columns, 65_536)] if columns else []
        schema = pa.schema([self._footer.schema.field(name) for name in columns])
        return (
            pa.Table.from_batches(batches, schema).select(list(columns))
            if batches
            else schema.empty_table()
        )
