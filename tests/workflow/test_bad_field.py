"""A survey with bad cubes: they stop it, or it goes on without them and says so."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.core.skips import skip_at
from astromodal.data.columns import cutout_column
from helpers.workflow import Workflow, tiny

pytestmark = pytest.mark.workflow
TRAINED, HELD_OUT, NO_CUTOUTS, CUT_SHORT = "T-1", "T-2", "T-3", "T-4"
BAD = "skipped by"


def cube(workflow: Workflow, field: str):
    return workflow.folder / f"cubes/datacube_{field}.parquet"


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> tuple[Workflow, str]:
    """A run that ended, of a user's cubes: half of the training fields and of the others are bad.

    One has text for an image, the other is cut short. Beside it stands what the run printed.
    """
    workflow = tiny(tmp_path_factory.mktemp("survey"), "cluster")
    fields = (TRAINED, HELD_OUT, NO_CUTOUTS, CUT_SHORT)
    workflow.config["simulate"]["fields"] = {field: {} for field in fields}
    made = [f"results/cubes/datacube_{field}.parquet" for field in fields]
    workflow.run(*made)
    (workflow.folder / "results/cubes").rename(workflow.folder / "cubes")
    shutil.copytree(workflow.folder / "cubes", workflow.folder / "good")
    table = pq.read_table(cube(workflow, NO_CUTOUTS))
    name, texts = cutout_column("R"), pa.array(["none"] * table.num_rows)
    spoilt = table.set_column(table.column_names.index(name), name, texts)
    pq.write_table(spoilt, cube(workflow, NO_CUTOUTS))
    whole = cube(workflow, CUT_SHORT).read_bytes()
    cube(workflow, CUT_SHORT).write_bytes(whole[: len(whole) // 2])
    workflow.config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    workflow.config["tokenizers"]["fields"] = [TRAINED, CUT_SHORT]
    workflow.config["on_bad_field"] = "skip"
    return workflow, workflow.run("all", "predict").text


def test_a_run_goes_on_without_them(survey):
    """Good fields are encoded, trained on and predicted."""
    workflow, _ = survey
    made = sorted((workflow.results / "outputs/predictions").iterdir())
    good = [path.name.split("_")[1] for path in made if skip_at(path) is None]
    assert good == [TRAINED, HELD_OUT]


def test_they_are_listed_at_the_end(survey):
    """With the rule that met the error, and the error."""
    _, text = survey
    end = text.split("steps (100%) done")[-1]
    assert f"field {NO_CUTOUTS} was skipped by encode_images, summarize_field: " in end
    assert end.count(f"field {CUT_SHORT} was {BAD}") == 1
    assert f", split_field, summarize_field: field {CUT_SHORT}: " in end


def test_the_report_lists_them(survey):
    """Under what the fields hold."""
    workflow, _ = survey
    page = (workflow.results / "report/report.html").read_text()
    assert f"field {NO_CUTOUTS} was {BAD}" in page
    assert f"field {CUT_SHORT} was {BAD}" in page


def test_nothing_is_to_be_done_again(survey):
    """They are as finished as the others, and a plan says that they are skipped."""
    workflow, _ = survey
    done = workflow.run("all", "predict", "--dry-run")
    assert "Nothing to be done" in done.text
    assert f"field {CUT_SHORT} was {BAD}" in done.text


def test_a_run_that_may_not_skip_refuses_what_was_skipped(survey):
    """No result without them passes for one with them."""
    workflow, _ = survey
    stopping = Workflow(workflow.folder, workflow.config | {"on_bad_field": "stop"})
    done = stopping.call("all", "--dry-run")
    assert done.returncode != 0
    assert "on_bad_field must be skip, got stop, but field" in done.text


def test_by_default_a_bad_cube_stops_its_job(survey, tmp_path):
    """With the error, and nothing in place of its outputs."""
    workflow, _ = survey
    shutil.copytree(workflow.folder / "cubes", tmp_path / "cubes")
    config = {k: v for k, v in workflow.config.items() if k != "on_bad_field"}
    stopping = Workflow(tmp_path, config)
    split = f"results/splits/datacube_{CUT_SHORT}_split.npz"
    done = stopping.call(split)
    assert done.returncode != 0
    assert f"field {CUT_SHORT}: datacube_{CUT_SHORT}.parquet must be a whole parquet" in done.text
    assert not (tmp_path / split).exists()


def test_a_cube_that_was_mended_takes_part_again(survey, tmp_path):
    """Its own jobs run, and what the run says of it is gone."""
    workflow, _ = survey
    for name in ("cubes", "results", ".snakemake"):
        shutil.copytree(workflow.folder / name, tmp_path / name)
    mended = Workflow(tmp_path, workflow.config)
    shutil.copy(workflow.folder / f"good/datacube_{NO_CUTOUTS}.parquet", cube(mended, NO_CUTOUTS))
    tokens = f"results/outputs/image_tokens/datacube_{NO_CUTOUTS}_tokens.npz"
    assert mended.ran(tokens) == {f"encode_images {NO_CUTOUTS}"}
    assert skip_at(tmp_path / tokens) is None
    assert f"field {NO_CUTOUTS} was skipped by encode_images" not in mended.run("-n", tokens).text
