"""Units are told once, for figures and for files."""

import astropy.units as u
import pytest

from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.core.units import flux_unit, scalar_unit, wavelength_unit


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
