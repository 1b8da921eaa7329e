"""The section on fine-tuned models: each predicts its label, beside probes and baselines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astromodal.data.labels import LabelReader, LabelValues
from astromodal.evaluation.context import EvaluationContext, described
from astromodal.evaluation.downstream.evaluate import (
    ON_ERRORS,
    ON_MEASURED,
    add_headline,
    predict_tasks,
)
from astromodal.evaluation.downstream.figures import add_figures
from astromodal.evaluation.downstream.numbers import TaskNumbers
from astromodal.evaluation.downstream.parts_figures import add_part_figures
from astromodal.evaluation.downstream.predictions import (
    Predictions,
    most_modalities,
)
from astromodal.evaluation.downstream.sample import (
    UNUSED,
    LabelledObjects,
    assign_roles,
    field_names,
    leave_trained_cells,
    modalities_of,
    read_cells,
)
from astromodal.evaluation.downstream.tasks import Target, sample_tasks
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.inference.encode import open_sequences
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet


@dataclass(frozen=True)
class FinetunedNumbers:
    """Numbers of the section.

    Attributes
    ----------
    labels : dict of str to dict of str to TaskNumbers
        By label and combination of modalities.
    """

    labels: dict[str, dict[str, TaskNumbers]]


def evaluate_finetuned(
    context: EvaluationContext,
    models: Mapping[str, Path],
    scored: Collection[str],
    labelled: Collection[str],
) -> Section:
    """Compare labels of held-out objects with predictions of fine-tuned models and of baselines.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the files ``cube`` and ``sequences``; they are those to score on and those
        to take labels from.
    models : mapping of str to path
        Folders of the fine-tuned models by label.
    scored, labelled : collection of str
        Names of the fields to score on and of those that models and baselines are fitted to; some
        may be both.

    Returns
    -------
    Section
        The section, with `FinetunedNumbers`.

    Raises
    ------
    FormatError
        Where sequences are of other tokenizers than the models, or of another cube.
    """
    section = Section("finetuned", "Fine-tuned models", context.figures)
    evaluation = context.settings.evaluation
    section.summary = (
        "Each model was fine-tuned from the trained one to a label, by the labels of the training "
        "split, and stopped by those of the validation split. Probes of its embeddings, and "
        f"baselines, are fitted to the same labels. {ON_MEASURED} Another neural network uses "
        "codes of scalars. All are scored on "
        f"{described([f for f in context.fields if f.name in scored])}, at most "
        f"{evaluation.max_objects:,} objects per combination of modalities, and see no column that "
        f"reveals the label. {ON_ERRORS}"
    )
    predictions = list[Predictions]()
    measured: dict[Target, dict[str, TaskNumbers]] = {}
    for name, folder in context.progress(list(models.items()), len(models), "labels"):
        model = AstroModel.from_run(folder, context.device or "cpu", context.settings.predict)
        section.hashes[f"model of {name}"] = model.hash
        own, objects = _evaluate_label(context, name, model, scored, labelled, section.notes)
        predictions += own
        for each in own:
            numbers = each.measure(objects, evaluation.seed)
            measured.setdefault(each.task.target, {})[each.task.given] = numbers
    section.numbers = FinetunedNumbers({target.name: own for target, own in measured.items()})
    for target, each in most_modalities(predictions).items():
        add_headline(section, each.task, measured[target][each.task.given])
    if predictions:
        with styled():
            add_figures(section, predictions, measured)
            add_part_figures(section, predictions, measured, evaluation.labels.magnitude or "")
    return section


def _evaluate_label(
    context: EvaluationContext,
    name: str,
    model: AstroModel,
    scored: Collection[str],
    labelled: Collection[str],
    notes: list[str],
) -> tuple[list[Predictions], LabelledObjects]:
    """Predict one label by every method; return its objects, too."""
    evaluation, label = context.settings.evaluation, model.bundle.fitted_label.label
    paths = [field.files["sequences"] for field in context.fields]
    sequences = open_sequences(paths, model.bundle).sequences
    usable = [i for i, column in enumerate(model.columns) if column not in label.hidden]
    cells, names = read_cells(context, sequences), field_names(context.fields, sequences)
    roles = assign_roles(context.fields, sequences, scored, labelled)
    roles = leave_trained_cells(roles, cells, names, notes)
    objects, target = _read(context, name, label.classes, sequences, roles, cells, usable)
    tasks = sample_tasks(objects, {target: objects.values[name]}, evaluation, notes)
    columns = [model.columns[i] for i in usable]
    predictions = predict_tasks(context, model, sequences, objects, tasks, columns, notes)
    return predictions, objects


def _read(
    context: EvaluationContext,
    name: str,
    classes: Collection[str],
    sequences: SequenceSet,
    roles: np.ndarray,
    cells: np.ndarray,
    usable: Sequence[int],
) -> tuple[LabelledObjects, Target]:
    """Read the objects that have the label, with classes as numbers, and describe the label.

    `classes` are those that the model knows.
    """
    settings, start = context.settings, 0
    source, magnitude = settings.finetune.labels[name], settings.evaluation.labels.magnitude
    reader, labels = LabelReader(name, source), list[LabelValues]()
    numbers, magnitudes = list[np.ndarray](), list[np.ndarray]()
    for field, store in zip(context.fields, sequences.stores, strict=True):
        cube = field.open(settings.columns)
        own = reader.read(cube, store.row)
        kept = np.flatnonzero(own.known & (roles[start : start + len(store)] != UNUSED))
        light = np.full(cube.n_rows, np.nan) if magnitude is None else cube.scalar(magnitude)
        labels.append(own[kept])
        numbers.append(start + kept)
        magnitudes.append(light[store.row][kept])
        start += len(store)
    label, number = LabelValues.joined(labels), np.concatenate(numbers)
    target, values = Target.number(name, label.unit), label.values
    if label.are_classes:
        every = np.unique([*values.tolist(), *classes])
        target = Target(name, "class", tuple(every.tolist()))
        values = np.searchsorted(every, values)
    elif source.column is not None and source.column == settings.evaluation.labels.redshift:
        target = replace(target, role="redshift", stars=True)
    objects = LabelledObjects(
        number=number,
        role=roles[number],
        has=modalities_of(sequences, number, usable),
        values={name: values.astype(np.float64)},
        kind=np.full(len(number), ""),
        magnitude=np.concatenate(magnitudes),
        cell=cells[number],
        field=field_names(context.fields, sequences)[number],
        absent=frozenset(),
    )
    return objects, target
