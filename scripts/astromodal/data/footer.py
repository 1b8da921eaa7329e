"""The footer of a parquet file: what it says of rows and columns, and whether that can be true."""

from __future__ import annotations

import base64
import binascii
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.data.lists import is_list
from astromodal.errors import DataError, must_be
from astromodal.storage.hashing import FileVersion

_BUFFER = 1 << 20  # byte
_ROWS_A_BYTE = 8  # of a file at most: a row has an id of its own, however well it is compressed
UNREADABLE = (pa.ArrowException, OSError, OverflowError, binascii.Error, UnicodeError, KeyError)
"""What pyarrow raises at a damaged file."""


class Footer:
    """A parquet file, opened for reading.

    Attributes
    ----------
    path : Path
        The file.
    field : str
        The field's name, used in errors.
    version : FileVersion
        Size and time of the file when it was opened.
    file : pyarrow.parquet.ParquetFile
        Reads its columns.
    schema : pyarrow.Schema
        Names and types of its columns.
    n_rows : int
        Number of rows.

    Raises
    ------
    DataError
        Where the file is no parquet file, is empty or cut short, or tells of rows or columns that
        it does not have.
    """

    def __init__(self, path: str | Path, field: str) -> None:
        self.path, self.field = Path(path), field
        self.version = FileVersion.of(self.path)
        try:
            # Pages come through a small buffer a column: neither a map of the file, whose pages
            # stay, nor pre-buffering, which fetches a row group whole, and there may be only one.
            self.file = pq.ParquetFile(
                self.path, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            )
            self.schema: pa.Schema = self.file.schema_arrow
            self.n_rows: int = self.file.metadata.num_rows
            self._check()
        except UNREADABLE as error:
            let_pass(error)
            raise self.damaged("a whole parquet file", error) from error

    def kinds(self) -> list[tuple[str, str]]:
        """Each column's name and what it holds, as `column_kind` says it.

        A column of lists of which the statistics say that all are null holds nothing.
        """
        kinds = [(field.name, column_kind(field.type)) for field in self.schema]
        lists = {name for name, kind in kinds if kind == "lists"}
        empty = lists - self._filled(lists) if lists else set()
        return [(name, "nothing" if name in empty else kind) for name, kind in kinds]

    def damaged(self, must: str, got: object) -> DataError:
        """The error that says that the file is not as it was written."""
        what = f"field {self.field}: {self.path.name}"
        do = "copy the cube again, or leave the field out of `fields`"
        return DataError(must_be(what, must, str(got), do))

    def _filled(self, names: set[str]) -> set[str]:
        """Those of some columns that hold a value, or of which no statistics say otherwise."""
        meta = self.file.metadata
        paths = [meta.schema.column(i).path.partition(".")[0] for i in range(meta.num_columns)]
        filled = set()
        for group in map(meta.row_group, range(meta.num_row_groups)):
            for place, name in enumerate(paths):
                if name in names and name not in filled:
                    chunk = group.column(place)
                    found = chunk.statistics
                    nulls = found.null_count if found is not None and found.has_null_count else 0
                    if nulls < chunk.num_values or not chunk.num_values:
                        filled.add(name)
        return filled

    def _check(self) -> None:
        """Raise `DataError` where the file tells of rows that it cannot hold, or of other columns.

        Pages have checksums, the footer has none. But Arrow and pandas write the names of columns
        twice: one with a flipped bit would otherwise be that of a column that is absent.
        """
        meta = self.file.metadata
        groups = sum(meta.row_group(number).num_rows for number in range(meta.num_row_groups))
        most = min(_ROWS_A_BYTE * self.version.size, np.iinfo(np.int32).max)
        if not 0 <= self.n_rows == groups <= most:
            got = f"{self.n_rows} rows, {groups} in its row groups, in {self.version.size} byte"
            raise self.damaged("a whole parquet file", got)
        stored = (meta.metadata or {}).get(b"ARROW:schema")
        if stored is not None:
            names = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored))).names
            if names != self.schema.names:
                pairs = zip_longest(names, self.schema.names)
                differ = next(f"{a!r:.80} and {b!r:.80}" for a, b in pairs if a != b)
                raise self.damaged("a whole parquet file", f"two names of a column, {differ}")


def let_pass(error: Exception) -> None:
    """Raise an error of the file system again: it says nothing of what the file holds."""
    if isinstance(error, OSError) and error.errno:
        raise error


def column_kind(kind: pa.DataType) -> str:
    """What a column of a type holds.

    Returns
    -------
    str
        ``text`` (bytes too), ``whole numbers``, ``numbers``, ``lists`` (of numbers), ``nothing``
        (a column without a value), or the type's own name.
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


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of a type holds text or bytes, be it by codes of a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return is_bytes(kind) or any(test(kind) for test in tests)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of a type holds bytes, be it by codes of a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)
