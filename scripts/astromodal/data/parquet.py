"""Parquet files: the footer, what columns hold, and lists as flat arrays."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import DTypeLike

from astromodal.errors import DataError, must_be
from astromodal.storage.formats import refuse_skipped
from astromodal.storage.hashing import FileVersion

_BUFFER = 1 << 20  # byte
_ROWS_A_BYTE = 8  # most rows per byte of a file: every row has its own id, however compressed
UNREADABLE = (pa.ArrowException, OSError, OverflowError, binascii.Error, UnicodeError, KeyError)
"""What pyarrow raises at a damaged file."""


class Span(NamedTuple):
    """Consecutive row groups that are read together.

    Attributes
    ----------
    start, end : int
        Number of the first row, and of the first row after the last.
    groups : list of int
        Numbers of the row groups.
    """

    start: int
    end: int
    groups: list[int]


class Footer:
    """A parquet file, opened for reading.

    Attributes
    ----------
    path : Path
        The file.
    field : str
        Name of the field, used in errors.
    version : FileVersion
        Size and time of the file when it was opened.
    schema : pyarrow.Schema
        Names and types of its columns.
    n_rows : int
        Number of rows.

    Raises
    ------
    DataError
        Where the file is no parquet file, is empty or cut short, or has a footer that contradicts
        itself.
    SkippedError
        Where the cube could not be built, and the field was skipped.
    """

    def __init__(self, path: str | Path, field: str) -> None:
        self.path, self.field = Path(path), field
        self.version = FileVersion.of(self.path)
        try:
            self._source = pa.OSFile(str(self.path))
            # Pages come through a small buffer per column. A memory map would keep the pages, and
            # pre-buffering fetches a whole row group, which may be the whole file.
            self._streamed = pq.ParquetFile(
                self._source, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            )
            self._meta = self._streamed.metadata
            self.schema: pa.Schema = self._streamed.schema_arrow
            self.n_rows: int = self._meta.num_rows
            groups = range(self._meta.num_row_groups)
            self._sizes = [self._meta.row_group(number).num_rows for number in groups]
            self._check()
        except UNREADABLE as error:
            let_pass(error)
            refuse_skipped(self.path)
            raise self.damaged("a whole parquet file", error) from error

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """What the file says of itself beside its schema, by key."""
        return self._meta.metadata or {}

    def kinds(self) -> list[tuple[str, str]]:
        """Return the name of each column and what it holds, in the words of `column_kind`.

        A column of lists holds ``nothing`` where the statistics say that all lists are null.
        """
        kinds = [(field.name, column_kind(field.type)) for field in self.schema]
        lists = {name for name, kind in kinds if kind == "lists"}
        empty = lists - self._filled(lists) if lists else set()
        return [(name, "nothing" if name in empty else kind) for name, kind in kinds]

    def spans(self, rows: int, keep: np.ndarray | None = None) -> Iterator[Span]:
        """Yield the row groups to read: neighbours together while they have at most `rows` rows.

        Parameters
        ----------
        rows : int
            Rows that may be in memory at a time.
        keep : bool (n,), optional
            Rows of interest: row groups without any of them are left out.
        """
        start, end, groups = 0, 0, list[int]()
        for number, size in enumerate(self._sizes):
            wanted = keep is None or bool(keep[end : end + size].any())
            if groups and not (wanted and end + size - start <= rows):
                yield Span(start, end, groups)
                start, groups = end, []
            end += size
            if wanted:
                groups.append(number)
            else:
                start = end
        if groups:
            yield Span(start, end, groups)

    def read(self, columns: Sequence[str], rows: int, span: Span) -> Iterator[pa.RecordBatch]:
        """Stream some columns of a span in batches of at most `rows` rows.

        Columns that are read together are fetched first, neighbours by one read, where the span
        is no larger than a batch: small row groups otherwise cost one read per column. Columns
        that are read alone have no neighbours.

        Raises
        ------
        DataError
            Where pages are damaged, or where they do not have the rows that the footer counts.
        """
        names, start = list(columns), span.start
        fetch = len(names) > 1 and span.end - span.start <= rows
        file = self._fetched if fetch else self._streamed
        try:
            for batch in file.iter_batches(rows, span.groups, names):
                start += batch.num_rows
                yield batch.select(names)
        except UNREADABLE as error:
            let_pass(error)
            raise self.damaged(f"readable in columns {names[:3]}", error) from error
        if start != span.end:
            raise self.damaged(f"of {span.end} rows up to there in columns {names[:3]}", start)

    @cached_property
    def _fetched(self) -> pq.ParquetFile:
        """The same file; its columns are fetched in large pieces before they are decoded."""
        return pq.ParquetFile(
            self._source, metadata=self._meta, pre_buffer=True, page_checksum_verification=True
        )

    def damaged(self, must: str, got: object) -> DataError:
        """Return the error which says that the file is damaged."""
        what = f"field {self.field}: {self.path.name}"
        do = "copy the cube again, or leave the field out of `fields`"
        return DataError(must_be(what, must, str(got), do))

    def _filled(self, names: set[str]) -> set[str]:
        """Return the columns that hold a value, or that have no statistics."""
        meta = self._meta
        paths = [meta.schema.column(i).path.partition(".")[0] for i in range(meta.num_columns)]
        filled = set()
        for group in map(meta.row_group, range(meta.num_row_groups)):
            for place, name in enumerate(paths):
                if name in names and name not in filled:
                    chunk = group.column(place)
                    statistics = chunk.statistics
                    counted = statistics is not None and statistics.has_null_count
                    nulls = statistics.null_count if counted else 0
                    if nulls < chunk.num_values or not chunk.num_values:
                        filled.add(name)
        return filled

    def _check(self) -> None:
        """Raise `DataError` where the numbers of rows or the names of columns disagree.

        Pages have checksums, the footer has none. Arrow and pandas write the names of columns
        twice: without this check, a flipped bit in a name would make the column look absent.
        """
        groups = sum(self._sizes)
        most = min(_ROWS_A_BYTE * self.version.size, np.iinfo(np.int32).max)
        if not 0 <= self.n_rows == groups <= most:
            got = f"{self.n_rows} rows, {groups} in its row groups, in {self.version.size} byte"
            raise self.damaged("a whole parquet file", got)
        stored = (self._meta.metadata or {}).get(b"ARROW:schema")
        if stored is not None:
            names = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored))).names
            if names != self.schema.names:
                pairs = zip_longest(names, self.schema.names)
                differ = next(f"{a!r:.80} and {b!r:.80}" for a, b in pairs if a != b)
                raise self.damaged("a whole parquet file", f"two names of a column, {differ}")


def let_pass(error: Exception) -> None:
    """Raise an error of the file system again: the file itself may be fine."""
    if isinstance(error, OSError) and error.errno:
        raise error


def column_kind(kind: pa.DataType) -> str:
    """Return what a column of an Arrow type holds.

    Returns
    -------
    str
        ``text`` (bytes too), ``whole numbers``, ``numbers``, ``lists`` (of numbers), ``nothing``
        (a column without a value), or the name of the type.
    """
    if is_text(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "whole numbers"
    if pa.types.is_floating(kind):
        return "numbers"
    if pa.types.is_null(kind):
        return "nothing"
    return "lists" if is_list(kind) else str(kind)


def is_number(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is an integer or a float."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is text or bytes, plain or by codes of a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return is_bytes(kind) or any(test(kind) for test in tests)


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is bytes, plain or by codes of a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def is_list(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is a list of numbers, or of nulls where no list has a value."""
    listed = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    if not listed:
        return False
    inner = kind.value_type
    return is_number(inner) or pa.types.is_null(inner)


def list_lengths(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths of the lists of a column.

    Returns
    -------
    lengths : int64 (m,)
        Number of values per row; 0 where the list is null.
    valid : bool (m,)
        False where the list is null.
    """
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
    counted = pc.fill_null(pc.list_value_length(column), 0)
    return counted.to_numpy(zero_copy_only=False).astype(np.int64), valid


def flatten(
    column: pa.Array, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all values of a list column in one array, without a loop over rows.

    Parameters
    ----------
    column : pa.Array
        A list column of numbers, or a column of nulls, (m,).
    dtype : floating dtype
        Type of the values; times near day 58,000 need float64.

    Returns
    -------
    values : dtype (sum of lengths,)
        Values of all rows in order; null values are NaN.
    lengths : int64 (m,)
        Number of values per row; 0 where the list is null.
    valid : bool (m,)
        False where the list is null.

    Raises
    ------
    TypeError
        Where the column holds no lists of numbers.
    """
    if pa.types.is_null(column.type):
        nothing = np.zeros(len(column), np.int64)
        return np.empty(0, dtype), nothing, nothing.astype(bool)
    if not is_list(column.type):
        raise TypeError(f"column must be of lists of numbers, got {column.type}")
    lengths, valid = list_lengths(column)
    flat = pc.cast(_joined(column, int(lengths.sum())), pa.from_numpy_dtype(dtype), safe=False)
    return flat.to_numpy(zero_copy_only=False), lengths, valid


def _joined(column: pa.Array, total: int) -> pa.Array:
    """Return the `total` values of all lists: a view, unless nulls hide values between them."""
    if not pa.types.is_fixed_size_list(column.type) and len(column):
        first, last = column.offsets[0].as_py(), column.offsets[-1].as_py()
        if last - first == total:
            return column.values.slice(first, total)
    return column.flatten()


def lists(values: np.ndarray, kind: pa.DataType, present: np.ndarray | None = None) -> pa.Array:
    """Return a table of numbers (n, L) as a column of lists; rows that are not present are null."""
    n, length = values.shape
    here = np.ones(n, bool) if present is None else present
    offsets = np.concatenate([[0], np.cumsum(np.where(here, length, 0))]).astype(np.int32)
    flat = pa.array(np.ascontiguousarray(values[here]).ravel(), kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~here))


def cube_writer(path: str | Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a writer of a cube with columns of a schema.

    Pixels of cutouts are noise and do not compress; other columns do.
    """
    leaves = [
        f"{column.name}.list.element" if is_list(column.type) else column.name for column in schema
    ]
    compression = {leaf: "NONE" if leaf.startswith("splus_cut_") else "ZSTD" for leaf in leaves}
    options = {"compression": compression, "use_dictionary": False, "write_page_checksum": True}
    return pq.ParquetWriter(path, schema, **options)
