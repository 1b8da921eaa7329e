"""The tiny sky as a HATS catalogue, in the hands of LSDB."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from astromodal.simulate.raw import _gaia
from helpers.catalogues import lsdb
from helpers.workflow import tiny

# LSDB uses what pandas 4 will remove.
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]
FIELDS = ("T-1", "T-2", "T-3")


@pytest.fixture(scope="module")
def paths(used):
    return Layout(str(used.results))


@pytest.fixture(scope="module")
def gaia(paths, tmp_path_factory):
    """The Gaia sources of the sky as a HATS catalogue, at their positions of 2016.0."""
    folder = tmp_path_factory.mktemp("raw") / "gaia"
    _gaia({field: pq.read_table(paths.cube(field)) for field in FIELDS}, folder)
    return folder


def cube_rows(paths, *columns):
    """Columns of all cubes by id."""
    tables = [pq.read_table(paths.cube(f), columns=["id", *columns]).to_pylist() for f in FIELDS]
    return {row["id"].decode(): row for table in tables for row in table}


def test_the_catalogue_has_every_embedded_object(paths):
    """Ids and embeddings are those of the tables."""
    found = lsdb.open_catalog(paths.hats, columns=["id", "embedding"]).compute(progress_bar=False)
    tables = [pq.read_table(paths.embeddings(field)).to_pylist() for field in FIELDS]
    expected = {row["id"]: row["embedding"] for table in tables for row in table}
    assert dict(zip(found["id"], map(list, found["embedding"]), strict=True)) == expected


def test_lsdb_matches_it_with_gaia(paths, gaia):
    """Each Gaia source meets the object that it is, unless it moved further than the radius."""
    rows = cube_rows(paths, "gaia_designation", "gaia_pmra", "gaia_pmdec")
    still = {
        int(row["gaia_designation"].rsplit(" ", 1)[1]): name
        for name, row in rows.items()
        if row["gaia_designation"] is not None
        and 2.5 * np.hypot(row["gaia_pmra"] or 0, row["gaia_pmdec"] or 0) < 500  # mas
    }
    matched = lsdb.open_catalog(gaia, columns=["source_id", "ra", "dec"]).crossmatch(
        lsdb.open_catalog(paths.hats, columns=["id", "ra", "dec"]),
        radius_arcsec=1, suffix_method="overlapping_columns",
    )  # fmt: skip
    found = matched.compute(progress_bar=False)
    pairs = dict(zip(found["source_id"], found["id"], strict=True))
    held = set(lsdb.open_catalog(paths.hats, columns=["id"]).compute(progress_bar=False)["id"])
    expected = {source: name for source, name in still.items() if name in held}
    assert len(expected) > 20
    assert {source: pairs.get(source) for source in expected} == expected


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        ({"hats": {"margin": 5}}, {"build_hats": 1}),
        ({"hats": {"include": ["embeddings"]}}, {"build_hats": 1}),
        ({"atlas": {"neighbours": 3}}, {}),
        ({"predict": {"given": ["image"]}}, {"build_hats": 1, "predict_field": 3}),
    ],
)
def test_a_setting_plans_its_own_jobs(used, change, planned):
    """The catalogue is written again where its settings change, or what it holds."""
    changed = tiny(used.folder)
    changed.config |= change
    target = {"hats": 1} if planned else {}
    assert changed.planned("hats") == planned | target
