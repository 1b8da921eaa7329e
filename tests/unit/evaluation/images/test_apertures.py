"""Light in circles and widths of point sources, against areas and profiles known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.images.apertures import (
    ARCSEC,
    FWHM_OF_SIGMA,
    aperture_sums,
    circle_overlap,
    complete,
    gaussian_widths,
)
from astromodal.simulate.cutouts import PIXEL


def _gaussian(sigma, x=0.0, y=0.0, size=48, flux=100.0):
    offset = np.arange(size) - (size - 1) / 2
    squared = (offset[None, :] - x) ** 2 + (offset[:, None] - y) ** 2
    return flux * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)


@given(radius=st.floats(0.05, 15.9), size=st.sampled_from([32, 33]))
def test_overlaps_sum_to_the_circle(radius, size):
    """Whatever the radius, and whether a pixel stands in the middle or not: pi r²."""
    overlap = circle_overlap(size, radius)
    assert overlap.sum() == pytest.approx(np.pi * radius**2, rel=1e-9)
    assert overlap.min() >= 0
    assert overlap.max() <= 1


def test_small_circle_by_hand():
    """Around a pixel's middle a circle of radius 0.5 covers pi/4 of it, and no other pixel."""
    overlap = circle_overlap(3, 0.5)
    assert overlap[1, 1] == pytest.approx(np.pi / 4)
    assert np.delete(overlap.ravel(), 4) == pytest.approx(0)


def test_circle_between_four_pixels_by_hand():
    """Of a circle of radius 1 around a corner, each of four pixels holds a quarter."""
    assert circle_overlap(2, 1.0) == pytest.approx(np.full((2, 2), np.pi / 4))


def test_square_inside_the_circle_by_hand():
    """Radius sqrt(2): the four inner pixels are full; one beside them holds (pi/2 - 1)/2 of it.

    The circle's area is 2 pi, the square of side 2 leaves four segments, each cut by an axis.
    """
    overlap = circle_overlap(4, np.sqrt(2.0))
    assert overlap[1:3, 1:3] == pytest.approx(1)
    assert overlap[0, 1] == pytest.approx((np.pi / 2 - 1) / 2)
    assert overlap[0, 0] == pytest.approx(0)


def test_overlap_against_fine_sampling():
    """Exact overlaps agree with counting 100 × 100 points in every pixel."""
    fine = (np.arange(900) + 0.5) / 100 - 4.5
    inside = fine[None, :] ** 2 + fine[:, None] ** 2 <= 2.727**2
    counted = inside.reshape(9, 100, 9, 100).mean((1, 3))
    assert circle_overlap(9, 2.727) == pytest.approx(counted, abs=2e-3)


def test_light_in_an_aperture_by_hand():
    """A flat image of 2 counts/s a pixel gives twice the circle's area."""
    overlap = np.stack([circle_overlap(9, 2.0), circle_overlap(9, 4.0)])
    found = aperture_sums(np.full((1, 1, 9, 9), 2.0, np.float32), overlap)
    assert found[0, 0] == pytest.approx([8 * np.pi, 32 * np.pi])


def test_gaussian_in_an_aperture():
    """A wide Gaussian loses exp(-r² / 2 sigma²) of its light outside the circle.

    Pixels hold their light evenly, which adds a pixel's own variance, 1/12, to the Gaussian's 9.
    """
    found = aperture_sums(_gaussian(3.0)[None, None], circle_overlap(48, 6.0)[None])
    assert found[0, 0, 0] == pytest.approx(100 * (1 - np.exp(-18 / (9 + 1 / 12))), rel=2e-3)


def test_an_unmeasured_pixel_spoils_the_apertures_that_touch_it():
    """A hole 3 pixels off the middle lies outside a radius of 2, and inside one of 4."""
    overlap = np.stack([circle_overlap(9, 2.0), circle_overlap(9, 4.0)])
    valid = np.ones((1, 1, 9, 9), bool)
    valid[0, 0, 4, 7] = False
    assert complete(valid, overlap)[0, 0].tolist() == [True, False]


@given(sigma=st.floats(1.0, 3.0), x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5))
def test_width_of_a_gaussian(sigma, x, y):
    """A Gaussian's width is found wherever it stands in its pixel."""
    assert gaussian_widths(_gaussian(sigma, x, y)) == pytest.approx(FWHM_OF_SIGMA * sigma, rel=5e-3)


def test_width_of_the_sharpest_stars():
    """Two pixels of FWHM, the best seeing, are barely sampled: within 3 %, as documented."""
    for place in (0.0, 0.25, 0.5):
        found = gaussian_widths(_gaussian(2 / FWHM_OF_SIGMA, place, place))
        assert found == pytest.approx(2.0, rel=0.03)


def test_width_does_not_depend_on_brightness():
    """A hundred times the light has the same width."""
    image = _gaussian(1.3)
    assert gaussian_widths(100 * image) == pytest.approx(gaussian_widths(image))


def test_width_under_noise_is_unbiased():
    """At a S/N of about 100 the mean of many noisy widths lies within 1 % of the true one."""
    noise = np.random.default_rng(0).normal(0, 0.16, (200, 48, 48))
    widths = gaussian_widths(_gaussian(1.4) + noise)
    assert np.nanmean(widths) == pytest.approx(FWHM_OF_SIGMA * 1.4, rel=0.01)


def test_width_keeps_the_leading_shape():
    """Images (m, B, S, S) give widths (m, B)."""
    assert gaussian_widths(np.broadcast_to(_gaussian(1.0), (2, 3, 48, 48))).shape == (2, 3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 48)),
        np.full((48, 48), -1.0),
        np.ones((48, 48)),
        np.full((48, 48), np.nan),
        _gaussian(1.2, x=9.0),
    ],
    ids=["nothing", "negative", "flat", "NaN", "another source"],
)
def test_no_star_has_no_width(image):
    """Where no star stands in the middle the width is NaN, without a warning."""
    assert np.isnan(gaussian_widths(image))


def test_pixel_is_the_simulators():
    """One pixel scale in the package."""
    assert ARCSEC == PIXEL
