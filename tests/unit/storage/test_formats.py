"""Archives are checked before their content is used; skip notes stand in for outputs."""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.errors import DataError, FormatError
from astromodal.storage.arrays import load_arrays, map_tensors, save_arrays
from astromodal.storage.formats import (
    SKIPPED,
    Skip,
    SkippedError,
    check_archive,
    npy_header,
    read_arrays,
    refuse_skipped,
    skip_at,
    usable,
)
from astromodal.storage.json_files import write_json

ARRAYS = {
    "numbers": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "text": np.array(["é", "bb"]),
    "truth": np.array([True, False]),
    "one": np.array(7),
    "nothing": np.empty((0, 4), np.uint16),
}


@pytest.fixture
def path(tmp_path):
    with (tmp_path / "a.npz").open("wb") as stream:
        np.savez(stream, **ARRAYS)
    return tmp_path / "a.npz"


def test_arrays_are_read_as_numpy_reads_them(path):
    """Values, dtypes and shapes, of every type that we write, and they may be written to."""
    found = read_arrays(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].flags.writeable


@given(n=st.integers(0, 200_000))
def test_arrays_of_any_length(tmp_path_factory, n):
    """Arrays of any length are the same, whatever the size of the pieces read."""
    path = tmp_path_factory.getbasetemp() / "n.npz"
    np.savez(path, x=np.arange(n))
    assert np.array_equal(read_arrays(path)["x"], np.arange(n))


def test_an_archive_as_it_was_written(path):
    """An intact archive passes."""
    check_archive(path)


def test_a_flipped_bit(path):
    """A CRC reveals it."""
    whole = bytearray(path.read_bytes())
    whole[whole.index(ARRAYS["numbers"].tobytes())] ^= 1
    path.write_bytes(whole)
    with pytest.raises(zipfile.BadZipFile, match="Bad CRC-32 for file 'numbers.npy'"):
        check_archive(path)


def test_a_compressed_member(path):
    """Compressed members are refused, as they could inflate."""
    np.savez_compressed(path, x=np.zeros(1000))
    with pytest.raises(ValueError, match=r"its member 'x\.npy' is compressed"):
        check_archive(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "magic string is not correct"),
        (b"\x93NUMPY\x02\x00", "not a .npy file of version 1.0"),
        (b"\x93NUMPY\x01\x00\x02\x00{}", "not a .npy file of plain numbers or text"),
    ],
)
def test_other_headers(content, message):
    """Headers that NumPy does not write for plain numbers or text are refused."""
    with pytest.raises(ValueError, match=message):
        npy_header(io.BytesIO(content), len(content))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_header_of_another_size(change):
    """A header of another size than the member is refused."""
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    stream.seek(0)
    with pytest.raises(ValueError, match=rf"float64 takes 24 byte, not {24 + change}"):
        npy_header(stream, len(stream.getvalue()) + change)


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
