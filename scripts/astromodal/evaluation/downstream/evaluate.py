"""How well redshifts, stellar parameters and classes are told, by the model and by its rivals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.downstream.calibration import measure_temperatures, temperature_numbers
from astromodal.evaluation.downstream.objects import (
    SCORE,
    TUNE,
    find_objects,
    find_roles,
    find_targets,
    read_features,
)
from astromodal.evaluation.downstream.predictions import Answers, Source
from astromodal.evaluation.downstream.section import add_headlines, add_notes, add_numbers
from astromodal.evaluation.downstream.section_figures import add_figures
from astromodal.evaluation.downstream.tasks import most_labelled, sample_tasks
from astromodal.evaluation.held_out import EvaluatedField, described
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.vocabulary import check_hashes


def evaluate_downstream(
    fields: Sequence[EvaluatedField],
    scored: Collection[str],
    labelled: Collection[str],
    model: AstroModel,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Tell labels of unseen objects by the model, by probes of its embeddings, and by rivals.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        With the files ``cube`` and ``sequences``: those to score on and those to learn from.
    scored, labelled : collection of str
        Which are which; some may be both. Labels to learn from are those of the training split,
        labels to tune by those of the validation split.
    model : AstroModel
        The trained model.
    evaluation : EvaluationSettings
        Labels, objects and labels at most, combinations, curves, seed.
    columns : ColumnSettings
        Columns that identify a source.
    figures : path
        Folder to write the figures into.
    progress : Progress
        Shows how many fields and combinations are done.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    section = Section("downstream", "Redshifts, stars and classes", Path(figures))
    bundle, labels, seed = model.bundle, evaluation.labels, evaluation.seed
    sequences = SequenceSet([field.files["sequences"] for field in fields], bundle.layout)
    first = sequences.stores[0]  # all others have the same tokenizers
    check_hashes(bundle.trained.vocabulary, first.tokenizer_hashes, str(first.path))
    roles = find_roles(fields, sequences, scored, labelled)
    section.summary = _summary(fields, scored, labelled, evaluation)
    seen = [i for i, name in enumerate(model.columns) if name not in labels.hidden]
    coder = model.tokenizers.scalar
    objects = find_objects(fields, sequences, roles, coder, seen, labels, columns, progress)
    targets = find_targets(objects, labels, section.notes)
    cases = sample_tasks(objects, targets, evaluation, section.notes)
    names = [model.columns[i] for i in seen]
    readable = [case for case in cases if SCALAR in case.given.split("+")]
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *(c.objects for c in readable)]))
    raw = read_features(fields, sequences, objects.number[rows], names, columns, progress)
    source = Source(model, sequences, objects.number, names, rows, raw)
    curved = most_labelled(cases)
    answers: list[Answers] = []
    combinations = list(dict.fromkeys(case.given for case in cases))
    for given in progress(combinations, len(combinations), "combinations of modalities"):
        own = [case for case in cases if case.given == given]
        answers += source.answers(own, curved, evaluation, section.notes)
    budget, most = model.settings.token_budget, evaluation.max_objects
    validation, unseen = (
        measure_temperatures(
            bundle, sequences, np.flatnonzero(roles == role), most, seed, budget, progress
        )
        for role in (TUNE, SCORE)
    )
    section.numbers["temperature"] = temperature_numbers(validation, unseen, seed)
    found = add_numbers(section, answers, objects.magnitude, seed)
    add_headlines(section, answers, found)
    add_notes(section, answers, found, labels.magnitude)
    with styled():
        add_figures(section, answers, found, labels.magnitude or "")
    return section.as_dict()


def _summary(
    fields: Sequence[EvaluatedField],
    scored: Collection[str],
    labelled: Collection[str],
    evaluation: EvaluationSettings,
) -> str:
    asked = evaluation.downstream
    sections = ", ".join(f"{fraction:.3g}" for fraction in asked.label_fractions)
    hidden = ", ".join(evaluation.labels.hidden) or "none"
    return (
        "Labels of unseen objects, told by the model's own prediction (the median of its "
        "distribution), by linear probes of its embeddings (the mean of the states of all tokens, "
        "or weighted by the last one's attention), and by rivals that see the raw scalars alone: "
        "gradient-boosted trees, nearest neighbours, and a constant. Scored on "
        f"{described([f for f in fields if f.name in scored])}, at most "
        f"{evaluation.max_objects:,} objects a target and combination. Probes and rivals learn "
        f"from the same labels, at most {asked.max_labels:,} of the training split of "
        f"{len(labelled)} training fields, and are tuned by those of its validation split, each "
        "over a grid of its own; the model saw all labels of its training split as tokens. Curves "
        f"are made of these parts of the labels: {parts}; {asked.label_draws} draws of each. "
        f"Never given to anything: {hidden}. Errors are bootstrap errors over objects, which are "
        "too small where objects of one field are alike."
    )
