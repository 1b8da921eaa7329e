"""The inventory of a results folder: what is in it, and what is read for it."""

from __future__ import annotations

import os

import pytest

from astromodal.core.paths import Layout
from astromodal.errors import FormatError
from astromodal.reruns import inventory
from astromodal.reruns.inventory import (
    TIMESTAMP,
    Entry,
    read_inventory,
    take_stock,
    write_inventory,
)
from astromodal.storage.json_files import write_json
from astromodal.storage.tempfiles import temporary_prefix


@pytest.fixture
def results(tmp_path):
    """A results folder with a code file, a benchmark and a section's figures."""
    folder = tmp_path / "results"
    for name in ("outputs/a.npz", "benchmarks/encode/a.tsv", "evaluation/figures/images/one.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    return folder


def stock(folder, known=None):
    """Return the entries of a folder."""
    return take_stock(Layout(str(folder)), known or {})


def names(folder):
    """Files, not folders, of an inventory."""
    return [name for name in stock(folder) if not name.endswith("/")]


EVERYTHING = ["benchmarks/encode/a.tsv", "evaluation/figures/images/one.png", "outputs/a.npz"]


def test_files_and_folders_are_listed(results):
    """Benchmarks too: Snakemake counts their time among a job's outputs'."""
    assert names(results) == EVERYTHING
    assert "evaluation/figures/images/" in stock(results)


@pytest.mark.parametrize(
    "name",
    [
        "logs/encode/a.log",
        "inventory.json",
        "last_run.json",
        "runs/checkpoint_step_5.pt",
        "runs/checkpoints.json",
        "runs/set_aside/one/final_model.pt",
        "runs/events.out.tfevents.1",
        ".snakemake/metadata/x",
        "demo/outputs/b.npz",
    ],
)
def test_what_no_rule_makes_is_left_out(results, name):
    """Logs, checkpoints, Snakemake's own folder, and another run's results below this one."""
    (results / name).parent.mkdir(parents=True, exist_ok=True)
    (results / name).write_text("x")
    if name.startswith("demo"):
        (results / "demo/last_run.json").write_text("{}")
    assert names(results) == EVERYTHING


def test_temporary_files_are_left_out(results):
    """Temporary files of running or killed writers are left out."""
    (results / "outputs" / f"{temporary_prefix(results / 'outputs/b.npz')}abcdefgh.npz").touch()
    assert names(results) == EVERYTHING


def test_a_file_that_is_being_written_is_left_out(results, monkeypatch):
    """A file that is another once it was read is not listed with a digest of neither."""
    digest = inventory.content_digest

    def slow(path, whole):
        if path.name == "a.npz":
            path.write_text("longer than before")
        return digest(path, whole)

    monkeypatch.setattr(inventory, "content_digest", slow)
    assert names(results) == EVERYTHING[:2]


def test_what_stands_is_not_read_again(results, monkeypatch):
    """A second inventory reads the one file that is new."""
    known, read = stock(results), []
    (results / "outputs/b.npz").write_text("b")
    digest = inventory.content_digest
    monkeypatch.setattr(
        inventory, "content_digest", lambda path, whole: read.append(path.name) or digest(path)
    )
    assert stock(results, known).keys() > known.keys()
    assert read == ["b.npz"]


def test_a_simulated_cube_is_read_whole(results, monkeypatch):
    """Simulated cubes are read whole, since a footer does not cover all values."""
    wholly = {}
    monkeypatch.setattr(
        inventory, "content_digest", lambda path, whole: wholly.setdefault(path.name, whole) and ""
    )
    for name in ("cubes/cube.parquet", "outputs/table.parquet"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).touch()
    stock(results)
    assert (wholly["cube.parquet"], wholly["table.parquet"]) == (True, False)


def test_a_folder_is_what_lies_in_it(results):
    """Another figure makes other figures; when the folder was made does not."""
    figures = results / "evaluation/figures/images"
    before = stock(results)["evaluation/figures/images/"]
    os.utime(figures, (1, 1))
    assert before.same_content(stock(results)["evaluation/figures/images/"])
    (figures / "two.png").touch()
    assert not before.same_content(stock(results)["evaluation/figures/images/"])


def test_a_touched_folder_has_snakemake_s_time(results):
    """`snakemake --touch` leaves a file in a folder, whose time counts; it is no figure."""
    figures = results / "evaluation/figures/images"
    before = stock(results)["evaluation/figures/images/"]
    (figures / TIMESTAMP).touch()
    os.utime(figures / TIMESTAMP, ns=(5, 5))
    after = stock(results)["evaluation/figures/images/"]
    assert after.version.mtime_ns == 5
    assert after.same_content(before)


def test_a_link_to_a_folder_is_followed_once(results, tmp_path):
    """A folder on another disk is of the results; a folder that links to itself ends."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/c.npz").touch()
    (results / "elsewhere").symlink_to(tmp_path / "scratch")
    (results / "outputs/round").symlink_to(results)
    assert names(results) == [*EVERYTHING[:1], "elsewhere/c.npz", *EVERYTHING[1:]]


def test_a_link_to_nothing_is_no_file(results):
    """A broken link is left out, and one to itself."""
    (results / "outputs/b.npz").symlink_to("nowhere")
    (results / "outputs/c.npz").symlink_to("c.npz")
    assert names(results) == EVERYTHING


def test_without_results_there_is_nothing(tmp_path):
    """A folder that is not there yet has an empty inventory."""
    assert stock(tmp_path / "results") == {}


def test_what_is_written_is_read(results, tmp_path):
    """An inventory reads back the same, and its file has the time written inside."""
    path = tmp_path / "inventory.json"
    written = write_inventory(path, stock(results), {"outputs/a.npz": "{}"})
    assert read_inventory(path) == written
    assert path.stat().st_mtime_ns == written.written


@pytest.mark.parametrize(
    "content", [{}, {"written": 1, "files": {"a": "1 2"}, "jobs": {}}, {"written": 1, "files": [1]}]
)
def test_what_is_no_inventory_is_refused(tmp_path, content):
    """Another JSON file in its place is an error that names the remedy."""
    write_json(tmp_path / "inventory.json", content)
    with pytest.raises(FormatError, match=r"inventory\.json must be an inventory, .*; delete it"):
        read_inventory(tmp_path / "inventory.json")


def test_an_entry_is_a_line_of_text(results):
    """Size, time and digest, as they are read back."""
    entry = stock(results)["outputs/a.npz"]
    assert Entry.read(str(entry)) == entry
    assert str(entry).startswith("13 ")
