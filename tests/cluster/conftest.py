from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import gridengine
from helpers.cluster import ClusterWorkflow, Finished, on, watched
from helpers.gridengine import GridEngine
from helpers.slurm import Cluster, missing, running_cluster
from helpers.workflow import tiny


@pytest.fixture(scope="session")
def cluster(request) -> Cluster:
    """A live Slurm: partitions cpu, gpu and urgent, in a folder of its own.

    Where a test fails, the end of what its controller noted is shown.
    """
    if why := missing():
        pytest.skip(why)
    # Not pytest's: the path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with running_cluster(folder) as running:
            yield running
    finally:
        if request.session.testsfailed:
            noted = (folder / "slurmctld.log").read_text().splitlines()[-150:]
            capture = request.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                print("\nslurmctld.log:", *noted, sep="\n")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def tokenized(tmp_path_factory) -> Callable[[str], Path]:
    """Gives a new folder with cubes and tokenizers, made once and without a cluster: quicker."""
    made = tmp_path_factory.mktemp("tokenized")
    tiny(made, "cluster").run("tokenizers")

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for part in ("results", ".snakemake"):
            shutil.copytree(made / part, folder / part)
        return folder

    return copy


@pytest.fixture(scope="session")
def finished(cluster, tokenized) -> Finished:
    """A small sky, encoded and trained on, on the cluster, once for all tests."""
    return watched(on(cluster, tokenized("finished")), "encode", "train")


@pytest.fixture
def again(finished, tmp_path) -> ClusterWorkflow:
    """A copy of the finished run, of which a test removes something and has it made again."""
    return finished.copy(tmp_path)


@pytest.fixture(scope="session")
def grid() -> GridEngine:
    """A live Grid Engine: one host with 64 slots and two GPUs."""
    if why := gridengine.missing():
        pytest.skip(why)
    folder = tempfile.TemporaryDirectory(prefix="grid-")
    with folder as name, gridengine.running_grid_engine(Path(name)) as running:
        yield running
