import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.tokenizers.quantizers.nearest import Line, NearestCentroid, Plane


def plane_points(most: int, elements):
    shape = st.tuples(st.integers(1, most), st.just(2))
    return arrays(np.float64, shape, elements=elements)


ANY = st.floats(-1e30, 1e30)
NEAR = st.floats(-3, 3)
TIED = st.integers(-2, 2).map(float)


def check(centroids: np.ndarray, x: np.ndarray) -> None:
    """Indices and squared distances are those of a search through all, the first of equals."""
    squared = ((x[:, None] - centroids) ** 2).sum(axis=2)
    codes, least = Plane(centroids).nearest(x)
    np.testing.assert_array_equal(codes, squared.argmin(axis=1))
    np.testing.assert_array_equal(least, squared.min(axis=1))


@given(plane_points(60, ANY), plane_points(30, ANY))
@example(np.array([[0.0, 0.0]]), np.array([[1e30, -1e30]]))
@example(np.full((3, 2), 1e-200), np.array([[1e-200, 0.0]]))
def test_any_point_finds_what_brute_force_finds(centroids, x):
    """Far inside, far outside, whatever the scale."""
    check(centroids, x)


@given(plane_points(60, NEAR), plane_points(60, NEAR))
@example(np.array([[0.0, 0.0], [5e-324, 0.0]]), np.array([[0.0, 0.0]]))
def test_points_among_the_centroids(centroids, x):
    """Where cells decide."""
    check(centroids, x)


@given(plane_points(60, TIED), plane_points(60, TIED | st.integers(-4, 4).map(lambda i: i / 2)))
def test_of_equally_near_centroids_the_first_is_chosen(centroids, x):
    """On a lattice with half-way points and repeated centroids."""
    check(centroids, x)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e3, 1e9, 1e15]))
def test_a_cluster_far_from_the_origin(seed, offset):
    """Corners of cells are rounded coarsely there; lists must still be complete."""
    generator = np.random.default_rng(seed)
    centroids = offset + generator.normal(size=(40, 2))
    check(centroids, offset + 1.2 * generator.normal(size=(60, 2)))


@pytest.mark.parametrize("spread", ["even", "heavy tails", "a line"])
def test_two_thousand_centroids(spread):
    """A codebook of the survey's size, and centroids themselves as points."""
    generator = np.random.default_rng(1)
    c = generator.standard_t(1.5 if spread == "heavy tails" else 100, size=(2048, 2))
    if spread == "a line":
        c[:, 1] = 2 * c[:, 0]
    check(c, np.concatenate([c, 1.1 * c[generator.integers(2048, size=2000)]]))


def test_threads_share_the_points():
    """More threads than points, and fewer: the same result."""
    generator = np.random.default_rng(2)
    plane, x = Plane(generator.normal(size=(50, 2))), generator.normal(size=(101, 2))
    for threads in (2, 7, 200):
        for mine, one in zip(plane.nearest(x, threads), plane.nearest(x), strict=True):
            np.testing.assert_array_equal(mine, one)


def test_no_points():
    """An empty batch gives empty arrays."""
    codes, squared = Plane(np.zeros((1, 2))).nearest(np.empty((0, 2)))
    assert codes.shape == squared.shape == (0,)


def line_points(most: int):
    shape = st.tuples(st.integers(1, most), st.just(1))
    return arrays(np.float64, shape, elements=st.floats(-1e3, 1e3))


@given(line_points(60), line_points(30))
def test_points_on_a_line_find_a_nearest_centroid(centroids, x):
    """No centroid is nearer than the one whose code is returned, up to rounding."""
    codes, least = Line(centroids).nearest(x)
    distance = np.abs(x - centroids[:, 0])
    np.testing.assert_array_equal(least, (x[:, 0] - centroids[codes, 0]) ** 2)
    np.testing.assert_allclose(np.sqrt(least), distance.min(axis=1), atol=1e-12)


def test_codes_on_a_line():
    """They follow the order of the centroids that were given, whatever their order on the line."""
    quantizer = NearestCentroid(np.array([[5.0], [-1.0], [2.0]], np.float32))
    assert quantizer.encode(np.array([[9.0], [-9.0], [1.0], [3.4], [3.6]])).tolist() == [
        0,
        1,
        2,
        2,
        0,
    ]
