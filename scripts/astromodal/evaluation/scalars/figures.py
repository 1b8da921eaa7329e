"""Figures and tables of the decoding errors of scalars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from astromodal.evaluation.metrics import robust_sigma
from astromodal.evaluation.report.style import BLUE, FAINT, INK, SKY, new_figure, with_unit
from astromodal.evaluation.report.values import Measurement, Row, Table
from astromodal.evaluation.scalars.measures import ColumnNumbers, Residuals

_FAVOURITES = (
    "mag_pstotal_r", "err_mag_pstotal_r", "gaia_parallax", "gaia_teff_gspphot", "specz_z",
    "a_pixel_det", "vista_japermag6", "gaia_pmra",
)  # fmt: skip
"""Columns whose residuals are plotted first."""


def plot_errors(columns: Sequence[ColumnNumbers], mark: float, ideal: float) -> Figure:
    """Plot the decoding error of each column in bin widths (left) and in its spread (right).

    Parameters
    ----------
    columns : sequence of ColumnNumbers
        Columns with values.
    mark, ideal : float
        Positions of the dashed and of the dotted line (bin widths).
    """
    figure, axes = new_figure(1, 2, height=1.1 + 0.165 * len(columns), sharey=True)
    left, right = axes[0]
    places = np.arange(len(columns))[::-1]
    median = np.array([column.median_bins.value for column in columns])
    error = np.array([column.median_bins.error for column in columns])
    p90 = np.array([column.p90_bins.value for column in columns])
    left.hlines(places, median, p90, color=SKY, linewidth=1.2)
    left.errorbar(
        median, places, xerr=np.nan_to_num(error), fmt="o", color=BLUE, markersize=3, linewidth=1
    )
    left.axvline(mark, color=INK, linestyle="--", linewidth=1)
    left.axvline(ideal, color=FAINT, linestyle=":", linewidth=1.2)
    left.set(
        xlabel="|decoded - measured| (bin widths)", xlim=(0, max(1.05, _largest(median) * 1.1))
    )
    left.set_yticks(places, [column.column for column in columns], fontsize=6.5)
    left.set_ylim(-1, len(columns))
    relative = np.array([_ratio(column.median.value, column.spread) for column in columns])
    right.plot(relative, places, "o", color=BLUE, markersize=3)
    if (relative > 0).any():
        known = relative[relative > 0]
        low, high = known.min(), known.max()
        right.set_xscale("log")
        right.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high * 1.01)))
        right.xaxis.set_minor_formatter(NullFormatter())
    right.set(xlabel="median error / spread of the values")
    return figure


def plot_residuals(residuals: Sequence[Residuals]) -> Figure:
    """Plot residuals against the measured value, one panel per column."""
    rows = -(-len(residuals) // 2)
    figure, axes = new_figure(rows, 2, height=0.4 + 1.75 * rows)
    for axis, own in zip(axes.flat, residuals, strict=False):
        _plot_column(axis, own)
    for axis in axes.flat[len(residuals) :]:
        axis.set_visible(False)
    return figure


def _plot_column(axis: Axes, r: Residuals) -> None:
    order = np.argsort(r.value)
    x = r.value[order]
    axis.fill_between(
        x, r.low[order], r.high[order], color=SKY, alpha=0.35, linewidth=0, step="mid"
    )
    axis.plot(x, r.residual[order], ".", color=BLUE, markersize=2.5, rasterized=len(x) > 500)
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.set_xlabel(with_unit(r.column, r.unit))
    axis.set_ylabel(with_unit("decoded - measured", r.unit), fontsize=7.5)
    low, high = np.quantile(r.residual, [0.01, 0.99])
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


def choose_columns(columns: Sequence[ColumnNumbers], most: int) -> list[str]:
    """Choose columns to plot: well-known ones, then those with the most values."""
    counts = {column.column: column.n for column in columns}
    first = [name for name in _FAVOURITES if name in counts]
    rest = sorted((name for name in counts if name not in first), key=lambda name: -counts[name])
    return (first + rest)[:most]


def error_table(columns: Sequence[ColumnNumbers]) -> Table:
    """Return a table with one row per column."""
    heading = [
        "column", "unit", "n", "missing (%)", "median error (unit)", "90th percentile (unit)",
        "best possible median (unit)", "median error (bins)", "90th percentile (bins)",
        "median rank error (10⁻⁴)", "of the catalogue's error", "bins", "bins used (%)",
        "expected (%)", "beyond training (%)",
    ]  # fmt: skip
    rows: list[Row] = [
        [c.column, c.unit or "none", c.n, 100 * c.missing, c.median, c.p90, c.best_possible,
         c.median_bins, c.p90_bins, c.median_rank.scaled(1e4), c.of_measurement_error, c.n_codes,
         100 * c.used, 100 * c.used_expected, 100 * c.outside]
        for c in columns
    ]  # fmt: skip
    return Table(heading, rows)


def residual_table(residuals: Sequence[Residuals]) -> Table:
    """Return a table with the mean, the spread and the largest of each column's residuals."""
    heading = [
        "column", "unit", "n", "mean residual (unit)", "68 % half-range (unit)",
        "largest |residual| (unit)",
    ]  # fmt: skip
    rows: list[Row] = []
    for r in residuals:
        n = len(r.residual)
        error = float(r.residual.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
        rows.append([
            r.column, r.unit or "none", n, Measurement(float(r.residual.mean()), error, n),
            robust_sigma(r.residual), float(np.abs(r.residual).max()),
        ])  # fmt: skip
    return Table(heading, rows)
