"""Figures of the scalars' decoding errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from astromodal.evaluation.style import BLUE, FAINT, INK, SKY, new_figure, with_unit


def draw_errors(rows: list[dict[str, Any]], bar: float, ideal: float) -> Figure:
    """Dots of each column's error in bins (left) and of its spread (right).

    Parameters
    ----------
    rows : list of dict
        A column each: ``column``, ``median_bins``, ``p90_bins``, ``median``, ``spread``.
    bar, ideal : float
        Where the dashed and the dotted line stand (bins).
    """
    figure, axes = new_figure(1, 2, height=1.1 + 0.165 * len(rows), sharey=True)
    left, right = axes[0]
    places = np.arange(len(rows))[::-1]
    median = np.array([row["median_bins"]["value"] for row in rows])
    error = np.array([row["median_bins"]["error"] for row in rows])
    p90 = np.array([row["p90_bins"]["value"] for row in rows])
    left.hlines(places, median, p90, color=SKY, linewidth=1.2)
    left.errorbar(
        median, places, xerr=np.nan_to_num(error), fmt="o", color=BLUE, markersize=3, linewidth=1
    )
    left.axvline(bar, color=INK, linestyle="--", linewidth=1)
    left.axvline(ideal, color=FAINT, linestyle=":", linewidth=1.2)
    left.set(
        xlabel="|decoded - measured| (bin widths)", xlim=(0, max(1.05, _largest(median) * 1.1))
    )
    left.set_yticks(places, [row["column"] for row in rows], fontsize=6.5)
    left.set_ylim(-1, len(rows))
    relative = np.array([_ratio(row["median"]["value"], row["spread"]) for row in rows])
    right.plot(relative, places, "o", color=BLUE, markersize=3)
    if (relative > 0).any():
        known = relative[relative > 0]
        low, high = known.min(), known.max()
        right.set_xscale("log")
        right.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high * 1.01)))
        right.xaxis.set_minor_formatter(NullFormatter())
    right.set(xlabel="median error / spread of the values")
    return figure


def draw_residuals(values: list[dict[str, Any]]) -> Figure:
    """Residuals against the value, a panel a column.

    Parameters
    ----------
    values : list of dict
        A panel each: ``column``, ``unit``, and ``value``, ``residual``, ``low``, ``high`` (m,).
    """
    rows = -(-len(values) // 2)
    figure, axes = new_figure(rows, 2, height=0.4 + 1.75 * rows)
    for axis, v in zip(axes.flat, values, strict=False):
        _residual_panel(axis, v)
    for axis in axes.flat[len(values) :]:
        axis.set_visible(False)
    return figure


def _residual_panel(axis: Any, v: dict[str, Any]) -> None:
    order = np.argsort(v["value"])
    x = v["value"][order]
    axis.fill_between(
        x, v["low"][order], v["high"][order], color=SKY, alpha=0.35, linewidth=0, step="mid"
    )
    axis.plot(x, v["residual"][order], ".", color=BLUE, markersize=2.5, rasterized=len(x) > 500)
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.set_xlabel(with_unit(v["column"], v["unit"]))
    axis.set_ylabel(with_unit("decoded - measured", v["unit"]), fontsize=7.5)
    low, high = np.quantile(v["residual"], [0.01, 0.99])
    pad = 0.3 * (high - low) or 1e-12 + abs(high)
    axis.set_ylim(low - pad, high + pad)
    span = np.quantile(x, [0.005, 0.995])
    if span[1] > span[0]:
        axis.set_xlim(*(span + np.array([-0.03, 0.03]) * (span[1] - span[0])))
    axis.locator_params(axis="x", nbins=5)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))


def _largest(values: np.ndarray) -> float:
    return float(values[np.isfinite(values)].max(initial=0.0))


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 and a > 0 else float("nan")
