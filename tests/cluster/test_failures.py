"""What goes wrong on a cluster, and that nothing is lost by it."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from helpers.slurm import wait_for

SCALARS = "outputs/scalar_tokens/datacube_T-2_scalar_tokens.npz"


def scalar_codes(workflow):
    with np.load(workflow.results / SCALARS, allow_pickle=False) as file:
        return file["codes"]


def test_a_job_over_its_memory_is_tried_again_with_more(again):
    """Slurm ends the job; the next attempt asks for more, and is enough."""
    again.remove(SCALARS)
    memory = "encode_scalars:mem_mb=50 if attempt == 1 else 3000 * attempt"
    done = again.run(f"results/{SCALARS}", "--set-resources", memory)
    jobs = again.cluster.jobs("encode_scalars", run=done.run)
    asked = [again.cluster.record(job.number)["MinMemoryNode"] for job in jobs]
    assert [job.state for job in jobs] == ["FAILED", "COMPLETED"]
    assert asked == ["50M", "6000M"]


def test_a_node_that_goes_down_and_comes_back_loses_nothing(again):
    """Slurm starts the job again; its result is the one of a quiet day."""
    before = scalar_codes(again)
    again.remove(SCALARS)
    with again.started(f"results/{SCALARS}") as started:
        job = started.running("encode_scalars")
        with again.cluster.down("cpu1"):
            wait_for(lambda: started.jobs(states="PENDING"), "the job to be queued again")
        again.cluster.start_soon(job.number)
        done = started.end()
    assert done.returncode == 0, done.text
    assert again.cluster.record(job.number)["Restarts"] == "1"
    np.testing.assert_array_equal(scalar_codes(again), before)


def test_a_cancelled_job_leaves_nothing_half_written(again):
    """After scancel there is no output; the next attempt makes it whole."""
    before = scalar_codes(again)
    again.remove(SCALARS)
    with again.started(f"results/{SCALARS}", "--retries", "1") as started:
        job = started.running("encode_scalars")
        wait_for(lambda: again.cluster.script_of(job.number), "its script", 120)
        again.cluster.run("scancel", str(job.number))
        wait_for(lambda: started.jobs(states="CANCELLED"), "the end of the job")
        left = (again.results / SCALARS).exists()
        done = started.end()
    assert not left
    assert done.returncode == 0, done.text
    np.testing.assert_array_equal(scalar_codes(again), before)


@pytest.fixture(scope="module")
def interrupted(finished, tmp_path_factory):
    """A run beside which another was started, and which was then interrupted."""
    workflow = finished.copy(tmp_path_factory.mktemp("interrupted"))
    workflow.remove(SCALARS)
    # An interruption just while the executor looks at its jobs cancels none of them.
    with workflow.started(f"results/{SCALARS}", patient=True) as started:
        job = started.running("encode_scalars")
        script = wait_for(lambda: workflow.cluster.script_of(job.number), "its script", 120)
        script.suspend()  # a job that takes as long as the test needs
        second = workflow.call(f"results/{SCALARS}")
        started.process.send_signal(signal.SIGINT)
        first = started.end()
    wait_for(lambda: not workflow.cluster.jobs(states="RUNNING", run=first.run), "no job")
    return workflow, first, second, workflow.cluster.jobs(run=first.run)


def test_interrupting_snakemake_cancels_its_jobs(interrupted):
    """Ctrl-C leaves no job in the queue."""
    _, first, _, jobs = interrupted
    assert first.returncode != 0
    assert {job.state for job in jobs} == {"CANCELLED"}


def test_a_second_snakemake_in_the_same_folder_finds_the_lock(interrupted):
    """It stops and says that another may be running."""
    _, _, second, _ = interrupted
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.text


def test_an_interrupted_run_goes_on(interrupted):
    """The same command ends what was interrupted."""
    workflow, *_ = interrupted
    assert workflow.call(f"results/{SCALARS}").returncode == 0
    assert (workflow.results / SCALARS).exists()
