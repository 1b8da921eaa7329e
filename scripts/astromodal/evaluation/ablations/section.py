"""Figures of the ablations, each with the table of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.config.ablations import AS_CONFIGURED
from astromodal.evaluation.parts import Part, table
from astromodal.evaluation.style import BLUE, GREEN, INK, ORANGE, new_figure, unit
from astromodal.training.layout import MODALITIES

_STYLES = dict(
    zip(MODALITIES, ((BLUE, "o", 0.2), (ORANGE, "s", 0.0), (GREEN, "^", -0.2)), strict=True)
)
"""Colour, marker and shift of each modality."""
_PANELS = (
    ("bits_change", "change of surprise (bits a code)"),
    ("squared_change", "change of squared error (%)"),
)
_FAR = 20.0
"""Times the median change beyond which one would press all others together on a linear axis."""


def add_changes(
    part: Part, changes: Mapping[str, Any], order: str, variants: Mapping[str, Mapping[str, Any]]
) -> None:
    """What every variant changes, measured in one order of blocks."""
    varied = [name for name in changes if name != AS_CONFIGURED]
    if not varied or not changes[AS_CONFIGURED]:
        part.notes.append(f"Blocks in {order} order: nothing to compare.")
        return
    part.figure(
        _draw_changes(changes, varied), f"changes_{order}",
        f"Blocks in {order} order: what each variant changes of the surprise at unseen codes "
        "(left) and of the squared error of the expected centroid (right), by modality. Where "
        "there are dotted lines the axis is logarithmic beyond them.",
        "Right of zero the variant is worse than the training as configured: what it leaves out "
        "is worth that much. A bar that reaches zero shows no difference.",
        _change_table(changes, variants),
    )  # fmt: skip


def _draw_changes(changes: Mapping[str, Any], varied: Sequence[str]) -> Figure:
    figure, axes = new_figure(1, 2, height=1.3 + 0.36 * len(varied), sharey=True)
    y = np.arange(len(varied))[::-1]
    for axis, (key, label) in zip(axes[0], _PANELS, strict=True):
        reached = [np.empty(0)]
        for modality, (colour, marker, shift) in _STYLES.items():
            cells = [changes[name].get(modality, {}).get(key, {}) for name in varied]
            value, error = (
                np.array([c.get(what, np.nan) for c in cells], float) for what in ("value", "error")
            )
            error = np.nan_to_num(error)
            axis.errorbar(value, y + shift, xerr=error, fmt=marker, color=colour, markersize=4,
                          label=modality)  # fmt: skip
            reached.append(np.abs(value) + error)
        _scale(axis, np.concatenate(reached))
        axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set_xlabel(label)
        axis.tick_params(axis="x", labelrotation=45)
    axes[0, 0].set_ylim(-0.6, len(varied) - 0.4)
    axes[0, 0].set_yticks(y, varied)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _scale(axis: Any, reached: np.ndarray) -> None:
    """A logarithmic axis beyond what most changes reach, where one reaches far beyond."""
    typical = float(np.median(reached[np.isfinite(reached)]))
    if typical > 0 and np.nanmax(reached) > _FAR * typical:
        linear = _FAR / 4 * typical
        axis.set_xscale("symlog", linthresh=linear)
        for edge in (-linear, linear):
            axis.axvline(edge, color=INK, linestyle=":", linewidth=0.5)


def _change_table(
    changes: Mapping[str, Any], variants: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    heading = [
        "variant", "what differs", "modality", "objects", "surprise (bits a code)",
        "change (bits a code)", "of its error, over objects", "over seeds",
        "squared error (standardised²)", "change (%)", "of its error, over objects", "over seeds",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for name, modalities in changes.items():
        differs = ", ".join(f"{k}: {v}" for k, v in variants.get(name, {}).items()) or "nothing"
        for modality, n in modalities.items():
            cells: list[Any] = []
            for value, key in (("bits", "bits_change"), ("squared", "squared_change")):
                found = n.get(key)
                errors = [found["over_objects"], found["over_seeds"]] if found else [None, None]
                cells += [n[value], found, *errors]
            rows.append([name, differs, modality, n["n"], *cells])
    return table(heading, rows)


def add_columns(part: Part, columns: Mapping[str, Any], order: str) -> None:
    """Errors of the expected scalars in their units, with and without reconstruction terms."""
    part.figure(
        _draw_columns(columns), "columns",
        f"Blocks in {order} order: change of the median distance between a scalar's expected value "
        "and its code's, without the reconstruction terms.",
        "Right of zero the terms help a column. The table has the errors in the columns' units.",
        table(
            ["column", "unit", "objects", "median error as configured",
             "without reconstruction terms", "change (%)", "of its error, over objects",
             "over seeds"],
            [[name, unit(name), n["n"], n["configured"], n["variant"], n["change"],
              n["change"]["over_objects"], n["change"]["over_seeds"]]
             for name, n in columns.items()],
        ),
    )  # fmt: skip


def _draw_columns(columns: Mapping[str, Any]) -> Figure:
    figure, axes = new_figure(height=1.0 + 0.16 * len(columns))
    axis, y = axes[0, 0], np.arange(len(columns))[::-1]
    value, error = (
        np.array([n["change"][key] for n in columns.values()]) for key in ("value", "error")
    )
    axis.errorbar(value, y, xerr=np.nan_to_num(error), fmt="o", color=BLUE, markersize=3,
                  linewidth=1)  # fmt: skip
    axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set_yticks(y, list(columns), fontsize=6.5)
    axis.set(ylim=(-1, len(columns)), xlabel="change of the median error (%)")
    return figure
