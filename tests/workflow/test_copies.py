"""A finished run that was copied without its times is planned as the run itself is."""

from __future__ import annotations

import shutil

import pytest
import yaml

from astromodal.storage.json_files import read_json
from helpers.copies import all_equal, at_random, backwards, without_times
from helpers.workflow import Workflow, tiny

pytestmark = pytest.mark.workflow

RESTORED = "results: a copy; restored the times of "


def copied(run: Workflow, folder, *, notes: bool = False) -> Workflow:
    """The results of a run without their times, with or without Snakemake's own folder."""
    without_times(run.results, folder / "results")
    if notes:
        without_times(run.folder / ".snakemake", folder / ".snakemake")
    return Workflow(folder, yaml.safe_load(yaml.safe_dump(run.config)))


def kept(run: Workflow, folder) -> Workflow:
    """A copy that nobody can tell from the run: what Snakemake plans of it is what is expected."""
    shutil.copytree(run.folder, folder)
    return Workflow(folder, yaml.safe_load(yaml.safe_dump(run.config)))


@pytest.mark.parametrize(
    ("order", "notes"),
    [(None, True), (None, False), (all_equal, False), (at_random, True), (backwards, False)],
    ids=["cp -r", "results alone", "one time for all", "at random", "backwards"],
)
def test_a_copy_plans_nothing(finished, tmp_path, order, notes):
    """Whatever the order of its files' times, with or without Snakemake's own folder."""
    copy = copied(finished, tmp_path, notes=notes)
    if order:
        order(copy.results)
    text = copy.run("--dry-run").text
    assert "Nothing to be done" in text
    assert RESTORED in text
    assert ("restored Snakemake's metadata" in text) != notes


def test_a_copy_is_restored_once(finished, tmp_path):
    """A second plan finds it as the first one left it."""
    copy = copied(finished, tmp_path)
    assert RESTORED in copy.run("--dry-run").text
    text = copy.run("--dry-run").text
    assert "Nothing to be done" in text
    assert RESTORED not in text


def test_a_setting_plans_in_a_copy_what_it_does_in_the_run(finished, tmp_path):
    """Without Snakemake's own folder too, by the settings that each file was made with."""
    plans = []
    for workflow in (kept(finished, tmp_path / "kept"), copied(finished, tmp_path / "copy")):
        workflow.config["training"]["epochs"] = 3
        plans.append(workflow.planned())
    assert plans[0] == plans[1]
    assert plans[1]["train_transformer"] == 1
    assert "train_image_autoencoder" not in plans[1]


def test_another_training_field_plans_in_a_copy_what_it_does_in_the_run(finished, tmp_path):
    """Which files a job had as its input is known of the copy, too."""
    plans = []
    for workflow in (kept(finished, tmp_path / "kept"), copied(finished, tmp_path / "copy")):
        workflow.config["training"]["fields"] = ["T-1"]
        plans.append(workflow.planned())
    assert plans[0] == plans[1]
    assert plans[1]["train_transformer"] == 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cubes/datacube_T-3.parquet", "another content"),
        ("outputs/scalar_tokens/datacube_T-3_scalar_tokens.npz", "another content"),
        ("outputs/scalar_tokens/datacube_T-3_scalar_tokens.npz", "deleted"),
        ("report/report.html", "deleted"),
    ],
)
def test_what_follows_from_a_changed_file_is_planned(finished, tmp_path, name, change):
    """A cube, codes or a report, changed or deleted, plan in a copy what they do in the run."""
    plans = []
    for workflow in (kept(finished, tmp_path / "kept"), copied(finished, tmp_path / "copy")):
        path = workflow.results / name
        if change == "another content":
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        else:
            path.unlink()
        if workflow.folder.name == "copy":
            at_random(workflow.results)
        plans.append(workflow.planned())
    assert plans[0] == plans[1]
    assert plans[1]["render_report"] == 1
    assert "train_transformer" not in plans[1]


def test_another_figure_plans_the_report_of_a_copy(finished, tmp_path):
    """Where a folder's files are others, it counts as new."""
    copy = copied(finished, tmp_path)
    next((copy.results / "evaluation/figures/scalars").glob("*.png")).write_bytes(b"another")
    assert copy.planned() == {"render_report": 1, "all": 1}


def test_an_absolute_results_folder_may_be_moved(finished, tmp_path):
    """Snakemake then knows its files by other paths; the report shows that of the results."""
    copy = copied(finished, tmp_path)
    copy.config["paths"]["results"] = str(copy.results)
    assert copy.planned() == {"render_report": 1, "all": 1}


def test_the_end_of_a_run_notes_down_what_it_made(finished):
    """Benchmarks and folders of figures too, which have times that count."""
    files = read_json(finished.results / "inventory.json")["files"]
    for name in (
        "cubes/datacube_T-1.parquet",
        "benchmarks/train_transformer/train_transformer.tsv",
        "evaluation/figures/scalars/",
        "runs_tokens_transformer/final_model.pt",
        "report/report.html",
    ):
        assert name in files
    assert not [name for name in files if "checkpoint" in name or name.startswith("logs")]


SCALARS = (
    "results/outputs/scalar_tokens/datacube_T-3_scalar_tokens.npz",
    *(f"results/summaries/datacube_T-{n}_summary.json" for n in (1, 3)),
)
"""Files that a run on two of a user's cubes makes in short."""


def test_a_users_cubes_may_be_copied_too(finished, tmp_path):
    """Cubes and results, without their times and to other folders, redo nothing."""
    (tmp_path / "run").mkdir()
    run = tiny(tmp_path / "run")
    without_times(finished.results / "cubes", tmp_path / "sky")
    (tmp_path / "sky/datacube_T-2.parquet").unlink()
    run.config["tokenizers"]["fields"] = ["T-1"]
    run.config["paths"]["datacube_template"] = str(tmp_path / "sky/datacube_{field}.parquet")
    run.run(*SCALARS)
    copy = copied(run, tmp_path / "copy")
    without_times(tmp_path / "sky", copy.folder / "cubes")
    copy.config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    text = copy.run("--dry-run", *SCALARS).text
    assert "Nothing to be done" in text
    assert text.count("changed: no column that a job reads") == 2
    copy.config["tokenizers"]["scalar"]["n_bins"] += 1
    assert copy.planned(*SCALARS) == {"train_scalar_tokenizer": 1, "encode_scalars": 1}
