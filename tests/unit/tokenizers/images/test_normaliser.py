import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.errors import DataError
from astromodal.tokenizers.images.normaliser import SOFTENING, ImageNormaliser, sky_sigma

BANDS = ("U", "R")
NORMALISER = ImageNormaliser(BANDS, np.array([0.1, 2.0]))
COUNTS = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None)  # the first call compiles
@given(arrays(np.float32, (2, 2, 4, 4), elements=COUNTS))
def test_inverse_gives_back_counts(pixels):
    """Absolute flux survives in every band: the inverse gives the pixels that went in."""
    x = NORMALISER.forward(pixels, np.ones(pixels.shape, bool))
    np.testing.assert_allclose(NORMALISER.inverse(x), pixels, rtol=1e-5, atol=1e-6)


@settings(deadline=None)  # the first call compiles
@given(arrays(np.float32, (1, 2, 4, 4), elements=COUNTS), st.integers(0, 31))
def test_a_pixel_depends_on_itself_alone(pixels, place):
    """No cutout is scaled by its own content: a pixel's value changes no other's."""
    changed = pixels.copy()
    changed.flat[place] = 12345.0
    valid = np.ones(pixels.shape, bool)
    before, after = NORMALISER.forward(pixels, valid), NORMALISER.forward(changed, valid)
    np.testing.assert_array_equal(np.delete(before, place), np.delete(after, place))


def test_exact_to_one_in_a_million():
    """From a thousandth of the sky's noise to the brightest star: 1e-6 of float64's arcsinh."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-1, 1], (3, 2, 64, 64))
    pixels = (sign * 10 ** rng.uniform(-4, 18, sign.shape)).astype(np.float32)
    x = NORMALISER.forward(pixels, np.ones(pixels.shape, bool))
    exact = np.arcsinh(pixels.astype(np.float64) / NORMALISER.softening[:, None, None])
    np.testing.assert_allclose(x, exact, rtol=1e-6)
    counts = np.sinh(x.astype(np.float64)) * NORMALISER.softening[:, None, None]
    np.testing.assert_allclose(NORMALISER.inverse(x), counts, rtol=1e-6)


def test_same_bits_whatever_the_batch_and_the_threads():
    """One by one or all at once, on one thread or three, strided or not: the same bits."""
    rng = np.random.default_rng(1)
    pixels = rng.normal(scale=3, size=(7, 2, 5, 5)).astype(np.float32)
    valid = rng.random(pixels.shape) > 0.1
    x = NORMALISER.forward(pixels, valid)
    counts = NORMALISER.inverse(x)
    np.testing.assert_array_equal(NORMALISER.forward(pixels, valid, threads=3), x)
    np.testing.assert_array_equal(NORMALISER.inverse(x, threads=3), counts)
    for i in range(7):
        one = slice(i, i + 1)
        np.testing.assert_array_equal(NORMALISER.forward(pixels[one], valid[one]), x[one])
    turned = NORMALISER.forward(pixels.swapaxes(2, 3), valid.swapaxes(2, 3))
    np.testing.assert_array_equal(turned.swapaxes(2, 3), x)


def test_inputs_are_left_alone():
    """Neither pixels nor their validity are changed, and no cutouts give none."""
    pixels, valid = np.full((1, 2, 4, 4), np.nan, np.float32), np.zeros((1, 2, 4, 4), bool)
    for array in (pixels, valid):
        array.setflags(write=False)
    assert not NORMALISER.forward(pixels, valid).any()
    assert NORMALISER.inverse(NORMALISER.forward(pixels[:0], valid[:0], 2), 2).shape == (0, 2, 4, 4)


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
