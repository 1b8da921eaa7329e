import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.spectra.bins import object_scale
from astromodal.tokenizers.spectra.grids import (
    CONTRAST,
    N_SEGMENTS,
    NOISE_STRETCH,
    SpectrumFeatures,
    compress,
    expand,
    training_samples,
)
from helpers.spectra import SETTINGS, samples_of, spectra, tokenizer_of

LINES = SETTINGS.model_copy(update={"codebook_size": 2048})
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 25))
FLAT = np.ones(100)
"""A typical noise that is the same everywhere."""


@st.composite
def binned(draw):
    shape = draw(SHAPES)
    flux = draw(arrays(np.float64, shape, elements=st.floats(-1e6, 1e6, width=32)))
    ivar = draw(arrays(np.float64, shape, elements=st.one_of(st.just(0.0), st.floats(1e-8, 1e8))))
    return np.where(ivar > 0, flux, np.nan), ivar


def test_scale_by_hand():
    """Median of sqrt(flux² + error²): of 5, 13 and 10; of 5 and 13; of nothing."""
    flux = np.array([[3, 12, 8], [3, 12, np.nan], [np.nan] * 3])
    ivar = np.array([[1 / 16, 1 / 25, 1 / 36], [1 / 16, 1 / 25, 0], [0, 0, 0]])
    np.testing.assert_allclose(object_scale(flux, ivar), [10, 9, np.nan])


@given(binned())
def test_scale_is_positive(case):
    """Wherever a bin is good, zero fluxes included; otherwise NaN."""
    scale = object_scale(*case)
    live = (case[1] > 0).any(axis=1)
    assert (scale[live] > 0).all()
    assert np.isnan(scale[~live]).all()


@given(binned())
def test_scale_is_the_median(case):
    """The same as NumPy's, row by row."""
    flux, ivar = case
    with np.errstate(divide="ignore"):
        size = np.hypot(flux, 1 / np.sqrt(ivar))
    expected = [np.median(s[g]) if g.any() else np.nan for s, g in zip(size, ivar > 0, strict=True)]
    np.testing.assert_allclose(object_scale(flux, ivar), expected)


@given(binned(), st.integers(-40, 40))
def test_features_do_not_change_with_the_unit(case, power):
    """Flux times c and ivar over c² change the scale alone, by c: features of flux are exact."""
    flux, ivar = case
    noise = FLAT[: flux.shape[1]]
    c = 2.0**power
    scale, scaled = object_scale(flux, ivar), object_scale(flux * c, ivar / c**2)
    np.testing.assert_array_equal(scaled, scale * c)
    found = compress(flux * c, ivar / c**2, scaled, noise)
    wanted = compress(flux, ivar, scale, noise)
    np.testing.assert_array_equal(found[:, :-4], wanted[:, :-4])
    np.testing.assert_allclose(found[:, -4:], wanted[:, -4:], atol=1e-10)


@given(binned())
def test_expand_undoes_compress(case):
    """Good bins come back to rounding; of two bad ones nothing does."""
    flux, ivar = case
    noise = FLAT[: flux.shape[1]]
    scale = object_scale(flux, ivar)
    found, precision = expand(compress(flux, ivar, scale, noise), scale, noise)
    good = ivar > 0
    pair = np.pad(good, ((0, 0), (0, good.shape[1] % 2))).reshape(len(good), -1, 2)
    either = np.repeat(pair.any(axis=2), 2, axis=1)[:, : good.shape[1]]
    np.testing.assert_array_equal(np.isfinite(found), either)
    np.testing.assert_array_equal(np.isfinite(precision), either)
    # Half a difference is recovered from the mean, which may be much larger.
    largest = np.fmax.reduce(np.abs(np.where(good, flux, 0)), axis=1)[:, None]
    largest = np.broadcast_to(largest + np.nan_to_num(scale)[:, None], flux.shape)
    assert (np.abs(found - flux)[good] <= 1e-9 * largest[good]).all()


def test_features_by_hand():
    """Fluxes of 3 and 1 scales: arcsinh of their mean, 2, and a contrast of 1 / sqrt(1 + 2²)."""
    flux, ivar = np.array([[6.0, 2.0, 4.0]]), np.array([[4.0, 4.0, 4.0]])
    features = compress(flux, ivar, np.array([2.0]), np.array([1.0, 1.0, 1.0]))[0]
    contrast = CONTRAST * np.arcsinh(1 / np.sqrt(5) / CONTRAST)
    np.testing.assert_allclose(features[0], [np.arcsinh(2), contrast])
    # A bin alone has no contrast. The noise is 1/2 everywhere: a quarter of the scale.
    np.testing.assert_allclose(features[1], [np.arcsinh(2), 0], atol=1e-15)
    np.testing.assert_allclose(features[2:], [[np.log(4) / NOISE_STRETCH, 0]] * 4, atol=1e-15)


def test_a_bad_bin_has_the_flux_of_its_neighbour():
    """So that the code of the good one has no contrast."""
    flux, ivar = np.array([[np.nan, 2.0, 2.0, np.nan]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    scale, noise = np.array([2.0]), np.ones(4)
    features = compress(flux, ivar, scale, noise)
    np.testing.assert_allclose(features[0, :2], [[np.arcsinh(1), 0]] * 2, atol=1e-15)
    np.testing.assert_allclose(expand(features, scale, noise)[0], [[2.0, 2.0, 2.0, 2.0]])


def test_noise_follows_its_profile():
    """A noise of the typical shape comes back to rounding, whatever its level."""
    noise = 1 + 0.5 * np.sin(np.arange(60))
    flux, ivar = np.zeros((2, 60)), (np.array([[3.0], [7.0]]) * noise) ** -2.0
    scale = object_scale(flux, ivar)
    _, found = expand(compress(flux, ivar, scale, noise), scale, noise)
    np.testing.assert_allclose(found, ivar)


def test_samples_are_pairs_with_their_precision_and_noise():
    """ln(scale / error) of the better bin; levels of noise have none; a dead spectrum has none."""
    flux = np.array([[2.0, 2.0, 2.0, np.nan, np.nan, np.nan], [np.nan] * 6])
    ivar = np.array([[1.0, 4.0, 1.0, 0, 0, 0], [0.0] * 6])
    samples = training_samples(flux, ivar, np.array([2.0, np.nan]), np.ones(6))
    assert samples.shape == (2 + N_SEGMENTS // 2, 3)
    np.testing.assert_allclose(samples[:2, 2], [np.log(4), np.log(2)])
    assert np.isnan(samples[2:, 2]).all()


def test_lines_brighter_than_any_in_training_keep_their_flux():
    """2,048 codes reproduce the sum of lines of 30 to 900 scales over two bins to a tenth."""
    flux, ivar = spectra(200)
    tokenizer = tokenizer_of({"desi_r": samples_of(flux, ivar)}, LINES)["desi_r"]
    flux, ivar = tokenizer.rebin(*spectra(40, seed=1))
    scale = object_scale(flux, ivar)
    place = np.arange(40)
    first, part = 2 * place, np.linspace(0, 1, 40)
    peak = np.geomspace(30, 900, 40) * scale
    flux[place, first], flux[place, first + 1] = peak, part * peak
    decoded, _ = tokenizer.decode(tokenizer.encode_bins(flux, ivar, scale), scale)
    total = decoded[place, first] + decoded[place, first + 1]
    np.testing.assert_allclose(total, (1 + part) * peak, rtol=0.1)


def test_artificial_lines_raise_training_bins():
    """Three in a hundred more pairs, with their own precision, and fluxes up to 1,000 scales."""
    number = np.linspace(0, 1, 5000)
    features = np.stack([3 * number - 1, 0 * number, number], 1).astype(np.float32)
    lines = SpectrumFeatures().to_fit(features, 3)[5000:5150]
    place = np.rint(lines[:, 2] * 4999).astype(int)
    assert (lines[:, 0] >= features[place, 0] - 1e-6).all()
    assert 6 < lines[:, 0].max() <= np.arcsinh(1000)
    assert 0.3 < np.abs(lines[:, 1]).max() <= CONTRAST * np.arcsinh(1 / CONTRAST)


def test_artificial_dips_lower_training_bins():
    """Three in a thousand more, behind the lines, below 0 and down to -100 scales."""
    number = np.linspace(0, 1, 50_000)
    features = np.stack([3 * number - 1, 0 * number, number], 1).astype(np.float32)
    dips = SpectrumFeatures().to_fit(features, 3)[51_500:]
    assert dips.shape == (150, 3)
    place = np.rint(dips[:, 2] * 49_999).astype(int)
    assert (dips[:, 0] <= features[place, 0] + 1e-6).all()
    assert -np.arcsinh(100) <= dips[:, 0].min() < -4
    assert (dips[:, 0] < 0).all()


def test_levels_of_noise_are_among_the_samples():
    """A fiftieth of the pairs, however many there are."""
    features = np.zeros((1000, 3), np.float32)
    features[990:] = 2, 0, np.nan
    fitted = SpectrumFeatures().to_fit(features, 3)
    assert np.isnan(fitted[:, 2]).sum() == round(0.02 * 990)


def test_precise_bins_are_drawn_more_often():
    """Of bins of precision 1 and 99, half each, 0.1 / 2 + 0.9 / 100 of the samples are of 1."""
    features = np.zeros((20000, 3), np.float32)
    features[10000:, 2] = np.log(99)
    drawn = SpectrumFeatures().to_fit(features, 3)[:20000]
    assert (drawn[:, 2] == 0).mean() == pytest.approx(0.059, abs=0.006)


def test_moments_of_certain_codes_are_the_decoded_flux():
    """The values of a code in its slot are the fluxes of its two bins; the noise adds nothing."""
    tokenizer = tokenizer_of({"desi_r": samples_of(*spectra(60))})["desi_r"]
    flux, ivar = tokenizer.rebin(*spectra(1, seed=4))
    codes = tokenizer.encode_bins(flux, ivar, np.ones(1))
    values = np.stack(
        [tokenizer.unit_values(slot)[code] for slot, code in enumerate(codes[0].tolist())]
    )
    mean, square = tokenizer.moments(values[None], values[None] ** 2)
    np.testing.assert_allclose(mean, tokenizer.decode(codes, np.ones(1))[0])
    np.testing.assert_allclose(square, mean**2)
    assert not values[-4:].any()


def test_measured_pixels_are_the_native_ones():
    """Flux as it is, an inverse variance of 0 where a pixel is bad; bins come back as pixels."""
    flux, ivar = spectra(4)
    tokenizer = tokenizer_of({"desi_r": samples_of(flux, ivar)})["desi_r"]
    ivar[0, 7], flux[1, 8] = -1, np.nan
    batch = SpectrumBatch(np.arange(4, dtype=np.int32), flux, ivar)
    measured, precision = tokenizer.measured(batch)
    np.testing.assert_array_equal(measured, flux)
    assert (precision[0, 7], precision[1, 8]) == (0, 0)
    assert tokenizer.at_pixels(tokenizer.observed(batch)[0]).shape == flux.shape
