"""Copies of a finished workflow whose files have lost their times."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

DAY = 86_400.0


def without_times(source: Path, target: Path) -> None:
    """Copy a folder as ``cp -r`` does: each file gets the time of its copy."""
    shutil.copytree(source, target, copy_function=shutil.copyfile, symlinks=True)
    for path in everything(target):  # copytree gives folders their times
        if path.is_dir():
            os.utime(path)


def everything(folder: Path) -> Iterator[Path]:
    """All files and folders below a folder, in alphabetical order."""
    return iter(sorted(folder.rglob("*")))


def all_equal(folder: Path) -> None:
    """One time for all, as some stores give."""
    for path in everything(folder):
        os.utime(path, (1.7e9, 1.7e9))


def at_random(folder: Path) -> None:
    """Times of the last day, in any order."""
    draw, now = random.Random(1), time.time()
    for path in everything(folder):
        then = now - draw.uniform(0, DAY)
        os.utime(path, (then, then))


def backwards(folder: Path) -> None:
    """What comes first in the alphabet is the newest: results before what they are made from."""
    now = time.time()
    for n, path in enumerate(everything(folder)):
        os.utime(path, (now - n, now - n))
