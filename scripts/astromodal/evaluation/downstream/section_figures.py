"""The section's figures, each with the table of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from astromodal.evaluation.downstream.calibration import LEVELS
from astromodal.evaluation.downstream.figures import (
    WAYS,
    curve_rows,
    measure_label,
    plot_calibration,
    plot_classes,
    plot_curves,
    plot_magnitudes,
    plot_temperatures,
    plot_truth,
    plot_ways,
    shown_ways,
)
from astromodal.evaluation.downstream.objects import Role, Target
from astromodal.evaluation.downstream.predictions import Answers
from astromodal.evaluation.downstream.scores import MEASURES
from astromodal.evaluation.downstream.section import Numbers, fullest
from astromodal.evaluation.metrics import robust_sigma
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.values import Table

_WORDS: dict[Role, str] = {
    "redshift": "Redshift", "stellar": "Parameters of stars", "class": "Class",
}  # fmt: skip


def add_figures(
    section: Section, answers: Sequence[Answers], found: Numbers, magnitude: str
) -> None:
    """Add every figure that the answers allow.

    Parameters
    ----------
    part : Part
        Where to add them.
    answers, found
        All answers, and their numbers.
    magnitude : str
        Column of the magnitude that results are divided by.
    """
    for role, words in _WORDS.items():
        own = {target: cases for target, cases in found.items() if target.role == role}
        if own:
            _add_ways(section, role, words, own)
    best = fullest(answers)
    told = [each for target, each in best.items() if not target.classes]
    if told:
        _add_truth(section, told)
    for target, each in best.items():
        if target.classes:
            _add_classes(section, each, found[target][each.case.given])
    labelled = {each.case.target: each.case.given for each in answers if each.curves}
    bins = {target: found[target][given]["by_magnitude"] for target, given in labelled.items()}
    bins = {target: each for target, each in bins.items() if each}
    if bins:
        _add_magnitudes(section, bins, labelled, magnitude)
    curved = [each for each in answers if any(each.curves.values())]
    if curved:
        _add_curves(section, curved)
    _add_calibration(section, answers, told)
    _add_temperatures(section)


def _add_temperatures(section: Section) -> None:
    found = section.numbers["temperature"]
    if found:
        section.add_figure(
            plot_temperatures(found), "temperature",
            "Surprise at the codes of evaluated objects where logits are divided by a temperature, "
            "against that at T = 1. Star: the temperature fitted on the validation split of the "
            "training fields, with bootstrap errors over objects.",
            "A star below zero by more than its error: that temperature makes predictions of this "
            "modality more honest, and `AstroModel.calibrated` applies it. At zero it is no use.",
            Table(
                ["modality", "validation objects", "objects", "temperature",
                 "surprise before (nats a code)", "after (nats a code)", "gain (nats a code)",
                 "helps"],
                [[m, n["n_validation"], n["n_objects"], n["temperature"], n["before"], n["after"],
                  n["gain"], "yes" if n["helps"] else "no"] for m, n in found.items()],
            ),
        )  # fmt: skip


def _add_ways(
    section: Section, role: Role, words: str, found: Mapping[Target, Mapping[str, Any]]
) -> None:
    first = MEASURES[role][0]
    drawn = " and ".join(m.label for m in MEASURES[role] if m.shown)
    better = "right" if first.better > 0 else "left"
    section.add_figure(
        plot_ways(found), f"downstream_{role}",
        f"{words}: {drawn} of every way, by what is given, with bootstrap errors over "
        "objects. Rows hold different objects, those that have all that is given; inside a row all "
        "ways are scored on the same ones.",
        f"Further {better} is better. Embeddings are worth having where probes are {better} of "
        "trees, which see the scalars alone; a way that does not beat the constant tells nothing.",
        _way_table(role, found),
    )  # fmt: skip


def _way_table(role: Role, found: Mapping[Target, Mapping[str, Any]]) -> dict[str, Any]:
    measures = MEASURES[role]
    heading = ["target", "unit", "given", "objects", "labels", "way",
               *(m.label + (" (unit)" if m.scaled else "") for m in measures),
               f"{measures[0].label}: minus trees", "tuned to"]  # fmt: skip
    rows: list[list[Any]] = []
    for target, cases in found.items():
        for given, n in cases.items():
            for way, cells in n["ways"].items():
                chosen = ", ".join(
                    f"{name} {value:g}" if not isinstance(value, str) else value
                    for name, value in n["chosen"].get(way, {}).items()
                )
                rows.append([
                    target.name, target.unit or "none", given, n["n_objects"], n["n_fit"],
                    WAYS[way][0], *(cells[m.name] for m in measures),
                    n["differences"].get(f"{way} - trees", {}).get(measures[0].name),
                    chosen or None,
                ])  # fmt: skip
    return Table(heading, rows)


def _add_truth(section: Section, told: Sequence[Answers]) -> None:
    rows = []
    for each in told:
        for way in shown_ways(each):
            error = each.told[way] - each.case.truth
            rows.append([each.case.target.name, each.case.target.unit or "none", each.case.given,
                         WAYS[way][0], len(error), float(error.mean()), robust_sigma(error),
                         float(abs(error).max())])  # fmt: skip
    section.add_figure(
        plot_truth(told), "truth",
        "Told against measured, from the most modalities that enough objects have; thin lines: "
        "the model's 68 % interval.",
        "Points should follow the dashed line. A way that knows little tells values near the "
        "middle of the labels whatever was measured: a flat cloud.",
        Table(["target", "unit", "given", "way", "objects", "mean error (unit)",
               "68 % half-range (unit)", "largest |error| (unit)"], rows),
    )  # fmt: skip


def _add_classes(section: Section, found: Answers, numbers: Mapping[str, Any]) -> None:
    classes, counts = found.case.target.classes, numbers["confusion"]
    rows = [
        [WAYS[way][0], name, *counts[way][i].tolist()]
        for way in found.told
        for i, name in enumerate(classes)
    ]
    section.add_figure(
        plot_classes(found, "probe_mean"), "classes",
        f"{found.case.target.name} from {found.case.given}: objects by class and by the class they "
        "are told to be (left), and the share that is told right by the confidence (right, with "
        "Wilson errors).",
        "Left: all should lie on the diagonal. Right: below the dashed line is too sure, above not "
        "sure enough; the expected calibration error is the mean distance from it, and of few "
        "objects never zero.",
        Table(["way", "class", *(f"told {name}" for name in classes)], rows),
    )  # fmt: skip


def _add_magnitudes(
    section: Section,
    bins: Mapping[Target, Sequence[Mapping[str, Any]]],
    given: Mapping[Target, str],
    magnitude: str,
) -> None:
    rows = [
        [target.name, given[target], measure_label(measure, target), b["low"], b["high"], b["n"],
         WAYS[way][0], cell]
        for target, each in bins.items()
        for measure in MEASURES[target.role][:1]
        for b in each
        for way, cell in b["ways"].items()
    ]  # fmt: skip
    name = f"{magnitude} (mag)"
    section.add_figure(
        plot_magnitudes(bins, given, name), "magnitude",
        f"The first measure against {magnitude}, from the combination with the most labels, in "
        "bins of equally many objects, with bootstrap errors.",
        "Faint sources are harder for all; where ways part with the magnitude, one of them is "
        "misled by noise.",
        Table(["target", "given", "measure", f"from {name}", f"to {name}", "objects", "way",
               "value"], rows),
    )  # fmt: skip


def _add_curves(section: Section, curved: Sequence[Answers]) -> None:
    section.add_figure(
        plot_curves(curved), "labels",
        "The first measure after so many labels, from the combination with the most of them; error "
        "bars: the scatter over draws of labels. Dashed: the model's own prediction, which saw all "
        "labels of its training split as tokens, and the constant.",
        "Embeddings pay where probes are good after few labels. The model's line is no few-label "
        "result.",
        Table(["target", "given", "way", "labels", "draws", "first measure (error: over draws)"],
              [row for each in curved for row in curve_rows(each)]),
    )  # fmt: skip


def _add_calibration(section: Section, answers: Sequence[Answers], best: Sequence[Answers]) -> None:
    drawn = [(each, each.calibration) for each in best if each.calibration is not None]
    if not drawn:
        return
    rows = []
    for each in answers:
        if each.calibration is not None:
            n, target = each.calibration.numbers, each.case.target
            shares = [{k: 100 * v for k, v in n["coverage"][str(p)].items()} for p in LEVELS]
            rows.append([target.name, target.unit or "none", each.case.given, len(each.case.score),
                         *shares, n["crps"], n["crps_constant"], n["crps_gain"], n["nll"],
                         n["nll_constant"], n["nll_gain"]])  # fmt: skip
    section.add_figure(
        plot_calibration(drawn), "calibration",
        "The model's predicted distributions against the truth: probability integral transform "
        "(above, with Poisson errors) and coverage of central intervals (below, with Wilson "
        "errors), from the most modalities. CRPS and surprise at the true bin stand in the table, "
        "beside those of the labels' own distribution.",
        "Above, bars should reach the dashed line: high ends are too narrow distributions, a hump "
        "too wide ones, a slope a bias. Below, points under the line are intervals too narrow.",
        Table(["target", "unit", "given", "objects", *(f"inside {p:.0%} (%)" for p in LEVELS),
               "CRPS (unit)", "constant's CRPS (unit)", "CRPS gain (unit)", "surprise (nats)",
               "constant's surprise (nats)", "gain (nats)"], rows),
    )  # fmt: skip
