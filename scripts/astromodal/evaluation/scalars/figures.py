"""Figures of the scalars' decoding errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.metrics import robust_sigma
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import BLUE, FAINT, INK, SKY, new_figure, unit, with_unit
from astromodal.evaluation.report.values import Measurement, Table
from astromodal.evaluation.scalars.sample import ScalarSample
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer


def plot_errors(rows: list[dict[str, Any]], bar: float, ideal: float) -> Figure:
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
    median = np.array([row["median_bins"].value for row in rows])
    error = np.array([row["median_bins"].error for row in rows])
    p90 = np.array([row["p90_bins"].value for row in rows])
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
    relative = np.array([_ratio(row["median"].value, row["spread"]) for row in rows])
    right.plot(relative, places, "o", color=BLUE, markersize=3)
    if (relative > 0).any():
        known = relative[relative > 0]
        low, high = known.min(), known.max()
        right.set_xscale("log")
        right.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high * 1.01)))
        right.xaxis.set_minor_formatter(NullFormatter())
    right.set(xlabel="median error / spread of the values")
    return figure


def plot_residuals(values: list[dict[str, Any]]) -> Figure:
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
    order = np.argsort(v.value)
    x = v.value[order]
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


IDEAL_BINS = 0.25
"""Median |decoded - true| in bin widths where values are uniform inside their bin."""
HALF_BIN = 0.5


_FAVOURITES = (
    "mag_pstotal_r", "err_mag_pstotal_r", "gaia_parallax", "gaia_teff_gspphot", "specz_z",
    "a_pixel_det", "vista_japermag6", "gaia_pmra",
)  # fmt: skip


def add_figures(
    section: Section,
    rows: list[dict[str, Any]],
    known: list[dict[str, Any]],
    coder: ScalarTokenizer,
    sample: ScalarSample,
    n_examples: int,
) -> None:
    """Add every figure.

    Parameters
    ----------
    part : Part
        Where to add them.
    rows, known : list of dict
        Numbers of every column, and of those that have values.
    coder, sample : ScalarTokenizer, ScalarSample
        What the residuals are made of.
    n_examples : int
        Columns whose residuals are drawn.
    """
    drawn = plot_errors(known, HALF_BIN, IDEAL_BINS)
    section.add_figure(
        drawn, "scalar_errors",
        "Decoding error of each scalar column: in widths of the value's own bin (left; dot: "
        "median, line: to the 90th percentile), and its median relative to the column's "
        "spread (right).",
        "Left: every dot should lie left of the dashed line at half a bin; dots near the "
        "dotted line are as good as a code of this many bins can be. Right: how small a "
        "change of the value that is.",
        _error_table(rows),
    )  # fmt: skip
    chosen = _examples(known, n_examples)
    values = [_pairs(coder, sample, name) for name in chosen]
    section.add_figure(
        plot_residuals(values), "scalar_residuals",
        f"Decoded minus measured value against the measured value, for {len(chosen)} of the "
        "columns; the shaded band is each bin's own extent.",
        "Points should fill the band evenly and be centred on zero; a point outside the band "
        "is a value beyond everything seen in training, which the last bin takes in.",
        _residual_table(values),
    )  # fmt: skip


def _error_table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    heading = [
        "column", "unit", "n", "missing (%)", "median error (unit)", "90th percentile (unit)",
        "best possible median (unit)", "median error (bins)", "90th percentile (bins)",
        "median rank error (10⁻⁴)", "of the catalogue's error", "bins", "bins used (%)",
        "expected (%)", "beyond training (%)",
    ]  # fmt: skip

    def scaled(value: dict[str, float] | None, by: float) -> dict[str, float] | None:
        return Measurement(value.value * by, value.error * by) if value else None

    return Table(heading, [
        [row["column"], row["unit"] or "none", row["n"], 100 * row["missing"],
         row.get("median"), row.get("p90"), row.get("best_possible"), row.get("median_bins"),
         row.get("p90_bins"),
         scaled(row.get("median_rank"), 1e4), row.get("of_measurement_error"), row["n_codes"],
         100 * row["used"], 100 * row["used_expected"],
         100 * row["outside"] if "outside" in row else None]
        for row in rows
    ])  # fmt: skip


def _examples(known: list[dict[str, Any]], most: int) -> list[str]:
    """Columns to draw: well-known ones that have values, then those with the most values."""
    counts = {row["column"]: row["n"] for row in known}
    first = [name for name in _FAVOURITES if name in counts]
    rest = sorted((name for name in counts if name not in first), key=lambda name: -counts[name])
    return (first + rest)[:most]


def _pairs(coder: ScalarTokenizer, sample: ScalarSample, name: str) -> dict[str, Any]:
    """Measured values of a column, their residuals and the extents of their bins."""
    i = coder.columns.index(name)
    both = np.isfinite(sample.truth[:, i]) & (sample.codes[:, i] != MISSING_CODE)
    value, code = sample.truth[both, i], sample.codes[both, i].astype(np.int64)
    center, edges = coder.centers[i, code], coder.edges[i]
    return {
        "column": name,
        "unit": unit(name),
        "value": value,
        "residual": center - value,
        "low": center - edges[code + 1],
        "high": center - edges[code],
    }


def _residual_table(values: list[dict[str, Any]]) -> dict[str, Any]:
    heading = [
        "column",
        "unit",
        "n",
        "mean residual (unit)",
        "68 % half-range (unit)",
        "largest |residual| (unit)",
    ]
    rows = []
    for v in values:
        error = (
            v["residual"].std(ddof=1) / np.sqrt(len(v["residual"]))
            if len(v["residual"]) > 1
            else np.nan
        )
        rows.append([
            v["column"], v["unit"] or "none", len(v.value),
            Measurement(v["residual"].mean(), error), robust_sigma(v["residual"]),
            np.abs(v["residual"]).max(),
        ])  # fmt: skip
    return Table(heading, rows)
