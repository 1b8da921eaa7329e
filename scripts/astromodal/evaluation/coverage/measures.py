"""What the fields hold: rows, selection, splits, modalities, columns, and what was left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.data.splits import SPLIT_NAMES
from astromodal.evaluation.coverage.figures import (
    MOST_SHOWN,
    percentages,
    plot_columns,
    plot_coverage,
    plot_distributions,
    plot_reasons,
    plot_shares,
    plot_sky,
    role,
)
from astromodal.evaluation.held_out import listed
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import Table
from astromodal.storage.skips import Skip

Fields = Sequence[Mapping[str, Any]]
"""Summaries of fields, as `astromodal.data.summary` makes them."""
_MOST_NOTES = 20
_REASONS = ["what", "what becomes of it", "number", "of all (%)", "fields", "most in"]


def cover_fields(
    fields: Fields, skips: Sequence[Skip], trained: Collection[str], figures: str | Path
) -> dict[str, Any]:
    """Tabulate the fields' summaries.

    Parameters
    ----------
    fields : sequence of mapping
        One summary a field.
    skips : sequence of Skip
        Fields that were left out, and why.
    trained : collection of str
        Fields that something was trained on.
    figures : path
        Folder to write the figures into.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    section = Section("coverage", "Coverage", Path(figures))
    section.notes += _cut([f"{skip}." for skip in skips], "skipped fields")
    if not fields:
        section.notes.append("There is no field.")
        return section.as_dict()
    section.summary = (
        f"{len(fields)} fields, {sum(f['n_rows'] for f in fields):,} rows, of which "
        f"{sum(f['n_selected'] for f in fields):,} pass the selection; objects are split by "
        "HEALPix cell."
    )
    section.notes += _notes(fields)
    with styled():
        _add_figures(section, fields, trained)
    return section.as_dict()


def _add_figures(section: Section, fields: Fields, trained: Collection[str]) -> None:
    few = len(fields) <= MOST_SHOWN
    section.add_figure(
        plot_coverage(fields) if few else plot_distributions(fields), "coverage",
        "Selected objects by split in each field (left), and rows that have a cutout or a "
        "spectrum (right)." if few else
        "How many fields have how many selected objects, cutouts and spectra. Each field's own "
        "numbers are in the table.",
        "A field without a bar at the right has only scalars; a split without objects cannot "
        "be evaluated." if few else _extremes(fields),
        coverage_table(fields, trained),
    )  # fmt: skip
    rows = reasons(fields)
    if rows:
        section.add_figure(
            plot_reasons(rows), "reasons",
            "Rows and spectra that are left out, and rows that are odd, over all fields.",
            "Nothing is left out silently: what is missing later is counted here.",
            Table(_REASONS, rows),
        )  # fmt: skip
    placed = [f for f in fields if f["position"]]
    if placed:
        section.add_figure(
            plot_sky(placed, trained), "sky",
            "Centres of the fields on the sky (ICRS), right ascension increasing to the left.",
            "Which fields trained and which are held out. Held-out fields that lie among those "
            "that trained say little of other parts of the sky.",
            _sky_table(placed, trained),
        )  # fmt: skip
    if any(f["scalars"] and f["n_selected"] for f in fields):
        _add_columns(section, fields, few)


def _add_columns(section: Section, fields: Fields, few: bool) -> None:
    columns = list(dict.fromkeys(name for f in fields for name in f["scalars"]))
    shares = percentages(fields, columns)
    if few:
        section.add_figure(
            plot_columns(shares, columns, [f["field"] for f in fields]), "columns",
            "Percentage of each field's selected objects that have a value, for every scalar "
            "column.",
            "An empty cell is a column without any value in that field: missing, never zero.",
            Table(
                ["column", *(f"{f['field']} (%)" for f in fields)],
                [[name, *share] for name, share in zip(columns, shares, strict=True)],
            ),
        )  # fmt: skip
        return
    rows = []
    for name, share in zip(columns, shares, strict=True):
        known = share[np.isfinite(share)]
        spread = np.quantile(known, [0, 0.5, 1]).tolist()
        rows.append([name, *spread, int((known == 0).sum()), len(known)])
    section.add_figure(
        plot_shares(shares, columns), "columns",
        "Percentage of a field's selected objects that have a value, for every scalar column: "
        "median of the fields, and the range that holds 90 % of them.",
        "A range that reaches 0 is a column that some fields do not have at all.",
        Table(["column", "lowest (%)", "median (%)", "highest (%)", "fields without any",
               "fields with selected objects"], rows),
    )  # fmt: skip


def coverage_table(fields: Fields, trained: Collection[str]) -> dict[str, Any]:
    """A row a field: rows, cut, splits, and how many have which modality; the sum comes first."""
    groups = list(dict.fromkeys(name for f in fields for name in f["spectra"]))
    heading = [
        "field", "part", "rows", "no magnitude", "too bright", "too faint", "selected",
        *SPLIT_NAMES, "whole cutouts", "short cutouts",
        *(f"{g} {what}" for g in groups for what in ("live", "dead")), "absent scalar columns",
    ]  # fmt: skip
    rows = []
    for f in fields:
        cut = [f["cut"][name] for name in ("missing", "brighter", "fainter")]
        splits = [f["splits"][name] for name in SPLIT_NAMES]
        images = [f["images"]["n_whole"], f["images"]["n_short"]]
        spectra = [n for g in groups for n in _live_and_dead(f, g)]
        counts = [f["n_rows"], *cut, f["n_selected"], *splits, *images, *spectra]
        rows.append([f["field"], role(f, trained), *counts, len(f["absent_columns"])])
    total = [sum(counts) for counts in list(zip(*rows, strict=True))[2:-1]]
    return Table(heading, [["all fields", "", *total, None], *rows] if len(rows) > 1 else rows)


def reasons(fields: Fields) -> list[list[Any]]:
    """Why rows or spectra are left out, and what rows are odd, over all fields; what occurs alone.

    Each has words, what becomes of it, how many, their percentage of all that could be, and in how
    many fields and where most.
    """
    rows = []
    for (what, then), counts in _counted(fields):
        number, of = (np.array(c) for c in zip(*counts, strict=True))
        if number.any():
            most = fields[int(number.argmax())]["field"]
            share = 100 * float(number.sum() / of.sum())
            rows.append([what, then, int(number.sum()), share, int((number > 0).sum()),
                         f"{most}: {number.max()}"])  # fmt: skip
    return rows


def _counted(fields: Fields) -> Iterator[tuple[tuple[str, str], list[tuple[int, int]]]]:
    """Each reason with its count in every field, and the number it is a part of."""
    no_codes = "not selected: neither learned from nor a sequence; spectra and image are encoded"
    whole_rows = {
        ("cut", "missing"): ("row without a magnitude", no_codes),
        ("cut", "brighter"): ("row too bright", no_codes),
        ("cut", "fainter"): ("row too faint", no_codes),
        ("odd", "repeated_id"): ("row with an earlier row's id", "kept"),
        ("odd", "repeated_gaia"): ("row with an earlier row's Gaia source", "kept"),
        ("odd", "no_position"): ("row without a position", "kept: its id decides on its split"),
    }
    for (group, name), words in whole_rows.items():
        yield words, [(f[group][name], f["n_rows"]) for f in fields]
    for kind, what in (
        ("sentinel", "value that is a sentinel"),
        ("unreliable", "value that its flag calls unreliable"),
    ):
        yield (what, "missing"), [_values(f, kind) for f in fields]
    images = [f["images"] for f in fields]
    yield (
        ("cutout of a wrong length", "missing: an image's edge cut it, and its shape is lost"),
        [(n["n_short"], n["n_short"] + n["n_whole"]) for n in images],
    )
    for name in dict.fromkeys(name for f in fields for name in f["spectra"]):
        yield (
            (f"{name} without a good value", "missing"),
            [(dead, live + dead) for live, dead in (_live_and_dead(f, name) for f in fields)],
        )


def _values(field: Mapping[str, Any], kind: str) -> tuple[int, int]:
    """Values of a field that count as missing for one reason, and all values in their columns."""
    counts = field["missing"][kind]
    return sum(counts.values()), len(counts) * field["n_rows"]


def _notes(fields: Fields) -> list[str]:
    """Warnings of fields, and the columns that fields lack; many of them cut short."""
    warnings = [f"{f['field']}: {warning}." for f in fields for warning in f["warnings"]]
    lacking: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for f in fields:
        lacking[tuple(f["absent_columns"])].append(f["field"])
    absent = [
        f"{listed(names)}: no column {listed(columns, 8)}; missing there."
        for columns, names in lacking.items()
        if columns
    ]
    return [*_cut(warnings, "warnings"), *_cut(absent, "sets of absent columns")]


def _cut(lines: list[str], what: str) -> list[str]:
    more = len(lines) - _MOST_NOTES
    rest = f"{more} more {what}: they are in the fields' files under summaries/."
    return [*lines[:_MOST_NOTES], rest] if more > 0 else lines


def _extremes(fields: Fields, n: int = 3) -> str:
    """The fields with the fewest and the most selected objects."""
    ordered = sorted(fields, key=lambda f: f["n_selected"])
    low, high = (
        ", ".join(f"{f['field']} ({f['n_selected']:,})" for f in some)
        for some in (ordered[:n], ordered[: -n - 1 : -1])
    )
    empty = sum(not f["images"]["n_whole"] for f in fields)
    return f"Fewest selected objects: {low}; most: {high}. {empty} fields have no whole cutout."


def _sky_table(placed: Fields, trained: Collection[str]) -> dict[str, Any]:
    heading = [
        "field", "right ascension (degree)", "declination (degree)", "HEALPix cells", "part",
    ]  # fmt: skip
    rows = [[f["field"], *f["position"].values(), f["n_cells"], role(f, trained)] for f in placed]
    return Table(heading, rows)


def _live_and_dead(field: Mapping[str, Any], group: str) -> tuple[int, int]:
    counts = field["spectra"].get(group, {"n_live": 0, "n_spectra": 0})
    return counts["n_live"], counts["n_spectra"] - counts["n_live"]
