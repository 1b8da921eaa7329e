"""Tables of raw files by format: CSV, ECSV, VOTable, FITS and HDF5; parquet is read by `tables`."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Final, TextIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from astropy.io import fits

from astromodal.sources.raw_table import (
    ROWS,
    RawTable,
    arrow_array,
    check_unpacks,
    is_gzip,
    without_warnings,
)

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
LARGEST: Final = 1 << 30
"""Largest size of a VOTable (byte, unpacked): astropy reads it as a whole."""
_CHUNK: Final = 1 << 20
_OVERLAP: Final = 1 << 16
_LINK: Final = re.compile(rb"<(?:\w+:)?STREAM\b[^>]*\bhref\b|<!ENTITY\b")
"""Data elsewhere, which astropy would fetch, and entities, in which such a link could hide."""
_BYTES: Final = 32 << 20
"""Bytes of an HDF5 file that are read at a time, or those of one row."""


class CsvTable(RawTable):
    """A table of text with one row per line and a header."""

    is_text: ClassVar[bool] = True

    def __init__(self, path: Path, source: str | None) -> None:
        super().__init__(path, source)
        self._delimiter = "\t" if {".tsv", ".tab"} & set(path.suffixes) else ","
        with _opened_text(path) as stream:
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


def _opened_text(path: Path) -> TextIO:
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


class VOTable(RawTable):
    """The first table of a VOTable."""

    def __init__(self, path: Path, source: str | None) -> None:
        super().__init__(path, source)
        self._check_safe()
        names = []
        with _opened_bytes(path) as stream:
            for _, element in ET.iterparse(stream, ("start",)):
                tag = element.tag.rpartition("}")[2]
                if tag == "FIELD":
                    names.append(element.get("name") or element.get("ID") or "")
                    if unit := (element.get("unit") or "").strip():
                        self.units[names[-1]] = unit
                elif tag == "DATA" or (tag == "TABLE" and names):
                    break
                elif tag == "TABLE" and (count := element.get("nrows")):
                    self.n_rows = int(count)
        if not names:
            raise ValueError("no FIELD of a table")
        self.names = tuple(names)

    def _check_safe(self) -> None:
        """Raise `DataError` if the file is too large or refers to others."""
        size, before = 0, b""
        with _opened_bytes(self.path) as stream:
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
                if size > LARGEST:
                    do = "convert it to FITS or parquet"
                    must = f"at most {LARGEST >> 30} GiB, as VOTables are read as a whole"
                    raise self.error(must, "more", do)
                if _LINK.search(before + chunk):
                    must, do = "a VOTable that holds its data", "save the table with its data"
                    raise self.error(must, "a link or an entity", do)
                before = chunk[-_OVERLAP:]

    def _read(
        self, columns: Sequence[str], rows: int, types: Mapping[str, pa.DataType]
    ) -> Iterator[pa.Table]:
        from astropy.io.votable import parse
        from astropy.utils.exceptions import AstropyWarning

        # Most archives' tables break some rule of the standard, which is no concern of the user's.
        with _opened_bytes(self.path) as stream, without_warnings(AstropyWarning):
            table = parse(stream).get_first_table().array
        places = [self.names.index(name) for name in columns]
        for start in range(0, len(table), rows):
            piece = table[start : start + rows]
            arrays = [_votable_column(piece[table.dtype.names[place]]) for place in places]
            yield pa.table(arrays, names=list(columns))


def _votable_column(values: np.ma.MaskedArray) -> pa.Array:
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind == "O" and mask.dtype.kind != "b":
        return arrow_array(data)
    return arrow_array(data, mask if mask.any() else None)


def _opened_bytes(path: Path) -> IO[bytes]:
    """Open a file, also a compressed one; a path would be taken for an address if it was one."""
    return cast(IO[bytes], gzip.open(path)) if is_gzip(path) else path.open("rb")


class FitsTable(RawTable):
    """The first table of a FITS file."""

    def __init__(self, path: Path, source: str | None) -> None:
        super().__init__(path, source)
        check_unpacks(path)
        with fits.open(path, memmap=True) as hdus:
            self._hdu = self._first_table(hdus)
            table = hdus[self._hdu]
            self.names = tuple(table.columns.names)
            units = {column.name: (column.unit or "").strip() for column in table.columns}
            self.units = {name: unit for name, unit in units.items() if unit}
            self.n_rows = int(table.header["NAXIS2"])
            first = table.data[:1]
            self.types = {
                column.name: _fits_column(first, column).type
                for column in table.columns
                if not _is_complex(column)
            }

    def _first_table(self, hdus: Any) -> int:
        """Return the number of the first table, after a check that the file is whole."""
        for number, hdu in enumerate(hdus):
            if isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                if hdu.header.get("ZTABLE"):
                    do = "unpack it with funpack"
                    raise self.error("a table that fpack did not compress", "a compressed one", do)
                self._check_whole(hdu)
                return number
        got = f"{len(hdus)} extensions without a table"
        raise self.error("a FITS file with a table", got, "name another file")

    def _check_whole(self, hdu: Any) -> None:
        """Raise `DataError` if the file ends before its table does."""
        place = hdu.fileinfo()
        if place["file"].compression:
            return
        end, size = place["datLoc"] + hdu.size, self.path.stat().st_size
        if size < end:
            raise self.error(f"at least {end} bytes long, as its header says", f"{size} bytes")

    def _read(
        self, columns: Sequence[str], rows: int, types: Mapping[str, pa.DataType]
    ) -> Iterator[pa.Table]:
        with fits.open(self.path, memmap=True) as hdus:
            table = hdus[self._hdu]
            step = min(rows, ROWS)
            for start in range(0, len(table.data), step):
                # A piece of its own: astropy keeps the converted columns of what it was asked.
                piece = table.data[start : start + step]
                arrays = [_fits_column(piece, table.columns[name]) for name in columns]
                yield pa.table(arrays, names=list(columns))


def _is_complex(column: Any) -> bool:
    return any(letter in str(column.format) for letter in "CM")


def _fits_column(piece: Any, column: Any) -> pa.Array:
    """Return a column of some rows; values equal to ``TNULL`` and undefined booleans are null."""
    raw = piece.view(np.ndarray)[column.name]
    if raw.dtype.kind == "S" and isinstance(piece.columns, fits.ColDefs) and not column.ascii:
        return arrow_array(np.asarray(raw))
    values = np.asarray(piece.field(column.name))
    missing = None
    if column.null is not None and raw.dtype.kind in "iu" and raw.shape == values.shape:
        missing = raw == int(column.null)
    elif values.dtype.kind == "b":
        missing = raw == 0
    return arrow_array(values, missing)


class Hdf5Table(RawTable):
    """Datasets of an HDF5 file that have the objects along their first axis, one a column.

    So are the files of the Multimodal Universe (github.com/MultimodalUniverse, Angeloudi et al.
    2024), ``healpix=NNNN/001-of-001.hdf5``: ids are ``object_id``, positions ``ra`` and ``dec``,
    text is bytes, spectra and images are arrays of several axes, which become lists. The reader
    follows the scripts that write them; it was tested on files made in this format, as none of the
    collection was at hand.

    A dataset is a column if it is as long as ``object_id`` or, without one, as most datasets.
    Groups are left out, as are links to elsewhere; a dataset whose values stand in another file is
    an error.
    """

    def __init__(self, path: Path, source: str | None) -> None:
        super().__init__(path, source)
        with _opened_hdf5(path) as file:
            held = {name: file[name] for name in file if _is_dataset(file, name)}
            held = {name: dataset for name, dataset in held.items() if dataset.ndim}
            lengths = Counter(len(dataset) for dataset in held.values())
            if not lengths:
                raise self.error("an HDF5 file with datasets", "none", "name another file")
            most = lengths.most_common(1)[0][0]
            self.n_rows = len(held["object_id"]) if "object_id" in held else most
            for name, dataset in held.items():
                if len(dataset) != self.n_rows:
                    continue
                if dataset.is_virtual or dataset.external:
                    must = f"an HDF5 file that holds the values of {name}"
                    raise self.error(must, "a reference to another file", "copy them into it")
                self.names += (name,)
                self._describe(name, dataset)

    def _describe(self, name: str, dataset: Any) -> None:
        """Take type and unit of a column."""
        if dataset.dtype.kind in "biufS":
            self.types[name] = arrow_array(np.zeros((0, *dataset.shape[1:]), dataset.dtype)).type
        for key in ("unit", "units"):
            unit = dataset.attrs.get(key, "")
            text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
            if text.strip():
                self.units[name] = text.strip()

    def _read(
        self, columns: Sequence[str], rows: int, types: Mapping[str, pa.DataType]
    ) -> Iterator[pa.Table]:
        with _opened_hdf5(self.path) as file:
            held = {name: file[name] for name in columns}
            width = sum(d.dtype.itemsize * int(np.prod(d.shape[1:])) for d in held.values())
            step = max(1, min(rows, ROWS, _BYTES // max(1, width)))
            for start in range(0, self.n_rows or 0, step):
                pieces = {name: arrow_array(d[start : start + step]) for name, d in held.items()}
                yield pa.table(pieces)


def _opened_hdf5(path: Path) -> Any:
    """Open an HDF5 file without a lock, which network file systems may not have."""
    import h5py

    return h5py.File(path, "r", locking=False)


def _is_dataset(file: Any, name: str) -> bool:
    """Return whether a name is that of a dataset in this file, and not a link to another one."""
    import h5py

    link = file.get(name, getlink=True)
    return isinstance(link, h5py.HardLink) and isinstance(file[name], h5py.Dataset)
