"""Units of what is predicted, as `astropy.units.Unit` reads them."""

from __future__ import annotations

import re

from astromodal.core.grids import DESI_GRIDS

PIXELS = "ct / s"
"""Unit of a cutout's pixels."""

_SCALARS = (
    (r"^(err_)?mag_|apermag\d(err)?$", "mag"),
    (r"^[ab]_pixel", "pix"),
    (r"^theta", "deg"),
    (r"^(ellipticity|elongation|fwhm_n)|^specz_e?_?z$", ""),
    (r"parallax(_error)?$", "mas"),
    (r"pm(ra|dec)(_error)?$", "mas / yr"),
    (r"mean_flux(_error)?$", "electron / s"),
    (r"teff", "K"),
    (r"logg|_mh_", "dex"),
)


def scalar_unit(column: str) -> str | None:
    """Unit of a scalar column; empty where it has none, None where it is not known."""
    return next((unit for pattern, unit in _SCALARS if re.search(pattern, column)), None)


def wavelength_unit(group: str) -> str:
    """Unit of a group's wavelengths; empty for the pseudo-wavelength of Gaia XP."""
    return "Angstrom" if group in DESI_GRIDS else ""


def flux_unit(group: str) -> str:
    """Unit of a group's fluxes."""
    return "1e-17 erg / (s cm2 Angstrom)" if group in DESI_GRIDS else "electron / s"
