"""Times and metadata that a plan restores in a copied results folder, and those that it keeps."""

from __future__ import annotations

import errno as os_errors
import os
import shutil
import time
from pathlib import Path

import pytest

from astromodal.core.paths import Layout
from astromodal.errors import MachineError
from astromodal.reruns import copies
from astromodal.reruns.copies import (
    FOLDER,
    Places,
    make_folders,
    read_metadata,
    restore,
    update_inventory,
    write_metadata,
)
from astromodal.reruns.inventory import TIMESTAMP
from astromodal.storage.json_files import read_json
from helpers.copies import without_times

NOTE = (
    '{"rule": "encode", "input": ["results:split.npz"], "params": ["1"], '
    '"record_format_version": 6, "software_stack_hash": "", "input_checksums": {}}'
)
FIGURES = "evaluation/figures/images"
MADE = ("split.npz", "codes.npz", f"{FIGURES}/one.png", "benchmarks/encode.tsv")
"""Files in the order in which they were made, each an hour after the one before."""
HOUR = 3600 * 10**9
BEGAN = 1_700_000_000_123_456_789  # ns


class Run:
    """A results folder in the working folder, its plans and its runs."""

    def __init__(self, results="results"):
        self.paths, self.places, self.said = Layout(results), Places(results), []

    def file(self, name):
        return Path(self.paths.results, name)

    def times(self):
        """Time (ns) of each file and of the folder of figures, after the beginning."""
        return {name: self.file(name).stat().st_mtime_ns - BEGAN for name in (*MADE, FIGURES)}

    def end(self):
        """Write the inventory, as at the end of a run."""
        update_inventory(self.paths, self.places)

    def plan(self):
        """Restore a copy, as a plan does; return the logged lines."""
        self.said = []
        restore(self.paths, self.places, self.said.append)
        return self.said


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that has ended."""
    (tmp_path / "first").mkdir()
    monkeypatch.chdir(tmp_path / "first")
    run = Run()
    for n, name in enumerate(MADE):
        run.file(name).parent.mkdir(parents=True, exist_ok=True)
        run.file(name).write_text(name)
        os.utime(run.file(name), ns=(BEGAN + n * HOUR, BEGAN + n * HOUR))
    os.utime(run.file(FIGURES), ns=(BEGAN + 2 * HOUR, BEGAN + 2 * HOUR))
    make_folders()
    write_metadata(run.places, "codes.npz", NOTE)
    run.end()
    return run


@pytest.fixture
def copy(run, tmp_path, monkeypatch):
    """Another working folder with a copy of the results alone."""
    without_times(tmp_path / "first/results", tmp_path / "second/results")
    monkeypatch.chdir(tmp_path / "second")
    return Run()


EXPECTED = {name: n * HOUR for n, name in enumerate(MADE)} | {FIGURES: 2 * HOUR}


def test_the_folder_itself_is_not_looked_at(run, monkeypatch):
    """While the inventory has its own time, a plan does not read it."""
    monkeypatch.setattr(copies, "read_inventory", None)
    assert run.plan() == []


def test_a_copy_gets_its_times_back(copy):
    """Files, benchmarks and folders of figures, to the nanosecond; and a line says so."""
    assert copy.plan()[0] == ("results: a copy; restored the times of 4 unchanged files")
    assert copy.times() == EXPECTED


def test_a_copy_gets_snakemake_s_notes_back(copy):
    """Without them a changed setting would redo nothing."""
    assert copy.plan()[1] == "results: restored Snakemake's metadata of 1 files"
    assert read_metadata(copy.places, "codes.npz") == NOTE


def test_a_restored_file_counts_as_used(copy):
    """Restored files have a recent access time, so that scratch disks keep them."""
    before = time.time_ns()
    copy.plan()
    assert copy.file("split.npz").stat().st_atime_ns >= before


def test_everything_touched_is_as_a_copy(run):
    """As is done to keep files on a scratch disk."""
    for path in sorted(Path("results").rglob("*")):
        path.touch()
    assert "4 unchanged files" in run.plan()[0]
    assert run.times() == EXPECTED


def test_a_copy_is_restored_once(copy, monkeypatch):
    """After a restored plan, the next plan restores nothing."""
    copy.plan()
    monkeypatch.setattr(copies, "read_inventory", None)
    assert copy.plan() == []


def test_notes_that_came_along_stay(run, tmp_path, monkeypatch):
    """Where Snakemake's folder was copied too, only times are restored."""
    without_times(tmp_path / "first", tmp_path / "third")
    monkeypatch.chdir(tmp_path / "third")
    assert len(run.plan()) == 1
    assert run.times() == EXPECTED


def test_results_elsewhere_get_notes_and_keep_their_times(run, tmp_path, monkeypatch):
    """Another clone that runs on the same results, where a file was touched since."""
    results = str(tmp_path / "first/results")
    os.utime(run.file("split.npz"))
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    clone = Run(results)
    touched = clone.times()
    assert clone.plan() == [f"{results}: restored Snakemake's metadata of 1 files"]
    assert clone.times() == touched
    assert results in read_json(copies._SEEN)


def test_a_file_touched_elsewhere_gets_no_note(run, tmp_path, monkeypatch):
    """A file that another process wrote since has no metadata."""
    os.utime(run.file("codes.npz"))
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    clone = Run(str(tmp_path / "first/results"))
    assert clone.plan() == [f"{clone.paths.results}: restored Snakemake's metadata of 0 files"]


def test_a_changed_file_is_the_newest(copy):
    """A changed file of the same size and an old time becomes the newest, so that jobs rerun."""
    copy.file("split.npz").write_text("SPLIT.npz")
    os.utime(copy.file("split.npz"), ns=(5, 5))
    assert "3 unchanged files" in copy.plan()[0]
    assert copy.said[0].endswith("; 1 have another content, and count as new")
    times = copy.times()
    assert times.pop("split.npz") > max(times.values())
    assert times == {name: EXPECTED[name] for name in times}


def test_changed_figures_make_their_folder_new(copy):
    """Snakemake goes by the folder's time."""
    copy.file(f"{FIGURES}/one.png").write_text("another")
    copy.plan()
    assert copy.times()[FIGURES] > EXPECTED["benchmarks/encode.tsv"]


def test_a_deleted_file_is_counted(copy):
    """A missing file is counted and not restored: Snakemake makes it where a job needs it."""
    copy.file("codes.npz").unlink()
    assert copy.plan()[0].endswith("files; 1 are missing")


def test_a_changed_file_gets_no_note(copy):
    """The metadata of the old content does not describe the new one."""
    copy.file("codes.npz").write_text("other")
    copy.plan()
    assert read_metadata(copy.places, "codes.npz") is None


def test_a_file_that_no_run_has_seen_keeps_its_time(copy):
    """One that was made since, or that a user put there."""
    copy.file("new.npz").touch()
    os.utime(copy.file("new.npz"), ns=(5, 5))
    copy.plan()
    assert copy.file("new.npz").stat().st_mtime_ns == 5


def test_times_of_a_clock_that_is_ahead_come_to_lie_in_the_past(copy, monkeypatch):
    """In their order: Snakemake fails a job whose inputs are of the future."""
    now = BEGAN + HOUR
    monkeypatch.setattr(copies.time, "time_ns", lambda: now)
    copy.file("split.npz").write_text("SPLIT.npz")
    copy.plan()
    times = copy.times()
    assert times.pop("split.npz") == now - BEGAN
    assert max(times.values()) < now - BEGAN
    assert sorted(times, key=times.get) == sorted(times, key=EXPECTED.get)
    assert times["benchmarks/encode.tsv"] - times["codes.npz"] == 2 * HOUR


def test_a_touched_folder_gets_back_the_time_that_counts(run, tmp_path, monkeypatch):
    """That of the file that `snakemake --touch` leaves in it; or of the folder, without it."""
    os.utime(run.file(FIGURES), ns=(5, 5))
    (run.file(FIGURES) / TIMESTAMP).touch()
    os.utime(run.file(FIGURES) / TIMESTAMP, ns=(BEGAN, BEGAN))
    run.end()
    for name in ("with", "without"):
        without_times(tmp_path / "first", tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        if name == "without":
            (run.file(FIGURES) / TIMESTAMP).unlink()
        run.plan()
        assert run.times()[FIGURES] == 0
        if name == "with":
            assert (run.file(FIGURES) / TIMESTAMP).stat().st_mtime_ns == BEGAN


def test_an_empty_folder_is_made_again(run, tmp_path, monkeypatch):
    """A section without figures has one, which a store of objects does not know."""
    empty = run.file("evaluation/figures/none")
    empty.mkdir()
    os.utime(empty, ns=(BEGAN, BEGAN))
    run.end()
    without_times(tmp_path / "first", tmp_path / "third")
    monkeypatch.chdir(tmp_path / "third")
    empty.rmdir()
    shutil.rmtree(run.file("benchmarks"))
    run.plan()
    assert empty.stat().st_mtime_ns == BEGAN
    assert not run.file("benchmarks").exists()


def test_behind_a_link_nothing_is_touched(run, tmp_path, monkeypatch):
    """A folder that results link to may be another run's, and a file too."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("a.npz", "b.npz"):
        (outside / name).touch()
        os.utime(outside / name, ns=(5, 5))
    run.file("linked").symlink_to(outside)
    run.file("link.npz").symlink_to(outside / "b.npz")
    run.end()
    without_times(tmp_path / "first", tmp_path / "third")
    monkeypatch.chdir(tmp_path / "third")
    os.utime(outside / "a.npz", ns=(6, 6))
    run.plan()
    assert (outside / "a.npz").stat().st_mtime_ns == 6
    assert (outside / "b.npz").stat().st_mtime_ns == 5
    then = Path(tmp_path, "first/results/link.npz").lstat().st_mtime_ns
    assert run.file("link.npz").lstat().st_mtime_ns == then


def test_results_may_be_a_link(run, tmp_path, monkeypatch):
    """A results folder on another disk is restored as any other."""
    without_times(tmp_path / "first/results", tmp_path / "disk")
    (tmp_path / "third").mkdir()
    monkeypatch.chdir(tmp_path / "third")
    Path("results").symlink_to(tmp_path / "disk")
    run.plan()
    assert run.times() == EXPECTED


def test_a_copy_of_another_run_in_the_same_place_brings_its_notes(copy, run, tmp_path):
    """Metadata of other results in the same place is replaced."""
    copy.plan()
    write_metadata(copy.places, "codes.npz", NOTE.replace('"1"', '"2"'))
    copy.end()
    shutil.rmtree("results")
    without_times(tmp_path / "first/results", Path("results"))
    copies._mark("results", 5)  # of the run that was here
    copy.plan()
    assert read_metadata(copy.places, "codes.npz") == NOTE


@pytest.mark.parametrize("code", ["EPERM", "EROFS"])
def test_a_folder_that_may_not_be_written_to_is_refused(copy, monkeypatch, code):
    """In one line: planned by the copy's times, the long trainings would run again."""

    def refuse(path, **_):
        raise OSError(getattr(os_errors, code), "no", str(path))

    before = copy.times()
    monkeypatch.setattr(copies.os, "utime", refuse)
    with pytest.raises(
        MachineError,
        match=r"^results: a copy whose file times must .* must be .*; or delete results/inv",
    ):
        copy.plan()
    assert copy.times() == before


def test_a_damaged_inventory_is_said(copy):
    """In one line; the end of the next run writes another."""
    copy.file("inventory.json").write_text("{")
    (line,) = copy.plan()
    assert line.startswith("results/inventory.json must be a JSON file")
    assert line.endswith(
        "until a run has ended, plans use file times and Snakemake's metadata here"
    )
    copy.end()
    assert copy.plan() == []


def test_results_without_inventory_and_notes_are_said(copy):
    """Those of an earlier release, copied without Snakemake's folder."""
    copy.file("inventory.json").unlink()
    assert copy.plan() == []
    copy.file("last_run.json").write_text("{}")
    (line,) = copy.plan()
    assert line.startswith("results: made elsewhere")
    assert line.endswith("type snakemake --forcerun RULE")
    make_folders()
    assert copy.plan() == []


def test_an_inventory_of_the_same_is_not_written_again(run):
    """The end of a run that changed nothing leaves it."""
    before = run.file("inventory.json").stat()
    run.end()
    assert run.file("inventory.json").stat().st_ino == before.st_ino


def test_notes_of_files_that_stand_are_kept(run):
    """Where Snakemake's own notes are gone, those of the inventory stay."""
    shutil.rmtree(FOLDER)
    run.file("new.npz").touch()
    run.end()
    shutil.rmtree(FOLDER)
    assert run.plan() == ["results: restored Snakemake's metadata of 1 files"]


def test_no_time_is_of_the_future(copy):
    """A changed file gets the time of this machine's clock."""
    copy.file("split.npz").write_text("SPLIT.npz")
    copy.plan()
    assert copy.file("split.npz").stat().st_mtime_ns <= time.time_ns()
