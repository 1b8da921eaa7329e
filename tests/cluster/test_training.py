"""Training that Slurm stops: it goes on, and ends as if nothing had happened."""

from __future__ import annotations

from helpers.cluster_training import assert_same_weights, held, resumed_at
from helpers.slurm import wait_for


def test_at_its_time_limit_training_saves_and_the_next_attempt_ends_it(again, finished):
    """Slurm's SIGTERM, exit status 75, another job, and the weights of a run without a limit."""
    with held(again) as (started, job):
        elapsed = again.cluster.record(job.number)["RunTime"]
        minutes = int(elapsed.split(":")[1]) + 2  # the limit is near: two minutes before it is now
        again.cluster.run("scontrol", "update", f"JobId={job.number}", f"TimeLimit={minutes}")
        done = started.end()
        jobs = started.jobs("train_transformer")
    assert done.returncode == 0, done.text
    assert [each.state for each in jobs] == ["FAILED", "COMPLETED"]
    assert resumed_at(again) >= 5
    assert_same_weights(again, finished.workflow)


def test_a_preempted_training_is_queued_again_and_goes_on(again, finished):
    """A job of the partition `urgent` takes the node; the same Slurm job ends the training."""
    with held(again) as (started, job):
        urgent = ["sbatch", "--parsable", "--partition=urgent", "--gpus-per-node=2"]
        node = again.cluster.record(job.number)["NodeList"]
        urgent += [f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 1"]
        again.cluster.run(*urgent)
        wait_for(lambda: again.cluster.record(job.number)["Restarts"] == "1", "the preemption")
        wait_for(lambda: started.jobs(states="PENDING"), "the end of what was preempted")
        again.cluster.start_soon(job.number)
        done = started.end()
        jobs = started.jobs("train_transformer")
    assert done.returncode == 0, done.text
    assert [each.number for each in jobs] == [job.number]
    assert again.cluster.record(job.number)["Restarts"] == "1"
    assert resumed_at(again) >= 5
    assert_same_weights(again, finished.workflow)


def test_two_gpus_are_two_processes_of_one_job(again):
    """One Slurm job with two GPUs in which two processes train, and end well."""
    again.config["training"] |= {"gpus": 2, "epochs": 1}
    done = again.run("train")
    jobs = again.cluster.jobs("train_transformer", run=done.run)
    record = again.cluster.record(jobs[0].number)
    assert [job.state for job in jobs] == ["COMPLETED"]
    assert "gpu:2" in record["TresPerJob"]
    assert record["NumTasks"] == "1"
    assert "2 processes train together" in again.log("train_transformer").read_text()
