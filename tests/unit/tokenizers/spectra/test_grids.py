import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.spectra.bins import local_scale, object_scale
from astromodal.tokenizers.spectra.grids import (
    CONTRAST,
    N_LOCAL,
    N_SEGMENTS,
    STRETCH,
    SpectrumFeatures,
    compress,
    expand,
    features_of,
    level_features,
    levels_of,
    local_fluxes,
    pair_features,
    training_samples,
)
from helpers.spectra import SETTINGS, binned, samples_of, spectra, tokenizer_of

LINES = SETTINGS.model_copy(update={"codebook_size": 2048})
FLAT = np.ones(100)
"""A typical noise that is the same everywhere."""


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
    of_noise = slice(-12, -8)
    np.testing.assert_array_equal(found[:, :-12], wanted[:, :-12])
    np.testing.assert_array_equal(found[:, -8:], wanted[:, -8:])
    np.testing.assert_allclose(found[:, of_noise], wanted[:, of_noise], atol=1e-10)


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
    assert (np.abs(found - flux)[good] <= 1e-6 * largest[good]).all()


@given(binned())
def test_local_scales_are_between_the_least_and_the_largest(case):
    """As a mean must be, in every segment; all levels are NaN without a good bin."""
    flux, ivar = case
    noise = FLAT[: flux.shape[1]]
    features = level_features(flux, ivar, object_scale(flux, ivar), noise)
    live = (ivar > 0).any(axis=1)
    assert features.shape == (len(flux), 12, 2)
    np.testing.assert_array_equal(np.isfinite(features).all(axis=(1, 2)), live)
    of_noise, local = levels_of(features)
    assert (of_noise.shape[1], local.shape[1]) == (N_SEGMENTS, N_LOCAL)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.log(np.sqrt(flux**2 / 2 + 1 / ivar) / object_scale(flux, ivar)[:, None])
    low, high = (f.reduce(np.where(ivar > 0, size, np.nan), axis=1) for f in (np.fmin, np.fmax))
    assert (local[live] >= low[live, None] - 1e-6).all()
    assert (local[live] <= high[live, None] + 1e-6).all()


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_fluxes_of_a_pair_come_back(first, second):
    """To rounding of the larger one."""
    found = local_fluxes(features_of(np.array([first]), np.array([second])))
    largest = max(abs(first), abs(second), 1)
    np.testing.assert_allclose(found, [[first, second]], atol=1e-9 * largest)


def test_features_by_hand():
    """Fluxes of 3 and 1 local scales: arcsinh of their mean, 2, and a contrast of 1 / sqrt(5)."""
    flux, ivar = np.array([[6.0, 2.0, 4.0]]), np.array([[4.0, 4.0, 4.0]])
    features = pair_features(flux, ivar, np.full((1, 3), 2.0))[0]
    contrast = CONTRAST * np.arcsinh(1 / np.sqrt(5) / CONTRAST)
    np.testing.assert_allclose(features[0], [np.arcsinh(2), contrast])
    # A bin alone has no contrast.
    np.testing.assert_allclose(features[1], [np.arcsinh(2), 0], atol=1e-15)


def test_levels_by_hand():
    """A noise of 1/4 of the scale; local scales of sqrt(1/2 + 1/16) and sqrt(8 + 1/16) of it."""
    flux, ivar = np.repeat([2.0, 8.0], 16)[None], np.full((1, 32), 4.0)
    features = level_features(flux, ivar, np.array([2.0]), FLAT[:32])[0]
    np.testing.assert_allclose(features[:4], [[np.log(4) / STRETCH, 0]] * 4, atol=1e-15)
    low, high = np.log(9 / 16) / 2 / STRETCH, np.log(129 / 16) / 2 / STRETCH
    np.testing.assert_allclose(features[4:], [[low, 0]] * 4 + [[high, 0]] * 4, atol=1e-15)


def test_local_scales_are_interpolated_between_segments():
    """Linearly between the middles of segments of two bins; constant at the ends."""
    levels = np.zeros((1, 16))
    levels[0, -1] = np.log(5)
    found = local_scale(levels, np.array([2.0]), 32)[0]
    np.testing.assert_allclose(found[-4:], [2, 4, 8, 10])
    np.testing.assert_allclose(found[:-4], 2)


@pytest.mark.parametrize("slope", [-1.0, 0.0, 1.0])
def test_a_clear_continuum_has_nearly_one_code(slope):
    """Whatever its slope: a flux of sqrt(2) local scales, of little contrast."""
    flux = np.exp(slope * np.linspace(0, 1, 320))[None]
    ivar = np.full(flux.shape, 1e8)
    features = compress(flux, ivar, object_scale(flux, ivar), np.ones(320))[0, :160]
    inner = slice(5, -5)  # the local scale is constant at the ends
    np.testing.assert_allclose(features[inner, 0], np.arcsinh(np.sqrt(2)), atol=1e-3)
    np.testing.assert_allclose(features[inner, 1], 0, atol=2e-3)


def test_a_bad_bin_has_the_flux_of_its_neighbour():
    """So that the code of the good one has no contrast."""
    flux, ivar = np.array([[np.nan, 2.0, 2.0, np.nan]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    scale, noise = np.array([2.0]), np.ones(4)
    features = compress(flux, ivar, scale, noise)
    local = np.sqrt(3)  # of a flux of 2 and an error of 1
    np.testing.assert_allclose(features[0, :2], [[np.arcsinh(2 / local), 0]] * 2, atol=1e-15)
    np.testing.assert_allclose(expand(features, scale, noise)[0], [[2.0, 2.0, 2.0, 2.0]])


def test_noise_follows_its_profile():
    """A noise of the typical shape comes back to rounding, whatever its level."""
    noise = 1 + 0.5 * np.sin(np.arange(60))
    flux, ivar = np.zeros((2, 60)), (np.array([[3.0], [7.0]]) * noise) ** -2.0
    scale = object_scale(flux, ivar)
    _, found = expand(compress(flux, ivar, scale, noise), scale, noise)
    np.testing.assert_allclose(found, ivar)


def test_samples_are_pairs_with_their_precision_and_levels():
    """ln(scale / error) of the better bin; levels have none; a dead spectrum has no sample."""
    flux = np.array([[2.0, 2.0, 2.0, np.nan, np.nan, np.nan], [np.nan] * 6])
    ivar = np.array([[1.0, 4.0, 1.0, 0, 0, 0], [0.0] * 6])
    samples = training_samples(flux, ivar, np.array([2.0, np.nan]), np.ones(6))
    assert samples.shape == (2 + (N_SEGMENTS + N_LOCAL) // 2, 3)
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
    """Three in a hundred more pairs, of their own precision, and up to 1,500 local scales."""
    number = np.linspace(0, 1, 10_000)
    features = np.stack([3 * number - 1, 0 * number, number], 1).astype(np.float32)
    lines = SpectrumFeatures().to_fit(features, 3)[10_000:10_300]
    place = np.rint(lines[:, 2] * 9999).astype(int)
    assert (lines[:, 0] >= features[place, 0] - 1e-6).all()
    assert 6 < lines[:, 0].max() <= np.arcsinh(1500)
    assert 0.3 < np.abs(lines[:, 1]).max() <= CONTRAST * np.arcsinh(1 / CONTRAST)


def test_artificial_dips_lower_training_bins():
    """Three in a thousand more, behind the lines, below 0 and down to -150 local scales."""
    number = np.linspace(0, 1, 50_000)
    features = np.stack([3 * number - 1, 0 * number, number], 1).astype(np.float32)
    dips = SpectrumFeatures().to_fit(features, 3)[51_500:]
    assert dips.shape == (150, 3)
    place = np.rint(dips[:, 2] * 49_999).astype(int)
    assert (dips[:, 0] <= features[place, 0] + 1e-6).all()
    assert -np.arcsinh(150) <= dips[:, 0].min() < -4
    assert (dips[:, 0] < 0).all()


def test_levels_are_among_the_samples():
    """Three in a hundred pairs, however many there are."""
    features = np.zeros((10_000, 3), np.float32)
    features[9_990:] = 2, 0, np.nan
    fitted = SpectrumFeatures().to_fit(features, 3)
    assert np.isnan(fitted[:, 2]).sum() == round(0.03 * 9_990)


def test_few_bins_are_drawn_more_than_once():
    """Of ten training bins 8,000 are drawn, with as many lines and dips as belong to them."""
    features = np.tile(np.arange(10, dtype=np.float32)[:, None], (1, 3)) / 10
    fitted = SpectrumFeatures().to_fit(features, 3)
    assert len(fitted) == 8000 + 240 + 24
    assert len(np.unique(fitted[:8000], axis=0)) == 10


def test_precise_bins_are_drawn_more_often():
    """Of bins of precision 1 and 99, half each, 0.1 / 2 + 0.9 / 100 of the samples are of 1."""
    features = np.zeros((20000, 3), np.float32)
    features[10000:, 2] = np.log(99)
    drawn = SpectrumFeatures().to_fit(features, 3)[:20000]
    assert (drawn[:, 2] == 0).mean() == pytest.approx(0.059, abs=0.006)


def values_of(tokenizer, codes):
    """The values of codes (slots,), slot by slot, (1, slots, 2)."""
    values = [tokenizer.unit_values(slot)[code] for slot, code in enumerate(codes.tolist())]
    return np.stack(values)[None]


def test_moments_of_certain_codes_are_the_decoded_flux():
    """Values of a code are fluxes of its two bins or levels; the noise adds nothing."""
    tokenizer = tokenizer_of({"desi_r": samples_of(*spectra(60))})["desi_r"]
    flux, ivar = tokenizer.rebin(*spectra(1, seed=4))
    codes = tokenizer.encode_bins(flux, ivar, np.ones(1))
    values = values_of(tokenizer, codes[0])
    mean, square = tokenizer.moments(values, values**2)
    np.testing.assert_allclose(mean, tokenizer.decode(codes, np.ones(1))[0])
    np.testing.assert_allclose(square, mean**2)
    assert not values[0, -12:-8].any()


def test_moments_are_at_the_mean_levels():
    """Of a flux that is one of two, at the mean of two levels of the local scale."""
    tokenizer = tokenizer_of({"desi_r": samples_of(*spectra(60))})["desi_r"]
    flux, ivar = tokenizer.rebin(*spectra(2, seed=4))
    codes = tokenizer.encode_bins(flux, ivar, np.ones(2))
    both = np.concatenate([values_of(tokenizer, each) for each in codes])
    mean, square = tokenizer.moments(both.mean(0)[None], (both**2).mean(0)[None])
    # In the first bin the local scale is that of the first segment alone.
    local, value = np.exp(both[:, -8, 0].mean()), both[:, 0, 0]
    np.testing.assert_allclose(mean[0, 0], local * value.mean())
    np.testing.assert_allclose(square[0, 0], local**2 * (value**2).mean())


def test_bins_are_coded_relative_to_the_decoded_local_scale():
    """Codes are nearest to the features that decoding has, not to those of exact levels."""
    tokenizer = tokenizer_of({"desi_r": samples_of(*spectra(60))})["desi_r"]
    flux, ivar = tokenizer.rebin(*spectra(5, seed=4))
    scale = object_scale(flux, ivar)
    codes = tokenizer.encode_bins(flux, ivar, scale)
    _, levels = levels_of(tokenizer.features(codes[:, -12:]))
    features = pair_features(flux, ivar, local_scale(levels, scale, flux.shape[1]))
    np.testing.assert_array_equal(codes[:, :-12], tokenizer.nearest(features))


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
