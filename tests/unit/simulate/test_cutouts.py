from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import mad_std

from astromodal.config.inputs import BANDS, SimulatedField, SimulateSettings
from astromodal.simulate import cutouts
from astromodal.simulate.cutouts import (
    CENTRE,
    CLOSEST,
    MARGIN,
    PIXEL,
    SIZE,
    Imager,
    Placed,
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
from astromodal.tokenizers.images.pixels import source_places


@pytest.fixture(scope="module")
def optics(sky: SimulateSettings) -> Telescope:
    return telescope(sky, "MANY")


@pytest.fixture(scope="module")
def imager(sources: Sources, light: Light, optics: Telescope) -> Imager:
    return Imager(sources, light, optics)


WHOLE = (slice(0, SIZE), slice(0, SIZE))


def seeing(pixels: float, beta: float = 3.0) -> Telescope:
    """A telescope whose point spread function has the same FWHM (pixel) in all bands."""
    return Telescope(np.full(12, pixels * PIXEL), np.full(12, beta))


def moments(image: np.ndarray) -> tuple[float, float, float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    total = image.sum()
    dx, dy = x - (x * image).sum() / total, y - (y * image).sum() / total
    return tuple(float((image * a * b).sum() / total) for a, b in ((dx, dx), (dy, dy), (dx, dy)))


def test_aperture_sums_are_magnitudes(sources: Sources, light: Light, imager: Imager) -> None:
    """Counts of a cutout without noise give the magnitude through the band's zero point."""
    small = np.nan_to_num(sources.shape["radius"]) < 3
    for row in np.flatnonzero(small)[:60]:
        total = imager.render([Placed(int(row), CENTRE, CENTRE)]).sum(axis=(1, 2))
        zero = np.array([IMAGING[band].zero_point for band in SPLUS])
        true = light.flux[row, [BAND_NAMES.index(band) for band in SPLUS]]
        np.testing.assert_allclose(total, true * 10 ** (0.4 * zero), rtol=0.04)


def test_sky_noise_is_that_of_the_survey(sources: Sources, imager: Imager) -> None:
    """Corners of cutouts scatter by the sky noise of each band, about zero."""
    faint = np.flatnonzero((sources.kind == STAR) & (sources.r_mag > 20))[:12]
    images = imager.expose(faint, stream(1, "f", "c"))
    spread = np.array([mad_std(images[:, band]) for band in range(12)])
    np.testing.assert_allclose(spread, [IMAGING[band].sky for band in SPLUS], rtol=0.08)


def test_noise_of_adjacent_pixels_is_correlated() -> None:
    """Noise has unit variance, adjacent pixels have a correlation of 0.14, distant ones none."""
    noise = cutouts._noise(12, stream(1, "f", "noise"))
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    assert np.mean(noise[:, 1:] * noise[:, :-1]) == pytest.approx(0.137, abs=0.01)
    assert np.mean(noise[:, 3:] * noise[:, :-3]) == pytest.approx(0.0, abs=0.01)


def test_bright_pixels_have_the_photon_noise_of_their_gain(
    sources: Sources, imager: Imager
) -> None:
    """Pixels of bright stars differ from the noiseless scene by sky and photon noise."""
    bright = np.argsort(np.where(sources.kind == STAR, sources.r_mag, 99.0))[:20]
    band = list(SPLUS).index("g")
    gain, sky = IMAGING["g"].gain, IMAGING["g"].sky
    pulls = []
    for row in bright.tolist():
        again = stream(row, "f", "photons")
        target = Placed(row, *(CENTRE + again.uniform(-0.5, 0.5, 2)))
        truth = imager.render([target, *imager._neighbours(target, again)])[band]
        seen = imager.expose(np.array([row]), stream(row, "f", "photons"))[0, band]
        core = (truth > 100 * sky) & (seen != 0)
        pulls.append(((seen - truth) / np.sqrt(truth / gain + sky**2))[core])
    assert np.concatenate(pulls).std() == pytest.approx(1.0, abs=0.05)


def test_sources_stand_anywhere_in_the_pixel_that_is_cut_around(
    sources: Sources, imager: Imager
) -> None:
    """Bright stars stand within half a pixel of pixel 48, evenly, the same for the same seed."""
    magnitude = np.where(sources.kind == STAR, sources.r_mag, 99.0)
    bright = np.argsort(magnitude)[:150]
    assert magnitude[bright[-1]] < 99
    first, again = (imager.expose(bright, stream(1, "f", "places")) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    sky = np.array([IMAGING[band].sky for band in SPLUS])
    places = source_places(first, first != 0, sky)
    places = places[np.isfinite(places).all(axis=1)]
    assert len(places) > 100
    assert np.abs(places.mean(axis=0)).max() < 0.1
    assert np.quantile(np.abs(places), 0.95) < 0.55
    np.testing.assert_allclose(places.std(axis=0), 12**-0.5, atol=0.06)


def test_neighbours_are_as_many_as_on_the_sky(sources: Sources, imager: Imager) -> None:
    """Cutouts have 1.8 neighbours brighter than r = 21 on average, none nearer than 4 pixels."""
    rng = stream(1, "f", "neighbours")
    target = Placed(0, CENTRE, CENTRE)
    found = [other for _ in range(1500) for other in imager._neighbours(target, rng)]
    rows = np.array([other.row for other in found])
    factor = np.array([other.factor for other in found])
    place = np.array([(other.x, other.y) for other in found])
    r_mag = sources.r_mag[rows] - 2.5 * np.log10(factor)
    inside = ((place > 0) & (place < SIZE - 1)).all(axis=1)
    assert (inside & (r_mag < 21)).sum() / 1500 == pytest.approx(1.8, abs=0.15)
    assert (inside & (r_mag < 16)).sum() / 1500 == pytest.approx(0.17, abs=0.05)
    assert np.hypot(*(place - CENTRE).T).min() > CLOSEST
    assert place.min() > -MARGIN
    assert place.max() < SIZE - 1 + MARGIN


def test_neighbours_look_like_sources_of_their_magnitude(sources: Sources, imager: Imager) -> None:
    """Most neighbours within the field's magnitudes are scaled by less than a tenth."""
    rng = stream(1, "f", "neighbours")
    target = Placed(0, CENTRE, CENTRE)
    factor = np.array([o.factor for _ in range(300) for o in imager._neighbours(target, rng)])
    assert np.median(np.abs(np.log(factor))) < 0.1


def test_window_of_a_point_holds_its_light(sources: Sources, imager: Imager) -> None:
    """Cutting off the faint wings of a star costs less than 1 % of its counts, down to r = 21."""
    star = np.flatnonzero((sources.kind == STAR) & (sources.r_mag < 21))
    band = list(SPLUS).index("r")
    optics = imager._optics
    for row in star[:40].tolist():
        image = imager.render([Placed(row, CENTRE, CENTRE)])[band]
        whole = points(CENTRE, CENTRE, optics, *WHOLE)[band] * imager._compact[row, band]
        assert image.sum() == pytest.approx(whole.sum(), rel=0.01)


def test_scene_is_the_sum_of_its_sources(sources: Sources, imager: Imager) -> None:
    """A star and two galaxies together are the sum of their own images."""
    rows = [np.flatnonzero(sources.kind == kind)[:2] for kind in (STAR, GALAXY)]
    scene = [
        Placed(int(row), 30.0 + 9 * k, 40.0, 0.5) for k, row in enumerate(np.concatenate(rows))
    ]
    together = imager.render(scene)
    np.testing.assert_allclose(
        together, sum(imager.render([source]) for source in scene), atol=1e-5 * together.max()
    )


def test_star_is_as_wide_as_the_seeing() -> None:
    """A point's image falls to half its peak at half the full width, along both axes."""
    image = points(47.0, 47.0, seeing(3.0), *WHOLE)[0]
    assert image[47, 47 + 3] / image[47, 47] < 0.25
    profile = np.interp(1.5, np.arange(10), image[47, 47:57] / image[47, 47])
    assert profile == pytest.approx(0.5, abs=0.05)
    assert image.sum() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("beta", [2.0, 2.75, 3.2])
def test_point_is_the_same_in_real_and_fourier_space(beta: float) -> None:
    """Away from the core, which is tapered, transforms give the image of a point."""
    optics = seeing(4.0, beta)
    real = points(47.5, 47.5, optics, *WHOLE)[0]
    image = to_images(psf_transforms(optics)[0] * shift(47.5, 47.5), SIZE)
    np.testing.assert_allclose(image, real, atol=0.003 * real.max())


def test_disc_has_its_half_light_radius_and_angle() -> None:
    """A face-on disc has half its light within its radius; a flat one lies along its angle."""
    psf = psf_transforms(seeing(0.9))[0]
    _, disc = galaxy_transforms(8.0, 1.0, 0.0)
    image = to_images(psf * disc * shift(47.5, 47.5), 96)
    y, x = np.mgrid[:96, :96] - 47.5
    assert image[np.hypot(x, y) < 8.0].sum() == pytest.approx(0.5, abs=0.03)
    _, disc = galaxy_transforms(8.0, 0.4, 30.0)
    xx, yy, xy = moments(np.maximum(to_images(psf * disc * shift(47.5, 47.5), 96), 0))
    assert np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) == pytest.approx(30.0, abs=2.0)


def test_source_stands_where_it_is_put() -> None:
    """Point and disc have their centroid at the given position, x along columns."""
    psf = psf_transforms(seeing(2.5))[0]
    _, disc = galaxy_transforms(3.0, 0.7, 10.0)
    for image in (
        points(40.3, 52.8, seeing(2.5), *WHOLE)[0],
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
        image = np.maximum(imager.render([Placed(int(row), CENTRE, CENTRE)])[r_band], 0)
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
    names = [f"F{number}" for number in range(60)]
    own = SimulateSettings(fields={name: SimulatedField(seeing=1.4) for name in names})
    fwhm = np.array([telescope(own, name).fwhm for name in names])
    assert (fwhm[:, list(SPLUS).index("r")] == 1.4).all()
    assert fwhm[:, :5].mean() > fwhm[:, -4:].mean()
    assert seeing(2.0).detection == pytest.approx(2.0)


def test_each_band_has_its_own_point_spread_function() -> None:
    """Widths of the other bands scatter by 15 %, indices of the profile by 0.3 about 2.75."""
    names = [f"F{number}" for number in range(60)]
    own = SimulateSettings(fields={name: SimulatedField(seeing=1.4) for name in names})
    optics = [telescope(own, name) for name in names]
    blue = np.log([field.fwhm[:5] for field in optics])
    assert blue.std(axis=0).mean() == pytest.approx(0.15, abs=0.03)
    beta = np.array([field.beta for field in optics])
    assert beta.mean() == pytest.approx(2.74, abs=0.05)
    assert beta.min() >= 2.0
