"""Arrays in safetensors files."""

from __future__ import annotations

import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from astromodal.errors import FormatError
from astromodal.storage.safetensors import map_file, map_tensors, save_tensors

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1, 2], dtype=np.int64),
    "c": np.array([3], dtype=np.uint8),
    "d": np.empty((0, 4), dtype=np.float64),
}


def test_a_file_gives_back_what_was_written(tmp_path):
    """Arrays and metadata are read by this reader and by the library."""
    path = tmp_path / "x.safetensors"
    save_tensors(path, ARRAYS, {"format": "f"})
    found, meta = map_tensors(path)
    assert meta == {"format": "f"}
    for each in (found, load_file(path)):
        assert each.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(each[name], array)
            assert each[name].dtype == array.dtype


def test_a_changed_header_is_noticed(tmp_path):
    """A header that was changed is refused."""
    path = tmp_path / "x.safetensors"
    save_tensors(path, ARRAYS, {"format": "f", "step": "7"})
    path.write_bytes(path.read_bytes().replace(b'"step": "7"', b'"step": "8"'))
    with pytest.raises(FormatError, match="must be a safetensors file, got a header whose hash"):
        map_tensors(path)


def test_the_order_of_arrays_does_not_matter(tmp_path):
    """The same arrays give the same bytes in any order."""
    paths = tmp_path / "x.safetensors", tmp_path / "y.safetensors"
    save_tensors(paths[0], ARRAYS, {})
    save_tensors(paths[1], dict(reversed(ARRAYS.items())), {})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_mapped_array_cannot_be_changed(tmp_path):
    """A mapped array is read-only."""
    save_tensors(tmp_path / "x.safetensors", ARRAYS, {})
    with pytest.raises(ValueError, match="read-only"):
        map_tensors(tmp_path / "x.safetensors")[0]["a"][0, 0] = 1


@pytest.mark.parametrize("content", [b"", b"not one", b"\2\0\0\0\0\0\0\0[]"])
def test_other_files_are_no_tensors(tmp_path, content):
    """Empty files, other files and those whose header is no mapping are refused."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FormatError, match="x must be a safetensors file"):
        map_tensors(tmp_path / "x")


def test_what_is_mapped_is_the_file(tmp_path):
    """The map holds the bytes of the file, read-only, also after it is deleted."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    found = map_file(path)
    path.unlink()
    assert found.tobytes() == b"abc"
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_an_empty_file(tmp_path):
    """An empty file has no bytes."""
    (tmp_path / "a").touch()
    assert len(map_file(tmp_path / "a")) == 0


def test_what_is_no_file(tmp_path):
    """The error names the path."""
    with pytest.raises(FileNotFoundError, match=r"none"):
        map_file(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        map_file(tmp_path)


def test_no_file_stays_open(tmp_path):
    """Mapping many files leaves none of them open."""
    (tmp_path / "a").write_bytes(bytes(100))
    before = len(os.listdir("/proc/self/fd"))
    kept = [map_file(tmp_path / "a") for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert np.sum(kept) == 0
