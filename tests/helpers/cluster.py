"""Real Snakemake that submits to a throw-away Slurm, in a folder of the test's own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

from helpers.gridengine import GridEngine
from helpers.slurm import Cluster, Job, is_script, wait_for
from helpers.workflow import ROOT, Workflow, tiny

# Two submissions of the two fields' codes, one of their images. Looks at jobs at once, not after
# 20 s; a file system that is no network's; a machine of two cores.
ANYWHERE = ["--group-components", "codes=2", "images=2"]
ANYWHERE += ["--latency-wait", "20", "--jobs", "4", "--max-threads", "2"]
HERE = [*ANYWHERE, "--slurm-init-seconds-before-status-checks", "1"]


@dataclass
class ClusterWorkflow(Workflow):
    """A run of the workflow by ``snakemake --profile slurm`` on a cluster.

    Attributes
    ----------
    cluster : Cluster or GridEngine
        Where its jobs run.
    """

    cluster: Cluster | GridEngine = field(kw_only=True)

    @contextmanager
    def started(self, *options: str, patient: bool = False) -> Iterator[Started]:
        """Inside, a Snakemake runs; it is interrupted where it has not ended by then.

        A `patient` one looks at its jobs as rarely as any user's does.
        """
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config))
        impatient = ["-P", str(ROOT / "tests/helpers/impatient.py")]
        command = [sys.executable, *(["-m", "snakemake"] if patient else impatient)]
        command += ["--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", str(path), *self.profile()]
        with snakemake(self.cluster, [*command, *options], self.folder) as started:
            yield started

    def profile(self) -> list[str]:
        """The options that choose the profile, and those that fit it to this machine."""
        return ["--profile", str(ROOT / "slurm"), *HERE]

    def call(self, *options: str) -> subprocess.CompletedProcess:
        """Run Snakemake to its end."""
        with self.started(*options) as started:
            return started.end()

    def remove(self, *outputs: str | Path) -> None:
        """Remove results, so that the jobs that make them run again."""
        for output in outputs:
            (self.results / output).unlink()

    def log(self, rule: str, field: str | None = None) -> Path:
        """The log of a rule's job."""
        return self.results / "logs" / rule / f"{field or rule}.log"


class Started:
    """A Snakemake that runs, and what it has printed so far."""

    def __init__(
        self, process: subprocess.Popen, output: Path, cluster: Cluster | GridEngine
    ) -> None:
        self.process, self.output, self.cluster = process, output, cluster

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def run(self) -> str:
        """Name of all of its Slurm jobs; other clusters have none."""
        if not isinstance(self.cluster, Cluster):
            return ""
        found = wait_for(lambda: re.search(r"SLURM run ID: (\S+)", self.text), "a run's name")
        return found.group(1)

    def jobs(self, rule: str = "", states: str = "all") -> list[Job]:
        return self.cluster.jobs(rule, states, self.run)

    def running(self, rule: str, seconds: float = 300) -> Job:
        """The job of a rule, once it runs."""

        def job() -> Job | None:
            self.still_runs()
            return next(iter(self.jobs(rule, "RUNNING")), None)

        return wait_for(job, f"a running job of {rule}", seconds)

    def still_runs(self) -> None:
        """Fail with all that was printed where Snakemake has ended."""
        if self.process.poll() is not None:
            pytest.fail(f"snakemake ended\n{self.text[-6000:]}", pytrace=False)

    def end(self, seconds: float = 400) -> subprocess.CompletedProcess:
        """Wait for its end; fail with all that was printed where it does not come."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"snakemake ran for {seconds} s\n{self.text[-6000:]}", pytrace=False)
        done = subprocess.CompletedProcess(self.process.args, self.process.returncode)
        done.text, done.run = self.text, self.run if "SLURM run ID" in self.text else ""
        return done


@contextmanager
def snakemake(
    cluster: Cluster | GridEngine,
    command: list[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Started]:
    """Inside, a Snakemake runs; it is interrupted where it has not ended by then.

    Its parent may ignore Ctrl-C, as what a shell starts in the background does: it does not.
    """
    handle, name = tempfile.mkstemp(suffix=".txt", dir=folder)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(handle, "wb") as output:
        process = subprocess.Popen(
            [*cluster.prefix, *command],
            cwd=folder,
            env=environment(cluster) | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    signal.signal(signal.SIGINT, before)
    try:
        yield Started(process, Path(name), cluster)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(cluster: Cluster | GridEngine) -> dict[str, str]:
    """What Snakemake and its jobs run with: this machine's few cores serve many jobs at once."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return inherited | cluster.environment | threads


def on(cluster: Cluster, folder: Path, name: str = "cluster") -> ClusterWorkflow:
    """A workflow of one of the tests' configs on a cluster."""
    return ClusterWorkflow(folder, tiny(folder, name).config, cluster=cluster)


@dataclass
class GridWorkflow(ClusterWorkflow):
    """A run of the workflow on a Grid Engine, with a copy of the profile that fits its site.

    Attributes
    ----------
    site : path
        The copy of profiles/gridengine.
    """

    site: Path = field(kw_only=True)

    def profile(self) -> list[str]:
        return ["--profile", str(self.site), *ANYWHERE, "--seconds-between-status-checks", "1"]


def edited_profile(folder: Path, **values: str) -> Path:
    """A copy of profiles/gridengine whose constants have other values, as users set them."""
    shutil.copytree(ROOT / "profiles/gridengine", folder)
    for name, value in values.items():
        changed = 0
        for path in folder.glob("*.py"):
            text, n = re.subn(
                rf"^({name}\b[^=]*) = .*$", rf"\1 = {value}", path.read_text(), flags=re.M
            )
            path.write_text(text)
            changed += n
        assert changed == 1, name
    return folder


@dataclass
class Finished:
    """A run of the workflow that has ended, and what its jobs were seen to have.

    Attributes
    ----------
    workflow : ClusterWorkflow
        Its results.
    jobs : list of Job
        Its Slurm jobs.
    gpus : dict of int to (set of str or None)
        Values of CUDA_VISIBLE_DEVICES (None: unset) in the processes of the rules' scripts, by the
        number of the job.
    at_once : set of tuple of int
        Numbers of the jobs whose scripts were seen to run at a time, one of each script.
    """

    workflow: ClusterWorkflow
    jobs: list[Job]
    gpus: dict[int, set[str | None]]
    at_once: set[tuple[int, ...]]

    def copy(self, folder: Path) -> ClusterWorkflow:
        """Its results in another folder, where nothing is to be done."""
        for name in ("results", ".snakemake"):
            shutil.copytree(self.workflow.folder / name, folder / name)
        return on(self.workflow.cluster, folder)


def watched(workflow: ClusterWorkflow, *options: str) -> Finished:
    """Run the workflow, and look at its jobs' processes twice a second."""
    seen: dict[int, set[str | None]] = {}
    at_once: set[tuple[int, ...]] = set()
    with workflow.started(*options) as started:
        while started.process.poll() is None:
            now = []
            for process, variables in workflow.cluster.processes().items():
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if is_script(process):
                        job = int(variables["SLURM_JOB_ID"])
                        seen.setdefault(job, set()).add(variables.get("CUDA_VISIBLE_DEVICES"))
                        now.append(job)
            at_once.add(tuple(sorted(now)))
            time.sleep(0.5)
        done = started.end()
        if done.returncode:
            pytest.fail(f"snakemake failed\n{done.text[-6000:]}", pytrace=False)
        return Finished(workflow, started.jobs(), seen, at_once)
