"""The space and map of embeddings, and the agreement of neighbours."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from astromodal.evaluation.embeddings.measures import (
    LEAST_TSNE,
    K,
    class_agreement,
    embedding_space,
    nearest_neighbours,
    project_to_plane,
    sample_in_turns,
    sample_others,
    value_agreement,
)

LINE = np.arange(60.0)[:, None]
ONE = np.zeros(60, np.uint32)


def test_the_nearest_are_the_nearest_others():
    """On a line of whole numbers neighbours are 1 away; no object is its own neighbour."""
    others = nearest_neighbours(LINE, 1)[:, 0]
    assert (others[0], others[59]) == (1, 58)
    assert np.all(np.abs(others - np.arange(60)) == 1)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_random_others_are_others(n):
    """Every sampled object is another one."""
    others = sample_others(n, np.random.default_rng(0))
    assert not (others == np.arange(n)[:, None]).any()
    assert set(others.ravel()) <= set(range(n))


def test_classes_that_lie_apart():
    """Of ten neighbours, five objects on each side have 5, 4, 3, 2 and 1 beyond the border."""
    kind = np.where(LINE[:, 0] < 30, "A", "B")
    near, random, gain = class_agreement(LINE, kind, ONE, seed=1).measure(1)
    assert near.value == pytest.approx(1 - 30 / 600)
    assert random.value == pytest.approx(29 / 59, abs=0.03)
    assert gain.above(0, errors=10)


def test_differences_by_hand():
    """In the middle of the line the ten nearest are 1 to 5 away on both sides: the median is 3."""
    agreement = value_agreement(LINE, LINE[:, 0], ONE, seed=1)
    assert agreement.near[30] == 3
    assert len(agreement) == 60


def test_differences_of_redshift_are_relative():
    """The difference is divided by one plus the object's own redshift."""
    agreement = value_agreement(LINE, LINE[:, 0], ONE, seed=1, redshift=True)
    assert agreement.near[30] == pytest.approx(3 / 31)


def test_comparison_within_a_group():
    """An object is compared only with its group, if the group has enough objects."""
    group = np.repeat([0, 1], [40, 20]).astype(np.uint32)
    group[59] = 2
    agreement = value_agreement(LINE, LINE[:, 0], group, seed=1)
    assert np.isfinite(agreement.near[:40]).all()
    assert np.isnan(agreement.near[40:]).all()  # 19 of one group, one of another
    assert agreement.near[39] == 5.5  # ten to its left


def test_unknown_values_are_left_out():
    """Objects without a value are not compared; with too few values nothing is measured."""
    values = np.where(np.arange(60) % 2, np.nan, LINE[:, 0])
    assert len(value_agreement(LINE, values, ONE, seed=1)) == 30
    few = np.where(np.arange(60) < 2 * K - 1, 1.0, np.nan)
    assert len(value_agreement(LINE, few, ONE, seed=1)) == 0
    assert not value_agreement(LINE, few, ONE, seed=1).measure(1)[2].known


def test_a_large_dimension_does_not_decide():
    """Dimensions of means of states are standardised: one a thousand times larger weighs the same.

    Those of queries are not: their proportions have a meaning.
    """
    vectors = np.random.default_rng(0).normal(size=(200, 3))
    scaled = embedding_space(vectors * [1000.0, 1.0, 1.0], "mean")
    np.testing.assert_allclose(np.abs(scaled), np.abs(embedding_space(vectors, "mean")), atol=1e-9)


@pytest.mark.parametrize(("n", "d", "kept"), [(50, 40, 30), (50, 8, 8), (5, 40, 5)])
def test_components_that_are_kept(n, d, kept):
    """Thirty, or as many as objects or dimensions allow."""
    assert embedding_space(np.random.default_rng(0).normal(size=(n, d)), "query").shape == (n, kept)


def test_few_objects_are_mapped_by_pca():
    """A space of one component has 0 as its second coordinate."""
    places, method = project_to_plane(np.arange(5.0)[:, None], seed=1)
    assert method == "PCA"
    assert places.tolist() == [[i, 0] for i in range(5)]


def test_the_same_seed_gives_the_same_map():
    """Two clumps stay apart in the map."""
    rng = np.random.default_rng(0)
    space = rng.normal(size=(LEAST_TSNE, 3)) + np.repeat([0, 50], LEAST_TSNE // 2)[:, None]
    places, method = project_to_plane(space, seed=1)
    assert method == "t-SNE"
    assert places.tolist() == project_to_plane(space, seed=1)[0].tolist()
    halves = np.split(places, 2)
    apart = np.linalg.norm(halves[0].mean(0) - halves[1].mean(0))
    assert apart > halves[0].std()


def test_classes_take_turns():
    """Of ten stars and one quasar, two samples are one of each."""
    kind = np.array(["STAR"] * 10 + ["QSO"])
    for seed in range(5):
        assert set(kind[sample_in_turns(kind, 2, seed)]) == {"STAR", "QSO"}


def test_the_space_is_that_of_scikit_learn():
    """It has the principal components of embeddings, standardised or not, but for their signs."""
    vectors = np.random.default_rng(4).normal(size=(300, 40)) @ np.diag(np.linspace(1, 30, 40))
    scaled = {"mean": StandardScaler().fit_transform(vectors), "query": vectors}
    for pooling, compared in scaled.items():
        expected = PCA(30, svd_solver="full").fit_transform(compared)
        space = embedding_space(vectors.astype(np.float64), pooling)
        signs = np.sign((space * expected).sum(axis=0))
        np.testing.assert_allclose(space, expected * signs, atol=1e-9)
