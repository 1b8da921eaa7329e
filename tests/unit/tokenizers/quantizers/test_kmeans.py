import joblib
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import cKDTree

from astromodal.errors import DataError
from astromodal.tokenizers.quantizers.kmeans import (
    N_SEEDING,
    KMeans,
    choose_seeds,
    write_joblib,
)
from astromodal.tokenizers.quantizers.nearest import NearestCentroid


def points(most: int, d: int, limit: float):
    shape = st.tuples(st.integers(1, most), st.just(d))
    return arrays(np.float32, shape, elements=st.floats(-limit, limit, width=32))


POINTS = st.integers(1, 3).flatmap(lambda d: st.tuples(points(30, d, 5), points(20, d, 1e6)))
SMALL = st.integers(-2, 2).map(float)


def brute_force(x, centroids):
    """Squared distances of all points to all centroids, float64."""
    return ((x[:, None].astype(np.float64) - centroids.astype(np.float64)) ** 2).sum(axis=2)


@given(POINTS)
def test_nearest_is_brute_force(case):
    """No centroid is nearer than the one chosen, also for points far outside."""
    centroids, x = case
    distances = brute_force(x, centroids)
    chosen = distances[np.arange(len(x)), NearestCentroid(centroids).encode(x)]
    np.testing.assert_allclose(chosen, distances.min(axis=1), rtol=1e-12)


@given(POINTS, st.randoms(use_true_random=False))
def test_codes_do_not_depend_on_the_batch(case, random):
    """One at a time, all at once, in any order: the same codes."""
    centroids, x = case
    order = list(range(len(x)))
    random.shuffle(order)
    fitted = NearestCentroid(centroids)
    every = fitted.encode(x)
    assert fitted.encode(x[order]).tolist() == every[order].tolist()
    assert [int(fitted.encode(x[i : i + 1])[0]) for i in range(len(x))] == every.tolist()


@pytest.mark.parametrize("d", [2, 3])
def test_threads_change_nothing(d):
    """Codes and codebooks are the same, bit for bit, whatever the number of threads."""
    generator = np.random.default_rng(0)
    x, centroids = generator.normal(size=(1001, d)), generator.normal(size=(70, d))
    np.testing.assert_array_equal(
        NearestCentroid(centroids).encode(x, 3), NearestCentroid(centroids).encode(x)
    )
    first, other = (KMeans.fit(x, 20, 3, 0, threads=n).centroids for n in (1, 2))
    np.testing.assert_array_equal(first, other)


def greedy_seeds(x, uniforms):
    """Greedy k-means++ that looks at every point for every trial."""
    x = x[cKDTree(x).indices]
    seeds = [x[int(uniforms[0, 0] * len(x))]]
    squared = brute_force(x, np.stack(seeds))[:, 0]
    for uniform in uniforms[1:]:
        if not squared.any():
            break
        reached = np.cumsum(squared)
        trials = x[np.searchsorted(reached, uniform * reached[-1], side="right")]
        left = np.minimum(squared[:, None], brute_force(x, trials))
        best = left.sum(axis=0).argmin()
        seeds.append(trials[best])
        squared = left[:, best]
    return np.stack(seeds)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 1500),
    st.integers(1, 4),
    st.sampled_from([1, 20, 999]),
)
@example(seed=0, n=4 * 256, d=2, extent=20)
def test_seeds_are_those_of_greedy_kmeans(seed, n, d, extent):
    """Blocks that are passed over change no seed; on whole numbers, whose sums are exact."""
    generator = np.random.default_rng(seed)
    x = np.rint(extent * generator.normal(size=(n, d)))
    uniforms = generator.random((40, 5))
    np.testing.assert_array_equal(choose_seeds(x, uniforms), greedy_seeds(x, uniforms))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_points_must_be_finite(bad):
    """A coordinate without a finite square has no nearest centroid."""
    with pytest.raises(DataError, match="points to cluster must be finite"):
        NearestCentroid(np.zeros((1, 2))).encode(np.array([[bad, 0.0]]))
    with pytest.raises(DataError, match="points to cluster must be finite"):
        KMeans.fit(np.array([[bad, 0.0]]), 2, 1, 0)


def test_separated_clusters_are_found():
    """Four far clumps, four centroids: each is the mean of its clump."""
    generator = np.random.default_rng(1)
    means = np.array([[0, 0], [10, 50], [50, 0], [60, 50]])  # in the order of the centroids
    x = np.repeat(means, 100, axis=0) + generator.normal(size=(400, 2))
    found = KMeans.fit(x, 4, 5, 0)
    np.testing.assert_allclose(found.centroids, x.reshape(4, 100, 2).mean(axis=1), rtol=1e-5)
    assert found.counts.tolist() == [100] * 4


def test_counts_and_inertia_describe_the_centroids():
    """They are those of the centroids that are returned, not of the step before."""
    x = np.random.default_rng(2).normal(size=(500, 3)).astype(np.float32)
    found = KMeans.fit(x, 20, 3, 0)
    distances = brute_force(x, found.centroids)
    assert found.inertia == pytest.approx(distances.min(axis=1).mean())
    np.testing.assert_array_equal(found.counts, np.bincount(distances.argmin(axis=1), minlength=20))


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(0, 40), st.just(2)),
        elements=SMALL,
    ),
    st.integers(1, 30),
)
def test_fewer_distinct_points_make_fewer_centroids(x, k):
    """min(k, distinct) centroids, all distinct, each with a point of its own."""
    found = KMeans.fit(x, k, 3, 0)
    distinct = len(np.unique(x, axis=0)) if len(x) else 0
    assert len(np.unique(found.centroids, axis=0)) == len(found.centroids) <= min(k, distinct)
    if distinct <= k:
        np.testing.assert_array_equal(found.centroids, np.unique(x, axis=0))
    assert (found.counts > 0).all()
    assert found.counts.sum() == len(x)


def test_no_points_make_no_centroids():
    """The codebook of a group without data is empty, and keeps its dimension."""
    found = KMeans.fit(np.empty((0, 2)), 8, 3, 0)
    assert found.centroids.shape == (0, 2)
    assert found.inertia == 0


def test_the_same_seed_gives_the_same_codebook():
    """Bit for bit; another seed gives another one."""
    x = np.random.default_rng(3).normal(size=(N_SEEDING + 1000, 2))
    first, again, other = (KMeans.fit(x, 10, 2, seed).centroids for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_points_that_the_subsample_missed_get_centroids():
    """A seed without points of its own moves: all distinct points are found in the end."""
    x = np.zeros((N_SEEDING * 10, 2))
    x[:5] = np.arange(1, 6)[:, None]
    assert len(KMeans.fit(x, 6, 3, 0).centroids) == 6


def test_progress_sees_every_step():
    """The steps are announced with their number."""
    seen = []

    def progress(iterable, total, what):
        seen.append((total, what))
        return iterable

    KMeans.fit(np.eye(3), 2, 4, 0, progress)
    assert seen == [(4, "k-means")]


def test_the_input_is_not_modified():
    """Points stay as they are."""
    x = np.random.default_rng(4).normal(size=(50, 2))
    before = x.copy()
    KMeans.fit(x, 5, 2, 0)
    np.testing.assert_array_equal(x, before)


def test_scikit_learn_users_get_the_same_codes(tmp_path):
    """The dumped model predicts what `encode` returns."""
    x = np.random.default_rng(5).normal(size=(200, 2)).astype(np.float32)
    centroids = KMeans.fit(x, 10, 3, 0).centroids
    write_joblib(tmp_path / "k.joblib", centroids)
    model = joblib.load(tmp_path / "k.joblib")
    np.testing.assert_array_equal(model.predict(x), NearestCentroid(centroids).encode(x))


def test_an_empty_codebook_can_be_dumped(tmp_path):
    """A group without data still leaves its promised file."""
    write_joblib(tmp_path / "k.joblib", np.empty((0, 2), np.float32))
    assert joblib.load(tmp_path / "k.joblib").cluster_centers_.shape == (0, 2)
