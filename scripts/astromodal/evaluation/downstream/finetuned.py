"""The section on fine-tuned models: each predicts its label, beside probes and baselines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astromodal.data.labels import LabelReader
from astromodal.evaluation.context import EvaluationContext, check_ids, described
from astromodal.evaluation.downstream.evaluate import add_headline
from astromodal.evaluation.downstream.figures import add_figures
from astromodal.evaluation.downstream.measures import TaskNumbers
from astromodal.evaluation.downstream.predictions import (
    Predictions,
    Predictor,
    most_modalities,
)
from astromodal.evaluation.downstream.sample import (
    UNUSED,
    LabelledObjects,
    assign_roles,
    modalities_of,
    read_raw_scalars,
)
from astromodal.evaluation.downstream.tasks import Target, most_labelled, sample_tasks
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.tokenizers import check_hashes


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
        "baselines, are fitted to the same labels; trees and nearest neighbours use raw scalars, "
        "the neural network codes of scalars. All are scored on "
        f"{described([f for f in context.fields if f.name in scored])}, at most "
        f"{evaluation.max_objects:,} objects per combination of modalities, and see no column that "
        "reveals the label. Errors are bootstrap errors over objects."
    )
    predictions, magnitudes = list[Predictions](), list[np.ndarray]()
    for name, folder in context.progress(list(models.items()), len(models), "labels"):
        model = AstroModel.from_run(folder, context.device or "cpu", context.settings.predict)
        section.hashes[f"model of {name}"] = model.hash
        own, magnitude = _evaluate_label(context, name, model, scored, labelled, section.notes)
        predictions += own
        magnitudes += [magnitude] * len(own)
    measured: dict[Target, dict[str, TaskNumbers]] = {}
    for each, magnitude in zip(predictions, magnitudes, strict=True):
        numbers = each.measure(magnitude, evaluation.seed)
        measured.setdefault(each.task.target, {})[each.task.given] = numbers
    section.numbers = FinetunedNumbers({target.name: own for target, own in measured.items()})
    for target, each in most_modalities(predictions).items():
        add_headline(section, each.task, measured[target][each.task.given])
    if predictions:
        with styled():
            add_figures(section, predictions, measured, evaluation.labels.magnitude or "")
    return section


def _evaluate_label(
    context: EvaluationContext,
    name: str,
    model: AstroModel,
    scored: Collection[str],
    labelled: Collection[str],
    notes: list[str],
) -> tuple[list[Predictions], np.ndarray]:
    """Predict one label by every method; return the magnitudes of its objects, too."""
    evaluation, fitted = context.settings.evaluation, model.bundle.label
    hidden, classes = ((), ()) if fitted is None else (fitted.label.hidden, fitted.label.classes)
    sequences = SequenceSet([f.files["sequences"] for f in context.fields], model.bundle.layout)
    first = sequences.stores[0]  # all others have the same tokenizers
    check_hashes(model.bundle.trained.vocabulary, first.tokenizer_hashes, str(first.path))
    usable = [i for i, column in enumerate(model.columns) if column not in hidden]
    roles = assign_roles(context.fields, sequences, scored, labelled)
    objects, target = _read(context, name, classes, sequences, roles, usable)
    tasks = sample_tasks(objects, {target: objects.values[name]}, evaluation, notes)
    names = [model.columns[i] for i in usable]
    with_scalars = [task.objects for task in tasks if SCALAR in task.given.split("+")]
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *with_scalars]))
    raw = read_raw_scalars(context, sequences, objects.number[rows], names)
    predictor = Predictor(model, sequences, objects.number, names, rows, raw)
    predictions: list[Predictions] = []
    for given in dict.fromkeys(task.given for task in tasks):
        own = [task for task in tasks if task.given == given]
        predictions += predictor.predict(own, most_labelled(tasks), evaluation, notes)
    return predictions, objects.magnitude


def _read(
    context: EvaluationContext,
    name: str,
    classes: Collection[str],
    sequences: SequenceSet,
    roles: np.ndarray,
    usable: Sequence[int],
) -> tuple[LabelledObjects, Target]:
    """Read the objects that have the label, with classes as numbers, and describe the label.

    `classes` are those that the model knows.
    """
    settings, parts = context.settings, list[tuple[np.ndarray, ...]]()
    source, magnitude = settings.finetune.labels[name], settings.evaluation.labels.magnitude
    reader, start = LabelReader(name, source), 0
    for field, store in zip(context.fields, sequences.stores, strict=True):
        cube = field.open(settings.columns)
        check_ids(cube.ids(), store.row, store.ids(), store.path)
        values, _ = reader.read(cube, store.row)
        known = values != "" if values.dtype.kind == "U" else np.isfinite(values)
        kept = np.flatnonzero(known & (roles[start : start + len(store)] != UNUSED))
        light = np.full(cube.n_rows, np.nan) if magnitude is None else cube.scalar(magnitude)
        parts.append((start + kept, values[kept], light[store.row][kept]))
        start += len(store)
    number, values, light = (np.concatenate(each) for each in zip(*parts, strict=True))
    target = Target(name, "stellar", own_unit=source.unit or "")
    if values.dtype.kind == "U":
        every = np.unique([*values.tolist(), *classes])
        target = Target(name, "class", tuple(every.tolist()))
        values = np.searchsorted(every, values)
    elif source.column is not None and source.column == settings.evaluation.labels.redshift:
        target = replace(target, role="redshift")
    objects = LabelledObjects(
        number,
        roles[number],
        modalities_of(sequences, number, usable),
        {name: values.astype(np.float64)},
        np.full(len(number), ""),
        light,
        frozenset(),
    )
    return objects, target
