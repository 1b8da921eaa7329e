"""The environment of jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from astromodal.jobs.entry import SCRIPTS
from astromodal.errors import ConfigError
from astromodal.jobs.surroundings import SET, enter_container, shield


@pytest.fixture(autouse=True)
def mask():
    """The tests' own comes back."""
    before = os.umask(0o22)
    yield
    os.umask(before)


def shielded(folder: Path, **user: str) -> dict[str, str]:
    """Return a user's environment as jobs have it."""
    environment = {"HOME": str(folder), **user}
    shield(environment, SCRIPTS, folder / ".snakemake")
    return environment


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONIOENCODING", "NUMBA_CPU_NAME",
        "NUMBA_NUM_THREADS", "PANDAS_COPY_ON_WRITE", "OMP_DYNAMIC", "OMP_THREAD_LIMIT",
        "MKL_NUM_THREADS", "MATPLOTLIBRC", "FREETYPE_PROPERTIES", "NVIDIA_TF32_OVERRIDE",
    ],
)  # fmt: skip
def test_what_changes_results_is_dropped(tmp_path, name):
    """No job has it."""
    assert name not in shielded(tmp_path, **{name: "1"})


@pytest.mark.parametrize("name", SET)
def test_what_every_job_has(tmp_path, name):
    """Whatever the user's is."""
    assert shielded(tmp_path, **{name: "other"})[name] == shielded(tmp_path)[name] == SET[name]


@pytest.mark.parametrize(
    "name",
    [
        "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "TMPDIR", "TZ", "NUMBA_CACHE_DIR", "NCCL_DEBUG",
        "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "LD_LIBRARY_PATH", "MPLCONFIGDIR",
    ],
)  # fmt: skip
def test_what_a_machine_needs_stays(tmp_path, name):
    """These variables are the user's choice, and change no number."""
    assert shielded(tmp_path, **{name: "x"})[name] == "x"


def test_the_package_comes_first(tmp_path):
    """Before a stale copy on the user's path, which stays for all else, and once alone."""
    environment = shielded(tmp_path, PYTHONPATH=os.pathsep.join(["/modules", "", str(SCRIPTS)]))
    assert environment["PYTHONPATH"] == os.pathsep.join([str(SCRIPTS), "/modules"])
    assert shielded(tmp_path)["PYTHONPATH"] == str(SCRIPTS)


def test_twice_is_once(tmp_path):
    """A job of a cluster reads the rules as well."""
    once = shielded(tmp_path, PYTHONPATH="/modules")
    assert shielded(tmp_path, **once) == once


def test_a_home_that_can_be_written(tmp_path):
    """Stays, with the caches in it."""
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment = shielded(tmp_path, **home)
    assert {name: environment[name] for name in home} == home


def test_a_home_that_cannot_be_written(tmp_path):
    """Caches and settings of libraries go elsewhere."""
    home = {"XDG_CACHE_HOME": "/proc/nonexistent/a", "XDG_CONFIG_HOME": "/proc/nonexistent/b"}
    environment = shielded(tmp_path, **home)
    for name in home:
        assert environment[name] == str(tmp_path / ".snakemake" / name.lower())


@pytest.mark.parametrize(("user", "jobs"), [(0o077, 0o077), (0o022, 0o022), (0o777, 0o077)])
def test_the_mask_of_new_files(tmp_path, user, jobs):
    """It is the user's choice for others; its owner can read a file."""
    os.umask(user)
    shielded(tmp_path)
    assert os.umask(0) == jobs


@pytest.mark.parametrize(
    ("user", "jobs"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "x"}, None)],
)
def test_threads_that_wait(tmp_path, user, jobs):
    """They do not spin for long, unless the user says how they wait."""
    assert shielded(tmp_path, **user).get("GOMP_SPINCOUNT") == jobs


def test_little_is_imported():
    """The Snakefile imports it, in every job once more."""
    code = "import sys, astromodal.jobs.surroundings as s; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    found = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert not {"torch", "numpy", "matplotlib", "pyarrow", "sklearn"} & set(found.split())


@pytest.mark.parametrize("variable", ["APPTAINER_BIND", "SINGULARITY_BIND"])
def test_a_container_has_the_checkout(tmp_path, variable):
    """It is mounted beside what the user mounts, once; links to it lead somewhere inside."""
    (tmp_path / "image.sif").touch()
    (tmp_path / "link").symlink_to(SCRIPTS.parent)
    environment = {variable: "/survey:/data"}
    for _ in range(2):
        enter_container(environment, tmp_path / "link/scripts", str(tmp_path / "image.sif"))
    assert environment[variable] == f"/survey:/data,{tmp_path / 'link'},{SCRIPTS.parent.resolve()}"


def test_an_address_is_an_image():
    """Apptainer fetches it."""
    environment: dict[str, str] = {}
    enter_container(environment, SCRIPTS, "docker://owner/image:1")
    assert environment["APPTAINER_BIND"] == str(SCRIPTS.parent.resolve())


@pytest.mark.parametrize(("image", "got"), [(None, "null"), ("absent.sif", "absent.sif")])
def test_a_container_needs_an_image(image, got):
    """Its file exists."""
    with pytest.raises(ConfigError, match=f"container must be an image that exists .* got {got};"):
        enter_container({}, SCRIPTS, image)
