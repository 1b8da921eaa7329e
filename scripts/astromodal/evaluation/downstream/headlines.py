"""Headlines and notes of the section on labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from astromodal.evaluation.downstream.calibration import CHECKED, TemperatureNumbers
from astromodal.evaluation.downstream.figures import METHODS
from astromodal.evaluation.downstream.measures import (
    BRIGHT,
    COMPARED,
    BrightNumbers,
    Numbers,
    TaskNumbers,
    fullest,
)
from astromodal.evaluation.downstream.predictions import MODEL, TaskPredictions
from astromodal.evaluation.downstream.scores import MEASURES, verdict
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.values import Measurement, show

PUBLISHED = (
    "S-PLUS' own best photometric redshifts reach σ_NMAD 0.023 and 0.64 % outliers, for galaxies "
    "of 16 < r < 21 (Lima et al. 2022, arXiv:2110.13901)"
)


def add_headlines(
    section: Section, predictions: Sequence[TaskPredictions], numbers: Numbers
) -> None:
    """Add the numbers of redshift, the first stellar parameter and class to the report's top."""
    chosen = fullest(predictions)
    roles: dict[str, TaskPredictions] = {}
    for target, each in chosen.items():
        roles.setdefault(target.role, each)
    for each in roles.values():
        _add_score(section, each, numbers[each.task.target][each.task.given])
    _add_coverage(section, list(chosen.values()))


def add_notes(
    section: Section,
    predictions: Sequence[TaskPredictions],
    numbers: Numbers,
    temperatures: Mapping[str, TemperatureNumbers],
    magnitude: str | None,
) -> None:
    """Add what a reader needs to know to judge the numbers.

    Parameters
    ----------
    section : Section
        The section.
    predictions, numbers, temperatures
        All predictions, and their numbers.
    magnitude : str, optional
        Column of the magnitude that results are divided by.
    """
    section.notes += _notes_on_inputs(predictions)
    section.notes += _notes_on_calibration(predictions)
    section.notes += _notes_on_redshifts(numbers, magnitude)
    section.notes += _notes_on_temperatures(temperatures)


def _add_score(section: Section, each: TaskPredictions, numbers: TaskNumbers) -> None:
    """Add the first measure of the model, or of a probe, beside that of a baseline."""
    target, measures = each.task.target, MEASURES[each.task.target.role]
    method = next(name for name in (MODEL, "probe_mean") if name in each.predicted)
    baseline = "trees" if "trees" in each.predicted else "constant"
    own, paired = numbers.methods[method], numbers.differences[f"{method} - {baseline}"]
    note = f"from {each.task.given}, {numbers.n_objects} objects"
    for m in measures:
        if m.shown:
            other = numbers.methods[baseline][m.name]
            note += f"; {m.label} {show(own[m.name])}, {METHODS[baseline].label} {show(other)}"
            note += f", paired difference {show(paired[m.name])}"
    first = measures[0]
    section.add_headline(
        f"{target.name}: {first.label} of the {METHODS[method].label}",
        replace(own[first.name], unit=target.unit if first.scaled else ""),
        note=note,
        verdict=verdict(target.role, paired),
    )


def _add_coverage(section: Section, predictions: Sequence[TaskPredictions]) -> None:
    """Add the coverage of the target whose intervals are worst."""
    calibrated = [
        (each, each.calibration.numbers) for each in predictions if each.calibration is not None
    ]
    if not calibrated:
        return
    worst, numbers = max(calibrated, key=lambda pair: abs(pair[1].checked.value - CHECKED))
    section.add_headline(
        f"Coverage of the model's {CHECKED:.0%} intervals, worst target",
        numbers.checked.scaled(100, "%"),
        note=f"{worst.task.target.name} from {worst.task.given}, {len(worst.task.score)} objects",
        verdict="bad" if numbers.poor else "good",
    )


def _notes_on_inputs(predictions: Sequence[TaskPredictions]) -> Iterator[str]:
    """Yield which methods can use which inputs."""
    for name in sorted({p.task.target.name for p in predictions if p.task.target.classes}):
        yield f"{name} is text, not a column of the model, so only probes predict it."
    blind = list(dict.fromkeys(p.task.given for p in predictions if "trees" not in p.predicted))
    if blind:
        yield f"Trees and neighbours use scalars only, so there are none from {', '.join(blind)}."


def _notes_on_calibration(predictions: Sequence[TaskPredictions]) -> Iterator[str]:
    poor = [
        f"{_percent(p.calibration.numbers.checked)} of {p.task.target.name} from {p.task.given}"
        for p in predictions
        if p.calibration is not None and p.calibration.numbers.poor
    ]
    if poor:
        yield f"Calibration is poor: the model's {CHECKED:.0%} intervals hold {', '.join(poor)}."


def _notes_on_redshifts(numbers: Numbers, magnitude: str | None) -> Iterator[str]:
    """Yield what the model does not know of the labels, and published numbers beside ours."""
    for target, by_given in numbers.items():
        if target.role != "redshift":
            continue
        if any(MODEL in own.methods for own in by_given.values()):
            yield (
                f"The model was trained on {target.name} of all objects that have it, stars "
                "included. Labels of probes and baselines, and the objects scored here, exclude "
                "known stars."
            )
        if magnitude is not None:
            ours = "; ".join(
                _bright_text(given, own.bright) for given, own in by_given.items() if own.bright
            )
            yield (
                f"{PUBLISHED}. Here, for objects with {magnitude} < {BRIGHT:g} that are no known "
                f"stars, quasars among them: {ours}."
            )


def _bright_text(given: str, bright: BrightNumbers) -> str:
    scores = [
        f"{METHODS[name].label} {show(bright.methods[name]['sigma_nmad'])} and "
        f"{_percent(bright.methods[name]['outliers'])}"
        for name in COMPARED
        if name in bright.methods
    ]
    return f"from {given} ({bright.n} objects) {', '.join(scores) or 'nothing'}"


def _notes_on_temperatures(temperatures: Mapping[str, TemperatureNumbers]) -> Iterator[str]:
    for modality, n in temperatures.items():
        if n.edge:
            yield f"The temperature of {modality} is the end of the range that was tried."
        if not n.helps:
            yield (
                f"Temperature {show(n.temperature)}, fitted on the validation split, does not "
                f"help with codes of modality {modality}: {show(n.gain)} nats per code."
            )


def _percent(fraction: Measurement) -> str:
    return f"{show(fraction.scaled(100))} %"
