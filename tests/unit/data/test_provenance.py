"""What sources gave to a cube, in the metadata of its file."""

from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow as pa
import pytest

from astromodal.data.cube import Cube
from astromodal.data.parquet import cube_writer
from astromodal.data.provenance import (
    PROVENANCE,
    BandCounts,
    Provenance,
    provenance_of,
    read_provenance,
)
from astromodal.errors import DataError

DESI = Provenance("desi_coadd", {"a.fits": ""}, 9, {"no flux": 2}, 5, 1, 0.25, ["b.fits"])
STAMPS = Provenance("images", {"r.fits": "0a1b"}, bands={"R": BandCounts(1, 4, 2, 3)})


@pytest.fixture
def built(tmp_path):
    """A cube of one row, written as `build_cube` writes it."""
    path, table = tmp_path / "datacube_F1.parquet", pa.table({"id": ["a"]})
    text = json.dumps({"desi": asdict(DESI), "stamps": asdict(STAMPS)}).encode()
    with cube_writer(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({PROVENANCE: text})
    return path


def test_a_file_gives_what_was_written(built):
    """Every number of every source, in their order, is read from the footer alone."""
    assert list(read_provenance(built).items()) == [("desi", DESI), ("stamps", STAMPS)]


def test_an_opened_cube_gives_what_was_written(built):
    """A cube has the provenance that its file holds."""
    assert Cube(built, "F1").provenance == {"desi": DESI, "stamps": STAMPS}


def test_a_cube_that_was_not_built_has_none(write_cube):
    """Without such metadata, no source gave anything."""
    assert Cube(write_cube({"id": ["a"]}), "F1").provenance == {}


def test_a_file_without_any_metadata_has_none():
    """Parquet files of other programs may have no metadata at all."""
    assert provenance_of(None) == {}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b'{"desi": {"kind": "desi_c', "Invalid JSON"),
        (b'{"desi": {"kind": "\xff"}}', "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b'{"desi": {"matched": 3}}', r"desi\.kind: Field required"),
        (b'{"desi": {"kind": "desi_coadd", "matched": "3"}}', r"desi\.matched: .* valid integer"),
        (b'{"desi": {"kind": "desi_coadd", "metched": 3}}', r"desi\.metched: Unexpected keyword"),
        (b'{"i": {"kind": "images", "bands": {"R": {"n_cat": 3}}}}', r"i\.bands\.R\.n_cat: Unexp"),
    ],
)
def test_damaged_metadata_are_refused(write_cube, text, what):
    """Text that is no JSON, and names or types that no source has, end in an error that says so."""
    cube = Cube(write_cube({"id": ["a"]}, metadata={PROVENANCE: text}), "F1")
    must = r"field F1: metadata 'astromodal\.sources' of datacube_F1\.parquet must be those of a"
    with pytest.raises(DataError, match=f"{must} cube that was built, got {what}.*build it again"):
        _ = cube.provenance
