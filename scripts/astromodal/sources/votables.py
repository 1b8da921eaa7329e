"""VOTables, read by astropy."""

from __future__ import annotations

import gzip
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast

import numpy as np
import pyarrow as pa

from astromodal.sources.raw_table import RawTable, arrow_array, is_gzip, without_warnings

LARGEST: Final = 1 << 30
"""Largest size of a VOTable (byte, unpacked): astropy reads it as a whole."""
_CHUNK: Final = 1 << 20
_OVERLAP: Final = 1 << 16
_LINK: Final = re.compile(rb"<(?:\w+:)?STREAM\b[^>]*\bhref\b|<!ENTITY\b")
"""Data elsewhere, which astropy would fetch, and entities, in which such a link could hide."""


class VOTable(RawTable):
    """The first table of a VOTable."""

    def __init__(self, path: Path, source: str | None) -> None:
        super().__init__(path, source)
        self._check_safe()
        names = []
        with _opened(path) as stream:
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
        with _opened(self.path) as stream:
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
        with _opened(self.path) as stream, without_warnings(AstropyWarning):
            table = parse(stream).get_first_table().array
        places = [self.names.index(name) for name in columns]
        for start in range(0, len(table), rows):
            piece = table[start : start + rows]
            arrays = [_column(piece[table.dtype.names[place]]) for place in places]
            yield pa.table(arrays, names=list(columns))


def _column(values: np.ma.MaskedArray) -> pa.Array:
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind == "O" and mask.dtype.kind != "b":
        return arrow_array(data)
    return arrow_array(data, mask if mask.any() else None)


def _opened(path: Path) -> IO[bytes]:
    """Open a file, also a compressed one; a path would be taken for an address if it was one."""
    return cast(IO[bytes], gzip.open(path)) if is_gzip(path) else path.open("rb")
