"""Tables of raw files in the formats that archives deliver, and those of parquet files.

The content decides on the format, not the file's name: archives name ECSV files ``.csv.gz``.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from astromodal.sources.raw_table import ROWS, RawTable, is_gzip, reading
from astromodal.sources.table_formats import CsvTable, EcsvTable, FitsTable, Hdf5Table, VOTable

__all__ = ["ROWS", "RawTable", "open_table"]

_START = 4096  # bytes that show the format
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_UNITS: Final = b"table_meta_yaml"
"""Key of the metadata that astropy writes into a parquet file, with the units."""


def open_table(path: str | Path, source: str | None = None) -> RawTable:
    """Open a table; its rows are read by `RawTable.batches`.

    - CSV (also compressed by gzip) streams. It states neither units nor types. Columns are split at
      tabs if the name holds ``.tsv`` or ``.tab``, at commas otherwise; lines that begin with ``#``
      before the header are left out. An empty value, null and nan are missing.
    - ECSV streams, with the types, units and delimiter of its header; arrays stay text.
    - VOTable (TABLEDATA, BINARY, BINARY2): the first table, which is in memory as a whole;
      `table_formats.LARGEST` is the limit of its size. Links to data elsewhere are errors.
    - FITS: the first table. It streams by memory map; a file compressed by gzip is in memory as a
      whole. Compressed tables (``ZTABLE``, by fpack) are errors.
    - Parquet streams, nested columns included.
    - HDF5 streams: datasets with the objects along the first axis, as in the Multimodal Universe.

    Parameters
    ----------
    path : path
        The file.
    source : str, optional
        Name of the source, for errors.

    Raises
    ------
    DataError
        If it is none of these, is damaged, or is not there.
    """
    path = Path(path)
    with reading(path, source):
        return _format(path)(path, source)


def _format(path: Path) -> type[RawTable]:
    """Return the class for a file, by its first bytes."""
    with gzip.open(path) if is_gzip(path) else path.open("rb") as stream:
        start = stream.read(_START)
    if not start:
        raise ValueError("an empty file")
    if start.startswith(b"SIMPLE  ="):
        return FitsTable
    if start.startswith(b"PAR1"):
        return ParquetTable
    if start.startswith(_HDF5):
        return Hdf5Table
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"<?xml", b"<VOTABLE", b"<!--")):
        return VOTable
    if text.startswith(b"# %ECSV"):
        return EcsvTable
    if b"\0" in start:
        raise ValueError("no table in CSV, ECSV, VOTable, FITS, parquet or HDF5")
    return CsvTable


class ParquetTable(RawTable):
    """A parquet file, such as a leaf of a HATS catalogue."""

    def __init__(self, path: Path, source: str | None) -> None:
        super().__init__(path, source)
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            self.n_rows = file.metadata.num_rows
        self.names = tuple(schema.names)
        self.types = {field.name: field.type for field in schema}
        self.units = _stated_units(schema)
        written = _UNITS in (schema.metadata or {})
        masks = {name: f"{name}.mask" for name in self.names if f"{name}.mask" in self.names}
        self._masks = masks if written else {}

    def _read(
        self, columns: Sequence[str], rows: int, types: Mapping[str, pa.DataType]
    ) -> Iterator[pa.Table]:
        masks = {name: self._masks[name] for name in columns if name in self._masks}
        wanted = [*columns, *(name for name in masks.values() if name not in columns)]
        with pq.ParquetFile(self.path) as file:
            # Batches end at row groups of any size: `batches` joins them.
            for batch in file.iter_batches(min(rows, ROWS), columns=wanted):
                yield _masked(pa.Table.from_batches([batch]), masks)


def _masked(table: pa.Table, masks: Mapping[str, str]) -> pa.Table:
    """Return a table with null where a mask is set: astropy writes masks as columns."""
    for name, mask in masks.items():
        values = pc.if_else(table.column(mask), None, table.column(name))
        table = table.set_column(table.column_names.index(name), name, values)
    return table


def _stated_units(schema: pa.Schema) -> dict[str, str]:
    """Return the units in the metadata of a schema: those of its fields, or astropy's."""
    units = {
        field.name: field.metadata[b"unit"].decode("utf-8", "replace")
        for field in schema
        if field.metadata and b"unit" in field.metadata
    }
    written = (schema.metadata or {}).get(_UNITS)
    if written is not None:
        from astropy.table.meta import YamlParseError, get_header_from_yaml

        with suppress(YamlParseError):  # the values do not depend on it
            header = get_header_from_yaml(written.decode("utf-8").split("\n"))
            units |= {c["name"]: str(c["unit"]) for c in header["datatype"] if c.get("unit")}
    return {name: unit for name, unit in units.items() if unit.strip()}
