"""Two nodes: they train together, one of them fails, and their clocks are two minutes apart."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from helpers.clocks import Clock, build, clocks
from helpers.cluster import ClusterWorkflow
from helpers.cluster_training import assert_same_weights, held, resumed_at
from helpers.slurm import wait_for

APART = 120  # s
CODES = "outputs/scalar_tokens/datacube_T-2_scalar_tokens.npz"
IMAGES = "outputs/image_tokens/datacube_T-2_tokens.npz"
SEQUENCES = "outputs/sequences/datacube_T-2_sequences.safetensors"


def on_two_nodes(workflow: ClusterWorkflow) -> ClusterWorkflow:
    workflow.config["training"] |= {"nodes": 2}
    return workflow


@pytest.fixture(scope="module")
def pair(finished, tmp_path_factory) -> ClusterWorkflow:
    """A training on two nodes that nothing disturbs."""
    workflow = on_two_nodes(finished.copy(tmp_path_factory.mktemp("pair")))
    workflow.job = workflow.run("train").run
    return workflow


def test_two_nodes_train_in_one_job(pair):
    """One Slurm job of two nodes, on each of which srun starts a process; they train as a pair."""
    jobs = pair.cluster.jobs("train_transformer", run=pair.job)
    assert [job.state for job in jobs] == ["COMPLETED"]
    assert pair.cluster.record(jobs[0].number)["NodeList"] == "gpu[1-2]"
    assert "2 processes train together" in pair.log("train_transformer").read_text()


@contextmanager
def failed(workflow: ClusterWorkflow, node: str, how: int) -> Iterator[list[psutil.Process]]:
    """Inside, these processes of a node run no more, and Slurm knows; then it starts again."""
    cluster = workflow.cluster
    gone = cluster.all_of(node)
    for process in gone:
        process.send_signal(how)
    with cluster.down(node):
        yield gone
        for process in gone:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        cluster.daemons.pop(node).wait()
        cluster.start_node(node)


@pytest.mark.parametrize(
    ("node", "how"),
    [
        pytest.param("gpu1", signal.SIGSTOP, id="the first falls silent"),
        pytest.param("gpu2", signal.SIGKILL, id="the second ends"),
    ],
)
def test_a_node_fails_in_the_middle_of_a_training_on_two(again, pair, node, how):
    """Slurm queues the job again; it goes on from its checkpoint, to the same weights."""
    workflow = on_two_nodes(again)
    with held(workflow) as (started, job):
        trainers = workflow.cluster.trainers(job.number)
        with failed(workflow, node, how) as lost:
            for trainer in trainers:
                if trainer not in lost:
                    trainer.resume()
        wait_for(lambda: started.jobs(states="PENDING"), "the job to be queued again", 180)
        workflow.cluster.start_soon(job.number)
        done = started.end()
    assert done.returncode == 0, done.text
    assert workflow.cluster.record(job.number)["Restarts"] == "1"
    assert resumed_at(workflow) >= 5
    assert_same_weights(workflow, pair)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler for the wrong clock")
    return build(tmp_path_factory.mktemp("clock"))


def clock_of(log: Path) -> float:
    """Seconds by which the last line of a log is ahead of the file's time."""
    line = log.read_text().rstrip().splitlines()[-1]
    said = datetime.strptime(re.match(r"[\d-]+ [\d:]+", line)[0], "%Y-%m-%d %H:%M:%S")
    return said.timestamp() - log.stat().st_mtime


def test_nodes_with_clocks_apart_train_together(again, pair, library):
    """The second node's clock is two minutes behind; the weights are the same."""
    with clocks(again.cluster, gpu2=Clock(library, -APART)):
        on_two_nodes(again).remove("runs_tokens_transformer/final_model.pt")
        again.run("train")
    assert_same_weights(again, pair)


def test_jobs_of_nodes_with_clocks_apart_are_made_once(again, library):
    """One is behind, one ahead, whose clock gives its files their time: a plan finds no job."""
    before = (again.results / CODES).read_bytes()
    again.remove(CODES, IMAGES, SEQUENCES)
    apart = {"cpu1": Clock(library, -APART), "gpu1": Clock(library, APART, stamps=True)}
    with clocks(again.cluster, **apart):
        again.run("encode")
    assert clock_of(again.log("encode_images", "T-2")) == pytest.approx(APART, abs=5)
    assert clock_of(again.log("encode_scalars", "T-2")) == pytest.approx(-APART, abs=5)
    assert (again.results / CODES).read_bytes() == before
    assert "Nothing to be done" in again.call("encode", "--dry-run").text


def test_files_with_the_time_of_a_clock_behind_are_an_error(again, library):
    """Where the writer's clock gives files their time, Snakemake refuses outputs from the past."""
    again.remove(CODES, SEQUENCES)
    with clocks(again.cluster, cpu1=Clock(library, -APART, stamps=True)):
        done = again.call("encode", "--retries", "0")
    assert done.returncode != 0
    logs = (again.folder / ".snakemake/slurm_logs").glob("*/*.log")
    assert any("could indicate a clock skew" in log.read_text() for log in logs)
