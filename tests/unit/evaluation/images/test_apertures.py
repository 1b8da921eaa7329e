"""Sums in masks and circles, and widths of point sources, against values known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.cutouts import middle_of
from astromodal.evaluation.images.apertures import (
    APERTURES,
    FWHM_OF_SIGMA,
    aperture_fluxes,
    are_stars,
    decoded_sums,
    gaussian_widths,
    mask_sums,
    peaks,
    sky_noise,
    star_widths,
)
from astromodal.simulate.cutouts import CENTRE, PIXEL, SIZE
from astromodal.tokenizers.images.pixels import PIXEL_SCALE


def _gaussian(sigma, x=0.0, y=0.0, size=48, flux=100.0):
    offset = np.arange(size) - size // 2
    squared = (offset[None, :] - x) ** 2 + (offset[:, None] - y) ** 2
    return flux * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)


MIDDLE = np.zeros((1, 2))


def test_light_in_an_aperture_by_hand():
    """A flat image of 2 counts/s a pixel gives twice the circle's area, wherever it stands."""
    flat = np.full((2, 1, 24, 24), 2.0, np.float32)
    flux = aperture_fluxes(flat, flat > 0, np.array([[0.0, 0.0], [0.4, -0.3]]))
    area = np.pi * (np.array(APERTURES) / 2 / PIXEL_SCALE) ** 2
    np.testing.assert_allclose(flux[:, 0], [2 * area] * 2)


def test_gaussian_in_an_aperture():
    """A wide Gaussian loses exp(-r² / 2 sigma²) of its light outside the circle around its place.

    Pixels hold their light evenly, which adds a pixel's own variance, 1/12, to the Gaussian's 9.
    """
    image = _gaussian(3.0, 0.4, -0.2)[None, None]
    flux = aperture_fluxes(image, image > 0, np.array([[0.4, -0.2]]))
    radii = np.array(APERTURES) / 2 / PIXEL_SCALE
    expected = 100 * (1 - np.exp(-(radii**2) / 2 / (9 + 1 / 12)))
    np.testing.assert_allclose(flux[0, 0], expected, rtol=5e-3)


def test_an_unmeasured_pixel_spoils_the_apertures_that_touch_it():
    """A hole 4 pixels off the middle lies outside 2 and 3 arcsec, and inside 6."""
    flat = np.ones((1, 1, 24, 24))
    valid = flat > 0
    valid[0, 0, 12, 16] = False
    flux = aperture_fluxes(flat, valid, MIDDLE)[0, 0]
    assert np.isnan(flux).tolist() == [diameter == 6 for diameter in APERTURES]
    valid[0, 0, 12, 14] = False
    assert np.isnan(aperture_fluxes(flat, valid, MIDDLE)[0, 0, 0])


def test_the_brightest_pixel_is_that_of_the_measured_source():
    """Decoded light is that of the same pixel, though another one is brighter."""
    pixels = np.stack([_gaussian(1.5, 0.4, -0.1)])[None]
    decoded = np.full_like(pixels, 7.0)
    decoded[0, 0, 24, 24], decoded[0, 0, 25, 25] = 5.0, 90.0
    places, valid = np.array([[0.4, -0.1]]), pixels > -1
    assert peaks(pixels, pixels, valid, places)[0, 0] == pixels.max()
    assert peaks(decoded, pixels, valid, places)[0, 0] == 5


def test_the_brightest_pixel_is_looked_for_in_the_core():
    """A brighter neighbour is not the source; without a place, or with a hole, there is no peak."""
    pixels = _gaussian(1.2)[None, None] + _gaussian(1.2, x=5.0, flux=1e4)[None, None]
    valid = pixels > -1
    assert peaks(pixels, pixels, valid, MIDDLE)[0, 0] == pixels[0, 0, 24, 23:26].max()
    assert np.isnan(peaks(pixels, pixels, valid, np.full((1, 2), np.nan))[0, 0])
    valid[0, 0, 24, 23] = False
    assert np.isnan(peaks(pixels, pixels, valid, MIDDLE)[0, 0])


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


def test_widths_of_stars_alone():
    """The width of a star is in arcsec; that of another source is NaN."""
    pixels = np.broadcast_to(_gaussian(1.5, size=24), (3, 1, 24, 24))
    circle = np.ones((3, 1, len(APERTURES)))
    circle[2, 0, -1] = np.nan  # a pixel of the widest aperture was not measured
    widths = star_widths(pixels, circle, np.array([True, False, True]))
    assert widths[0, 0] == pytest.approx(2.3548 * 1.5 * 0.55, rel=1e-3)
    assert np.isnan(widths[1:]).all()


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


def test_pixel_and_middle_are_the_simulators():
    """One pixel scale, and one middle of a cutout, in the package."""
    assert (PIXEL_SCALE, middle_of(SIZE)) == (PIXEL, CENTRE)
