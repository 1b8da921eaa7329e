"""How much an embedding tells of the field that its object was observed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from astromodal.evaluation.metrics import bootstrap_error, fraction_error

LEAST_OBJECTS = 10
"""Objects that a field must have to be compared."""
_FOLDS, _SHUFFLES, _MOST_FIELDS = 5, 20, 20


@dataclass(frozen=True)
class Offsets:
    """Fields told apart.

    Attributes
    ----------
    fields : int64 (F,)
        Numbers of the fields that were compared.
    count : int64 (F,)
        Objects of each.
    accuracy : (float, float)
        Balanced accuracy of a linear classifier of the field, cross-validated, and its bootstrap
        error over objects.
    shuffled : (float, float)
        The same of labels that were shuffled, mean and scatter over the shuffles.
    recall : float64 (F, 2)
        Share of each field's objects that are told to be of it, and Wilson error.
    distance : float64 (F, 2)
        Squared distance of each field's mean from the mean of the others, in units of the variance
        within fields, less what noise alone gives; and error. 0: no offset; 1: as large as the
        scatter of sources within a field.
    """

    fields: np.ndarray
    count: np.ndarray
    accuracy: tuple[float, float]
    shuffled: tuple[float, float]
    recall: np.ndarray
    distance: np.ndarray

    @property
    def chance(self) -> float:
        """Balanced accuracy of a guess."""
        return 1 / len(self.fields)

    @property
    def excess(self) -> tuple[float, float]:
        """Accuracy above that of shuffled labels, and its error."""
        error = float(np.hypot(self.accuracy[1], self.shuffled[1]))
        return self.accuracy[0] - self.shuffled[0], error


def field_offsets(space: np.ndarray, field: np.ndarray, seed: int) -> Offsets | None:
    """Tell fields apart by their objects' embeddings.

    Parameters
    ----------
    space : float64 (n, C)
        What ``embedding_space`` gave.
    field : int64 (n,)
        Number of each object's field.
    seed : int
        Seed of folds, shuffles and bootstrap draws.

    Returns
    -------
    Offsets or None
        Of the 20 fields with the most objects at most; None where fewer than two have enough.
    """
    numbers, counts = np.unique(field, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_MOST_FIELDS]
    fields = np.sort(numbers[most][counts[most] >= LEAST_OBJECTS])
    if len(fields) < 2:
        return None
    used = np.isin(field, fields)
    points, label = space[used], np.searchsorted(fields, field[used])
    n, told = len(fields), _told(points, label, seed)
    rng = np.random.default_rng(seed)
    shuffles = [rng.permutation(label) for _ in range(_SHUFFLES)]
    chance = [np.nanmean(_recalls(s, _told(points, s, seed), n)) for s in shuffles]

    def accuracy(index: np.ndarray) -> float:
        return float(np.nanmean(_recalls(label[index], told[index], n)))

    def distance(index: np.ndarray) -> np.ndarray:
        return _distances(points[index], label[index], n)

    def with_error(statistic: Callable[[np.ndarray], Any]) -> np.ndarray:
        found = statistic(np.arange(len(label)))
        return np.stack([found, bootstrap_error(statistic, len(label), seed)], axis=-1)

    return Offsets(
        fields=fields,
        count=np.bincount(label),
        accuracy=tuple(with_error(accuracy).tolist()),
        shuffled=(float(np.mean(chance)), float(np.std(chance, ddof=1))),
        recall=np.array([fraction_error(told[label == i] == i) for i in range(n)]),
        distance=with_error(distance),
    )


def most_common(blocks: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Objects that have just the same blocks, bool (n,): the set that most objects have.

    Counted are objects in fields that have at least `LEAST_OBJECTS` of them, of which there must be
    two; where no set of blocks is that common, nothing is chosen.
    """
    best, chosen = 0, np.zeros(len(blocks), dtype=bool)
    for pattern in np.unique(blocks):
        same = blocks == pattern
        counts = np.unique(field[same], return_counts=True)[1]
        enough = counts[counts >= LEAST_OBJECTS]
        if len(enough) > 1 and enough.sum() > best:
            best, chosen = int(enough.sum()), same
    return chosen


def _told(points: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """Each object's field as told by a classifier that was fitted without its fold, int64 (n,)."""
    n = label.max() + 1
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    classifier = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(n, 1 / n)
    )
    return cross_val_predict(classifier, points, label, cv=folds)


def _recalls(label: np.ndarray, told: np.ndarray, n: int) -> np.ndarray:
    """Share of each of n fields' objects that are told rightly; NaN of a field without any."""
    count = np.bincount(label, minlength=n)
    right = np.bincount(label[label == told], minlength=n)
    return np.divide(right, count, out=np.full(n, np.nan), where=count > 0)


def _distances(points: np.ndarray, label: np.ndarray, n: int) -> np.ndarray:
    """Squared distances of fields' means from the other fields', as in `Offsets`, (n,)."""
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
