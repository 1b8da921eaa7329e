from __future__ import annotations

import numpy as np
import pytest

from astromodal.config.inputs import BANDS, SimulatedField, SimulateSettings
from astromodal.simulate import cutouts
from astromodal.simulate.cutouts import (
    CENTRE,
    PIXEL,
    Imager,
    Telescope,
    galaxy_transforms,
    points,
    psf_transforms,
    shape_columns,
    shift,
    telescope,
    to_images,
)
from astromodal.simulate.light import BAND_NAMES, IMAGING, SPLUS, Light
from astromodal.simulate.sources import GALAXY, STAR, Sources, stream


@pytest.fixture(scope="module")
def optics(sky: SimulateSettings) -> Telescope:
    return telescope(sky, "MANY")


@pytest.fixture(scope="module")
def imager(sources: Sources, light: Light, optics: Telescope) -> Imager:
    return Imager(sources, light, optics)


def moments(image: np.ndarray) -> tuple[float, float, float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    total = image.sum()
    dx, dy = x - (x * image).sum() / total, y - (y * image).sum() / total
    return tuple(float((image * a * b).sum() / total) for a, b in ((dx, dx), (dy, dy), (dx, dy)))


def test_aperture_sums_are_magnitudes(sources: Sources, light: Light, imager: Imager) -> None:
    """Counts of a cutout without noise give the magnitude through the band's zero point."""
    small = np.nan_to_num(sources.shape["radius"]) < 3
    for row in np.flatnonzero(small)[:60]:
        total = imager.render(int(row), CENTRE, CENTRE).sum(axis=(1, 2))
        zero = np.array([IMAGING[band].zero_point for band in SPLUS])
        true = light.flux[row, [BAND_NAMES.index(band) for band in SPLUS]]
        np.testing.assert_allclose(total, true * 10 ** (0.4 * zero), rtol=0.04)


def test_sky_noise_is_that_of_the_survey(sources: Sources, imager: Imager) -> None:
    """Corners of cutouts scatter by the sky noise of each band, about zero."""
    faint = np.flatnonzero((sources.kind == STAR) & (sources.r_mag > 20))[:12]
    images = imager.expose(faint, stream(1, "f", "c"))
    corner = images[:, :, :20, :20]
    spread = np.array([1.4826 * np.median(np.abs(corner[:, b])) for b in range(12)])
    np.testing.assert_allclose(spread, [IMAGING[band].sky for band in SPLUS], rtol=0.06)


def test_star_is_as_wide_as_the_seeing() -> None:
    """A point's image falls to half its peak at half the full width, along both axes."""
    image = points(47.0, 47.0, np.array([3.0]), 96)[0]
    assert image[47, 47 + 3] / image[47, 47] < 0.25
    profile = np.interp(1.5, np.arange(10), image[47, 47:57] / image[47, 47])
    assert profile == pytest.approx(0.5, abs=0.05)
    assert image.sum() == pytest.approx(1.0, abs=0.02)


def test_disc_has_its_half_light_radius_and_angle() -> None:
    """A face-on disc has half its light within its radius; a flat one lies along its angle."""
    psf = psf_transforms(np.array([0.9]))[0]
    _, disc = galaxy_transforms(8.0, 1.0, 0.0)
    image = to_images(psf * disc * shift(47.5, 47.5), 96)
    y, x = np.mgrid[:96, :96] - 47.5
    assert image[np.hypot(x, y) < 8.0].sum() == pytest.approx(0.5, abs=0.03)
    _, disc = galaxy_transforms(8.0, 0.4, 30.0)
    xx, yy, xy = moments(np.maximum(to_images(psf * disc * shift(47.5, 47.5), 96), 0))
    assert np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) == pytest.approx(30.0, abs=2.0)


def test_source_stands_where_it_is_put() -> None:
    """Point and disc have their centroid at the given position, x along columns."""
    psf = psf_transforms(np.array([2.5]))[0]
    _, disc = galaxy_transforms(3.0, 0.7, 10.0)
    for image in (
        points(40.3, 52.8, np.array([2.5]), 96)[0],
        to_images(psf * disc * shift(40.3, 52.8), 96),
    ):
        y, x = np.mgrid[:96, :96]
        assert (x * image).sum() / image.sum() == pytest.approx(40.3, abs=0.1)
        assert (y * image).sum() / image.sum() == pytest.approx(52.8, abs=0.1)


def test_shapes_follow_the_cutouts(
    sources: Sources, light: Light, optics: Telescope, imager: Imager
) -> None:
    """theta_det is the angle of bright flat galaxies' images; galaxies are wider than stars."""
    columns = shape_columns(sources, optics, stream(1, "f", "shapes"))
    shape = sources.shape
    flat = (
        (sources.kind == GALAXY)
        & (sources.r_mag < 19.5)
        & (np.nan_to_num(shape["axis_ratio"], nan=1) < 0.5)
    )
    flat &= np.nan_to_num(shape["radius"]) > 1.5
    assert flat.sum() > 3
    r_band = list(SPLUS).index("r")
    for row in np.flatnonzero(flat)[:10]:
        image = np.maximum(imager.render(int(row), CENTRE, CENTRE)[r_band], 0)
        xx, yy, xy = moments(image)
        angle = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))
        apart = (angle - columns["theta_det"][row] + 90) % 180 - 90
        assert abs(apart) < 25
    star, big = sources.kind == STAR, np.nan_to_num(shape["radius"]) > 2
    assert np.nanmedian(columns["a_pixel_det"][big]) > 1.3 * np.nanmedian(
        columns["a_pixel_det"][star]
    )


def test_shape_columns_hang_together(sources: Sources, light: Light, optics: Telescope) -> None:
    """Ellipticity is 1 - b/a, elongation a/b, theta in -90 to 90; fwhm has its spike of ties."""
    columns = shape_columns(sources, optics, stream(1, "f", "shapes"))
    a, b = columns["a_pixel_det"], columns["b_pixel_det"]
    np.testing.assert_allclose(columns["ellipticity_det"], 1 - b / a, atol=1e-5)
    np.testing.assert_allclose(columns["elongation_det"], a / b, rtol=1e-4)
    theta = columns["theta_det"][~np.isnan(columns["theta_det"])]
    assert (np.abs(theta) <= 90).all()
    assert 0.01 < np.mean(columns["fwhm_n_det"] == np.float32(8e-8)) < 0.04
    assert {values.dtype for values in columns.values()} == {np.dtype(np.float32)}


def test_some_pixels_are_exactly_zero(sources: Sources, imager: Imager) -> None:
    """A few cutouts have pixels without data, which are exactly zero."""
    images = imager.expose(np.arange(80), stream(1, "f", "spoiled"))
    share = np.mean(images == 0)
    assert 0 < share < 0.01
    assert (images < 0).any()


def test_cutouts_do_not_depend_on_bands(sources: Sources) -> None:
    """Cutout and catalogue bands pair up one to one."""
    assert sorted(cutouts.CATALOGUE_BANDS) == sorted(BANDS)
    assert sorted(cutouts.CATALOGUE_BANDS.values()) == sorted(SPLUS)


def test_choice_is_among_matches() -> None:
    """Cutouts are chosen among matched rows, at most all of them."""
    matched = np.arange(100) < 60
    rows = cutouts.choose(matched, 0.4, np.random.default_rng(0))
    assert len(rows) == 40
    assert matched[rows].all()
    assert len(cutouts.choose(matched, 0.9, np.random.default_rng(0))) == 60


def test_seeing_is_the_fields_own() -> None:
    """The seeing of the settings is that of r, and bluer bands are blurred more on average."""
    own = SimulateSettings(fields={"A": SimulatedField(seeing=1.4)})
    fwhm = telescope(own, "A").fwhm
    assert fwhm[list(SPLUS).index("r")] == 1.4
    assert fwhm[:5].mean() > fwhm[-4:].mean()
    assert Telescope(np.full(12, 1.1)).detection == pytest.approx(1.1 / PIXEL)
