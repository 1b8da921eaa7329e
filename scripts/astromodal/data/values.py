"""Values of a column: which of them are no measurements, and how units are converted."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from astromodal.config.inputs import SENTINELS, ColumnSettings, FlagSettings

_FEWEST, _SMALLEST_SHARE = 5, 1e-3
"""Rows, and fraction of all rows, that hold a value before it is a pile-up."""
_CENTRAL = (1e-3, 1 - 1e-3)
"""Quantiles between which the other values of a column are taken to lie."""
_ZERO_POINTS = (
    (r"^mag_", "AB"),
    (r"apermag\d$", "Vega"),
    (r"logg", "cm / s2"),
    (r"_mh_", ""),
)
"""What a logarithmic column is relative to. VISTA has Vega magnitudes, for which no unit exists."""
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
"""Words in the units of catalogues that astropy does not know, and what they mean."""
_SAME = 1e-12  # a factor this close to 1 differs from it by rounding only


def sentinels_of(column: str, settings: ColumnSettings) -> np.ndarray:
    """Return the numbers that stand for a missing value in a column, float64 (k,)."""
    patterns = [*(SENTINELS[name] for name in settings.presets), settings.sentinels]
    named = [
        value
        for group in patterns
        for pattern, values in group.items()
        if fnmatchcase(column, pattern)
        for value in values
    ]
    return np.unique(named)


def is_sentinel(values: np.ndarray, sentinels: np.ndarray) -> np.ndarray:
    """Return which values are one of the sentinels, bool like `values`.

    Both are compared as float32: a sentinel written in one precision is often stored in another.
    """
    if not len(sentinels):
        return np.zeros(values.shape, dtype=bool)
    with np.errstate(over="ignore"):  # a value beyond float32 is infinite, and no sentinel
        return np.isin(values.astype(np.float32), sentinels.astype(np.float32))


def base_class(texts: np.ndarray) -> np.ndarray:
    """Return classes or flags without what stands in brackets: ``STAR`` for ``STAR(WD)``.

    Parameters
    ----------
    texts : unicode (n,)
        Empty where missing.

    Returns
    -------
    unicode (n,)
    """
    return np.char.strip(np.char.partition(texts, "(")[..., 0]) if len(texts) else texts


def is_unreliable(flags: np.ndarray, settings: FlagSettings) -> np.ndarray:
    """Return which rows' flags, unicode (n,), say that a value is not reliable, bool (n,)."""
    kinds = base_class(flags)
    if settings.reliable:
        return ~np.isin(kinds, settings.reliable)
    return np.isin(kinds, settings.unreliable)


def find_pile_up(values: np.ndarray) -> tuple[float, int] | None:
    """Find a value that many rows share and that lies far outside the column's other values.

    Such a value is likely a sentinel that no setting names. Values that few rows share are the
    other values; far outside means farther from their central 99.8 % than these are wide.

    Parameters
    ----------
    values : float (n,)
        A column; NaN where missing.

    Returns
    -------
    tuple of float and int, optional
        The value that most rows share, and how many rows; None where there is no such value.
    """
    known = values[np.isfinite(values)]
    unique, counts = np.unique(known, return_counts=True)
    shared = counts >= max(_FEWEST, _SMALLEST_SHARE * len(known))
    others = np.repeat(unique[~shared], counts[~shared])
    if not shared.any() or len(others) < _FEWEST:
        return None
    low, high = np.quantile(others, _CENTRAL)
    distance = np.maximum(low - unique, unique - high)
    far = shared & (distance > high - low)
    if not far.any():
        return None
    most = int(np.argmax(np.where(far, counts, 0)))
    return float(unique[most]), int(counts[most])


def in_unit(values: np.ndarray, given: Any, column: str, wanted: str) -> np.ndarray:
    """Convert the values of a column to another unit.

    Parameters
    ----------
    values : number array
        Values in the unit `given`.
    given : astropy unit or str
        Their unit. Numbers without a unit are taken as they are for a magnitude or a dex.
    column : str
        Name of the column, which decides on what a logarithm is relative to.
    wanted : str
        Unit of the result; empty for none.

    Returns
    -------
    array like `values`
        The same array where the units are equal; float64 where values were converted.

    Raises
    ------
    ValueError
        Where the unit cannot be converted, or astropy does not know it.
    """
    import astropy.units as u  # here: it takes a second, and most callers have plain numbers

    source, target = _parsed(given), u.Unit(wanted)
    if isinstance(source, u.function.FunctionUnitBase):
        return _in_logarithm(values, source, column, target)
    logarithmic = target in (u.mag, u.dex)
    if source == target or (logarithmic and source == u.dimensionless_unscaled):
        return values
    factor = float(source.to(target))
    if abs(factor - 1) < _SAME:
        return values
    return np.multiply(values, factor, dtype=np.float64)  # converted ivars overflow float32


def _in_logarithm(values: np.ndarray, source: Any, column: str, target: Any) -> np.ndarray:
    """Convert magnitudes or dex to the zero point of a column."""
    import astropy.units as u

    zero = next((zero for pattern, zero in _ZERO_POINTS if re.search(pattern, column)), None)
    if zero is None:  # an error is a difference of two logarithms: its zero point cancels
        return in_unit(values, source.function_unit, column, target.to_string())
    if zero == "Vega":
        raise ValueError(f"{column} is relative to Vega")
    makes = {u.mag: u.mag, u.dex: u.dex}
    full = makes[target](u.Unit(zero))
    return values if source == full else np.asarray(source.to(full, values))


def _parsed(given: Any) -> Any:
    """Return the astropy unit of a unit or of a text, also as catalogues spell it."""
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
