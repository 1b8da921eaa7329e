"""Files as memory."""

from __future__ import annotations

import os

import numpy as np
import pytest

from astromodal.storage.safetensors import map_file


def test_what_is_mapped_is_the_file(tmp_path):
    """Its bytes, which cannot be written to, even once its name is gone."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    found = map_file(path)
    path.unlink()
    assert found.tobytes() == b"abc"
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_an_empty_file(tmp_path):
    """Has no bytes."""
    (tmp_path / "a").touch()
    assert len(map_file(tmp_path / "a")) == 0


def test_what_is_no_file(tmp_path):
    """Is named."""
    with pytest.raises(FileNotFoundError, match=r"none"):
        map_file(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        map_file(tmp_path)


def test_no_file_stays_open(tmp_path):
    """However many are mapped."""
    (tmp_path / "a").write_bytes(bytes(100))
    before = len(os.listdir("/proc/self/fd"))
    kept = [map_file(tmp_path / "a") for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert np.sum(kept) == 0
