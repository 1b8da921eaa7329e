"""Figures of the section on labels with their captions and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from astromodal.evaluation.downstream.calibration import LEVELS, TemperatureNumbers
from astromodal.evaluation.downstream.figures import (
    METHODS,
    measure_label,
    plot_calibration,
    plot_classes,
    plot_curves,
    plot_magnitudes,
    plot_methods,
    plot_temperatures,
    plot_truth,
    shown_methods,
)
from astromodal.evaluation.downstream.measures import Numbers, TaskNumbers, fullest
from astromodal.evaluation.downstream.objects import Role, Target
from astromodal.evaluation.downstream.predictions import TaskPredictions
from astromodal.evaluation.downstream.scores import MEASURES, MagnitudeBin
from astromodal.evaluation.metrics import robust_sigma
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.values import Row, Table

_WORDS: dict[Role, str] = {
    "redshift": "Redshift", "stellar": "Parameters of stars", "class": "Class",
}  # fmt: skip


def add_figures(
    section: Section,
    predictions: Sequence[TaskPredictions],
    numbers: Numbers,
    temperatures: Mapping[str, TemperatureNumbers],
    magnitude: str,
) -> None:
    """Add every figure that the predictions allow.

    Parameters
    ----------
    section : Section
        The section.
    predictions, numbers, temperatures
        All predictions, and their numbers.
    magnitude : str
        Column of the magnitude that results are divided by.
    """
    for role, words in _WORDS.items():
        own = {target: by_given for target, by_given in numbers.items() if target.role == role}
        if own:
            _add_methods(section, role, words, own)
    best = fullest(predictions)
    valued = [each for target, each in best.items() if not target.classes]
    if valued:
        _add_truth(section, valued)
    for target, each in best.items():
        if target.classes:
            _add_classes(section, each, numbers[target][each.task.given])
    given = {each.task.target: each.task.given for each in predictions if each.curves}
    bins = {target: numbers[target][name].by_magnitude for target, name in given.items()}
    bins = {target: each for target, each in bins.items() if each}
    if bins:
        _add_magnitudes(section, bins, given, magnitude)
    curved = [each for each in predictions if any(each.curves.values())]
    if curved:
        _add_curves(section, curved)
    _add_calibration(section, predictions, valued)
    if temperatures:
        _add_temperatures(section, temperatures)


def _add_methods(
    section: Section, role: Role, words: str, numbers: Mapping[Target, Mapping[str, TaskNumbers]]
) -> None:
    first = MEASURES[role][0]
    shown = " and ".join(m.label for m in MEASURES[role] if m.shown)
    better = "right" if first.better > 0 else "left"
    section.add_figure(
        plot_methods(numbers), f"downstream_{role}",
        f"{words}: {shown} of every method, by the modalities that it is predicted from, with "
        "bootstrap errors over objects. Rows have different objects, those with all of these "
        "modalities; inside a row all methods are scored on the same objects.",
        f"Further {better} is better. Embeddings are worth having where probes are {better} of "
        "trees, which use the scalars alone. A method that does not beat the constant predicts "
        "nothing.",
        _method_table(role, numbers),
    )  # fmt: skip


def _method_table(role: Role, numbers: Mapping[Target, Mapping[str, TaskNumbers]]) -> Table:
    measures = MEASURES[role]
    heading = ["target", "unit", "from", "objects", "labels", "method",
               *(m.label + (" (unit)" if m.scaled else "") for m in measures),
               f"{measures[0].label}: minus trees", "tuned parameters"]  # fmt: skip
    rows: list[Row] = []
    for target, by_given in numbers.items():
        for given, n in by_given.items():
            for method, scores in n.methods.items():
                tuned = ", ".join(
                    f"{name} {value:g}" if not isinstance(value, str) else value
                    for name, value in n.tuned.get(method, {}).items()
                )
                rows.append([
                    target.name, target.unit or "none", given, n.n_objects, n.n_fit,
                    METHODS[method].label, *(scores[m.name] for m in measures),
                    n.differences.get(f"{method} - trees", {}).get(measures[0].name),
                    tuned or None,
                ])  # fmt: skip
    return Table(heading, rows)


def _add_truth(section: Section, predictions: Sequence[TaskPredictions]) -> None:
    rows: list[Row] = []
    for each in predictions:
        target = each.task.target
        for method in shown_methods(each):
            error = each.predicted[method] - each.task.truth
            rows.append([target.name, target.unit or "none", each.task.given,
                         METHODS[method].label, len(error), float(error.mean()),
                         robust_sigma(error), float(abs(error).max())])  # fmt: skip
    section.add_figure(
        plot_truth(predictions), "truth",
        "Predicted against measured values, from the most modalities that enough objects have; "
        "thin lines: the model's 68 % interval.",
        "Points should follow the dashed line. A flat cloud near the middle of the labels shows a "
        "method that predicts little.",
        Table(["target", "unit", "from", "method", "objects", "mean error (unit)",
               "68 % half-range (unit)", "largest |error| (unit)"], rows),
    )  # fmt: skip


def _add_classes(section: Section, each: TaskPredictions, numbers: TaskNumbers) -> None:
    task = each.task
    rows: list[Row] = [
        [METHODS[method].label, name, *counts[i].tolist()]
        for method, counts in numbers.confusion.items()
        for i, name in enumerate(task.target.classes)
    ]
    section.add_figure(
        plot_classes(each, "probe_mean"), "classes",
        f"{task.target.name} from {task.given}: objects by true and predicted class (left), and "
        "the fraction of right predictions against confidence (right, with Wilson errors).",
        "Left: all should lie on the diagonal. Right: points below the dashed line are "
        "overconfident, points above it underconfident. The expected calibration error is the mean "
        "distance from the line; for few objects it is never zero.",
        Table(["method", "class", *(f"predicted {name}" for name in task.target.classes)], rows),
    )  # fmt: skip


def _add_magnitudes(
    section: Section,
    bins: Mapping[Target, Sequence[MagnitudeBin]],
    given: Mapping[Target, str],
    magnitude: str,
) -> None:
    rows: list[Row] = [
        [target.name, given[target], measure_label(measure, target), b.low, b.high, b.n,
         METHODS[method].label, score]
        for target, each in bins.items()
        for measure in MEASURES[target.role][:1]
        for b in each
        for method, score in b.methods.items()
    ]  # fmt: skip
    name = f"{magnitude} (mag)"
    section.add_figure(
        plot_magnitudes(bins, given, name), "magnitude",
        f"The first measure against {magnitude}, from the combination with the most labels, in "
        "bins of equally many objects, with bootstrap errors.",
        "Faint sources are harder for all methods. Where methods separate towards faint "
        "magnitudes, noise misleads one of them.",
        Table(["target", "from", "measure", f"from {name}", f"to {name}", "objects", "method",
               "value"], rows),
    )  # fmt: skip


def _add_curves(section: Section, curved: Sequence[TaskPredictions]) -> None:
    rows: list[Row] = [
        [each.task.target.name, each.task.given, METHODS[method].label, p.n, p.samples, p.score]
        for each in curved
        for method, points in each.curves.items()
        for p in points
    ]
    section.add_figure(
        plot_curves(curved), "labels",
        "The first measure after training on some of the labels, from the combination with the "
        "most labels; error bars: scatter over samples of labels. Dashed: the constant, and the "
        "model's own prediction, whose training used all labels of its training split as tokens.",
        "Embeddings are useful where probes are good after few labels. The model's line is not a "
        "result of few labels.",
        Table(["target", "from", "method", "labels", "samples",
               "first measure (error: over samples)"], rows),
    )  # fmt: skip


def _add_calibration(
    section: Section, predictions: Sequence[TaskPredictions], best: Sequence[TaskPredictions]
) -> None:
    shown = [(each, each.calibration) for each in best if each.calibration is not None]
    if not shown:
        return
    rows: list[Row] = []
    for each in predictions:
        if each.calibration is not None:
            n, target = each.calibration.numbers, each.task.target
            coverage = [n.coverage[str(p)].scaled(100) for p in LEVELS]
            rows.append([target.name, target.unit or "none", each.task.given, len(each.task.score),
                         *coverage, n.crps, n.crps_constant, n.crps_gain, n.nll, n.nll_constant,
                         n.nll_gain])  # fmt: skip
    section.add_figure(
        plot_calibration(shown), "calibration",
        "The model's predicted distributions against the truth: probability integral transform "
        "(top, with Poisson errors) and coverage of central intervals (bottom, with Wilson "
        "errors), from the most modalities. The table has the CRPS and the NLL of the true bin, "
        "beside those of the distribution of the labels.",
        "Top: bars should reach the dashed line. High ends mean distributions that are too narrow, "
        "a hump too wide ones, a slope a bias. Bottom: points below the line are intervals that "
        "are too narrow.",
        Table(["target", "unit", "from", "objects", *(f"inside {p:.0%} (%)" for p in LEVELS),
               "CRPS (unit)", "constant's CRPS (unit)", "CRPS gain (unit)", "NLL (nats)",
               "constant's NLL (nats)", "gain (nats)"], rows),
    )  # fmt: skip


def _add_temperatures(section: Section, temperatures: Mapping[str, TemperatureNumbers]) -> None:
    section.add_figure(
        plot_temperatures(temperatures), "temperature",
        "NLL of the codes of evaluated objects where logits are divided by a temperature, relative "
        "to T = 1. Star: the temperature fitted on the validation split of the training fields, "
        "with bootstrap errors over objects.",
        "A star below zero by more than its error: this temperature improves the predictions of "
        "this modality, and `AstroModel.calibrated` applies it. At zero it has no effect.",
        Table(
            ["modality", "validation objects", "objects", "temperature",
             "NLL before (nats per code)", "after (nats per code)", "gain (nats per code)",
             "helps"],
            [[m, n.n_validation, n.n_objects, n.temperature, n.before, n.after, n.gain,
              "yes" if n.helps else "no"] for m, n in temperatures.items()],
        ),
    )  # fmt: skip
