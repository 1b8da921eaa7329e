import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.simulate.spectroscopy import PHOTON_NOISE, noise_level
from astromodal.surveys.desi import GRIDS
from astromodal.surveys.spectra import good_pixels
from astromodal.tokenizers.spectra.bins import (
    MIN_SPECTRA,
    POWER,
    NoiseProfile,
    between_segments,
    in_bins,
    in_pairs,
    noise_levels,
    rebin,
    to_pixels,
)

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 40))
FLUX = st.floats(-1e6, 1e6, width=32)
IVAR = st.one_of(st.just(0.0), st.floats(2**-20, 2**20, width=32), st.just(np.nan), st.just(-1.0))
FACTOR = 6


@st.composite
def pixels(draw):
    shape = draw(SHAPES)
    flux = draw(arrays(np.float32, shape, elements=st.one_of(FLUX, st.just(np.nan))))
    ivar = draw(arrays(np.float32, shape, elements=IVAR))
    weight = draw(arrays(np.float64, shape[1], elements=st.floats(0.1, 10)))
    return flux, ivar, draw(st.integers(1, 12)), weight


def starts(length: int, factor: int) -> np.ndarray:
    return np.arange(0, length, factor)


def test_rebin_by_hand():
    """Bins of two: weights 1 and 3; a bad pixel; a lone last pixel; nothing good."""
    flux = np.array([[1, 2, 5, np.nan, 7], [1, 1, 1, 1, 1]], np.float32)
    ivar = np.array([[1, 4, 2, 9, 4], [0, 0, -1, np.inf, 0]], np.float32)
    mean, inverse = rebin(flux, ivar, 2, np.array([1.0, 3.0, 5.0, 1.0, 2.0]))
    np.testing.assert_allclose(mean, [[1.75, 5, 7], [np.nan] * 3])
    # The variance of (1 × 1 + 3 × 2) / 4 is (1 / 1 + 9 / 4) / 16.
    np.testing.assert_allclose(inverse, [[16 / 3.25, 2, 4], [0, 0, 0]])


@given(pixels())
def test_rebin_is_the_weighted_mean_of_good_pixels(case):
    """Fluxes and propagated variances are those of sums that NumPy makes."""
    flux, ivar, factor, weight = case
    good = good_pixels(flux, ivar)
    own = np.where(good, weight, 0)
    ends = starts(flux.shape[1], factor)
    total = np.add.reduceat(own, ends, axis=1)
    summed = np.add.reduceat(own * np.where(good, flux, 0).astype(np.float64), ends, axis=1)
    variance = np.add.reduceat(own**2 / np.where(good, ivar, 1).astype(np.float64), ends, axis=1)
    some = total > 0
    mean, inverse = rebin(flux, ivar, factor, weight)
    np.testing.assert_allclose(mean[some], summed[some] / total[some], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(inverse[some], total[some] ** 2 / variance[some], rtol=1e-12)


@given(pixels())
def test_a_bin_is_missing_where_no_pixel_is_good(case):
    """Every pixel counts for exactly one bin, and a bin without a good one has ivar 0."""
    flux, ivar, factor, weight = case
    mean, inverse = rebin(flux, ivar, factor, weight)
    good = good_pixels(flux, ivar)
    any_good = np.add.reduceat(good, starts(flux.shape[1], factor), axis=1) > 0
    np.testing.assert_array_equal(inverse > 0, any_good)
    np.testing.assert_array_equal(np.isfinite(mean), any_good)


@given(pixels(), st.floats(0.1, 100))
def test_the_weight_of_a_pixel_does_not_depend_on_its_error(case, times):
    """Fluxes of bins stay the same where every error is multiplied, good pixels staying good."""
    flux, ivar, factor, weight = case
    generator = np.random.default_rng(0)
    other = ivar * generator.uniform(1, times + 1, ivar.shape).astype(np.float32)
    np.testing.assert_array_equal(
        rebin(flux, ivar, factor, weight)[0], rebin(flux, other, factor, weight)[0]
    )


def of_lines(arm: str, peak: float, n: int = 400) -> tuple[np.ndarray, ...]:
    """Spectra of a line, without noise: wavelength, flux, ivar, and the centre of each line."""
    wave = GRIDS[f"desi_{arm}"].points()
    generator = np.random.default_rng(0)
    centre = generator.uniform(wave[60], wave[-60], n)
    sigma = generator.uniform(1.2, 3.0, (n, 1))
    flux = 1 + peak * np.exp(-0.5 * ((wave - centre[:, None]) / sigma) ** 2)
    return wave, flux, 1 / (noise_level(wave, arm) ** 2 + PHOTON_NOISE**2 * flux), centre


def profile(arm: str, n: int = 100) -> NoiseProfile:
    """The profile of spectra with a continuum of any brightness."""
    wave = GRIDS[f"desi_{arm}"].points()
    level = np.geomspace(0.01, 10, n)[:, None]
    return NoiseProfile.measure(
        np.broadcast_to(level, (n, len(wave))),
        1 / (noise_level(wave, arm) ** 2 + PHOTON_NOISE**2 * level),
    )


@pytest.mark.parametrize("peak", [1, 10, 100, 1000])
@pytest.mark.parametrize("arm", ["b", "r", "z"])
def test_a_line_keeps_its_flux(arm, peak):
    """Whatever its peak, to 2 %, unless it stands on a line of the night sky."""
    wave, flux, ivar, centre = of_lines(arm, peak)
    weight = profile(arm).weights(len(wave))
    bins = starts(len(wave), FACTOR)
    counts = np.diff(np.append(bins, len(wave)))
    mean, _ = rebin(flux, ivar, FACTOR, weight)
    kept = ((mean - 1) * counts).sum(axis=1) / (flux - 1).sum(axis=1)
    sky = wave[weight < 0.9]
    clear = np.abs(centre[:, None] - sky).min(axis=1) > 20
    assert clear.sum() > 30
    assert np.abs(kept[clear] - 1).max() < 0.02
    assert abs(np.median(kept) - 1) < 0.002


@pytest.mark.parametrize("arm", ["b", "r", "z"])
def test_lines_of_the_sky_stay_suppressed(arm):
    """The noise of no bin is more than 10 % above that of the mean by inverse variances."""
    wave = GRIDS[f"desi_{arm}"].points()
    ivar = np.tile(noise_level(wave, arm) ** -2, (1, 1))
    _, inverse = rebin(np.zeros_like(ivar), ivar, FACTOR, profile(arm).weights(len(wave)))
    least = np.add.reduceat(ivar, starts(len(wave), FACTOR), axis=1)
    assert np.sqrt(least / inverse).max() < 1.1


def test_weights_by_hand():
    """A power of the typical noise; 1 where no spectrum is good."""
    ivar = np.tile([1.0, 4.0, 1.0, 0.25, 0.0], (MIN_SPECTRA, 1))
    weights = NoiseProfile.measure(np.zeros_like(ivar), ivar).weights(5)
    np.testing.assert_allclose(weights, [1, 2**POWER, 1, 0.5**POWER, 1])


def test_long_and_short_exposures_count_alike():
    """A profile does not depend on how deep each spectrum is."""
    generator = np.random.default_rng(0)
    ivar = generator.uniform(1, 9, (20, 30))
    depth = generator.uniform(0.1, 100, (20, 1))
    first, second = (NoiseProfile.measure(ivar, x).weights(30) for x in (ivar, ivar * depth))
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_few_spectra_have_equal_weights():
    """Their own lines would show in the noise; none at all is no profile."""
    ivar = np.tile([1.0, 4.0], (MIN_SPECTRA - 1, 1))
    assert NoiseProfile.measure(ivar, ivar).weights(2).tolist() == [1, 1]
    assert NoiseProfile.unknown().weights(3).tolist() == [1, 1, 1]
    dead = NoiseProfile.measure(ivar, np.zeros_like(ivar))
    assert dead.weights(2).tolist() == [1, 1]


def test_profiles_of_fields_add_up():
    """To that of all spectra together; those of no spectrum add nothing."""
    ivar = np.random.default_rng(0).uniform(0.5, 2, (40, 6))
    whole = NoiseProfile.measure(ivar, ivar)
    parts = [NoiseProfile.measure(part, part) for part in (ivar[:7], ivar[7:])]
    added = NoiseProfile.add([parts[0], NoiseProfile.unknown(), parts[1]])
    np.testing.assert_allclose(added.weights(6), whole.weights(6), rtol=1e-12)
    assert len(NoiseProfile.add([]).total) == 0


@pytest.mark.parametrize("length", [60, 63])
def test_pixels_keep_the_means_of_bins(length):
    """Rebinned again, interpolated spectra have the means they were made of; the last bin too."""
    generator = np.random.default_rng(0)
    weight, mean = generator.uniform(0.5, 2, length), generator.normal(size=(3, -(-length // 6)))
    again, _ = rebin(to_pixels(mean, 6, weight), np.ones((3, length)), 6, weight)
    np.testing.assert_allclose(again, mean, atol=1e-10)


def test_pixels_follow_a_slope():
    """A straight line comes back as it was: its second differences are zero."""
    line = 2 + 0.1 * np.arange(60.0)[None]
    mean, _ = rebin(line, np.ones(line.shape), 5, np.ones(60))
    np.testing.assert_allclose(to_pixels(mean, 5, np.ones(60)), line, atol=1e-10)


def test_pixels_of_missing_bins_are_missing():
    """They are NaN, whole spectra too, and the others keep their means."""
    mean = np.arange(24.0).reshape(2, 12)
    mean[0, [0, 5]] = np.nan
    mean[1] = np.nan
    pixels = to_pixels(mean, 4, np.ones(48))
    assert np.isnan(pixels[1]).all()
    missing = np.repeat(np.isnan(mean[0]), 4)
    np.testing.assert_array_equal(np.isnan(pixels[0]), missing)
    np.testing.assert_allclose(np.nanmean(pixels[0, 4:20].reshape(4, 4), axis=1), mean[0, 1:5])


def test_bins_of_one_pixel_are_pixels():
    """Nothing is interpolated."""
    mean = np.random.default_rng(0).normal(size=(2, 9))
    np.testing.assert_allclose(to_pixels(mean, 1, np.ones(9)), mean, atol=1e-12)


def test_few_spectra_have_a_typical_noise():
    """A single spectrum's own, relative to its mean; 1 where nothing was measured."""
    ivar = np.array([[1.0, 16.0, 0.0]])
    noise = NoiseProfile.measure(np.zeros_like(ivar), ivar).typical(3)
    np.testing.assert_allclose(noise, [2, 0.5, 1])
    assert NoiseProfile.unknown().typical(2).tolist() == [1, 1]


def test_the_noise_of_bins_by_hand():
    """Of the mean of two pixels of noise 1 with equal weights 1 / sqrt(2); of one pixel 1."""
    np.testing.assert_allclose(NoiseProfile.unknown().of_bins(3, 2), [0.5**0.5, 1])


@pytest.mark.parametrize("length", [6, 7])
def test_pairs_are_undone(length):
    """Bins two by two, with NaN beside the last one of an odd number; and back."""
    values = np.arange(2.0 * length).reshape(2, length)
    pairs = in_pairs(values)
    assert pairs.shape == (2, (length + 1) // 2, 2)
    assert np.isnan(pairs).sum() == 2 * (length % 2)
    np.testing.assert_array_equal(in_bins(pairs, length), values)


def test_levels_of_noise_by_hand():
    """ln(scale × typical / error): means over segments, interpolated where nothing is good."""
    ivar = np.array([[1.0, 16.0, 0, 0, 4.0, 0], [0.0] * 6])
    noise = np.array([1.0, 1, 1, 1, 2, 1])
    levels = noise_levels(ivar, np.array([np.e, np.nan]), noise, 3)
    first, last = 1 + np.log(2), 1 + np.log(4)
    np.testing.assert_allclose(levels[0], [first, (first + last) / 2, last])
    assert np.isnan(levels[1]).all()


def test_levels_are_interpolated_between_the_middles_of_segments():
    """Constant before the first and behind the last."""
    found = between_segments(np.array([[1.0, 3.0]]), 8)
    np.testing.assert_allclose(found, [[1, 1, 1.25, 1.75, 2.25, 2.75, 3, 3]])


@given(st.integers(1, 30))
def test_levels_of_typical_noise_are_the_scale(n_bins):
    """However few bins there are, fewer than segments too."""
    noise = np.linspace(1, 2, n_bins)
    levels = noise_levels(noise[None] ** -2.0, np.array([5.0]), noise, 8)
    np.testing.assert_allclose(between_segments(levels, n_bins), np.log(5.0))
