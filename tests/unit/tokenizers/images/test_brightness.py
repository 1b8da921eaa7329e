"""Brightness codes: aperture fluxes of cutouts, and cutouts that are brought to them."""

from __future__ import annotations

import numpy as np
import pytest

from astromodal.evaluation.images.apertures import gaussian_widths
from astromodal.tokenizers.images.brightness import (
    CORE,
    PIXEL_SCALE,
    WHOLE,
    brightness_fluxes,
    brightness_values,
    circle_weights,
    fit_brightness,
    with_fluxes,
)

SKY = np.array([0.5, 2.0])
WEIGHTS = np.stack([circle_weights(48, d / 2 / PIXEL_SCALE) for d in (CORE, WHOLE)])


def star(flux: float, sigma: float = 1.5, at: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A Gaussian star at an offset from the middle, float64 (48, 48)."""
    y, x = np.mgrid[:48, :48] - 23.5
    squared = (y - at[0]) ** 2 + (x - at[1]) ** 2
    return flux * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def fluxes(images: np.ndarray) -> np.ndarray:
    """Sums in both apertures, (m, B, 2)."""
    return np.einsum("mbyx,kyx->mbk", images.astype(np.float64), WEIGHTS)


def everywhere(images: np.ndarray) -> np.ndarray:
    return np.ones(images.shape, bool)


def test_values_by_hand():
    """The arcsinh of the flux over its noise; the logarithm of the concentration where bright."""
    images = np.stack([star(1e5), star(-30)])[None]
    (values,) = brightness_values(images, everywhere(images), SKY)
    noise = SKY[:, None] * np.sqrt((WEIGHTS**2).sum((1, 2)))
    core, whole = (fluxes(images)[0] / noise).T
    np.testing.assert_allclose(values[:2], np.arcsinh(whole))
    assert values[1] < 0
    assert values[2] == pytest.approx(np.log(core[0] / whole[0]), abs=1e-6)


def test_values_give_the_fluxes_back():
    """Of any sign and size."""
    images = np.stack([star(3e6, 1.1), star(-7)])[None]
    values = brightness_values(images, everywhere(images), SKY)
    np.testing.assert_allclose(brightness_fluxes(values, SKY, 48), fluxes(images))


def test_an_unmeasured_pixel_in_the_aperture_is_missing_brightness():
    """Of its band alone; a pixel outside the aperture does not matter."""
    images = np.stack([star(100), star(100)])[None]
    valid = everywhere(images)
    valid[0, 0, 23, 25] = valid[0, 1, 5, 5] = False
    (values,) = brightness_values(np.where(valid, images, np.nan), valid, SKY)
    assert np.isnan(values).tolist() == [True, False, True, False]
    assert np.isnan(brightness_fluxes(values[None], SKY, 48))[0].tolist() == [
        [True] * 2,
        [False] * 2,
    ]


def test_values_do_not_depend_on_the_batch():
    """One cutout alone or among others: the same bits."""
    images = np.random.default_rng(0).normal(size=(31, 2, 48, 48)).astype(np.float32)
    values = brightness_values(images, everywhere(images), SKY)
    for i in (0, 17):
        alone = brightness_values(images[i : i + 1], everywhere(images[:1]), SKY)
        np.testing.assert_array_equal(alone[0], values[i])


def test_bins_are_neither_heavy_nor_wide():
    """None holds, or spans, more than 2 / n of the values, however unevenly they lie."""
    values = np.concatenate([np.random.default_rng(0).normal(size=3000), [-9.0, 11.0]])[:, None]
    bins = fit_brightness(values, ("a",), 32)
    assert bins.n_codes.tolist() == [32]
    assert bins.weights.max() <= 2.001 / 32
    assert np.diff(bins.edges[0]).max() <= 2.001 / 32 * 20
    assert bins.weights.sum() == pytest.approx(1)


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
    wanted = fluxes(np.stack([star(flux), star(flux)])[None])
    changed = with_fluxes(decoded, wanted, SKY)
    np.testing.assert_allclose(fluxes(changed), wanted, rtol=1e-4, atol=1e-3)


def test_a_star_gets_its_width():
    """Stars that were decoded 20 % too narrow or too wide are within 3 % of the true width."""
    truth = np.stack([star(1e4, 1.5), star(1e4, 1.5)])[None]
    decoded = np.stack([star(1e4, 1.2), star(1e4, 1.8)])[None].astype(np.float32)
    changed = with_fluxes(decoded, fluxes(truth), SKY)
    np.testing.assert_allclose(gaussian_widths(changed), gaussian_widths(truth), rtol=0.03)


@pytest.mark.parametrize("factor", [0.02, 0.5, 2.0, 20.0])
def test_neighbours_keep_their_light(factor):
    """A neighbour 11 pixels away, brighter or fainter than the source, changes by under 3 %."""
    for brightness in (300.0, 3e4):
        neighbour = np.stack([star(brightness, at=(9, -6))] * 2)[None]
        source = np.stack([star(3e3)] * 2)[None]
        decoded = (source + neighbour).astype(np.float32)
        changed = with_fluxes(decoded, fluxes(factor * source + neighbour), SKY)
        y, x = np.mgrid[:48, :48] - 23.5
        near = (y - 9) ** 2 + (x + 6) ** 2 < 4**2
        light = changed[0, :, near].sum() / decoded[0, :, near].sum()
        assert light == pytest.approx(1, abs=0.03)


def test_a_band_without_brightness_stays_as_it_is():
    """Where a flux is missing, nothing is changed in that band."""
    decoded = np.stack([star(100), star(100)])[None].astype(np.float32)
    wanted = fluxes(2.0 * decoded)
    wanted[0, 1, 0] = np.nan
    changed = with_fluxes(decoded, wanted, SKY)
    np.testing.assert_array_equal(changed[0, 1], decoded[0, 1])
    assert (changed[0, 0] > decoded[0, 0]).any()


def test_the_input_is_not_changed_and_threads_change_nothing():
    """The result is a new array, the same on one thread and on two."""
    decoded = np.stack([star(100), star(100)])[None].repeat(5, 0).astype(np.float32)
    kept = decoded.copy()
    one, two = (with_fluxes(decoded, fluxes(3.0 * decoded), SKY, threads) for threads in (1, 2))
    np.testing.assert_array_equal(decoded, kept)
    np.testing.assert_array_equal(one, two)


def test_a_small_cutout_is_changed_whole():
    """A cutout of 8 pixels is smaller than the region of the change."""
    decoded = star(500)[None, None, 20:28, 20:28].astype(np.float32)
    weights = np.stack([circle_weights(8, d / 2 / PIXEL_SCALE) for d in (CORE, WHOLE)])
    wanted = np.einsum("mbyx,kyx->mbk", 3.0 * decoded, weights)
    changed = with_fluxes(decoded, wanted, SKY[:1])
    np.testing.assert_allclose(changed, 3 * decoded, rtol=1e-2, atol=0.05)
