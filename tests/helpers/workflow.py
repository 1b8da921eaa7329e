"""Real Snakemake on tiny skies, in a folder of the test's own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[2]
TRACING = ROOT / "tests/helpers/tracing"
CORES = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)))
"""Cores of a run: this test process's share of the machine."""


@dataclass
class Workflow:
    """A run of the workflow: its results folder, its own config, and the way to call Snakemake."""

    folder: Path
    config: dict
    snakefile: Path = ROOT / "Snakefile"
    hooks: Path = TRACING
    """Holds the ``sitecustomize.py`` that its Pythons start with."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of its environment, beside the tests' own."""
    umask: int = -1
    """Its mask of new files; the tests' own where negative."""
    timeout: float = 900.0
    """Seconds that a call may take."""

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def command(self, *options: str) -> list[str]:
        """The call of Snakemake; the config, in its order, is written anew for it."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile)]
        command += ["--directory", str(self.folder), "--configfile", str(path)]
        command += ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", str(CORES)]
        return [*command, *options]

    def environment(self) -> dict[str, str]:
        """The environment of the call: which settings each job reads goes to ``settings_read``."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}
        environment |= self.variables
        environment["SETTINGS_FOLDER"] = str(self.folder / "settings_read")
        paths = [str(self.hooks), environment.get("PYTHONPATH")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        return environment

    def start(self, *options: str) -> subprocess.Popen:
        """Start Snakemake, in a process group of its own."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command, environment = self.command(*options), self.environment()
        return subprocess.Popen(
            command, **pipes, text=True, env=environment, process_group=0, umask=self.umask
        )

    def call(self, *options: str) -> subprocess.CompletedProcess:
        """Run Snakemake to its end; a test may change the config between calls."""
        with self.start(*options) as process:
            try:
                out, said = process.communicate(timeout=self.timeout)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        done = subprocess.CompletedProcess(process.args, process.returncode, out, said)
        done.text = out + said
        return done

    def run(self, *options: str) -> subprocess.CompletedProcess:
        """Run Snakemake and fail with its output, and its jobs' logs, where it fails."""
        done = self.call(*options)
        if done.returncode:
            pytest.fail(f"snakemake failed\n{done.text[-6000:]}", pytrace=False)
        return done

    def ran(self, *options: str) -> set[str]:
        """Run Snakemake; the jobs that ran, as ``rule`` or ``rule wildcard``."""
        text = self.run(*options).text
        found = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, re.MULTILINE)
        jobs = set()
        for rule, lines in found:
            wildcards = re.search(r"^    wildcards: \w+=(\S+)$", lines, re.MULTILINE)
            jobs.add(f"{rule} {wildcards[1]}" if wildcards else rule)
        return jobs - {"all"}

    def simulate(self, folder: str) -> None:
        """Write the cubes of the config's sky to a folder in its own, without a job for each."""
        from astromodal.config import load_config
        from astromodal.simulate.field import simulate_field

        (self.folder / folder).mkdir()
        sky = load_config(self.config).simulate
        for name in sky.fields:
            simulate_field(sky, name, self.folder / folder / f"datacube_{name}.parquet")

    def planned(self, *options: str) -> dict[str, int]:
        """Jobs of a dry run, by rule."""
        return job_table(self.run(*options, "--dry-run").text)


def job_table(text: str) -> dict[str, int]:
    """The table of jobs that Snakemake prints, without its total."""
    if "Job stats" not in text:
        return {}
    rows = text.split("Job stats:")[1].strip().splitlines()[2:]
    table = {}
    for row in rows:
        words = row.split()
        if len(words) != 2 or not words[1].isdigit():
            break
        table[words[0]] = int(words[1])
    table.pop("total", None)
    return table


def tiny(folder: Path, name: str = "tiny") -> Workflow:
    """A workflow of one of the tests' configs, with its results in `folder`."""
    config = yaml.safe_load((ROOT / f"tests/config/{name}.yaml").read_text())
    config["paths"]["results"] = "results"  # below `folder`, wherever that is copied to
    return Workflow(folder, config)


def locked_folder(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, once for all of the test processes."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    shared = (factory.getbasetemp() if alone else factory.getbasetemp().parent) / f"run_{name}"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            running = shared.with_name(f"{shared.name}.running")
            if running.exists():
                pytest.fail(f"{name} could not be made, as an earlier test says", pytrace=False)
            running.mkdir()
            make(running)
            running.rename(shared)
    return shared


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Workflow:
    """A workflow that `make` runs in a folder, once for all of the test processes.

    Each of them gets a copy, times of files included, since plans and tests write into its folder.
    Its config is that of the last call in `make`.
    """
    shared = locked_folder(factory, name, make)
    own = factory.mktemp(name)
    shutil.copytree(shared, own, dirs_exist_ok=True)
    return Workflow(own, yaml.safe_load((own / "config.yaml").read_text()))


def run_once(factory: pytest.TempPathFactory, name: str, *targets: str) -> Workflow:
    """A workflow of one of the tests' configs, run once for all of the test processes."""
    return made_once(factory, name, lambda folder: tiny(folder, name).run(*targets))


def run_further(
    factory: pytest.TempPathFactory, name: str, further: Callable[[Workflow], None]
) -> Workflow:
    """The finished tiny sky with what `further` runs in it, once for all of the test processes."""

    def make(folder: Path) -> None:
        shutil.copytree(run_once(factory, "tiny").folder, folder, dirs_exist_ok=True)
        further(tiny(folder))

    return made_once(factory, name, make)
