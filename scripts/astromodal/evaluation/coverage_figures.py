"""Figures of what the fields hold: a row a field of a few, distributions over many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from astromodal.core.grids import is_light_curve
from astromodal.data.splits import SPLIT_NAMES
from astromodal.evaluation.style import BLUE, PALETTE, new_figure

MOST_SHOWN = 40
"""Fields that are drawn one by one at most."""
_MOST_NAMED = 25


def draw_coverage(fields: Sequence[Mapping[str, Any]]) -> Figure:
    """Bars of the splits and of the modalities, a row a field."""
    figure, axes = new_figure(1, 2, height=1.3 + 0.26 * len(fields), sharey=True)
    left, right = axes[0]
    y = np.arange(len(fields))[::-1]
    start = np.zeros(len(fields))
    for colour, name in zip(PALETTE, SPLIT_NAMES, strict=False):
        n_split = np.array([f["splits"][name] for f in fields], dtype=float)
        left.barh(y, n_split, left=start, color=colour, label=name, height=0.7)
        start += n_split
    left.set_yticks(y, [f["field"] for f in fields], fontsize=7)
    left.set_xlabel("selected objects")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    kinds = modality_counts(fields)
    for i, (name, count) in enumerate(kinds.items()):
        right.barh(
            y + 0.25 - 0.25 * i, count, height=0.23, color=PALETTE[(3 + i) % len(PALETTE)],
            label=name,
        )  # fmt: skip
    right.set(xlabel="rows that have it", xscale="symlog", xlim=(0, None))
    handles = right.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=len(kinds))
    return figure


def draw_distributions(fields: Sequence[Mapping[str, Any]]) -> Figure:
    """Histograms over fields of the selected objects and of the rows that have each modality."""
    selected = {"selected objects": np.array([f["n_selected"] for f in fields])}
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


def modality_counts(fields: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Rows of each field that have cutouts and live spectra of each family, int (fields,)."""
    named = {name for f in fields for name in f["spectra"]}
    families = ["desi", "gaiaxp"] + ["ztf"] * any(map(is_light_curve, named))
    found = {"cutouts": [f["images"]["n_whole"] for f in fields]}
    for family in families:
        found[family] = [
            max((n["n_live"] for g, n in f["spectra"].items() if g.startswith(family)), default=0)
            for f in fields
        ]
    return {name: np.array(numbers) for name, numbers in found.items()}


def draw_reasons(rows: Sequence[Sequence[Any]]) -> Figure:
    """Bars of how often each reason occurs; rows as `astromodal.evaluation.coverage.reasons`."""
    figure, axes = new_figure(height=0.9 + 0.28 * len(rows))
    axis, y = axes[0, 0], np.arange(len(rows))[::-1]
    axis.barh(y, [row[2] for row in rows], height=0.6, color=BLUE)
    axis.set_yticks(y, [row[0] for row in rows], fontsize=7)
    axis.set(xlabel="number", xscale="symlog", xlim=(0, None))
    return figure


def percentages(fields: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> np.ndarray:
    """Selected objects that have a value (%), float64 (columns, fields).

    NaN in a field without a selected object.
    """
    counts = np.array([[f["scalars"].get(name, 0) for f in fields] for name in columns], float)
    selected = np.array([f["n_selected"] for f in fields], float)
    out = np.full(counts.shape, np.nan)
    return np.divide(100 * counts, selected, out=out, where=selected > 0)


def draw_columns(shares: np.ndarray, columns: Sequence[str], names: Sequence[str]) -> Figure:
    """`percentages` as a picture, a row a column and a column a field."""
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


def draw_shares(shares: np.ndarray, columns: Sequence[str]) -> Figure:
    """Median and 90 % range over fields of the `percentages` of each column."""
    figure, axes = new_figure(height=1.0 + 0.13 * len(columns))
    axis, y = axes[0, 0], np.arange(len(columns))[::-1]
    low, middle, high = np.nanquantile(shares, [0.05, 0.5, 0.95], axis=1)
    axis.hlines(y, low, high, color=BLUE, linewidth=1)
    axis.plot(middle, y, "o", color=BLUE, markersize=3)
    axis.set_yticks(y, columns, fontsize=5.5)
    axis.set(xlabel="selected objects with a value (%)", xlim=(-2, 102))
    axis.set_ylim(-1, len(columns))
    return figure
