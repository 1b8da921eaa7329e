"""Brightness codes: aperture fluxes of cutouts, and cutouts that are brought to them."""

from __future__ import annotations

import numpy as np
import pytest

from astromodal.evaluation.images.apertures import gaussian_widths
from astromodal.tokenizers.images.brightness import (
    CORE,
    PEAK,
    WHOLE,
    brightness_fluxes,
    brightness_values,
    fit_brightness,
    with_fluxes,
)
from astromodal.tokenizers.images.pixels import PIXEL_SCALE, circle_weights, source_places

SKY = np.array([0.5, 2.0])
MIDDLE = np.zeros((1, 2))


def star(flux: float, sigma: float = 1.5, at: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A Gaussian star at an offset (x, y) from the middle, float64 (48, 48)."""
    y, x = np.mgrid[:48, :48] - 24.0
    squared = (x - at[0]) ** 2 + (y - at[1]) ** 2
    return flux * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def pair(*arguments: float, at: tuple[float, float] = (0, 0)) -> np.ndarray:
    """The same star in both bands of a cutout, float64 (1, 2, 48, 48)."""
    return np.stack([star(*arguments, at=at)] * 2)[None]


def fluxes(images: np.ndarray, places: np.ndarray = MIDDLE) -> np.ndarray:
    """Sums in the three apertures, (m, B, 3)."""
    size = images.shape[-1]
    inside, weights = circle_weights(size, (PEAK, CORE, WHOLE), places)
    weights = np.broadcast_to(weights, (len(images), *weights.shape[1:]))
    return np.einsum("mbyx,mkyx->mbk", images[..., inside, inside].astype(np.float64), weights)


def everywhere(images: np.ndarray) -> np.ndarray:
    return np.ones(images.shape, bool)


def test_values_by_hand():
    """The place; the arcsinh of the flux over its noise; logarithms of concentrations if bright."""
    images, place = np.stack([star(1e5), star(-30)])[None], np.array([[0.2, -0.4]])
    (values,) = brightness_values(images, everywhere(images), place, SKY)
    radii = np.array([PEAK, CORE, WHOLE]) / 2 / PIXEL_SCALE
    peak, core, whole = (fluxes(images, place)[0] / (SKY[:, None] * np.sqrt(np.pi) * radii)).T
    assert values[:2].tolist() == [0.2, -0.4]
    np.testing.assert_allclose(values[2:4], np.arcsinh(whole))
    assert values[3] < 0
    assert values[4] == pytest.approx(np.log(core[0] / whole[0]), abs=1e-6)
    assert values[6] == pytest.approx(np.log(peak[0] / whole[0]), abs=1e-6)


def test_values_give_the_fluxes_back():
    """Of any sign and size."""
    images = np.stack([star(3e6, 1.1), star(-7)])[None]
    values = brightness_values(images, everywhere(images), MIDDLE, SKY)
    np.testing.assert_allclose(brightness_fluxes(values, SKY), fluxes(images))


def test_an_unmeasured_pixel_in_the_aperture_is_missing_brightness():
    """Of its band alone; a pixel outside the aperture does not matter."""
    images = pair(100.0)
    valid = everywhere(images)
    valid[0, 0, 24, 26] = valid[0, 1, 5, 5] = False
    (values,) = brightness_values(np.where(valid, images, np.nan), valid, MIDDLE, SKY)
    assert np.isnan(values[2:]).tolist() == [True, False] * 3
    assert np.isnan(brightness_fluxes(values[None], SKY))[0].tolist() == [[True] * 3, [False] * 3]


def test_a_place_that_is_not_known_is_the_middle():
    """Apertures stand there, and the place stays missing."""
    images, nowhere = pair(100.0), np.full((1, 2), np.nan)
    found, expected = (
        brightness_values(images, everywhere(images), place, SKY)[0] for place in (nowhere, MIDDLE)
    )
    assert np.isnan(found[:2]).all()
    np.testing.assert_array_equal(found[2:], expected[2:])


def test_values_do_not_depend_on_the_batch():
    """One cutout alone or among others: the same bits."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(31, 2, 48, 48)).astype(np.float32)
    places = rng.uniform(-0.5, 0.5, (31, 2))
    values = brightness_values(images, everywhere(images), places, SKY)
    for i in (0, 17):
        one = slice(i, i + 1)
        alone = brightness_values(images[one], everywhere(images[one]), places[one], SKY)
        np.testing.assert_array_equal(alone[0], values[i])


def test_bins_are_neither_heavy_nor_wide():
    """None holds, or spans, more than 2 / n of the values, however unevenly they lie."""
    values = np.concatenate([np.random.default_rng(0).normal(size=3000), [-9.0, 11.0]])[:, None]
    bins = fit_brightness(values, ("a",), 32)
    assert bins.n_codes.tolist() == [32]
    assert bins.weights.max() <= 2.001 / 32
    assert np.diff(bins.edges[0]).max() <= 2.001 / 32 * 22
    assert bins.weights.sum() == pytest.approx(1)


def test_bins_reach_beyond_the_training_values():
    """By a twentieth of their range at each end: a brighter source has the code of its own flux."""
    bins = fit_brightness(np.linspace(0, 10, 1000)[:, None], ("a",), 256)
    assert bins.edges[0, [0, -1]] == pytest.approx([-0.5, 10.5])
    beyond = np.array([[-0.4], [10.4]])
    np.testing.assert_allclose(bins.decode(bins.encode(beyond)), beyond, atol=0.05)


def test_a_code_decodes_to_the_mean_of_its_bin():
    """Values of a bin are as far from its center above as below; an empty bin has its middle."""
    values = np.array([0.0, 0.1, 0.2, 0.3, 8.0])[:, None]
    bins = fit_brightness(values, ("a",), 4)
    codes = bins.encode(values)[:, 0]
    for code in np.unique(codes):
        assert bins.centers[0, code] == pytest.approx(values[codes == code].mean())
    empty = np.flatnonzero(bins.weights[0] == 0)
    middle = (bins.edges[0, empty] + bins.edges[0, empty + 1]) / 2
    np.testing.assert_allclose(bins.centers[0, empty], middle)


def test_a_column_of_equal_values_has_one_bin():
    """And one without any value has none."""
    bins = fit_brightness(np.array([[3.0, np.nan]] * 4), ("a", "b"), 8)
    assert bins.n_codes.tolist() == [1, 0]
    assert bins.decode(bins.encode(np.array([[5.0, 1.0]])))[0, 0] == 3


@pytest.mark.parametrize("flux", [-20.0, 0.0, 30.0, 1e3, 1e6])
def test_a_cutout_is_brought_to_its_fluxes(flux):
    """Whatever it was decoded as: too bright, too wide, or nothing at all in one of the bands."""
    decoded = np.stack([star(4e3, 2.0), np.zeros((48, 48))])[None].astype(np.float32)
    wanted, place = fluxes(pair(flux)), np.array([[0.4, -0.3]])
    changed = with_fluxes(decoded, place, wanted, SKY)
    np.testing.assert_allclose(fluxes(changed, place), wanted, rtol=1e-4, atol=1e-3)


def test_a_star_gets_its_width():
    """Stars that were decoded 20 % too narrow or too wide are within 4 % of the true width."""
    truth = pair(1e4)
    decoded = np.stack([star(1e4, 1.2), star(1e4, 1.8)])[None].astype(np.float32)
    changed = with_fluxes(decoded, MIDDLE, fluxes(truth), SKY)
    np.testing.assert_allclose(gaussian_widths(changed), gaussian_widths(truth), rtol=0.04)


@pytest.mark.parametrize("at", [(0.45, -0.3), (-0.5, 0.5), (0.1, 0.2)])
def test_a_star_gets_its_place_and_its_peak(at):
    """Decoded a sixth of a pixel beside it, it stands within 0.02 pixels, its peak within 3 %."""
    place = np.array([at])
    truth = pair(1e4, 1.4, at=at)
    beside = (at[0] - 0.1, at[1] + 0.13)
    decoded = pair(1e4, 1.4, at=beside).astype(np.float32)
    changed = with_fluxes(decoded, place, fluxes(truth, place), SKY)
    found = source_places(changed, everywhere(changed), SKY)
    np.testing.assert_allclose(found, place, atol=0.02)
    brightest = truth[0, 0] == truth[0, 0].max()
    np.testing.assert_allclose(changed[0, :, brightest], truth[0, :, brightest], rtol=0.03)
    found = source_places(decoded, everywhere(decoded), SKY)
    assert np.abs(found - place).max() > 0.1


@pytest.mark.parametrize("factor", [0.02, 0.5, 2.0, 20.0])
def test_neighbours_keep_their_light(factor):
    """A neighbour 11 pixels away, brighter or fainter than the source, changes by under 3 %."""
    place = np.array([[0.3, -0.2]])
    for brightness in (300.0, 3e4):
        neighbour = pair(brightness, at=(-6, 9))
        source = pair(3e3, at=(0.3, -0.2))
        decoded = (source + neighbour).astype(np.float32)
        changed = with_fluxes(decoded, place, fluxes(factor * source + neighbour, place), SKY)
        y, x = np.mgrid[:48, :48] - 24
        near = (y - 9) ** 2 + (x + 6) ** 2 < 4**2
        light = changed[0, :, near].sum() / decoded[0, :, near].sum()
        assert light == pytest.approx(1, abs=0.03)


def test_a_band_without_brightness_stays_as_it_is():
    """Where a flux is missing, nothing is changed in that band."""
    decoded = pair(100.0).astype(np.float32)
    wanted = fluxes(2.0 * decoded)
    wanted[0, 1, 0] = np.nan
    changed = with_fluxes(decoded, MIDDLE, wanted, SKY)
    np.testing.assert_array_equal(changed[0, 1], decoded[0, 1])
    assert (changed[0, 0] > decoded[0, 0]).any()


def test_the_input_is_not_changed_and_threads_change_nothing():
    """The result is a new array, the same on one thread and on two."""
    decoded = pair(100.0).repeat(5, 0).astype(np.float32)
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 2))
    kept, wanted = decoded.copy(), fluxes(3.0 * decoded, places)
    one, two = (with_fluxes(decoded, places, wanted, SKY, threads) for threads in (1, 2))
    np.testing.assert_array_equal(decoded, kept)
    np.testing.assert_array_equal(one, two)


def test_a_small_cutout_is_changed_whole():
    """A cutout of 8 pixels is smaller than the region of the change."""
    decoded = star(500)[None, None, 20:28, 20:28].astype(np.float32)
    changed = with_fluxes(decoded, MIDDLE, fluxes(3.0 * decoded), SKY[:1])
    np.testing.assert_allclose(changed, 3 * decoded, rtol=2e-2, atol=0.05)
