"""The tiny sky's redshift distributions and catalogues, in the hands of qp and astropy."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import validate
from astropy.table import Table

from astromodal.core.paths import Layout
from helpers.console import fences
from helpers.photoz import qp
from helpers.workflow import tiny

pytestmark = pytest.mark.workflow
FIELDS = ("T-1", "T-2", "T-3")
BLOCKS = (
    "import qp",
    "from astromodal.inference import AstroModel",
    "from astropy.table import Table",
    "from astromodal.inference.catalogue",
)
"""Beginnings of the blocks of docs/tools.md on photo-z."""


@pytest.fixture(scope="module")
def paths(used):
    return Layout(str(used.results))


@pytest.mark.parametrize("field", FIELDS)
def test_qp_reads_the_predictions_of_a_field(paths, field):
    """Distributions are those of `predict_field`: ids, mean and quantiles are equal in bins."""
    ensemble = qp.read(paths.photoz(field))
    table = pq.read_table(paths.predictions(field))
    for name in ("id", "split", "n_given"):
        assert ensemble.ancil[name].tolist() == table[name].to_pylist()
    found = {name: table[f"specz_z_{name}"].to_numpy() for name in ("mean", "median", "p16")}
    np.testing.assert_allclose(ensemble.ancil["zmean"], found["mean"], rtol=1e-5)
    np.testing.assert_allclose(ensemble.mean().ravel(), found["mean"], atol=0.005)
    np.testing.assert_allclose(ensemble.median().ravel(), found["median"], atol=0.0051)
    np.testing.assert_allclose(ensemble.ppf(0.16).ravel(), found["p16"], atol=0.0051)


@pytest.mark.parametrize("suffix", ["vot", "fits"])
def test_astropy_reads_the_catalogue_of_a_field(paths, suffix):
    """It has positions of the cube, all predicted columns, and point estimates of qp's file."""
    path = paths.catalogue("T-2", suffix)
    found = Table.read(path)
    if suffix == "vot":
        assert validate(path, output=None)
    else:
        found.convert_bytestring_to_unicode()
    table, cube = (pq.read_table(p) for p in (paths.predictions("T-2"), paths.cube("T-2")))
    assert found["id"].tolist() == table["id"].to_pylist()
    np.testing.assert_array_equal(found["ra"], cube["ra"].to_numpy()[found["row"]])
    for name in table.column_names[5:]:
        np.testing.assert_array_equal(found[name], table[name].to_numpy())
    odds = qp.read(paths.photoz("T-2")).ancil["odds"]
    np.testing.assert_array_equal(found["odds"], odds)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_page_on_tools_works(used, block, monkeypatch):
    """Its blocks of Python run as they stand, in the folder of a run."""
    monkeypatch.chdir(used.folder)
    (text,) = (f.text for f in fences("docs/tools.md") if f.text.startswith(block))
    names = {}
    exec(text.replace("SIM-0001", "T-1"), names)
    if block == "import qp":
        assert len(names["medians"]) == len(names["points"]["zmedian"])
        assert set(names["certain"]) <= set(names["points"]["id"])
    elif "to_qp" in text:
        stored = qp.read(Layout("results").photoz("T-1"))
        found = names["ensemble"].ancil["zmean"]
        np.testing.assert_allclose(found, stored.ancil["zmean"], rtol=1e-4)
    elif "write_catalogue" in text:
        assert Table.read("predictions.fits").colnames == names["table"].colnames
        (used.folder / "predictions.fits").unlink()
    else:
        assert names["bright"].colnames == ["id", "ra", "dec", "zmode", "odds"]


EVERY = {"export_photoz": 3, "export_catalogue": 6}


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        ({"photoz": {"width": 0.01}}, EVERY),
        ({"photoz": {"formats": ["fits", "hdf5"]}}, {}),
        ({"hats": {"margin": 5}}, {}),
        ({"predict": {"given": ["image"]}}, EVERY | {"predict_field": 3}),
    ],
)
def test_a_setting_plans_its_own_jobs(used, change, planned):
    """Files are written again where their settings change, or what they hold."""
    changed = tiny(used.folder)
    changed.config |= change
    target = {"photoz": 1} if planned else {}
    assert changed.planned("photoz") == planned | target


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"photoz": {"column": "specz_zz"}},
            "must be a column of tokenizers.scalar.columns, got specz_zz; nearest: 'specz_z'",
        ),
        (
            {"evaluation": {"labels": {"redshift": None}}},
            "photoz.column must be a column of redshifts, got none; name one, or leave hdf5 out",
        ),
    ],
)
def test_a_plan_without_redshifts_is_an_error(fresh, change, said):
    """It says which setting to change."""
    for group, values in change.items():
        fresh.config[group] = fresh.config.get(group, {}) | values
    assert said in fresh.call("photoz", "--dry-run").text
