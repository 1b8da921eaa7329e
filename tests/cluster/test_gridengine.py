"""The profile of Grid Engine: where jobs run and what they ask for, and what goes wrong."""

from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from helpers.cluster import GridWorkflow, Started, edited_profile
from helpers.cluster_training import assert_same_weights, held, resumed_at
from helpers.gridengine import listens_outside
from helpers.slurm import wait_for
from helpers.workflow import tiny

SCALARS = "outputs/scalar_tokens/datacube_T-2_scalar_tokens.npz"
SITE = {"MEMORY": '"memory"', "PER_SLOT": "True", "FRESH": "1", "LATE": "5"}
"""The resource of the tests' host; and jobs that end are seen soon."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return edited_profile(tmp_path_factory.mktemp("site") / "gridengine", **SITE)


@pytest.fixture(scope="module")
def trained(grid, site, tokenized) -> tuple[GridWorkflow, list[tuple[int, str]]]:
    """A small sky, encoded and trained on; numbers and names of the jobs."""
    folder = tokenized("trained")
    workflow = GridWorkflow(folder, tiny(folder, "cluster").config, cluster=grid, site=site)
    with workflow.started("encode", "train") as started:
        done = started.end()
    assert done.returncode == 0, done.text
    return workflow, names(started)


@pytest.fixture
def afresh(trained, tmp_path) -> GridWorkflow:
    """A copy of what is trained, of which a test removes something and has it made again."""
    workflow, _ = trained
    for name in ("results", ".snakemake"):
        shutil.copytree(workflow.folder / name, tmp_path / name)
    config = tiny(tmp_path, "cluster").config
    return GridWorkflow(tmp_path, config, cluster=workflow.cluster, site=workflow.site)


def numbers(started: Started) -> list[int]:
    """Numbers of the jobs that Snakemake has submitted, in order."""
    return [int(n) for n in re.findall(r"with external jobid '(\d+)'", started.text)]


def names(started: Started) -> list[tuple[int, str]]:
    """Numbers and names of the jobs that have ended."""
    found = [(number, started.cluster.ended(number)["jobname"]) for number in numbers(started)]
    return [(number, name.split(".")[0]) for number, name in found]


def waits_for(process: psutil.Process, number: int) -> bool:
    """Whether a process that stands still was sent a signal."""
    pending = re.search(r"ShdPnd:\s+(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    return bool(int(pending[1], 16) >> number - 1 & 1)


def codes(workflow: GridWorkflow) -> np.ndarray:
    with np.load(workflow.results / SCALARS, allow_pickle=False) as file:
        return file["codes"]


def test_nothing_listens_beyond_its_network(grid):
    """Its daemons have a network that has loopback alone."""
    devices = grid.ask("ip", "-brief", "address")
    assert [line.split()[0] for line in devices.splitlines()] == ["lo"]
    assert listens_outside(grid) == set()


def test_jobs_of_several_fields_are_one_job_of_the_queue(trained):
    """Both fields' images are encoded in one, and their two kinds of codes in two."""
    _, jobs = trained
    groups = [name.split("_")[0] for _, name in jobs if "encode" in name]
    assert sorted(groups) == ["codes", "codes", "images"]


def test_a_job_asks_for_its_slots_memory_time_and_gpu(trained):
    """The training has two slots with half of its memory each, a day, a notice, and a GPU."""
    workflow, jobs = trained
    (number,) = (number for number, name in jobs if name == "train_transformer")
    asked = workflow.cluster.ended(number)["category"]
    assert {"gpu=1", "h_rt=86400", "memory=32000M", "s_rt=86280"} <= {*re.split("[ ,]", asked)}
    assert "-pe smp 2" in asked


def test_a_job_over_its_memory_is_tried_again_with_more(afresh, tmp_path_factory):
    """With h_vmem, the operating system refuses the memory; the next attempt has enough."""
    where = tmp_path_factory.mktemp("limited") / "gridengine"
    afresh.site = edited_profile(where, **SITE | {"MEMORY": '"h_vmem"'})
    afresh.remove(SCALARS)
    memory = "encode_scalars:mem_mb=100 if attempt == 1 else 16000"
    with afresh.started(f"results/{SCALARS}", "--set-resources", memory) as started:
        done = started.end()
    assert done.returncode == 0, done.text
    ended = [afresh.cluster.ended(number) for number in numbers(started)]
    assert [job["exit_status"] == "0" for job in ended] == [False, True]
    assert ["h_vmem=100M" in ended[0]["category"], "h_vmem=16000M" in ended[1]["category"]] == [
        True
    ] * 2


def test_a_killed_job_is_noticed_and_tried_again(afresh):
    """It is gone from the queue without a record of its end: the next attempt makes it whole."""
    before = codes(afresh)
    afresh.remove(SCALARS)
    with afresh.started(f"results/{SCALARS}") as started:
        job = started.running("encode_scalars")
        wait_for(lambda: afresh.cluster.script_of(job.number), "its script", 120)
        for process in afresh.cluster.all_of(job.number):
            process.kill()
        done = started.end()
    assert done.returncode == 0, done.text
    assert len(numbers(started)) == 2
    np.testing.assert_array_equal(codes(afresh), before)


def test_interrupting_snakemake_deletes_its_jobs(afresh):
    """Ctrl-C leaves no job in the queue; the same command ends what was interrupted."""
    afresh.remove(SCALARS)
    # An interruption just while the executor looks at its jobs deletes none of them.
    rarely = ["--seconds-between-status-checks", "10"]
    looked = afresh.folder / ".snakemake/gridengine/queue.json"
    with afresh.started(f"results/{SCALARS}", *rarely) as started:
        job = started.running("encode_scalars")
        wait_for(lambda: afresh.cluster.script_of(job.number), "its script", 120).suspend()
        looked.unlink(missing_ok=True)
        wait_for(looked.exists, "a look at the job", 120)
        time.sleep(3)
        started.process.send_signal(signal.SIGINT)
        done = started.end()
    assert done.returncode != 0
    wait_for(lambda: not afresh.cluster.jobs(), "an empty queue")
    assert afresh.call(f"results/{SCALARS}").returncode == 0


def test_at_its_time_limit_training_saves_and_the_next_attempt_ends_it(
    trained, afresh, tmp_path_factory
):
    """SIGUSR1 comes before the limit, another job goes on, and the weights are the same."""
    where = tmp_path_factory.mktemp("short") / "gridengine"
    afresh.site = edited_profile(where, **SITE | {"NOTICE": "240"})
    limit = ["--set-resources", "train_transformer:runtime=5"]
    with held(afresh, *limit) as (started, job):
        trainer = afresh.cluster.script_of(job.number)
        wait_for(lambda: waits_for(trainer, signal.SIGUSR1), "the notice", 120)
        trainer.resume()
        done = started.end()
    assert done.returncode == 0, done.text
    assert len(numbers(started)) == 2
    assert resumed_at(afresh) >= 5
    assert_same_weights(afresh, trained[0])
