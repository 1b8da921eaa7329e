"""The cube of a field, put together from the index of its sources, spectra and images.

The base catalogue gives the rows, in the order of declination. Catalogues are in the index; spectra
and light curves of matched objects are read from their files into a scratch file; images are cut
while the cube is written, a block of rows at a time. So the memory that a field takes does not
depend on its number of spectra and cutouts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.config.schema import Config
from astromodal.config.sources import SourceSettings
from astromodal.core.loops import Progress, quiet
from astromodal.core.paths import Layout
from astromodal.data.parquet import cube_writer
from astromodal.data.provenance import PROVENANCE, Provenance
from astromodal.errors import DataError, must_be, suggestion
from astromodal.sources.base import Reader
from astromodal.sources.files import RawFile, list_files
from astromodal.sources.images import ImageSource
from astromodal.sources.index import CELL_ORDER, index_path, read_cells, read_field, surrounding
from astromodal.sources.match import Pairs, Positions, match_ids, match_positions
from astromodal.sources.readers import reader_of
from astromodal.sources.rows import Spill
from astromodal.storage.json_files import read_json
from astromodal.storage.tempfiles import atomic_path, scratch_folder


def build_cube(
    config: Config, name: str, paths: Layout, path: str | Path, progress: Progress = quiet
) -> dict[str, Provenance]:
    """Build the cube of a field and write it.

    Parameters
    ----------
    config : Config
        Its settings name the sources, and the columns of ids and positions.
    name : str
        The field.
    paths : Layout
        The results folder, which holds the index of the sources.
    path : path
        The parquet file, written atomically.
    progress : Progress
        Shows the rows that are written.

    Returns
    -------
    dict
        What each source gave, which the metadata of the cube hold as well.

    Raises
    ------
    DataError
        Where rows repeat an id, or a raw file is damaged.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(path))
        cube = _Assembly(config, name, paths, scratch)
        for source in config.sources:
            cube.add(source)
        images = {n: stack.enter_context(image) for n, image in cube.open_images()}
        cube.write(Path(path), images, progress)
    return cube.provenance


def _listed(paths: Layout, name: str) -> dict[str, Any]:
    """Return the raw files of each source that a field is built from, as the plan listed them."""
    try:
        return dict(read_json(paths.field_files(name)))
    except FileNotFoundError:
        what, do = f"field {name}: its raw files", "run snakemake cubes, or snakemake -n"
        raise DataError(must_be(what, "listed by a plan before", "no list", do)) from None


class _Assembly:
    """The columns of a cube, while sources are added one by one.

    Parameters
    ----------
    config, name, paths
        Those of `build_cube`.
    scratch : path
        Folder for the spectra of matched objects.
    """

    def __init__(self, config: Config, name: str, paths: Layout, scratch: Path) -> None:
        self._config, self._name = config, name
        self._paths, self._scratch = paths, scratch
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._spilled: list[Spill] = []
        self._matched: dict[str, np.ndarray] = {}
        self._owner: dict[str, str] = {}
        self._absent: set[str] = set()
        self._listed = _listed(paths, name)
        self.provenance: dict[str, Provenance] = {}
        self._start()

    def _start(self) -> None:
        """Read the rows of the base catalogue."""
        base, names = self._config.base, self._config.columns
        table = self._indexed(base, None)
        found = self.provenance[base]
        found.files = dict.fromkeys(self._listed[base]["files"], "")
        table = _usable(table, found)
        ids = table.column("_key")
        if len(table) == 0:
            what = f"field {self._name}: rows of source {base}"
            raise DataError(must_be(what, "one or more with a position", f"{found.dropped}"))
        if not pa.types.is_null(ids.type) and not pa.types.is_string(ids.type):
            ids = ids.cast(pa.string())
        table = table.set_column(table.column_names.index("_key"), "_key", ids)
        table = table.sort_by([("_dec", "ascending"), ("_key", "ascending")])
        self._require_unique(base, table.column("_key"))
        self._positions = Positions(_floats(table, "_ra"), _floats(table, "_dec"))
        self._cells = np.unique(table.column("_healpix").to_numpy() >> 2 * (29 - CELL_ORDER))
        found.matched = len(table)
        own = {
            names.id: table.column("_key"),
            "field": pa.chunked_array([pa.array([self._name] * len(table), pa.string())]),
            names.ra: table.column("_ra"),
            names.dec: table.column("_dec"),
        }
        for column in table.column_names:
            if not column.startswith("_") and column not in own:
                own[column] = table.column(column)
        self._own(base, own)
        self._columns |= own

    def _require_unique(self, base: str, ids: pa.ChunkedArray) -> None:
        what = f"field {self._name}: ids of source {base}"
        if ids.null_count:
            must, do = "present in every row", "name the column of ids in the preset's id"
            raise DataError(must_be(what, must, f"{ids.null_count} of {len(ids)} rows not", do))
        counts = pc.value_counts(ids).flatten()
        repeated = counts[0].filter(pc.greater(counts[1], 1))
        if len(repeated):
            got = f"{len(repeated)} that repeat, such as {repeated[0].as_py()!r}"
            do = "leave out the files that hold the same rows, or name another column of ids"
            raise DataError(must_be(what, "unique", got, do))

    def __len__(self) -> int:
        return len(self._positions)

    def _indexed(self, source: str, cells: np.ndarray | None) -> pa.Table:
        """Return the indexed rows of a source: of the field, or in some cells."""
        listed = self._listed[source]
        folder = self._paths.source_index(source)
        paths = [index_path(folder, RawFile(Path(name))) for name in listed["files"]]
        table = read_field(paths, self._name) if cells is None else read_cells(paths, cells)
        self.provenance[source] = Provenance(
            self._config.sources[source].kind, objects=len(table), left_out=listed["left_out"]
        )
        return table

    def _own(self, source: str, columns: Iterable[str]) -> None:
        """Note whose columns these are; `DataError` where the cube has one of them already."""
        for name in columns:
            if name in self._owner:
                must = f"of another name than a column of source {self._owner[name]}"
                do = "leave it out of one of the two presets"
                raise DataError(must_be(f"source {source}: column {name!r}", must, "the same", do))
            self._owner[name] = source

    def add(self, source: str) -> None:
        """Match the objects of a source with the rows, and add its columns."""
        settings = self._config.sources[source]
        if source == self._config.base or settings.kind == "images":
            return
        reader = reader_of(source, settings)
        table = self._indexed(source, surrounding(self._cells))
        found = self.provenance[source]
        table = _best(_usable(table, found), found)
        pairs = self._match(source, settings, table)
        found.matched, found.contested = len(pairs.row), pairs.contested
        if len(pairs.row) and np.isfinite(pairs.separation).any():
            found.separation = round(float(np.median(pairs.separation)), 4)
        place = np.full(len(self), -1)
        place[pairs.row] = pairs.object
        self._matched[source] = place >= 0
        if not len(pairs.row):  # as in real cubes: no columns where nothing matched
            self._absent |= set(reader.schema().names)
            return
        columns = self._take(source, reader, table, place, found)
        if settings.joined_by is None:
            apart = np.full(len(self), np.nan, dtype=np.float32)
            apart[pairs.row] = pairs.separation
            column = pa.array(apart, mask=np.isnan(apart))
            columns[f"{source}_separation"] = pa.chunked_array([column])
        self._own(source, columns)
        self._columns |= columns

    def _match(self, source: str, settings: SourceSettings, table: pa.Table) -> Pairs:
        if settings.joined_by is not None:
            return self._join(source, settings.joined_by, table)
        match = settings.match
        objects = Positions(_floats(table, "_ra"), _floats(table, "_dec"))
        if match.epoch is not None:
            years = match.epoch - _floats(table, "_epoch")
            objects = objects.moved(_floats(table, "_pmra"), _floats(table, "_pmdec"), years)
        placed = np.flatnonzero(np.isfinite(objects.ra) & np.isfinite(objects.dec))
        some = Positions(objects.ra[placed], objects.dec[placed])
        pairs = match_positions(self._positions, some, match.radius, match.one_to_one)
        return Pairs(pairs.row, placed[pairs.object], pairs.separation, pairs.contested)

    def _join(self, source: str, column: str, table: pa.Table) -> Pairs:
        """Join by the ids in a column of the cube, as whole numbers where the objects' are."""
        if column in self._absent:
            return match_ids(np.zeros(0, np.int64), np.zeros(0, np.int64))
        if column not in self._columns:
            what, must = f"sources.{source}.join", "a column of the sources before it"
            raise DataError(must_be(what, must, column) + suggestion(column, self._columns))
        ids, keys = self._columns[column], table.column("_key")
        if pa.types.is_string(ids.type) and pa.types.is_integer(keys.type):
            digits = pc.struct_field(pc.extract_regex(ids, r"(?P<id>\d+)\s*$"), "id")
            ids = digits.cast(pa.int64())  # "Gaia DR3 2449704931658296064"
        elif pa.types.is_string(keys.type):
            ids = ids.cast(pa.string())
        row = np.flatnonzero(pc.is_valid(ids).to_numpy())
        known = np.flatnonzero(pc.is_valid(keys).to_numpy())
        pairs = match_ids(_ids(ids.drop_null()), _ids(keys.drop_null()))
        return Pairs(row[pairs.row], known[pairs.object], pairs.separation, pairs.contested)

    def _take(
        self, source: str, reader: Reader, table: pa.Table, place: np.ndarray, found: Provenance
    ) -> dict[str, pa.ChunkedArray]:
        """Return the columns of matched objects, or put them into a scratch file."""
        names = reader.schema().names
        if reader.in_index:
            found.files = dict.fromkeys(self._listed[source]["files"], "")
            objects = pa.array(place, mask=place < 0)
            held = [name for name in names if name in table.column_names]  # of some file
            return {name: table.column(name).take(objects) for name in held}
        file, raw = (table.column(name).to_numpy() for name in ("_file", "_row"))
        scratch = self._scratch / f"{source}.arrow"
        files = [RawFile(Path(name)) for name in self._listed[source]["files"]]
        spill = Spill(scratch, reader, files, place, file, raw)
        found.files = dict.fromkeys(spill.files, "")
        self._spilled.append(spill)
        self._own(source, names)
        return {}

    def open_images(self) -> Iterator[tuple[str, ImageSource]]:
        """Open the images of the field, by source."""
        size = self._config.tokenizers.image.size
        for source, settings in self._config.sources.items():
            if settings.kind == "images":
                files = [f for f in list_files(source, settings) if f.field == self._name]
                opened = ImageSource(source, settings, files, settings.size or size)
                self.provenance[source] = Provenance("images", opened.digests())
                self._own(source, opened.schema().names)
                yield source, opened

    def _wanted(self, source: str) -> np.ndarray:
        """Return the rows that get cutouts, bool (n,)."""
        settings = self._config.sources[source]
        wanted = np.ones(len(self), dtype=bool)
        if settings.matched is not None:
            wanted &= self._matched.get(settings.matched, wanted)
        cut = self._config.selection.column
        if settings.limit is not None and cut in self._columns:
            magnitude = pc.fill_null(self._columns[cut].cast(pa.float64()), np.nan).to_numpy()
            wanted &= magnitude <= settings.limit
        return wanted

    def write(self, path: Path, images: Mapping[str, ImageSource], progress: Progress) -> None:
        """Write the cube, a block of rows at a time."""
        wanted = {source: self._wanted(source) for source in images}
        block, n = self._config.cubes.row_group, len(self)
        table = pa.table(self._columns)
        fields = [*table.schema, *(each for spill in self._spilled for each in spill.schema)]
        fields += [each for image in images.values() for each in image.schema()]
        starts = range(0, n, block)
        schema, where = pa.schema(fields), self._positions
        with atomic_path(path) as temporary, cube_writer(temporary, schema) as writer:
            for start in progress(starts, len(starts), "blocks of rows"):
                end = min(start + block, n)
                columns = [*table.slice(start, block).columns]
                columns += [c for spill in self._spilled for c in spill.take(start, end)]
                rows = slice(start, end)
                for source, image in images.items():
                    columns += image.cut(where.ra[rows], where.dec[rows], wanted[source][rows])
                writer.write_table(pa.table(columns, schema=schema), block)
            for source, image in images.items():
                self.provenance[source].bands = image.counts
            writer.add_key_value_metadata({PROVENANCE: json.dumps(self._plain()).encode()})

    def _plain(self) -> dict[str, Any]:
        return {name: asdict(found) for name, found in self.provenance.items()}


def _usable(table: pa.Table, found: Provenance) -> pa.Table:
    """Return the objects that are used, and count the others by reason."""
    reason = table.column("_reason")
    counts = Counter(reason.drop_null().to_pylist())
    found.dropped |= dict(sorted(counts.items()))
    return table.filter(pc.is_null(reason))


def _best(table: pa.Table, found: Provenance) -> pa.Table:
    """Return of all objects with one id that of the highest rank, and count the others."""
    keys = table.column("_key")
    if pa.types.is_null(keys.type) or keys.null_count == len(keys):
        return table
    order = np.lexsort((np.arange(len(table)), -_floats(table, "_rank")))
    ranked = table.take(order)
    keys = ranked.column("_key")
    known = pc.is_valid(keys).to_numpy()
    _, first = np.unique(_ids(keys.drop_null()), return_index=True)
    kept = np.sort(np.concatenate([np.flatnonzero(known)[first], np.flatnonzero(~known)]))
    if repeats := len(table) - len(kept):
        found.dropped["repeat"] = repeats
    return ranked.take(np.sort(kept))


def _ids(column: pa.ChunkedArray) -> np.ndarray:
    """Return ids without nulls, int64 or unicode (n,)."""
    if pa.types.is_integer(column.type):
        return column.to_numpy()
    return np.asarray(column.to_pylist(), dtype=np.str_)


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """Return a column of numbers, float64 (n,); NaN where null."""
    return pc.fill_null(table.column(name).cast(pa.float64()), np.nan).to_numpy()
