"""The good cube, what the jobs make of it, and the tally of the faults that were injected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from astromodal.sequences.tokenizers import Tokenizers
from faults.jobs import FIELD, Outcome, good_table, run_jobs, tokenizers, write

settings.register_profile("faults", parent=settings.get_profile("astromodal"), max_examples=2000)
TALLY = pytest.StashKey[Counter]()


@dataclass(frozen=True)
class Good:
    """The good cube and its outcome."""

    path: Path
    fitted: Tokenizers
    outcome: Outcome


@pytest.fixture(scope="session")
def good(tmp_path_factory) -> Good:
    folder = tmp_path_factory.mktemp("good")
    path = folder / f"datacube_{FIELD}.parquet"
    write(good_table(), path)
    fitted = tokenizers(path)
    return Good(path, fitted, run_jobs(path, fitted, folder))


@pytest.fixture(scope="session")
def tally(pytestconfig):
    """Count a fault of a kind and how it ended: "right", "refused" or "lost"."""
    counts = pytestconfig.stash.setdefault(TALLY, Counter())

    def add(kind: str, end: str) -> None:
        counts[kind, end] += 1

    return add


def pytest_terminal_summary(terminalreporter, config):
    """Print the table of docs/reliability.md."""
    counts = config.stash.get(TALLY, Counter())
    ends = ("right", "refused", "lost")
    for number, kind in enumerate(dict.fromkeys(kind for kind, _ in counts)):
        if not number:
            terminalreporter.section("faults")
            terminalreporter.line("| fault | injected | right result | named error | lost |")
            terminalreporter.line("| --- | --- | --- | --- | --- |")
        found = [counts[kind, end] for end in ends]
        cells = " | ".join(f"{n:,}" for n in (sum(found), *found))
        terminalreporter.line(f"| {kind} | {cells} |")
