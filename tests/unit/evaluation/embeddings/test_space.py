"""The space of distances and the map."""

import numpy as np
import pytest

from astromodal.evaluation.embeddings.evaluate import LEAST_TSNE, embedding_space, plane


def test_a_large_dimension_does_not_decide():
    """Dimensions are standardised: one that is a thousand times larger counts as much."""
    vectors = np.random.default_rng(0).normal(size=(200, 3))
    scaled = embedding_space(vectors * [1000.0, 1.0, 1.0])
    np.testing.assert_allclose(np.abs(scaled), np.abs(embedding_space(vectors)), atol=1e-9)


@pytest.mark.parametrize(("n", "d", "kept"), [(50, 40, 30), (50, 8, 8), (5, 40, 5)])
def test_components_that_are_kept(n, d, kept):
    """Thirty, or as many as objects or dimensions allow."""
    assert embedding_space(np.random.default_rng(0).normal(size=(n, d))).shape == (n, kept)


def test_few_objects_are_mapped_by_pca():
    """And one component is no obstacle."""
    places, way = plane(np.arange(5.0)[:, None], seed=1)
    assert way == "PCA"
    assert places.tolist() == [[i, 0] for i in range(5)]


def test_the_same_seed_gives_the_same_map():
    """Two clumps stay apart in it."""
    rng = np.random.default_rng(0)
    space = rng.normal(size=(LEAST_TSNE, 3)) + np.repeat([0, 50], LEAST_TSNE // 2)[:, None]
    places, way = plane(space, seed=1)
    assert way == "t-SNE"
    assert places.tolist() == plane(space, seed=1)[0].tolist()
    halves = np.split(places, 2)
    apart = np.linalg.norm(halves[0].mean(0) - halves[1].mean(0))
    assert apart > halves[0].std()
