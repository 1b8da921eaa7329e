"""Archives are checked before their content is used."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.storage.formats import check_archive, npy_header, read_arrays

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
