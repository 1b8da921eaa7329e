"""Magnitudes, colours and widths of stars, by hand."""

import numpy as np
import pytest

from astromodal.evaluation.images.photometry import (
    circle_change,
    circle_snr,
    instrumental,
    measure_aperture_colours,
    measure_apertures,
    measure_colours,
    measure_peaks,
    measure_stars,
)


def _decoded(image_sample, factors):
    """Return a sample whose codes give `factors` times the measured flux of R in apertures."""
    circle = image_sample().measured.circle.copy()
    circle[:, 0] *= np.asarray(factors)[:, None]
    return image_sample(codes={"circle": circle})


def test_instrumental_by_hand():
    """A hundred counts/s are -5 mag; what is not positive has no magnitude."""
    magnitudes = instrumental(np.array([100.0, 0.0, -1.0, np.nan]))
    assert magnitudes[0] == pytest.approx(-5)
    assert np.isnan(magnitudes[1:]).all()


def test_snr_by_hand(image_sample):
    """The noise of as many pixels as the circle covers, pi r², is the square root of that."""
    snr = circle_snr(image_sample(), 0)[0, 0]
    assert snr == pytest.approx(1000 / np.sqrt(np.pi * (1.5 / 0.55) ** 2))


def test_change_by_hand(image_sample):
    """Half of the light is 0.75 mag fainter."""
    sample = _decoded(image_sample, np.full(20, 0.5))
    assert circle_change(sample, "codes", 0)[0] == pytest.approx([0.7526, 0], abs=1e-4)


def test_share_within_a_tenth_by_hand(image_sample):
    """Of twenty bright sources five change by 0.75 mag and one loses its light: 14 are close."""
    factors = np.ones(20)
    factors[:5], factors[5] = 0.5, -1.0
    numbers = measure_apertures(_decoded(image_sample, factors), 0, 0)
    assert numbers["R"].n == 20
    assert numbers["R"].codes.within_0p1.value == pytest.approx(14 / 20)
    assert numbers["R"].latents.within_0p1.value == 1
    assert numbers["all"].codes.within_0p1.value == pytest.approx(34 / 40)


def test_faint_sources_do_not_count(image_sample):
    """Sources with a S/N below 30 are not counted."""
    sample = image_sample(noise=np.full((20, 2), 100.0))
    numbers = measure_apertures(sample, 0, 0)
    assert numbers["R"].n == 0
    assert np.isnan(numbers["R"].codes.within_0p1.value)


def test_unmeasured_pixels_do_not_count(image_sample):
    """An aperture with a hole has no magnitude and is not counted."""
    circle = image_sample().measured.circle.copy()
    circle[:3] = np.nan
    sample = image_sample(measured={"circle": circle})
    assert measure_apertures(sample, 0, 0)["R"].n == 17


def test_colour_change_by_hand(image_sample):
    """R fainter by 0.75 mag with Z unchanged makes R-Z redder by as much, in its bin of S/N."""
    sample = _decoded(image_sample, np.full(20, 0.5))
    bins = measure_aperture_colours(sample, 0)["R-Z"]
    assert {name: colour.n for name, colour in bins.items()} == {
        "5-10": 0, "10-30": 0, "30-100": 0, "above_100": 20, "above_30": 20,
    }  # fmt: skip
    assert bins["above_30"].codes.median.value == pytest.approx(0.7526, abs=1e-4)
    assert bins["above_30"].codes.scatter.value == pytest.approx(0)
    assert bins["above_30"].latents.median.value == pytest.approx(0)


def test_colours_need_both_bands(image_sample):
    """Without G there is no G-R."""
    assert list(measure_aperture_colours(image_sample(), 0)) == ["R-Z"]


def test_colour_in_the_mask_by_hand(image_sample):
    """U-G, G-R … need two neighbours; R brighter by 0.75 mag makes G-R redder by as much."""
    flux = np.full((20, 2), 1000.0)
    flux[:, 1] = 2000.0
    sample = image_sample(codes={"flux": flux}, bands=("G", "R"))
    colours = measure_colours(sample, 0)
    assert list(colours) == ["G-R"]
    assert colours["G-R"].n == 20
    assert colours["G-R"].median.value == pytest.approx(0.7526, abs=1e-4)


def test_brightest_pixels_by_hand(image_sample):
    """Of twenty pixels of S/N 200, three are off by more than 5 %; one of S/N 50 counts below 100.

    Its noise, 2 %, leaves 98.8 % of noiseless images within 5 %: 2.5 sigmas.
    """
    measured, decoded = np.full((20, 2), 200.0), np.full((20, 2), 202.0)
    decoded[:3, 0] = 240.0, 150.0, -5.0
    measured[19, 1], decoded[19, 1] = 50.0, 60.0
    sample = image_sample(codes={"peak": decoded}, measured={"peak": measured})
    numbers = measure_peaks(sample, 0)
    assert numbers["R"]["above_100"].codes.within_5pct.value == pytest.approx(17 / 20)
    assert numbers["R"]["above_100"].codes.ratio.value == pytest.approx(1.01)
    assert numbers["Z"]["30-100"].n == 1
    assert numbers["Z"]["30-100"].ceiling == pytest.approx(0.9876, abs=1e-4)
    assert numbers["all"]["above_30"].codes.within_5pct.value == pytest.approx(36 / 40)
    assert numbers["all"]["above_100"].n == 39


def test_peaks_that_were_not_measured_do_not_count(image_sample):
    """NaN, and noise that is not known."""
    peak = np.full((20, 2), 200.0)
    peak[:4] = np.nan
    noise = np.ones((20, 2))
    noise[4:6] = 0
    numbers = measure_peaks(image_sample(measured={"peak": peak}, noise=noise), 0)
    assert numbers["R"]["above_100"].n == 14


def test_ratio_by_hand(image_sample):
    """Decoded widths of 1.8 arcsec over measured ones of 1.5 are 1.2."""
    sample = image_sample(codes={"fwhm": np.full((20, 2), 1.8)})
    stars = measure_stars(sample, 0)
    assert stars["R"].codes.ratio.value == pytest.approx(1.2)
    assert stars["R"].latents.ratio.value == pytest.approx(1)
    assert stars["all"].n == 40


def test_only_bright_stars_count(image_sample):
    """Galaxies and faint stars are left out."""
    noise, star = np.ones((20, 2)), np.ones(20, bool)
    noise[:4], star[4:7] = 100.0, False
    stars = measure_stars(image_sample(noise=noise, star=star), 0)
    assert stars["R"].n == 13


def test_star_that_vanished_is_counted(image_sample):
    """A star whose decoded cutout has no width is counted as failed."""
    decoded = np.full((20, 2), 1.5)
    decoded[:3, 0] = np.nan
    stars = measure_stars(image_sample(codes={"fwhm": decoded}), 0)
    assert stars["R"].codes.failed == 3
    assert stars["Z"].codes.failed == 0
