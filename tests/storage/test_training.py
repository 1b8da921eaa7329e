"""A run whose cubes and results are all in a store, and whose training another node continues."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from astromodal.core.paths import Layout
from helpers.slurm import wait_for
from helpers.stores import CUBE, FolderStore, S3Store, require_fs, require_s3, s3_store
from helpers.watching import running_jobs
from helpers.workflow import Workflow, tiny

PATHS = Layout("results")


@pytest.fixture(params=["fs", "s3"])
def survey(request, tmp_path) -> Iterator[tuple[FolderStore | S3Store, Workflow, list[str]]]:
    """A store that holds the cubes of a small sky, the run, and the options that store results."""
    run = tiny(tmp_path, "cluster")
    run.simulate("cubes")
    if request.param == "fs":
        require_fs()
        yield _filled(FolderStore(tmp_path / "store"), run)
    else:
        require_s3()
        with s3_store(tmp_path) as store:
            yield _filled(store, run)


def _filled(store, run):
    options = store.keep_all(run)
    for field in run.config["simulate"]["fields"]:
        name = f"datacube_{field}.parquet"
        store.put(run.folder / "cubes" / name, CUBE.format(field=field))
    return store, run, options


def _on_node(run: Workflow, name: str) -> list[str]:
    """Options of a node with a disk of its own for local copies."""
    return ["--local-storage-prefix", str(run.folder / name)]


def test_training_goes_on_on_another_node(survey):
    """Checkpoints are in the working folder: local copies of the first node are not needed."""
    store, run, options = survey
    saved = run.folder / PATHS.checkpoint(5)
    with run.start("train", *options, *_on_node(run, "first")) as snakemake:
        wait_for(saved.exists, "a checkpoint", seconds=900, every=0.02)
        jobs = dict(map(reversed, running_jobs(psutil.Process(snakemake.pid))))
        trainer = jobs["train_transformer"]
        trainer.suspend()
        trainer.terminate()
        trainer.resume()
        _, said = snakemake.communicate(timeout=run.timeout)
    assert snakemake.returncode, said[-3000:]
    assert PATHS.final_model not in store.names()

    run.run("train", *options, *_on_node(run, "second"))
    names = store.names()
    assert {PATHS.final_model, PATHS.history, PATHS.run_config} <= names
    assert not [name for name in names if "checkpoint" in name]
    logs = (run.folder / "second").rglob("train_transformer.log")
    (log,) = (path.read_text() for path in logs)
    assert int(re.search(r"goes on from checkpoint_step_(\d+)\.pt", log)[1]) >= 5
    assert not Path(run.folder, PATHS.final_model).exists()
