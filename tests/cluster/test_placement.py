"""Where jobs run: partitions and GPUs, by what rules ask for and not by their names."""

from __future__ import annotations

import pytest

from helpers.slurm import wait_for

GPU_RULES = ("encode_images", "train_transformer")
CPU_RULES = ("encode_scalars", "encode_spectra", "pack_sequences", "build_vocabulary")


def jobs_of(finished, rules):
    """The finished run's jobs of these rules: some of each."""
    found = {rule: [j for j in finished.jobs if rule in j.comment] for rule in rules}
    assert all(found.values())
    return [job for jobs in found.values() for job in jobs]


@pytest.mark.parametrize(("rules", "partition"), [(CPU_RULES, "cpu"), (GPU_RULES, "gpu")])
def test_a_rule_that_asks_for_a_gpu_runs_in_the_gpu_partition(finished, rules, partition):
    """Any other runs in the CPU partition."""
    assert {job.partition for job in jobs_of(finished, rules)} == {partition}


def test_a_gpu_job_sees_its_gpu(finished):
    """Slurm shows the job the one GPU that it asked for."""
    seen = set().union(*(finished.gpus[job.number] for job in jobs_of(finished, GPU_RULES)))
    assert seen <= {"0", "1"}
    assert seen


def test_a_cpu_job_sees_no_gpu(finished):
    """In the CPU partition no GPU is named."""
    seen = [finished.gpus.get(job.number, set()) for job in jobs_of(finished, CPU_RULES)]
    assert set().union(*seen) == {None}


def test_jobs_of_several_fields_are_one_job_of_the_queue(finished):
    """Both fields' images are encoded in one, in turn on its one GPU."""
    (job,) = jobs_of(finished, ["encode_images"])
    assert "gpu:1" in finished.workflow.cluster.record(job.number)["TresPerJob"]
    made = sorted((finished.workflow.results / "outputs/image_tokens").iterdir())
    assert [path.name for path in made] == [f"datacube_T-{i}_tokens.npz" for i in (1, 2)]


def test_fields_are_encoded_side_by_side(again):
    """While the job of one field stands still, that of the other runs."""
    codes = [f"outputs/scalar_tokens/datacube_T-{i}_scalar_tokens.npz" for i in (1, 2)]
    again.remove(*codes)
    targets = [f"results/{path}" for path in codes]
    with again.started(*targets, "--group-components", "codes=1") as started:
        first = started.running("encode_scalars")
        script = wait_for(lambda: again.cluster.script_of(first.number), "its script", 120)
        script.suspend()
        ran = "RUNNING,COMPLETED"
        wait_for(lambda: len(started.jobs("encode_scalars", ran)) == 2, "the other's job", 120)
        script.resume()
        done = started.end()
    assert done.returncode == 0, done.text


def test_jobs_of_one_submission_take_turns(finished):
    """One script at a time has the submission's GPU."""
    (job,) = jobs_of(finished, ["encode_images"])
    assert {seen.count(job.number) for seen in finished.at_once} == {0, 1}
