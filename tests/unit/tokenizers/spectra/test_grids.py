import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.spectra.grids import (
    SpectrumFeatures,
    compress,
    expand,
    object_scale,
)
from helpers.spectra import SETTINGS, samples_of, spectra, tokenizer_of

LINES = SETTINGS.model_copy(update={"codebook_size": 512})
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 12))


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
    """Flux times c and ivar over c² change the scale alone, by c; exact for a power of two."""
    flux, ivar = case
    c = 2.0**power
    scale, scaled = object_scale(flux, ivar), object_scale(flux * c, ivar / c**2)
    np.testing.assert_array_equal(scaled, scale * c)
    np.testing.assert_array_equal(
        compress(flux * c, ivar / c**2, scaled), compress(flux, ivar, scale)
    )


@given(binned())
def test_expand_undoes_compress(case):
    """Good bins come back to rounding; others are missing."""
    flux, ivar = case
    scale = object_scale(flux, ivar)
    found = expand(compress(flux, ivar, scale), scale)
    good = ivar > 0
    tolerance = 1e-12 * np.broadcast_to(np.where(good.any(axis=1), scale, 1)[:, None], flux.shape)
    assert (np.abs(found[0] - flux)[good] <= 1e-12 * np.abs(flux[good]) + tolerance[good]).all()
    np.testing.assert_allclose(found[1][good], ivar[good], rtol=1e-9)
    assert np.isnan(found[0][~good]).all()
    assert np.isnan(found[1][~good]).all()


def test_noise_and_signal_have_features_of_order_one():
    """Precision is 1 in an empty spectrum and the S/N in a bright one, whose flux_norm is 1."""
    empty = compress(np.zeros((1, 3)), np.full((1, 3), 4.0), np.array([0.5]))[0, 0]
    bright = compress(np.full((1, 3), 100.0), np.ones((1, 3)), np.array([100.0]))[0, 0]
    assert empty.tolist() == [0, 0]
    assert bright == pytest.approx([np.arcsinh(1), np.log(100)])


def test_lines_brighter_than_any_in_training_keep_their_flux():
    """A line of 30 to 900 scales is decoded to a tenth by 512 codes; training has none above 8."""
    flux, ivar = spectra(200)
    tokenizer = tokenizer_of({"desi_r": samples_of(flux, ivar)}, LINES)["desi_r"]
    flux, ivar = tokenizer.rebin(*spectra(40, seed=1))
    scale = object_scale(flux, ivar)
    place = np.arange(40)
    flux[place, place] = np.geomspace(30, 900, 40) * scale
    decoded, _ = tokenizer.decode(tokenizer.encode_bins(flux, ivar, scale), scale)
    np.testing.assert_allclose(decoded[place, place], flux[place, place], rtol=0.1)


def test_artificial_lines_raise_training_bins():
    """A fiftieth more bins, with their own precision, and fluxes up to 1,000 scales."""
    features = np.stack([np.linspace(-1, 2, 5000), np.linspace(0, 1, 5000)], 1).astype(np.float32)
    lines = SpectrumFeatures().to_fit(features, 3)[5000:]
    assert lines.shape == (100, 2)
    place = np.rint(lines[:, 1] * 4999).astype(int)
    assert (lines[:, 0] >= features[place, 0]).all()
    assert 6 < lines[:, 0].max() <= np.arcsinh(1000)


def test_precise_bins_are_drawn_more_often():
    """Of bins of precision 1 and 99, half each, 0.2 / 2 + 0.8 / 100 of the samples are of 1."""
    features = np.zeros((20000, 2), np.float32)
    features[10000:, 1] = np.log(99)
    drawn = SpectrumFeatures().to_fit(features, 3)[:20000]
    assert (drawn[:, 1] == 0).mean() == pytest.approx(0.108, abs=0.01)


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
