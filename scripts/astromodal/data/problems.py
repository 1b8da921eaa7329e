"""Problems of values that stand in memory: numbers, positions and identifiers of a cube.

What a value may be is judged by the unit of its column (`astromodal.data.columns`). A median far
from all that a survey measures is taken for another unit. The limits lie a factor of some ten
beyond the medians of real fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from astromodal.data.splits import has_position
from astromodal.data.values import find_pile_up

Severity = Literal["error", "warning"]
"""An error stops the jobs on the cube; after a warning they go on."""
_FEWEST = 5
"""Values from which on a median is judged."""
_FEWEST_POSITIONS = 20
"""Positions from which on their extent is judged."""
_SUSPECTS: Final = (-99.0, 99.0, 99.9, -99.9, 99.99, -99.99, 999.0, -999.0, 9999.0, -9999.0,
                    99999.0, -99999.0, -999999500.0, -1e30, 1e20, 1e30)  # fmt: skip
"""Numbers that catalogues write for a missing value; one row suffices to notice them."""
_CENTRAL: Final = (1e-3, 1 - 1e-3)
"""Quantiles between which the values of a column are taken to lie, as for a pile-up."""
_MEDIANS: Final = (
    (r"^err_mag_|apermag\d+err$|magerr", 1e-5, 5.0, "mag", "a relative error or millimagnitudes"),
    (r"^mag_|apermag\d+$|_mag_[a-z]$", 5.0, 35.0, "mag", "a flux or an instrumental magnitude"),
    (r"parallax_error$", 5e-3, 50.0, "mas", "arcsec"),
    (r"parallax$", 1e-2, 1e3, "mas", "arcsec"),
    (r"pm(ra|dec)_error$", 5e-3, 50.0, "mas / yr", "arcsec / yr"),
    (r"pm(ra|dec)$", 2e-2, 1e4, "mas / yr", "arcsec / yr"),
    (r"mean_flux_error$", 2e-2, 1e8, "electron / s", "an error in magnitudes"),
    (r"mean_flux$", 25.0, 1e10, "electron / s", "a magnitude"),
    (r"teff", 1e3, 1e6, "K", "its logarithm or 1000 K"),
    (r"logg", 0.0, 10.0, "dex (cm / s2)", "the gravity itself"),
    (r"_mh_", 0.0, 6.0, "dex", "the metal fraction"),
    (r"^specz_z$", 0.0, 10.0, "redshift", "a velocity in km / s"),
    (r"^[ab]_pixel", 0.1, 200.0, "pix", "degree or arcsec"),
    (r"^ellipticity_", 0.0, 1.0, "1 - minor / major axis", "an axis or an angle"),
    (r"^elongation_", 1.0, 100.0, "major / minor axis", "an axis or the inverse ratio"),
)
"""By patterns of names: lowest and highest median of absolute values, unit, and likely mistake."""
_ERRORS: Final = r"^err_|(_|^)e_|(_error|err|sigma|_std)(_[a-z])?$"
"""Pattern of names of columns of standard errors."""
_MOST_INVALID: Final = 0.5
"""Share of the values of lists that may be NaN before it is likely a fault."""
_TIMES: Final = (4e4, 9e4)
"""Range of the median of modified Julian dates (day): the years 1968 to 2105."""
_FLUXES: Final = 1e-10
"""Lowest median of absolute fluxes of spectra and cutouts, in the units of a cube."""
_RADIAN_EXTENT: Final = 0.15
"""Extent (degree) below which positions near (0, 0) may be radian: 9 arcmin, or 8.6 degree."""
_HOURS_SHAPE: Final = 1 / 8
"""Ratio of the extents in right ascension and declination below which the first may be hours."""
_GAIA_NAME: Final = re.compile(r"Gaia (?:DR1|DR2|EDR3|DR3|DR4) (\d{1,19})")
_EXACT: Final = 2.0**53
"""Largest whole number up to which float64 holds all of them."""
REPLACE_UNIT: Final = "convert the column, or name another one in the settings"
"""What to do about values in another unit."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a cube, or likely is.

    Attributes
    ----------
    severity : str
        ``error`` where jobs would stop, else ``warning``.
    column : str
        The column; empty where the whole file is concerned.
    what : str
        What is wrong.
    do : str
        What to do about it.
    n_rows : int, optional
        Number of rows concerned; None where it is the whole column or file.
    first_row : int, optional
        The first of them, counted from 0.
    example : str
        A value that shows the problem; empty without one.
    """

    severity: Severity
    column: str
    what: str
    do: str
    n_rows: int | None = None
    first_row: int | None = None
    example: str = ""


def of_rows(
    column: str, what: str, do: str, rows: np.ndarray, *values: np.ndarray
) -> Iterator[Problem]:
    """Yield one warning on the rows of a mask, with the first of the values; none for no row."""
    if rows.any():
        first = int(np.argmax(rows))
        example = ", ".join(_shown(each[first]) for each in values)
        yield Problem("warning", column, what, do, int(rows.sum()), first, example)


def _shown(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float | np.floating) else f"{value!s:.60}"


def judge_numbers(name: str, raw: np.ndarray, values: np.ndarray) -> Iterator[Problem]:
    """Yield the problems of a column of numbers.

    Parameters
    ----------
    name : str
        Name of the column.
    raw : float64 (n,)
        Values as they are stored; null is NaN.
    values : float64 (n,)
        The same with all values NaN that count as missing: sentinels, and unreliable ones too.
    """
    if len(raw) and np.isnan(raw).all():
        do = "fill it, or leave it out of the cube"
        yield Problem("warning", name, "has no value in any row", do, len(raw), 0)
        return
    do = "write null where there is no value"
    yield from of_rows(name, "is infinite: it counts as missing", do, np.isinf(raw), raw)
    if is_error(name):
        what = "is a negative error"
        yield from of_rows(name, what, "write null, or its size", values < 0, values)
    yield from judge_pile_up(name, values)
    yield from judge_unit(name, values)


def is_error(name: str) -> bool:
    """Return whether the name of a column is that of a standard error."""
    return re.search(_ERRORS, name) is not None


def judge_pile_up(name: str, values: np.ndarray) -> Iterator[Problem]:
    """Yield the problem of a value that likely stands for a missing one and is not declared."""
    found = {pile[0]} if (pile := find_pile_up(values)) is not None else set()
    known = values[np.isfinite(values)]
    suspects = np.isin(known, _SUSPECTS)
    others = known[~suspects]
    if suspects.any() and len(others) >= _FEWEST:
        low, high = np.quantile(others, _CENTRAL)
        distance = np.maximum(low - known, known - high)
        found |= set(known[suspects & (distance > high - low)].tolist())
    for value in sorted(found):
        what = f"is {value:.10g}, far outside of its other values: does it stand for a missing one?"
        do = f"columns: {{sentinels: {{{name}: [{value:.10g}]}}}}, or write null"
        yield from of_rows(name, what, do, values == value, values)


def judge_unit(name: str, values: np.ndarray) -> Iterator[Problem]:
    """Yield the problem of values, float (n,), that look like those of another unit.

    Values that are not finite are left out.
    """
    known = values[np.isfinite(values)]
    if len(known) < _FEWEST:
        return
    middle = float(np.median(np.abs(known)))
    rule = next((rule for rule in _MEDIANS if re.search(rule[0], name)), None)
    if rule is not None and not rule[1] <= middle <= rule[2]:
        _, low, high, unit, mistake = rule
        what = (
            f"has a median of {middle:.3g} where {unit} is between {low:g} and {high:g}: "
            f"is it {mistake}?"
        )
        yield Problem("warning", name, what, REPLACE_UNIT, len(known), None, f"{known[0]:.10g}")
    if name.startswith("theta") and len(known) >= _FEWEST_POSITIONS:
        spread = np.quantile(np.abs(known), 0.99)
        if spread < 3.2 and len(np.unique(known)) > _FEWEST_POSITIONS / 2:
            what = f"is within {spread:.3g} where degree reaches 90 or 180: is it radian?"
            yield Problem("warning", name, what, REPLACE_UNIT, len(known), None, f"{known[0]:.10g}")


def judge_fluxes(
    name: str, medians: np.ndarray, unit: str, n_rows: int | None = None
) -> Iterator[Problem]:
    """Yield the problem of fluxes far below their unit.

    Parameters
    ----------
    name : str
        Column of the fluxes.
    medians : float (m,)
        Median of the absolute good fluxes of some objects.
    unit : str
        Unit that they must have.
    n_rows : int, optional
        Number of rows with fluxes, where it is known.
    """
    if len(medians) and (middle := float(np.median(medians))) < _FLUXES:
        what = f"has a median of {middle:.3g}, far below its unit, {unit}"
        yield Problem("warning", name, what, REPLACE_UNIT, n_rows, None, f"{middle:.3g}")


def judge_whole_share(name: str, n_valid: int, n_values: int) -> Iterator[Problem]:
    """Yield the problem of lists of which most values are not valid numbers."""
    if n_valid < (1 - _MOST_INVALID) * n_values:
        share = 1 - n_valid / n_values
        what = f"has {share:.0%} of values that are no measurement (NaN, infinite, or a pixel of 0)"
        yield Problem("warning", name, what, "see what wrote these lists")


def judge_times(name: str, medians: np.ndarray) -> Iterator[Problem]:
    """Yield the problem of times that are no modified Julian dates, by the medians of curves."""
    if len(medians) and not _TIMES[0] <= (middle := float(np.median(medians))) <= _TIMES[1]:
        what = f"has a median of {middle:.10g} where MJD is between {_TIMES[0]:g} and {_TIMES[1]:g}"
        yield Problem("warning", name, what, REPLACE_UNIT, len(medians), None, f"{middle:.10g}")


def judge_positions(names: tuple[str, str], ra: np.ndarray, dec: np.ndarray) -> Iterator[Problem]:
    """Yield the problems of positions.

    Parameters
    ----------
    names : tuple of str
        Columns of right ascension and declination.
    ra, dec : float64 (n,)
        Positions (degree); NaN where missing.
    """
    known = has_position(ra, dec)
    do = "add the positions; until then the id of such a row decides on its split"
    what = f"is missing, or {names[1]} is beyond the poles: the row has no position"
    yield from of_rows(names[0], what, do, ~known, ra, dec)
    outside = known & ((ra < -180) | (ra > 360))
    what, do = "is outside of -180 to 360 degree", "convert it to degree"
    yield from of_rows(names[0], what, do, outside, ra)
    if known.sum() >= _FEWEST_POSITIONS:
        yield from _judge_extent(names, ra[known], dec[known])


def _judge_extent(names: tuple[str, str], ra: np.ndarray, dec: np.ndarray) -> Iterator[Problem]:
    """Yield the problem of positions whose extent on the sky is that of radian or of hours."""
    wide = min(_extent(ra % 24), _extent((ra + 12) % 24)) if ra.max() <= 24 else _extent(ra)
    # If they are radian, the width shrinks with the cosine of the declination as it is.
    as_radian = wide * abs(float(np.cos(np.median(dec))))
    wide, high = wide * float(np.cos(np.deg2rad(np.median(dec)))), _extent(dec)
    if not high:
        return
    near = ra.min() >= -np.pi and ra.max() <= 2 * np.pi and np.abs(dec).max() <= np.pi / 2
    found = None
    if near and 0 < as_radian < _RADIAN_EXTENT and high < _RADIAN_EXTENT:
        found = "are they radian?"
    elif ra.min() >= 0 and ra.max() <= 24 and 0 < wide < _HOURS_SHAPE * high:
        found = f"is {names[0]} in hours?"
    if found:
        what = f"extends over {wide:.3g} degree, and {names[1]} over {high:.3g}: {found}"
        do = "convert them to degree (ICRS)"
        example = f"{ra[0]:.10g}, {dec[0]:.10g}"
        yield Problem("warning", names[0], what, do, len(ra), None, example)


def _extent(values: np.ndarray) -> float:
    """Return the width of the central 98 % of some values."""
    return float(np.subtract(*np.quantile(values, (0.99, 0.01))))


def judge_repeats(name: str, texts: np.ndarray, what: str, do: str) -> Iterator[Problem]:
    """Yield the problem of rows whose text, unicode (n,), an earlier row has; empty ones not."""
    repeated = np.ones(len(texts), dtype=bool)
    repeated[np.unique(texts, return_index=True)[1]] = False
    yield from of_rows(name, what, do, repeated & (texts != ""), texts)


def gaia_numbers(names: np.ndarray) -> list[int | None]:
    """Return the source ids of Gaia designations, unicode (n,); None where there is none."""
    found = (_GAIA_NAME.fullmatch(name) for name in names.tolist())
    return [int(match[1]) if match else None for match in found]


def judge_designations(name: str, names: np.ndarray) -> Iterator[Problem]:
    """Yield the problem of texts, unicode (n,), that are no Gaia designation; empty ones not."""
    wrong = np.array([number is None for number in gaia_numbers(names)], dtype=bool)
    what, do = "is no 'Gaia DR3 2449704931658296064'", "write Gaia's column designation"
    yield from of_rows(name, what, do, wrong & (names != ""), names)


def judge_gaia_ids(
    name: str, numbers: list[int | float | None], designated: list[int | None], column: str
) -> Iterator[Problem]:
    """Yield the problems of a column of Gaia ids beside the designations of the same rows.

    Parameters
    ----------
    name : str
        Column of the ids.
    numbers : list of int or float
        Its values, n of them; None where missing.
    designated : list of int
        Source ids by `gaia_numbers`, n of them.
    column : str
        Column of the designations.
    """
    pairs = list(zip(numbers, designated, strict=True))
    differs = np.array([_differs(a, b) for a, b in pairs], dtype=bool)
    rounded = np.array([_is_rounded(a, b) for a, b in pairs], dtype=bool)
    texts = np.array([f"{_number(a)}, not {b}" for a, b in pairs], dtype=np.str_)
    what, do = f"is another source than {column}", "join again, by whole 64-bit numbers"
    yield from of_rows(name, what, do, differs, texts)
    what = "was rounded through float64"
    do = f"never join by it: {column} is exact; write ids as whole 64-bit numbers"
    yield from of_rows(name, what, do, rounded, texts)


def judge_large_ids(name: str, numbers: list[int | float | None]) -> Iterator[Problem]:
    """Yield the problem of ids that are stored as real numbers, and too large for them."""
    large = np.array([n is not None and abs(n) > _EXACT for n in numbers], dtype=bool)
    what = "is stored as real numbers, which round whole numbers of this size"
    texts = np.array([_number(number) for number in numbers], dtype=np.str_)
    yield from of_rows(name, what, "never join by it; write it as int64", large, texts)


def _number(value: int | float | None) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _differs(number: int | float | None, exact: int | None) -> bool:
    """Return whether two ids differ by more than a rounding to float64."""
    if number is None or exact is None or number == exact:
        return False
    return float(number) != float(exact)


def _is_rounded(number: int | float | None, exact: int | None) -> bool:
    """Return whether an id lost its last digits to float64."""
    if number is None or exact is None:
        return False
    return int(number) != exact and float(number) == float(exact)
