"""A section of the report: numbers, headlines, and figures with tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from astromodal.evaluation.report.style import save_figure
from astromodal.evaluation.report.values import (
    Measurement,
    Table,
    measurement_from_json,
    table_from_json,
    to_json,
)
from astromodal.storage.json_files import read_json, write_json

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
