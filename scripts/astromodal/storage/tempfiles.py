"""Atomic writing of files, and removal of temporary files that killed processes left.

A file has a temporary name while it is written, which holds the machine and the process of the
writer; so has a folder of scratch files. If the process is killed, they remain. At its end, a run
deletes those of processes of its own machine that have ended. It cannot see the processes of
other machines: it deletes their temporary files once nothing was written to them for a day. If a
writer is still alive (its machine slept for a day), it fails with an error and damages no file, as
no two writers share a temporary name.
"""

from __future__ import annotations

import errno
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
"""Time (s) without a write after which a temporary file of another machine is deleted."""
_NAME: Final = re.compile(r"\..+\.(?P<machine>[0-9a-f]{8})-(?P<process>\d{1,7})\.\w{8}(\.\w+)?")


def temporary_prefix(path: Path) -> str:
    """Return the prefix of this process's temporary names for `path`."""
    return f".{path.name}.{machine()}-{os.getpid()}."


@cache
def machine() -> str:
    """Return eight hexadecimal digits that identify the numbering of processes.

    The numbering changes with the host, at each of its starts, and between containers.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):  # only Linux has these files
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()


def is_temporary(name: str) -> bool:
    """Return whether a file name is a temporary one, of any process."""
    return _NAME.fullmatch(name) is not None


def clear_leftovers(folder: str | Path) -> int:
    """Delete temporary files and scratch folders of killed processes below a folder.

    Links are followed. A link with a temporary name is no folder of a process.

    Returns
    -------
    int
        Number of deleted files and folders. Those that may not be deleted remain.
    """
    cleared = 0
    seen = set[str]()
    for parent, inner, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # links in a circle
            inner.clear()
            continue
        seen.add(real)
        scratch = [name for name in inner if is_temporary(name)]
        inner[:] = [name for name in inner if name not in scratch]
        for path in (Path(parent, name) for name in (*names, *scratch)):
            with suppress(OSError):
                if _is_left_over(path):
                    _remove(path)
                    cleared += 1
    return cleared


def _remove(path: Path) -> None:
    """Delete a file, or a folder of files; a folder with folders in it stays."""
    if path.is_dir():
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
    else:
        path.unlink()


def _is_left_over(path: Path) -> bool:
    """Return whether a file or folder is a temporary one whose writer has ended."""
    match = _NAME.fullmatch(path.name)
    if match is None or (path.is_symlink() and path.is_dir()):
        return False
    if match["machine"] == machine():
        return not _runs(int(match["process"]))
    written = max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
    return time.time() - written > ABANDONED


def _runs(process: int) -> bool:
    """Return whether a process of this number runs here, of any user."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def storing(path: str | Path) -> Iterator[None]:
    """Turn errors of a full, read-only or broken disk into a `MachineError` that names `path`."""
    try:
        yield
    except Exception as error:
        explained = machine_error(error, path)
        if explained is None or explained is error:
            raise
        raise explained from error


def check_writable(folder: str | Path) -> None:
    """Create a folder if it does not exist; raise `MachineError` if it cannot be written to."""
    folder = _linked(folder)
    with storing(folder):
        make_folder(Path(folder))
        tempfile.TemporaryFile(dir=folder).close()


def _linked(path: str | Path) -> Path:
    """Return the target of a symbolic link to a folder, which can be created; other paths as is.

    Raises
    ------
    MachineError
        If the folder above the target does not exist, as when a disk is not mounted.
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        must, do = "a link into a folder that is there", "mount that disk, or repair the link"
        raise MachineError(must_be(str(path), must, f"one to {target}", do))
    return target


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, such that they are there after a power cut."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Syncing a file makes its content durable, not its name (POSIX, ``fsync``). File systems that
    cannot sync folders, such as some network disks, are left to themselves.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` when the block ends.

    Content and name are then on the disk: a power cut leaves the older file or the new one.
    After an error the temporary file is deleted, and an older file at `path` is unchanged. If
    `path` is a symbolic link, the file replaces the link, not its target. `clear_leftovers` deletes
    what a killed process leaves.

    Raises
    ------
    MachineError
        If the disk is full, read-only or broken.
    """
    path = Path(path)
    with storing(path):
        make_folder(path.parent)
        handle, name = tempfile.mkstemp(path.suffix, temporary_prefix(path), path.parent)
        os.fchmod(handle, 0o600)  # the umask may deny even the owner
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
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(path: str | Path) -> Iterator[Path]:
    """Yield a folder beside `path` for what is needed until that file is written.

    The folder is deleted at the end. `clear_leftovers` deletes that of a killed process.

    Raises
    ------
    MachineError
        If the disk is full, read-only or broken.
    """
    path = Path(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=temporary_prefix(path), dir=path.parent) as name:
            yield Path(name)


def write_text(path: str | Path, text: str) -> None:
    """Write text to a UTF-8 file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
