"""The index of a source: positions, ids and cells of the sky of all objects in its raw files.

Each raw file is read once, in a stream, and gets two files in the index: a parquet file with one
row per object (its reserved columns are described in `astromodal.sources.base`; of a catalogue, it
also has the columns of the cube), and an array file with a digest of each cell's objects. Cubes are
built from the former. Plans compare the latter, so that a changed file rebuilds the fields in whose
cells something changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from astromodal.config.base import A_FIELD_NAME, FIELD_NAME
from astromodal.data.splits import NO_CELL, healpix_cells
from astromodal.errors import DataError, FormatError, must_be
from astromodal.sources.base import REPLACE, RESERVED, Reader
from astromodal.sources.files import RawFile
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.hashing import hash_values
from astromodal.storage.tempfiles import atomic_path

CELL_ORDER: Final = 8
"""HEALPix order of the cells that plans compare, 14 arcmin across: more than any match moves."""
_ORDER: Final = 29  # of the column _healpix, as in HATS catalogues
_GAIA_SHIFT: Final = 35
"""Bits of a Gaia source_id below its HEALPix cell of order 12 (Gaia DR3 documentation, 20.1.1)."""
_ROWS: Final = 65_536  # of a row group
_FORMAT: Final[dict[str, Any]] = {"format": "source_index", "version": 1}


@dataclass(frozen=True)
class Fields:
    """How the rows of the base catalogue are divided into fields.

    Attributes
    ----------
    healpix_order : int
        Order of the cells that are fields where neither file nor row names one.
    """

    healpix_order: int

    def names(self, table: pa.Table, file: RawFile) -> pa.Array:
        """Return the name of each row's field, text (n,); null where the row has none."""
        if file.field is not None:
            return pa.array([file.field] * len(table), pa.string())
        named = table.column("_field").combine_chunks()
        if named.null_count < len(named) or not len(named):
            return named
        cells = _cells(table.column("_healpix").to_numpy(), self.healpix_order)
        width = len(str(12 * 4**self.healpix_order - 1))
        return pa.array(
            [
                None if cell == NO_CELL else f"HPX{self.healpix_order}-{cell:0{width}d}"
                for cell in cells.tolist()
            ],
            pa.string(),
        )


@dataclass(frozen=True)
class Cells:
    """Digests of a file's objects by cell, and by field for the base catalogue.

    Attributes
    ----------
    field : unicode (k,)
        Field of the objects; empty for all sources but the base.
    cell : int64 (k,)
        HEALPix cell of order `CELL_ORDER`, NESTED; -1 for objects without a position.
    count : int64 (k,)
        Number of objects.
    digest : uint64 (k,)
        Sum of the hashes of the objects, modulo 2^64: their order and files do not matter.
    columns : tuple of str
        Columns of the cube that the file gives.
    """

    field: np.ndarray
    cell: np.ndarray
    count: np.ndarray
    digest: np.ndarray
    columns: tuple[str, ...]


def index_path(folder: str | Path, file: RawFile) -> Path:
    """Return the path of the parquet file that indexes a raw file."""
    name = str(file.path)
    return Path(folder) / f"{file.path.name.split('.')[0]}_{hash_values(name)}.parquet"


def load_cells(folder: str | Path, file: RawFile, maker: str) -> Cells | None:
    """Return the digests of a raw file; None where it is not indexed, or has changed since.

    Parameters
    ----------
    folder : path
        The source's folder of the index.
    file : RawFile
        The raw file.
    maker : str
        Hash of the settings that the index depends on.
    """
    path = index_path(folder, file)
    try:
        stored = load_arrays(path.with_suffix(".npz"), **_FORMAT)
        attributes = stored.attributes
        if attributes["file"] != file.version() or attributes["maker"] != maker:
            return None
        if not path.is_file():
            return None
        return Cells(
            **{name: stored[name] for name in ("field", "cell", "count", "digest")},
            columns=tuple(attributes["columns"]),
        )
    except (FileNotFoundError, FormatError, KeyError):
        return None


def index_files(
    reader: Reader,
    files: Iterable[RawFile],
    folder: str | Path,
    maker: str,
    fields: Fields | None = None,
    threads: int = 1,
) -> Iterator[tuple[RawFile, DataError | None]]:
    """Index raw files; yield each with its error, or None where it has none.

    Parameters
    ----------
    reader : Reader
        The reader of the source.
    files : iterable of RawFile
        The files.
    folder : path
        The source's folder of the index.
    maker : str
        Hash of the settings that the index depends on.
    fields : Fields, optional
        How the base catalogue is divided into fields; None for other sources.
    threads : int
        Files that are read at once.
    """

    def work(file: RawFile) -> tuple[RawFile, DataError | None]:
        try:
            index_file(reader, file, folder, maker, fields)
        except DataError as error:
            index_path(folder, file).unlink(missing_ok=True)  # of the file as it was before
            return file, error
        return file, None

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, files)


def index_file(
    reader: Reader, file: RawFile, folder: str | Path, maker: str, fields: Fields | None = None
) -> None:
    """Index one raw file; the parameters are those of `index_files`.

    Raises
    ------
    DataError
        Where the file is damaged, lacks what the reader needs, or changed meanwhile.
    """
    version, path = file.version(), index_path(folder, file)
    pieces = []
    with atomic_path(path) as temporary:
        writer = None
        for table in reader.index(file):
            placed = _placed(table, file, fields)
            pieces.append(_digests(placed))
            if writer is None:
                writer = pq.ParquetWriter(temporary, placed.schema, compression="zstd")
            writer.write_table(placed, _ROWS)
        if writer is None:
            raise DataError(must_be(str(file.path), "a file with rows", "none", REPLACE))
        writer.close()
        if file.version() != version:
            must, do = "unchanged while it is read", "run again once it is whole"
            raise DataError(must_be(str(file.path), must, "another size or time", do))
        # Digests of an earlier version must not stand beside the new rows if this is killed here.
        path.with_suffix(".npz").unlink(missing_ok=True)
    sums = pd.concat(pieces).groupby(["field", "cell"], sort=True).sum().reset_index()
    arrays = {
        "field": sums["field"].to_numpy(dtype=np.str_),
        "cell": sums["cell"].to_numpy(np.int64),
        "count": sums["count"].to_numpy(np.int64),
        "digest": sums["digest"].to_numpy(np.uint64),
    }
    attributes = {"file": version, "maker": maker, "columns": reader.schema().names}
    save_arrays(path.with_suffix(".npz"), arrays, **_FORMAT, **attributes)


def _placed(table: pa.Table, file: RawFile, fields: Fields | None) -> pa.Table:
    """Add cell and field of each object to a table; sort it by field and cell."""
    cells = healpix_cells(_floats(table, "_ra"), _floats(table, "_dec"), 2**_ORDER)
    key = table.column("_key")
    lost = cells == NO_CELL
    if pa.types.is_integer(key.type) and lost.all():  # Gaia's ids hold the cell of the source
        ids = pc.fill_null(key, -1).to_numpy()
        in_id = (ids >> _GAIA_SHIFT) << 2 * (_ORDER - 12)
        cells = np.where(ids >= 0, in_id, NO_CELL)
    table = table.append_column("_healpix", pa.array(cells))
    if fields is None:
        if "_field" in table.column_names:
            table = table.drop_columns("_field")
        return table.sort_by("_healpix")
    names = fields.names(table, file)
    wrong = pc.invert(pc.match_substring_regex(names.drop_null(), rf"^{FIELD_NAME}$"))
    if pc.any(wrong).as_py():
        name = names.drop_null().filter(wrong)[0].as_py()
        raise DataError(must_be(f"{file.path}: the field of a row", A_FIELD_NAME, repr(name)))
    place = table.column_names.index("_field")
    table = table.set_column(place, "_field", names)
    return table.sort_by([("_field", "ascending"), ("_healpix", "ascending")])


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """Return a column of numbers, float64 (n,); NaN where null."""
    return pc.fill_null(table.column(name).cast(pa.float64()), np.nan).to_numpy()


def _cells(healpix: np.ndarray, order: int) -> np.ndarray:
    """Return the cells of another order, int64 (n,); -1 stays."""
    return np.where(healpix == NO_CELL, NO_CELL, healpix >> 2 * (_ORDER - order))


def _digests(table: pa.Table) -> pd.DataFrame:
    """Return count and summed hash of the objects by field and cell."""
    names = [name for name in RESERVED.names if name != "_row"]
    hashes = pd.util.hash_pandas_object(
        table.select(["_key", *names]).to_pandas().fillna(np.nan), index=False
    )
    field = table.column("_field").to_pandas().fillna("") if "_field" in table.column_names else ""
    frame = pd.DataFrame(
        {
            "field": field,
            "cell": _cells(table.column("_healpix").to_numpy(), CELL_ORDER),
            "count": 1,
            "digest": hashes.to_numpy(),
        }
    )
    return frame.groupby(["field", "cell"], sort=False).sum().reset_index()


_NOTHING: Final = (
    RESERVED.append(pa.field("_key", pa.null()))
    .append(pa.field("_healpix", pa.int64()))
    .append(pa.field("_file", pa.int64()))
)
"""Columns that are there where no file has an object."""


def read_field(paths: Iterable[Path], field: str) -> pa.Table:
    """Return the indexed rows of a field of the base catalogue.

    The column ``_file`` has the number of the file among `paths`.
    """
    return _read(paths, ds.field("_field") == field)


def read_cells(paths: Iterable[Path], cells: np.ndarray) -> pa.Table:
    """Return the indexed objects in some cells of order `CELL_ORDER`, and those without a cell."""
    shift = 2 * (_ORDER - CELL_ORDER)
    wanted = ds.field("_healpix") == NO_CELL
    runs = np.split(cells, np.flatnonzero(np.diff(cells) > 1) + 1) if len(cells) else []
    for run in runs:
        first, end = int(run[0]) << shift, (int(run[-1]) + 1) << shift
        wanted |= (ds.field("_healpix") >= first) & (ds.field("_healpix") < end)
    return _read(paths, wanted)


def _read(paths: Iterable[Path], wanted: ds.Expression) -> pa.Table:
    tables = [_NOTHING.empty_table()]
    for number, path in enumerate(paths):
        table = pq.read_table(path, filters=wanted, partitioning=None)
        tables.append(table.append_column("_file", pa.array(np.full(len(table), number))))
    return pa.concat_tables(tables, promote_options="permissive")


def surrounding(cells: np.ndarray) -> np.ndarray:
    """Return cells of order `CELL_ORDER` and all their neighbours, int64, ascending."""
    from astropy_healpix import HEALPix

    known = cells[cells != NO_CELL]
    around = HEALPix(nside=2**CELL_ORDER, order="nested").neighbours(known)
    every = np.unique(np.concatenate([known, around.ravel()]))
    return every[every >= 0]


class Part(NamedTuple):
    """What a source has for a field: a digest of its objects, and the files that they stand in."""

    digest: str
    files: tuple[RawFile, ...]


def parts_of(
    sources: Mapping[str, Mapping[RawFile, Cells]], base: str
) -> dict[str, dict[str, Part]]:
    """Return what each source has for each field.

    Parameters
    ----------
    sources : mapping of str to mapping of RawFile to Cells
        Digests of the files of each source, by its name.
    base : str
        Name of the base catalogue.

    Returns
    -------
    dict
        By field and source, the objects in the cells of the field and around them, and those
        without a cell; of the base, the field's rows.
    """
    tables = {name: _Table(files) for name, files in sources.items()}
    field = tables[base].field
    order = np.argsort(field, kind="stable")
    names, starts = np.unique(field[order], return_index=True)
    parts = {}
    for name, rows in zip(names.tolist(), np.split(order, starts[1:]), strict=True):
        if name == "":
            continue
        around = np.append(surrounding(tables[base].cell[rows]), NO_CELL)
        found = {base: tables[base].part(rows)}
        for source, table in tables.items():
            if source != base:
                found[source] = table.part(table.inside(around))
        parts[name] = found
    return parts


class _Table:
    """The digests of all files of a source, in the order of their cells."""

    def __init__(self, files: Mapping[RawFile, Cells]) -> None:
        self._files, cells = list(files), list(files.values())
        names, whole, sums = np.zeros(0, "U1"), np.zeros(0, np.int64), np.zeros(0, np.uint64)
        held = [Cells(names, whole, whole, sums, ()), *cells]
        cell = np.concatenate([each.cell for each in held])
        order = np.argsort(cell, kind="stable")
        self.cell = cell[order]
        self.field = np.concatenate([each.field for each in held])[order]
        self._count = np.concatenate([each.count for each in held])[order]
        self._digest = np.concatenate([each.digest for each in held])[order]
        sizes = [len(each.cell) for each in cells]
        self._file = np.repeat(np.arange(len(cells)), sizes)[order]

    def inside(self, cells: np.ndarray) -> np.ndarray:
        """Return the rows of this table in some cells, int64."""
        first = np.searchsorted(self.cell, cells, side="left")
        counts = np.searchsorted(self.cell, cells, side="right") - first
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        return np.arange(total) + np.repeat(first - (ends - counts), counts)

    def part(self, rows: np.ndarray) -> Part:
        """Return the digest and the files of some rows; the division into files does not count."""
        cells, inverse = np.unique(self.cell[rows], return_inverse=True)
        count, digest = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.uint64)
        np.add.at(count, inverse, self._count[rows])
        np.add.at(digest, inverse, self._digest[rows])
        values = [cells.tolist(), count.tolist(), digest.tolist()]
        files = tuple(self._files[k] for k in np.unique(self._file[rows]).tolist())
        return Part(hash_values(values), files)
