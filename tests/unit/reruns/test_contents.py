"""Digests of files that read little of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from astromodal.reruns import inventory as contents
from astromodal.reruns.inventory import SMALL, content_digest
from astromodal.storage.arrays import save_arrays, save_tensors

MANY = SMALL // 4


def arrays(path, value):
    """An array file whose middle number is `value`."""
    numbers = np.zeros(MANY, np.float32)
    numbers[MANY // 2] = value
    save_arrays(path, {"numbers": numbers}, format="split", version=1)


def tensors(path, value):
    """A file of tensors, with the hash of its content as those that write them keep it."""
    numbers = np.full(MANY, value, np.float32)
    save_tensors(path, {"numbers": numbers}, {"content_hash": str(value)})


def weights(path, value):
    """A checkpoint of many members, of which one differs."""
    state = {f"layer{i}": torch.zeros(1000) for i in range(100)}
    state["layer50"][0] = value
    torch.save(state, path)


def table(path, value):
    """A parquet file whose footer holds the largest value."""
    pq.write_table(pa.table({"x": np.append(np.random.default_rng(0).random(MANY), value)}), path)


@pytest.mark.parametrize(
    ("write", "ending"),
    [(arrays, ".npz"), (tensors, ".safetensors"), (weights, ".pt"), (table, ".parquet")],
)
def test_another_content_of_the_same_size_is_noticed(tmp_path, write, ending):
    """A number in the middle of a large file changes its digest; the same content does not."""
    folders = [tmp_path / name for name in ("first", "same", "other")]
    first, same, other = (folder / f"file{ending}" for folder in folders)
    for folder in folders:
        folder.mkdir()
    write(first, 1.0), write(same, 1.0), write(other, 2.0)
    assert first.stat().st_size == other.stat().st_size > SMALL
    assert content_digest(first) == content_digest(same) != content_digest(other)


def test_of_an_archive_only_the_directory_is_read(tmp_path, monkeypatch):
    """A large archive is not read to its end."""
    arrays(tmp_path / "a.npz", 1.0)
    monkeypatch.setattr(contents, "hash_file", None)
    assert len(content_digest(tmp_path / "a.npz")) == 16


@pytest.mark.parametrize("ending", [".html", ".joblib", ".npz", ".pt", ".safetensors"])
def test_a_file_without_checksums_is_read_whole(tmp_path, ending):
    """A byte in the middle of an unknown format, or of a file that is not of its format, counts."""
    path = tmp_path / f"file{ending}"
    content = bytearray(b"\xff" * 3 * SMALL)
    path.write_bytes(content)
    before = content_digest(path)
    content[len(content) // 2] = 0
    path.write_bytes(content)
    assert content_digest(path) != before


def test_a_small_file_is_read_whole(tmp_path):
    """A flipped bit in a small archive counts, even if its directory is unchanged."""
    path = tmp_path / "a.npz"
    save_arrays(path, {"numbers": np.zeros(1000)}, format="split", version=1)
    content, before = bytearray(path.read_bytes()), content_digest(path)
    content[4000] ^= 1
    path.write_bytes(content)
    assert content_digest(path) != before


def test_a_table_may_be_read_whole(tmp_path):
    """With `whole`, values in the middle of a parquet file count."""
    path = tmp_path / "a.parquet"
    table(path, 2.0)
    before = content_digest(path, whole=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert content_digest(path, whole=True) != before
