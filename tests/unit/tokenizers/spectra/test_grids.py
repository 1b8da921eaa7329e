import numpy as np
import pytest
from hypothesis import given

from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.spectra.bins import object_scale
from astromodal.tokenizers.spectra.grids import SpectrumFeatures
from astromodal.tokenizers.spectra.pairs import CONTRAST, levels_of, local_scale, pair_features
from helpers.spectra import SETTINGS, binned, samples_of, spectra, tokenizer_of

LINES = SETTINGS.model_copy(update={"codebook_size": 2048})


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


def test_moments_are_those_of_independent_codes():
    """Of a flux that is one of two, and a local scale that is lognormal between two others."""
    tokenizer = tokenizer_of({"desi_r": samples_of(*spectra(60))})["desi_r"]
    flux, ivar = tokenizer.rebin(*spectra(2, seed=4))
    codes = tokenizer.encode_bins(flux, ivar, np.ones(2))
    both = np.concatenate([values_of(tokenizer, each) for each in codes])
    mean, square = tokenizer.moments(both.mean(0)[None], (both**2).mean(0)[None])
    # In the first bin the local scale is that of the first segment alone.
    level, value = both[:, -8, 0], both[:, 0, 0]
    middle, variance = level.mean(), level.var()
    assert variance > 0
    np.testing.assert_allclose(mean[0, 0], np.exp(middle + variance / 2) * value.mean())
    wanted = np.exp(2 * middle + 2 * variance) * (value**2).mean()
    np.testing.assert_allclose(square[0, 0], wanted)


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
