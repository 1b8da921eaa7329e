"""Numbers, headlines and notes of the section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from astromodal.evaluation.downstream.calibration import CHECKED
from astromodal.evaluation.downstream.figures import WAYS
from astromodal.evaluation.downstream.objects import Target
from astromodal.evaluation.downstream.predictions import MODEL, Answers
from astromodal.evaluation.downstream.scores import (
    MEASURES,
    by_magnitude,
    confusion,
    score,
    verdict,
)
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.values import show

BRIGHT = 21.0
PUBLISHED = (
    "S-PLUS' own best photometric redshifts reach σ_NMAD 0.023 and 0.64 % outliers, for galaxies "
    "of 16 < r < 21 (Lima et al. 2022, arXiv:2110.13901)"
)
COMPARED = (MODEL, "probe_mean", "trees")
"""Ways that are set side by side in bins of magnitude."""

Numbers = dict[Target, dict[str, dict[str, Any]]]
"""By target and combination, what `Answers.numbers` gives."""


def fullest(answers: Sequence[Answers]) -> dict[Target, Answers]:
    """Of each target the answers from the most modalities, and among these of the most objects."""
    best: dict[Target, Answers] = {}
    for found in answers:
        before = best.get(found.case.target)
        if before is None or _size(found) > _size(before):
            best[found.case.target] = found
    return best


def add_numbers(
    section: Section, answers: Sequence[Answers], magnitude: np.ndarray, seed: int
) -> Numbers:
    """Add every number of the answers to the part.

    Parameters
    ----------
    part : Part
        Where to add them: ``targets`` by column and combination.
    answers : sequence of Answers
        All answers.
    magnitude : float64 (objects,)
        Magnitude of every object that cases count.
    seed : int
        Seed of bootstrap errors.
    """
    found: Numbers = {}
    for each in answers:
        case, numbers = each.case, each.numbers(seed)
        truth, mine = case.truth, magnitude[case.score]
        if case.target.role == "redshift":
            numbers["bright"] = _bright(each, mine < BRIGHT, seed)
        if case.target.classes:
            numbers["classes"] = case.target.classes
            numbers["confusion"] = {way: confusion(truth, told) for way, told in each.told.items()}
        if each.curves:
            told = {way: each.told[way] for way in COMPARED if way in each.told}
            measure = MEASURES[case.target.role][0]
            numbers["by_magnitude"] = by_magnitude(measure, truth, told, mine, seed)
            numbers["curves"] = {
                way: [vars(point) for point in points] for way, points in each.curves.items()
            }
        found.setdefault(case.target, {})[case.given] = numbers
    section.numbers["targets"] = {target.name: by_given for target, by_given in found.items()}
    return found


def add_headlines(section: Section, answers: Sequence[Answers], found: Numbers) -> None:
    """Add the few numbers at the report's top: redshift, the first stellar parameter, class."""
    chosen = fullest(answers)
    roles: dict[str, Answers] = {}
    for target, each in chosen.items():
        roles.setdefault(target.role, each)
    for each in roles.values():
        _headline(section, each, found[each.case.target][each.case.given])
    checked = [each for each in chosen.values() if each.calibration is not None]
    if checked:
        _coverage(section, max(checked, key=_miss))


def add_notes(
    section: Section, answers: Sequence[Answers], found: Numbers, magnitude: str | None
) -> None:
    """Say what a reader should know before believing a number.

    Parameters
    ----------
    part : Part
        Where to say it; its numbers hold the temperatures.
    answers, found
        All answers, and their numbers.
    magnitude : str, optional
        Column of the magnitude that results are divided by.
    """
    section.notes += _notes_on_sight(answers)
    section.notes += _notes_on_calibration(answers)
    section.notes += _notes_on_redshifts(found, magnitude)
    section.notes += _notes_on_temperatures(section.numbers["temperature"])


def _notes_on_sight(answers: Sequence[Answers]) -> Iterator[str]:
    """Which ways see what."""
    for name in sorted({a.case.target.name for a in answers if a.case.target.classes}):
        yield f"{name} is text, no column of the model: only probes tell it."
    blind = list(dict.fromkeys(a.case.given for a in answers if "trees" not in a.told))
    if blind:
        yield f"Trees and neighbours see scalars only: from {', '.join(blind)} there are none."


def _notes_on_calibration(answers: Sequence[Answers]) -> Iterator[str]:
    poor = [
        f"{_percent(a.calibration.numbers['coverage'][str(CHECKED)])} of {a.case.target.name} "
        f"from {a.case.given}"
        for a in answers
        if a.calibration is not None and a.calibration.poor
    ]
    if poor:
        yield f"Calibration is poor: the model's {CHECKED:.0%} intervals hold {', '.join(poor)}."


def _notes_on_redshifts(found: Numbers, magnitude: str | None) -> Iterator[str]:
    """What the model was not told, and the published numbers beside ours."""
    for target, cases in found.items():
        if target.role != "redshift":
            continue
        if any(MODEL in numbers["ways"] for numbers in cases.values()):
            yield (
                f"The model learned {target.name} of every object that has it. It is not told that "
                "those scored here are no known stars, as all labels of probes and rivals are."
            )
        if magnitude is not None:
            ours = "; ".join(_bright_text(given, n["bright"]) for given, n in cases.items())
            yield (
                f"{PUBLISHED}. Here, of objects at {magnitude} < {BRIGHT:g} that are no known "
                f"stars, quasars among them: {ours}."
            )


def _bright_text(given: str, bright: Mapping[str, Any]) -> str:
    told = [
        f"{WAYS[way][0]} {show(bright[way]['sigma_nmad'])} and {_percent(bright[way]['outliers'])}"
        for way in COMPARED
        if way in bright
    ]
    return f"from {given} ({bright['n']} objects) {', '.join(told) or 'nothing'}"


def _notes_on_temperatures(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for modality, n in found.items():
        if n["edge"]:
            yield f"The temperature of {modality} is the end of the range that was tried."
        if not n["helps"]:
            yield (
                f"Temperature {show(n['temperature'])}, fitted on the validation split, does not "
                f"help with codes of modality {modality}: {show(n['gain'])} nats a code."
            )


def _size(found: Answers) -> tuple[int, int]:
    return found.case.given.count("+"), len(found.case.score)


def _bright(found: Answers, bright: np.ndarray, seed: int) -> dict[str, Any]:
    """σ_NMAD and outliers of the objects at r < 21."""
    out: dict[str, Any] = {"n": int(bright.sum())}
    if out["n"] >= 2:
        truth = found.case.truth[bright]
        for way, told in found.told.items():
            measures = (m for m in MEASURES["redshift"] if m.name in ("sigma_nmad", "outliers"))
            out[way] = {m.name: score(m, truth, told[bright], seed) for m in measures}
    return out


def _headline(section: Section, found: Answers, numbers: Mapping[str, Any]) -> None:
    target, given = found.case.target, found.case.given
    measure = MEASURES[target.role][0]
    way = next(way for way in (MODEL, "probe_mean") if way in found.told)
    rival = "trees" if "trees" in found.told else "constant"
    mine = numbers["ways"][way]
    paired = numbers["differences"][f"{way} - {rival}"]
    note = f"from {given}, {numbers['n_objects']} objects"
    for m in MEASURES[target.role]:
        if m.shown:
            other = numbers["ways"][rival][m.name]
            note += f"; {m.label} {show(mine[m.name])}, {WAYS[rival][0]} {show(other)}"
            note += f", paired difference {show(paired[m.name])}"
    mine = mine[measure.name]
    section.add_headline(
        f"{target.name}: {measure.label} of the {WAYS[way][0]}", mine.value, mine.error,
        unit=target.unit if measure.scaled else "", note=note,
        verdict=verdict(target.role, paired),
    )  # fmt: skip


def _miss(found: Answers) -> float:
    """How far the coverage of the 68 % interval is off."""
    if found.calibration is None:
        return 0.0
    return abs(found.calibration.numbers["coverage"][str(CHECKED)].value - CHECKED)


def _coverage(section: Section, worst: Answers) -> None:
    if worst.calibration is None:
        return
    cell = worst.calibration.numbers["coverage"][str(CHECKED)]
    section.add_headline(
        f"Coverage of the model's {CHECKED:.0%} intervals, worst target",
        100 * cell.value, 100 * cell.error, unit="%",
        note=f"{worst.case.target.name} from {worst.case.given}, {len(worst.case.score)} objects",
        verdict="bad" if worst.calibration.poor else "good",
    )  # fmt: skip


def _percent(cell: Mapping[str, float]) -> str:
    return f"{show({name: 100 * value for name, value in cell.items()})} %"
