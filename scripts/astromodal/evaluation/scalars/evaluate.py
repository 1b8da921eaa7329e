"""The section on scalars: how well scalar codes keep the values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from astromodal.evaluation.context import EvaluationContext
from astromodal.evaluation.held_out import described
from astromodal.evaluation.metrics import measure_median
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import show
from astromodal.evaluation.scalars.figures import (
    choose_columns,
    error_table,
    plot_errors,
    plot_residuals,
    residual_table,
)
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
