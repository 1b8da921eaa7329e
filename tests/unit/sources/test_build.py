"""Cubes that are built from raw files, compared with the simulator's own cubes of the same sky."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astromodal.core.paths import Layout
from astromodal.data.columns import planned_columns
from astromodal.data.provenance import read_provenance
from astromodal.errors import DataError
from astromodal.sources.build import build_cube
from astromodal.sources.plan import plan_cubes
from helpers.workflow import locked_folder
from unit.sources.conftest import SIZE

FIELDS = ("R-1", "R-2")


def quiet(_: str) -> None:
    """Say nothing."""


def build(config, paths: Layout, *fields: str) -> None:
    plan_cubes(config, paths, {"index_source": "code", "build_cube": "code"}, quiet)
    for field in fields:
        build_cube(config, field, paths, paths.cube(field))


@pytest.fixture(scope="module")
def built(raw_sky, tmp_path_factory) -> Layout:
    """The cubes of both fields, built from the raw files."""

    def make(folder) -> None:
        build(raw_sky.config(folder), Layout(str(folder)), *FIELDS)

    return Layout(str(locked_folder(tmp_path_factory, "built_cubes", make)))


@pytest.fixture(scope="module", params=FIELDS)
def pair(request, raw_sky, built):
    """A built cube and the simulator's own, in the order of ids."""
    mine = pq.read_table(built.cube(request.param)).sort_by("id")
    theirs = pq.read_table(raw_sky.cubes / f"datacube_{request.param}.parquet")
    ids = pc.cast(theirs.column("id"), pa.string())
    place = theirs.column_names.index("id")
    return mine, theirs.set_column(place, "id", ids).sort_by("id")


def numbers(table: pa.Table, name: str) -> np.ndarray:
    return pc.fill_null(table.column(name).cast(pa.float64()), np.nan).to_numpy()


def assert_equal(one: pa.Table, two: pa.Table) -> None:
    """The tables have the same columns and values; NaN equals NaN."""
    assert one.schema.equals(two.schema)
    for name in one.column_names:
        a, b = (t.column(name).combine_chunks() for t in (one, two))
        assert a.is_null().equals(b.is_null()), name
        if pa.types.is_list(a.type):
            assert pc.list_value_length(a).equals(pc.list_value_length(b)), name
            a, b = a.flatten(), b.flatten()
        np.testing.assert_array_equal(
            *(c.drop_null().to_numpy(zero_copy_only=False) for c in (a, b))
        )


def test_rows_are_those_of_the_catalogue(pair):
    """Both cubes have the same ids, each once."""
    mine, theirs = pair
    assert mine.column("id").to_pylist() == theirs.column("id").to_pylist()


def test_rows_are_sorted_by_declination(built):
    """A cube's rows have ascending declinations: a block of rows needs a strip of images."""
    assert np.all(np.diff(numbers(pq.read_table(built.cube("R-1"), columns=["dec"]), "dec")) >= 0)


def test_scalars_are_equal(pair, raw_sky, tmp_path):
    """Every scalar and label that is read has the simulator's value, and is missing where it is."""
    mine, theirs = pair
    read = planned_columns(raw_sky.config(tmp_path))
    names = {c.name for modality in ("sources", "scalars", "labels") for c in read[modality]}
    compared = [n for n in names if n in theirs.column_names and n != "id"]
    assert len(compared) > 50
    for name in compared:
        a, b = mine.column(name), theirs.column(name)
        if pa.types.is_string(b.type):
            assert a.to_pylist() == b.to_pylist(), name
        else:
            kept = np.float32 if b.type == pa.float32() else np.float64
            np.testing.assert_array_equal(
                numbers(mine, name).astype(kept), numbers(theirs, name).astype(kept), name
            )


def test_a_survey_without_a_match_has_no_columns(pair):
    """Columns of VISTA are in one field, and in the other are not."""
    mine, theirs = pair
    vista = {name for name in theirs.column_names if name.startswith("vista_")}
    assert {name for name in mine.column_names if re.match("vista_.*mag6", name)} == vista


def test_gaia_ids_are_exact(pair):
    """The number of the designation, which the simulator rounds as real cubes do, is exact."""
    mine, _ = pair
    ids = mine.column("gaia_source_id").to_pylist()
    names = mine.column("gaia_designation").to_pylist()
    assert names == [None if each is None else f"Gaia DR3 {each}" for each in ids]


@pytest.mark.parametrize("band", ["bp", "rp"])
@pytest.mark.parametrize("what", ["coefficients", "coefficient_errors", "coefficient_correlations"])
def test_xp_spectra_are_equal(pair, band, what):
    """Each row has the XP numbers of its Gaia source, or none."""
    mine, theirs = (t.column(f"gaiaxp_{band}_{what}").to_pylist() for t in pair)
    parsed = [
        [None if v is None else json.loads(v.strip('"')) for v in each] for each in (mine, theirs)
    ]
    assert parsed[0] == parsed[1]
    assert sum(v is not None for v in mine) > 10


@pytest.mark.parametrize("arm", "brz")
def test_desi_spectra_are_equal(pair, arm):
    """Each row has its fibre's flux and inverse variance; a dead fibre is missing."""
    theirs, live = pair[1], 0
    for what in ("flux", "ivar"):
        a, b = (t.column(f"desi_{what}_{arm}").to_pylist() for t in pair)
        for k, ivar in enumerate(theirs.column(f"desi_ivar_{arm}").to_pylist()):
            arms = [theirs.column(f"desi_ivar_{x}")[k].as_py() for x in "brz"]
            if ivar is None or not any(np.any(each) for each in arms):
                assert a[k] is None
                continue
            good = np.array(ivar) > 0
            live += 1
            np.testing.assert_array_equal(np.array(a[k])[good], np.array(b[k])[good])
    assert live > 20


@pytest.mark.parametrize("field", FIELDS)
def test_cutouts_are_equal(field, raw_sky, built):
    """Pixels that no later cutout covers are the simulator's, those beyond the edge are NaN."""
    theirs = pq.read_table(raw_sky.cubes / f"datacube_{field}.parquet")
    wcs = WCS(fits.getheader(raw_sky.raw / f"images/{field}_R.fits"))
    ra, dec = (numbers(theirs, name) for name in ("ra", "dec"))
    x, y = wcs.world_to_pixel_values(ra, dec)
    left, low = np.ceil(x - 48), np.ceil(y - 48)
    place = {
        name: row for row, name in enumerate(pc.cast(theirs.column("id"), pa.string()).to_pylist())
    }
    later = np.flatnonzero(pc.is_valid(theirs.column("splus_cut_R")).to_numpy())
    mine, partial = pq.read_table(built.cube(field)), 0
    for band in [n for n in theirs.column_names if n.startswith("splus_cut_")]:
        own, ours = theirs.column(band), mine.column(band)
        for k, name in enumerate(mine.column("id").to_pylist()):
            row = place[name]
            if not own[row].is_valid:
                continue
            inside = (-0.5 <= x[row] < SIZE - 0.5) and (-0.5 <= y[row] < SIZE - 0.5)
            assert ours[k].is_valid == inside
            if not inside:
                continue
            expected = np.full(96 * 96, np.nan, np.float32)
            expected[: len(own[row])] = own[row].values.to_numpy()
            j, i = np.divmod(np.arange(96 * 96), 96)
            column, line = left[row] + i, low[row] + j
            off = (column < 0) | (line < 0) | (column >= SIZE) | (line >= SIZE)
            found = ours[k].values.to_numpy()
            np.testing.assert_array_equal(np.isnan(found), off)
            partial += off.any()
            free = ~off & np.isfinite(expected)
            for other in later[later > row]:
                across, up = column - left[other], line - low[other]
                free &= (across < 0) | (across >= 96) | (up < 0) | (up >= 96)
            np.testing.assert_array_equal(found[free], expected[free])
    assert partial


def test_a_band_without_a_file_is_null(built):
    """The field without U images has a column of nulls, and provenance counts no file."""
    assert pq.read_table(built.cube("R-2"), columns=["splus_cut_U"]).column(0).null_count == 240
    bands = read_provenance(built.cube("R-2"))["stamps"].bands
    assert (bands["U"].n_files, bands["R"].n_files) == (0, 1)


def test_provenance_counts_what_was_dropped(built, raw_sky):
    """Of DESI, sky fibres, dead fibres and the fainter repeat are counted by reason."""
    theirs = pq.read_table(raw_sky.cubes / "datacube_R-1.parquet")
    fibres = [
        [theirs.column(f"desi_ivar_{arm}")[k].as_py() for arm in "brz"] for k in range(len(theirs))
    ]
    has = [f for f in fibres if f[0] is not None]
    dead = sum(not any(np.any(arm) for arm in f) for f in has)
    first_is_dead = not any(np.any(arm) for arm in has[0])
    found = read_provenance(built.cube("R-1"))["desi"]
    assert found.matched == len(has) - dead
    assert found.dropped.get("no flux", 0) == dead + first_is_dead
    assert found.dropped["sky fibre"] == 2
    assert found.dropped.get("repeat", 0) == 1 - first_is_dead


def test_the_better_repeat_is_used(pair, built):
    """The target that two coadds hold has the flux of the longer exposure, not half of it."""
    mine, theirs = pair
    for k, flux in enumerate(theirs.column("desi_flux_r").to_pylist()):
        built_flux = mine.column("desi_flux_r")[k].as_py()
        if built_flux is not None and np.median(np.abs(flux)) > 0:
            ratio = np.median(np.array(built_flux) / np.where(np.array(flux) == 0, np.nan, flux))
            assert np.isnan(ratio) or ratio == pytest.approx(1.0)


def test_separations_are_kept(pair):
    """Every matched source has its separation from the row, within the radius."""
    mine, _ = pair
    apart = mine.column("gaia_separation")
    assert apart.null_count == mine.column("gaia_designation").null_count
    assert pc.max(apart).as_py() <= 1.2


def test_repeated_ids_are_an_error(raw_sky, paths, tmp_path):
    """A catalogue that holds a row twice ends in one error that names field and id."""
    copied = tmp_path / "raw"
    shutil.copytree(raw_sky.raw / "splus", copied)
    table = pyarrow.csv.read_csv(copied / "R-1.csv")
    pyarrow.csv.write_csv(pa.concat_tables([table, table.slice(0, 1)]), copied / "R-1.csv")
    sources = {"splus": {**raw_sky.sources["splus"], "files": f"{copied}/*.csv"}}
    config = raw_sky.config(paths.results).model_copy(
        update={"sources": raw_sky.config(paths.results, sources=sources).sources}
    )
    with pytest.raises(DataError, match=r"field R-1: ids of source splus must be unique, got 1 "):
        build(config, paths, "R-1")


def test_a_source_is_indexed_before(raw_sky, paths):
    """Without an index, the error says what to run."""
    with pytest.raises(DataError, match="field R-1: its raw files must be listed by a plan"):
        build_cube(raw_sky.config(paths.results), "R-1", paths, paths.cube("R-1"))
    assert not Path(paths.cube("R-1")).exists()


def test_a_column_of_two_sources_is_an_error(raw_sky, paths):
    """Two sources with the same column end in an error that names both."""
    sources = {**raw_sky.sources, "again": raw_sky.sources["specz"]}
    config = raw_sky.config(paths.results, sources=sources)
    with pytest.raises(DataError, match=r"source again: column 'specz_z' must be .* source specz"):
        build(config, paths, "R-1")


def test_an_unknown_join_is_an_error(raw_sky, paths):
    """A join by a column that no source before has names the nearest one."""
    sources = {**raw_sky.sources, "xp": {**raw_sky.sources["xp"], "join": "gaia_designatio"}}
    config = raw_sky.config(paths.results, sources=sources)
    with pytest.raises(DataError, match=r"sources.xp.join must be .*nearest: 'gaia_designation'"):
        build(config, paths, "R-1")


def test_cutouts_of_matched_rows_only(built):
    """Rows without a Gaia match have no cutout, as `matched` says."""
    table = pq.read_table(built.cube("R-1"), columns=["gaia_designation", "splus_cut_R"])
    without = table.filter(pc.is_null(table.column("gaia_designation")))
    assert without.column("splus_cut_R").null_count == len(without) > 0


def test_cutouts_of_bright_rows_only(raw_sky, paths):
    """With a limit, only rows that are bright enough have cutouts."""
    stamps = {**raw_sky.sources["stamps"], "limit": 18.0, "matched": None}
    config = raw_sky.config(paths.results, sources={**raw_sky.sources, "stamps": stamps})
    build(config, paths, "R-1")
    table = pq.read_table(paths.cube("R-1"), columns=["mag_pstotal_r", "splus_cut_R"])
    has = pc.is_valid(table.column("splus_cut_R"))
    assert pc.max(table.filter(has).column("mag_pstotal_r")).as_py() <= 18.0
    assert pc.sum(has).as_py() > 0


def test_the_division_of_rows_into_files_does_not_matter(raw_sky, built, paths, tmp_path):
    """The same rows in two files instead of one give the same cube."""
    table = pyarrow.csv.read_csv(raw_sky.raw / "splus/R-1.csv")
    for name, part in (("b", table.slice(0, 100)), ("a", table.slice(100))):
        pyarrow.csv.write_csv(part, tmp_path / f"{name}.csv")
    sources = {**raw_sky.sources}
    sources["splus"] = {**sources["splus"], "files": f"{tmp_path}/*.csv"}
    build(raw_sky.config(paths.results, sources=sources), paths, "R-1")
    one, two = (pq.read_table(layout.cube("R-1")) for layout in (built, paths))
    assert_equal(one, two)


def test_small_blocks_give_the_same_cube(raw_sky, built, paths):
    """The number of rows in memory does not change a value."""
    build(raw_sky.config(paths.results, cubes={"row_group": 64}), paths, "R-1")
    one, two = (pq.read_table(layout.cube("R-1")) for layout in (built, paths))
    assert_equal(one, two)
    assert pq.ParquetFile(paths.cube("R-1")).num_row_groups == 4


def test_a_failed_build_leaves_nothing(raw_sky, paths, tmp_path):
    """A damaged image ends in an error, and neither a cube nor scratch files are left."""
    shutil.copytree(raw_sky.raw / "images", tmp_path / "images")
    image = tmp_path / "images/R-1_R.fits"
    image.write_bytes(image.read_bytes()[:-300_000])
    stamps = {**raw_sky.sources["stamps"], "files": f"{tmp_path}/images/{{field}}_{{band}}.fits"}
    config = raw_sky.config(paths.results, sources={**raw_sky.sources, "stamps": stamps})
    with pytest.raises(DataError, match=r"source stamps: .*R-1_R\.fits must be"):
        build(config, paths, "R-1")
    folder = tmp_path / "results/cubes"
    assert list(folder.iterdir()) == []
