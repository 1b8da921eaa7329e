"""Limits of the system, lowered for a test."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def few_files(more: int) -> Iterator[None]:
    """Inside, this process may open so many files more than it has open, as by ``ulimit -n``."""
    kind = resource.RLIMIT_NOFILE
    before = resource.getrlimit(kind)
    highest = max(int(number) for number in os.listdir("/proc/self/fd"))
    resource.setrlimit(kind, (highest + 1 + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)
