"""The container of `envs/Dockerfile` is built, and the workflow runs in it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from astromodal.core.paths import Layout
from contracts.test_lock import COMPUTERS, installed
from helpers.apptainer import calls, install
from helpers.workflow import ROOT, job_table, tiny

USER = 4321
"""A number that has no name in the image."""
VERSIONS = """\
import json
from importlib.metadata import distributions
print(json.dumps({d.metadata["Name"]: d.version for d in distributions(path=["PACKAGES"])}))
"""
PACKAGES = "/usr/local/lib/python3.11/dist-packages"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The folder of a user of the container, with a configuration."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(ROOT / "tests/config/tiny.yaml", folder)
    os.chown(folder, USER, USER)
    return folder


@pytest.fixture(scope="module")
def snakemake(builder, container, data):
    """Run what `docker run` would, with other words behind it."""
    entry = builder.entry(container)
    given = ("--cores", str(len(os.sched_getaffinity(0))), "--configfile", "tiny.yaml")
    return lambda *words: builder.run(container, data, USER, *entry, *words, *given)


def test_the_image_has_the_packages_of_the_lock(builder, container, data):
    """Those that the lock has for its Python, and the project."""
    code = VERSIONS.replace("PACKAGES", PACKAGES)
    text = builder.run(container, data, USER, "python", "-c", code)
    found = {
        name.lower().replace("_", "-").replace(".", "-"): v for name, v in json.loads(text).items()
    }
    linux = next(c for c in COMPUTERS if c["sys_platform"] == "linux")
    locked = {name: pin.version for name, pin in installed("lock-cpu.txt", linux).items()}
    assert found.pop("astromodal")
    assert found == locked


def test_it_plans(snakemake):
    """A user without a name sees the whole plan."""
    planned = job_table(snakemake("--dry-run"))
    assert planned["render_report"] == planned["train_transformer"] == 1


def test_it_runs(snakemake, data):
    """The tests' sky, from its simulation to the report, whose files are the user's."""
    snakemake()
    report = data / Layout("results/tiny").report
    assert report.stat().st_size > 100_000
    assert {path.stat().st_uid for path in data.glob("results/**/*")} == {USER}


def test_jobs_of_apptainer_run_in_it(builder, container, tmp_path):
    """Snakemake, outside of the container, starts each job inside, with the code of the checkout.

    A stand-in for Apptainer shows the jobs the files of the image, and what Snakemake mounts.
    """
    workflow = tiny(tmp_path)
    workflow.variables = install(tmp_path / "bin")
    workflow.config["container"] = str(builder.mounted(container))
    target = Layout("results").split("T-1")
    workflow.run(target, "--sdm", "apptainer")
    assert len(calls(tmp_path / "bin")) == 2
    assert (tmp_path / target).is_file()
