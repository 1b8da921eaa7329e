"""Tables of FITS files, read by astropy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits

from astromodal.sources.raw_table import ROWS, RawTable, arrow_array, check_unpacks


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
                column.name: _column(first, column).type
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
                arrays = [_column(piece, table.columns[name]) for name in columns]
                yield pa.table(arrays, names=list(columns))


def _is_complex(column: Any) -> bool:
    return any(letter in str(column.format) for letter in "CM")


def _column(piece: Any, column: Any) -> pa.Array:
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
