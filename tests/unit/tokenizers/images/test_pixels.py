"""The place of a source in its cutout, and circles around it, against values known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.tokenizers.images.pixels import (
    FARTHEST,
    PIXEL_SCALE,
    circle_weights,
    near,
    source_places,
)

SKY = np.array([0.5, 2.0])
Y, X = np.mgrid[:48, :48] - 24.0


def star(x: float, y: float, flux: float = 1000.0, sigma: float = 1.5) -> np.ndarray:
    """A Gaussian star at (x, y) from the middle, in both bands, float64 (1, 2, 48, 48)."""
    image = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return np.stack([flux * image, 4 * flux * image])[None]


def place(image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    known = np.ones(image.shape, bool) if valid is None else valid
    return source_places(image, known, SKY)[0]


@given(
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
    sigma=st.floats(1.0, 2.0),
    flux=st.sampled_from([300.0, 1e6]),
)
def test_a_star_is_found(x, y, sigma, flux):
    """Anywhere in the middle pixel, sharp or blurred, x along columns: within 0.02 pixels."""
    np.testing.assert_allclose(place(star(x, y, flux, sigma)), [x, y], atol=0.02)


def test_noise_moves_a_source_little():
    """At a S/N of 100 in each of two bands places scatter by less than 0.03 pixels, about 0."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 2, 48, 48)) * SKY[:, None, None]
    images = np.concatenate([star(0.3, -0.2, 220.0)] * 200) + noise
    found = source_places(images, np.ones(images.shape, bool), SKY) - [0.3, -0.2]
    assert np.abs(found.mean(0)).max() < 0.01
    assert found.std(0).max() < 0.03


def test_a_neighbour_moves_a_source_little():
    """One as bright, 6 pixels away, by less than 0.15 pixels; 8 pixels away, by none to see."""
    for distance, moved in ((6.0, 0.15), (8.0, 0.02)):
        found = place(star(0.2, 0.1) + star(distance, 0.1))
        np.testing.assert_allclose(found, [0.2, 0.1], atol=moved)


def test_a_band_with_a_hole_does_not_count():
    """The place is that of the other bands; pixels that were not measured may be NaN."""
    image, valid = star(0.2, 0.1), np.ones((1, 2, 48, 48), bool)
    image[:, 1] = star(-0.5, 0.5)[:, 1]
    valid[0, 1, 24, 26] = False
    image[~valid] = np.nan
    np.testing.assert_allclose(place(image, valid), [0.2, 0.1], atol=0.02)


def test_without_light_there_is_no_place():
    """Of an empty sky, of a hole in it, and of a cutout of which nothing was measured."""
    noise = np.random.default_rng(1).normal(size=(1, 2, 48, 48)) * SKY[:, None, None]
    image = star(0.0, 0.0)
    for dark, valid in (
        (noise, np.ones(noise.shape, bool)),
        (-image, np.ones(image.shape, bool)),
        (image, np.zeros(image.shape, bool)),
    ):
        assert np.isnan(place(dark, valid)).all()


def test_another_source_is_not_taken_for_it():
    """Beside a source that is not seen, a bright neighbour 4 pixels away gives no place."""
    assert np.isnan(place(star(4.0, -1.0, 1e5))).all()
    assert FARTHEST < 4


def test_places_do_not_depend_on_the_batch():
    """One cutout alone or among others: the same bits."""
    noise = np.random.default_rng(2).normal(size=(9, 2, 48, 48)) * SKY[:, None, None]
    images = star(0.1, 0.3) + noise
    known = np.ones(images.shape, bool)
    together = source_places(images, known, SKY)
    np.testing.assert_array_equal(source_places(images[4:5], known[4:5], SKY)[0], together[4])


def test_surroundings_of_the_middle():
    """Two pixels around pixel 48 of 96; a small cutout ends before."""
    assert near(96, 2) == slice(46, 51)
    assert near(8, 6) == slice(0, 8)


def weights(size: int, radius: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Weights of one circle, given by its radius (pixel), in the whole cutout."""
    inside, found = circle_weights(size, [2 * radius * PIXEL_SCALE], np.array([[x, y]]))
    out = np.zeros((size, size))
    out[inside, inside] = found[0, 0]
    return out


@given(radius=st.floats(0.05, 12.9), x=st.floats(-2, 2), size=st.sampled_from([32, 33]))
def test_weights_sum_to_the_circle(radius, x, size):
    """Whatever the radius and the place: pi r²."""
    found = weights(size, radius, x)
    assert found.sum() == pytest.approx(np.pi * radius**2, rel=1e-9)
    assert found.min() >= 0
    assert found.max() <= 1


def test_small_circle_by_hand():
    """Around a pixel's middle a circle of radius 0.5 covers pi/4 of it, and no other pixel."""
    found = weights(3, 0.5)
    assert found[1, 1] == pytest.approx(np.pi / 4)
    assert np.delete(found.ravel(), 4) == pytest.approx(0)


def test_circle_between_four_pixels_by_hand():
    """Of a circle of radius 1 around a corner, each of four pixels holds a quarter."""
    assert weights(4, 1.0, -0.5, -0.5)[1:3, 1:3] == pytest.approx(np.full((2, 2), np.pi / 4))


def test_circle_moves_with_its_place():
    """Columns run along x, rows along y."""
    found = weights(9, 1.0, x=2.0, y=-1.0)
    assert np.unravel_index(found.argmax(), found.shape) == (3, 6)


def test_a_missing_place_is_the_middle():
    """NaN stands for the middle of the cutout."""
    np.testing.assert_array_equal(weights(9, 2.0, np.nan, np.nan), weights(9, 2.0))


def test_weights_against_fine_sampling():
    """Exact weights agree with counting 100 × 100 points in every pixel."""
    fine = (np.arange(900) + 0.5) / 100 - 4.5
    inside = (fine[None, :] - 0.3) ** 2 + fine[:, None] ** 2 <= 2.727**2
    counted = inside.reshape(9, 100, 9, 100).mean((1, 3))
    assert weights(9, 2.727, 0.3) == pytest.approx(counted, abs=2e-3)
