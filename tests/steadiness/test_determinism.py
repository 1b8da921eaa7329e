"""Same seed and config, same bytes: whatever the cores, the order of the fields, the load."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from astromodal.training.history import SPEEDS
from helpers.workflow import tiny

TARGETS = ("all", "embed", "predict", "export", "index")
WAYS = ("two cores", "other order", "busy machine")
"""Ways to run, each of which is compared with a run on one core."""
ASIDE = {"logs", "benchmarks", "inventory.json"}
"""Where a run's times and messages lie."""
TIMED = {
    "runs_tokens_transformer/history.jsonl",
    "evaluation/transformer.json",
    "report/report.html",
}
"""Files that tell how fast the training went."""
SUMMARY = "_summary.json"
"""End of the names of files that tell when a cube was written."""
BUSY = "while True: pass"


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Processes that do nothing as fast as they can."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def run(folder: Path, way: str, name: str = "tiny", targets: tuple[str, ...] = TARGETS) -> Path:
    """Run a sky in one of the ways, or on one core; its results."""
    folder.mkdir(parents=True, exist_ok=True)
    workflow = tiny(folder, name)
    workflow.timeout = 7200
    workflow.config["cpu_threads"] = 2
    if way == "other order":
        fields = workflow.config["simulate"]["fields"]
        workflow.config["simulate"]["fields"] = dict(reversed(fields.items()))
        workflow.config["tokenizers"]["fields"].reverse()
    with busy(2 if way == "busy machine" else 0):
        workflow.run(*targets, "--cores", "1" if way == "one core" else "2")
    return workflow.results


def files(results: Path) -> dict[str, bytes]:
    """Content of all files of a run by name, but for times and messages."""
    found = {path.relative_to(results): path for path in results.rglob("*") if path.is_file()}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in sorted(found.items())
        if name.parts[0] not in ASIDE and not is_checkpoint(name)
    }


def is_checkpoint(name: Path) -> bool:
    """Whether a training goes on from a file, which holds how fast the training was."""
    return name.name.startswith("checkpoint_step_")


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, bytes]:
    """The run on one core."""
    return files(run(tmp_path_factory.mktemp("alone"), "one core"))


@pytest.fixture(scope="module", params=WAYS)
def other(request, tmp_path_factory) -> Iterator[dict[str, bytes]]:
    """A run in another way."""
    folder = tmp_path_factory.mktemp("other")
    yield files(run(folder, request.param))
    shutil.rmtree(folder)


def test_the_same_files(alone, other):
    """No file more, none less."""
    assert list(other) == list(alone)


def test_the_same_bytes(alone, other):
    """Every file that holds no speed and no cube's time."""
    compared = [name for name in alone if name not in TIMED and not name.endswith(SUMMARY)]
    assert [name for name in compared if other[name] != alone[name]] == []


def test_the_same_summaries(alone, other):
    """All that is noted of a field but when its cube was written."""
    names = [name for name in alone if name.endswith(SUMMARY)]
    assert names
    assert [name for name in names if timeless(other[name]) != timeless(alone[name])] == []


def timeless(summary: bytes) -> dict:
    """A field's summary without the time of its cube."""
    values = json.loads(summary)
    del values["content"]["mtime_ns"], values["content_hash"]
    return values


def test_the_same_history(alone, other):
    """All losses and rates, bit by bit; speeds differ."""
    name = "runs_tokens_transformer/history.jsonl"
    first, second = (untimed(run[name].decode()) for run in (alone, other))
    assert first == second


def untimed(history: str) -> list[dict]:
    """Entries of a history without speeds, and without the check of a line that holds them."""
    timed, entries = {*SPEEDS, "crc32"}, map(json.loads, history.splitlines())
    return [{k: v for k, v in entry.items() if k not in timed} for entry in entries]
