"""Figures of the section on coverage, and the map of the sky."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from astromodal.data.splits import SPLIT_NAMES
from astromodal.data.summary import mean_direction
from astromodal.evaluation.report.style import BLUE, INK, ORANGE, PALETTE, new_figure
from astromodal.surveys.registry import by_family

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
    found = {"cutouts": [f["images"]["n_whole"] for f in fields]}
    for family, groups in by_family(named).items():
        found[family.name] = [
            max((n["n_live"] for g, n in f["spectra"].items() if g in groups), default=0)
            for f in fields
        ]
    return {name: np.array(numbers) for name, numbers in found.items()}


def draw_reasons(rows: Sequence[Sequence[Any]]) -> Figure:
    """Bars of how often each reason occurs; rows as `reasons`."""
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


WIDE = 30.0
"""Degrees from their middle beyond which fields are shown on the whole sky, not on a plane."""
_MOST_FIELDS = 25
_MARGIN = 0.7  # degree around the outermost centres: half an S-PLUS field


def role(field: Mapping[str, Any], trained: Collection[str]) -> str:
    """``trained`` or ``held out``."""
    return "trained" if field["field"] in trained else "held out"


def draw_sky(fields: Sequence[Mapping[str, Any]], trained: Collection[str]) -> Figure:
    """Field centres, right ascension to the left; far-flung ones in Mollweide's projection.

    Parameters
    ----------
    fields : sequence of mapping
        Summaries with a ``position`` (degree).
    trained : collection of str
        Fields that something was trained on.
    """
    ra, dec = np.array([[f["position"]["ra"], f["position"]["dec"]] for f in fields]).T
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
    axis, roles = axes[0, 0], np.array([role(f, trained) for f in fields])
    size = 5 if len(fields) <= 200 else 2
    for colour, marker, part in ((BLUE, "o", "trained"), (ORANGE, "s", "held out")):
        chosen = roles == part
        if chosen.any():
            axis.plot(
                x[chosen], y[chosen], marker, color=colour, markersize=size, linestyle="none",
                label=f"{part} ({chosen.sum()})",
            )  # fmt: skip
    if len(fields) <= _MOST_FIELDS:
        for name, *at in zip((f["field"] for f in fields), x, y, strict=True):
            axis.annotate(
                name, at, xytext=(4, 4), textcoords="offset points", fontsize=6.5, color=INK
            )
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def separation(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> np.ndarray:
    """Angle between directions and one direction, degree, by the haversine formula."""
    a, d, a0, d0 = (np.deg2rad(angle) for angle in (ra, dec, ra0, dec0))
    h = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return np.rad2deg(2 * np.arcsin(np.sqrt(np.clip(h, 0, 1))))


def around(ra: np.ndarray, middle: float) -> np.ndarray:
    """Right ascension from `middle` on, in [-180, 180) degree."""
    return (ra - middle + 180) % 360 - 180


def _whole_sky(axis: Axes) -> None:
    places = np.arange(-150, 180, 60)
    axis.set_xticks(np.deg2rad(places), [f"{-p % 360}°" for p in places], fontsize=7)
    axis.set(xlabel="right ascension (degree)", ylabel="declination (degree)")


def _patch(axis: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """In the middle a degree is as long in both directions; 1 degree stands beside 359."""
    stretch = float(np.cos(np.deg2rad(y.mean())))
    half = max(np.ptp(x) * stretch, np.ptp(y)) / 2 + _MARGIN
    centre = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2
    axis.set_aspect(1 / stretch, adjustable="datalim")
    axis.set_xlim(centre[0] + half / stretch, centre[0] - half / stretch)
    axis.set_ylim(centre[1] - half, centre[1] + half)
    axis.xaxis.set_major_formatter(lambda value, _: f"{round(value % 360, 4):g}")
    axis.set(xlabel="right ascension (degree)", ylabel="declination (degree)")
