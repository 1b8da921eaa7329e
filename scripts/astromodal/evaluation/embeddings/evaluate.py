"""The evaluation of the embeddings, from sequences and cubes to the report's section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.embeddings.retrieval import retrieve
from astromodal.evaluation.embeddings.sample import Sample, embed_evaluated
from astromodal.evaluation.embeddings.section import (
    add_agreement,
    add_map,
    add_offsets,
    add_retrieval,
)
from astromodal.evaluation.embeddings.space import embedding_space, plane
from astromodal.evaluation.objects import EvaluatedField, described, listed
from astromodal.evaluation.parts import Part
from astromodal.evaluation.style import styled
from astromodal.inference.model import AstroModel


def evaluate_embeddings(
    model: AstroModel,
    fields: Sequence[EvaluatedField],
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    pooling: str,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Embed unseen objects from all that is not hidden, and see what neighbours have in common.

    Parameters
    ----------
    model : AstroModel
        The model.
    fields : sequence of EvaluatedField
        With the files ``cube`` and ``sequences``; of fields that trained, the test split is used.
    evaluation : EvaluationSettings
        Labels; objects at most, queries that are shown, seed.
    columns : ColumnSettings
        Names of a cube's identifying columns.
    pooling : str
        As for `AstroModel.embed`.
    figures : path
        Folder to write the figures into.
    progress : Progress
        Shows how many fields are done.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    part = Part("embeddings", "Embeddings", Path(figures))
    seed, labels = evaluation.seed, evaluation.labels
    sample = embed_evaluated(model, fields, evaluation, columns, pooling, progress)
    part.numbers = {"n_objects": len(sample), "pooling": pooling, "seed": seed,
                    "weights_hash": model.hash}  # fmt: skip
    part.summary = (
        f"{len(sample)} objects: {described(fields)}. Embedded ({pooling} of the states) from all "
        f"that an object has but {listed(labels.hidden, 12) or 'nothing'}. Distances are those of "
        "the 30 leading principal components of standardised embeddings."
    )
    if len(sample) < 3 or not np.ptp(sample.vectors, axis=0).any():
        why = "all embeddings are equal" if len(sample) >= 3 else "there are fewer than three"
        part.notes.append(f"Nothing is told of {len(sample)} embeddings: {why}.")
        return part.as_dict()
    space = embedding_space(sample.vectors)
    shown = retrieve(sample, space, model.tokenizers.image, columns, evaluation.n_examples, seed)
    with styled():
        add_map(part, sample, *plane(space, seed), labels)
        add_offsets(part, sample, space, _absent(sample, model, columns))
        add_agreement(part, sample, space, labels)
        add_retrieval(part, sample, shown)
    return part.as_dict()


def _absent(sample: Sample, model: AstroModel, columns: ColumnSettings) -> dict[str, int]:
    """How many of the scalar columns that any of the sample's fields has each of them lacks."""
    used = [sample.fields[i] for i in np.unique(sample.field)]
    present = {f.name: f.open(columns).columns & set(model.columns) for f in used}
    every = frozenset().union(*present.values())
    return {name: len(every - found) for name, found in present.items()}
