"""The section on scalars: how well scalar codes keep the values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from astromodal.evaluation.context import EvaluationContext, described
from astromodal.evaluation.metrics import measure_median, robust_sigma
from astromodal.evaluation.report.section import Measurement, Row, Section, Table, show
from astromodal.evaluation.report.style import BLUE, FAINT, INK, SKY, new_figure, styled, with_unit
from astromodal.evaluation.scalars.measures import (
    IDEAL_BINS,
    ColumnNumbers,
    Residuals,
    ScalarNumbers,
    ScalarSample,
    bits_an_object,
    measure_column,
    sample_scalars,
)
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

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


HALF_BIN = 0.5
"""Largest median error (bin widths) that reaches the mark."""


def evaluate_scalars(context: EvaluationContext, tokenizer: str | Path) -> Section:
    """Compare decoded scalars with the measured ones.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the files ``cube``, ``split`` and ``tokens`` (scalar codes).
    tokenizer : path
        The scalar tokenizer.

    Returns
    -------
    Section
        The section, with `ScalarNumbers`.
    """
    section = Section("scalars", "Scalars", context.figures)
    coder = ScalarTokenizer.load(tokenizer)
    section.hashes["scalar tokenizer"] = coder.hash
    sample = sample_scalars(context, coder)
    n, seed = len(sample.truth), context.settings.evaluation.seed
    section.summary = (
        f"{n} of {sample.n_eligible} objects: {described(context.fields)}. A decoded value is the "
        "mean of the training values in its bin. Its error is compared with the width of that bin: "
        f"for values spread uniformly inside their bins the median error is {IDEAL_BINS} bins, and "
        "no code with as many bins of equal mass has a smaller one. An ideal coder takes "
        f"{bits_an_object(sample):.0f} bits per object."
    )
    columns = [measure_column(coder, sample, i, seed) for i in range(len(coder.columns))]
    known = [column for column in columns if column.n]
    section.notes += _notes(columns, n)
    section.numbers = summarise(sample, columns, seed)
    if not known:
        section.notes.append(
            "No scalar could be evaluated: no evaluated object has a value with a code."
        )
        return section
    _add_headline(section, section.numbers, seed)
    with styled():
        _add_figures(section, columns, coder, sample, context.settings.evaluation.n_examples)
    return section


def summarise(sample: ScalarSample, columns: Sequence[ColumnNumbers], seed: int) -> ScalarNumbers:
    """Return the numbers of all columns with those that compare columns."""
    by_name = {column.column: column for column in columns}
    n, bits = len(sample.truth), bits_an_object(sample)
    known = [column for column in columns if column.median_bins.known]
    if not known:
        return ScalarNumbers(n, sample.n_eligible, by_name, bits)
    medians = np.array([column.median_bins.value for column in known])
    # A column with few values may exceed the mark at random, so two errors are required.
    over = tuple(column.column for column in known if column.median_bins.above(HALF_BIN))
    return ScalarNumbers(
        n_objects=n,
        n_eligible=sample.n_eligible,
        columns=by_name,
        bits_an_object=bits,
        median_bins=measure_median(medians, seed).value,
        worst_column=known[int(medians.argmax())].column,
        columns_over_half_a_bin=over,
    )


def _add_headline(section: Section, numbers: ScalarNumbers, seed: int) -> None:
    if numbers.worst_column is None:
        return
    over = len(numbers.columns_over_half_a_bin)
    worst = numbers.columns[numbers.worst_column]
    medians = np.array([column.median_bins.value for column in numbers.columns.values()])
    median = measure_median(medians, seed)
    section.add_headline(
        "Scalar decoding error, median of columns", median.scaled(1, "bins"),
        note=f"the mark is half a bin; columns above it by two errors: {over}; largest error: "
        f"{worst.column}, {show(worst.median_bins)} bins",
        verdict="good" if median.value < HALF_BIN and not over else "bad",
    )  # fmt: skip


def _add_figures(
    section: Section,
    columns: Sequence[ColumnNumbers],
    coder: ScalarTokenizer,
    sample: ScalarSample,
    n_examples: int,
) -> None:
    known = [column for column in columns if column.n]
    section.add_figure(
        plot_errors(known, HALF_BIN, IDEAL_BINS), "scalar_errors",
        "Decoding error of each scalar column. Left: in widths of the value's own bin (dot: "
        "median, line: to the 90th percentile). Right: median error relative to the spread of the "
        "column's values.",
        "Left: every dot should lie left of the dashed line at half a bin; dots near the dotted "
        "line are as good as a code with this many bins can be. Right: how small the error is "
        "compared with the differences between objects.",
        error_table(columns),
    )  # fmt: skip
    chosen = choose_columns(known, n_examples)
    residuals = [Residuals.of(coder, sample, name) for name in chosen]
    section.add_figure(
        plot_residuals(residuals), "scalar_residuals",
        f"Decoded minus measured value against the measured value, for {len(chosen)} of the "
        "columns; the shaded band is the extent of each bin.",
        "Points should fill the band evenly and be centred on zero. A point outside the band is a "
        "value beyond all training values, which gets the code of the outermost bin.",
        residual_table(residuals),
    )  # fmt: skip


def _notes(columns: Sequence[ColumnNumbers], n: int) -> list[str]:
    notes = []
    empty = [c.column for c in columns if not c.n_codes]
    unseen = [c.column for c in columns if c.n_codes and not c.n]
    tied = [c.column for c in columns if c.n and not c.median_bins.known]
    if not n:
        notes.append("There is no object to evaluate scalars on.")
    if empty:
        notes.append(f"No bins, because no training object has a value: {', '.join(empty)}.")
    if unseen and n:
        notes.append(f"No evaluated object has a value: {', '.join(unseen)}.")
    if tied:
        notes.append(f"A single value in training, so no bin has a width: {', '.join(tied)}.")
    return notes
