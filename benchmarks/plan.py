"""Time plans: ``python -m benchmarks.plan [FIELDS ...]``, by default up to 2,444 fields.

A survey of stand-in cubes of one row and as many columns as real ones have, of which two train.
Its plan is timed from scratch, which reads their footers, with nothing to do, and with one cube
changed; with nothing to do means that all outputs are there, empty, and that Snakemake has records
of them as after a run, written by its own code. The records are files first, and then in a database
(`--persistence-backend db`). A quarter of a survey is planned by `--batch`, and by its fields.
Every plan is a process of its own, whose time and peak memory count.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from astromodal.config.load import load_config
from astromodal.data.columns import cube_columns
from benchmarks.harness import ROOT

FIELDS = (300, 1000, 2444)
DATABASE = ("--persistence-backend", "db")
BATCH = ("encode", "--batch", "encode=1/4")
COLUMNS = 748
"""Columns of a real cube."""
SECONDS, MEGABYTES = 60.0, 2000.0
"""What each plan may take at most."""
_FINISH = """
import sys
from pathlib import Path
from snakemake.cli import main
from snakemake.settings.types import ExecutionSettings
from snakemake.workflow import Workflow

def finish(self):
    self.execution_settings = ExecutionSettings()
    self._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
    self._build_dag()
    for level in self.dag.toposorted():
        for job in level:
            for file in job.output:
                path = Path(file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir(exist_ok=True) if file.is_directory else path.touch()
            self.async_run(self.persistence.finished(job))

Workflow.printdag = finish
main(sys.argv[1:])
"""
"""Snakemake, whose `--dag` writes records and empty outputs of all jobs instead of a graph."""


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit status is 1 where a plan takes too long or too much memory."""
    print("| fields | plan | jobs | s | CPU s | MB |\n| --- | --- | --- | --- | --- | --- |")
    worst = (0.0, 0.0)
    for n in map(int, arguments or map(str, FIELDS)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _survey(folder, n)
            quarter = ("encode", "--config", f"fields=[{', '.join(_names(n)[: n // 4])}]")
            for what, prepare, options in (
                ("from scratch", None, ()), ("a batch of four, `encode`", None, BATCH),
                ("a quarter of the fields, `encode`", None, quarter),
                ("nothing to do", _finish, ()), ("one cube changed", _change, ()),
                ("nothing to do, records in a database", _finish, DATABASE),
            ):  # fmt: skip
                if prepare:
                    prepare(folder, options)
                jobs, seconds, busy, memory = _plan(folder, options)
                print(
                    f"| {n:,} | {what} | {jobs:,} | {seconds:.1f} | {busy:.1f} | {memory:.0f} |",
                    flush=True,
                )
                worst = (max(worst[0], seconds), max(worst[1], memory))
            print(f"\nRecords: {_records(folder)}\n", flush=True)
    return int(worst[0] > SECONDS or worst[1] > MEGABYTES)


def _survey(folder: Path, n: int) -> None:
    """Stand-in cubes and a config."""
    (folder / "cubes").mkdir()
    pq.write_table(_stand_in(1), folder / "cube.parquet")
    for name in _names(n):
        shutil.copy(folder / "cube.parquet", folder / f"cubes/datacube_{name}.parquet")
    config = {
        "paths": {"results": "results", "datacube_template": "cubes/datacube_{field}.parquet"},
        "tokenizers": {"fields": ["F00000", "F00001"]},
        "evaluation": {"fields": ["F00002", "F00003"]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def _names(n: int) -> list[str]:
    """Names of the fields."""
    return [f"F{i:05d}" for i in range(n)]


def _records(folder: Path) -> str:
    """What Snakemake's records of all jobs take, as files and in a database."""
    files = [path for path in (folder / ".snakemake/metadata").rglob("*") if path.is_file()]
    blocks = sum(path.stat().st_blocks for path in files) * 512 / 1e6
    database = sum(path.stat().st_size for path in (folder / ".snakemake").glob("*.db*")) / 1e6
    return f"{len(files):,} files on {blocks:.0f} MB of disk; a database of {database:.0f} MB"


def _stand_in(rows: int) -> pa.Table:
    """A cube of columns that are read, and of others beside them."""
    values = {"list": [[0.0]], "id": ["a"], "number": [0.0]}
    read = {c.name: c for own in cube_columns(load_config()).values() for c in own}
    columns = {name: values.get(column.kind, ["a"]) * rows for name, column in read.items()}
    others = {f"other_{i}": [0.0] * rows for i in range(COLUMNS - len(columns))}
    return pa.table(columns | others)


def _options(folder: Path) -> list[str]:
    return [
        "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder),
        "--configfile", str(folder / "config.yaml"),
        "--workflow-profile", str(ROOT / "profiles/default"),
    ]  # fmt: skip


def _finish(folder: Path, options: Sequence[str]) -> None:
    """Empty outputs and records of all jobs."""
    command = [sys.executable, "-c", _FINISH, "--dag", *options, *_options(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])


def _change(folder: Path, _: Sequence[str]) -> None:
    """Replace the cube of one field."""
    pq.write_table(_stand_in(2), folder / "cubes/datacube_F00009.parquet")


def _plan(folder: Path, options: Sequence[str]) -> tuple[int, float, float, float]:
    """Jobs, time (s), time on cores (s) and peak memory (MB) of a dry run."""
    with (folder / "plan").open("w+") as stream:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *options, "--dry-run", "--quiet", "rules",
             *_options(folder)],
            stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        stream.seek(0)
        text = stream.read()
    if status:
        raise SystemExit(text[-2000:])
    totals = [line.split()[1] for line in text.splitlines() if line.startswith("total ")]
    jobs, busy = int(totals[0]) if totals else 0, usage.ru_utime + usage.ru_stime
    return jobs, seconds, busy, usage.ru_maxrss / 1e3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
