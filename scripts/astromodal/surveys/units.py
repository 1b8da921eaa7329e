"""Units of what a model reads and predicts, as `astropy.units.Unit` reads them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from astromodal.surveys.grids import DESI_GRIDS, is_light_curve

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
_ZERO_POINTS = (
    (r"^mag_", "AB"),
    (r"apermag\d$", "Vega"),
    (r"logg", "cm / s2"),
    (r"_mh_", ""),
)
"""What a logarithmic column is relative to; VISTA's magnitudes are Vega's, which is no unit."""
_SPELLINGS = (
    (r"'", ""),
    (r"\blog\(", "dex("),
    (r"\bcounts\b", "count"),
    (r"\belectrons\b|\be-", "electron"),
    (r"\bpixels\b", "pix"),
    (r"\bdeg(ree)?s\b", "deg"),
    (r"\bmag(nitude)?s?\b", "mag"),
    (r"\bangstroms?\b", "Angstrom"),
    (r"\bdays?\b", "d"),
)
"""Words that catalogues write in units and astropy does not know, and what they mean."""
_SAME = 1e-12  # of a factor: it is rounding that makes it differ from 1


def scalar_unit(column: str) -> str | None:
    """Unit of a scalar column; empty where it has none, None where it is not known."""
    return next((unit for pattern, unit in _SCALARS if re.search(pattern, column)), None)


def wavelength_unit(group: str) -> str:
    """Unit of a group's wavelengths; empty for the pseudo-wavelength of Gaia XP."""
    return "Angstrom" if group in DESI_GRIDS else ""


def flux_unit(group: str) -> str:
    """Unit of a group's fluxes."""
    return "1e-17 erg / (s cm2 Angstrom)" if group in DESI_GRIDS else "electron / s"


def group_units(group: str) -> tuple[str, str, str]:
    """Units of the three columns that a group's spectra or light curves are read from."""
    if is_light_curve(group):
        return "mag", "mag", "d"
    if group in DESI_GRIDS:
        return flux_unit(group), "1e34 s2 cm4 Angstrom2 / erg2", wavelength_unit(group)
    return flux_unit(group), flux_unit(group), ""


def in_unit(values: np.ndarray, given: Any, column: str, wanted: str) -> np.ndarray:
    """Values of a column in the unit that a model reads it in.

    Parameters
    ----------
    values : number array
        Values in the unit given; the same array is returned where the units are one.
    given : astropy unit or str
        Their unit. A number without a unit is taken as it is for a magnitude or a dex.
    column : str
        The column's name, which tells what a logarithm is relative to.
    wanted : str
        The unit that the column must have; empty for none.

    Returns
    -------
    array like `values`
        float64 where anything was converted.

    Raises
    ------
    ValueError
        Where the unit cannot be converted, or astropy does not know it.
    """
    import astropy.units as u  # here: it takes a second, and whoever has a unit has it already

    source, target = _parsed(given), u.Unit(wanted)
    if isinstance(source, u.function.FunctionUnitBase):
        return _in_logarithm(values, source, column, target)
    logarithmic = target in (u.mag, u.dex)
    if source == target or (logarithmic and source == u.dimensionless_unscaled):
        return values
    factor = float(source.to(target))
    if abs(factor - 1) < _SAME:
        return values
    return np.multiply(values, factor, dtype=np.float64)  # ivars in other units leave float32


def _in_logarithm(values: np.ndarray, source: Any, column: str, target: Any) -> np.ndarray:
    """Magnitudes or dex of one zero point in those of the column's."""
    import astropy.units as u

    zero = next((zero for pattern, zero in _ZERO_POINTS if re.search(pattern, column)), None)
    if zero is None:  # an error: a difference of two logarithms, whatever they are relative to
        return in_unit(values, source.function_unit, column, target.to_string())
    if zero == "Vega":
        raise ValueError(f"{column} is relative to Vega")
    makes = {u.mag: u.mag, u.dex: u.dex}
    full = makes[target](u.Unit(zero))
    return values if source == full else np.asarray(source.to(full, values))


def _parsed(given: Any) -> Any:
    """A unit of astropy, of what is one, or spells one as catalogues do."""
    import astropy.units as u

    unit = u.Unit(given, parse_strict="silent") if isinstance(given, str) else given
    if isinstance(unit, u.UnrecognizedUnit):
        text = unit.to_string()
        for pattern, word in _SPELLINGS:
            text = re.sub(pattern, word, text, flags=re.IGNORECASE)
        unit = u.Unit(text)
    if not isinstance(unit, u.UnitBase | u.function.FunctionUnitBase):
        raise ValueError(f"{unit!r} is no unit of one column")
    return unit
