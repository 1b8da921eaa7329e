"""A section of the report: numbers with their errors, tables of them, headlines, and figures.

Numbers and tables are shown as text, and stored as JSON values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.report.style import save_figure
from astromodal.storage.json_files import read_json, write_json

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


Verdict = Literal["good", "bad", "none"]


@dataclass(frozen=True)
class Headline:
    """One of the few numbers at the report's top.

    Attributes
    ----------
    label : str
        What was measured.
    measurement : Measurement
        The number, with its unit.
    note : str
        What the reader needs to know to judge it.
    verdict : {"good", "bad", "none"}
        Whether it reaches its mark; ``"none"`` where there is no mark.
    """

    label: str
    measurement: Measurement
    note: str = ""
    verdict: Verdict = "none"


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a section.

    Attributes
    ----------
    file : str
        Name of the PNG file in the section's folder; PDF and SVG files stand beside it.
    caption : str
        What is plotted.
    see : str
        What the reader should see in it.
    table : Table
        The numbers that are plotted.
    """

    file: str
    caption: str
    see: str
    table: Table


@dataclass
class Section:
    """One section of the report.

    An evaluation creates a section, adds its numbers, headlines, figures and notes, and saves it
    to a JSON file. The report loads the file and renders the section; it needs no other code, so
    that a section of a user's own goes the same way.

    Attributes
    ----------
    name, title : str
        Short name, used in file names, and heading.
    folder : path
        Folder that the figures are written to.
    summary : str
        What was done, on which objects.
    numbers : dataclass, optional
        Every number of the section. Its fields are the keys of the JSON file.
    hashes : dict of str to str
        Content hashes of the tokenizers and the model that were evaluated, by their name.
    headlines : list of Headline
        Numbers for the report's top.
    figures : list of ReportFigure
        Figures in the order in which the reader sees them.
    notes : list of str
        What could not be evaluated, and why.
    """

    name: str
    title: str
    folder: Path
    summary: str = ""
    numbers: object = None
    hashes: dict[str, str] = field(default_factory=dict)
    headlines: list[Headline] = field(default_factory=list)
    figures: list[ReportFigure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_headline(
        self, label: str, measurement: Measurement, *, note: str = "", verdict: Verdict = "none"
    ) -> None:
        """Add a number to the report's top."""
        self.headlines.append(Headline(label, measurement, note, verdict))

    def add_figure(self, figure: Figure, name: str, caption: str, see: str, table: Table) -> None:
        """Save a figure and add it.

        Parameters
        ----------
        figure : Figure
            The figure.
        name : str
            File name without its extension.
        caption, see : str
            What is plotted, and what the reader should see in it.
        table : Table
            The numbers that are plotted.
        """
        file = save_figure(figure, self.folder, name)
        self.figures.append(ReportFigure(file, caption, see, table))

    def save(self, path: str | Path) -> None:
        """Write everything to a JSON file, atomically; make the folder of the figures."""
        self.folder.mkdir(parents=True, exist_ok=True)  # Snakemake expects it, figures or none
        names = ("name", "title", "summary", "hashes", "headlines", "notes", "numbers", "figures")
        write_json(path, {name: to_json(getattr(self, name)) for name in names})

    @classmethod
    def load(cls, path: str | Path, folder: str | Path) -> Section:
        """Read a section from its JSON file.

        Parameters
        ----------
        path, folder : path
            The file of `save`, and the folder of the section's figures.

        Returns
        -------
        Section
            Its ``numbers`` are plain JSON values.
        """
        values: dict[str, Any] = read_json(path)
        return cls(
            name=values["name"],
            title=values["title"],
            folder=Path(folder),
            summary=values["summary"],
            numbers=values["numbers"],
            hashes=values["hashes"],
            headlines=[_headline_from_json(each) for each in values["headlines"]],
            figures=[_figure_from_json(each) for each in values["figures"]],
            notes=values["notes"],
        )


def _headline_from_json(values: Mapping[str, Any]) -> Headline:
    measurement = measurement_from_json(values["measurement"])
    return Headline(values["label"], measurement, values["note"], values["verdict"])


def _figure_from_json(values: Mapping[str, Any]) -> ReportFigure:
    table = table_from_json(values["table"])
    return ReportFigure(values["file"], values["caption"], values["see"], table)
