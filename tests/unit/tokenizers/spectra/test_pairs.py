import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.tokenizers.spectra.bins import object_scale
from astromodal.tokenizers.spectra.pairs import (
    CONTRAST,
    N_LOCAL,
    N_SEGMENTS,
    STRETCH,
    compress,
    expand,
    features_of,
    level_features,
    levels_of,
    local_fluxes,
    local_scale,
    pair_features,
    training_samples,
)
from helpers.spectra import binned

FLAT = np.ones(100)
"""A typical noise that is the same everywhere."""


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
