"""Figures of scores in bins of magnitude and redshift, of classes and of fields, with tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.downstream.figures import (
    STYLES,
    add_legend,
    measure_label,
    new_panels,
    plot_scores,
)
from astromodal.evaluation.downstream.measures import MEASURES
from astromodal.evaluation.downstream.numbers import PartScores, TaskNumbers
from astromodal.evaluation.downstream.predictions import Predictions
from astromodal.evaluation.downstream.tasks import Target
from astromodal.evaluation.report.section import Measurement, Row, Section, Table
from astromodal.evaluation.report.style import FAINT, new_figure

_OF_REDSHIFTS = ("sigma_nmad", "bias")
"""Measures of redshifts that are plotted against redshift and magnitude."""


@dataclass(frozen=True)
class Parts:
    """Numbers of a target, from the combination of modalities that parts are scored for."""

    target: Target
    given: str
    numbers: TaskNumbers


def add_part_figures(
    section: Section,
    predictions: Sequence[Predictions],
    measured: Mapping[Target, Mapping[str, TaskNumbers]],
    magnitude: str,
) -> None:
    """Add the figures of parts of the scored objects, where there are any.

    Parameters
    ----------
    section : Section
        The section.
    predictions : sequence of Predictions
        Predictions of all tasks.
    measured : mapping
        Their numbers by target and combination of modalities.
    magnitude : str
        Column of the magnitude that results are binned by.
    """
    every = [
        Parts(each.task.target, each.task.given, measured[each.task.target][each.task.given])
        for each in predictions
        if each.in_parts
    ]
    binned = [each for each in every if each.numbers.by_magnitude]
    name = f"{magnitude} (mag)"
    if binned:
        section.add_figure(
            plot_magnitudes(binned, name), "magnitude",
            f"The first measure against {magnitude}, from the combination with the most labels, in "
            "bins of fixed edges, with bootstrap errors.",
            "Faint sources are harder for all methods. Where methods differ more with the "
            "magnitude, noise misleads one of them.",
            part_table("magnitude (mag)", [(each, each.numbers.by_magnitude) for each in binned]),
        )  # fmt: skip
    for each in every:
        if each.numbers.by_redshift and not each.target.stars:
            _add_redshifts(section, each, name)
    grouped = [(each, [*each.numbers.by_class, *each.numbers.by_field]) for each in every]
    grouped = [(each, parts) for each, parts in grouped if parts]
    if grouped:
        section.add_figure(
            plot_groups(grouped), "groups",
            "The first measure of redshifts by class, and of every target by field, from the "
            "combination with the most labels, with bootstrap errors.",
            "A field in which all methods are worse lacks what they need, or is calibrated "
            "otherwise. Quasars have other colours than galaxies, and fewer labels.",
            part_table("class or field", grouped),
        )  # fmt: skip


def _add_redshifts(section: Section, each: Parts, magnitude: str) -> None:
    numbers = each.numbers
    tables = [
        part_table(what, [(each, parts)])
        for what, parts in (("redshift", numbers.by_redshift), (magnitude, numbers.by_magnitude))
    ]
    rows = [[what, *row] for what, table in zip(("redshift", "magnitude"), tables, strict=True)
            for row in table.rows]  # fmt: skip
    section.add_figure(
        plot_redshifts(each, magnitude), "redshift_bins",
        f"{each.target.name} from {each.given}: scatter and median error of methods against the "
        f"spectroscopic redshift and {magnitude}, in bins of fixed edges, with bootstrap errors.",
        "The median error should be 0 in every bin. Below the middle of the labels it is above 0 "
        "for a method that has learned little, and above it below 0.",
        Table(["binned by", "bin", *tables[0].columns[1:]], rows),
    )  # fmt: skip


def part_table(what: str, every: Sequence[tuple[Parts, Sequence[PartScores]]]) -> Table:
    """Return every measure of every method on each part.

    Parameters
    ----------
    what : str
        Heading of the parts.
    every : sequence of (Parts, sequence of PartScores)
        Targets with their parts.
    """
    rows: list[Row] = [
        [part.name, each.target.name, each.given, part.n, STYLES[method].label,
         measure_label(measure, each.target), scores[measure.name]]
        for each, parts in every
        for part in parts
        for method, scores in part.methods.items()
        for measure in MEASURES[each.target.role]
    ]  # fmt: skip
    return Table([what, "target", "given", "objects", "method", "measure", "value"], rows)


def plot_magnitudes(binned: Sequence[Parts], magnitude: str) -> Figure:
    """Plot the first measure of several methods against the magnitude, one panel per target.

    Parameters
    ----------
    binned : sequence of Parts
        Targets with bins of magnitude.
    magnitude : str
        Column of the magnitude, with its unit.
    """
    figure, axes = new_panels(len(binned))
    for axis, each in zip(axes, binned, strict=True):
        measure = MEASURES[each.target.role][0]
        for x, scores, method in _lines(each.numbers.by_magnitude, measure.name):
            plot_scores(axis, x, scores, STYLES[method])
        axis.set(xlabel=magnitude, ylabel=measure_label(measure, each.target))
        axis.set_title(f"{each.target.name} from {each.given}", fontsize=8)
    add_legend(figure, axes)
    return figure


def plot_redshifts(each: Parts, magnitude: str) -> Figure:
    """Plot scatter (top) and bias (bottom) of redshifts against redshift and magnitude."""
    columns = [
        (name, parts)
        for name, parts in (
            ("spectroscopic redshift", each.numbers.by_redshift),
            (magnitude, each.numbers.by_magnitude),
        )
        if parts
    ]
    figure, axes = new_figure(2, len(columns), height=4.6)
    for row, name in zip(axes, _OF_REDSHIFTS, strict=True):
        measure = next(m for m in MEASURES["redshift"] if m.name == name)
        for axis, (quantity, parts) in zip(row, columns, strict=True):
            for x, scores, method in _lines(parts, name):
                plot_scores(axis, x, scores, STYLES[method])
            axis.set(xlabel=quantity, ylabel=measure.label)
            if not measure.better:
                axis.axhline(0, color=FAINT, linewidth=0.9)
    add_legend(figure, axes.ravel())
    return figure


def plot_groups(grouped: Sequence[tuple[Parts, Sequence[PartScores]]]) -> Figure:
    """Plot the first measure of several methods by class and field, one panel per target."""
    most = max(len(parts) for _, parts in grouped)
    figure, axes = new_panels(len(grouped), height=0.9 + 0.3 * most)
    for axis, (each, parts) in zip(axes, grouped, strict=True):
        measure = MEASURES[each.target.role][0]
        methods = list(parts[0].methods)
        for i, method in enumerate(methods):
            place = np.arange(len(parts)) + 0.12 * (i - (len(methods) - 1) / 2)
            scores = [part.methods[method][measure.name] for part in parts]
            error = np.nan_to_num([score.error for score in scores])
            style = STYLES[method]
            axis.errorbar(
                [score.value for score in scores], place, xerr=error, fmt=style.marker,
                color=style.colour, markersize=4, label=style.label,
            )  # fmt: skip
        names = [f"{part.name}\n({part.n})" for part in parts]
        axis.set_yticks(range(len(parts)), names, fontsize=7)
        axis.set_ylim(len(parts) - 0.5, -0.5)
        axis.set_xlabel(measure_label(measure, each.target))
        axis.set_title(f"{each.target.name} from {each.given}", fontsize=8)
    add_legend(figure, axes)
    return figure


def _lines(
    parts: Sequence[PartScores], measure: str
) -> Iterator[tuple[np.ndarray, list[Measurement], str]]:
    """Yield positions, scores and name of each method; error bars stand side by side."""
    middle = np.array([part.middle for part in parts])
    step = 0.01 * np.ptp(middle)
    for i, method in enumerate(parts[0].methods):
        yield middle + step * (i - 1), [part.methods[method][measure] for part in parts], method
