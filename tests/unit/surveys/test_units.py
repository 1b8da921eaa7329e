"""Units are told once, for figures and for files."""

import astropy.units as u
import numpy as np
import pytest

from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.surveys.units import (
    PIXELS,
    flux_unit,
    group_units,
    in_unit,
    scalar_unit,
    wavelength_unit,
)


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("mag_pstotal_r", "mag"), ("vista_japermag6err", "mag"), ("a_pixel_det", "pix"),
        ("theta_det", "deg"), ("gaia_pmra_error", "mas / yr"), ("gaia_teff_gspphot", "K"),
        ("gaia_phot_g_mean_flux", "electron / s"), ("specz_z", ""), ("another", None),
    ],
)  # fmt: skip
def test_units_of_columns(column, unit):
    """Empty without one, None where it is not known."""
    assert scalar_unit(column) == unit


def test_astropy_reads_every_unit():
    """Of each default column, and of spectra."""
    for name in SCALAR_COLUMNS:
        u.Unit(scalar_unit(name))
    for group in ("desi_b", "gaiaxp_bp"):
        u.Unit(flux_unit(group))
        u.Unit(wavelength_unit(group))
    for group in ("desi_b", "ztf_g"):
        assert len([u.Unit(unit) for unit in group_units(group)]) == 3
    assert u.Unit(group_units("desi_b")[1]) == u.Unit(flux_unit("desi_b")) ** -2


@pytest.mark.parametrize(
    ("given", "column", "wanted", "expected"),
    [
        (u.hourangle, "ra", "deg", [15, 30]),
        (u.arcsec / u.yr, "gaia_pmra", "mas / yr", [1000, 2000]),
        (u.percent, "specz_z", "", [0.01, 0.02]),
        (u.mag(u.nJy), "mag_pstotal_r", "mag", [32.4, 33.4]),
        (u.dex(u.m / u.s**2), "gaia_logg_gspphot", "dex", [3, 4]),
        (u.W / u.m**2 / u.nm, "desi_flux_r", flux_unit("desi_r"), [1e19, 2e19]),
        (u.nm, "desi_wave_r", "Angstrom", [10, 20]),
    ],
)
def test_values_are_converted(given, column, wanted, expected):
    """By a factor, or from one zero point to another."""
    found = in_unit(np.array([1, 2], np.float32), given, column, wanted)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "column", "wanted"),
    [
        ("mag", "mag_pstotal_r", "mag"), (u.ABmag, "mag_pstotal_r", "mag"),
        (u.one, "mag_pstotal_r", "mag"), ("magnitude", "vista_japermag6", "mag"),
        (u.ABmag, "err_mag_pstotal_r", "mag"), (u.dex, "gaia_mh_gspphot", "dex"),
        (u.dex(u.one), "gaia_mh_gspphot", "dex"), ("log(cm.s**-2)", "gaia_logg_gspphot", "dex"),
        ("'electron'.s**-1", "gaia_phot_g_mean_flux", "electron / s"),
        ("e-/s", "gaia_phot_g_mean_flux", "electron / s"), ("counts/s", "splus_cut_R", PIXELS),
        ("pixels", "a_pixel_det", "pix"), ("degrees", "ra", "deg"),
        ("10**+34 (s2 cm4 Angstrom2) / erg2", "desi_ivar_r", group_units("desi_r")[1]),
        ("10**-17 erg/(s cm2 Angstrom)", "desi_flux_r", flux_unit("desi_r")),
    ],
)  # fmt: skip
def test_values_of_the_same_unit_stay_what_they_are(given, column, wanted):
    """To the bit, however catalogues spell it."""
    values = np.array([1.1, 2.2], np.float32)
    assert in_unit(values, given, column, wanted) is values


@pytest.mark.parametrize(
    ("given", "column", "wanted", "words"),
    [
        (u.STmag, "mag_pstotal_r", "mag", "'ST' .* and 'AB' .* are not convertible"),
        (u.ABmag, "vista_japermag6", "mag", "vista_japermag6 is relative to Vega"),
        (u.Jy, "mag_pstotal_r", "mag", "not convertible"),
        (u.one, "gaia_teff_gspphot", "K", "not convertible"),
        (u.one / u.s, "gaia_phot_g_mean_flux", "electron / s", "not convertible"),
        (u.arcsec, "a_pixel_det", "pix", "not convertible"),
        ("furlongs", "ra", "deg", "did not parse as unit"),
        (3, "ra", "deg", "3 is no unit of one column"),
    ],
)
def test_units_of_another_kind_are_no_units_of_a_column(given, column, wanted, words):
    """A zero point, a pixel scale or a spectrum would have to be known."""
    with pytest.raises(ValueError, match=words):
        in_unit(np.array([1.0, 2.0]), given, column, wanted)
