"""The columns of a cube that are read, described for a terminal, for programs and for a page.

All three are made from `describe`, and that from `astromodal.data.columns`, which readers use.
``python -m astromodal.data.schema`` writes the page, ``docs/columns.md``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from astromodal.config.load import load_config
from astromodal.config.schema import Config
from astromodal.data.columns import GAIA_COLUMN, Column, Kind, planned_columns
from astromodal.data.values import sentinels_of
from astromodal.storage.tempfiles import write_text
from astromodal.surveys.registry import GROUPS, spectrum_group
from astromodal.surveys.spectra import ListGroup

Example = str | float | tuple[float, ...]
"""A value of a column; of a list, the first values."""

_TITLES: Final = {
    "sources": "Identifier, position and selection of a source",
    "scalars": "Scalars",
    "images": "Image cutouts",
    "spectra": "Spectra and light curves",
    "labels": "Labels that the report compares with",
    "finetuned": "Labels that models are fine-tuned to",
}
"""Titles of the modalities of `astromodal.data.columns.planned_columns`."""
_WORDS: Final = {
    "scalars": "In the order of the vocabulary (`tokenizers.scalar.columns`).",
    "images": "One list per band, row by row from the first row of pixels; `tokenizers.image`\n"
    "names bands and size. The elliptical mask of a source is made from the last three columns.",
    "spectra": "A cube must have all columns of a group of spectra, or none of them.\n"
    "`tokenizers.spectrum.groups` names the groups that are read; light curves are not among its\n"
    "defaults.",
    "labels": "`evaluation.labels` names your own. Labels of fine-tuned models are columns\n"
    "of numbers, or of classes as text, which `finetune.labels` names.",
}
_MISSING: Final[dict[Kind, str]] = {
    "id": "must be there",
    "number": "null, NaN, ±inf",
    "text": "null, empty",
    "list": "null, empty",
    "list or text": "null, empty",
    "flag": "null, empty",
    "label": "null, NaN, empty",
}
_TYPES: Final[dict[Kind, str]] = {
    "id": "text, bytes or whole numbers",
    "number": "any float or integer",
    "text": "text or bytes",
    "list": "list of any numbers",
    "list or text": "text `[a,b,…]` or `(a, b, …)`, or list of any numbers",
    "flag": "text, bytes or numbers",
    "label": "text, bytes or numbers",
}
_EXAMPLES: Final[tuple[tuple[str, Example], ...]] = (
    (rf"^{GAIA_COLUMN}$", "Gaia DR3 2449704931658296064"),
    (r"_cut_", (0.013, -0.004, 0.021)),
    (r"_flux_[a-z]$", (1.27, 0.98, 1.41)),
    (r"_ivar_[a-z]$", (0.52, 0.61, 0.0)),
    (r"_coefficients$", "[1834.2,-12.7,3.41,…]"),
    (r"_coefficient_errors$", "[2.9,4.1,3.8,…]"),
    (r"_coefficient_correlations$", "[-0.12,0.03,0.27,…]"),
    (r"_magerr_[a-z]$", (0.031, 0.029, 0.034)),
    (r"_mag_[a-z]$", (18.21, 18.19, 18.24)),
    (r"_h?mjd_[a-z]$", (58204.43, 58207.41, 58210.38)),
    (r"^err_mag_|apermag\d+err$", 0.042),
    (r"^mag_|apermag\d+$", 19.31),
    (r"^ellipticity_", 0.21),
    (r"^elongation_", 1.27),
    (r"^a_pixel", 2.4),
    (r"^b_pixel", 1.9),
    (r"^theta", -10.75),
    (r"^fwhm_n", 1.08),
    (r"(parallax|pmra|pmdec)_error$", 0.11),
    (r"parallax$", 0.53),
    (r"pmra$", -3.2),
    (r"pmdec$", -5.9),
    (r"mean_flux_error$", 3.1),
    (r"mean_flux$", 1834.2),
    (r"teff", 5127.3),
    (r"logg", 4.61),
    (r"_mh_", -0.42),
    (r"^specz_z$", 0.132),
    (r"^specz_e_z$", 0.0003),
    (r"class", "GALAXY"),
)
"""Examples by patterns of names. The first that matches is used."""
_ANY: Final[dict[Kind, Example]] = {
    "id": "i06S820001001JF",
    "number": 1.5,
    "text": "text",
    "list": (1.5, 0.2, 3.1),
    "list or text": "[1.5,0.2,3.1,…]",
    "flag": "KEEP",
    "label": 1.5,
}
"""Examples of columns that no pattern matches, by kind."""
_HEADS: Final = ("column", "type", "length", "unit", "missing", "example", "setting", "meaning")


@dataclass(frozen=True)
class ColumnEntry:
    """A column that is read, as a user has to know it.

    Attributes
    ----------
    column : Column
        Name, type, unit, length, setting and meaning.
    required : bool
        Whether jobs stop on a cube without it.
    sentinels : tuple of float
        Numbers that stand for a missing value.
    example : str, float or tuple of float
        A value; of a list, the first values.
    """

    column: Column
    required: bool
    sentinels: tuple[float, ...]
    example: Example

    @property
    def missing(self) -> str:
        """What stands for a missing value, in words."""
        numbers = (f"{value:.10g}" for value in self.sentinels)
        return ", ".join((_MISSING[self.column.kind], *numbers))

    @property
    def length(self) -> str:
        """Number of values of a list, in words; empty for a column without lists."""
        return str(self.column.length or "any") if self.column.kind.startswith("list") else ""

    @property
    def shown(self) -> str:
        """The example as it is printed."""
        if isinstance(self.example, tuple):
            return f"[{', '.join(f'{value:.10g}' for value in self.example)}, …]"
        return self.example if isinstance(self.example, str) else f"{self.example:.10g}"


def every_group() -> Config:
    """Return the default configuration with every registered spectrum group."""
    return load_config({"tokenizers": {"spectrum": {"groups": list(GROUPS.names)}}})


def describe(config: Config) -> dict[str, tuple[ColumnEntry, ...]]:
    """Return the columns that are read, by modality; those without a column are left out.

    Parameters
    ----------
    config : Config
        The configuration, which names the columns.

    Returns
    -------
    dict
        A column that several modalities read has an entry in each.
    """
    grids = _wavelengths(config.tokenizers.spectrum.groups)
    required = {config.columns.id, config.selection.column}

    def entry(column: Column) -> ColumnEntry:
        sentinels = tuple(sentinels_of(column.name, config.columns).tolist())
        example = grids.get(column.name) or _example(column, config)
        return ColumnEntry(column, column.name in required, sentinels, example)

    return {
        modality: tuple(entry(column) for column in dict.fromkeys(columns))
        for modality, columns in planned_columns(config).items()
        if columns
    }


def _wavelengths(groups: Iterable[str]) -> dict[str, Example]:
    """Return the first wavelengths of each group that has a grid, by column."""
    found = (group for group in map(spectrum_group, groups) if isinstance(group, ListGroup))
    return {group.column_names[2]: tuple(group.pixels.points()[:3].tolist()) for group in found}


def _example(column: Column, config: Config) -> Example:
    places = {config.columns.ra: 359.329287, config.columns.dec: -1.384488}
    if column.name in places:
        return places[column.name]
    matches = (value for pattern, value in _EXAMPLES if re.search(pattern, column.name))
    return next((v for v in matches if _fits(v, column.kind)), _ANY[column.kind])


def _fits(value: Example, kind: Kind) -> bool:
    """Return whether a column of a kind can hold a value."""
    holds = {"number": float, "list": tuple, "label": (str, float)}
    return isinstance(value, holds.get(kind, str))  # type: ignore[arg-type]


def as_json(config: Config) -> list[dict[str, Any]]:
    """Return a plain dict for each column, once, with all modalities and settings that read it."""
    found: dict[str, dict[str, Any]] = {}
    for modality, entries in describe(config).items():
        for entry in entries:
            plain = found.setdefault(entry.column.name, _plain(entry))
            for key, value in (("modalities", modality), ("settings", entry.column.setting)):
                if value and value not in plain[key]:
                    plain[key].append(value)
    return list(found.values())


def _plain(entry: ColumnEntry) -> dict[str, Any]:
    column = entry.column
    shape = [column.length] if column.kind.startswith("list") else []
    return {
        "name": column.name,
        "modalities": [],
        "settings": [],
        "kind": column.kind,
        "dtype": column.dtype,
        "also_read": _TYPES[column.kind],
        "unit": column.unit,
        "shape": shape,
        "required": entry.required,
        "missing": _MISSING[column.kind],
        "sentinels": list(entry.sentinels),
        "meaning": column.meaning,
        "example": list(entry.example) if isinstance(entry.example, tuple) else entry.example,
    }


def table(config: Config) -> str:
    """Return the columns as aligned tables, one per modality, for a terminal."""
    parts = []
    for modality, entries in describe(config).items():
        rows = [_cells(entry) for entry in entries]
        lines = [_TITLES[modality], "", *_aligned([_HEADS, *rows])]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cells(entry: ColumnEntry) -> tuple[str, ...]:
    column = entry.column
    unit = "unknown" if column.unit is None else column.unit
    name, dtype = f"{column.name}{' *' * entry.required}", column.dtype or column.kind
    return (
        name, dtype, entry.length, unit, entry.missing, entry.shown, column.setting, column.meaning
    )  # fmt: skip


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows of cells below each other; columns that are empty in all rows are left out."""
    filled = [any(cells) for cells in zip(*rows[1:], strict=True)]
    kept = [[cell for cell, keep in zip(row, filled, strict=True) if keep] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*kept, strict=True)]
    for row in kept:
        yield "  ".join(c.ljust(width) for c, width in zip(row, widths, strict=True)).rstrip()


def page() -> str:
    """Return the text of ``docs/columns.md``, with every registered spectrum group."""
    parts = [
        "# Columns of a cube",
        "",
        "A cube is a parquet file, `datacube_{field}.parquet`, with one row per source. These are",
        "the columns that are read by default; `config/README.md` names the settings that change",
        "them. Every column is optional but the identifier and the magnitude of the selection (*):",
        "the values of an absent column are missing. A cube may have other columns. *type* is the",
        "type that cubes have; the types that are read too are listed at the end of this page.",
        "*missing* lists which values are treated as missing, *example* shows a value, of a list",
        "the first ones. `astromodal schema` prints these tables for a configuration of yours, and",
        "as JSON; `make docs` writes them to this page.",
    ]
    for modality, entries in describe(every_group()).items():
        parts += ["", f"## {_TITLES[modality]}", ""]
        parts += [_WORDS[modality], ""] if modality in _WORDS else []
        parts += ["| " + " | ".join(_HEADS) + " |", "|" + " --- |" * len(_HEADS)]
        parts += [_markdown(entry) for entry in entries]
    parts += ["", "## Types and special values", "", "| column of | may be | missing |"]
    parts += ["| --- | --- | --- |"]
    parts += [f"| {kind} | {_TYPES[kind]} | {_MISSING[kind]} |" for kind in _TYPES]
    parts += [
        "",
        "- A cutout of another length than the table's was cut off at the edge of an image: it is",
        "  missing, and counted. A pixel that is exactly 0 or not finite is invalid. A band may be",
        "  null in all rows.",
        "- A list of a spectrum that has another length than the table's, or wavelengths that are",
        "  not those of the group's grid, are an error that names the row. Pixels whose inverse",
        "  variance is not positive are bad.",
        "- The three lists of a light curve have the same length, which may differ between rows.",
        "- Sentinels come from `columns.presets` and `columns.sentinels`; `columns.flags` says",
        "  which values are not reliable. Both are missing to tokenizers, training and evaluation,",
        "  and counted in the summary of each field.",
        "- [Daily work](usage.md#check-a-cube) shows how to find all problems of a cube.",
    ]
    return "\n".join(parts) + "\n"


def _markdown(entry: ColumnEntry) -> str:
    """Return a row of a table; names, types and settings are set as code."""
    name, dtype, length, unit, missing, example, setting, meaning = _cells(entry)
    name, _, mark = name.partition(" ")
    cells = (
        f"`{name}` {mark}".rstrip(), f"`{dtype}`", length, unit, missing, example,
        f"`{setting}`" if setting else "", meaning,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    write_text(sys.argv[1], page())
