"""Units of what is predicted, as `astropy.units.Unit` reads them."""

from __future__ import annotations

from astromodal.core.grids import DESI_GRIDS

PIXELS = "ct / s"
"""Unit of a cutout's pixels."""

_SCALARS = {
    "a_pixel_det": "pix",
    "b_pixel_det": "pix",
    "theta_det": "deg",
    "gaia_parallax": "mas",
    "gaia_parallax_error": "mas",
    "gaia_teff_gspphot": "K",
    "gaia_logg_gspphot": "dex",
    "gaia_mh_gspphot": "dex",
}
_STARTS = {
    "mag_": "mag",
    "err_mag_": "mag",
    "vista_": "mag",
    "gaia_pm": "mas / yr",
    "gaia_phot_": "electron / s",
}


def scalar_unit(column: str) -> str:
    """Unit of a scalar column; empty where it has none, or none is known."""
    if column in _SCALARS:
        return _SCALARS[column]
    return next((unit for start, unit in _STARTS.items() if column.startswith(start)), "")


def wavelength_unit(group: str) -> str:
    """Unit of a group's wavelengths; empty for the pseudo-wavelength of Gaia XP."""
    return "Angstrom" if group in DESI_GRIDS else ""


def flux_unit(group: str) -> str:
    """Unit of a group's fluxes."""
    return "1e-17 erg / (s cm2 Angstrom)" if group in DESI_GRIDS else "electron / s"
