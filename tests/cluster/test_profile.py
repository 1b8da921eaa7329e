"""The profile as the README says it: typed in a clone, on a cluster."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from helpers.cluster import HERE, snakemake
from helpers.workflow import ROOT

PARTS = ("Snakefile", "rules", "scripts", "envs", "config", "profiles", "slurm")


@pytest.fixture
def clone(tmp_path) -> Path:
    """A copy of what a clone holds, with its link."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("*.egg-info"))
        else:
            shutil.copy(source, tmp_path / name, follow_symlinks=False)
    return tmp_path


@pytest.mark.parametrize(
    "options", [["--profile", "slurm"], ["--workflow-profile", "profiles/slurm"]]
)
def test_the_profile_by_its_name(clone, cluster, options):
    """In the clone, both ways submit jobs, to the partition for what they ask for."""
    target = "results/cubes/datacube_SIM-0001.parquet"
    command = [sys.executable, "-m", "snakemake", *options, *HERE, target]
    installed = {"PYTHONPATH": str(clone / "scripts")}  # stands for `pip install -e .` in the clone
    with snakemake(cluster, command, clone, installed) as started:
        done = started.end()
        jobs = started.jobs("simulate_field")
    assert done.returncode == 0, done.text
    assert [(job.partition, job.state) for job in jobs] == [("cpu", "COMPLETED")]
    assert (clone / target).exists()


def test_the_link_is_relative():
    """It leads to the profile wherever the clone is."""
    assert os.readlink(ROOT / "slurm") == "profiles/slurm"
