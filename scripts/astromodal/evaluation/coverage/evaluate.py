"""The section on coverage: rows, selection, splits, modalities, columns, what is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from astromodal.data.splits import SPLIT_NAMES, mean_direction
from astromodal.evaluation.context import listed
from astromodal.evaluation.coverage.measures import (
    Fields,
    FieldSummary,
    Reason,
    measure_reasons,
    modality_counts,
    percentages,
    scalar_columns,
    spectrum_groups,
    split_counts,
)
from astromodal.evaluation.report.section import Row, Section, Table
from astromodal.evaluation.report.style import BLUE, INK, ORANGE, PALETTE, new_figure, styled
from astromodal.storage.formats import Skip

MOST_SHOWN = 40
"""Largest number of fields that are plotted one by one."""
_MOST_NAMED = 25
"""Largest number of fields that are named on an axis."""


def plot_coverage(fields: Fields) -> Figure:
    """Plot bars of the splits and of the modalities, one row per field."""
    figure, axes = new_figure(1, 2, height=1.3 + 0.26 * len(fields), sharey=True)
    left, right = axes[0]
    y = np.arange(len(fields))[::-1]
    start = np.zeros(len(fields))
    for colour, (name, n_split) in zip(PALETTE, split_counts(fields).items(), strict=False):
        left.barh(y, n_split, left=start, color=colour, label=name, height=0.7)
        start += n_split
    left.set_yticks(y, [f.field for f in fields], fontsize=7)
    left.set_xlabel("selected objects")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    modalities = modality_counts(fields)
    for i, (name, count) in enumerate(modalities.items()):
        right.barh(
            y + 0.25 - 0.25 * i, count, height=0.23, color=PALETTE[(3 + i) % len(PALETTE)],
            label=name,
        )  # fmt: skip
    right.set(xlabel="rows that have it", xscale="symlog", xlim=(0, None))
    handles = right.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=len(modalities))
    return figure


def plot_distributions(fields: Fields) -> Figure:
    """Plot histograms over fields of the selected objects and of the rows with each modality."""
    selected = {"selected objects": np.array([f.n_selected for f in fields])}
    counts = selected | {f"rows with {n}": c for n, c in modality_counts(fields).items()}
    rows = -(-len(counts) // 2)
    figure, axes = new_figure(rows, 2, height=2.3 * rows)
    for axis, (what, numbers) in zip(axes.flat, counts.items(), strict=False):
        axis.hist(numbers, bins=30, color=BLUE)
        axis.set(xlabel=f"{what} of a field", ylabel="fields", yscale="symlog")
        axis.set_ylim(0, None)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    for axis in axes.flat[len(counts) :]:
        axis.set_visible(False)
    return figure


def plot_reasons(reasons: Sequence[Reason]) -> Figure:
    """Plot bars of how often each reason occurs."""
    figure, axes = new_figure(height=0.9 + 0.28 * len(reasons))
    axis, y = axes[0, 0], np.arange(len(reasons))[::-1]
    axis.barh(y, [reason.n for reason in reasons], height=0.6, color=BLUE)
    axis.set_yticks(y, [reason.what for reason in reasons], fontsize=7)
    axis.set(xlabel="number", xscale="symlog", xlim=(0, None))
    return figure


def plot_columns(shares: np.ndarray, columns: Sequence[str], names: Sequence[str]) -> Figure:
    """Plot `percentages` as an image, with one row per scalar column and one column per field."""
    figure, axes = new_figure(height=1.2 + 0.13 * len(columns))
    axis = axes[0, 0]
    shown = np.where(shares > 0, shares, np.nan)
    image = axis.imshow(shown, aspect="auto", cmap="cividis", vmin=0, vmax=100)
    axis.set_yticks(np.arange(len(columns)), columns, fontsize=5.5)
    if len(names) <= _MOST_NAMED:
        axis.set_xticks(np.arange(len(names)), names, rotation=60, fontsize=6.5)
    else:
        axis.set_xticks([])
        axis.set_xlabel("fields, in the order of the table")
    axis.grid(visible=False)
    figure.colorbar(image, ax=axis, label="selected objects with a value (%)", shrink=0.6)
    return figure


def plot_shares(shares: np.ndarray, columns: Sequence[str]) -> Figure:
    """Plot the median and the 90 % range over fields of the `percentages` of each column."""
    figure, axes = new_figure(height=1.0 + 0.13 * len(columns))
    axis, y = axes[0, 0], np.arange(len(columns))[::-1]
    low, middle, high = np.nanquantile(shares, [0.05, 0.5, 0.95], axis=1)
    axis.hlines(y, low, high, color=BLUE, linewidth=1)
    axis.plot(middle, y, "o", color=BLUE, markersize=3)
    axis.set_yticks(y, columns, fontsize=5.5)
    axis.set(xlabel="selected objects with a value (%)", xlim=(-2, 102))
    axis.set_ylim(-1, len(columns))
    return figure


WIDE = 30.0
"""Distance of a field from the middle of all (degree) beyond which the whole sky is plotted."""
_MOST_FIELDS = 25
_MARGIN = 0.7  # degree around the outermost centres; half the width of an S-PLUS field


def plot_sky(fields: Fields, trained: Collection[str]) -> Figure:
    """Plot the centres of fields; those far apart in Mollweide's projection.

    Right ascension increases to the left.

    Parameters
    ----------
    fields : sequence of FieldSummary
        Fields that have a position.
    trained : collection of str
        Fields that something was trained on.
    """
    ra, dec = np.array([[f.ra, f.dec] for f in fields], dtype=float).T
    middle = mean_direction(ra, dec)
    reach = separation(ra, dec, *middle).max()
    if reach > WIDE or abs(middle[1]) + reach > 85:
        figure, axes = new_figure(height=3.6, subplot_kw={"projection": "mollweide"})
        x, y = np.deg2rad(-around(ra, 0.0)), np.deg2rad(dec)
        _whole_sky(axes[0, 0])
    else:
        figure, axes = new_figure(height=4.2)
        x, y = middle[0] + around(ra, middle[0]), dec
        _patch(axes[0, 0], x, y)
    axis, roles = axes[0, 0], np.array([f.role(trained) for f in fields])
    size = 5 if len(fields) <= 200 else 2
    for colour, marker, role in ((BLUE, "o", "trained"), (ORANGE, "s", "held out")):
        chosen = roles == role
        if chosen.any():
            axis.plot(
                x[chosen], y[chosen], marker, color=colour, markersize=size, linestyle="none",
                label=f"{role} ({chosen.sum()})",
            )  # fmt: skip
    if len(fields) <= _MOST_FIELDS:
        for name, *at in zip((f.field for f in fields), x, y, strict=True):
            axis.annotate(
                name, at, xytext=(4, 4), textcoords="offset points", fontsize=6.5, color=INK
            )
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def separation(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> np.ndarray:
    """Return the angle between directions and one direction (degree), by the haversine formula."""
    a, d, a0, d0 = (np.deg2rad(angle) for angle in (ra, dec, ra0, dec0))
    h = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return np.rad2deg(2 * np.arcsin(np.sqrt(np.clip(h, 0, 1))))


def around(ra: np.ndarray, middle: float) -> np.ndarray:
    """Return the difference of right ascensions from `middle`, in [-180, 180) degree."""
    return (ra - middle + 180) % 360 - 180


def _whole_sky(axis: Axes) -> None:
    places = np.arange(-150, 180, 60)
    axis.set_xticks(np.deg2rad(places), [f"{-p % 360}°" for p in places], fontsize=7)
    axis.set(xlabel="right ascension (degree)", ylabel="declination (degree)")


def _patch(axis: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Scale the axes so that a degree is as long in both directions in the middle of the map.

    A right ascension of 1 degree is next to 359.
    """
    stretch = float(np.cos(np.deg2rad(y.mean())))
    half = max(np.ptp(x) * stretch, np.ptp(y)) / 2 + _MARGIN
    centre = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2
    axis.set_aspect(1 / stretch, adjustable="datalim")
    axis.set_xlim(centre[0] + half / stretch, centre[0] - half / stretch)
    axis.set_ylim(centre[1] - half, centre[1] + half)
    axis.xaxis.set_major_formatter(lambda value, _: f"{round(value % 360, 4):g}")
    axis.set(xlabel="right ascension (degree)", ylabel="declination (degree)")


def coverage_table(fields: Fields, trained: Collection[str]) -> Table:
    """Return a table with one row per field and, of several fields, their sum first."""
    groups = spectrum_groups(fields)
    heading = [
        "field", "role", "rows", "no magnitude", "too bright", "too faint", "selected",
        *SPLIT_NAMES, "whole cutouts", "short cutouts",
        *(f"{g} {what}" for g in groups for what in ("live", "dead")), "absent scalar columns",
    ]  # fmt: skip
    counts = np.array([_counts(f, groups) for f in fields])
    rows: list[Row] = [
        [f.field, f.role(trained), *own.tolist(), len(f.absent_columns)]
        for f, own in zip(fields, counts, strict=True)
    ]
    total: Row = ["all fields", "", *counts.sum(axis=0).tolist(), None]
    return Table(heading, [total, *rows] if len(rows) > 1 else rows)


def _counts(field: FieldSummary, groups: Sequence[str]) -> list[int]:
    """Return a field's numbers in the order of `coverage_table`."""
    cut = [field.cut[name] for name in ("missing", "brighter", "fainter")]
    splits = [field.splits[name] for name in SPLIT_NAMES]
    spectra = [n for group in groups for n in field.live_and_dead(group)]
    return [
        field.n_rows, *cut, field.n_selected, *splits, field.n_whole, field.n_short, *spectra,
    ]  # fmt: skip


def reason_table(reasons: Sequence[Reason]) -> Table:
    """Return a table with one row per reason."""
    heading = ["what", "consequence", "number", "of all (%)", "fields", "most in"]
    rows: list[Row] = [[r.what, r.consequence, r.n, r.percent, r.n_fields, r.most] for r in reasons]
    return Table(heading, rows)


def sky_table(fields: Fields, trained: Collection[str]) -> Table:
    """Return a table with the position of each field."""
    heading = [
        "field", "right ascension (degree)", "declination (degree)", "HEALPix cells", "role",
    ]  # fmt: skip
    rows: list[Row] = [[f.field, f.ra, f.dec, f.n_cells, f.role(trained)] for f in fields]
    return Table(heading, rows)


def column_table(shares: np.ndarray, columns: Sequence[str], names: Sequence[str]) -> Table:
    """Return a table of `percentages` with one row per scalar column and one column per field."""
    rows = [[column, *share] for column, share in zip(columns, shares.tolist(), strict=True)]
    return Table(["column", *(f"{name} (%)" for name in names)], rows)


def share_table(shares: np.ndarray, columns: Sequence[str]) -> Table:
    """Return a table of the distribution over fields of the `percentages` of each column."""
    rows: list[Row] = []
    for column, share in zip(columns, shares, strict=True):
        known = share[np.isfinite(share)]
        spread = np.quantile(known, [0, 0.5, 1]).tolist()
        rows.append([column, *spread, int((known == 0).sum()), len(known)])
    heading = [
        "column", "lowest (%)", "median (%)", "highest (%)", "fields without any value",
        "fields with selected objects",
    ]  # fmt: skip
    return Table(heading, rows)


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
