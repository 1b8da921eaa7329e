#!/usr/bin/env python3
"""Submit a jobscript of Snakemake to Grid Engine, and print the number of the job.

Snakemake calls it with the path of the jobscript, whose second line holds the job's resources.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

# ==== YOUR SITE: `qconf -spl` and `qconf -sc` list the names ======================================
PARALLEL = "smp"
"""A parallel environment that keeps the slots of a job on one host."""
MEMORY = "mem_free"
"""The resource of a job's memory (MB); empty where your site has none."""
PER_SLOT = False
"""Whether MEMORY counts per slot, as what `qconf -sc` shows as consumable YES does."""
GPU = "gpu"
"""The resource of a job's GPUs."""
OTHER: list[str] = []
"""Further arguments of every qsub, such as ["-P", "my_project", "-q", "long.q"]."""
# ==================================================================================================

NOTICE = 120
"""Seconds before a job's end at which SIGUSR1 lets a training save."""
LOGS, RECORDS = Path(".snakemake/gridengine_logs"), Path(".snakemake/gridengine")


def properties(jobscript: str) -> dict:
    """Return what Snakemake wrote of a job: threads, and resources by their names."""
    for line in Path(jobscript).read_text(encoding="utf-8").splitlines():
        if line.startswith("# properties = "):
            return json.loads(line.split(" = ", 1)[1])
    raise SystemExit(f"{jobscript}: must have a line '# properties = ...', got none")


def arguments(job: dict) -> list[str]:
    """Return the arguments with which qsub takes a job of these properties."""
    slots, resources = job["threads"], job["resources"]
    limit = 60 * resources["runtime"]
    wanted = [f"h_rt={limit}"]
    if limit > NOTICE:
        wanted.append(f"s_rt={limit - NOTICE}")
    if MEMORY:
        memory = resources["mem_mb"]
        wanted.append(f"{MEMORY}={-(-memory // slots) if PER_SLOT else memory}M")
    gpus = resources.get("gpu", 0)
    if gpus:
        wanted.append(f"{GPU}={gpus}")
    # In the working folder, with all variables; started again where its host fails.
    given = ["-terse", "-cwd", "-V", "-S", "/bin/sh", "-r", "y", "-j", "y", "-o", str(LOGS)]
    given += ["-l", ",".join(wanted)]
    if slots > 1:
        given += ["-pe", PARALLEL, str(slots)]
    if not gpus:
        given += ["-v", "CUDA_VISIBLE_DEVICES="]  # none of a host's, which another job may have
    return [*given, *OTHER, *shlex.split(resources.get("sge_extra", ""))]


def main(jobscript: str) -> int:
    """Submit a jobscript; return the status of qsub."""
    for folder in (LOGS, RECORDS):
        folder.mkdir(parents=True, exist_ok=True)
    command = ["qsub", *arguments(properties(jobscript)), jobscript]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
