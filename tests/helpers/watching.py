"""Memory and open files of a running Snakemake and of its jobs, looked at every second."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

_SCRIPT = re.compile(r"/\.snakemake/scripts/tmp\w+\.(\w+)\.py$")
MB = 2**20


@dataclass
class Seen:
    """What was seen of a process: of each look the time, resident bytes and open files."""

    rule: str
    looks: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def began(self) -> float:
        """Time of the first look."""
        return self.looks[0][0]

    @property
    def memory(self) -> float:
        """Peak of the resident memory, in MB."""
        return max(look[1] for look in self.looks) / MB

    @property
    def files(self) -> int:
        """Peak of the number of open files."""
        return max(look[2] for look in self.looks)

    def quarters(self) -> list[tuple[float, int]]:
        """Peaks of memory (MB) and open files in each quarter of the time that it was seen."""
        first, last = self.looks[0][0], self.looks[-1][0] + 1e-9
        found = []
        for i in range(4):
            start, end = (first + (last - first) * (i + j) / 4 for j in (0, 1))
            part = [look for look in self.looks if start <= look[0] < end] or self.looks[-1:]
            found.append((max(m for _, m, _ in part) / MB, max(n for _, _, n in part)))
        return found


class Watch(threading.Thread):
    """Looks at a Snakemake and its jobs until `stop` is called.

    Parameters
    ----------
    process : int
        Snakemake's process number.
    interval : float
        Seconds between looks.
    """

    def __init__(self, process: int, interval: float = 1.0) -> None:
        super().__init__(daemon=True)
        self.root, self.interval = psutil.Process(process), interval
        self.main, self.jobs = Seen("snakemake"), dict[tuple[int, float], Seen]()
        self._ended = threading.Event()

    def run(self) -> None:
        """Look, and look again."""
        while not self._ended.wait(self.interval):
            with suppress(psutil.Error):
                _look(self.root, self.main)
            for process, rule in running_jobs(self.root):
                with suppress(psutil.Error):
                    key = process.pid, process.create_time()
                    _look(process, self.jobs.setdefault(key, Seen(rule)))
        self.jobs = {key: seen for key, seen in self.jobs.items() if seen.looks}

    def stop(self) -> None:
        """End looking."""
        self._ended.set()
        self.join()


def running_jobs(snakemake: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    """Processes that run a rule's script below a Snakemake, with the rule's name."""
    with suppress(psutil.Error):
        for process in snakemake.children(recursive=True):
            with suppress(psutil.Error):
                command = process.cmdline()
                script = _SCRIPT.search(command[-1]) if command else None
                if script and "python" in command[0]:
                    yield process, script[1]


def _look(process: psutil.Process, seen: Seen) -> None:
    """Add a look at a process."""
    with process.oneshot():
        seen.looks.append((time.monotonic(), process.memory_info().rss, process.num_fds()))
