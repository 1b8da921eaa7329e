"""Jobs of a throw-away Slurm that read cubes on S3."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from astromodal.core.paths import Layout
from helpers.cluster import ClusterWorkflow, on
from helpers.slurm import missing, running_cluster
from helpers.stores import BUCKET, CUBE, S3Store, require_s3, s3_store
from helpers.workflow import tiny

PATHS = Layout("results")
TARGETS = [PATHS.split("T-1"), PATHS.summary("T-1")]
NAME = CUBE.format(field="T-1")
UNSHARED = ["--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache"]


@pytest.fixture
def survey(tmp_path, monkeypatch) -> Iterator[tuple[ClusterWorkflow, S3Store]]:
    """A cube on S3, and a run on a live Slurm."""
    require_s3()
    if why := missing():
        pytest.skip(why)
    sky = tiny(tmp_path, "cluster")
    sky.config["simulate"]["n_sources"] = 20  # S3's client reads its cube in one request
    sky.simulate("cubes")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a socket's path is short
    with running_cluster(folder) as running, s3_store(tmp_path) as store:
        run = on(running, tmp_path)
        run.config["tokenizers"]["fields"] = None
        store.keep_cubes(run)
        for name, value in run.variables.items():
            monkeypatch.setenv(name, value)
        store.put(tmp_path / "cubes/datacube_T-1.parquet", NAME)
        yield run, store
    shutil.rmtree(folder)


def test_jobs_read_what_the_main_process_retrieved(survey):
    """Where results are on a shared disk, so are local copies of cubes, once for all jobs."""
    run, store = survey
    done = run.call(*TARGETS, "--retries", "0")
    assert done.returncode == 0, done.text
    assert all((run.folder / target).exists() for target in TARGETS)
    assert store.requests().count(("GET", f"/{BUCKET}/{NAME}")) == 1


def test_nodes_retrieve_and_store_by_themselves(survey):
    """Where all is stored, and each node has a disk of its own for local copies."""
    run, store = survey
    options = store.keep_all(run)
    scratch = ["--remote-job-local-storage-prefix", str(run.folder / "scratch")]
    done = run.call(*TARGETS, *options, *UNSHARED, *scratch, "--retries", "0")
    assert done.returncode == 0, done.text
    assert set(TARGETS) <= store.names()
    assert not list((run.folder / ".snakemake/storage").rglob("*.parquet"))
