"""Figures of predicted labels and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from astromodal.evaluation.downstream.calibration import (
    LEVELS,
    LOG_TEMPERATURES,
    Calibration,
    TemperatureNumbers,
    pit_histogram,
)
from astromodal.evaluation.downstream.measures import TaskNumbers
from astromodal.evaluation.downstream.objects import Target
from astromodal.evaluation.downstream.predictions import MODEL, TaskPredictions
from astromodal.evaluation.downstream.scores import (
    MEASURES,
    MagnitudeBin,
    Measure,
    confusion,
    reliability,
)
from astromodal.evaluation.report.style import (
    AMBER,
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PALETTE,
    SKY,
    new_figure,
    with_unit,
)
from astromodal.evaluation.report.values import Measurement


class MethodStyle(NamedTuple):
    """Label, colour and marker of a method."""

    label: str
    colour: str
    marker: str


METHODS = {
    MODEL: MethodStyle("model", BLUE, "o"),
    "probe_mean": MethodStyle("probe (mean)", GREEN, "^"),
    "probe_attention": MethodStyle("probe (attention)", SKY, "v"),
    "trees": MethodStyle("trees", ORANGE, "s"),
    "neighbours": MethodStyle("neighbours", AMBER, "D"),
    "constant": MethodStyle("constant", FAINT, "x"),
}
"""Styles of the methods, by name."""


def measure_label(measure: Measure, target: Target) -> str:
    """Return a measure in words, with its unit."""
    return with_unit(measure.label, target.unit if measure.scaled else "")


def plot_methods(numbers: Mapping[Target, Mapping[str, TaskNumbers]]) -> Figure:
    """Plot the shown measures of every method, one panel per target and measure.

    Parameters
    ----------
    numbers : mapping
        Numbers by target and combination of modalities.
    """
    given = list(dict.fromkeys(name for by_given in numbers.values() for name in by_given))
    panels = [(target, m) for target in numbers for m in MEASURES[target.role] if m.shown]
    figure, axes = new_figure(1, len(panels), height=1.5 + 0.62 * len(given), sharey=True)
    for axis, (target, measure) in zip(axes[0], panels, strict=True):
        for name, own in numbers[target].items():
            methods = [method for method in METHODS if method in own.methods]
            for place, method in enumerate(methods):
                cell = own.methods[method][measure.name]
                y = given.index(name) + 0.12 * (place - (len(methods) - 1) / 2)
                _plot_point(axis, cell, y, METHODS[method])
        axis.set_xlabel(measure_label(measure, target))
        axis.set_title(target.name, fontsize=8)
        axis.locator_params(axis="x", nbins=5)
    axes[0, 0].set_yticks(range(len(given)), given)
    axes[0, 0].set_ylim(len(given) - 0.5, -0.5)
    _legend(figure, axes.ravel())
    return figure


def plot_truth(predictions: Sequence[TaskPredictions]) -> Figure:
    """Plot predicted against measured values, one row per target, of two methods."""
    figure, axes = new_figure(len(predictions), 2, height=0.3 + 2.25 * len(predictions))
    for row, each in zip(axes, predictions, strict=True):
        truth, target = each.task.truth, each.task.target
        methods = shown_methods(each)
        low, high = _limits(truth, [each.predicted[method] for method in methods])
        for axis, method in zip(row, methods, strict=False):
            label, tint, _ = METHODS[method]
            if method == MODEL and each.interval is not None:
                axis.vlines(truth, *each.interval.T, color=tint, alpha=0.2, linewidth=0.8)
            axis.plot(truth, each.predicted[method], "o", color=tint, markersize=2.5, alpha=0.7)
            axis.plot([low, high], [low, high], "--", color=INK, linewidth=0.9)
            axis.set(xlim=(low, high), ylim=(low, high), title=label)
            axis.set_xlabel(f"measured {target.label}")
        row[0].set_ylabel(f"predicted {target.label}")
        for axis in row[len(methods) :]:
            axis.set_axis_off()
    return figure


def shown_methods(each: TaskPredictions) -> list[str]:
    """Return two methods to compare: the model or a probe, and trees or another probe."""
    pairs = ((MODEL, "probe_mean"), ("trees", "probe_attention"))
    return [next(name for name in pair if name in each.predicted) for pair in pairs]


def plot_magnitudes(
    bins: Mapping[Target, Sequence[MagnitudeBin]],
    given: Mapping[Target, str],
    magnitude: str,
) -> Figure:
    """Plot the first measure of three methods against the magnitude, one panel per target.

    Parameters
    ----------
    bins : mapping
        Bins of `by_magnitude`, by target.
    given : mapping
        Modalities that each target is predicted from.
    magnitude : str
        Column of the magnitude, with its unit.
    """
    figure, axes = _panels(len(bins))
    for axis, (target, own) in zip(axes, bins.items(), strict=True):
        measure = MEASURES[target.role][0]
        middle = np.array([b.middle for b in own])
        step = 0.02 * (middle[-1] - middle[0])
        for i, method in enumerate(own[0].methods):
            cells = [b.methods[method] for b in own]
            _plot_line(axis, middle + step * (i - 1), cells, METHODS[method])
        axis.set(xlabel=magnitude, ylabel=measure_label(measure, target))
        axis.set_title(f"{target.name} from {given[target]}", fontsize=8)
    _legend(figure, axes)
    return figure


def plot_curves(predictions: Sequence[TaskPredictions]) -> Figure:
    """Plot label-efficiency curves, one panel per target; the model's prediction is a line."""
    figure, axes = _panels(len(predictions))
    for axis, each in zip(axes, predictions, strict=True):
        measure = MEASURES[each.task.target.role][0]
        for i, (method, points) in enumerate(each.curves.items()):
            x = 1.05 ** (i - 1) * np.array([p.n for p in points])  # bars side by side
            _plot_line(axis, x, [p.score for p in points], METHODS[method])
        for method in (MODEL, "constant"):
            if method in each.predicted:
                label, tint, _ = METHODS[method]
                value = measure.of(each.task.truth, each.predicted[method])
                axis.axhline(value, color=tint, linestyle="--", label=label)
        axis.set_xscale("log")
        counts = sorted({p.n for points in each.curves.values() for p in points})
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        axis.set(xlabel="labels", ylabel=measure_label(measure, each.task.target))
        axis.set_title(f"{each.task.target.name} from {each.task.given}", fontsize=8)
    _legend(figure, axes)
    return figure


def plot_classes(each: TaskPredictions, method: str) -> Figure:
    """Plot the confusion matrix of a method, and the reliability of those with probabilities."""
    truth, classes = each.task.truth, each.task.target.classes
    figure, axes = new_figure(1, 2, height=3.2)
    left, right = axes[0]
    counts = confusion(truth, each.predicted[method])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left.imshow(share, cmap="Blues", vmin=0, vmax=1.6)
    left.grid(visible=False)
    for (i, j), n in np.ndenumerate(counts):
        left.text(j, i, f"{n}\n{share[i, j]:.0%}", ha="center", va="center", fontsize=7)
    left.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    left.set_yticks(range(len(classes)), classes)
    left.set(xlabel="predicted class", ylabel="class", title=METHODS[method].label)
    right.plot([0, 1], [0, 1], "--", color=INK, linewidth=0.9)
    for name in ("probe_mean", "probe_attention", "trees"):
        if name in each.predicted:
            bins = reliability(truth, each.predicted[name])
            x = np.array([b.confidence for b in bins])
            _plot_line(right, x, [b.right for b in bins], METHODS[name], linestyle="none")
    right.set(
        xlabel="confidence", ylabel="fraction predicted rightly", xlim=(0, 1.03), ylim=(-0.05, 1.05)
    )
    _legend(figure, [right])
    return figure


def _plot_line(
    axis: Axes, x: np.ndarray, cells: Sequence[Measurement], style: MethodStyle,
    linestyle: str = "-",
) -> None:  # fmt: skip
    value = [cell.value for cell in cells]
    error = np.nan_to_num([cell.error for cell in cells])
    axis.errorbar(
        x, value, error, fmt=style.marker, linestyle=linestyle, color=style.colour, markersize=4,
        label=style.label,
    )  # fmt: skip


def _plot_point(axis: Axes, cell: Measurement, y: float, style: MethodStyle) -> None:
    axis.errorbar(
        cell.value, y, xerr=np.nan_to_num(cell.error), fmt=style.marker, color=style.colour,
        markersize=4, label=style.label,
    )  # fmt: skip


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` panels, two per row."""
    rows, columns = -(-n // 2), min(n, 2)
    figure, axes = new_figure(rows, columns, height=0.8 + 2.3 * rows)
    for axis in axes.ravel()[n:]:
        axis.set_axis_off()
    return figure, axes.ravel()[:n].tolist()


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend for all panels, above them."""
    entries: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=3)


def _limits(truth: np.ndarray, predicted: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return limits with all of the truth, and all predictions but their tails."""
    ends = [truth.min(), truth.max(), *(np.quantile(t, q) for t in predicted for q in (0.01, 0.99))]
    low, high = float(min(ends)), float(max(ends))
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


_MARKERS = "os^"


def plot_calibration(calibrated: Sequence[tuple[TaskPredictions, Calibration]]) -> Figure:
    """Plot PIT histograms and coverage of central intervals, one column per target."""
    figure, axes = new_figure(2, len(calibrated), height=4.4)
    for (above, below), (each, calibration) in zip(axes.T, calibrated, strict=True):
        density, error = pit_histogram(calibration.pit)
        edges = np.linspace(0, 1, len(density) + 1)
        above.stairs(density, edges, color=BLUE, fill=True, alpha=0.35)
        above.errorbar((edges[:-1] + edges[1:]) / 2, density, error, fmt="none", color=BLUE)
        above.axhline(1, color=INK, linestyle="--", linewidth=0.9)
        above.set(xlabel="PIT", ylim=(0, None))
        above.set_title(each.task.target.name, fontsize=8)
        cells = [calibration.numbers.coverage[str(level)] for level in LEVELS]
        below.plot([0, 100], [0, 100], "--", color=INK, linewidth=0.9)
        below.errorbar(
            100 * np.array(LEVELS), [100 * c.value for c in cells],
            [100 * c.error for c in cells], fmt="o", color=BLUE, markersize=4,
        )  # fmt: skip
        below.set(xlabel="predicted probability (%)", xlim=(0, 105), ylim=(0, 105))
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("objects inside (%)")
    return figure


def plot_temperatures(temperatures: Mapping[str, TemperatureNumbers]) -> Figure:
    """Plot the NLL of evaluated objects against the temperature, with the fitted one."""
    figure, axes = new_figure(1, len(temperatures), height=2.7)
    panels = zip(axes[0], temperatures.items(), strict=True)
    for i, (axis, (modality, numbers)) in enumerate(panels):
        tint = PALETTE[i]
        axis.plot(2**LOG_TEMPERATURES, numbers.curve, _MARKERS[i], color=tint, markersize=4)
        fine = np.linspace(LOG_TEMPERATURES[0], LOG_TEMPERATURES[-1], 200)
        axis.plot(2**fine, CubicSpline(LOG_TEMPERATURES, numbers.curve)(fine), color=tint)
        fitted = numbers.temperature
        gain = numbers.gain
        axis.errorbar(
            fitted.value, -gain.value, gain.error, np.nan_to_num(fitted.error),
            fmt="*", color=INK, markersize=8,
        )  # fmt: skip
        axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set_xscale("log", base=2)
        axis.set_xticks([0.5, 0.7, 1.0, 1.4, 2.0], ["0.5", "0.7", "1", "1.4", "2"])
        axis.set(xlabel="temperature", title=modality)
        reach = 4 * max(abs(gain.value), gain.error, 0.01)
        axis.set_ylim(-reach, reach)
    axes[0, 0].set_ylabel("NLL − that at T = 1 (nats per code)")
    return figure
