"""A finished run to compare with, copies of it, and the tally of the interruptions."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.workflow import locked_folder
from interruptions.disks import mounted
from interruptions.sky import Interrupted, make, sky

TALLY = pytest.StashKey[Counter]()
ENDS = ("same result", "named error", "library aborts", "lost")


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Interrupted:
    """An uninterrupted run of everything; nobody changes it."""
    return sky(locked_folder(tmp_path_factory, "reference", make))


def copied(reference: Interrupted, folder: Path) -> Interrupted:
    """The finished run in another folder, times of files included; its jobs note nothing."""
    for name in ("results", ".snakemake"):
        shutil.copytree(reference.folder / name, folder / name, dirs_exist_ok=True)
    return sky(folder)


@pytest.fixture
def finished(reference, tmp_path) -> Interrupted:
    """A copy of the finished run."""
    return copied(reference, tmp_path)


@pytest.fixture
def on_small_disk(reference, tmp_path) -> Iterator[Interrupted]:
    """A copy of the finished run whose results are a disk of their own, with 40 MB to spare."""
    size = sum(path.stat().st_size for path in reference.results.rglob("*")) + (40 << 20)
    with mounted(tmp_path / "results", size):
        yield copied(reference, tmp_path)


@pytest.fixture(scope="session")
def tally(pytestconfig):
    """Count an interruption of a kind and how it ended, one of `ENDS`."""
    counts = pytestconfig.stash.setdefault(TALLY, Counter())

    def add(kind: str, end: str, number: int = 1) -> None:
        counts[kind, end] += number

    return add


def pytest_terminal_summary(terminalreporter, config):
    """Print the table of docs/reliability.md."""
    counts = config.stash.get(TALLY, Counter())
    for number, kind in enumerate(dict.fromkeys(kind for kind, _ in counts)):
        if not number:
            terminalreporter.section("interruptions")
            terminalreporter.line(f"| interruption | number | {' | '.join(ENDS)} |")
            terminalreporter.line("| --- | --- | --- | --- | --- | --- |")
        found = [counts[kind, end] for end in ENDS]
        cells = " | ".join(f"{n:,}" for n in (sum(found), *found))
        terminalreporter.line(f"| {kind} | {cells} |")
