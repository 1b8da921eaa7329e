"""Power cuts, on a file system that keeps only what was synced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.tempfiles import atomic_path, is_temporary, write_text
from astromodal.training.checkpoint import _move
from faults.forgetful import Disk, forgetful


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    with forgetful(tmp_path / "disk") as mounted:
        if mounted is None:
            pytest.skip("no file system of its own for this test: root and Debian's libfuse2")
        yield mounted


def names(disk: Disk) -> set[str]:
    """Files of a disk, but for its own mark and temporary ones."""
    found = (path for path in disk.folder.rglob("*") if path.is_file())
    return {str(p.relative_to(disk.folder)) for p in found if not p.name.startswith(".")}


def test_what_is_not_synced_is_lost(disk):
    """The file system is a hard one: neither content nor name survive by themselves."""
    path = disk.folder / "plain.txt"
    path.write_text("old")
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
    disk.cut()
    assert names(disk) == set()


def test_a_file_is_there_after_the_writer_has_returned(disk):
    """So are the folders that were made for it."""
    write_text(disk.folder / "results/outputs/a.txt", "whole")
    disk.cut()
    assert (disk.folder / "results/outputs/a.txt").read_text() == "whole"


def test_the_newer_file_replaces_the_older_one(disk):
    """After each write, a cut leaves the last one."""
    for text in ("first", "second"):
        write_text(disk.folder / "a.txt", text)
        disk.cut()
        assert (disk.folder / "a.txt").read_text() == text


def test_a_cut_in_the_middle_leaves_the_older_file(disk):
    """What was written until then is lost, and no half of it is in its place."""
    path = disk.folder / "a.npz"
    save_arrays(path, {"x": np.arange(5)}, format="test", version=1)

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            disk.cut()

    with pytest.raises(FileNotFoundError, match="No such file"):
        write()
    assert names(disk) == {"a.npz"}
    found = load_arrays(path, format="test", version=1).arrays["x"]
    assert found.tolist() == [0, 1, 2, 3, 4]
    assert not [p for p in disk.folder.iterdir() if is_temporary(p.name)]


def test_a_cut_before_the_new_name_is_on_the_disk(disk, monkeypatch):
    """The older file is there, whole, where the folder was not synced in time."""
    path = disk.folder / "a.txt"
    write_text(path, "old")
    monkeypatch.setattr("astromodal.storage.tempfiles.sync_folder", lambda _: disk.cut())
    write_text(path, "new")
    assert path.read_text() == "old"


def test_checkpoints_that_are_set_aside_are_kept(disk):
    """They are in the one folder or the other, and in the new one once they were moved."""
    source, target = disk.folder / "run", disk.folder / "run/aside/other"
    for step in (1, 2):
        write_text(source / f"checkpoint_step_{step}.pt", str(step))
    _move(source, target)
    disk.cut()
    assert {Path(name).name for name in names(disk)} == {
        "checkpoint_step_1.pt", "checkpoint_step_2.pt",
    }  # fmt: skip
    assert (target / "checkpoint_step_2.pt").read_text() == "2"
