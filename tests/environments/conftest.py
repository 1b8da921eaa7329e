"""A container of the workflow, built from `envs/Dockerfile` out of Debian's and PyPI's packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.containers import Builder, missing
from helpers.workflow import ROOT


def pip(*words: str) -> None:
    """Call pip; skip where packages cannot be had, and fail where they are not those of a lock."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if "DO NOT MATCH THE HASHES" in done.stdout:
        pytest.fail(done.stdout, pytrace=False)
    if done.returncode:
        pytest.skip(f"packages could not be downloaded: {done.stdout.splitlines()[-1]}")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory) -> Path:
    """A folder of all packages of the lock without CUDA, whose hashes pip has compared."""
    folder = tmp_path_factory.mktemp("wheels")
    pip("--require-hashes", "-r", str(ROOT / "envs/lock-cpu.txt"), "-d", str(folder))
    constraints = str(ROOT / "envs/constraints.txt")
    pip("--no-deps", "-c", constraints, "-d", str(folder), "uv", "wheel")
    return folder


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    """Buildah, with images in a folder of its own."""
    if why := missing():
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="containers-"))
    made = Builder(folder)
    try:
        yield made
    finally:
        made.remove_all()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def container(builder, wheels) -> str:
    """A container of the built image, which runs commands."""
    builder.make_base()
    return builder.build(ROOT, wheels)
