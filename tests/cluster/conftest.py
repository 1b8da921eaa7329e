from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from helpers.cluster import ClusterWorkflow, Finished, on, watched
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
def finished(cluster, tmp_path_factory) -> Finished:
    """A small sky, encoded and trained on, on the cluster, once for all tests.

    Its cubes and tokenizers are made without Slurm, which is quicker.
    """
    folder = tmp_path_factory.mktemp("finished")
    tiny(folder, "cluster").run("tokenizers")
    return watched(on(cluster, folder), "encode", "train")


@pytest.fixture
def again(finished, tmp_path) -> ClusterWorkflow:
    """A copy of the finished run, of which a test removes something and has it made again."""
    return finished.copy(tmp_path)
