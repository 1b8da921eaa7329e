"""Jobs in a container, with a stand-in for Apptainer that runs them and writes down how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from astromodal.core.paths import Layout
from helpers.apptainer import Call, calls, install
from helpers.workflow import ROOT, Workflow, tiny

pytestmark = pytest.mark.workflow

MODULE = """\
configfile: "config.yaml"

module astromodal:
    snakefile: "{root}/Snakefile"
    config: config["astromodal"]

use rule * from astromodal as sky_*
"""
TARGET = Layout("results").split("T-1")
"""A file after two jobs."""
INSIDE = ("--sdm", "apptainer")


@dataclass(frozen=True)
class Runs:
    """What a run outside of a container, and then one inside, did."""

    folder: Path
    outside: list[Call]
    planned: dict[str, int]
    inside: list[Call]
    planned_again: dict[str, int]


def user_of(folder: Path) -> Workflow:
    """The tiny sky of a user who has Apptainer and an image."""
    workflow = tiny(folder)
    workflow.variables = install(folder / "bin")
    (folder / "image.sif").touch()
    workflow.config["container"] = "image.sif"
    return workflow


@pytest.fixture
def user(tmp_path) -> Workflow:
    return user_of(tmp_path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Runs:
    user = user_of(tmp_path_factory.mktemp("user"))
    user.run(TARGET)
    outside = calls(user.folder / "bin")
    planned = user.planned(TARGET, *INSIDE)
    user.run(TARGET, *INSIDE)
    return Runs(
        user.folder, outside, planned, calls(user.folder / "bin"), user.planned(TARGET, *INSIDE)
    )


def test_nothing_runs_in_the_container_unless_asked(runs):
    """The setting alone starts no container."""
    assert runs.outside == []


@pytest.mark.parametrize("number", [0, 1])
def test_every_job_runs_in_the_container(runs, number):
    """Its script starts in the image, with the checkout and the working folder mounted."""
    call = runs.inside[number]
    assert f".{('simulate_field', 'split_field')[number]}.py" in call.command
    assert (call.image, call.home) == ("image.sif", str(runs.folder))
    assert str(ROOT) in call.binds
    assert len(runs.inside) == 2


def test_a_finished_run_is_made_again_in_the_container(runs):
    """Its packages are others."""
    assert runs.planned == {"simulate_field": 1, "split_field": 1}


def test_a_run_in_the_container_is_finished(runs):
    """Another run in the same image plans nothing."""
    assert runs.planned_again == {}


@pytest.mark.parametrize(("image", "begun"), [("image.sif", ["image.sif"]), (None, [])])
def test_jobs_of_a_module_run_in_its_container(user, image, begun):
    """The image is a setting of the module; without one, its jobs run outside of containers."""
    snakefile = user.folder / "Snakefile"
    snakefile.write_text(MODULE.format(root=ROOT))
    settings = {"astromodal": {**user.config, "container": image}}
    around = Workflow(user.folder, settings, snakefile, variables=user.variables)
    around.run("results/cubes/datacube_T-1.parquet", *INSIDE)
    assert [call.image for call in calls(user.folder / "bin")] == begun


@pytest.mark.parametrize(("image", "got"), [(None, "null"), ("other.sif", "other.sif")])
def test_a_container_needs_an_image(user, image, got):
    """Without one, a run in a container is refused before any job, with what to do."""
    user.config["container"] = image
    done = user.call(TARGET, "--dry-run", *INSIDE)
    assert done.returncode != 0
    must = "container must be an image that exists where snakemake is started with --sdm apptainer"
    assert f"{must}, got {got}; build one as docs/usage.md shows" in done.text
