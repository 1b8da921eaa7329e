"""The space in which embeddings are compared: components, lists, its file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from astromodal.config.evaluate import IndexSettings
from astromodal.errors import DataError, FormatError
from astromodal.evaluation.embeddings.measures import embedding_space
from astromodal.inference import index_space
from astromodal.inference.index_space import IndexSpace, train_space
from astromodal.storage.arrays import map_tensors, save_tensors
from astromodal.storage.formats import SKIPPED, SkippedError
from astromodal.storage.json_files import write_json
from helpers.similar import clustered, write_embeddings

SKIP = {"format": SKIPPED, "field": "B", "rule": "embed_field", "error": "a bad cube"}


@pytest.fixture
def trained(tmp_path):
    """A space of 300 objects, and their file."""
    path = write_embeddings(tmp_path / "e.parquet", clustered(300))
    return train_space([path], IndexSettings()), path


@given(n=st.integers(3, 60), width=st.integers(1, 8), seed=st.integers(0, 99))
def test_distances_are_those_of_the_report(tmp_path_factory, n, width, seed):
    """They agree with scikit-learn's standardised principal components."""
    vectors = clustered(n, width, seed)
    path = write_embeddings(tmp_path_factory.getbasetemp() / "e.parquet", vectors)
    points = train_space([path], IndexSettings()).project(vectors)
    space = embedding_space(vectors, "mean")
    np.testing.assert_allclose(pdist(points), pdist(space), rtol=1e-4, atol=1e-4)


def test_components_are_in_the_order_of_their_variance(trained):
    """The first eight of a point then hold most of its distance from others."""
    variance = trained[0].project(clustered(300)).var(axis=0)
    assert (np.diff(variance) <= 1e-5).all()


def test_blocks_change_no_space(tmp_path, trained, monkeypatch):
    """Sums over blocks of rows are those over all rows."""
    monkeypatch.setattr(index_space, "_ROWS", 7)
    again = train_space([trained[1]], IndexSettings())
    vectors = clustered(20, seed=3)
    np.testing.assert_allclose(again.project(vectors), trained[0].project(vectors), atol=1e-4)


def test_a_constant_dimension_is_left_as_it_is(tmp_path):
    """It has no scatter to be divided by, and adds nothing to a distance."""
    vectors = clustered(50)
    vectors[:, 3] = 5
    path = write_embeddings(tmp_path / "e.parquet", vectors)
    space = train_space([path], IndexSettings())
    other = vectors.copy()
    assert np.isfinite(space.project(vectors)).all()
    np.testing.assert_allclose(space.project(other), space.project(vectors))


def test_only_the_training_split_counts(tmp_path):
    """Objects of validation and test change nothing."""
    vectors = clustered(90)
    split = ["train", "validation", "test"] * 30
    path = write_embeddings(tmp_path / "a.parquet", vectors, split=split)
    space = train_space([path], IndexSettings())
    vectors[1::3] += 50
    vectors[2::3] -= 9
    path = write_embeddings(tmp_path / "b.parquet", vectors, split=split)
    assert train_space([path], IndexSettings()).hash == space.hash


def test_a_sample_is_bounded(tmp_path, monkeypatch):
    """Of all training fields together, no more than `max_objects` are read."""
    sizes = []
    fit = index_space.KMeans.fit
    monkeypatch.setattr(
        index_space.KMeans, "fit", lambda x, *rest: sizes.append(len(x)) or fit(x, *rest)
    )
    paths = [
        write_embeddings(tmp_path / f"{n}.parquet", clustered(n, seed=n)) for n in (80, 5, 200)
    ]
    train_space(paths, IndexSettings(max_objects=100))
    assert sizes == [100]


@pytest.mark.parametrize(
    ("n", "lists", "kept"), [(31, 100, 1), (64, 100, 2), (300, 100, 9), (300, 4, 4)]
)
def test_lists_have_enough_objects(tmp_path, n, lists, kept):
    """There is one per 32 objects, and no more than the setting says."""
    path = write_embeddings(tmp_path / "e.parquet", clustered(n))
    assert len(train_space([path], IndexSettings(n_lists=lists)).centroids) == kept


def test_a_list_is_that_of_the_nearest_centroid(trained):
    """Brute force agrees."""
    space, _ = trained
    points = space.project(clustered(40, seed=5))
    squared = ((points[:, None] - space.centroids) ** 2).sum(axis=2)
    np.testing.assert_array_equal(space.lists(points), squared.argmin(axis=1))


def test_skipped_fields_are_left_out(tmp_path, trained):
    """A space of the others is learned."""
    write_json(tmp_path / "s.parquet", SKIP)
    space, path = trained
    assert train_space([tmp_path / "s.parquet", path], IndexSettings()).hash == space.hash


def test_a_single_object_is_too_few(tmp_path):
    """There is no scatter to learn."""
    path = write_embeddings(tmp_path / "e.parquet", clustered(3), split=["train", "test", "test"])
    with pytest.raises(DataError, match="training split must be at least two, got 1; choose other"):
        train_space([path], IndexSettings())


@pytest.mark.parametrize("other", [{"model_hash": "f" * 16}, {"pooling": "attention"}])
def test_embeddings_of_two_models_are_refused(tmp_path, trained, other):
    """Their dimensions mean different things."""
    path = write_embeddings(tmp_path / "o.parquet", clustered(9), **other)
    with pytest.raises(FormatError, match=r"o\.parquet must be .* and mean, got .*; run embed_fi"):
        train_space([trained[1], path], IndexSettings())


def test_a_skipped_field_has_no_origin(tmp_path, trained):
    """The skip is reported, not a damaged file."""
    write_json(tmp_path / "s.parquet", SKIP)
    with pytest.raises(SkippedError, match="field B was skipped by embed_field: a bad cube"):
        trained[0].check_origin(tmp_path / "s.parquet")


def test_a_space_is_read_as_it_was_written(tmp_path, trained):
    """Arrays, model and pooling; the same training gives the same bytes."""
    space, path = trained
    for name in "ab":
        train_space([path], IndexSettings()).save(tmp_path / name)
    loaded = IndexSpace.load(tmp_path / "a")
    assert (loaded.hash, loaded.model_hash, loaded.pooling) == (
        space.hash, space.model_hash, "mean",
    )  # fmt: skip
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_damaged_space_is_refused(tmp_path, trained):
    """The hash of the content is compared."""
    trained[0].save(tmp_path / "space")
    whole = bytearray((tmp_path / "space").read_bytes())
    whole[-5] ^= 1
    (tmp_path / "space").write_bytes(whole)
    with pytest.raises(FormatError, match="space must be of hash .*delete it and run train_index"):
        IndexSpace.load(tmp_path / "space")


def test_another_version_is_refused(tmp_path, trained):
    """So is another format."""
    trained[0].save(tmp_path / "space")
    arrays, meta = map_tensors(tmp_path / "space")
    save_tensors(tmp_path / "later", arrays, {**meta, "version": "2"})
    with pytest.raises(FormatError, match="must be similarity_space version 1, got .* version 2"):
        IndexSpace.load(tmp_path / "later")
    save_tensors(tmp_path / "fewer", {"mean": arrays["mean"]}, meta)
    with pytest.raises(FormatError, match="must be similarity_space version 1, got one of mean"):
        IndexSpace.load(tmp_path / "fewer")
