"""Timing and memory of calls, and rows of the table of results.

Machines are shared and noisy. Two calls are therefore timed in turn, several times each, and the
ratio of their medians is reported.
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
        Medians of both calls, and whatever else explains the number.
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
        """Whether the mark is reached; True for a row without one."""
        if self.mark is None:
            return True
        return self.value <= self.mark if self.at_most else self.value >= self.mark


@dataclass(frozen=True)
class Pair:
    """Median times of two calls that were timed in turn (s)."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Time of the other call over ours."""
        return self.theirs / self.ours

    def __str__(self) -> str:
        return f"{_time(self.ours)} to {_time(self.theirs)}"


def paired(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int = REPEATS,
    warm: bool = True,
) -> Pair:
    """Time two calls in turn, after one of each that does not count.

    With `warm` False, every call of `theirs` counts: for calls so long that caches make no
    difference. One call of `ours` is left out even then.
    """
    ours()
    if warm:
        theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, taken in zip((ours, theirs), times, strict=True):
            taken.append(seconds(call))
    return Pair(*(statistics.median(taken) for taken in times))


def median_seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of a call (s), after one that does not count."""
    call()
    return statistics.median(seconds(call) for _ in range(repeats))


def seconds(call: Callable[[], object]) -> float:
    """Return the time of one call (s)."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_memory(imports: str, work: str, *arguments: str) -> float:
    """Return the peak resident memory of `work` above that of `imports`, in MB (10^6 byte).

    Both are Python source, run in a process of their own with `arguments` as ``sys.argv[1:]``.
    Pages of a mapped file count like any other.
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
