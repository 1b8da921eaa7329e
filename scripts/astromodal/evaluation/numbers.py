"""Numbers as a reader wants them: rounded to their error, without computer notation."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THIN = "\N{NARROW NO-BREAK SPACE}"


def show(cell: Any) -> str:
    """A table's cell as text: a number, a `measured` number with its error, text, or a dash.

    >>> show({"value": 0.93214, "error": 0.0042})
    '0.9321 ± 0.0042'
    """
    if isinstance(cell, dict):
        return show_measured(cell["value"], cell["error"])
    if cell is None:
        return "–"
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return str(cell)
    if isinstance(cell, int):
        return _grouped(cell)
    return show_number(cell)


def show_number(value: float | None, digits: int = 4) -> str:
    """`value` to `digits` significant digits."""
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


def show_measured(value: float | None, error: float | None) -> str:
    """`value` ± `error`, both to the second digit of the error."""
    if value is None or not math.isfinite(value):
        return "–"
    if error is None or not math.isfinite(error) or error <= 1e-8 * abs(value):
        return show_number(value)
    exponent = _exponent(max(abs(value), error))
    if -4 <= exponent <= 6:
        return _rounded(Decimal(value), Decimal(error))
    scaled = _rounded(Decimal(value).scaleb(-exponent), Decimal(error).scaleb(-exponent))
    return f"({scaled}) × {_power(exponent)}"


def _exponent(value: float | Decimal) -> int:
    """The power of ten of a number's first digit."""
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
