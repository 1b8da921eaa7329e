"""The trained model at work, field by field, and passed on."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from helpers.workflow import tiny

pytestmark = pytest.mark.workflow


def test_every_field_is_embedded(used):
    """One vector per object of the field, keyed by id and HEALPix cell."""
    paths = Layout(str(used.results))
    for field in ("T-1", "T-2", "T-3"):
        table = pq.read_table(paths.embeddings(field))
        assert table["id"].to_pylist()[0].startswith(f"i06{field}")
        assert np.stack(table["embedding"].to_numpy()).shape == (len(table), 32)
        assert (table["healpix"].to_numpy() >= 0).all()


def test_every_field_is_predicted(used):
    """Four columns by default, with their spread and units."""
    table = pq.read_table(Layout(str(used.results)).predictions("T-3"))
    assert table.schema.field("gaia_teff_gspphot_mean").metadata[b"unit"] == b"K"
    low, high = (table[f"specz_z_{name}"].to_numpy() for name in ("p16", "p84"))
    assert (low < high).all()


def test_what_the_workflow_writes_is_what_the_model_says(used):
    """The file and the call agree, from the run and from the export."""
    from astromodal.inference import AstroModel

    paths = Layout(str(used.results))
    table = pq.read_table(paths.predictions("T-3"))
    columns = ["specz_z", "gaia_teff_gspphot", "gaia_logg_gspphot", "gaia_mh_gspphot"]
    for folder in (paths.run, paths.export):
        predicted = AstroModel.from_run(folder).predict(paths.sequences("T-3"), columns)
        for name in columns:
            got = table[f"{name}_mean"].to_numpy()
            np.testing.assert_allclose(got, predicted[name].mean, rtol=1e-4)


def test_encoding_a_cube_is_what_the_workflow_does(used):
    """The selected rows of a cube have the very codes of the sequence file."""
    from astromodal.inference import AstroModel

    paths = Layout(str(used.results))
    model = AstroModel.from_run(paths.run)
    here, there = model.encode(paths.cube("T-2")), model.open(paths.sequences("T-2"))
    assert len(here) == 48 > len(there)
    for block in ("image", "scalar", "gaiaxp_rp"):
        rows = there.row[there.has(block)]
        place = np.searchsorted(here.row[here.has(block)], rows)
        np.testing.assert_array_equal(here.codes(block)[place], there.codes(block))


@pytest.mark.parametrize(
    ("change", "rule"),
    [({"pooling": "attention"}, "embed_field"), ({"given": ["image"]}, "predict_field")],
)
def test_a_setting_plans_its_own_jobs(used, change, rule):
    """How objects are pooled concerns embeddings alone, what is given predictions alone."""
    changed = tiny(used.folder)
    changed.config["predict"] = change
    planned = changed.planned("embed", "predict", "export")
    assert {name: n for name, n in planned.items() if name.endswith("_field")} == {rule: 3}
    assert not {name for name in planned if name.startswith(("train_", "export_"))}


def test_everything_does_not_include_it(used):
    """`rule all` is what it was: the uses of a model have targets of their own."""
    assert used.planned() == {}


def test_an_impossible_question_stops_before_any_job(fresh):
    """A column that the run does not have is said when the plan is made."""
    fresh.config["predict"] = {"columns": ["specz"]}
    done = fresh.call("--dry-run", "predict")
    assert done.returncode != 0
    assert "predict.columns must be columns of tokenizers.scalar.columns, got specz" in done.text


def test_targets_are_listed(fresh):
    """`snakemake -l` says in a line what each target does."""
    text = fresh.run("--list").text
    for line in (
        "Embed every field.",
        "Predict scalars of every",
        "Export the trained",
        "Train variants",
    ):
        assert line in text
