"""Embeddings of held-out objects with their labels, and how well they tell the field of an object.

The model was not given the labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import recall_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

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
from astromodal.evaluation.metrics import bootstrap_error, measure_fraction
from astromodal.evaluation.report.section import Measurement
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
    alone : float32 (n, D)
        Embeddings from the scalars alone; NaN of an object that has nothing else, or none.
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
    alone: np.ndarray
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
            pooling = context.settings.predict.pooling
            vectors = model.embed(objects, pooling, given)
            alone, more = np.full_like(vectors, np.nan), has_more(objects)
            if more.any():
                scalars = [name for name in given if name in model.columns]
                alone[more] = model.embed(objects[more], pooling, scalars)
            samples.append(_sample_field(context, i, objects, vectors, alone))
    names = [f.name for f in dataclasses.fields(Sample) if f.name != "fields"]
    joined = {name: np.concatenate([getattr(s, name) for s in samples]) for name in names}
    return Sample(context.fields, **joined)


def names_to_give(model: AstroModel, hidden: Collection[str]) -> list[str]:
    """Return all blocks and columns that a model takes, without the hidden columns."""
    blocks = [block.name for block in model.bundle.layout.blocks if block.name != SCALAR]
    return [*blocks, *(name for name in model.columns if name not in hidden)]


def _sample_field(
    context: ModelContext, number: int, objects: Encoded, vectors: np.ndarray, alone: np.ndarray
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
        alone=alone,
        field=np.full(len(row), number),
        row=row,
        ids=objects.ids,
        blocks=objects.sequences.pattern[objects.numbers],
        modalities=_modalities(objects),
        kind=np.where(has_class(kind, labels), kind, ""),
        redshift=cosmological(redshift, kind, labels),
        magnitude=magnitude,
    )


def has_more(objects: Encoded) -> np.ndarray:
    """Return which objects have scalars and another block beside them, bool (n,)."""
    others = [objects.has(block.name) for block in objects.layout.blocks if block.name != SCALAR]
    return np.any(others, axis=0) & objects.has(SCALAR)


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
        alone=np.empty((0, width), np.float32),
        field=np.empty(0, np.int64),
        row=np.empty(0, np.int64),
        ids=text,
        blocks=np.empty(0, np.uint32),
        modalities=text,
        kind=text,
        redshift=numbers,
        magnitude=numbers,
    )


LEAST_OBJECTS = 10
"""Objects that a field must have to be compared."""
_FOLDS, _SHUFFLES, _MOST_FIELDS = 5, 20, 20


@dataclass(frozen=True)
class FieldOffset:
    """One field compared with the others.

    Attributes
    ----------
    objects : int
        Number of its objects.
    recall : Measurement
        Fraction of its objects that the classifier assigns to it.
    squared_offset : Measurement
        Squared distance of its mean from the mean of the others, in units of the variance within
        fields, minus the distance expected from noise alone. 0: no offset; 1: as large as the
        scatter of sources within a field.
    """

    objects: int
    recall: Measurement
    squared_offset: Measurement


@dataclass(frozen=True)
class Offsets:
    """Offsets between fields in the space of embeddings.

    Attributes
    ----------
    balanced_accuracy : Measurement
        Balanced accuracy of a linear classifier of the field, cross-validated, with its bootstrap
        error over objects.
    shuffled : Measurement
        The same for shuffled labels: mean and scatter over the shuffles.
    random : float
        Balanced accuracy of a random guess.
    fields : dict of str to FieldOffset
        The fields that were compared, by name.
    """

    balanced_accuracy: Measurement
    shuffled: Measurement
    random: float
    fields: dict[str, FieldOffset]

    @property
    def excess(self) -> Measurement:
        """Accuracy above that of shuffled labels."""
        error = float(np.hypot(self.balanced_accuracy.error, self.shuffled.error))
        return Measurement(self.balanced_accuracy.value - self.shuffled.value, error)


def field_offsets(
    space: np.ndarray, field: np.ndarray, names: Sequence[str], seed: int
) -> Offsets | None:
    """Classify objects by field, and measure the offsets between fields.

    Parameters
    ----------
    space : float64 (n, C)
        Objects in the space of `embedding_space`.
    field : int64 (n,)
        Number of each object's field.
    names : sequence of str
        Name of each field, by its number.
    seed : int
        Seed of folds, shuffles and the bootstrap.

    Returns
    -------
    Offsets or None
        At most the 20 fields with the most objects; None where fewer than two have enough.
    """
    numbers, counts = np.unique(field, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_MOST_FIELDS]
    fields = np.sort(numbers[most][counts[most] >= LEAST_OBJECTS])
    if len(fields) < 2:
        return None
    used = np.isin(field, fields)
    points, label = space[used], np.searchsorted(fields, field[used])
    n, predicted = len(fields), _predict(points, label, seed)
    rng = np.random.default_rng(seed)
    shuffles = [rng.permutation(label) for _ in range(_SHUFFLES)]
    shuffled = [np.nanmean(_recalls(s, _predict(points, s, seed), n)) for s in shuffles]

    def accuracy(index: np.ndarray) -> float:
        return float(np.nanmean(_recalls(label[index], predicted[index], n)))

    def distance(index: np.ndarray) -> np.ndarray:
        return _distances(points[index], label[index], n)

    def with_error(
        statistic: Callable[[np.ndarray], float | np.ndarray],
    ) -> list[Measurement]:
        values = np.atleast_1d(statistic(np.arange(len(label))))
        errors = np.atleast_1d(bootstrap_error(statistic, len(label), seed))
        return [Measurement(v, e) for v, e in zip(values.tolist(), errors.tolist(), strict=True)]

    offsets = with_error(distance)
    return Offsets(
        balanced_accuracy=with_error(accuracy)[0],
        shuffled=Measurement(float(np.mean(shuffled)), float(np.std(shuffled, ddof=1))),
        random=1 / n,
        fields={
            names[number]: FieldOffset(
                int((label == i).sum()),
                measure_fraction(predicted[label == i] == i),
                offsets[i],
            )
            for i, number in enumerate(fields.tolist())
        },
    )


def select_commonest_blocks(blocks: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Return the objects with the most common set of blocks, bool (n,).

    Only fields with at least `LEAST_OBJECTS` objects of a set count, and there must be two of them.
    Where no set is that common, no object is chosen.
    """
    best, chosen = 0, np.zeros(len(blocks), dtype=bool)
    for pattern in np.unique(blocks):
        same = blocks == pattern
        counts = np.unique(field[same], return_counts=True)[1]
        enough = counts[counts >= LEAST_OBJECTS]
        if len(enough) > 1 and enough.sum() > best:
            best, chosen = int(enough.sum()), same
    return chosen


def _predict(points: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """Predict each object's field with a classifier that was fitted without its fold, (n,)."""
    n = label.max() + 1
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    classifier = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(n, 1 / n)
    )
    return cross_val_predict(classifier, points, label, cv=folds)


def _recalls(label: np.ndarray, predicted: np.ndarray, n: int) -> np.ndarray:
    """Return the recall of each of n fields, float64 (n,); NaN for a field without objects."""
    # A bootstrap sample can lack a field. balanced_accuracy_score leaves it out, with a warning.
    return recall_score(label, predicted, labels=np.arange(n), average=None, zero_division=np.nan)


def _distances(points: np.ndarray, label: np.ndarray, n: int) -> np.ndarray:
    """Return the squared offsets of n fields, as `FieldOffset` defines them, float64 (n,)."""
    count = np.bincount(label, minlength=n).astype(float)
    if (count < 2).any():
        return np.full(n, np.nan)
    total = np.zeros((n, points.shape[1]))
    np.add.at(total, label, points)
    mean = total / count[:, None]
    variance = ((points - mean[label]) ** 2).sum() / (len(points) - n)
    others = (total.sum(axis=0) - total) / (len(points) - count)[:, None]
    noise = variance * (1 / count + 1 / (len(points) - count))
    return (((mean - others) ** 2).sum(axis=1) - noise) / variance
