#!/usr/bin/env python3
"""Print whether a job of Grid Engine is running, or ended with success or a failure.

A jobscript records its exit status in a file. A job without a record runs or waits for as long as
qstat lists it. It was killed where qstat has not listed it for a while: a network file system
may show the record late. While qstat gives no answer, nothing is known to have ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

# ==== YOUR SITE ===================================================================================
FRESH = 10
"""Seconds for which one answer of qstat serves the jobs of a run."""
LATE = 60
"""Seconds after which a job that is neither listed nor recorded has failed."""
# ==================================================================================================

RECORDS = Path(".snakemake/gridengine")
STATE = RECORDS / "queue.json"


def recorded(job: str) -> str | None:
    """Return what a job's record says, once; None without a record."""
    record = RECORDS / job
    try:
        status = record.read_text()
    except FileNotFoundError:
        return None
    record.unlink()
    return "success" if status.strip() == "0" else "failed"


def queue() -> dict[str, str] | None:
    """Return the states of the user's jobs in the queue; None where qstat gives no answer."""
    try:
        answer = subprocess.run(
            ["qstat"], stdout=subprocess.PIPE, timeout=30, check=True, text=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split() for line in answer.splitlines()[2:]]
    return {row[0]: row[4] for row in rows if len(row) > 4}


def state(job: str, now: float) -> str:
    """Return the state of a job at a time (s)."""
    if ended := recorded(job):
        return ended
    try:
        known = json.loads(STATE.read_text())
    except (OSError, ValueError):
        known = {"asked": 0, "queue": {}, "missing": {}}
    missing = known["missing"]
    if not 0 <= now - known["asked"] < FRESH:
        answer = queue()
        if answer is None:
            return "running"
        known |= {"asked": now, "queue": answer}
        # Jobs that have ended are asked about no more.
        kept = {name: since for name, since in missing.items() if now - since < 10 * LATE}
        missing = {name: since for name, since in kept.items() if name not in answer}
    listed = known["queue"].get(job)
    if listed is None:
        missing.setdefault(job, now)
    gone = now - missing.get(job, now) > LATE
    if gone:
        del missing[job]
    part = STATE.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({**known, "missing": missing}))
    part.replace(STATE)  # whole or not at all
    if listed and "E" in listed:  # its host could not start it: it would wait for ever
        subprocess.run(["qdel", job], stdout=subprocess.DEVNULL, check=False)
        return "failed"
    return recorded(job) or ("failed" if gone else "running")


if __name__ == "__main__":
    print(state(sys.argv[1], time.time()))
