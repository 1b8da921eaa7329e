"""What the fields hold: rows, selection, splits, modalities, absent columns, warnings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.core.files import read_json
from astromodal.core.grids import is_light_curve
from astromodal.evaluation.parts import Part, table
from astromodal.evaluation.style import BLUE, INK, ORANGE, PALETTE, new_figure, styled

_MOST_NAMED = 25


def cover_fields(
    summaries: Sequence[str | Path], trained: Collection[str], figures: str | Path
) -> dict[str, Any]:
    """Tabulate the fields' summaries.

    Parameters
    ----------
    summaries : sequence of path
        One JSON summary a field.
    trained : collection of str
        Fields that something was trained on.
    figures : path
        Folder to write the figures into.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    part = Part("coverage", "Coverage", Path(figures))
    fields = [read_json(path) for path in summaries]
    if not fields:
        part.notes.append("There is no field.")
        return part.as_dict()
    part.summary = (
        f"{len(fields)} fields, {sum(f['n_rows'] for f in fields)} rows, of which "
        f"{sum(f['n_selected'] for f in fields)} pass the selection; objects are split by HEALPix "
        "cell."
    )
    part.numbers = {"fields": {f["field"]: f for f in fields}}
    part.notes += [f"{f['field']}: {warning}." for f in fields for warning in f["warnings"]]
    part.notes += [_absent(f) for f in fields if f["absent_columns"]]
    with styled():
        _add_figures(part, fields, trained)
    return part.as_dict()


def _add_figures(part: Part, fields: Sequence[dict[str, Any]], trained: Collection[str]) -> None:
    part.figure(
        draw_coverage(fields), "coverage",
        "Selected objects by split in each field (left), and rows that have a cutout or a "
        "spectrum (right).",
        "A field without a bar at the right has only scalars; a split without objects cannot "
        "be evaluated.",
        coverage_table(fields, trained),
    )  # fmt: skip
    placed = [f for f in fields if f["position"]]
    if placed:
        part.figure(
            draw_sky(placed, trained), "sky",
            "Centres of the fields on the sky (ICRS).",
            "Which fields trained and which are held out.",
            _sky_table(placed, trained),
        )  # fmt: skip
    columns = list(dict.fromkeys(name for f in fields for name in f["scalars"]))
    if columns and any(f["n_selected"] for f in fields):
        part.figure(
            draw_columns(fields, columns), "columns",
            "Percentage of each field's selected objects that have a value, for every scalar "
            "column.",
            "An empty cell is a column without any value in that field: missing, never zero.",
            table(
                ["column", *(f"{f['field']} (%)" for f in fields)],
                [[name, *(_percent(f, name) for f in fields)] for name in columns],
            ),
        )  # fmt: skip


def coverage_table(fields: Sequence[dict[str, Any]], trained: Collection[str]) -> dict[str, Any]:
    """A row a field: rows, selection, splits, and how many have which modality."""
    groups = list(dict.fromkeys(name for f in fields for name in f["spectra"]))
    heading = [
        "field", "part", "rows", "selected", "train", "validation", "test",
        "whole cutouts", "short cutouts",
        *(f"{g} live of all" for g in groups), "absent scalar columns",
    ]  # fmt: skip
    rows = []
    for f in fields:
        spectra = [_live(f["spectra"].get(g)) for g in groups]
        splits = [f["splits"][name] for name in ("train", "validation", "test")]
        images = [f["images"]["n_whole"], f["images"]["n_short"]]
        counts = [f["n_rows"], f["n_selected"], *splits, *images, *spectra]
        rows.append([f["field"], _part(f, trained), *counts, len(f["absent_columns"])])
    return table(heading, rows)


def _sky_table(placed: Sequence[dict[str, Any]], trained: Collection[str]) -> dict[str, Any]:
    heading = [
        "field", "right ascension (degree)", "declination (degree)", "HEALPix cells", "part",
    ]  # fmt: skip
    rows = [[f["field"], *f["position"].values(), f["n_cells"], _part(f, trained)] for f in placed]
    return table(heading, rows)


def draw_coverage(fields: Sequence[dict[str, Any]]) -> Figure:
    """Bars of the splits and of the modalities, a row a field."""
    figure, axes = new_figure(1, 2, height=1.3 + 0.26 * len(fields), sharey=True)
    left, right = axes[0]
    y = np.arange(len(fields))[::-1]
    start = np.zeros(len(fields))
    for colour, name in zip(PALETTE, ("train", "validation", "test"), strict=False):
        n_split = np.array([f["splits"][name] for f in fields], dtype=float)
        left.barh(y, n_split, left=start, color=colour, label=name, height=0.7)
        start += n_split
    left.set_yticks(y, [f["field"] for f in fields], fontsize=7)
    left.set_xlabel("selected objects")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    kinds = {"cutouts": [f["images"]["n_whole"] for f in fields]}
    named = {name for f in fields for name in f["spectra"]}
    families = ["desi", "gaiaxp"] + ["ztf"] * any(map(is_light_curve, named))
    for family in families:
        kinds[family] = [
            max((n["n_live"] for g, n in f["spectra"].items() if g.startswith(family)), default=0)
            for f in fields
        ]
    for i, (name, count) in enumerate(kinds.items()):
        right.barh(
            y + 0.25 - 0.25 * i,
            count,
            height=0.23,
            color=PALETTE[(3 + i) % len(PALETTE)],
            label=name,
        )
    right.set(xlabel="rows that have it", xscale="symlog", xlim=(0, None))
    handles = right.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=len(kinds))
    return figure


def draw_sky(fields: Sequence[dict[str, Any]], trained: Collection[str]) -> Figure:
    """Field centres in right ascension (to the left) and declination."""
    figure, axes = new_figure(height=3.0)
    axis = axes[0, 0]
    for colour, marker, part in ((BLUE, "o", "trained"), (ORANGE, "s", "held out")):
        chosen = [f["position"] for f in fields if _part(f, trained) == part]
        if chosen:
            ra, dec = [p["ra"] for p in chosen], [p["dec"] for p in chosen]
            axis.plot(ra, dec, marker, color=colour, markersize=5, label=part, linestyle="none")
    for f in fields if len(fields) <= _MOST_NAMED else []:
        at = (f["position"]["ra"], f["position"]["dec"])
        axis.annotate(
            f["field"], at, xytext=(4, 4), textcoords="offset points", fontsize=6.5, color=INK
        )
    axis.set(xlabel="right ascension (degree)", ylabel="declination (degree)")
    axis.margins(0.15)
    axis.ticklabel_format(useOffset=False)
    axis.invert_xaxis()
    axis.legend()
    return figure


def draw_columns(fields: Sequence[dict[str, Any]], columns: Sequence[str]) -> Figure:
    """Percentage of values present, a row a column and a column a field."""
    figure, axes = new_figure(height=1.2 + 0.13 * len(columns))
    axis = axes[0, 0]
    shares = np.array([[_percent(f, name) for f in fields] for name in columns], dtype=float)
    image = axis.imshow(
        np.where(shares > 0, shares, np.nan), aspect="auto", cmap="cividis", vmin=0, vmax=100
    )
    axis.set_yticks(np.arange(len(columns)), columns, fontsize=5.5)
    if len(fields) <= _MOST_NAMED:
        names = [f["field"] for f in fields]
        axis.set_xticks(np.arange(len(fields)), names, rotation=60, fontsize=6.5)
    else:
        axis.set_xticks([])
        axis.set_xlabel("fields, in the order of the table")
    axis.grid(visible=False)
    figure.colorbar(image, ax=axis, label="selected objects with a value (%)", shrink=0.6)
    return figure


def _part(field: dict[str, Any], trained: Collection[str]) -> str:
    return "trained" if field["field"] in trained else "held out"


def _live(counts: dict[str, int] | None) -> str:
    return f"{counts['n_live']} of {counts['n_spectra']}" if counts else "none"


def _percent(field: dict[str, Any], column: str) -> float | None:
    n = field["n_selected"]
    return 100 * field["scalars"].get(column, 0) / n if n else None


def _absent(field: dict[str, Any], most: int = 8) -> str:
    names = field["absent_columns"]
    shown = ", ".join(names[:most]) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )
    return f"{field['field']}: no column {shown}; missing there."
