"""Reading one field's datacube, a slice of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from astromodal.config.schema import ColumnSettings
from astromodal.core.version import FileVersion
from astromodal.errors import DataError, must_be, suggestion

_BUFFER = 1 << 20  # byte


@dataclass(frozen=True)
class Slice:
    """Consecutive rows of a cube: the first one's number, and the columns asked for."""

    start: int
    table: pa.RecordBatch

    def rows(self) -> np.ndarray:
        """Row numbers in the cube, int32 (m,)."""
        return np.arange(self.start, self.start + self.table.num_rows, dtype=np.int32)


class Cube:
    """A field's datacube, opened for reading.

    Parameters
    ----------
    path : path
        The parquet file.
    field : str
        The field's name, used in errors.
    columns : ColumnSettings
        Names of the columns that identify and place a source.

    Raises
    ------
    DataError
        Where the file is no parquet file, is empty or cut short, or lacks an identifying column.
    """

    def __init__(self, path: str | Path, field: str, columns: ColumnSettings | None = None) -> None:
        self.path = Path(path)
        self.field = field
        self.settings = columns or ColumnSettings()
        self.version = FileVersion.of(self.path)
        try:
            # Pages come through a small buffer a column: neither a map of the file, whose pages
            # stay, nor pre-buffering, which fetches a row group whole, and there may be only one.
            self._file = pq.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            what = f"field {field}: {self.path.name}"
            do = "copy the cube again, or leave the field out of `fields`"
            raise DataError(must_be(what, "a whole parquet file", str(error), do)) from error
        self.n_rows: int = self._file.metadata.num_rows
        self._schema: pa.Schema = self._file.schema_arrow
        names = self._schema.names
        self.columns = frozenset(names)
        twice = (
            sorted({name for name in names if names.count(name) > 1})
            if len(names) > len(self.columns)
            else []
        )
        if twice:
            raise DataError(
                must_be(
                    f"field {field}: column names of {self.path.name}", "unique", f"{twice} twice"
                )
            )
        self.require(self.settings.id)

    def require(self, name: str) -> None:
        """Raise `DataError` where column `name` is missing, suggesting the nearest one."""
        if name not in self.columns:
            raise DataError(
                f"field {self.field}: column {name!r} is missing from {self.path.name}"
                + suggestion(name, self.columns)
            )

    def require_unchanged(self) -> None:
        """Raise `DataError` where the file is no longer the one that was opened."""
        now = FileVersion.of(self.path)
        if now != self.version:
            what = f"field {self.field}: {self.path.name}"
            must, do = f"the file that was opened ({self.version})", "run again once it is whole"
            raise DataError(must_be(what, must, now, do))

    def slices(
        self, columns: Sequence[str], rows: int, keep: np.ndarray | None = None
    ) -> Iterator[Slice]:
        """Stream the named columns, at most `rows` rows at a time, in row order.

        Where only some rows are wanted, `keep` bool (n,), row groups without any are not read.
        """
        if keep is None:
            yield from self._slices(columns, rows, 0)
            return
        first = 0
        for group in range(self._file.num_row_groups):
            after = first + self._file.metadata.row_group(group).num_rows
            if keep[first:after].any():
                yield from self._slices(columns, rows, first, [group])
            first = after

    def _slices(
        self, columns: Sequence[str], rows: int, start: int, groups: list[int] | None = None
    ) -> Iterator[Slice]:
        for batch in self._read(columns, rows, groups):
            yield Slice(start, batch)
            start += batch.num_rows

    def ids(self) -> np.ndarray:
        """Identifiers as text, (n,) unicode; binary and text ids read the same.

        Raises
        ------
        DataError
            Where an id is missing or is no UTF-8 text.
        """
        column = self._table([self.settings.id]).column(0)
        what = f"field {self.field}: column {self.settings.id!r} of {self.path.name}"
        if column.null_count:
            raise DataError(must_be(what, "present in every row", f"{column.null_count} nulls"))
        try:
            text = pc.cast(column, pa.string())
        except pa.ArrowInvalid as error:
            raise DataError(must_be(what, "UTF-8 text", str(error))) from error
        return np.asarray(text.to_pylist(), dtype=np.str_) if self.n_rows else np.empty(0, "U1")

    def scalar(self, name: str) -> np.ndarray:
        """One numeric column, float64 (n,); what is null, NaN or infinite is NaN."""
        return self.scalars([name])[:, 0]

    def scalars(self, names: Sequence[str]) -> np.ndarray:
        """Numeric columns, float64 (n, columns); missing values and absent columns are NaN.

        Columns lie one after the other in memory, as what reads them wants them.

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
                np.copyto(values[:, place], numbers, where=np.isfinite(numbers))
        return values

    def text(self, name: str) -> np.ndarray:
        """One column of text, unicode (n,); empty where it is missing, or the column absent.

        Raises
        ------
        DataError
            Where the column holds no text.
        """
        if name not in self.columns:
            return np.full(self.n_rows, "", dtype="U1")
        kind = self.dtype(name)
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            if pa.types.is_null(kind):
                return np.full(self.n_rows, "", dtype="U1")
            what = f"field {self.field}: column {name!r} of {self.path.name}"
            raise DataError(must_be(what, "a column of text", str(kind)))
        values = self._table([name]).column(0).fill_null("").to_pylist()
        return np.char.strip(np.asarray(values, dtype=np.str_)) if values else np.empty(0, "U1")

    def dtype(self, name: str) -> pa.DataType:
        """Arrow type of column `name`."""
        self.require(name)
        return self._schema.field(name).type

    def _numbers(self, name: str, column: pa.ChunkedArray) -> np.ndarray:
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
            what = f"field {self.field}: column {name!r} of {self.path.name}"
            raise DataError(must_be(what, "a column of numbers", str(kind)))
        return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)

    def _table(self, columns: Sequence[str]) -> pa.Table:
        batches = list(self._read(columns, 65_536))
        schema = pa.schema([self._schema.field(name) for name in columns])
        return (
            pa.Table.from_batches(batches, schema).select(list(columns))
            if batches
            else schema.empty_table()
        )

    def _read(
        self, columns: Sequence[str], rows: int, groups: list[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        try:
            yield from (
                batch.select(list(columns))
                for batch in self._file.iter_batches(rows, groups, list(columns))
            )
        except (pa.ArrowInvalid, OSError) as error:
            what = f"field {self.field}: {self.path.name}, columns {list(columns)[:3]}"
            raise DataError(must_be(what, "readable", str(error), "copy the cube again")) from error
