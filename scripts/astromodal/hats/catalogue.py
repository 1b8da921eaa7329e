"""Writes the survey's objects as a HATS catalogue, with a margin, that LSDB opens.

HATS (Hierarchical Adaptive Tiling Scheme, https://www.ivoa.net/documents/Notes/HATS/) divides the
sky into HEALPix cells with about the same number of rows each, one parquet file per cell. A margin
catalogue repeats the rows just outside of each cell, so that matches across its border are found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hats.catalog import Catalog, PartitionInfo, TableProperties
from hats.catalog.dataset.collection_properties import CollectionProperties
from hats.io import paths, write_parquet_metadata
from hats.pixel_math import HealpixPixel, get_margin
from hats.pixel_math.healpix_pixel_function import sort_pixels
from hats.pixel_math.healpix_shim import margin2order
from hats.pixel_math.spatial_index import (
    compute_spatial_index,
)

from astromodal import __version__
from astromodal.config.schema import Config
from astromodal.core.loops import Progress, quiet
from astromodal.data.splits import has_position
from astromodal.errors import DataError, must_be
from astromodal.hats.rows import CELL, CatalogueRows
from astromodal.inference.tables import read_rows
from astromodal.storage.tempfiles import atomic_path

_ORDER: Final = 29  # of the cells of single rows
_HEAVY: Final = ("embedding", "_codes")
"""Ends of the names of columns that LSDB does not load unless they are named."""


@dataclass(frozen=True)
class Places:
    """Places of n objects, in the order of their cells.

    Attributes
    ----------
    cell : int64 (n,)
        HEALPix cells of order 29, NESTED, ascending.
    ra, dec : float64 (n,)
        ICRS positions (degree).
    field : int32 (n,)
        Numbers of the fields.
    number : int64 (n,)
        Numbers of the objects in the files of their fields.
    n_unplaced : int
        Further objects, which have no position.
    """

    cell: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    field: np.ndarray
    number: np.ndarray
    n_unplaced: int


@dataclass(frozen=True)
class Partition:
    """A HEALPix cell that is one file.

    Attributes
    ----------
    order, pixel : int
        Order and number of the cell, NESTED.
    rows : int64 (k,)
        Its rows among the places, ascending.
    """

    order: int
    pixel: int
    rows: np.ndarray


def place_objects(rows: CatalogueRows, settings: Config, progress: Progress = quiet) -> Places:
    """Read the positions of all objects, and sort them by their cells.

    Parameters
    ----------
    rows : CatalogueRows
        The fields.
    settings : Config
        Its group ``columns``.
    progress : Progress
        Wraps the loop over fields.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    n_unplaced = 0
    for i in progress(range(len(rows.fields)), len(rows.fields), "fields"):
        field, number = rows.fields[i], np.arange(rows.count(i))
        table = read_rows(field.files["embeddings"], number, ["row"])
        cube = field.open(settings.columns)
        names = [cube.settings.ra, cube.settings.dec]
        ra, dec = cube.scalars(names)[table.column("row").to_numpy()].T
        known = has_position(ra, dec)
        n_unplaced += int((~known).sum())
        ra, dec = ra[known] % 360, dec[known]
        cell = compute_spatial_index(ra, dec)
        parts.append((cell, ra, dec, np.full(len(cell), i, np.int32), number[known]))
    cell, ra, dec, fields, number = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(cell, kind="stable")
    return Places(cell[order], ra[order], dec[order], fields[order], number[order], n_unplaced)


def divide(cell: np.ndarray, most: int, highest: int) -> list[Partition]:
    """Divide rows by cells, each as large as it may be.

    Parameters
    ----------
    cell : int64 (n,)
        Cells of order 29 of the rows, ascending.
    most : int
        Largest number of rows of a partition, but where its order is the highest.
    highest : int
        Highest order.

    Returns
    -------
    list of Partition
        Partitions with rows, in the order of their rows.
    """

    def below(order: int, pixel: int) -> Iterator[Partition]:
        shift = 2 * (_ORDER - order)
        start, end = np.searchsorted(cell, [pixel << shift, (pixel + 1) << shift])
        if end - start > most and order < highest:
            for child in range(4 * pixel, 4 * pixel + 4):
                yield from below(order + 1, child)
        elif end > start:
            yield Partition(order, pixel, np.arange(start, end))

    return [partition for base in range(12) for partition in below(0, base)]


def margins(
    cell: np.ndarray, partitions: Sequence[Partition], margin_order: int
) -> list[Partition]:
    """Find the rows just outside of each partition, and of each empty cell between partitions.

    Parameters
    ----------
    cell : int64 (n,)
        Cells of order 29 of the rows, ascending.
    partitions : sequence of Partition
        The partitions.
    margin_order : int
        Order of the cells along the border that belong to the margin.

    Returns
    -------
    list of Partition
        Those that have rows in their margin, with these.
    """
    pixels = [HealpixPixel(each.order, each.pixel) for each in partitions]
    properties = TableProperties.model_validate(
        {"catalog_name": "", "catalog_type": "object", "ra_column": "ra", "dec_column": "dec"}
    )
    pixels += Catalog(properties, pixels).generate_negative_tree_pixels()
    coarse = cell >> 2 * (_ORDER - margin_order)
    found = []
    for pixel in sort_pixels(pixels):
        border = np.array(get_margin(pixel.order, pixel.pixel, margin_order - pixel.order))
        start, end = (np.searchsorted(coarse, border, side=side) for side in ("left", "right"))
        full = end > start
        if full.any():
            spans = zip(start[full].tolist(), end[full].tolist(), strict=True)
            rows = np.concatenate([np.arange(*span) for span in spans])
            found.append(Partition(pixel.order, pixel.pixel, np.sort(rows)))
    return found


def write_catalogue(
    folder: str | Path, rows: CatalogueRows, settings: Config, progress: Progress = quiet
) -> Places:
    """Write a collection of a catalogue and its margin.

    The description of the collection is written last: what is not whole cannot be opened.

    Parameters
    ----------
    folder : path
        Folder of the collection, which may exist but holds none.
    rows : CatalogueRows
        The objects.
    settings : Config
        Its groups ``hats`` and ``columns``.
    progress : Progress
        Wraps the loops over fields and partitions.

    Returns
    -------
    Places
        Places of the objects that were written.

    Raises
    ------
    DataError
        Where no object has a position.
    MachineError
        Where the disk is full, read-only or broken.
    """
    hats, folder = settings.hats, Path(folder)
    places = place_objects(rows, settings, progress)
    if not len(places.cell):
        must, got = "those of some objects", f"none, of {places.n_unplaced} objects"
        raise DataError(must_be("positions", must, got, "select more rows (selection)"))
    width = np.array(hats.margin) / 60  # arcmin
    margin_order = int(margin2order(width)) if hats.margin else _ORDER
    partitions = divide(places.cell, hats.max_rows, margin_order - 1)
    primary = {"dataproduct_type": "object", "obs_collection": hats.name}
    _write(folder, partitions, rows, places, primary, progress)
    collection: dict[str, Any] = {"obs_collection": hats.name, "hats_primary_table_url": hats.name}
    if hats.margin:
        name = f"{hats.name}_{hats.margin:g}arcs"
        near = margins(places.cell, partitions, margin_order)
        margin = {
            "dataproduct_type": "margin", "obs_collection": name,
            "hats_primary_table_url": hats.name, "hats_margin_threshold": hats.margin,
        }  # fmt: skip
        _write(folder, near, rows, places, margin, progress)
        collection |= {"all_margins": [name], "default_margin": name}
    CollectionProperties(**collection).to_properties_file(folder)
    return places


def _write(
    folder: Path,
    partitions: Sequence[Partition],
    rows: CatalogueRows,
    places: Places,
    about: dict[str, Any],
    progress: Progress,
) -> None:
    """Write a catalogue into the folder of its name, and its properties at the end."""
    schema, own = rows.schema(), folder / str(about["obs_collection"])
    pixels = [HealpixPixel(each.order, each.pixel) for each in partitions]
    for i in progress(range(len(pixels)), len(pixels), f"partitions of {own.name}"):
        table = _table(partitions[i].rows, rows, places, schema)
        path = Path(str(paths.pixel_catalog_file(own, pixels[i])))
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    if not pixels:  # a margin without rows still has columns
        (own / "dataset").mkdir(parents=True)
        pq.write_metadata(schema, own / "dataset/_common_metadata")
    else:
        write_parquet_metadata(own, create_metadata=False)
    PartitionInfo(pixels).write_to_file(paths.get_partition_info_pointer(own))
    light = [name for name in schema.names if not name.endswith((CELL, *_HEAVY))]
    made = TableProperties.new_provenance_dict(own, builder=f"astromodal v{__version__}")
    TableProperties(
        **about, **made, hats_nrows=sum(len(each.rows) for each in partitions),
        hats_col_ra="ra", hats_col_dec="dec", hats_col_healpix=CELL, hats_col_healpix_order=_ORDER,
        hats_cols_default=light, astromodal_model=rows.model_hash,
    ).to_properties_file(own)  # fmt: skip


def _table(chosen: np.ndarray, rows: CatalogueRows, places: Places, schema: pa.Schema) -> pa.Table:
    """Return some of the rows at places, in the order of their cells."""
    field, number = places.field[chosen], places.number[chosen]
    order = np.lexsort((number, field))
    parts = []
    for each in np.unique(field).tolist():
        columns = rows.read(each, number[order][field[order] == each])
        parts.append(pa.table(columns))
    table = pa.concat_tables(parts).take(np.argsort(order))
    columns = {name: table.column(name) for name in table.column_names}
    columns |= {CELL: places.cell[chosen], "ra": places.ra[chosen], "dec": places.dec[chosen]}
    return pa.table([columns[name] for name in schema.names], schema=schema)
