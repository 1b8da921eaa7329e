"""Control groups of the kernel, which limit the memory that processes take together (root)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FIRST = Path("/sys/fs/cgroup/memory")
SECOND = Path("/sys/fs/cgroup")
"""Where groups of the first and second version are."""
UNLIMITED = {FIRST: "-1", SECOND: "max"}
LIMIT = {FIRST: "memory.limit_in_bytes", SECOND: "memory.max"}
PEAK = {FIRST: "memory.max_usage_in_bytes", SECOND: "memory.peak"}


@dataclass(frozen=True)
class MemoryGroup:
    """A group, and of which version it is."""

    folder: Path
    version: Path

    @property
    def joining(self) -> Path:
        """The file that a process writes its number into to be one of the group."""
        return self.folder / "cgroup.procs"

    def limit(self, size: int | None) -> None:
        """Let the group have so many bytes and no more, or any number."""
        text = UNLIMITED[self.version] if size is None else str(size)
        (self.folder / LIMIT[self.version]).write_text(text)

    def peak(self) -> int:
        """Most bytes that the group has had."""
        return int((self.folder / PEAK[self.version]).read_text())


@contextmanager
def memory_group(name: str) -> Iterator[MemoryGroup]:
    """A group of a test's own; skip the test where none may be made."""
    version = FIRST if FIRST.is_dir() else SECOND
    group = MemoryGroup(version / f"{name}-{os.getpid()}", version)
    try:
        group.folder.mkdir()
        group.limit(None)
        group.peak()
    except OSError as error:
        if group.folder.is_dir():
            group.folder.rmdir()
        pytest.skip(f"no control group of its own for this test: {error}")
    try:
        yield group
    finally:
        group.folder.rmdir()
