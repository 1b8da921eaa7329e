"""What a batch of cutouts is reduced to, against sums worked out by hand."""

import numpy as np
import pytest

from astromodal.evaluation.images.apertures import (
    aperture_fluxes,
    are_stars,
    overlaps,
    reduce_cutouts,
    sky_noise,
    star_widths,
)


def test_sums_by_hand():
    """Inside the mask: flux 1 + 3, total (1 - 2)² + (3 - 2)², residual (1 - 0)² + (3 - 4)²."""
    pixels = np.array([[[[1.0, 3.0], [7.0, 9.0]]]])
    valid = np.array([[[[True, True], [False, True]]]])
    mask = np.array([[[True, True], [True, False]]])
    decoded = np.array([[[[0.0, 4.0], [50.0, 50.0]]]])
    sums = reduce_cutouts(pixels, valid, mask, {"codes": decoded})
    found = {name: float(values[0, 0]) for name, values in sums.items()}
    assert found == {
        "n_pixels": 2, "flux": 4, "total": 2, "flux_codes": 4, "residual_codes": 2, "noise": 0,
    }  # fmt: skip


def test_sky_noise_ignores_the_source():
    """Sigma of the sky is that of the pixels outside the mask."""
    pixels = np.random.default_rng(0).normal(0, 3, (1, 1, 64, 64))
    sky = np.ones(pixels.shape, bool)
    sky[..., 30:34, 30:34] = False
    pixels[~sky] = 1e6
    assert sky_noise(pixels, sky)[0, 0] == pytest.approx(3, rel=0.05)


def test_sky_noise_without_sky_is_zero():
    """A band without a sky pixel has no noise that could be measured."""
    assert sky_noise(np.ones((1, 1, 2, 2)), np.zeros((1, 1, 2, 2), bool))[0, 0] == 0


def test_apertures_by_hand():
    """On a flat image of 1 count/s a pixel the circles hold pi/4 (3 / 0.55)² and four times it."""
    flat = np.ones((1, 1, 24, 24))
    found = aperture_fluxes(flat, flat > 0, overlaps(24), {"codes": 2 * flat})
    area = np.pi / 4 * (3 / 0.55) ** 2
    assert found["circle"][0, 0] == pytest.approx([area, 4 * area])
    assert found["circle_codes"][0, 0] == pytest.approx([2 * area, 8 * area])


def test_aperture_with_a_hole_is_nan():
    """A hole 4 pixels off the middle spoils the aperture of 6 arcsec and not that of 3."""
    flat = np.ones((1, 1, 24, 24))
    valid = flat > 0
    valid[0, 0, 12, 16] = False
    found = aperture_fluxes(flat, valid, overlaps(24), {})["circle"][0, 0]
    assert np.isfinite(found).tolist() == [True, False]


def test_widths_of_stars_alone():
    """A star has its width in arcsec, what is none has NaN."""
    offset = np.arange(24) - 11.5
    image = np.exp(-(offset[None, :] ** 2 + offset[:, None] ** 2) / (2 * 1.5**2))
    pixels = np.broadcast_to(image, (2, 1, 24, 24))
    found = star_widths(pixels, pixels > -1, np.array([True, False]), {"codes": pixels})
    assert found["fwhm"][0, 0] == pytest.approx(2.3548 * 1.5 * 0.55, rel=1e-3)
    assert np.isnan(found["fwhm_codes"][1, 0])


@pytest.mark.parametrize(
    ("row", "star"),
    [
        ([6, 1, 0, 1, 0, 1], True),
        ([-6, 1, 0, 1, 0, 1], False),
        ([0, 1, 4, 1, -4, 1], True),
        ([0, 1, 3, 1, 3, 1], False),
        ([np.nan, np.nan, -6, 1, np.nan, 1], True),
        ([np.nan] * 6, False),
        ([6, 0, 0, 0, 0, 0], False),
    ],
    ids=["parallax", "negative", "motion", "slow", "no parallax", "no Gaia", "no error"],
)
def test_stars_by_hand(row, star):
    """Parallax above 5 sigmas, or proper motion: sqrt(4² + 4²) is above 5, sqrt(3² + 3²) below."""
    assert are_stars(np.array([row], dtype=float))[0] == star
