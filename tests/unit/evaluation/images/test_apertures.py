"""Sums in masks and circles, and widths of point sources, against values known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.images.apertures import (
    FWHM_OF_SIGMA,
    PIXEL_SCALE,
    aperture_fluxes,
    aperture_weights,
    are_stars,
    circle_weights,
    decoded_sums,
    gaussian_widths,
    is_complete,
    mask_sums,
    sky_noise,
    star_widths,
)
from astromodal.simulate.cutouts import PIXEL


def _gaussian(sigma, x=0.0, y=0.0, size=48, flux=100.0):
    offset = np.arange(size) - (size - 1) / 2
    squared = (offset[None, :] - x) ** 2 + (offset[:, None] - y) ** 2
    return flux * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)


@given(radius=st.floats(0.05, 15.9), size=st.sampled_from([32, 33]))
def test_weightss_sum_to_the_circle(radius, size):
    """Whatever the radius, and whether a pixel stands in the middle or not: pi r²."""
    weights = circle_weights(size, radius)
    assert weights.sum() == pytest.approx(np.pi * radius**2, rel=1e-9)
    assert weights.min() >= 0
    assert weights.max() <= 1


def test_small_circle_by_hand():
    """Around a pixel's middle a circle of radius 0.5 covers pi/4 of it, and no other pixel."""
    weights = circle_weights(3, 0.5)
    assert weights[1, 1] == pytest.approx(np.pi / 4)
    assert np.delete(weights.ravel(), 4) == pytest.approx(0)


def test_circle_between_four_pixels_by_hand():
    """Of a circle of radius 1 around a corner, each of four pixels holds a quarter."""
    assert circle_weights(2, 1.0) == pytest.approx(np.full((2, 2), np.pi / 4))


def test_square_inside_the_circle_by_hand():
    """Radius sqrt(2): the four inner pixels are full; one beside them holds (pi/2 - 1)/2 of it.

    The circle's area is 2 pi, the square of side 2 leaves four segments, each cut by an axis.
    """
    weights = circle_weights(4, np.sqrt(2.0))
    assert weights[1:3, 1:3] == pytest.approx(1)
    assert weights[0, 1] == pytest.approx((np.pi / 2 - 1) / 2)
    assert weights[0, 0] == pytest.approx(0)


def test_weights_against_fine_sampling():
    """Exact weightss agree with counting 100 × 100 points in every pixel."""
    fine = (np.arange(900) + 0.5) / 100 - 4.5
    inside = fine[None, :] ** 2 + fine[:, None] ** 2 <= 2.727**2
    counted = inside.reshape(9, 100, 9, 100).mean((1, 3))
    assert circle_weights(9, 2.727) == pytest.approx(counted, abs=2e-3)


def test_light_in_an_aperture_by_hand():
    """A flat image of 2 counts/s a pixel gives twice the circle's area."""
    weights = np.stack([circle_weights(9, 2.0), circle_weights(9, 4.0)])
    flat = np.full((1, 1, 9, 9), 2.0, np.float32)
    flux = aperture_fluxes(flat, flat > 0, weights)
    assert flux[0, 0] == pytest.approx([8 * np.pi, 32 * np.pi])


def test_gaussian_in_an_aperture():
    """A wide Gaussian loses exp(-r² / 2 sigma²) of its light outside the circle.

    Pixels hold their light evenly, which adds a pixel's own variance, 1/12, to the Gaussian's 9.
    """
    image = _gaussian(3.0)[None, None]
    flux = aperture_fluxes(image, image > 0, circle_weights(48, 6.0)[None])
    assert flux[0, 0, 0] == pytest.approx(100 * (1 - np.exp(-18 / (9 + 1 / 12))), rel=2e-3)


def test_an_unmeasured_pixel_spoils_the_apertures_that_touch_it():
    """A hole 3 pixels off the middle lies outside a radius of 2, and inside one of 4."""
    weights = np.stack([circle_weights(9, 2.0), circle_weights(9, 4.0)])
    valid = np.ones((1, 1, 9, 9), bool)
    valid[0, 0, 4, 7] = False
    assert is_complete(valid, weights)[0, 0].tolist() == [True, False]


@given(sigma=st.floats(1.0, 3.0), x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5))
def test_width_of_a_gaussian(sigma, x, y):
    """The width of a Gaussian does not depend on its place in a pixel."""
    assert gaussian_widths(_gaussian(sigma, x, y)) == pytest.approx(FWHM_OF_SIGMA * sigma, rel=5e-3)


def test_width_of_the_sharpest_stars():
    """Two pixels of FWHM, the best seeing, are barely sampled: within 3 %, as documented."""
    for place in (0.0, 0.25, 0.5):
        width = gaussian_widths(_gaussian(2 / FWHM_OF_SIGMA, place, place))
        assert width == pytest.approx(2.0, rel=0.03)


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


def test_sums_by_hand():
    """Inside the mask: flux 1 + 3, total (1 - 2)² + (3 - 2)², residual (1 - 0)² + (3 - 4)²."""
    pixels = np.array([[[[1.0, 3.0], [7.0, 9.0]]]])
    valid = np.array([[[[True, True], [False, True]]]])
    mask = np.array([[[True, True], [True, False]]])
    decoded = np.array([[[[0.0, 4.0], [50.0, 50.0]]]])
    sums, back = mask_sums(pixels, valid, mask), decoded_sums(pixels, decoded, valid, mask)
    measured = [sums.n_pixels, sums.flux, sums.total, sums.noise]
    assert [float(values[0, 0]) for values in measured] == [2, 4, 2, 0]
    assert (float(back.flux[0, 0]), float(back.residual[0, 0])) == (4, 2)


def test_sky_noise_ignores_the_source():
    """Sigma of the sky is that of the pixels outside the mask."""
    pixels = np.random.default_rng(0).normal(0, 3, (1, 1, 64, 64))
    sky = np.ones(pixels.shape, bool)
    sky[..., 30:34, 30:34] = False
    pixels[~sky] = 1e6
    assert sky_noise(pixels, sky)[0, 0] == pytest.approx(3, rel=0.05)


def test_sky_noise_without_sky_is_zero():
    """A band without a sky pixel has no noise that could be measured."""
    assert sky_noise(np.ones((1, 1, 2, 2)), np.zeros((1, 1, 2, 2), bool))[0, 0] == 0


def test_apertures_by_hand():
    """On a flat image of 1 count/s a pixel the circles hold pi/4 (3 / 0.55)² and its multiples."""
    flat = np.ones((1, 1, 24, 24))
    area = np.pi / 4 * (3 / 0.55) ** 2
    flux = aperture_fluxes(flat, flat > 0, aperture_weights(24))
    assert flux[0, 0] == pytest.approx([area, 4 / 9 * area, 4 * area])


def test_aperture_with_a_hole_is_nan():
    """A hole 4 pixels off the middle spoils the aperture of 6 arcsec and not those of 3 and 2."""
    flat = np.ones((1, 1, 24, 24))
    valid = flat > 0
    valid[0, 0, 12, 16] = False
    flux = aperture_fluxes(flat, valid, aperture_weights(24))[0, 0]
    assert np.isfinite(flux).tolist() == [True, True, False]


def test_widths_of_stars_alone():
    """The width of a star is in arcsec; that of another source is NaN."""
    offset = np.arange(24) - 11.5
    image = np.exp(-(offset[None, :] ** 2 + offset[:, None] ** 2) / (2 * 1.5**2))
    pixels = np.broadcast_to(image, (2, 1, 24, 24))
    widths = star_widths(pixels, pixels > -1, np.array([True, False]))
    assert widths[0, 0] == pytest.approx(2.3548 * 1.5 * 0.55, rel=1e-3)
    assert np.isnan(widths[1, 0])


@pytest.mark.parametrize(
    ("row", "star"),
    [
        ([6, 1, 0, 1, 0, 1], True),
        ([-6, 1, 0, 1, 0, 1], False),
        ([0, 1, 4, 1, -4, 1], True),
        ([0, 1, 3, 1, 3, 1], False),
        ([np.nan, np.nan, -6, 1, np.nan, 1], True),
        ([np.nan] * 6, False),
        ([6, 0, 0, 0, 0, 0], False),
    ],
    ids=["parallax", "negative", "motion", "slow", "no parallax", "no Gaia", "no error"],
)
def test_stars_by_hand(row, star):
    """Parallax above 5 sigmas, or proper motion: sqrt(4² + 4²) is above 5, sqrt(3² + 3²) below."""
    assert are_stars(np.array([row], dtype=float))[0] == star


def test_pixel_is_the_simulators():
    """One pixel scale in the package."""
    assert PIXEL_SCALE == PIXEL
