from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astromodal.config.inputs import SimulateSettings
from astromodal.simulate import gaia
from astromodal.simulate.extragalactic import (
    QuasarLight,
    calzetti,
    comoving_distance,
    forest_transmission,
    quasar_spectrum,
)
from astromodal.simulate.light import (
    BAND_NAMES,
    PHOTOMETRIC_GRID,
    SPLUS,
    VISTA,
    Light,
    ab_flux,
    components,
    curve,
    spectra,
    splus_columns,
    to_magnitude,
    vista_columns,
)
from astromodal.simulate.sources import (
    CLASSES,
    FIELD_SIZE,
    GALAXY,
    QUASAR,
    STAR,
    Atmosphere,
    Sources,
    absolute_magnitude,
    field_centre,
    sample_sources,
    stream,
)
from astromodal.simulate.spectra import star_spectrum


def band(light: Light, name: str) -> np.ndarray:
    return to_magnitude(light.flux[:, BAND_NAMES.index(name)])


def star_colour(teff: float, blue: str, red: str, logg: float = 4.5, mh: float = 0.0) -> float:
    spectrum = star_spectrum(
        np.array([teff]), np.array([logg]), np.array([mh]), PHOTOMETRIC_GRID, np.zeros(1)
    )
    magnitude = to_magnitude(ab_flux(spectrum))[0]
    return float(magnitude[BAND_NAMES.index(blue)] - magnitude[BAND_NAMES.index(red)])


def test_flat_spectrum_has_its_ab_magnitude() -> None:
    """A source of constant flux per frequency has the same AB magnitude in every band."""
    per_frequency = 10 ** (-0.4 * (19.0 + 48.60))  # erg/s/cm²/Hz
    flat = (per_frequency * 2.99792458e18 / PHOTOMETRIC_GRID**2 / 1e-17)[None]
    np.testing.assert_allclose(to_magnitude(ab_flux(flat))[0], 19.0, atol=1e-3)


@pytest.mark.parametrize("name", [*SPLUS, *(f"vista_{b}" for b in VISTA)])
def test_curves_have_published_centres_and_widths(name: str) -> None:
    """A passband crosses half its height at the published width around its centre."""
    wave = np.arange(3000.0, 26000.0, 1.0)
    above = wave[curve(name, wave) >= 0.5]
    published = (SPLUS | {f"vista_{b}": v for b, v in VISTA.items()})[name]
    assert np.ptp(above) == pytest.approx(published.width, abs=2.0)
    assert above.mean() == pytest.approx(published.centre, abs=1.0)


@pytest.mark.parametrize(
    ("name", "pivot"), [("y", 10217.0), ("j", 12527.0), ("h", 16433.0), ("ks", 21503.0)]
)
def test_vista_passbands_have_the_pivot_wavelengths_of_measured_curves(
    name: str, pivot: float
) -> None:
    """Pivots are within 0.2 % of those of VIRCAM's curves with atmosphere, detector and mirrors."""
    wave = np.arange(8000.0, 26000.0, 1.0)
    passband = curve(f"vista_{name}", wave)
    assert np.sqrt((passband * wave).sum() / (passband / wave).sum()) == pytest.approx(
        pivot, rel=0.002
    )


def test_sources_have_their_r_magnitude(sources: Sources, light: Light) -> None:
    """Spectra are normalised to the sampled r magnitude."""
    np.testing.assert_allclose(band(light, "r"), sources.r_mag, atol=1e-9)


def test_synthetic_photometry_of_a_spectrum_gives_its_magnitudes(
    sources: Sources, light: Light
) -> None:
    """g, r and i integrated over DESI's fine grid agree with magnitudes to a hundredth."""
    rows = np.arange(120)
    wave = np.arange(3600.0, 9824.0, 0.8)
    flux = spectra(sources, light, rows, wave)
    for name in ("j0430", "g", "j0515", "r", "j0660", "i"):
        weight = curve(name, wave)
        mean = (flux * weight * wave).sum(axis=1) / (weight / wave).sum() / 2.99792458e18 * 1e-17
        np.testing.assert_allclose(
            -2.5 * np.log10(mean) - 48.60, band(light, name)[rows], atol=0.012
        )


def test_cooler_stars_are_redder() -> None:
    """G - i and i - z grow as the temperature falls."""
    temperatures = (10_000, 8000, 6500, 5500, 4500, 3800, 3200)
    for blue, red in (("g", "i"), ("i", "z")):
        colours = [star_colour(t, blue, red) for t in temperatures]
        assert colours == sorted(colours)


def test_sun_has_the_colours_of_the_sun() -> None:
    """A star of 5772 K has g - r and r - i near 0.45 and 0.12 (Willmer 2018)."""
    assert star_colour(5772, "g", "r", 4.44) == pytest.approx(0.45, abs=0.12)
    assert star_colour(5772, "r", "i", 4.44) == pytest.approx(0.12, abs=0.08)


def test_metals_show_in_calcium() -> None:
    """The band on Ca H + K darkens with metallicity."""
    rich, poor = (star_colour(5500, "j0395", "j0410", 4.4, mh) for mh in (0.2, -2.0))
    assert rich > poor + 0.2


def test_gravity_shows_in_the_balmer_lines() -> None:
    """A white dwarf has far wider Balmer lines than a dwarf of the same temperature."""
    wave = np.arange(4700.0, 5020.0, 0.5)
    two = np.array([10_000.0, 10_000.0])
    spectrum = star_spectrum(two, np.array([4.0, 8.0]), np.zeros(2), wave, np.zeros(2))
    missing = 1 - spectrum / np.median(spectrum, axis=1, keepdims=True)
    near = np.abs(wave - 4862) < 80
    assert missing[1, near].sum() > 1.5 * missing[0, near].sum()


def test_absolute_magnitudes_are_known_ones() -> None:
    """Sun, M dwarf, red giant and white dwarf have about the right absolute r magnitude."""
    teff = np.array([5772.0, 3300.0, 4700.0, 10_000.0])
    logg = np.array([4.44, 4.95, 2.5, 8.0])
    found = absolute_magnitude(Atmosphere(teff, logg, np.zeros(4)))
    np.testing.assert_allclose(found, [4.65, 11.0, 0.6, 11.9], atol=0.9)


def test_galaxies_have_a_break_and_redden_with_redshift(sources: Sources, light: Light) -> None:
    """Bulge-dominated galaxies: the 4000 Angstrom break moves from u - g to g - r with redshift."""
    early = (sources.kind == GALAXY) & (np.nan_to_num(sources.shape["bulge"]) > 0.6)
    near, far = early & (sources.redshift < 0.1), early & (np.abs(sources.redshift - 0.4) < 0.05)
    colour = band(light, "g") - band(light, "r")
    assert np.median(colour[near]) < 1.05
    assert np.median(colour[far]) > np.median(colour[near]) + 0.4


def test_emission_lines_stand_at_their_redshift(sources: Sources, light: Light) -> None:
    """Gas-rich galaxies peak at Halpha where their redshift puts it."""
    gas = (sources.kind == GALAXY) & (sources.galaxy.gas > 1) & (sources.redshift < 0.4)
    for row in np.flatnonzero(gas)[:20]:
        wave = 6564.6 * (1 + sources.redshift[row]) + np.arange(-60.0, 10.0, 0.5)
        flux = spectra(sources, light, np.array([row]), wave)[0]
        assert abs(wave[flux.argmax()] - 6564.6 * (1 + sources.redshift[row])) < 2


def test_forest_thickens_with_redshift() -> None:
    """The forest absorbs more at higher redshift, nothing redward of Lyman alpha, in 0 to 1."""
    wave = np.arange(3600.0, 9000.0, 1.0)
    z = np.array([2.2, 3.2, 4.5])
    through = forest_transmission(wave, z, np.full(3, 0.3))
    rest = wave / (1 + z[:, None])
    means = [through[k][(rest[k] > 1050) & (rest[k] < 1190)].mean() for k in range(3)]
    assert means == sorted(means, reverse=True)
    assert 0.7 < means[0] < 0.92
    assert (through[rest > 1216] == 1).all()
    assert (through >= 0).all()
    assert (through <= 1).all()


def test_quasars_drop_out_of_u(sources: Sources, light: Light) -> None:
    """Quasars beyond z = 3.3 are red in u - g, those below 2 blue."""
    one = np.ones(2)
    light = QuasarLight(-0.5 * one, one, 0.5 * one, 0 * one, 0.1 * one)
    flux = quasar_spectrum(light, PHOTOMETRIC_GRID, np.array([1.5, 3.6]))
    magnitude = to_magnitude(ab_flux(flux))
    u_g = magnitude[:, BAND_NAMES.index("u")] - magnitude[:, BAND_NAMES.index("g")]
    assert u_g[0] < 0.7
    assert u_g[1] > 2.0


def test_dust_reddens() -> None:
    """Calzetti's law is 4.05 near V and falls with wavelength."""
    assert calzetti(np.array(5500.0)) == pytest.approx(4.05, abs=0.05)
    assert (np.diff(calzetti(np.linspace(1200, 22000, 300))) < 1e-9).all()


def test_comoving_distances_are_known_ones() -> None:
    """Distances are those of astropy's FlatLambdaCDM(70, 0.3)."""
    found = comoving_distance(np.array([0.1, 0.5, 1.0, 3.0]))
    np.testing.assert_allclose(found, [418.4545, 1888.6254, 3303.8288, 6355.6854], rtol=1e-6)


def test_parallax_is_the_inverse_distance(sources: Sources, light: Light) -> None:
    """Parallaxes of bright near stars agree with distance within their errors."""
    columns = gaia.gaia_columns(sources, light, stream(1, "f", "gaia"))
    near = (sources.kind == STAR) & (sources.r_mag < 17)
    error = columns["gaia_parallax_error"][near]
    off = (columns["gaia_parallax"][near] + 0.02 - 1000 / sources.distance[near]) / error
    assert np.nanmedian(np.abs(off)) == pytest.approx(0.67, abs=0.12)
    beyond = (
        columns["gaia_parallax"][sources.kind != STAR]
        / columns["gaia_parallax_error"][sources.kind != STAR]
    )
    assert abs(np.nanmedian(beyond)) < 0.2


def test_gaia_fluxes_follow_magnitudes(sources: Sources, light: Light) -> None:
    """Stars' G fluxes have a zero point in AB magnitudes of 25.801."""
    columns = gaia.gaia_columns(sources, light, stream(1, "f", "gaia"))
    bright = (sources.kind == STAR) & (sources.r_mag < 18)
    magnitude = 25.801 - 2.5 * np.log10(columns["gaia_phot_g_mean_flux"][bright])
    np.testing.assert_allclose(np.median(magnitude - band(light, "gaia_g")[bright]), 0, atol=2e-3)


def test_parameters_are_noisy_truth(sources: Sources, light: Light) -> None:
    """GSP-Phot temperatures correlate with the truth and exist for a third of the sources."""
    columns = gaia.gaia_columns(sources, light, stream(1, "f", "gaia"))
    given = ~np.isnan(columns["gaia_teff_gspphot"]) & (sources.kind == STAR)
    ratio = columns["gaia_teff_gspphot"][given] / sources.teff[given]
    assert 0.005 < np.std(ratio) < 0.15
    assert 0.2 < np.mean(~np.isnan(columns["gaia_teff_gspphot"])) < 0.5


def test_matches_prefer_stars(sources: Sources, light: Light) -> None:
    """Gaia matches 71 % of sources, nearly all bright stars, few galaxies."""
    owner = gaia.match(sources, light, 0.0, stream(1, "f", "match"))
    assert np.mean(owner >= 0) == pytest.approx(0.716, abs=0.003)
    assert np.mean(owner[(sources.kind == STAR) & (sources.r_mag < 20)] >= 0) > 0.97
    assert np.mean(owner[sources.kind == GALAXY] >= 0) < 0.6


def test_magnitudes_are_right_within_errors(sources: Sources, light: Light) -> None:
    """Magnitudes scatter about the truth as their errors say, in the middle of the distribution."""
    columns = splus_columns(light, stream(1, "f", "photometry"))
    for name in ("u", "r", "j0861"):
        off = (columns[f"mag_pstotal_{name}"] - band(light, name)) / columns[
            f"err_mag_pstotal_{name}"
        ]
        good = columns[f"err_mag_pstotal_{name}"] < 0.1
        assert np.nanmedian(np.abs(off[good])) == pytest.approx(0.67, abs=0.1)


def test_coverage_of_bands_is_that_of_real_cubes(sources: Sources, light: Light) -> None:
    """Down to r = 21, u is there for 85 %, blue narrow bands for 80 to 90 %, others above 96 %."""
    columns = splus_columns(light, stream(1, "f", "photometry"))
    seen = {
        name: np.mean(~np.isnan(columns[f"mag_pstotal_{name}"][sources.r_mag < 21]))
        for name in SPLUS
    }
    assert seen["u"] == pytest.approx(0.85, abs=0.05)
    for name in ("j0378", "j0395", "j0410", "j0430"):
        assert 0.78 < seen[name] < 0.91
    for name in ("g", "j0515", "j0660", "i", "j0861", "z"):
        assert seen[name] > 0.95
    assert seen["r"] == 1


def test_errors_have_absurd_tails(sources: Sources, light: Light) -> None:
    """Errors of u reach beyond 10,000 while half are below 1."""
    error = splus_columns(light, stream(1, "f", "photometry"))["err_mag_pstotal_u"]
    assert np.nanmax(error) > 1e4
    assert np.nanmedian(error) < 1
    assert (error[~np.isnan(error)] > 0).all()


def test_vista_sees_its_shares(sources: Sources, light: Light) -> None:
    """J is there for about 74 %, H for 22 % of the sources."""
    columns = vista_columns(light, stream(1, "f", "vista"))
    assert np.mean(~np.isnan(columns["vista_japermag6"])) == pytest.approx(0.74, abs=0.07)
    assert np.mean(~np.isnan(columns["vista_hapermag6"])) == pytest.approx(0.22, abs=0.05)


def test_all_classes_and_magnitudes(sources: Sources) -> None:
    """All classes are there; magnitudes reach outside the cut at 14 and 22 on both sides."""
    assert set(sources.kind.tolist()) == {STAR, GALAXY, QUASAR}
    assert len(CLASSES) == 3
    assert sources.r_mag.min() < 14
    assert sources.r_mag.max() > 22
    assert np.median(sources.r_mag) > 19


def test_spectra_are_finite_and_positive(sources: Sources) -> None:
    """No component of any spectrum is negative or not finite."""
    found = components(sources, np.arange(200), np.arange(3300.0, 24000.0, 10.0))
    assert np.isfinite(found).all()
    assert (found >= 0).all()


@settings(max_examples=20, deadline=None)
@given(st.text("ABab01_.+-", min_size=1, max_size=12))
def test_centres_lie_in_the_footprint(name: str) -> None:
    """Any name gives a place in the south, the same every time, far from the Galactic plane."""
    ra, dec = field_centre(name)
    assert (ra, dec) == field_centre(name)
    assert 0 <= ra < 360
    assert -65 <= dec <= 0


def test_a_field_covers_several_cells(sky: SimulateSettings) -> None:
    """A field is 1.4 degree wide on the sky, also where meridians converge."""
    found = sample_sources(sky, "WHOLE")
    ra0, _ = field_centre("WHOLE")
    east = (found.ra - ra0 + 180) % 360 - 180
    width = np.ptp(east) * np.cos(np.radians(found.dec.mean()))
    assert 0.8 * FIELD_SIZE < width <= 1.05 * FIELD_SIZE
