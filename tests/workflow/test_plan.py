"""What a dry run promises."""

import re
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.workflow import ROOT

pytestmark = pytest.mark.workflow


def test_the_plan_of_a_fresh_sky(fresh):
    """Every field is simulated, summarised and encoded; only the training fields are sampled."""
    planned = fresh.planned()
    for rule in ("simulate_field", "split_field", "summarize_field", "encode_spectra"):
        assert planned[rule] == 3
    assert planned["encode_images"] == planned["pack_sequences"] == 3
    assert planned["sample_scalars"] == planned["sample_images"] == planned["prepare_cutouts"] == 2
    assert planned["train_image_normaliser"] == planned["train_image_autoencoder"] == 1
    assert planned["train_spectrum_codebook"] == 5
    assert planned["train_transformer"] == planned["render_report"] == 1


def test_a_user_s_cubes_are_not_simulated(fresh, tmp_path):
    """With a template of one's own there is no rule that would make a cube."""
    (tmp_path / "cubes").mkdir()
    columns = {"id": ["a"], "ra": [1.0], "dec": [1.0], "mag_pstotal_r": [15.0]}
    pq.write_table(pa.table(columns), tmp_path / "cubes/datacube_MINE.parquet")
    fresh.config["paths"]["datacube_template"] = str(tmp_path / "cubes/datacube_{field}.parquet")
    del fresh.config["tokenizers"]["fields"]
    planned = fresh.planned()
    assert "simulate_field" not in planned
    assert planned["encode_scalars"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainig": {}}, "trainig is no setting; nearest: 'training'"),
        ({"sequences": {"max_seq_len": 100}}, "sequences.max_seq_len must be at least"),
        ({"tokenizers": {"fields": ["T-9"]}}, "'T-9' is no field of this run; nearest"),
    ],
)
def test_a_wrong_config_stops_before_any_job(fresh, change, message):
    """A mistake in the config is said when the plan is made, in one line."""
    fresh.config.update(change)
    done = fresh.call("--dry-run")
    assert done.returncode != 0
    assert message in done.text
    assert not fresh.results.exists()


def test_settings_on_the_command_line(fresh):
    """`--config` reaches the same settings as a file, and restricts the fields."""
    planned = fresh.planned("--config", "fields=T-1,T-2")
    assert planned["encode_scalars"] == 2


def test_a_field_alone_is_encoded_with_tokenizers_of_others(fresh):
    """A pattern restricts what is encoded; the fields that train do so all the same."""
    planned = fresh.planned("encode", "--config", "fields=*-3")
    assert planned["encode_images"] == planned["pack_sequences"] == 1
    assert planned["sample_scalars"] == 2
    assert "train_transformer" not in planned


def test_on_slurm_jobs_of_many_fields_are_submitted_as_one(fresh):
    """With the profile, sixteen fields' small jobs of a kind are one job of the queue."""
    fields = {f"T-{i}": {} for i in range(1, 41)}
    fresh.config["simulate"]["fields"] = fields
    text = fresh.run("--dry-run", "encode", "--profile", str(ROOT / "slurm")).text
    groups = Counter(re.findall(r"Group job (\w+)", text))
    assert groups == dict.fromkeys(("prepare", "codes", "images", "sequences"), 3) | {"cutouts": 1}
    assert len(re.findall("^ +rule encode_images:", text, re.MULTILINE)) == 40


@pytest.mark.parametrize(
    ("training", "resources"),
    [
        ({}, ["gpu=1", "slurm_extra=--signal=TERM@120"]),
        ({"gpus": 2}, ["gpu=2", "tasks_per_gpu=-1"]),
        ({"gpus": 2, "nodes": 3}, ["gres=gpu:2", "mpi=srun", "nodes=3", "tasks=3"]),
    ],
)
def test_the_training_asks_for_its_gpus_and_nodes(fresh, training, resources):
    """One task a node, with all of its GPUs, and a warning before the time is up."""
    fresh.config["training"].update(training)
    text = fresh.run("--dry-run").text
    job = text[text.index("rule train_transformer:") :]
    line = job[job.index("resources:") :].splitlines()[0]
    assert [word for word in resources if word not in line] == []


def test_a_size_is_laid_over_a_config(fresh):
    """A second --configfile replaces what it names, deep in a group, and nothing else."""
    overlay = [str(fresh.folder / "config.yaml"), str(ROOT / "config/large.yaml")]
    text = fresh.run("--dry-run", "--configfile", *overlay).text
    assert "gpu=4" in text
    assert fresh.planned("--configfile", *overlay)["encode_scalars"] == 3


def test_targets_by_name(fresh):
    """A step of the workflow is a target: `tokenizers` plans no training."""
    planned = fresh.planned("tokenizers")
    assert planned["train_image_codebook"] == 1
    assert "train_transformer" not in planned


@pytest.mark.parametrize("options", [[], ["--configfile", "tests/config/tiny.yaml"]], ids=len)
def test_lint_is_clean(options):
    """Snakemake's own linter has nothing to say, also as the workflow catalogue calls it."""
    command = [sys.executable, "-m", "snakemake", "--lint", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_planning_imports_nothing_heavy():
    """What the Snakefile imports does without torch, scikit-learn and pyarrow."""
    code = (
        "import sys; import astromodal.config.load, astromodal.core.fields, "
        "astromodal.reruns.digests, astromodal.sequences.layout; "
        "print([m for m in ('torch', 'sklearn', 'pyarrow', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert done.stdout.strip() == "[]"


def test_a_plan_tells_what_the_cubes_footers_tell(fresh):
    """Errors of all cubes, before any job; with ``skip``, beside the plan and other notices."""
    good = {"id": ["a"], "ra": [1.0], "dec": [1.0], "mag_pstotal_r": [15.0]}
    lists = {"splus_cut_J0378": pa.nulls(1, pa.list_(pa.float32())), "splus_cut_R": [[1.0]]}
    no_id = {name.replace("id", "ID"): values for name, values in good.items()}
    (fresh.folder / "cubes").mkdir()
    for field, columns in {"A": {**good, **lists}, "B": no_id}.items():
        pq.write_table(pa.table(columns), fresh.folder / f"cubes/datacube_{field}.parquet")
    fresh.config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    del fresh.config["tokenizers"]["fields"]
    stopped = fresh.call("--dry-run")
    assert stopped.returncode != 0
    error = "field B: column 'id' is missing from datacube_B.parquet; nearest: 'ID'; name the"
    assert error in stopped.text
    fresh.config["on_bad_field"] = "skip"
    text = fresh.run("--dry-run").text
    assert error in text
    assert "in no cube, of tokenizers.spectrum.groups: " in text
    assert "encode_images" in text
