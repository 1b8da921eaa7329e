"""The section on labels: redshifts, stellar parameters and classes of held-out objects."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from astromodal.evaluation.context import ModelContext
from astromodal.evaluation.downstream.calibration import fit_temperatures, measure_temperatures
from astromodal.evaluation.downstream.captions import add_figures
from astromodal.evaluation.downstream.headlines import add_headlines, add_notes
from astromodal.evaluation.downstream.measures import DownstreamNumbers, measure_tasks
from astromodal.evaluation.downstream.objects import (
    SCORE,
    TUNE,
    Objects,
    find_objects,
    find_roles,
    find_targets,
    read_features,
)
from astromodal.evaluation.downstream.predictions import Source, TaskPredictions
from astromodal.evaluation.downstream.tasks import Task, most_labelled, sample_tasks
from astromodal.evaluation.held_out import described
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
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
