"""Files that appear whole or not at all, and what killed writers leave behind.

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
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from astromodal.errors import MachineError, machine_error, must_be

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


@contextmanager
def storing(path: str | Path) -> Iterator[None]:
    """Inside, a full, read-only or broken disk is an error that names `path` and what to do."""
    try:
        yield
    except Exception as error:
        told = machine_error(error, path)
        if told is None or told is error:
            raise
        raise told from error


def check_writable(folder: str | Path) -> None:
    """Raise `MachineError` where no file can be made in a folder, which is made where it is not."""
    folder = _linked(folder)
    with storing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def _linked(path: str | Path) -> Path:
    """The folder that a symbolic link leads to; a link itself cannot be made a folder.

    Any other path is given back as it is.

    Raises
    ------
    MachineError
        Where not even the folder that it should be in is there: a disk is not mounted.
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        must, do = "a link into a folder that is there", "mount that disk, or mend the link"
        raise MachineError(must_be(str(path), must, f"one to {target}", do))
    return target


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it to `path` at the end.

    The file appears whole or not at all: after an error nothing is left, and an older file stands.
    Where `path` is a symbolic link, the file takes its place, and what it leads to stays as it is.
    What a killed process leaves, `clear_leftovers` finds by its name.

    Raises
    ------
    MachineError
        Where the disk is full, read-only or broken.
    """
    path = Path(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(path.suffix, temporary_prefix(path), path.parent)
        os.fchmod(handle, 0o600)  # whatever the mask says, which may take the owner's own rights
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask | 0o600)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
