"""Temporary files of writers that were killed.

A file that is being written has a temporary name, which tells who writes it: on which machine, and
by which process. Where that process was killed, the file stays. A run clears such files away at its
end: those of processes of its own machine that are no more, and of other machines, whose processes
it cannot see, those that nothing was written to for a day. No two writers share a temporary name,
so that a file that is cleared away from a live one, of a machine that slept for a day, ends that
writer with an error and damages nothing.
"""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

ABANDONED: Final = 86_400.0
"""Seconds without a write after which another machine's file counts as left over."""
_NAME: Final = re.compile(r"\..+\.(?P<machine>[0-9a-f]{8})-(?P<process>\d{1,7})\.\w{8}(\.\w+)?")


def temporary_prefix(path: Path) -> str:
    """The beginning of a temporary name for `path`, as this process writes it."""
    return f".{path.name}.{machine()}-{os.getpid()}."


@cache
def machine() -> str:
    """Eight digits for where process numbers mean what they mean here.

    That is this host since it was started and, in a container, the container's own numbering.
    """
    seen = [socket.gethostname()]
    with suppress(OSError):  # Linux alone tells them
        seen.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        seen.append(os.readlink("/proc/self/ns/pid"))
    return blake2b("\n".join(seen).encode(), digest_size=4).hexdigest()


def is_temporary(name: str) -> bool:
    """Whether a file's name is one of `temporary_prefix`, whoever writes or wrote it."""
    return _NAME.fullmatch(name) is not None


def clear_leftovers(folder: str | Path) -> int:
    """Delete what killed writers left anywhere below a folder, and below folders linked there.

    Returns
    -------
    int
        How many files were deleted. One that may not be deleted stays.
    """
    cleared = 0
    seen = set[str]()
    for parent, inner, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # links in a circle
            inner.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(parent, name)
            with suppress(OSError):
                if _is_left_over(path):
                    path.unlink()
                    cleared += 1
    return cleared


def _is_left_over(path: Path) -> bool:
    """Whether a file is a temporary one that nobody writes any more."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return False
    if found["machine"] == machine():
        return not _runs(int(found["process"]))
    return time.time() - path.lstat().st_mtime > ABANDONED


def _runs(process: int) -> bool:
    """Whether a process of a number runs here, whoever's it is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
