"""A survey of one's own: cubes that no rule makes, a copy of the workflow whose code may change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from helpers.workflow import ROOT, Workflow, locked_folder, tiny

CUBES = ("A", "B", "C", "D")
"""A and B train, C is held out, D joins later."""
GROUPS = ("desi_b", "gaiaxp_bp")
CODE = ("Snakefile", "rules", "scripts", "envs", "profiles")


@pytest.fixture(scope="session")
def surveyed(tmp_path_factory) -> Path:
    """A folder with the code, four cubes, and a finished run over three of them."""
    return locked_folder(tmp_path_factory, "surveyed", _make)


def _make(folder: Path) -> None:
    for name in CODE:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)
    sky = tiny(folder)
    sky.config["simulate"]["fields"] = {name: {} for name in CUBES}
    sky.config["tokenizers"]["fields"] = ["A", "B"]
    sky.run(*(f"results/cubes/datacube_{name}.parquet" for name in CUBES))
    (folder / "results/cubes").rename(folder / "cubes")
    shutil.rmtree(folder / "results")
    shutil.rmtree(folder / ".snakemake")
    (folder / "cubes/datacube_D.parquet").rename(folder / "datacube_D.parquet")
    survey_in(folder).run()


def survey_in(folder: Path) -> Workflow:
    """The workflow over a folder's own cubes, by the folder's own code."""
    survey = tiny(folder)
    del survey.config["simulate"]
    survey.config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    tokenizers = survey.config["tokenizers"]
    tokenizers["fields"] = ["A", "B"]
    # Less of everything: the matrix runs some two hundred jobs.
    tokenizers["spectrum"]["groups"] = list(GROUPS)
    tokenizers["image"]["bands"] = ["G", "R", "I"]
    sections = ["scalars", "spectra", "images", "transformer"]
    survey.config["evaluation"] = {"max_objects": 10, "sections": sections}
    return Workflow(folder, survey.config, folder / "Snakefile")


@pytest.fixture
def survey(surveyed, tmp_path) -> Workflow:
    """A copy of the finished run, times of files included."""
    folder = tmp_path / "survey"
    shutil.copytree(surveyed, folder, symlinks=True)
    assert os.stat(folder / "cubes").st_mtime_ns == os.stat(surveyed / "cubes").st_mtime_ns
    return survey_in(folder)
