"""Figures and tables of the section on coverage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from astromodal.data.provenance import BandCounts
from astromodal.data.splits import SPLIT_NAMES, mean_direction
from astromodal.evaluation.coverage.measures import (
    Fields,
    FieldSummary,
    Reason,
    SourceTotal,
    modality_counts,
    spectrum_groups,
    split_counts,
)
from astromodal.evaluation.report.section import Row, Table
from astromodal.evaluation.report.style import (
    AMBER,
    BLUE,
    FAINT,
    GRID,
    INK,
    ORANGE,
    PALETTE,
    new_figure,
)

WIDE = 30.0
"""Distance of a field from the middle of all (degree) beyond which the whole sky is plotted."""
_MOST_NAMED = 25
"""Largest number of fields that are named on an axis or a map."""
_NO_BREAK = "\N{NO-BREAK SPACE}"
_INDENT, _LINE = 0.04, 56
"""Left edge (part of the panel) and length (characters) of a line beside a source."""
_MARGIN = 0.7  # degree around the outermost centres; half the width of an S-PLUS field


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


def plot_sources(totals: Sequence[SourceTotal]) -> Figure:
    """Plot bars of the rows that each source matches, and list the objects that are not used."""
    height = 1.0 + 0.3 * len(totals)
    figure, axes = new_figure(1, 2, height=height, sharey=True, width_ratios=[1, 1.25])
    left, right = axes[0]
    y = np.arange(len(totals))[::-1]
    bars = left.barh(y, [total.percent for total in totals], height=0.6, color=BLUE)
    left.bar_label(bars, [f"{total.matched:,}" for total in totals], padding=3, fontsize=7)
    left.set_yticks(y, [total.name for total in totals])
    left.set(xlabel="rows with an object (%)", xlim=(0, 100), ylim=(-0.6, len(totals) - 0.4))
    left.grid(visible=False, axis="y")
    right.set_axis_off()
    right.set_title("objects that are not used", loc="left", x=_INDENT)
    for place, total in zip(y, totals, strict=True):
        colour = INK if total.dropped else FAINT
        right.text(
            _INDENT, place, _unused(total), fontsize=7, color=colour, va="center",
            transform=right.get_yaxis_transform(),
        )  # fmt: skip
    return figure


def _unused(total: SourceTotal) -> str:
    """Return the number of objects that were not used, and the reasons, in at most two lines."""
    n = sum(total.dropped.values())
    if not n:
        return f"none of {total.objects:,}"
    kept = {reason.replace(" ", _NO_BREAK): count for reason, count in total.dropped.items()}
    reasons = ", ".join(f"{reason}{_NO_BREAK}{count:,}" for reason, count in kept.items())
    return fill(f"{n:,} of {total.objects:,}: {reasons}", _LINE, max_lines=2, placeholder=" …")


def plot_cutouts(counts: Mapping[tuple[str, str], BandCounts]) -> Figure:
    """Plot bars of the whole and partial cutouts, and of the rows outside images, by band."""
    figure, axes = new_figure(height=1.1 + 0.22 * len(counts))
    axis, y = axes[0, 0], np.arange(len(counts))[::-1]
    parts = {
        "whole": [n.n_cut - n.n_partial for n in counts.values()],
        "cut off at an edge": [n.n_partial for n in counts.values()],
        "outside of all images": [n.n_outside for n in counts.values()],
    }
    start = np.zeros(len(counts))
    for colour, (label, numbers) in zip((BLUE, AMBER, GRID), parts.items(), strict=True):
        axis.barh(y, numbers, left=start, height=0.7, color=colour, label=label)
        start += numbers
    axis.set_yticks(y, [band for _, band in counts], fontsize=7)
    axis.set_xlabel("rows that get cutouts")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=3)
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
    if len(fields) <= _MOST_NAMED:
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


def source_table(totals: Sequence[SourceTotal]) -> Table:
    """Return a table with one row per source, and one column per reason not to use an object."""
    reasons = list(dict.fromkeys(reason for total in totals for reason in total.dropped))
    heading = [
        "source", "kind", "files", "files left out", "objects", "used", "rows with one",
        "of all rows (%)", "contested", "median separation (arcsec)",
        *(f"not used: {reason}" for reason in reasons),
    ]  # fmt: skip
    rows: list[Row] = [
        [t.name, t.kind, t.files, t.left_out, t.objects, t.used, t.matched, t.percent,
         t.contested, t.separation, *(t.dropped.get(reason, 0) for reason in reasons)]
        for t in totals
    ]  # fmt: skip
    return Table(heading, rows)


def cutout_table(counts: Mapping[tuple[str, str], BandCounts]) -> Table:
    """Return a table with one row per band of images."""
    heading = [
        "source", "band", "images", "cutouts", "cut off at an edge", "outside of all images",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, band, n.n_files, n.n_cut, n.n_partial, n.n_outside]
        for (name, band), n in counts.items()
    ]
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
