"""`--sdm conda`, with a stand-in for conda whose channel is a folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from astromodal.core.paths import Layout
from helpers.conda import install, missing
from helpers.workflow import ROOT, Workflow, tiny

PATHS = Layout("results")
SHOWN = "import json, sys, torch; print(json.dumps([sys.prefix, torch.__file__]))"


@pytest.fixture(scope="module")
def run(tmp_path_factory, wheels) -> Workflow:
    """The tests' sky, run in its environments to a field's scalar tokens and the autoencoder."""
    if why := missing():
        pytest.skip(why)
    workflow = tiny(tmp_path_factory.mktemp("conda"))
    workflow.variables = install(tmp_path_factory.mktemp("user") / "conda", wheels)
    workflow.run(PATHS.scalar_tokens("T-3"), PATHS.tokenizers["autoencoder"], "--sdm", "conda")
    return workflow


def environments(run: Workflow) -> dict[str, Path]:
    """Folders of the environments that were made, by the name of their file."""
    files = {
        path.read_text(): path.with_suffix("")
        for path in run.folder.glob(".snakemake/conda/*.yaml")
    }
    return {name: files[(ROOT / f"envs/{name}.yaml").read_text()] for name in ("cpu", "gpu")}


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_an_environment_has_what_its_file_lists(run, name):
    """Versions of conda's solver and of pip's are those of the file."""
    prefix = environments(run)[name]
    listed = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
    (by_pip,) = [item["pip"] for item in listed if isinstance(item, dict)]
    pip = [prefix / "bin/python", "-m", "pip", "list", "--format", "json"]
    text = subprocess.run(pip, check=True, stdout=subprocess.PIPE, text=True, env={}).stdout
    found = {each["name"].lower().replace("_", "-"): each["version"] for each in json.loads(text)}
    wanted = dict(line.lower().split("==") for line in by_pip)
    assert {n: found[n].removesuffix("+cpu") for n in wanted} == wanted


def test_torch_of_conda_is_not_replaced_by_pip(run):
    """On a CPU, what pip installs is content with the torch that conda installed."""
    prefix = environments(run)["cpu"]
    python = [prefix / "bin/python", "-c", SHOWN]
    text = subprocess.run(python, check=True, stdout=subprocess.PIPE, text=True, env={}).stdout
    used, torch = json.loads(text)
    assert Path(used) == prefix
    assert Path(torch).is_relative_to(run.variables["CONDA_STAND_IN"])


def test_jobs_run_in_the_environments(run):
    """Those on a GPU in one, and all others in the other."""
    assert (run.folder / PATHS.scalar_tokens("T-3")).is_file()
    assert (run.folder / PATHS.tokenizers["autoencoder"]).is_file()
    assert run.planned(PATHS.scalar_tokens("T-3"), "--sdm", "conda") == {}
