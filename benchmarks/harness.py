"""How a benchmark measures, and what it reports.

Machines are shared and noisy, so two ways are timed in turn, one call each, several times over, and
the ratio of their medians is what counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPEATS = 5
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Row:
    """One line of the table of results.

    Attributes
    ----------
    stage : str
        Stage of the workflow.
    what, against : str
        What was measured, and what it is compared with.
    value : float
        The measurement, in `unit`.
    unit : str
        ``×`` for a ratio of times, theirs over ours.
    mark : float, optional
        What the measurement must reach; None for a figure that is shown beside the marks.
    at_most : bool
        Whether the mark is an upper bound.
    detail : str
        Medians of both ways, and whatever else explains the number.
    """

    stage: str
    what: str
    against: str
    value: float
    unit: str = "×"
    mark: float | None = None
    at_most: bool = False
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether the mark is reached; a row without one always holds."""
        if self.mark is None:
            return True
        return self.value <= self.mark if self.at_most else self.value >= self.mark


@dataclass(frozen=True)
class Pair:
    """Medians of two ways that were timed in turn, in seconds."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times longer the other way takes."""
        return self.theirs / self.ours

    def __str__(self) -> str:
        return f"{_time(self.ours)} to {_time(self.theirs)}"


def paired(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int = REPEATS,
    warm: bool = True,
) -> Pair:
    """Time two ways in turn, after one call of each that does not count.

    Where a call takes so long that what is warm by its end makes no difference, `warm` is False and
    every call of theirs counts; ours is called once before, all the same.
    """
    ours()
    if warm:
        theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for way, taken in zip((ours, theirs), times, strict=True):
            taken.append(seconds(way))
    return Pair(*(statistics.median(taken) for taken in times))


def median_seconds(way: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of one way, after a call that does not count."""
    way()
    return statistics.median(seconds(way) for _ in range(repeats))


def seconds(way: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def peak_memory(imports: str, work: str, *arguments: str) -> float:
    """Peak resident memory of `work` above an interpreter that ran `imports`, in MB (10^6 byte).

    Both are Python source, run in a process of its own with `arguments` as ``sys.argv[1:]``; pages
    of a mapped file count as much as any other.
    """
    source = f"""
import re, sys
{imports}
def status(key):
    text = open("/proc/self/status").read()
    return int(re.search(key + r":\\s+(\\d+) kB", text)[1]) * 1024
open("/proc/self/clear_refs", "w").write("5")  # from here on the peak counts anew
before = status("VmRSS")
{work}
print(status("VmHWM") - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) / 1e6


def _time(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"
