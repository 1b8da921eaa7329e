"""What a part of the evaluation hands to the report: numbers, headlines, figures with tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.style import save_figure

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
