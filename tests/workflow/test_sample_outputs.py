"""What the page on daily work shows of plans, beside what plans of such changes print."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from astromodal.storage.json_files import read_json, write_json
from helpers.console import checkout, fences, run, spans
from helpers.workflow import Workflow, job_table, locked_folder

pytestmark = pytest.mark.workflow

PAGE = "docs/usage.md"
PROGRAMS = Path(sys.executable).parent
FIELDS = {"C": "T-3", "D": "T-4"}
"""The page's fields, and those of the tiny run; of the latter, two others train."""


def shown(beginning: str) -> tuple[list[str], dict[str, int]]:
    """Lines of a block of the page above its dots, and the table of jobs below them."""
    (text,) = (f.text for f in fences(PAGE) if f.text.startswith(beginning))
    for theirs, ours in FIELDS.items():
        text = re.sub(rf"\b{theirs}\b|(?<=datacube_){theirs}(?=\.)", ours, text)
    above, _, below = text.partition("...\n")
    jobs = (line.split() for line in below.splitlines())
    return above.splitlines(), {rule: int(count) for rule, count in jobs}


def plan(folder: Path, line: str = "snakemake -n -q rules") -> str:
    """What a line prints, in a folder that looks like a checkout."""
    done = run(line, folder, PROGRAMS)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def compare(folder: Path, beginning: str) -> None:
    """The block's lines are among those of a plan, and its table is the plan's; sizes apart."""
    lines, jobs = shown(beginning)
    text = plan(folder)
    said = {re.sub(r"\d+ MB", "n MB", line) for line in text.splitlines()}
    assert [line for line in lines if re.sub(r"\d+ MB", "n MB", line) not in said] == []
    planned = job_table(text)
    assert planned.pop("all") == 1
    assert planned == jobs


def configure(folder: Path, config: dict) -> None:
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.fixture(scope="module")
def taken_over(finished: Workflow, tmp_path_factory) -> tuple[Path, dict]:
    """The tiny run in a checkout, its cubes and results taken for those of a survey."""
    config = {name: part for name, part in finished.config.items() if name != "simulate"}
    config["paths"] = {"datacube_template": "cubes/datacube_{field}.parquet"}
    config["tokenizers"] = {k: v for k, v in config["tokenizers"].items() if k != "fields"}

    def make(folder: Path) -> None:
        shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
        checkout(folder)
        (folder / "results/cubes").rename(folder / "cubes")
        configure(folder, config)
        plan(folder, "snakemake --touch --profile profiles/local")

    return locked_folder(tmp_path_factory, "taken_over", make), config


@pytest.fixture
def survey(taken_over, tmp_path) -> tuple[Path, dict]:
    """A copy, times of files included, in which nothing is to be done."""
    shutil.copytree(taken_over[0], tmp_path / "survey", symlinks=True)
    return tmp_path / "survey", taken_over[1]


def test_one_cube_changed(survey):
    """Other DESI fluxes in the cube of a field that nothing trains on."""
    path = survey[0] / "cubes/datacube_T-3.parquet"
    table, name = pq.read_table(path), "desi_flux_b"
    fluxes = [values and [2 * v for v in values] for values in table[name].to_pylist()]
    column = pa.array(fluxes, table.schema.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
    compare(survey[0], "field C: ")


def test_a_field_added(survey):
    """One more cube, that nothing trains on."""
    cubes = survey[0] / "cubes"
    shutil.copy(cubes / "datacube_T-3.parquet", cubes / "datacube_T-4.parquet")
    compare(survey[0], "encoded with ")


def test_a_learning_rate_changed(survey):
    """Another learning rate in the configuration."""
    folder, config = survey
    configure(folder, {**config, "training": {**config["training"], "learning_rate": 0.001}})
    compare(folder, "changed since the last run: training.learning_rate: ")


def test_a_function_changed(survey):
    """Another digest of a function than in the last run's record, which is as if it had changed."""
    (line,) = (s.text for s in spans(PAGE) if s.text.startswith("changed since"))
    path = survey[0] / "results/last_run.json"
    record = read_json(path)
    name = line.removeprefix("changed since the last run: ").partition(",")[0]
    assert name in record["definitions"]
    record["definitions"][name] = "another"
    write_json(path, record)
    assert line in plan(survey[0]).splitlines()


def test_mistakes(survey):
    """A number out of its range, and a setting that there is not."""
    folder, config = survey
    lines, _ = shown("tokenizers.scalar.n_bins must be ")
    configure(folder, {**config, "trainig": {}, "tokenizers": {"scalar": {"n_bins": 1}}})
    done = run("snakemake --profile profiles/local", folder, PROGRAMS)
    assert done.returncode != 0
    assert [line for line in lines if line not in done.stdout] == []
    assert "Job stats" not in done.stdout
