"""The section on coverage: rows, selection, splits, modalities, columns, what is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from astromodal.evaluation.context import listed
from astromodal.evaluation.coverage.figures import (
    column_table,
    coverage_table,
    cutout_table,
    plot_columns,
    plot_coverage,
    plot_cutouts,
    plot_distributions,
    plot_reasons,
    plot_shares,
    plot_sky,
    plot_sources,
    reason_table,
    share_table,
    sky_table,
    source_table,
)
from astromodal.evaluation.coverage.measures import (
    Fields,
    measure_cutouts,
    measure_reasons,
    measure_sources,
    percentages,
    scalar_columns,
)
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.storage.formats import Skip

MOST_SHOWN = 40
"""Largest number of fields that are plotted one by one."""
_MOST_NOTES = 20


def evaluate_coverage(
    fields: Fields, skips: Sequence[Skip], trained: Collection[str], figures: Path
) -> Section:
    """Count what the fields hold.

    Parameters
    ----------
    fields : sequence of FieldSummary
        One summary per field.
    skips : sequence of Skip
        Fields that were skipped, and why.
    trained : collection of str
        Fields that something was trained on.
    figures : path
        Folder for the figures.

    Returns
    -------
    Section
        The section. Its numbers are those of the summaries, so it has none of its own.
    """
    section = Section("coverage", "Coverage", figures)
    section.notes += _shorten([f"{skip}." for skip in skips], "skipped fields")
    if not fields:
        section.notes.append("There is no field.")
        return section
    section.summary = (
        f"{len(fields)} fields have {sum(f.n_rows for f in fields):,} rows, of which "
        f"{sum(f.n_selected for f in fields):,} pass the selection. Objects are split by HEALPix "
        "cell."
    )
    section.notes += _notes(fields)
    with styled():
        _add_fields(section, fields, trained)
        _add_sources(section, fields)
        _add_reasons(section, fields)
        _add_sky(section, fields, trained)
        if any(f.scalars and f.n_selected for f in fields):
            _add_columns(section, fields)
    return section


def _add_fields(section: Section, fields: Fields, trained: Collection[str]) -> None:
    few = len(fields) <= MOST_SHOWN
    section.add_figure(
        plot_coverage(fields) if few else plot_distributions(fields), "coverage",
        "Selected objects by split in each field (left), and rows that have a cutout or a "
        "spectrum (right)." if few else
        "Histograms over fields of the numbers of selected objects, cutouts and spectra. The "
        "table has the numbers of each field.",
        "A field without a bar at the right has only scalars. A split without objects cannot be "
        "evaluated." if few else _extremes(fields),
        coverage_table(fields, trained),
    )  # fmt: skip


def _add_sources(section: Section, fields: Fields) -> None:
    """Add what each source gave to cubes that were built from raw files."""
    totals, cutouts = measure_sources(fields), measure_cutouts(fields)
    if totals:
        section.add_figure(
            plot_sources(totals), "sources",
            "Rows of all built cubes that have an object of each source, in per cent and in number "
            "(left), and the objects in and around the fields that are not used, by reason "
            "(right). Files and objects count in every field that they are read for; the "
            "separation is the median over fields of each field's median.",
            "A short bar is a survey that covers few of the rows, or whose positions or ids "
            "disagree with theirs: then most objects are used, and few match. A median "
            "separation near the match radius says that positions disagree. Contested objects "
            "match several rows best: these rows are neighbours, or one source twice.",
            source_table(totals),
        )  # fmt: skip
    if cutouts:
        section.add_figure(
            plot_cutouts(cutouts), "cutouts",
            "Cutouts from the images of each band over all built cubes: whole ones, those that "
            "reach beyond the edge of their image, and rows that no image of the band holds.",
            "Pixels beyond an edge are NaN. Bands that differ lack images in some fields, or "
            "have images of another place.",
            cutout_table(cutouts),
        )  # fmt: skip


def _add_reasons(section: Section, fields: Fields) -> None:
    reasons = measure_reasons(fields)
    if reasons:
        section.add_figure(
            plot_reasons(reasons), "reasons",
            "Rows, values, spectra and cutouts that are left out or unusual, over all fields.",
            "Everything that is missing in later sections is counted here.",
            reason_table(reasons),
        )  # fmt: skip


def _add_sky(section: Section, fields: Fields, trained: Collection[str]) -> None:
    placed = [f for f in fields if f.ra is not None]
    if placed:
        section.add_figure(
            plot_sky(placed, trained), "sky",
            "Centres of the fields on the sky (ICRS); right ascension increases to the left.",
            "Which fields were trained on and which are held out. Held-out fields between fields "
            "that were trained on say little about other parts of the sky.",
            sky_table(placed, trained),
        )  # fmt: skip


def _add_columns(section: Section, fields: Fields) -> None:
    columns = scalar_columns(fields)
    shares = percentages(fields, columns)
    if len(fields) <= MOST_SHOWN:
        names = [f.field for f in fields]
        section.add_figure(
            plot_columns(shares, columns, names), "columns",
            "Percentage of the selected objects of each field that have a value, for every "
            "scalar column.",
            "An empty cell is a column without any value in that field. Such values are missing, "
            "never zero.",
            column_table(shares, columns, names),
        )  # fmt: skip
        return
    section.add_figure(
        plot_shares(shares, columns), "columns",
        "Percentage of the selected objects of a field that have a value, for every scalar "
        "column: median over fields, and the range that holds 90 % of the fields.",
        "Where a range reaches 0, some fields have no value in the column.",
        share_table(shares, columns),
    )  # fmt: skip


def _notes(fields: Fields) -> list[str]:
    """Return the warnings of all fields and the columns that they lack."""
    warnings = [f"{f.field}: {warning}." for f in fields for warning in f.warnings]
    lacking: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for f in fields:
        lacking[f.absent_columns].append(f.field)
    absent = [
        f"{listed(names)}: no column {listed(columns, 8)}; missing there."
        for columns, names in lacking.items()
        if columns
    ]
    return [*_shorten(warnings, "warnings"), *_shorten(absent, "sets of absent columns")]


def _shorten(lines: list[str], what: str) -> list[str]:
    """Return the first lines, and a line that says how many more there are."""
    more = len(lines) - _MOST_NOTES
    rest = f"{more} more {what}: they are in the fields' files under summaries/."
    return [*lines[:_MOST_NOTES], rest] if more > 0 else lines


def _extremes(fields: Fields, n: int = 3) -> str:
    """Return the fields with the fewest and the most selected objects, in words."""
    ordered = sorted(fields, key=lambda f: f.n_selected)
    low, high = (
        ", ".join(f"{f.field} ({f.n_selected:,})" for f in some)
        for some in (ordered[:n], ordered[: -n - 1 : -1])
    )
    empty = sum(not f.n_whole for f in fields)
    return f"Fewest selected objects: {low}; most: {high}. {empty} fields have no whole cutout."
