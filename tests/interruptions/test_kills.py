"""SIGKILL anywhere, then the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from interruptions.sky import TARGETS, Interrupted, contents, sky

pytestmark = pytest.mark.workflow

SEED = 7
COMMAND = (*TARGETS, "--keep-going")
WHOLE_RUNS = 4
"""Kills of Snakemake itself, with all of its jobs."""


def draw_faults(reference: Interrupted, folder: Path, seed: int) -> Counter[str]:
    """For each rule a kill before a random write of its job, then one at a random time of it.

    The first hits unless Snakemake is killed with that job before, the other where the job takes no
    less time than it did. Returns how many there are, by rule.
    """
    generator = np.random.default_rng(seed)
    drawn: Counter[str] = Counter()
    ended = {line["rule"]: line for line in reference.noted("ended.jsonl")}
    for rule, line in sorted(ended.items()):
        faults = [
            {"write": int(generator.integers(1, line["writes"] + 2))},
            {"after": float(generator.uniform(0.05, 0.95) * line["seconds"])},
        ]
        for number, fault in enumerate(faults):
            path = folder / rule / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(fault))
            drawn[rule] += 1
    return drawn


def test_killed_anywhere(reference, tmp_path, tally):
    """Jobs of every rule are killed, and Snakemake too: all is made, the same to the byte."""
    run = sky(tmp_path)
    drawn = draw_faults(reference, run.notes / "faults", SEED)
    generator = np.random.default_rng(SEED)
    print(f"seed {SEED}; drawn {sum(drawn.values())} kills of {len(drawn)} rules")
    for number in range(len(drawn) * 2):
        if number < WHOLE_RUNS:
            kill_whole(run, float(generator.uniform(1, 12)))
            tally("Snakemake and its jobs killed", "same result")
        done = run.call(*COMMAND)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.text[-4000:]
    killed = Counter(line["rule"] for line in run.noted("killed.jsonl"))
    print(f"{killed.total()} kills hit, in {number + 1} runs: {dict(sorted(killed.items()))}")
    assert not drawn.keys() - killed.keys()
    assert killed.total() >= 20
    assert contents(run.results) == contents(reference.results)
    assert run.planned(*TARGETS) == {}
    for line in run.noted("killed.jsonl"):
        tally("job killed " + ("at a time" if "after" in line else "at a write"), "same result")


def kill_whole(run: Interrupted, seconds: float) -> None:
    """Kill Snakemake and all its jobs at a time of its run; its lock stands, and is taken away.

    Where jobs were killed and so Snakemake ended before, it is started again.
    """
    while not locked(run):
        with run.start(*COMMAND) as process:
            while not locked(run) and process.poll() is None:
                time.sleep(0.1)
            try:
                process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    assert "Directory cannot be locked" in run.call(*COMMAND).text
    run.run("--unlock")


def locked(run: Interrupted) -> bool:
    """Whether a Snakemake holds the folder, or one did that was killed."""
    locks = run.folder / ".snakemake/locks"
    return locks.is_dir() and any(locks.iterdir())
