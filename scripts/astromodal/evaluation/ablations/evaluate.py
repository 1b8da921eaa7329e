"""The page on ablations: what each variant of the training changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astromodal.config.evaluate import AS_CONFIGURED
from astromodal.config.schema import Config
from astromodal.evaluation.ablations.measures import (
    AblationNumbers,
    Change,
    ColumnNumbers,
    ModalityNumbers,
    Trainings,
    VariantNumbers,
    measure_columns,
    measure_modalities,
    without_reconstruction,
)
from astromodal.evaluation.context import EvaluationContext, described
from astromodal.evaluation.report.section import Row, Section, Table, show
from astromodal.evaluation.report.style import BLUE, GREEN, INK, ORANGE, new_figure, styled, unit
from astromodal.evaluation.transformer.losses import ORDERS, ObjectLosses
from astromodal.sequences.layout import MODALITIES

CLEAR = 2.0
"""Errors that a change must exceed to be named: several changes are compared at once."""


def compare_ablations(
    context: EvaluationContext, losses: Sequence[str | Path], runs: Sequence[tuple[str, int]]
) -> Section:
    """Compare each variant with the training as configured, object by object and seed by seed.

    Parameters
    ----------
    context : EvaluationContext
        The evaluated fields, and all settings of the run.
    losses : sequence of path
        Files of `ObjectLosses`.
    runs : sequence of (str, int)
        Variant and seed of each file.

    Returns
    -------
    Section
        The section, with `AblationNumbers`.
    """
    section = Section("ablations", "Ablations", context.figures)
    settings, seed = context.settings, context.settings.evaluation.seed
    variants = settings.ablations.variants
    trainings = Trainings.join(
        [(run[0], ObjectLosses.load(path)) for run, path in zip(runs, losses, strict=True)]
    )
    n_seeds = len(trainings.nll[AS_CONFIGURED])
    section.summary = _summary(described(context.fields), len(trainings.codes), n_seeds, settings)
    section.notes += _notes(variants, trainings, n_seeds)
    own = settings.sequences.block_order
    orders = {
        order: measure_modalities(trainings, ORDERS.index(order), seed)
        for order in sorted(ORDERS, key=lambda order: order != own)
    }
    off = without_reconstruction({v: c for v, c in variants.items() if v in trainings.nll})
    columns = measure_columns(trainings, off, ORDERS.index(own), seed) if off else {}
    section.numbers = AblationNumbers(orders, columns)
    if off:
        section.notes.insert(0, _what_reconstruction_improves(orders[own][off], n_seeds))
        _add_headlines(section, orders[own][off])
    with styled():
        for order, numbers in orders.items():
            _add_changes(section, numbers, order, variants)
        if columns:
            section.add_figure(
                plot_columns(columns), "columns",
                f"Blocks in {own} order: change of the median error of expected scalars (distance "
                "to the value of the true code) without the reconstruction terms.",
                "Right of zero the terms improve a column. The table has the errors in the "
                "columns' units.",
                column_table(columns),
            )  # fmt: skip
    if not off:
        section.notes.append(
            "What the reconstruction terms improve is not known: no variant that was trained "
            "differs only in having none."
        )
    return section


def _summary(where: str, n: int, n_seeds: int, settings: Config) -> str:
    own = settings.training.epochs
    epochs = settings.ablations.epochs or own
    return (
        f"{n} objects: {where}. Seeds of each variant: {n_seeds}. Epochs: {epochs}; of the "
        f"training itself: {own}. Every variant is trained on the same tokens, from the start and "
        "by one process; its best step is chosen by its own validation loss. The model predicts "
        "every code from the codes before it; nll is the negative log-likelihood of the true "
        "code. A change is relative to the training as configured, for the same objects and "
        "seeds; its error combines the errors over objects (bootstrap) and over seeds (Student's "
        "t). Squared errors are of expected centroids, in standardised units."
    )


def _notes(variants: Mapping[str, object], trainings: Trainings, n_seeds: int) -> list[str]:
    notes = []
    same = [name for name in variants if name not in trainings.nll]
    if same:
        notes.append(
            f"Not trained: {', '.join(same)}; such a variant has the same settings as another, or "
            "nothing to learn from."
        )
    if n_seeds == 1:
        notes.append(
            "One seed: errors are over objects only, and the differences between seeds are not "
            "known. Raise ablations.seeds."
        )
    elif n_seeds < 4:
        notes.append(f"{n_seeds} seeds: the differences between seeds are known poorly.")
    return notes


def _what_reconstruction_improves(numbers: Mapping[str, ModalityNumbers], n_seeds: int) -> str:
    """Return the changes without the reconstruction terms, in sentences."""
    changed = {
        name: (n.squared_change, n.bits_change)
        for name, n in numbers.items()
        if n.squared_change and n.bits_change
    }
    by_modality = "; ".join(
        f"{name} {show(squared.measurement)} % and {show(bits.measurement)} bits per code"
        for name, (squared, bits) in changed.items()
    )
    text = (
        "Reconstruction terms: without them the squared error and the negative log-likelihood "
        f"change by {by_modality}. "
    )
    if n_seeds == 1:
        return text + "One seed cannot show whether they improve anything."
    better = [name for name, (s, _) in changed.items() if s.value > CLEAR * s.error]
    worse = [name for name, (_, b) in changed.items() if -b.value > CLEAR * b.error]
    gain = (
        f"reduce the error of the expected {', '.join(better)} codes"
        if better
        else f"improve nothing: no squared error grows by more than {CLEAR:g} errors without them"
    )
    price = f"; they raise the nll of {', '.join(worse)} codes" if worse else ""
    return f"{text}So the terms {gain}{price}."


def _add_headlines(section: Section, numbers: Mapping[str, ModalityNumbers]) -> None:
    for name, n in numbers.items():
        if n.squared_change and n.bits_change:
            section.add_headline(
                f"Squared error of expected {name} codes without the reconstruction terms",
                n.squared_change.measurement.scaled(1, "%"),
                note=f"change of the nll: {show(n.bits_change.measurement)} bits per code; "
                f"{n.n} objects",
            )  # fmt: skip


def _add_changes(
    section: Section,
    numbers: VariantNumbers,
    order: str,
    settings: Mapping[str, Mapping[str, object]],
) -> None:
    """Add the figure of what every variant changes in one order of blocks."""
    varied = [name for name in numbers if name != AS_CONFIGURED]
    if not varied or not numbers[AS_CONFIGURED]:
        section.notes.append(f"Blocks in {order} order: nothing to compare.")
        return
    section.add_figure(
        plot_changes(numbers, varied), f"changes_{order}",
        f"Blocks in {order} order: change of the negative log-likelihood (nll) of unseen codes "
        "(left) and of the squared error of the expected centroid (right) under each variant, by "
        "modality. Where there are dotted lines the axis is logarithmic beyond them.",
        "Right of zero the variant is worse than the training as configured, so what it leaves "
        "out helps by that much. Where a bar reaches zero, no difference is shown.",
        change_table(numbers, settings),
    )  # fmt: skip


_STYLES = dict(
    zip(MODALITIES, ((BLUE, "o", 0.2), (ORANGE, "s", 0.0), (GREEN, "^", -0.2)), strict=True)
)
"""Colour, marker and vertical shift of each modality."""
_FAR = 20.0
"""A change this many times the median change makes the axis logarithmic."""


def plot_changes(variants: VariantNumbers, varied: Sequence[str]) -> Figure:
    """Plot what each variant changes of the nll (left) and of the squared error (right)."""
    figure, axes = new_figure(1, 2, height=1.3 + 0.36 * len(varied), sharey=True)
    y = np.arange(len(varied))[::-1]
    left, right = axes[0]
    labels = "change of the nll (bits per code)", "change of squared error (%)"
    for axis, label in zip((left, right), labels, strict=True):
        extent = [np.empty(0)]
        for modality, (colour, marker, shift) in _STYLES.items():
            own = [variants[name].get(modality) for name in varied]
            changes = [_change(n, bits=axis is left) for n in own]
            value = np.array([np.nan if c is None else c.value for c in changes])
            error = np.nan_to_num([np.nan if c is None else c.error for c in changes])
            axis.errorbar(value, y + shift, xerr=error, fmt=marker, color=colour, markersize=4,
                          label=modality)  # fmt: skip
            extent.append(np.abs(value) + error)
        _scale(axis, np.concatenate(extent))
        axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set_xlabel(label)
        axis.tick_params(axis="x", labelrotation=45)
    left.set_ylim(-0.6, len(varied) - 0.4)
    left.set_yticks(y, varied)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _change(numbers: ModalityNumbers | None, *, bits: bool) -> Change | None:
    if numbers is None:
        return None
    return numbers.bits_change if bits else numbers.squared_change


def _scale(axis: Axes, extent: np.ndarray) -> None:
    """Make an axis logarithmic beyond most changes, where one is far larger than the others."""
    typical = float(np.median(extent[np.isfinite(extent)]))
    if typical > 0 and np.nanmax(extent) > _FAR * typical:
        linear = _FAR / 4 * typical
        axis.set_xscale("symlog", linthresh=linear)
        for edge in (-linear, linear):
            axis.axvline(edge, color=INK, linestyle=":", linewidth=0.5)


def change_table(variants: VariantNumbers, settings: Mapping[str, Mapping[str, object]]) -> Table:
    """Return a table with one row per variant and modality.

    Parameters
    ----------
    variants : VariantNumbers
        Losses and their changes.
    settings : mapping of str to mapping of str to object
        By variant, the settings that differ, by dotted name.
    """
    heading = [
        "variant", "what differs", "modality", "objects", "nll (bits per code)",
        "change (bits per code)", "its error over objects", "its error over seeds",
        "squared error (standardised²)", "change (%)", "its error over objects",
        "its error over seeds",
    ]  # fmt: skip
    rows: list[Row] = []
    for name, modalities in variants.items():
        differs = ", ".join(f"{k}: {v}" for k, v in settings.get(name, {}).items()) or "nothing"
        rows += [
            [name, differs, modality, n.n, n.bits, *_cells(n.bits_change), n.squared,
             *_cells(n.squared_change)]
            for modality, n in modalities.items()
        ]  # fmt: skip
    return Table(heading, rows)


def _cells(change: Change | None) -> Row:
    if change is None:
        return [None, None, None]
    return [change.measurement, change.over_objects, change.over_seeds]


def plot_columns(columns: Mapping[str, ColumnNumbers]) -> Figure:
    """Plot the change of the median error of each scalar column."""
    figure, axes = new_figure(height=1.0 + 0.16 * len(columns))
    axis, y = axes[0, 0], np.arange(len(columns))[::-1]
    value = np.array([n.change.value for n in columns.values()])
    error = np.nan_to_num([n.change.error for n in columns.values()])
    axis.errorbar(value, y, xerr=error, fmt="o", color=BLUE, markersize=3, linewidth=1)
    axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set_yticks(y, list(columns), fontsize=6.5)
    axis.set(ylim=(-1, len(columns)), xlabel="change of the median error (%)")
    return figure


def column_table(columns: Mapping[str, ColumnNumbers]) -> Table:
    """Return a table with one row per scalar column."""
    heading = [
        "column", "unit", "objects", "median error as configured",
        "without reconstruction terms", "change (%)", "its error over objects",
        "its error over seeds",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, unit(name), n.n, n.configured, n.variant, *_cells(n.change)]
        for name, n in columns.items()
    ]
    return Table(heading, rows)
