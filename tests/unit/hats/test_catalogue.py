"""The HATS catalogue: its partitions, margin and properties, as HATS and LSDB read them."""

import cdshealpix.nested
import hats
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hats.io.validation import is_valid_catalog
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.cube import Cube
from astromodal.errors import DataError
from astromodal.hats.catalogue import divide, margins
from helpers.catalogues import lsdb

ORDER = 29
# LSDB uses what pandas 4 will remove.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")


def cells(n, seed=0):
    """Sorted cells of positions in a small part of the sky."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(9, 11, n), rng.uniform(-31, -29, n)
    return np.sort(hats.pixel_math.spatial_index.compute_spatial_index(ra, dec))


def around(cell, order):
    """Cells of an order that touch a cell of order 29."""
    own = np.array([cell >> 2 * (ORDER - order)], dtype=np.uint64)
    near = cdshealpix.nested.neighbours(own, order)[0]
    return set(near[near >= 0].tolist())


@given(st.lists(st.integers(0, 12 * 4**ORDER - 1), max_size=60), st.integers(1, 20))
def test_partitions_hold_each_row_once(cell, most):
    """Each row lies in the cell of its partition, and no partition has too many rows."""
    cell = np.sort(np.array(cell, dtype=np.int64))
    partitions = divide(cell, most, ORDER)
    rows = [each.rows for each in partitions]
    assert np.concatenate([*rows, np.empty(0, int)]).tolist() == list(range(len(cell)))
    for each in partitions:
        assert (cell[each.rows] >> 2 * (ORDER - each.order) == each.pixel).all()
        assert len(each.rows) <= most or each.order == ORDER


def test_partitions_are_as_large_as_they_may_be():
    """The rows of four cells that would fit into one are not divided."""
    cell = cells(300)
    for each in divide(cell, 40, 20):
        if each.order:
            above = (cell >> 2 * (ORDER - each.order + 1)) == each.pixel // 4
            assert above.sum() > 40


def test_the_highest_order_is_kept():
    """Crowded cells stay whole rather than become smaller than the margin."""
    partitions = divide(np.zeros(30, np.int64), 4, 6)
    assert [(each.order, each.pixel, len(each.rows)) for each in partitions] == [(6, 0, 30)]


def test_margins_hold_the_rows_of_bordering_cells():
    """A row is in the margin of each partition that one of the cells around its own is in."""
    cell, order = cells(200, seed=1), 12
    partitions = divide(cell, 30, order - 1)
    found = {
        (each.order, each.pixel): set(each.rows.tolist())
        for each in margins(cell, partitions, order)
    }
    for each in partitions:
        inside = cell >> 2 * (ORDER - each.order) == each.pixel
        expected = {
            i
            for i in np.flatnonzero(~inside).tolist()
            if any(c >> 2 * (order - each.order) == each.pixel for c in around(cell[i], order))
        }
        assert found.get((each.order, each.pixel), set()) == expected


def test_empty_cells_have_margins_too():
    """A match across the border of a cell without rows is found."""
    corner = np.array([0])  # of the first of the twelve base cells
    partitions = divide(corner, 1, 9)
    found = margins(corner, partitions, 10)
    assert [(each.order, each.pixel) for each in partitions] == [(0, 0)]
    assert [each.rows.tolist() for each in found] == [[0]] * len(found)
    assert {each.pixel for each in found} == {4, 5, 8}


def test_the_collection_is_valid(catalogue):
    """HATS's own strict check finds every file of the catalogue and of its margin."""
    assert is_valid_catalog(catalogue, strict=True)


def test_lsdb_reads_every_object_once(catalogue, pair):
    """Ids are those of the fields, and positions those of the cubes."""
    found = lsdb.open_catalog(catalogue).compute(progress_bar=False)
    assert sorted(found["id"]) == sorted(
        [f"A-{i}" for i in range(12)] + [f"B-{i}" for i in range(24)]
    )
    for name, files in pair:
        own = found[found["field"] == name].sort_values("row")
        cube = Cube(files["cube"], name)
        places = cube.scalars(["ra", "dec"])[own["row"].to_numpy()]
        np.testing.assert_array_equal(own[["ra", "dec"]].to_numpy(np.float64), places)


def test_files_are_partitions(catalogue):
    """No file has more rows than the settings say, and each row lies in its cell."""
    found = lsdb.open_catalog(catalogue)
    pixels = found.get_healpix_pixels()
    assert len(pixels) >= 4
    for i, pixel in enumerate(pixels):
        own = found.partitions[i].compute(progress_bar=False)
        assert len(own) <= 18
        assert (own.index.to_numpy() >> 2 * (ORDER - pixel.order) == pixel.pixel).all()


def test_columns_by_default_are_light(catalogue):
    """Embeddings and codes are loaded where they are named."""
    default = lsdb.open_catalog(catalogue).columns
    every = lsdb.open_catalog(catalogue, columns="all").columns
    assert {"id", "specz_z_median", "specz_z_decoded"} <= set(default)
    assert set(every) - set(default) == {
        "embedding", "image_codes", "scalar_codes", "desi_r_codes", "gaiaxp_bp_codes",
    }  # fmt: skip


def matches(pair, folder):
    """Matches of LSDB between places 50 arcsec north of all objects and a catalogue."""
    cubes = [Cube(own["cube"], name) for name, own in pair]
    ids = np.concatenate([cube.ids() for cube in cubes])
    ra, dec = np.concatenate([cube.scalars(["ra", "dec"]) for cube in cubes]).T
    moved = pd.DataFrame({"name": ids, "ra": ra, "dec": dec + 50 / 3600})
    other = lsdb.from_dataframe(moved, margin_threshold=None, lowest_order=9, highest_order=9)
    matched = other.crossmatch(
        lsdb.open_catalog(folder), radius_arcsec=55, n_neighbors=5,
        suffix_method="overlapping_columns",
    )  # fmt: skip
    return set(zip(*matched.compute(progress_bar=False)[["name", "id"]].to_numpy().T, strict=True))


@pytest.mark.filterwarnings("ignore:Right catalog does not have a margin cache")
def test_lsdb_finds_matches_across_borders(catalogue, pair, write, as_fields, tmp_path):
    """With the margin, every place matches the objects south of it; without, some are missed.

    The objects of both fields have the same places, 31 arcsec apart.
    """
    write(tmp_path / "h", as_fields(*pair), max_rows=4, margin=0)
    expected = {
        (f"{first}-{i}", f"{second}-{i}")
        for i in range(24)
        for first in "AB"
        for second in "AB"
        if i < 12 or first == second == "B"
    }
    assert matches(pair, catalogue) == expected
    assert matches(pair, tmp_path / "h") < expected


def test_the_margin_has_the_width_of_the_settings(catalogue):
    """Its name and its properties say so."""
    margin = hats.read_hats(catalogue / "astromodal_60arcs")
    assert margin.catalog_info.margin_threshold == 60
    assert margin.catalog_info.primary_catalog == "astromodal"


def test_no_margin(write, as_fields, pair, tmp_path):
    """A width of zero writes the catalogue alone, which LSDB opens."""
    write(tmp_path / "h", as_fields(*pair), margin=0, name="alone")
    assert {path.name for path in (tmp_path / "h").iterdir()} == {"alone", "collection.properties"}
    assert len(lsdb.open_catalog(tmp_path / "h").compute(progress_bar=False)) == 36


def test_properties_name_model_and_builder(catalogue, model):
    """The hash of the model is kept, and the number of rows."""
    info = hats.read_hats(catalogue / "astromodal").catalog_info
    assert info.total_rows == 36
    assert info.extra_dict()["astromodal_model"] == model.hash
    assert info.provenance_dict()["hats_builder"].startswith("astromodal v")


def test_columns_have_their_units(catalogue):
    """The common schema keeps them as metadata."""
    schema = pq.read_schema(catalogue / "astromodal/dataset/_common_metadata")
    units = {field.name: (field.metadata or {}).get(b"unit") for field in schema}
    assert units["ra"] == b"deg"
    assert units["gaia_teff_gspphot_median"] == units["gaia_teff_gspphot_decoded"] == b"K"


def test_objects_without_a_position_are_counted(made, write, as_fields, tmp_path):
    """They are left out."""
    name, files = made("P", n=9, seed=4)
    table = pq.read_table(files["cube"])
    dec = table.column("dec").to_pylist()
    dec[2] = None
    changed = table.set_column(table.column_names.index("dec"), "dec", [dec])
    pq.write_table(changed, tmp_path / "cube.parquet")
    fields = as_fields((name, files | {"cube": tmp_path / "cube.parquet"}))
    places = write(tmp_path / "h", fields)
    assert (len(places.cell), places.n_unplaced) == (8, 1)
    assert "P-2" not in set(lsdb.open_catalog(tmp_path / "h").compute(progress_bar=False)["id"])


def test_no_object_has_a_position(made, write, as_fields, tmp_path):
    """One error says so, and nothing is written."""
    name, files = made("N", n=5, seed=5)
    table = pq.read_table(files["cube"])
    gone = table.set_column(table.column_names.index("ra"), "ra", [[None] * 5])
    pq.write_table(gone, tmp_path / "cube.parquet")
    fields = as_fields((name, files | {"cube": tmp_path / "cube.parquet"}))
    with pytest.raises(DataError, match="positions must be those of some objects, got none, of 5"):
        write(tmp_path / "h", fields)
    assert not (tmp_path / "h").exists()
