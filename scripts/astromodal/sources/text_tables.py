"""Tables of text: CSV and ECSV, read in a stream by pyarrow."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TextIO

import pyarrow as pa
import pyarrow.csv as pc

from astromodal.sources.raw_table import RawTable, is_gzip

NULLS: Final = ("", "null", "NULL", "Null", "nan", "NaN", "NAN", "None", "N/A", "n/a", "--")
"""Texts that stand for a missing value, of numbers and of text."""
_BLOCK = 4 << 20  # bytes that are parsed at a time; a row must be shorter
_TYPES: Final = {
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    "float128": "float64",
    "bool": "bool",
    "string": "string",
}
"""Arrow types of the datatypes of ECSV (APE 6 of astropy); others are read as text."""


class CsvTable(RawTable):
    """A table of text with one row per line and a header."""

    is_text: ClassVar[bool] = True

    def __init__(self, path: Path, source: str | None) -> None:
        super().__init__(path, source)
        self._delimiter = "\t" if {".tsv", ".tab"} & set(path.suffixes) else ","
        with _opened(path) as stream:
            comments, rest = _comments(stream)
            self._describe(comments)
            header = next(csv.reader(rest, delimiter=self._delimiter), [])
            self._empty = not any(line.strip() for line in itertools.islice(rest, 1))
        self._skipped = len(comments) + 1
        self.names = tuple(name.strip() for name in header)
        if not any(self.names):
            raise ValueError("no names of columns in the first line")

    def _describe(self, comments: list[str]) -> None:
        """Take what lines before the header state; those of CSV state nothing."""

    def _read(
        self, columns: Sequence[str], rows: int, types: Mapping[str, pa.DataType]
    ) -> Iterator[pa.Table]:
        wanted = {name: types.get(name, self.types.get(name, pa.string())) for name in columns}
        if self._empty:
            yield pa.schema(list(wanted.items())).empty_table()
            return
        compression = "gzip" if is_gzip(self.path) else None
        with (
            pa.input_stream(str(self.path), compression=compression) as stream,
            pc.open_csv(stream, **self._options(wanted)) as reader,
        ):
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def _options(self, wanted: Mapping[str, pa.DataType]) -> dict[str, Any]:
        # One thread: errors then name the row, and files are read side by side anyway.
        return {
            "read_options": pc.ReadOptions(
                use_threads=False,
                block_size=_BLOCK,
                skip_rows=self._skipped,
                column_names=self._unique_names(),
            ),
            "parse_options": pc.ParseOptions(delimiter=self._delimiter),
            "convert_options": pc.ConvertOptions(
                include_columns=list(wanted),
                column_types=dict(wanted),
                null_values=list(NULLS),
                strings_can_be_null=True,
            ),
        }

    def _unique_names(self) -> list[str]:
        """Return the names of all columns; one that stands twice is never read."""
        seen = set[str]()
        names = []
        for place, name in enumerate(self.names):
            names.append(f"{name}\0{place}" if name in seen else name)
            seen.add(name)
        return names


class EcsvTable(CsvTable):
    """A table in astropy's enhanced CSV, whose header states types and units (APE 6)."""

    def _describe(self, comments: list[str]) -> None:
        from astropy.table.meta import get_header_from_yaml

        lines = [line.removeprefix("#").removeprefix(" ").rstrip("\r\n") for line in comments]
        header = get_header_from_yaml([line for line in lines if not line.startswith("%ECSV")])
        self._delimiter = header.get("delimiter", " ")
        for column in header["datatype"]:
            name = column["name"]
            stated = None if "subtype" in column else _TYPES.get(column["datatype"])
            self.types[name] = pa.type_for_alias(stated or "string")
            if column.get("unit"):
                self.units[name] = str(column["unit"])


def _opened(path: Path) -> TextIO:
    """Open a text file, also a compressed one."""
    if is_gzip(path):
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _comments(stream: TextIO) -> tuple[list[str], Iterator[str]]:
    """Return the lines before the header, which begin with ``#``, and all lines after them."""
    comments: list[str] = []
    for line in stream:
        if not line.startswith("#"):
            return comments, itertools.chain([line], stream)
        comments.append(line)
    return comments, iter(())
