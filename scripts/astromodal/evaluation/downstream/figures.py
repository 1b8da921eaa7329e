"""Figures of what labels are told, and how well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from astromodal.evaluation.downstream.calibration import (
    LEVELS,
    LOG_TEMPERATURES,
    Calibration,
    pit_histogram,
)
from astromodal.evaluation.downstream.objects import Target
from astromodal.evaluation.downstream.predictions import MODEL, Answers
from astromodal.evaluation.downstream.scores import MEASURES, Measure, confusion, reliability
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

WAYS = {
    MODEL: ("model", BLUE, "o"),
    "probe_mean": ("probe (mean)", GREEN, "^"),
    "probe_attention": ("probe (attention)", SKY, "v"),
    "trees": ("trees", ORANGE, "s"),
    "neighbours": ("neighbours", AMBER, "D"),
    "constant": ("constant", FAINT, "x"),
}
"""Name, colour and marker of each way."""


def measure_label(measure: Measure, target: Target) -> str:
    """A measure in words, with its unit."""
    return with_unit(measure.label, target.unit if measure.scaled else "")


def plot_ways(found: Mapping[Target, Mapping[str, Any]]) -> Figure:
    """The shown measures of every way, by what was given, a panel each.

    Parameters
    ----------
    found : mapping
        By target and combination, the numbers of its `Answers`.
    """
    given = list(dict.fromkeys(name for cases in found.values() for name in cases))
    panels = [(target, m) for target in found for m in MEASURES[target.role] if m.shown]
    figure, axes = new_figure(1, len(panels), height=1.5 + 0.62 * len(given), sharey=True)
    for axis, (target, measure) in zip(axes[0], panels, strict=True):
        for name, numbers in found[target].items():
            ways = [way for way in WAYS if way in numbers["ways"]]
            for place, way in enumerate(ways):
                cell = numbers["ways"][way][measure.name]
                y = given.index(name) + 0.12 * (place - (len(ways) - 1) / 2)
                label, tint, marker = WAYS[way]
                _point(axis, cell.value, y, cell.error, tint, marker, label)
        axis.set_xlabel(measure_label(measure, target))
        axis.set_title(target.name, fontsize=8)
        axis.locator_params(axis="x", nbins=5)
    axes[0, 0].set_yticks(range(len(given)), given)
    axes[0, 0].set_ylim(len(given) - 0.5, -0.5)
    _legend(figure, axes.ravel())
    return figure


def plot_truth(answers: Sequence[Answers]) -> Figure:
    """Told against measured, a row a target, the model (with its 68 % intervals) and a rival."""
    figure, axes = new_figure(len(answers), 2, height=0.3 + 2.25 * len(answers))
    for row, found in zip(axes, answers, strict=True):
        truth, target = found.case.truth, found.case.target
        ways = shown_ways(found)
        low, high = _limits(truth, [found.told[way] for way in ways])
        for axis, way in zip(row, ways, strict=False):
            label, tint, _ = WAYS[way]
            if way == MODEL and found.interval is not None:
                axis.vlines(truth, *found.interval.T, color=tint, alpha=0.2, linewidth=0.8)
            axis.plot(truth, found.told[way], "o", color=tint, markersize=2.5, alpha=0.7)
            axis.plot([low, high], [low, high], "--", color=INK, linewidth=0.9)
            axis.set(xlim=(low, high), ylim=(low, high), title=label)
            axis.set_xlabel(f"measured {target.label}")
        row[0].set_ylabel(f"told {target.label}")
        for axis in row[len(ways) :]:
            axis.set_axis_off()
    return figure


def shown_ways(found: Answers) -> list[str]:
    """Two ways to set side by side: the model, or else a probe, and trees, or else a probe."""
    first = next(way for way in (MODEL, "probe_mean") if way in found.told)
    return [first, next(way for way in ("trees", "probe_attention") if way in found.told)]


def plot_magnitudes(
    found: Mapping[Target, Sequence[Mapping[str, Any]]],
    given: Mapping[Target, str],
    magnitude: str,
) -> Figure:
    """The first measure of three ways against the magnitude, a panel a target.

    Parameters
    ----------
    found : mapping
        By target, bins of `by_magnitude`.
    given : mapping
        What each target was told from.
    magnitude : str
        Column of the magnitude, with its unit.
    """
    figure, axes = _panels(len(found))
    for axis, (target, bins) in zip(axes, found.items(), strict=True):
        measure = MEASURES[target.role][0]
        middle = np.array([b["middle"] for b in bins])
        step = 0.02 * (middle[-1] - middle[0])
        for i, way in enumerate(bins[0]["ways"]):
            label, tint, marker = WAYS[way]
            cells = [b["ways"][way] for b in bins]
            _line(axis, middle + step * (i - 1), cells, tint, marker, label)
        axis.set(xlabel=magnitude, ylabel=measure_label(measure, target))
        axis.set_title(f"{target.name} from {given[target]}", fontsize=8)
    _legend(figure, axes)
    return figure


def plot_curves(answers: Sequence[Answers]) -> Figure:
    """Label-efficiency curves, a panel a target; the model's own prediction is a line."""
    figure, axes = _panels(len(answers))
    for axis, found in zip(axes, answers, strict=True):
        measure = MEASURES[found.case.target.role][0]
        for way, points in found.curves.items():
            label, tint, marker = WAYS[way]
            cells = [{"value": p.value, "error": p.error} for p in points]
            beside = 1.05 ** (list(found.curves).index(way) - 1)  # bars side by side
            _line(axis, beside * np.array([p.n for p in points]), cells, tint, marker, label)
        for way in (MODEL, "constant"):
            if way in found.told:
                label, tint, _ = WAYS[way]
                value = measure.of(found.case.truth, found.told[way])
                axis.axhline(value, color=tint, linestyle="--", label=label)
        axis.set_xscale("log")
        counts = sorted({p.n for points in found.curves.values() for p in points})
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        axis.set(xlabel="labels", ylabel=measure_label(measure, found.case.target))
        axis.set_title(f"{found.case.target.name} from {found.case.given}", fontsize=8)
    _legend(figure, axes)
    return figure


def plot_classes(found: Answers, way: str) -> Figure:
    """Confusion matrix of a way (left), and reliability of the ways that have chances (right)."""
    truth, classes = found.case.truth, found.case.target.classes
    figure, axes = new_figure(1, 2, height=3.2)
    left, right = axes[0]
    counts = confusion(truth, found.told[way])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left.imshow(share, cmap="Blues", vmin=0, vmax=1.6)
    left.grid(visible=False)
    for (i, j), n in np.ndenumerate(counts):
        left.text(j, i, f"{n}\n{share[i, j]:.0%}", ha="center", va="center", fontsize=7)
    left.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    left.set_yticks(range(len(classes)), classes)
    left.set(xlabel="told class", ylabel="class", title=WAYS[way][0])
    right.plot([0, 1], [0, 1], "--", color=INK, linewidth=0.9)
    for name in ("probe_mean", "probe_attention", "trees"):
        if name in found.told:
            label, tint, marker = WAYS[name]
            bins = reliability(truth, found.told[name])
            cells = [{"value": b.right, "error": b.error} for b in bins]
            x = np.array([b.confidence for b in bins])
            _line(right, x, cells, tint, marker, label, linestyle="none")
    right.set(xlabel="confidence", ylabel="share told right", xlim=(0, 1.03), ylim=(-0.05, 1.05))
    _legend(figure, [right])
    return figure


def curve_rows(found: Answers) -> Iterator[list[Any]]:
    """Rows of the curves' table: way, labels, draws, the measure with its error over draws."""
    for way, points in found.curves.items():
        for p in points:
            cell = {"value": p.value, "error": p.error}
            yield [found.case.target.name, found.case.given, WAYS[way][0], p.n, p.draws, cell]


def _line(
    axis: Axes, x: np.ndarray, cells: Sequence[Mapping[str, float]], tint: str, marker: str,
    label: str, linestyle: str = "-",
) -> None:  # fmt: skip
    value = [cell.value for cell in cells]
    error = np.nan_to_num([cell.error for cell in cells])
    axis.errorbar(
        x, value, error, fmt=marker, linestyle=linestyle, color=tint, markersize=4, label=label
    )


def _point(
    axis: Axes, x: float, y: float, error: float, tint: str, marker: str, label: str
) -> None:
    axis.errorbar(
        x, y, xerr=np.nan_to_num(error), fmt=marker, color=tint, markersize=4, label=label
    )


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    """A figure of `n` panels, two a row."""
    rows, columns = -(-n // 2), min(n, 2)
    figure, axes = new_figure(rows, columns, height=0.8 + 2.3 * rows)
    for axis in axes.ravel()[n:]:
        axis.set_axis_off()
    return figure, axes.ravel()[:n].tolist()


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, above them."""
    entries: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=3)


def _limits(truth: np.ndarray, told: Sequence[np.ndarray]) -> tuple[float, float]:
    """What a panel shows: all of the truth, and of what is told all but its tails."""
    ends = [truth.min(), truth.max(), *(np.quantile(t, q) for t in told for q in (0.01, 0.99))]
    low, high = float(min(ends)), float(max(ends))
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


_MARKERS = "os^"


def plot_calibration(found: Sequence[tuple[Answers, Calibration]]) -> Figure:
    """PIT histograms (above) and coverage of central intervals (below), a column a target."""
    figure, axes = new_figure(2, len(found), height=4.4)
    for (above, below), (answers, calibration) in zip(axes.T, found, strict=True):
        density, error = pit_histogram(calibration.pit)
        edges = np.linspace(0, 1, len(density) + 1)
        above.stairs(density, edges, color=BLUE, fill=True, alpha=0.35)
        above.errorbar((edges[:-1] + edges[1:]) / 2, density, error, fmt="none", color=BLUE)
        above.axhline(1, color=INK, linestyle="--", linewidth=0.9)
        above.set(xlabel="PIT", ylim=(0, None))
        above.set_title(answers.case.target.name, fontsize=8)
        cells = [calibration.numbers["coverage"][str(level)] for level in LEVELS]
        below.plot([0, 100], [0, 100], "--", color=INK, linewidth=0.9)
        below.errorbar(
            100 * np.array(LEVELS), [100 * c.value for c in cells],
            [100 * c.error for c in cells], fmt="o", color=BLUE, markersize=4,
        )  # fmt: skip
        below.set(xlabel="probability said (%)", xlim=(0, 105), ylim=(0, 105))
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("objects inside (%)")
    return figure


def plot_temperatures(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Surprise of evaluated objects against the temperature; the fitted one with its error."""
    figure, axes = new_figure(1, len(found), height=2.7)
    for i, (axis, (modality, numbers)) in enumerate(zip(axes[0], found.items(), strict=True)):
        tint = PALETTE[i]
        axis.plot(2**LOG_TEMPERATURES, numbers["curve"], _MARKERS[i], color=tint, markersize=4)
        fine = np.linspace(LOG_TEMPERATURES[0], LOG_TEMPERATURES[-1], 200)
        axis.plot(2**fine, CubicSpline(LOG_TEMPERATURES, numbers["curve"])(fine), color=tint)
        fitted = numbers["temperature"]
        gain = numbers["gain"]
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
    axes[0, 0].set_ylabel("surprise − that at T = 1 (nats a code)")
    return figure
