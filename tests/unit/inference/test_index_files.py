"""Files of an index of similar objects: those of fields, and their list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.config.evaluate import IndexSettings
from astromodal.core.paths import Layout
from astromodal.errors import ConfigError, DataError, FormatError
from astromodal.inference import index_files
from astromodal.inference.index_files import (
    FieldVectors,
    SimilarityIndex,
    assemble_index,
    check_model,
    find_index,
    index_field,
)
from astromodal.inference.index_space import IndexSpace
from astromodal.storage.arrays import map_tensors, save_tensors
from astromodal.storage.formats import SKIPPED, SkippedError
from astromodal.storage.hashing import hash_arrays
from astromodal.storage.json_files import read_json, write_json
from helpers.similar import MODEL, clustered, write_embeddings, write_index

SKIP = {"format": SKIPPED, "field": "C", "rule": "split_field", "error": "a bad cube"}


@pytest.fixture
def paths(tmp_path) -> Layout:
    """An index of three fields; the last one is empty."""
    sizes = {"A": 300, "B": 120, "C": 0}
    files = {
        name: write_embeddings(tmp_path / f"{name}.parquet", clustered(n, seed=n))
        for name, n in sizes.items()
    }
    return write_index(tmp_path / "results", files)


@pytest.fixture
def space(paths) -> IndexSpace:
    return IndexSpace.load(paths.similarity_space)


def flip(path: str | Path, place: int) -> None:
    """Change a bit of a file."""
    whole = bytearray(Path(path).read_bytes())
    whole[place] ^= 1
    Path(path).write_bytes(whole)


def test_objects_are_sorted_by_list(paths, space, tmp_path):
    """Points, rows and ids of an object stay together; a list is one piece."""
    vectors = FieldVectors.open(paths.similarity_vectors("B"), space)
    table = pq.read_table(tmp_path / "B.parquet")
    place = vectors.row - 7
    assert sorted(place.tolist()) == list(range(120))
    assert [vectors.id(i) for i in range(120)] == [table["id"][int(i)].as_py() for i in place]
    expected = space.project(np.stack(table["embedding"].to_numpy()))[place]
    np.testing.assert_array_equal(vectors.points, expected)
    lists = np.repeat(np.arange(len(space.centroids)), np.diff(vectors.list_ptr))
    np.testing.assert_array_equal(lists, space.lists(vectors.points))
    assert all((np.diff(vectors.row[lists == number]) > 0).all() for number in np.unique(lists))


def test_batches_change_no_file(paths, space, tmp_path, monkeypatch):
    """Embeddings that are read in pieces give the same points."""
    monkeypatch.setattr(index_files, "_ROWS", 13)
    assert index_field(space, tmp_path / "A.parquet", tmp_path / "a") == 300
    one, other = (
        FieldVectors.open(p, space) for p in (tmp_path / "a", paths.similarity_vectors("A"))
    )
    np.testing.assert_array_equal(one.row, other.row)
    np.testing.assert_allclose(one.points, other.points, atol=1e-5)


def test_points_are_mapped(paths, space):
    """They are a view of the file, which nothing can write to."""
    assert not FieldVectors.open(paths.similarity_vectors("A"), space).points.flags.writeable


def test_an_empty_field_has_a_file(paths, space):
    """It holds no object, and the index counts it."""
    assert len(FieldVectors.open(paths.similarity_vectors("C"), space)) == 0
    index = SimilarityIndex.open(paths.similarity_index)
    assert {name: len(own) for name, own in index.fields.items()} == {"A": 300, "B": 120, "C": 0}
    assert len(index) == 420


def test_embeddings_of_another_model_are_refused(space, tmp_path):
    """The space is that of one model."""
    path = write_embeddings(tmp_path / "o.parquet", clustered(9), model_hash="f" * 16)
    with pytest.raises(FormatError, match=r"model and pooling of .*o\.parquet must be"):
        index_field(space, path, tmp_path / "o")


def test_embeddings_that_are_not_finite_are_refused(space, tmp_path):
    """No list is theirs."""
    vectors = clustered(9)
    vectors[4, 2] = np.nan
    with pytest.raises(DataError, match="must be finite"):
        index_field(space, write_embeddings(tmp_path / "n.parquet", vectors), tmp_path / "n")


def test_a_skipped_field_is_not_indexed(space, tmp_path):
    """Its job skips it, too."""
    write_json(tmp_path / "s.parquet", SKIP)
    with pytest.raises(SkippedError, match="field C was skipped by split_field"):
        index_field(space, tmp_path / "s.parquet", tmp_path / "s")


def test_skipped_fields_are_left_out_of_the_list(paths):
    """The others are found."""
    write_json(paths.similarity_vectors("C"), SKIP)
    files = {name: paths.similarity_vectors(name) for name in "ABC"}
    made = assemble_index(paths.similarity_space, files, IndexSettings(), paths.similarity_index)
    assert list(made["fields"]) == list(SimilarityIndex.open(paths.similarity_index).fields)
    assert list(made["fields"]) == ["A", "B"]


def test_an_index_without_a_field_is_refused(paths, tmp_path):
    """There would be nothing to find."""
    write_json(tmp_path / "s", SKIP)
    with pytest.raises(DataError, match="indexed fields must be at least one that was not skipped"):
        assemble_index(paths.similarity_space, {"C": tmp_path / "s"}, IndexSettings(), "no")


def test_a_file_of_another_space_is_refused(paths, space, tmp_path):
    """Its points are of other axes."""
    other = IndexSpace(space.mean + 1, space.components, space.centroids, MODEL, "mean")
    index_field(other, tmp_path / "B.parquet", paths.similarity_vectors("B"))
    with pytest.raises(
        FormatError, match=f"must be of the space of hash {space.hash}, got .*; run"
    ):
        SimilarityIndex.open(paths.similarity_index)


def test_a_field_that_changed_since_is_refused(paths, space, tmp_path):
    """The list has the hash of each file."""
    source = write_embeddings(tmp_path / "n.parquet", clustered(50, seed=8))
    index_field(space, source, paths.similarity_vectors("B"))
    with pytest.raises(FormatError, match="B_vectors.* must be of hash .*; run assemble_index aga"):
        SimilarityIndex.open(paths.similarity_index)


def test_a_damaged_small_index_is_refused(paths):
    """What is searched as a whole is checked as a whole."""
    flip(paths.similarity_vectors("B"), -400)
    with pytest.raises(
        FormatError, match="B_vectors.* must be of hash .*delete it and run index_f"
    ):
        SimilarityIndex.open(paths.similarity_index)


def test_a_damaged_large_index_can_be_checked(paths):
    """Headers are read when it is opened, and everything by `verify`."""
    listed = read_json(paths.similarity_index)
    write_json(paths.similarity_index, {**listed, "exact_below": 0})
    flip(paths.similarity_vectors("B"), -400)
    index = SimilarityIndex.open(paths.similarity_index)
    with pytest.raises(FormatError, match="B_vectors.* must be of hash"):
        index.verify()


def test_a_cut_file_is_refused(paths):
    """Its arrays do not fit in it."""
    path = Path(paths.similarity_vectors("A"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"must be a safetensors file, got an array of shape"):
        SimilarityIndex.open(paths.similarity_index)


@pytest.mark.parametrize(("place", "value"), [(0, 1), (1, 10**9), (1, -4), (-1, 299)])
def test_lists_outside_of_the_points_are_refused(paths, space, tmp_path, place, value):
    """A search would read elsewhere in memory."""
    arrays, meta = map_tensors(paths.similarity_vectors("A"))
    arrays["list_ptr"] = arrays["list_ptr"].copy()
    arrays["list_ptr"][place] = value
    save_tensors(tmp_path / "w", arrays, {**meta, "content_hash": hash_arrays(arrays)})
    with pytest.raises(FormatError, match=r"w must be of 300 objects in \d lists, got other lists"):
        FieldVectors.open(tmp_path / "w", space)


@pytest.mark.parametrize(
    ("change", "got"), [({"version": 2}, "similarity_index version 2"), ({"format": "x"}, "x vers")]
)
def test_another_version_of_the_list_is_refused(paths, change, got):
    """It may mean something else."""
    write_json(paths.similarity_index, {**read_json(paths.similarity_index), **change})
    with pytest.raises(FormatError, match=f"must be similarity_index version 1, got {got}"):
        SimilarityIndex.open(paths.similarity_index)


def test_a_list_of_json_is_no_index(paths):
    """It is refused by what it must be."""
    Path(paths.similarity_index).write_text(json.dumps([1]))
    with pytest.raises(FormatError, match="must be similarity_index version 1, got None"):
        SimilarityIndex.open(paths.similarity_index)


def test_files_are_looked_for_beside_the_list(paths, tmp_path):
    """An index that was copied is whole, and names no path outside of its folder."""
    Path(paths.similar).rename(tmp_path / "moved")
    index = SimilarityIndex.open(tmp_path / "moved/index.json")
    assert {own.path.parent for own in index.fields.values()} == {tmp_path / "moved"}
    listed = read_json(index.path)
    listed["fields"]["A"]["file"] = "../../../etc/passwd"
    write_json(index.path, listed)
    with pytest.raises(FileNotFoundError, match="moved/passwd"):
        SimilarityIndex.open(index.path)


def test_some_fields_can_be_chosen(paths):
    """By name, one or several."""
    index = SimilarityIndex.open(paths.similarity_index)
    assert list(index.only("B").fields) == ["B"]
    assert list(index.only(["C", "A"]).fields) == ["A", "C"]


def test_an_unknown_field_is_refused(paths):
    """With the nearest name."""
    index = SimilarityIndex.open(paths.similarity_index)
    with pytest.raises(DataError, match=r"field must be one of the 3 in .*, got a; nearest: 'A'"):
        index.only("a")


def test_an_index_lies_beside_a_model(paths):
    """Unless it is named, by its folder or its file."""
    beside = Path(paths.run)
    beside.mkdir()
    wanted = Path(paths.similarity_index)
    assert find_index(None, beside) == wanted
    assert find_index(paths.similar, None) == wanted
    assert find_index(wanted, beside) == wanted


def test_no_index_is_an_error(tmp_path):
    """It says what to run."""
    (tmp_path / "run").mkdir()
    for given, folder, got in (
        (None, None, "none, of a model that is in no folder"),
        (None, tmp_path / "run", f"no file at {tmp_path}/similar/index.json"),
        (tmp_path, None, f"no file at {tmp_path}/index.json"),
    ):
        with pytest.raises(ConfigError, match=f"index must be an index.*{got}; run snakemake ind"):
            find_index(given, folder)


def test_an_index_of_another_model_is_refused(paths):
    """One error names both models."""
    index = SimilarityIndex.open(paths.similarity_index)
    check_model(index, MODEL)
    with pytest.raises(FormatError, match=f"that of the model of hash ffff, got that of {MODEL}"):
        check_model(index, "ffff")
