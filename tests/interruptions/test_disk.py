"""Disks that are full or read-only."""

from __future__ import annotations

import shutil
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import pytest

from astromodal.training.checkpoint import load_model
from interruptions.disks import filled, read_only
from interruptions.jobs import NOISE, one_of_each_rule, remove, run_job
from interruptions.sky import TARGETS, Interrupted, contents

pytestmark = pytest.mark.workflow

SEED = 11
FULL = "must be on a disk with room for it, got No space left on device; make room on that disk"


def test_a_full_disk_in_each_rule(reference, on_small_disk, tally):
    """A job that runs out of disk says so in one line, and harms nothing; then all is made."""
    run, generator, wrong = on_small_disk, np.random.default_rng(SEED), []
    whole = contents(run.results)
    for job in one_of_each_rule(reference, SEED):
        size = remove(run, job)
        before, share = versions(run.results), float(generator.uniform(0, 0.9))
        with filled(run.results, int(share * size)):
            done = run_job(run, reference, f"{job['rule']}.{job['job']}")
        after = versions(run.results)
        # Snakemake deletes all that a job that failed has made; files are whole even so.
        made = [run.folder / output for output in job["outputs"]]
        half = [path for path in made if path.is_file() and not same(path, run, reference)]
        remove(run, job)
        faults = {
            "no error": done.returncode == 0,
            "no message": done.stderr.count(FULL) != 1,
            "noise": any(word in done.stderr for word in NOISE),
            "half a file": bool(half),
            "harm": before != {name: v for name, v in after.items() if not own(name, job)},
        }
        found = [name for name, is_so in faults.items() if is_so]
        if found:
            wrong.append(f"{job['rule']}, {share:.2f} of {size}: {found}\n{done.stderr[-1500:]}")
        tally("disk full in a job", "lost" if found else "named error")
    print(f"seed {SEED}")
    assert not wrong, "\n\n".join(wrong)
    run.run(*TARGETS)
    assert contents(run.results) == whole


def versions(results: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file, but for logs and for what an unfinished training goes on from."""
    stats = {str(path.relative_to(results)): path.stat() for path in results.rglob("*.*")}
    return {
        name: (stat.st_size, stat.st_mtime_ns)
        for name, stat in stats.items()
        if S_ISREG(stat.st_mode) and not name.startswith("logs/") and "/checkpoint" not in name
    }


def own(name: str, job: dict[str, Any]) -> bool:
    """Whether a file below the results is an output of a job, or in one."""
    return any(Path("results", name).is_relative_to(output) for output in job["outputs"])


def same(path: Path, run: Interrupted, reference: Interrupted) -> bool:
    """Whether a file is the one of the finished run."""
    return path.read_bytes() == (reference.folder / path.relative_to(run.folder)).read_bytes()


def test_what_snakemake_leaves_of_a_job_on_a_full_disk(on_small_disk, tally):
    """Nothing of the job's outputs, be they files or a folder; the same command then makes them."""
    run, whole = on_small_disk, contents(on_small_disk.results)
    outputs = ["results/outputs/image_latents/datacube_T-2_latents.npz"]
    outputs += ["results/outputs/image_tokens/datacube_T-2_tokens.npz"]
    outputs += ["results/evaluation/scalars.json", "results/evaluation/figures/scalars"]
    for output in map(run.folder.joinpath, outputs):
        shutil.rmtree(output) if output.is_dir() else output.unlink()
    command = [*outputs, "--keep-going"]
    with filled(run.results, 40_000):
        done = run.call(*command)
    assert done.returncode != 0
    assert done.text.count(FULL) >= 2
    assert not [output for output in outputs if (run.folder / output).exists()]
    run.run(*command)
    assert contents(run.results) == whole
    tally("disk full, seen by Snakemake", "named error", 2)


def test_a_checkpoint_on_a_full_disk(reference, on_small_disk, tally):
    """The last checkpoint stands, training goes on from it, and ends with the same model."""
    run, whole = on_small_disk, contents(on_small_disk.results)
    folder = run.results / "runs_tokens_transformer"
    size = max(path.stat().st_size for path in folder.glob("checkpoint_step_*.pt"))
    kept = sorted(path.name for path in folder.glob("checkpoint*"))
    for path in [*folder.glob("checkpoint*"), *folder.glob("final*"), folder / "history.jsonl"]:
        path.unlink()
    (folder / "config.json").unlink()
    with filled(run.results, int(1.5 * size)):
        done = run_job(run, reference, "train_transformer.train_transformer")
    assert "checkpoint_step" in done.stderr
    assert done.stderr.count(FULL) == 1, done.stderr
    (last,) = folder.glob("checkpoint_step_*.pt")
    step = load_model(last)["step"]
    run.run("train")
    log = (run.results / "logs/train_transformer/train_transformer.log").read_text()
    assert f"goes on from checkpoint_step_{step}.pt" in log
    assert contents(run.results) == whole
    assert sorted(path.name for path in folder.glob("checkpoint*")) == kept
    tally("disk full at a checkpoint", "same result")


def test_a_read_only_disk(on_small_disk, reference, tally):
    """A dry run plans as ever; a run says that the disk is read-only, and nothing is lost."""
    run, whole = on_small_disk, contents(on_small_disk.results)
    output = "results/outputs/scalar_tokens/datacube_T-2_scalar_tokens.npz"
    (run.folder / output).unlink()
    with read_only(run.results):
        assert run.planned(output) == {"encode_scalars": 1}
        done = run.call(output)
        script = run_job(run, reference, "encode_scalars.T-2")
    print(done.text[-1500:])
    assert done.returncode != 0
    for text in (done.text, script.stderr):
        assert "must be on a disk that may be written, got Read-only file system" in text
        assert "Traceback" not in text
    run.run(output)
    assert contents(run.results) == whole
    tally("read-only disk", "named error", 2)


def test_stamps_on_a_read_only_disk(on_small_disk, tally):
    """With cubes of one's own that are new, even a plan says which file it could not write."""
    run = on_small_disk
    shutil.copytree(run.results / "cubes", run.folder / "cubes")
    del run.config["simulate"]
    run.config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    with read_only(run.results):
        done = run.call("--dry-run")
    print(done.text[-1500:])
    assert done.returncode != 0
    assert "must be on a disk that may be written, got Read-only file system" in done.text
    tally("read-only disk", "named error")
