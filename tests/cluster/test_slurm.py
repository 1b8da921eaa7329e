"""The throw-away Slurm itself: what it opens, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from helpers.slurm import listens_on, missing, running_cluster, wait_for


def test_nothing_listens_beyond_loopback(cluster):
    """Neither the daemons nor srun in a job take connections from other machines."""
    job = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=srun sleep 30")
    number = int(job.stdout)
    wait_for(lambda: any(p.name() == "sleep" for p in cluster.processes()), "srun in the job")
    found = {process: listens_on(process) for process in cluster.processes()}
    cluster.run("scancel", str(number))
    assert set().union(*found.values()) == {"127.0.0.1"}
    assert sum(bool(addresses) for addresses in found.values()) > len(cluster.daemons) - 1


def test_stopping_ends_its_own_processes_alone():
    """After the stop none of its processes is left, and another's process stands."""
    if why := missing():
        pytest.skip(why)
    other = subprocess.Popen(["sleep", "60"])
    try:
        with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
            with running_cluster(Path(folder)) as cluster:
                own = list(cluster.processes())
            assert len(own) >= 4
            assert [process for process in own if process.is_running()] == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_another_user_learns_what_is_needed(monkeypatch):
    """Without root there is no such cluster, and the reason says so."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in missing()


def test_missing_packages_are_named(monkeypatch):
    """Without Slurm's programs the reason names the packages to install."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    assert "apt-get install munge slurmctld slurmd slurm-client" in missing()
