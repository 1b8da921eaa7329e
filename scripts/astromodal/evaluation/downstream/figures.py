"""Figures of the predicted labels and their scores, with their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astromodal.evaluation.downstream.calibration import reliability
from astromodal.evaluation.downstream.measures import MEASURES, Measure, Truth, confusion
from astromodal.evaluation.downstream.numbers import TaskNumbers
from astromodal.evaluation.downstream.predictions import MODEL, Predictions, most_modalities
from astromodal.evaluation.downstream.tasks import Role, Target
from astromodal.evaluation.metrics import robust_sigma
from astromodal.evaluation.report.section import Measurement, Row, Section, Table
from astromodal.evaluation.report.style import (
    AMBER,
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    new_figure,
    with_unit,
)

_ROLES: dict[Role, str] = {
    "redshift": "Redshift", "temperature": "Temperature", "stellar": "Stellar parameters",
    "class": "Class",
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """Label, colour and marker of a method in figures."""

    label: str
    colour: str
    marker: str


STYLES = {
    MODEL: Style("model", BLUE, "o"),
    "probe": Style("probe", GREEN, "^"),
    "trees": Style("trees", ORANGE, "s"),
    "tabm": Style("TabM", INK, "h"),
    "neighbours": Style("neighbours", AMBER, "D"),
    "network": Style("network", PURPLE, "P"),
    "constant": Style("constant", FAINT, "x"),
}
"""Style of each method."""


def add_figures(
    section: Section,
    predictions: Sequence[Predictions],
    measured: Mapping[Target, Mapping[str, TaskNumbers]],
) -> None:
    """Add every figure of all scored objects that the predictions allow.

    Parameters
    ----------
    section : Section
        The section.
    predictions : sequence of Predictions
        Predictions of all tasks.
    measured : mapping
        Their numbers by target and combination of modalities.
    """
    for role in _ROLES:
        own = {target: by_given for target, by_given in measured.items() if target.role == role}
        if own:
            _add_methods(section, role, own)
    best = most_modalities(predictions)
    of_numbers = [each for target, each in best.items() if not target.classes]
    if of_numbers:
        _add_truth(section, of_numbers)
    for target, each in best.items():
        if target.classes:
            _add_classes(section, each)
    curved = [each for each in predictions if any(each.curves.values())]
    if curved:
        _add_curves(section, curved)


def measure_label(measure: Measure, target: Target) -> str:
    """Return the name of a measure with its unit."""
    return with_unit(measure.label, measure.unit_of(target))


def _add_methods(
    section: Section, role: Role, measured: Mapping[Target, Mapping[str, TaskNumbers]]
) -> None:
    first = MEASURES[role][0]
    shown = " and ".join(m.label for m in MEASURES[role] if m.shown)
    better = "right" if first.better > 0 else "left"
    section.add_figure(
        plot_methods(measured), f"downstream_{role}",
        f"{_ROLES[role]}: {shown} of every method, by the given modalities, with bootstrap errors. "
        "Rows hold different objects: those that have all given modalities. Within "
        "a row all methods are scored on the same objects.",
        f"Further {better} is better. Embeddings are useful where probes are {better} of trees "
        "and TabM, which use what was measured; the table says what each method sees.",
        method_table(role, measured),
    )  # fmt: skip


def plot_methods(measured: Mapping[Target, Mapping[str, TaskNumbers]]) -> Figure:
    """Plot the shown measures of every method by the given modalities, one panel per measure."""
    given = list(dict.fromkeys(name for by_given in measured.values() for name in by_given))
    panels = [(target, m) for target in measured for m in MEASURES[target.role] if m.shown]
    figure, axes = new_figure(1, len(panels), height=1.5 + 0.62 * len(given), sharey=True)
    for axis, (target, measure) in zip(axes[0], panels, strict=True):
        for name, numbers in measured[target].items():
            methods = [method for method in STYLES if method in numbers.methods]
            for place, method in enumerate(methods):
                score, style = numbers.methods[method][measure.name], STYLES[method]
                y = given.index(name) + 0.12 * (place - (len(methods) - 1) / 2)
                axis.errorbar(
                    score.value, y, xerr=np.nan_to_num(score.error), fmt=style.marker,
                    color=style.colour, markersize=4, label=style.label,
                )  # fmt: skip
        axis.set_xlabel(measure_label(measure, target))
        axis.set_title(target.name, fontsize=8)
        axis.locator_params(axis="x", nbins=5)
    axes[0, 0].set_yticks(range(len(given)), given)
    axes[0, 0].set_ylim(len(given) - 0.5, -0.5)
    add_legend(figure, axes.ravel())
    return figure


def method_table(role: Role, measured: Mapping[Target, Mapping[str, TaskNumbers]]) -> Table:
    """Return all measures and hyperparameters, one row per target, combination and method."""
    measures = MEASURES[role]
    heading = ["target", "unit", "given", "objects", "cells", "labels", "method", "sees",
               *(m.label + (" (unit)" if m.unit == "target" else f" ({m.unit})" if m.unit else "")
                 for m in measures),
               *(f"{measures[0].label}: {pair}" for pair in ("minus trees", "model minus this")),
               "hyperparameters"]  # fmt: skip
    rows: list[Row] = []
    for target, by_given in measured.items():
        for given, numbers in by_given.items():
            for method, scores in numbers.methods.items():
                chosen = ", ".join(
                    f"{name} {value:g}" if not isinstance(value, str) else value
                    for name, value in numbers.chosen.get(method, {}).items()
                )
                own = STYLES[method].label, numbers.inputs[method]
                rows.append([
                    target.name, target.unit or "none", given, numbers.n_objects,
                    numbers.n_clusters, numbers.n_fit, *own, *(scores[m.name] for m in measures),
                    *(numbers.differences.get(pair, {}).get(measures[0].name)
                      for pair in (f"{method} - trees", f"{MODEL} - {method}")), chosen or None,
                ])  # fmt: skip
    return Table(heading, rows)


def _add_truth(section: Section, predictions: Sequence[Predictions]) -> None:
    rows: list[Row] = []
    for each in predictions:
        target = each.task.target
        for method in compared_methods(each):
            error = each.values[method] - each.task.truth
            rows.append([target.name, target.unit or "none", each.task.given,
                         STYLES[method].label, len(error), float(error.mean()),
                         robust_sigma(error), float(abs(error).max())])  # fmt: skip
    section.add_figure(
        plot_truth(predictions), "truth",
        "Predicted against measured labels, from the most modalities that enough objects have. "
        "Thin lines: the model's 68 % interval.",
        "Points should follow the dashed line. A method that has learned little predicts values "
        "near the middle of the labels for every object: a flat cloud.",
        Table(["target", "unit", "given", "method", "objects", "mean error (unit)",
               "68 % half-range (unit)", "largest |error| (unit)"], rows),
    )  # fmt: skip


def plot_truth(predictions: Sequence[Predictions]) -> Figure:
    """Plot predicted against measured labels, one row per target, for two methods.

    The model has its 68 % intervals.
    """
    figure, axes = new_figure(len(predictions), 2, height=0.3 + 2.25 * len(predictions))
    for row, each in zip(axes, predictions, strict=True):
        truth, target = each.task.truth, each.task.target
        methods = compared_methods(each)
        low, high = _limits(truth, [each.values[method] for method in methods])
        for axis, method in zip(row, methods, strict=False):
            style = STYLES[method]
            if method == MODEL and each.interval is not None:
                axis.vlines(truth, *each.interval.T, color=style.colour, alpha=0.2, linewidth=0.8)
            axis.plot(truth, each.values[method], "o", color=style.colour, markersize=2.5,
                      alpha=0.7)  # fmt: skip
            axis.plot([low, high], [low, high], "--", color=INK, linewidth=0.9)
            axis.set(xlim=(low, high), ylim=(low, high), title=style.label)
            axis.set_xlabel(f"measured {target.label}")
        row[0].set_ylabel(f"predicted {target.label}")
    return figure


def compared_methods(predictions: Predictions) -> list[str]:
    """Return two methods to compare: the model or else a probe, and trees or else the constant."""
    first = next(name for name in (MODEL, "probe") if name in predictions.values)
    second = next(name for name in ("trees", "constant") if name in predictions.values)
    return [first, second]


def _add_classes(section: Section, predictions: Predictions) -> None:
    task = predictions.task
    classes = task.target.classes
    rows: list[Row] = [
        [STYLES[method].label, classes[i], *counts.tolist()]
        for method, probabilities in predictions.values.items()
        for i, counts in enumerate(confusion(task.truth, probabilities))
    ]
    section.add_figure(
        plot_classes(predictions, "probe"), "classes",
        f"{task.target.name} from {task.given}: objects by class and predicted class (left), and "
        "the fraction of correct predictions against the confidence (right, with Wilson errors).",
        "Left: all objects should lie on the diagonal. Right: points below the dashed line are "
        "overconfident, points above it underconfident. The expected calibration error is the "
        "mean distance from the line; for few objects it is never zero.",
        Table(["method", "class", *(f"predicted {name}" for name in classes)], rows),
    )  # fmt: skip


def plot_classes(predictions: Predictions, method: str) -> Figure:
    """Plot the confusion matrix of a method (left), and the reliability of methods (right)."""
    truth, classes = predictions.task.truth, predictions.task.target.classes
    figure, axes = new_figure(1, 2, height=3.2)
    left, right = axes[0]
    counts = confusion(truth, predictions.values[method])
    fraction = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left.imshow(fraction, cmap="Blues", vmin=0, vmax=1.6)
    left.grid(visible=False)
    for (i, j), n in np.ndenumerate(counts):
        left.text(j, i, f"{n}\n{fraction[i, j]:.0%}", ha="center", va="center", fontsize=7)
    left.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    left.set_yticks(range(len(classes)), classes)
    left.set(xlabel="predicted class", ylabel="class", title=STYLES[method].label)
    right.plot([0, 1], [0, 1], "--", color=INK, linewidth=0.9)
    for name in ("probe", "trees"):
        if name in predictions.values:
            bins = reliability(truth, predictions.values[name])
            x = np.array([b.confidence for b in bins])
            plot_scores(right, x, [b.correct for b in bins], STYLES[name], linestyle="none")
    right.set(xlabel="confidence", ylabel="fraction correct", xlim=(0, 1.03), ylim=(-0.05, 1.05))
    add_legend(figure, [right])
    return figure


def _add_curves(section: Section, predictions: Sequence[Predictions]) -> None:
    rows: list[Row] = [
        [each.task.target.name, each.task.given, STYLES[method].label, p.n, p.draws, p.score]
        for each in predictions
        for method, points in each.curves.items()
        for p in points
    ]
    section.add_figure(
        plot_curves(predictions), "labels",
        "The first measure against the number of labels, from the combination with the most "
        "labels. Error bars: standard deviation over random subsets of the labels. Dashed: the "
        "constant, and the model's own prediction, which was trained on all labels of its "
        "training split as tokens.",
        "Embeddings are useful where probes are good after few labels. The model's line does not "
        "show what it learns from few labels.",
        Table(["target", "given", "method", "labels", "subsets",
               "first measure (error: over subsets)"], rows),
    )  # fmt: skip


def plot_curves(predictions: Sequence[Predictions]) -> Figure:
    """Plot curves of label efficiency, one panel per target; model and constant are lines."""
    figure, axes = new_panels(len(predictions))
    for axis, each in zip(axes, predictions, strict=True):
        task, measure = each.task, MEASURES[each.task.target.role][0]
        truth = Truth(task.target, task.truth, None, 0)
        for i, (method, points) in enumerate(each.curves.items()):
            x = 1.05 ** (i - 1) * np.array([p.n for p in points])  # error bars stand side by side
            plot_scores(axis, x, [p.score for p in points], STYLES[method])
        for method in (MODEL, "constant"):
            if method in each.estimates:
                value = measure.value(truth, each.estimates[method])
                style = STYLES[method]
                axis.axhline(value, color=style.colour, linestyle="--", label=style.label)
        axis.set_xscale("log")
        counts = sorted({p.n for points in each.curves.values() for p in points})
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        axis.set(xlabel="labels", ylabel=measure_label(measure, task.target))
        axis.set_title(f"{task.target.name} from {task.given}", fontsize=8)
    add_legend(figure, axes)
    return figure


def plot_scores(
    axis: Axes, x: np.ndarray, scores: Sequence[Measurement], style: Style, linestyle: str = "-"
) -> None:
    """Plot the scores of a method with their errors."""
    error = np.nan_to_num([score.error for score in scores])
    axis.errorbar(
        x, [score.value for score in scores], error, fmt=style.marker, linestyle=linestyle,
        color=style.colour, markersize=4, label=style.label,
    )  # fmt: skip


def new_panels(n: int, height: float = 2.3) -> tuple[Figure, list[Axes]]:
    """Create a figure of `n` panels of a height (inch), two per row."""
    rows, columns = -(-n // 2), min(n, 2)
    figure, axes = new_figure(rows, columns, height=0.8 + height * rows)
    for axis in axes.ravel()[n:]:
        axis.set_axis_off()
    return figure, axes.ravel()[:n].tolist()


def add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend for all panels above them."""
    entries: dict[str, Artist] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=3)


def _limits(truth: np.ndarray, predicted: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return limits that show all of the truth, and the predictions without their tails."""
    ends = [truth.min(), truth.max(), *(np.quantile(p, q) for p in predicted for q in (0.01, 0.99))]
    low, high = float(min(ends)), float(max(ends))
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin
