"""Skip notes stand in for outputs of a bad cube."""

from dataclasses import asdict

import numpy as np
import pytest

from astromodal.errors import DataError, FormatError
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.json_files import write_json
from astromodal.storage.safetensors import map_tensors
from astromodal.storage.skips import SKIPPED, Skip, SkippedError, refuse_skipped, skip_at, usable

SKIP = Skip("F1", "encode_images", "field F1: column 'x' must be y, got z; repair the cube")


@pytest.fixture
def paths(tmp_path):
    """A skipped field's file and a good one's."""
    bad, good = tmp_path / "bad.npz", tmp_path / "good.npz"
    write_json(bad, {"format": SKIPPED, **asdict(SKIP)})
    save_arrays(good, {"a": np.ones(2)}, format="split", version=1)
    return bad, good


def test_why_a_field_was_skipped_is_read_again(paths):
    """Field, rule and error stand as they were written."""
    assert skip_at(paths[0]) == SKIP


def test_another_file_is_none(paths, tmp_path):
    """Neither an array file, nor other JSON, nor an empty or damaged file is a skip note."""
    write_json(tmp_path / "summary.json", {"field": "F1", "format": SKIPPED})
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut").write_bytes(paths[0].read_bytes()[:60])
    others = (paths[1], *(tmp_path / name for name in ("summary.json", "empty", "cut")))
    assert [skip_at(path) for path in others] == [None] * 4


@pytest.mark.parametrize("read", [map_tensors, lambda p: load_arrays(p, format="split", version=1)])
def test_reading_a_skip_note_is_an_error(paths, read):
    """Reading a skip note raises the error of the cube, with field and rule."""
    with pytest.raises(SkippedError, match="field F1 was skipped by encode_images: field F1: col"):
        read(paths[0])


def test_a_damaged_file_is_not_taken_for_a_skipped_one(tmp_path):
    """A damaged file is not taken for a skip note."""
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(FormatError, match="delete it and run split_field again"):
        load_arrays(tmp_path / "a.npz", format="split", version=1)


def test_skipped_fields_are_left_out(paths):
    """Files of skipped fields are left out; the others keep their order."""
    assert usable([paths[1], paths[0], paths[1]]) == [str(paths[1])] * 2
    assert usable([]) == []


def test_nothing_left_is_an_error(paths):
    """The error names the first field."""
    with pytest.raises(DataError, match="must be at least one field that was not skipped, got fie"):
        usable([paths[0]])


def test_a_good_file_is_not_refused(paths):
    """Only a skip note is refused."""
    refuse_skipped(paths[1])
    with pytest.raises(SkippedError, match="field F1 was skipped"):
        refuse_skipped(paths[0])
