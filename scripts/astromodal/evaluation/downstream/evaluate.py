"""The section on labels: redshifts, stellar parameters and classes of held-out objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from astromodal.evaluation.context import ModelContext
from astromodal.evaluation.downstream.calibration import (
    CHECKED,
    TemperatureNumbers,
    fit_temperatures,
    measure_temperatures,
)
from astromodal.evaluation.downstream.captions import add_figures
from astromodal.evaluation.downstream.figures import METHODS
from astromodal.evaluation.downstream.measures import (
    BRIGHT,
    COMPARED,
    BrightNumbers,
    DownstreamNumbers,
    Numbers,
    TaskNumbers,
    fullest,
    measure_tasks,
)
from astromodal.evaluation.downstream.objects import (
    SCORE,
    TUNE,
    Objects,
    find_objects,
    find_roles,
    find_targets,
    read_features,
)
from astromodal.evaluation.downstream.predictions import MODEL, Source, TaskPredictions
from astromodal.evaluation.downstream.scores import MEASURES, verdict
from astromodal.evaluation.downstream.tasks import Task, most_labelled, sample_tasks
from astromodal.evaluation.held_out import described
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import Measurement, show
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.vocabulary import check_hashes


def evaluate_downstream(
    context: ModelContext, scored: Collection[str], labelled: Collection[str]
) -> Section:
    """Predict labels of held-out objects with the model, with probes, and with baselines.

    Parameters
    ----------
    context : ModelContext
        Its fields have the files ``cube`` and ``sequences``: fields to score and fields with
        labels.
    scored, labelled : collection of str
        Names of the fields to score, and of those whose labels are used; a field may be both.
        Methods are fitted on labels of the training split, and tuned on those of the validation
        split.

    Returns
    -------
    Section
        The section, with `DownstreamNumbers`.
    """
    section = Section("downstream", "Redshifts, stars and classes", context.figures)
    model, evaluation = context.model, context.settings.evaluation
    labels, seed = evaluation.labels, evaluation.seed
    section.hashes["transformer"] = model.hash
    section.summary = _summary(context, scored, labelled)
    files = [field.files["sequences"] for field in context.fields]
    sequences = SequenceSet(files, model.bundle.layout)
    first = sequences.stores[0]  # all others have the same tokenizers
    check_hashes(model.bundle.trained.vocabulary, first.tokenizer_hashes, str(first.path))
    roles = find_roles(context.fields, sequences, scored, labelled)
    seen = [i for i, name in enumerate(model.columns) if name not in labels.hidden]
    objects = find_objects(
        context.fields, sequences, roles, model.tokenizers.scalar, seen, labels,
        context.settings.columns, context.progress,
    )  # fmt: skip
    targets = find_targets(objects, labels, section.notes)
    tasks = sample_tasks(objects, targets, evaluation, section.notes)
    names = [model.columns[i] for i in seen]
    source = _open_source(context, sequences, objects, tasks, names)
    predictions = _predict(context, section, source, tasks)
    validation, held_out = (
        measure_temperatures(
            model.bundle, sequences, np.flatnonzero(roles == role), evaluation.max_objects, seed,
            model.settings.token_budget, context.progress,
        )
        for role in (TUNE, SCORE)
    )  # fmt: skip
    temperatures = fit_temperatures(validation, held_out, seed)
    numbers = measure_tasks(predictions, objects.magnitude, seed)
    by_name = {target.name: by_given for target, by_given in numbers.items()}
    section.numbers = DownstreamNumbers(temperatures, by_name)
    add_headlines(section, predictions, numbers)
    add_notes(section, predictions, numbers, temperatures, labels.magnitude)
    with styled():
        add_figures(section, predictions, numbers, temperatures, labels.magnitude or "")
    return section


def _open_source(
    context: ModelContext,
    sequences: SequenceSet,
    objects: Objects,
    tasks: list[Task],
    names: list[str],
) -> Source:
    """Read the raw scalars of all objects that a task with scalars has."""
    readable = [task.objects for task in tasks if SCALAR in task.given.split("+")]
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *readable]))
    raw = read_features(
        context.fields, sequences, objects.number[rows], names, context.settings.columns,
        context.progress,
    )  # fmt: skip
    return Source(context.model, sequences, objects.number, names, rows, raw)


def _predict(
    context: ModelContext, section: Section, source: Source, tasks: list[Task]
) -> list[TaskPredictions]:
    """Predict all tasks, one combination of modalities after another."""
    curved, predictions = most_labelled(tasks), list[TaskPredictions]()
    combinations = list(dict.fromkeys(task.given for task in tasks))
    for given in context.progress(combinations, len(combinations), "combinations of modalities"):
        own = [task for task in tasks if task.given == given]
        predictions += source.predict(own, curved, context.settings.evaluation, section.notes)
    return predictions


def _summary(context: ModelContext, scored: Collection[str], labelled: Collection[str]) -> str:
    evaluation = context.settings.evaluation
    settings = evaluation.downstream
    fractions = ", ".join(f"{fraction:.3g}" for fraction in settings.label_fractions)
    hidden = ", ".join(evaluation.labels.hidden) or "none"
    return (
        "Labels of held-out objects, predicted by the model itself (the median of its "
        "distribution), by linear probes of its embeddings (the mean of the states of all tokens, "
        "or weighted by the attention of the last one), and by baselines on raw scalars alone: "
        "gradient-boosted trees, nearest neighbours, and a constant. They are scored on "
        f"{described([f for f in context.fields if f.name in scored])}, with at most "
        f"{evaluation.max_objects:,} objects per target and combination. Probes and baselines are "
        f"fitted on the same labels, at most {settings.max_labels:,} of the training split of "
        f"{len(labelled)} training fields, and tuned on those of its validation split, each over a "
        "grid of its own. The training of the model used all labels of its training split as "
        f"tokens. Curves use these fractions of the labels: {fractions}; {settings.label_draws} "
        f"samples of each. No method is given: {hidden}. Errors are bootstrap errors over objects; "
        "they are too small where the objects of one field are alike."
    )


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
