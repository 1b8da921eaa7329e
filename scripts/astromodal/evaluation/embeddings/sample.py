"""Embeddings of held-out objects, and their labels, which the model was not given."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.evaluation.context import (
    EvaluatedField,
    ModelContext,
    check_ids,
    check_scalars,
    cosmological,
    eligible_objects,
    has_class,
    read_kinds,
    sample_rows,
)
from astromodal.inference.encode import Encoded
from astromodal.inference.model import AstroModel
from astromodal.sequences.layout import IMAGE, SCALAR


@dataclass(frozen=True)
class Sample:
    """Embedded objects of several fields.

    Attributes
    ----------
    fields : sequence of EvaluatedField
        The fields.
    vectors : float32 (n, D)
        Embeddings.
    field : int64 (n,)
        Place in `fields`.
    row : int64 (n,)
        Row in the field's cube.
    ids : unicode (n,)
        Identifiers.
    blocks : uint32 (n,)
        Bit b is set if the object has a block of token type b.
    modalities : unicode (n,)
        Modalities in words: ``scalar + image + spectrum`` or fewer.
    kind : unicode (n,)
        Class; empty where unknown.
    redshift : float64 (n,)
        Spectroscopic redshift; NaN where it is unknown or measures no distance.
    magnitude : float64 (n,)
        mag; NaN where unknown.
    """

    fields: Sequence[EvaluatedField]
    vectors: np.ndarray
    field: np.ndarray
    row: np.ndarray
    ids: np.ndarray
    blocks: np.ndarray
    modalities: np.ndarray
    kind: np.ndarray
    redshift: np.ndarray
    magnitude: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, modality: str) -> np.ndarray:
        """Return which objects have a modality, bool (n,)."""
        return np.char.find(self.modalities, modality) >= 0


def sample_embeddings(context: ModelContext) -> Sample:
    """Sample held-out objects and embed them from everything but the labels.

    Parameters
    ----------
    context : ModelContext
        Its fields have the files ``cube`` and ``sequences``.

    Raises
    ------
    FormatError
        Where sequences are not those of the cube as it is now.
    """
    model, evaluation = context.model, context.settings.evaluation
    opened = [model.open(f.files["sequences"]) for f in context.fields]
    eligible = [
        eligible_objects(objects.sequences, [f])
        for objects, f in zip(opened, context.fields, strict=True)
    ]
    sampled = sample_rows(eligible, evaluation.max_objects, evaluation.seed)
    given = names_to_give(model, evaluation.labels.hidden)
    samples = [_empty_sample(context)]
    for i in context.progress(range(len(context.fields)), len(context.fields), "fields"):
        objects = opened[i][sampled[i]]
        if len(objects):
            vectors = model.embed(objects, context.settings.predict.pooling, given)
            samples.append(_sample_field(context, i, objects, vectors))
    names = [f.name for f in dataclasses.fields(Sample) if f.name != "fields"]
    joined = {name: np.concatenate([getattr(s, name) for s in samples]) for name in names}
    return Sample(context.fields, **joined)


def names_to_give(model: AstroModel, hidden: Collection[str]) -> list[str]:
    """Return all blocks and columns that a model takes, without the hidden columns."""
    blocks = [block.name for block in model.bundle.layout.blocks if block.name != SCALAR]
    return [*blocks, *(name for name in model.columns if name not in hidden)]


def _sample_field(
    context: ModelContext, number: int, objects: Encoded, vectors: np.ndarray
) -> Sample:
    """Return the sample of some objects of one field, with their labels from its cube."""
    evaluated, labels = context.fields[number], context.settings.evaluation.labels
    cube, row = evaluated.open(context.settings.columns), objects.row.astype(np.int64)
    check_ids(cube.ids(), row, objects.ids, evaluated.files["sequences"])
    check_scalars(cube, objects, context.model.tokenizers.scalar)
    unknown = np.full(len(row), np.nan)
    kind = read_kinds(cube, labels)[row]
    redshift = cube.scalar(labels.redshift)[row] if labels.redshift else unknown
    magnitude = cube.scalar(labels.magnitude)[row] if labels.magnitude else unknown
    return Sample(
        fields=context.fields,
        vectors=vectors,
        field=np.full(len(row), number),
        row=row,
        ids=objects.ids,
        blocks=objects.sequences.pattern[objects.numbers],
        modalities=_modalities(objects),
        kind=np.where(has_class(kind, labels), kind, ""),
        redshift=cosmological(redshift, kind, labels),
        magnitude=magnitude,
    )


def _modalities(objects: Encoded) -> np.ndarray:
    """Return the modalities of objects in words, unicode (n,)."""
    image = np.where(objects.has(IMAGE), " + image", "")
    groups = [objects.has(block.name) for block in objects.layout.groups()]
    spectrum = np.any(groups, axis=0) if groups else np.zeros(len(objects), bool)
    return np.char.add(np.char.add(SCALAR, image), np.where(spectrum, " + spectrum", ""))


def _empty_sample(context: ModelContext) -> Sample:
    """Return a sample without objects."""
    width = context.model.bundle.trained.model.embedding.embedding_dim
    numbers, text = np.empty(0), np.empty(0, "U1")
    return Sample(
        fields=context.fields,
        vectors=np.empty((0, width), np.float32),
        field=np.empty(0, np.int64),
        row=np.empty(0, np.int64),
        ids=text,
        blocks=np.empty(0, np.uint32),
        modalities=text,
        kind=text,
        redshift=numbers,
        magnitude=numbers,
    )
