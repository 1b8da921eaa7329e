"""Small disks in memory, to be filled or made read-only (root)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """Inside, `folder` is a disk of `size` bytes; skip the test where none may be mounted."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk of its own for this test: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Inside, nothing can be written to a disk of `mounted`."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def filled(disk: Path, left: int) -> Iterator[None]:
    """Inside, a disk has room for the whole pages of `left` bytes, and no more."""
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    with ballast.open("wb") as stream:
        os.posix_fallocate(
            stream.fileno(), 0, (room.f_bavail - left // room.f_frsize) * room.f_frsize
        )
    try:
        yield
    finally:
        ballast.unlink()
