"""Aperture magnitudes and colours, by hand."""

import numpy as np
import pytest

from astromodal.evaluation.images.photometry import (
    aperture_numbers,
    circle_change,
    circle_snr,
    colour_numbers,
    instrumental,
)

BANDS = ("R", "Z")


def _scaled(sample, factors):
    """Decoded fluxes of R are `factors` (n,) times the measured ones."""
    decoded = sample.circle.copy()
    decoded[:, 0] *= np.asarray(factors)[:, None]
    return decoded


def test_instrumental_by_hand():
    """A hundred counts/s are -5 mag; what is not positive has no magnitude."""
    found = instrumental(np.array([100.0, 0.0, -1.0, np.nan]))
    assert found[0] == pytest.approx(-5)
    assert np.isnan(found[1:]).all()


def test_snr_by_hand(image_sample):
    """Were all overlaps 1, noise would be sqrt(pi r²): partial pixels make it a little less."""
    snr = circle_snr(image_sample(), 24, 0)[0, 0]
    whole = 1000 / np.sqrt(np.pi * (1.5 / 0.55) ** 2)
    assert whole < snr < 1.15 * whole


def test_change_by_hand(image_sample):
    """Half of the light is 0.75 mag fainter."""
    sample = image_sample()
    sample.circle_codes = _scaled(sample, np.full(20, 0.5))
    assert circle_change(sample, "codes", 0)[0] == pytest.approx([0.7526, 0], abs=1e-4)


def test_share_within_a_tenth_by_hand(image_sample):
    """Of twenty bright sources five change by 0.75 mag and one loses its light: 14 are close."""
    sample = image_sample()
    factors = np.ones(20)
    factors[:5], factors[5] = 0.5, -1.0
    sample.circle_codes = _scaled(sample, factors)
    numbers = aperture_numbers(sample, BANDS, 24, 0, 0)
    assert numbers["R"]["n"] == 20
    assert numbers["R"]["codes"]["within_0p1"]["value"] == pytest.approx(14 / 20)
    assert numbers["R"]["latents"]["within_0p1"]["value"] == 1
    assert numbers["all"]["codes"]["within_0p1"]["value"] == pytest.approx(34 / 40)


def test_faint_sources_do_not_count(image_sample):
    """What has a S/N below 30 is not asked to keep its magnitude."""
    sample = image_sample(noise=np.full((20, 2), 100.0))
    numbers = aperture_numbers(sample, BANDS, 24, 0, 0)
    assert numbers["R"]["n"] == 0
    assert np.isnan(numbers["R"]["codes"]["within_0p1"]["value"])


def test_unmeasured_pixels_do_not_count(image_sample):
    """An aperture with a hole has no magnitude and is not counted."""
    sample = image_sample()
    sample.circle = sample.circle.copy()
    sample.circle[:3] = np.nan
    assert aperture_numbers(sample, BANDS, 24, 0, 0)["R"]["n"] == 17


def test_colour_change_by_hand(image_sample):
    """R fainter by 0.75 mag with Z unchanged makes R-Z redder by as much, in its bin of S/N."""
    sample = image_sample()
    sample.circle_codes = _scaled(sample, np.full(20, 0.5))
    bins = colour_numbers(sample, BANDS, 24, 0)["R-Z"]
    assert {name: found["n"] for name, found in bins.items()} == {
        "5-10": 0, "10-30": 0, "30-100": 0, "above_100": 20, "above_30": 20,
    }  # fmt: skip
    assert bins["above_30"]["codes"]["median"]["value"] == pytest.approx(0.7526, abs=1e-4)
    assert bins["above_30"]["codes"]["scatter"]["value"] == pytest.approx(0)
    assert bins["above_30"]["latents"]["median"]["value"] == pytest.approx(0)


def test_colours_need_both_bands(image_sample):
    """Without G there is no G-R."""
    assert list(colour_numbers(image_sample(), BANDS, 24, 0)) == ["R-Z"]
