"""A section of the report: numbers, headlines, and figures with tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.report.style import save_figure

Verdict = Literal["good", "bad", "none"]


def measured(value: float, error: float) -> dict[str, float]:
    """A number with its standard error, as a cell of a table."""
    return {"value": value, "error": error}


def table(columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    """A table: headings with their units in brackets, and rows of text, numbers or `measured`."""
    return {"columns": columns, "rows": rows}


@dataclass
class Part:
    """One section of the report.

    Attributes
    ----------
    name, title : str
        Short name, used in file names, and the section's heading.
    folder : path
        Where this part's figures are written.
    summary : str
        What was done, on which objects.
    numbers : dict
        Every number of the part, by name.
    headlines : list of dict
        The few numbers at the report's top.
    figures : list of dict
        ``file`` (PNG; PDF and SVG stand beside it), ``caption``, ``see``, ``table``.
    notes : list of str
        What could not be evaluated, and why.
    """

    name: str
    title: str
    folder: Path
    summary: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    headlines: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def headline(
        self, label: str, value: float, error: float = np.nan, *, unit: str = "", note: str = "",
        verdict: Verdict = "none",
    ) -> None:  # fmt: skip
        """Add a number to the report's top."""
        self.headlines.append({"label": label, **measured(value, error), "unit": unit, "note": note,
                               "verdict": verdict})  # fmt: skip

    def figure(
        self, drawn: Figure, name: str, caption: str, see: str, numbers: Mapping[str, Any]
    ) -> None:
        """Save a figure and add it.

        Parameters
        ----------
        drawn : Figure
            What to save.
        name : str
            File name without its end.
        caption : str
            What is drawn.
        see : str
            What the reader should see in it.
        numbers : mapping
            The same as a `table`.
        """
        file = save_figure(drawn, self.folder, name)
        self.figures.append({"file": file, "caption": caption, "see": see, "table": dict(numbers)})

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; what is not finite becomes null."""
        self.folder.mkdir(parents=True, exist_ok=True)  # Snakemake expects it, figures or none
        listed = ("name", "title", "summary", "headlines", "notes", "numbers", "figures")
        return {name: plain(getattr(self, name)) for name in listed}


def plain(value: Any) -> Any:
    """`value` with numpy scalars and arrays as Python's own, and NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


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
