"""Snakemake's metadata in an inventory, which is valid in another folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from snakemake.persistence.file import FilePersistence

from astromodal.reruns.copies import FOLDER, Places, make_folders, read_metadata, write_metadata

NOTE = {
    "rule": "encode",
    "input": ["/sky/cube_A.parquet", "results/splits/A.npz", "shared/model.pt"],
    "params": ["'abc'", "{'a': 1}"],
    "record_format_version": 6,
    "software_stack_hash": "d41d8",
    "input_checksums": {"results/splits/A.npz": "sha256:12"},
    "conda_env": "long",
}
HERE = Places("results", {"A": "/sky/cube_A.parquet"})
LONG = "outputs/" + "long/" * 60 + "a.npz"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder, with Snakemake's own in it."""
    monkeypatch.chdir(tmp_path)
    make_folders()


def snakemake_writes(path, note):
    """Write a note by Snakemake's own code."""
    persistence = FilePersistence(nolock=True)
    persistence._io_write(persistence._metadata_path, note, path)


def snakemake_reads(path):
    """Read a note by Snakemake's own code."""
    return FilePersistence(nolock=True)._read_record(path)


@pytest.mark.parametrize("name", ["a.npz", LONG])
def test_snakemake_reads_what_is_put_back(name):
    """Its parameters and inputs, also of a file whose path is longer than a file's name may be."""
    snakemake_writes(f"results/{name}", NOTE)
    note = read_metadata(HERE, name)
    assert write_metadata(Places("/other/results", {"A": "/moved/A.parquet"}), name, note)
    found = snakemake_reads(f"/other/results/{name}")
    assert found.params == NOTE["params"]
    assert found.record_format_version == 6
    inputs = ["/moved/A.parquet", "/other/results/splits/A.npz", "shared/model.pt"]
    assert found.input == inputs
    assert found.input_checksums == {"/other/results/splits/A.npz": "sha256:12"}


def test_inputs_come_in_snakemake_s_order():
    """It compares sorted lists, and other folders sort otherwise."""
    snakemake_writes("results/a.npz", NOTE)
    write_metadata(Places("/a/results", {"A": "/z.parquet"}), "a.npz", read_metadata(HERE, "a.npz"))
    found = snakemake_reads("/a/results/a.npz").input
    assert found == sorted(found)


def test_what_snakemake_knows_is_left():
    """Unchanged metadata is not written again, so that its other entries stay."""
    snakemake_writes("results/a.npz", NOTE)
    assert not write_metadata(HERE, "a.npz", read_metadata(HERE, "a.npz"))
    assert snakemake_reads("results/a.npz").conda_env == "long"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"rule": 1, "input": 5}'])
def test_a_damaged_note_is_none(text):
    """A note that is being written, or is of another release of Snakemake, is not kept."""
    snakemake_writes("results/a.npz", NOTE)
    (path,) = Path(FOLDER, "metadata").iterdir()
    path.write_text(text)
    assert read_metadata(HERE, "a.npz") is None


def test_a_file_without_a_note_has_none():
    """As a stamp or a benchmark."""
    assert read_metadata(HERE, "a.npz") is None


def test_snakemake_converts_nothing(monkeypatch):
    """It does not take notes that were put back for those of an old release."""
    monkeypatch.setattr(FilePersistence, "migrate_v1_to_v2", None)
    write_metadata(HERE, "a.npz", json.dumps(NOTE))
    assert snakemake_reads("results/a.npz").rule == "encode"
