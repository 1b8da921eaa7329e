"""Reading one field's datacube, a slice of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.config.inputs import ColumnSettings
from astromodal.data.check import repeated_names
from astromodal.data.columns import ACCEPTED, NAME_IDS
from astromodal.data.footer import UNREADABLE, Footer, is_bytes, is_text, let_pass
from astromodal.data.lists import is_list
from astromodal.data.missing import is_sentinel, is_unreliable, sentinels_of
from astromodal.errors import MEND, ChangedError, DataError, missing_column, must_be
from astromodal.storage.hashing import FileVersion

_LONGEST_ID = 256  # characters; ids become arrays as wide as the longest of them


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
        Where the file is no parquet file, is empty or cut short, tells of rows or columns that it
        does not have, or lacks an identifying column.
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

    def error(self, column: str, must: str, got: object, do: str = MEND) -> DataError:
        """The error that says what a column must be, and was found to be instead."""
        what = f"field {self.field}: column {column!r} of {self.path.name}"
        return DataError(must_be(what, must, got, do))

    def require_lists(self, name: str) -> None:
        """Raise `DataError` where column `name` holds no lists of numbers, nor only nulls."""
        kind = self.dtype(name)
        if not (is_list(kind) or pa.types.is_null(kind)):
            raise self.error(name, ACCEPTED["list"][0], str(kind))

    def require(self, name: str, do: str | None = None) -> None:
        """Raise `DataError` where column `name` is missing, with the nearest one and what to do."""
        if name not in self.columns:
            raise DataError(missing_column(self.field, self.path.name, name, self.columns, do))

    def kinds(self) -> list[tuple[str, str]]:
        """Each column's name and what it holds, as `Footer.kinds` gives them."""
        return self._footer.kinds()

    def require_unchanged(self) -> None:
        """Raise `ChangedError` where the file is no longer the one that was opened."""
        now = FileVersion.of(self.path)
        if now != self.version:
            what = f"field {self.field}: {self.path.name}"
            must, do = f"the file that was opened ({self.version})", "run again once it is whole"
            raise ChangedError(must_be(what, must, now, do))

    def slices(
        self, columns: Sequence[str], rows: int, keep: np.ndarray | None = None
    ) -> Iterator[Slice]:
        """Stream the named columns, at most `rows` rows at a time, in row order.

        Where only some rows are wanted, `keep` bool (n,), row groups without any are not read.
        """
        if keep is None:
            yield from self._slices(columns, rows, (0, self.n_rows))
            return
        first = 0
        for group in range(self._footer.file.num_row_groups):
            after = first + self._footer.file.metadata.row_group(group).num_rows
            if keep[first:after].any():
                yield from self._slices(columns, rows, (first, after), [group])
            first = after

    def _slices(
        self,
        columns: Sequence[str],
        rows: int,
        span: tuple[int, int],
        groups: list[int] | None = None,
    ) -> Iterator[Slice]:
        """The rows of a span, which are those of some row groups, or of all."""
        start, end = span
        for batch in self._read(columns, rows, groups):
            yield Slice(start, batch)
            start += batch.num_rows
        if start != end:
            must = f"of {end} rows up to there in columns {list(columns)[:3]}"
            raise self._footer.damaged(must, start)

    def ids(self) -> np.ndarray:
        """Identifiers as text, (n,) unicode; text, bytes and whole numbers read the same.

        Blanks and NULs at the end of bytes are the padding of a fixed width, and left out.

        Raises
        ------
        DataError
            Where an id is missing, longer than 256 characters or no UTF-8 text.
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
        """One numeric column, float64 (n,); missing values are NaN."""
        return self.scalars([name])[:, 0]

    def scalars(self, names: Sequence[str]) -> np.ndarray:
        """Numeric columns, float64 (n, columns); missing values and absent columns are NaN.

        Missing is what is null, NaN, infinite, a sentinel, or unreliable by its flag. Columns lie
        one after the other in memory, as what reads them wants them.

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
        """Which values of column `name` stand for missing ones, bool like `values`."""
        return is_sentinel(values, sentinels_of(name, self.settings))

    def unreliable(self, name: str) -> np.ndarray:
        """Rows whose flags say that the value in column `name` is not reliable, bool (n,)."""
        wrong = np.zeros(self.n_rows, dtype=bool)
        for flag, settings in self.settings.flags.items():
            if name in settings.columns and flag in self.columns:
                wrong |= is_unreliable(self._flags(flag), settings)
        return wrong

    def count_missing(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count values that are there but count as missing.

        Parameters
        ----------
        names : sequence of str
            Columns of numbers or text; those that the cube lacks are left out.

        Returns
        -------
        dict
            ``sentinel`` and ``unreliable`` → column → number of rows, where there are any.
        """
        counts: dict[str, dict[str, int]] = {"sentinel": {}, "unreliable": {}}
        for name in dict.fromkeys(name for name in names if name in self.columns):
            unreliable, sentinel = self.unreliable(name), np.zeros(self.n_rows, dtype=bool)
            if is_text(self.dtype(name)):
                unreliable &= self._stripped(self._texts(name)) != ""
            else:
                numbers = self._numbers(name, self._table([name]).column(name))
                sentinel = self.sentinel(name, numbers)
                unreliable &= np.isfinite(numbers) & ~sentinel
            for what, found in (("sentinel", sentinel), ("unreliable", unreliable)):
                if found.any():
                    counts[what][name] = int(found.sum())
        return counts

    def text(self, name: str) -> np.ndarray:
        """One column of text, unicode (n,); empty where missing or unreliable, or without a column.

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
        """One column of flags, texts or numbers, unicode (n,); empty where there is none."""
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
        """Texts without blanks around them, unicode (n,); empty where null."""
        values = np.asarray(texts.fill_null("").to_pylist(), dtype=np.str_)
        return np.char.strip(values) if len(values) else np.empty(0, "U1")

    def dtype(self, name: str) -> pa.DataType:
        """Arrow type of column `name`."""
        self.require(name)
        return self._footer.schema.field(name).type

    def _numbers(self, name: str, column: pa.ChunkedArray) -> np.ndarray:
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
            raise self.error(name, ACCEPTED["number"][0], str(kind))
        return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)

    def _texts(self, name: str) -> pa.ChunkedArray:
        """A column of text, bytes or whole numbers as text."""
        column = self._table([name]).column(0)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not pa.types.is_integer(column.type):
            column = column.cast(pa.large_binary())  # text that was damaged is not trusted either
        try:
            return pc.cast(column, pa.string())
        except pa.ArrowInvalid as error:
            raise self.error(name, "UTF-8 text", str(error)) from error

    def _table(self, columns: Sequence[str]) -> pa.Table:
        batches = [piece.table for piece in self.slices(columns, 65_536)]
        schema = pa.schema([self._footer.schema.field(name) for name in columns])
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
                for batch in self._footer.file.iter_batches(rows, groups, list(columns))
            )
        except UNREADABLE as error:
            let_pass(error)
            raise self._footer.damaged(f"readable in columns {list(columns)[:3]}", error) from error
