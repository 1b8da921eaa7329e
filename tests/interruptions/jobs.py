"""Single jobs of the finished run, run again without Snakemake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.workflow import ROOT
from interruptions.sky import Interrupted

NOISE = ("Traceback", "Logging error", "Exception ignored")
"""What no error of the machine's may look like."""


def run_job(
    run: Interrupted, reference: Interrupted, name: str, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess:
    """Run the job of a name, ``RULE.JOB``, as Snakemake would; `prepare` is called in it first."""
    environment = {
        **os.environ,
        **run.variables,
        "PYTHONPATH": str(ROOT / "scripts"),
        "PYTHONHASHSEED": "0",
    }
    return subprocess.run(
        [sys.executable, str(reference.notes / f"jobs/{name}.py")],
        cwd=run.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        preexec_fn=prepare,
        check=False,
    )


def one_of_each_rule(reference: Interrupted, seed: int) -> list[dict[str, Any]]:
    """One job of each rule, the last ones first: what each reads is still there when it runs."""
    generator = np.random.default_rng(seed)
    ended = list(generator.permutation(reference.noted("ended.jsonl")))
    chosen = {line["rule"]: line for line in ended}
    order = [(line["rule"], line["job"]) for line in reference.noted("ended.jsonl")]
    return sorted(chosen.values(), key=lambda line: -order.index((line["rule"], line["job"])))


def remove(run: Interrupted, job: dict[str, Any]) -> int:
    """Remove what there is of a job's outputs and log; return the bytes that its outputs took."""
    size = 0
    for path in map(run.folder.joinpath, job["outputs"]):
        size += sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (run.results / f"logs/{job['rule']}/{job['job']}.log").unlink(missing_ok=True)
    return size


def under(found: dict[str, str], job: dict[str, Any]) -> dict[str, str]:
    """Of the contents of results those that are a job's outputs."""
    outputs = tuple(output.removeprefix("results/") for output in job["outputs"])
    return {name: digest for name, digest in found.items() if name.startswith(outputs)}
