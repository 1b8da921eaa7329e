"""Temporary files of killed writers are deleted, and no others."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from astromodal.errors import MachineError
from astromodal.storage import tempfiles
from astromodal.storage.tempfiles import (
    ABANDONED,
    atomic_path,
    clear_leftovers,
    machine,
    scratch_folder,
)

WRITER = """
import os, signal, sys
from astromodal.storage.tempfiles import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""

SCRATCH = """
import os, signal, sys
from astromodal.storage.tempfiles import scratch_folder
with scratch_folder(sys.argv[1]) as folder:
    (folder / "spectra.arrow").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_writer(path: Path, source: str = WRITER) -> Path:
    """What a process left that was killed while it wrote to `path`."""
    subprocess.run([sys.executable, "-c", source, str(path)], check=False)
    (left,) = path.parent.iterdir()
    return left


def of_machine(path: Path, name: str) -> Path:
    """Temporary file of another machine."""
    return path.rename(path.with_name(path.name.replace(machine(), name)))


def aged(path: Path, seconds: float) -> Path:
    """File with an older modification time."""
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_a_killed_writer_s_file_goes(tmp_path):
    """Temporary files of ended processes are deleted at any depth."""
    folder = tmp_path / "outputs/deep"
    folder.mkdir(parents=True)
    killed_writer(folder / "a.npz")
    assert clear_leftovers(tmp_path) == 1
    assert list(folder.iterdir()) == []


def test_a_live_writer_s_file_stays(tmp_path):
    """The temporary file of a running process remains, however old."""
    with atomic_path(tmp_path / "a.npz") as temporary:
        temporary.write_text("half")
        aged(temporary, 100 * ABANDONED)
        assert clear_leftovers(tmp_path) == 0
    assert (tmp_path / "a.npz").read_text() == "half"


def test_a_process_of_somebody_else_lives(monkeypatch):
    """A process that may not be signalled runs."""

    def refuse(process: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert tempfiles._runs(1)


@pytest.mark.parametrize(("seconds", "cleared"), [(ABANDONED / 2, 0), (ABANDONED * 2, 1)])
def test_another_machine_s_file_goes_after_a_day(tmp_path, seconds, cleared):
    """Its processes cannot be seen from here: only the time of the last write decides."""
    aged(of_machine(killed_writer(tmp_path / "a.npz"), "0123abcd"), seconds)
    assert clear_leftovers(tmp_path) == cleared


@pytest.mark.parametrize(
    "name", ["a.npz", ".hidden", ".a.npz.tmp", ".a.npz.abcdefgh.npz", ".0123abcd-1.npz"]
)
def test_other_files_stay(tmp_path, name):
    """Files whose names are not temporary ones remain, hidden or old."""
    (tmp_path / name).touch()
    aged(tmp_path / name, 100 * ABANDONED)
    assert clear_leftovers(tmp_path) == 0


def test_below_a_link(tmp_path):
    """Links are followed to other disks, also if they form a circle."""
    disk, results = tmp_path / "disk", tmp_path / "results"
    for folder in (disk, results):
        folder.mkdir()
    (results / "run").symlink_to(disk)
    (disk / "back").symlink_to(results)
    (disk / "inner").mkdir()
    left = killed_writer(disk / "inner/a.npz")
    assert clear_leftovers(results) == 1
    assert not left.exists()


def test_a_scratch_folder_goes_at_the_end(tmp_path):
    """It stands beside the file that it serves, and is deleted with what it holds."""
    with scratch_folder(tmp_path / "new/a.parquet") as folder:
        (folder / "spectra.arrow").touch()
        assert folder.parent == tmp_path / "new"
        assert clear_leftovers(tmp_path) == 0
        assert (folder / "spectra.arrow").exists()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_killed_writer_s_scratch_folder_goes(tmp_path):
    """A folder of an ended process is deleted with the files in it, as one."""
    left = killed_writer(tmp_path / "a.parquet", SCRATCH)
    assert left.is_dir()
    assert clear_leftovers(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds", "cleared"), [(ABANDONED / 2, 0), (ABANDONED * 2, 1)])
def test_another_machine_s_scratch_folder_goes_after_a_day(tmp_path, seconds, cleared):
    """The last write to one of its files decides: writing changes no time of the folder."""
    left = of_machine(killed_writer(tmp_path / "a.parquet", SCRATCH), "0123abcd")
    aged(left / "spectra.arrow", seconds)
    aged(left, 100 * ABANDONED)
    assert clear_leftovers(tmp_path) == cleared


def test_a_link_with_a_temporary_name_keeps_its_folder(tmp_path):
    """What it leads to is no scratch folder, and nothing in it is deleted."""
    disk, results = tmp_path / "disk", tmp_path / "results"
    disk.mkdir()
    results.mkdir()
    (disk / "kept.arrow").touch()
    left = killed_writer(results / "a.parquet", SCRATCH)
    shutil.rmtree(left)
    left.symlink_to(disk)
    assert clear_leftovers(results) == 0
    assert (disk / "kept.arrow").exists()


def test_a_full_disk_in_a_scratch_folder(tmp_path):
    """An error of the disk becomes the one that names the file to be written."""
    path = tmp_path / "a.parquet"
    said = f"{path} must be on a disk with room for it, got No space left on device"
    with pytest.raises(MachineError, match=re.escape(said)), scratch_folder(path):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")
