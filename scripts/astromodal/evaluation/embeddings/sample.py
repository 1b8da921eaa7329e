"""The evaluated objects' embeddings, and what is known of them that was not given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.evaluate import EvaluationSettings, LabelSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress
from astromodal.evaluation.held_out import (
    EvaluatedField,
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
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer


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
        Bit b: the object has a block of token type b.
    modalities : unicode (n,)
        The same in words: ``scalar + image + spectrum`` or part of it.
    kind : unicode (n,)
        What the source is; empty where unknown.
    redshift : float64 (n,)
        Spectroscopic redshift; NaN where it is unknown or tells no distance.
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
        """Which objects have an image, say, bool (n,)."""
        return np.char.find(self.modalities, modality) >= 0


def embed_evaluated(
    model: AstroModel,
    fields: Sequence[EvaluatedField],
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    pooling: str,
    progress: Progress,
) -> Sample:
    """Embed objects that nothing was trained on, from all but what is hidden.

    Parameters
    ----------
    model : AstroModel
        The model.
    fields : sequence of EvaluatedField
        With the files ``cube`` and ``sequences``.
    evaluation : EvaluationSettings
        Labels; objects at most, over all fields, and the seed of their draw.
    columns : ColumnSettings
        Names of a cube's identifying columns.
    pooling : str
        As for `AstroModel.embed`.
    progress : Progress
        Shows how many fields are done.
    """
    found = [model.open(f.files["sequences"]) for f in fields]
    eligible = [eligible_objects(e.sequences, [f]) for e, f in zip(found, fields, strict=True)]
    drawn = sample_rows(eligible, evaluation.max_objects, evaluation.seed)
    given = names_to_give(model, evaluation.labels.hidden)
    sections = []
    for i in progress(range(len(fields)), len(fields), "fields"):
        objects = found[i][drawn[i]]
        if len(objects):
            vectors = model.embed(objects, pooling, given)
            coder = model.tokenizers.scalar
            known = _known(fields[i], objects, coder, evaluation.labels, columns)
            sections.append({"vectors": vectors, "field": np.full(len(objects), i), **known})
    empty = _nothing(model.bundle.trained.model.embedding.embedding_dim)
    joined = {name: np.concatenate([e, *(p[name] for p in sections)]) for name, e in empty.items()}
    return Sample(fields, **joined)


def names_to_give(model: AstroModel, hidden: Collection[str]) -> list[str]:
    """Every block and column that a model can be given, without the hidden columns."""
    blocks = [block.name for block in model.bundle.layout.blocks if block.name != SCALAR]
    return [*blocks, *(name for name in model.columns if name not in hidden)]


def _known(
    evaluated: EvaluatedField,
    objects: Encoded,
    coder: ScalarTokenizer,
    labels: LabelSettings,
    columns: ColumnSettings,
) -> dict[str, np.ndarray]:
    """What is known of some objects of a field; all but `vectors` and `field` of a `Sample`."""
    cube, row = evaluated.open(columns), objects.row.astype(np.int64)
    check_ids(cube.ids(), row, objects.ids, evaluated.files["sequences"])
    check_scalars(cube, objects, coder)
    nothing = np.full(len(row), np.nan)
    kind = read_kinds(cube, labels)[row]
    redshift = cube.scalar(labels.redshift)[row] if labels.redshift else nothing
    magnitude = cube.scalar(labels.magnitude)[row] if labels.magnitude else nothing
    return {
        "row": row,
        "ids": objects.ids,
        "blocks": objects.sequences.pattern[objects.numbers],
        "modalities": _modalities(objects),
        "kind": np.where(has_class(kind, labels), kind, ""),
        "redshift": cosmological(redshift, kind, labels),
        "magnitude": magnitude,
    }


def _modalities(objects: Encoded) -> np.ndarray:
    image = np.where(objects.has(IMAGE), " + image", "")
    groups = [objects.has(block.name) for block in objects.layout.groups()]
    spectrum = np.any(groups, axis=0) if groups else np.zeros(len(objects), bool)
    return np.char.add(np.char.add(SCALAR, image), np.where(spectrum, " + spectrum", ""))


def _nothing(width: int) -> dict[str, np.ndarray]:
    numbers, text = np.empty(0), np.empty(0, "U1")
    return {
        "vectors": np.empty((0, width), np.float32),
        "field": np.empty(0, np.int64),
        "row": np.empty(0, np.int64),
        "ids": text,
        "blocks": np.empty(0, np.uint32),
        "modalities": text,
        "kind": text,
        "redshift": numbers,
        "magnitude": numbers,
    }
