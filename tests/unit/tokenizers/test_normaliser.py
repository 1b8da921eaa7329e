import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.errors import DataError
from astromodal.tokenizers.normaliser import SOFTENING, ImageNormaliser, sky_sigma

BANDS = ("U", "R")
NORMALISER = ImageNormaliser(BANDS, np.array([0.1, 2.0]))
COUNTS = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float32, (2, 2, 4, 4), elements=COUNTS))
def test_inverse_gives_back_counts(pixels):
    """Absolute flux survives in every band: the inverse gives the pixels that went in."""
    x = NORMALISER.forward(pixels, np.ones(pixels.shape, bool))
    np.testing.assert_allclose(NORMALISER.inverse(x), pixels, rtol=1e-5, atol=1e-6)


@given(arrays(np.float32, (1, 2, 4, 4), elements=COUNTS), st.integers(0, 31))
def test_a_pixel_depends_on_itself_alone(pixels, place):
    """No cutout is scaled by its own content: a pixel's value changes no other's."""
    changed = pixels.copy()
    changed.flat[place] = 12345.0
    valid = np.ones(pixels.shape, bool)
    before, after = NORMALISER.forward(pixels, valid), NORMALISER.forward(changed, valid)
    np.testing.assert_array_equal(np.delete(before, place), np.delete(after, place))


def test_known_values():
    """arcsinh(counts / softening), and 0 where a pixel is not valid."""
    pixels = np.zeros((1, 2, 1, 3), np.float32)
    pixels[0, 0], pixels[0, 1] = [0.1, -0.1, 7.0], [2.0, 0.0, np.nan]
    valid = np.array([True, True, False]) & np.ones(pixels.shape, bool)
    x = NORMALISER.forward(pixels, valid)
    one = np.arcsinh(1.0)
    np.testing.assert_allclose(x[0, :, 0], [[one, -one, 0], [one, 0, 0]], rtol=1e-6)


def test_inverse_is_finite():
    """Whatever a network makes of a code, the decoded pixels are finite."""
    x = np.array([1e30, -1e30]).reshape(1, 2, 1, 1)
    assert np.isfinite(NORMALISER.inverse(x)).all()


def test_fit_takes_the_median_of_the_sky():
    """One cutout in a bright cluster does not move a band's softening."""
    fitted = ImageNormaliser.fit(BANDS, np.array([[1.0, 2.0], [1.2, 2.0], [90.0, np.nan]]))
    np.testing.assert_allclose(fitted.softening, [1.2 * SOFTENING, 2.0 * SOFTENING])


@pytest.mark.parametrize(
    ("sky", "expected"),
    [([[3.0, np.nan]], [3.0, 3.0]), (np.empty((0, 2)), [1.0, 1.0]), ([[0.0, 2.0]], [2.0, 2.0])],
)
def test_fit_without_data(sky, expected):
    """A band that nothing is known of takes the others' softening; without any it is 1."""
    fitted = ImageNormaliser.fit(BANDS, np.array(sky))
    np.testing.assert_allclose(fitted.softening, SOFTENING * np.array(expected))


def test_sky_sigma_ignores_the_source():
    """A star in the middle and invalid pixels do not change the sky's sigma."""
    pixels = np.random.default_rng(0).normal(scale=0.3, size=(1, 2, 64, 64))
    pixels[0, 0, 28:36, 28:36] += 1e4
    valid = np.ones(pixels.shape, bool)
    valid[0, 0, :10] = False
    pixels[0, 0, :10] = 1e9
    valid[0, 1] = False
    sigma = sky_sigma(pixels, valid)
    assert sigma[0, 0] == pytest.approx(0.3, rel=0.06)
    assert np.isnan(sigma[0, 1])


def test_wrong_number_of_bands():
    """Cutouts of other bands are refused."""
    with pytest.raises(DataError, match=r"cutouts must be of shape \(m, 2, S, S\), bands U R, got"):
        NORMALISER.forward(np.zeros((1, 3, 4, 4)), np.ones((1, 3, 4, 4), bool))
    with pytest.raises(DataError, match="cutouts must be of shape"):
        NORMALISER.inverse(np.zeros((2, 4, 4)))


def test_arrays_make_the_same_normaliser():
    """from_arrays undoes arrays."""
    again = ImageNormaliser.from_arrays(NORMALISER.arrays())
    assert again.bands == BANDS
    np.testing.assert_array_equal(again.softening, NORMALISER.softening)
