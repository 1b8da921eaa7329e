"""Figures and tables of what the variants of the training change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astromodal.evaluation.ablations.measures import (
    Change,
    ColumnNumbers,
    ModalityNumbers,
    VariantNumbers,
)
from astromodal.evaluation.report.style import BLUE, GREEN, INK, ORANGE, new_figure, unit
from astromodal.evaluation.report.values import Row, Table
from astromodal.sequences.layout import MODALITIES

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
