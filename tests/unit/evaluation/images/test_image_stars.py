"""Widths of decoded stars over measured ones, by hand."""

import numpy as np
import pytest

from astromodal.evaluation.images.photometry import enough, plot_stars, star_numbers, star_table

BANDS = ("R", "Z")


def test_ratio_by_hand(image_sample):
    """Decoded widths of 1.8 arcsec over measured ones of 1.5 are 1.2."""
    sample = image_sample(fwhm_codes=np.full((20, 2), 1.8))
    found = star_numbers(sample, BANDS, 24, 0)
    assert found["R"]["codes"]["ratio"]["value"] == pytest.approx(1.2)
    assert found["R"]["latents"]["ratio"]["value"] == pytest.approx(1)
    assert found["all"]["n"] == 40


def test_only_bright_stars_count(image_sample):
    """Galaxies and faint stars are left out."""
    noise, star = np.ones((20, 2)), np.ones(20, bool)
    noise[:4], star[4:7] = 100.0, False
    found = star_numbers(image_sample(noise=noise, star=star), BANDS, 24, 0)
    assert found["R"]["n"] == 13
    assert enough(found, BANDS) == ["R", "Z"]


def test_star_that_vanished_is_counted(image_sample):
    """A star that has no width once decoded is no star of the right width."""
    decoded = np.full((20, 2), 1.5)
    decoded[:3, 0] = np.nan
    found = star_numbers(image_sample(fwhm_codes=decoded), BANDS, 24, 0)
    assert found["R"]["codes"]["failed"] == 3
    assert found["Z"]["codes"]["failed"] == 0


def test_figure_and_table(image_sample):
    """Both ways are drawn; a row a band and one over all."""
    sample = image_sample()
    found = star_numbers(sample, BANDS, 24, 0)
    plot_stars(sample, found, BANDS, 24).draw_without_rendering()
    assert [row[0] for row in star_table(found, BANDS)["rows"]] == ["R", "Z", "all"]
