"""Numbers with their errors, tables of them, and both as text and as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Any

import numpy as np

Cell = str | bool | int | float | None
"""A cell of a table that is not a measurement. None and NaN are shown as a dash."""


@dataclass(frozen=True)
class Measurement:
    """A number with its standard error.

    Attributes
    ----------
    value : float
        The number; NaN where it could not be measured.
    error : float
        Its standard error; NaN where it has none.
    n : int, optional
        Number of objects that it was measured on.
    unit : str
        Its unit; empty for a pure number.
    """

    value: float
    error: float = math.nan
    n: int | None = None
    unit: str = ""

    @property
    def known(self) -> bool:
        """Whether the value is finite."""
        return math.isfinite(self.value)

    def above(self, bar: float, errors: float = 2.0) -> bool:
        """Return whether the value exceeds `bar` by more than a number of its errors."""
        return self.known and math.isfinite(self.error) and self.value - errors * self.error > bar

    def scaled(self, factor: float, unit: str = "") -> Measurement:
        """Return the measurement in another unit: value and error times `factor`."""
        return Measurement(self.value * factor, self.error * abs(factor), self.n, unit)


Row = Sequence[Cell | Measurement]
"""A row of a table."""


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes
    ----------
    columns : sequence of str
        Headings, with units in brackets.
    rows : sequence of Row
        The rows.
    """

    columns: Sequence[str]
    rows: Sequence[Row]


def to_json(value: Any) -> Any:
    """Return a value as JSON can hold it.

    Parameters
    ----------
    value : object
        Dataclasses become mappings by field. NumPy scalars and arrays become Python's own. A
        `Measurement` becomes its value and error, with ``n`` and ``unit`` where it has them.

    Returns
    -------
    object
        Mappings, lists, text, numbers, booleans and None; NaN and infinity become None.
    """
    if isinstance(value, Measurement):
        more: dict[str, Any] = {"n": value.n} if value.n is not None else {}
        more |= {"unit": value.unit} if value.unit else {}
        return {"value": to_json(value.value), "error": to_json(value.error), **more}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def table_from_json(values: Mapping[str, Any]) -> Table:
    """Return the table that `to_json` turned into `values`."""
    rows = [[_cell_from_json(cell) for cell in row] for row in values["rows"]]
    return Table(values["columns"], rows)


def measurement_from_json(values: Mapping[str, Any]) -> Measurement:
    """Return the measurement that `to_json` turned into `values`."""
    value, error = (math.nan if values[key] is None else values[key] for key in ("value", "error"))
    return Measurement(value, error, values.get("n"), values.get("unit", ""))


def _cell_from_json(cell: Any) -> Cell | Measurement:
    return measurement_from_json(cell) if isinstance(cell, Mapping) else cell


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THIN = "\N{NARROW NO-BREAK SPACE}"


def show(cell: Cell | Measurement) -> str:
    """Return a table's cell as text, with a dash for what is not known.

    >>> show(Measurement(0.93214, 0.0042))
    '0.9321 ± 0.0042'
    """
    if isinstance(cell, Measurement):
        return _show_measurement(cell.value, cell.error)
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None:
        return "–"
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return str(cell)
    if isinstance(cell, int):
        return _grouped(cell)
    return show_number(cell)


def show_number(value: float | None, digits: int = 4) -> str:
    """Return a number as text with `digits` significant digits."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if -4 <= exponent <= 6:
        decimals = max(0, digits - 1 - exponent)
        return _signed(f"{value:.{decimals}f}") if decimals else _grouped(round(value))
    return f"{_signed(mantissa)} × {_power(exponent)}"


def _show_measurement(value: float, error: float) -> str:
    """Return ``value ± error`` as text, both to the second digit of the error."""
    if not math.isfinite(value):
        return "–"
    if not math.isfinite(error) or error <= 1e-8 * abs(value):
        return show_number(value)
    exponent = _exponent(max(abs(value), error))
    if -4 <= exponent <= 6:
        return _rounded(Decimal(value), Decimal(error))
    scaled = _rounded(Decimal(value).scaleb(-exponent), Decimal(error).scaleb(-exponent))
    return f"({scaled}) × {_power(exponent)}"


def _exponent(value: float | Decimal) -> int:
    """Return the power of ten of a number's first digit."""
    return int(f"{value:e}".partition("e")[2])


def _power(exponent: int) -> str:
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def _rounded(value: Decimal, error: Decimal) -> str:
    decimals = min(max(0, 1 - _exponent(error)), 8)
    return f"{_signed(f'{value:.{decimals}f}')} ± {error:.{decimals}f}"


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _grouped(value: int) -> str:
    text = f"{value:,}" if abs(value) >= 10_000 else str(value)
    return _signed(text.replace(",", _THIN))
