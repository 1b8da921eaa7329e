"""Ways to tell a target from labelled examples: probes of embeddings, and rivals that see scalars.

Each is tuned on the same labels over a small grid of its own, by squared error on the target's
inward scale or, of classes, by log loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

ALPHAS = tuple(10.0**power for power in range(-2, 6))
INVERSE_PENALTIES = tuple(10.0**power for power in range(-5, 1))
RATES = (0.05, 0.15)
LEAVES = ((7, 5), (31, 20))
"""Leaves of a tree at most, and objects of a leaf at least."""
ITERATIONS = 300
NEIGHBOURS = (3, 10, 30)
WEIGHTS = ("uniform", "distance")
LEAST_CHANCE = 1e-6
"""Chance that log loss gives at least to what a way holds impossible."""


@dataclass(frozen=True)
class Task:
    """Examples of one target.

    Attributes
    ----------
    x : float (n, F)
        What every object is told from.
    y : float64 (n,)
        Its label, on the inward scale, or the number of its class.
    fit, tune, score : int64 (m,)
        Objects to learn from, to tune by, to tell the target of.
    n_classes : int
        0 where the target is a number.
    """

    x: np.ndarray
    y: np.ndarray
    fit: np.ndarray
    tune: np.ndarray
    score: np.ndarray
    n_classes: int = 0


Answer = tuple[np.ndarray, dict[str, Any]]
"""Values (m,) or chances of classes (m, classes) of the scored objects; what tuning chose."""


def probe(task: Task) -> Answer:
    """A linear probe: ridge regression, or logistic regression, of standardised features."""
    if task.n_classes:
        grid: Iterable[tuple[Any, dict[str, Any]]] = (
            (LogisticRegression(C=c, max_iter=5000, tol=1e-3), {"C": c}) for c in INVERSE_PENALTIES
        )
    else:
        grid = ((Ridge(alpha=alpha, solver="svd"), {"alpha": alpha}) for alpha in ALPHAS)
    return _best(task, ((make_pipeline(StandardScaler(), each), said) for each, said in grid))


def neighbours(task: Task) -> Answer:
    """K-nearest neighbours of the ranks of each column, as normal deviates.

    Ranks, for an error of 1e6 would leave a mean and spread nothing to tell. What is missing is put
    at the median, and that it is missing is one more feature.
    """
    kind = KNeighborsClassifier if task.n_classes else KNeighborsRegressor
    task = _known_columns(task)
    ranks = QuantileTransformer(
        n_quantiles=min(1000, len(task.fit)), output_distribution="normal", random_state=0
    )
    fill = SimpleImputer(strategy="median", add_indicator=True)
    pairs = [pair for pair in product(NEIGHBOURS, WEIGHTS) if pair[0] <= len(task.fit)]
    return _best(
        task,
        (
            (make_pipeline(ranks, fill, kind(k, weights=weights)), {"k": k, "weights": weights})
            for k, weights in pairs
        ),
    )


def trees(task: Task) -> Answer:
    """Gradient-boosted trees, which take missing values as they are (Friedman 2001)."""
    kind = HistGradientBoostingClassifier if task.n_classes else HistGradientBoostingRegressor
    task = _known_columns(task)
    found: list[tuple[float, int, dict[str, float], Any]] = []
    for rate, (leaves, least) in product(RATES, LEAVES):
        grown = kind(
            learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=least, max_iter=ITERATIONS,
            early_stopping=False, random_state=0,
        ).fit(task.x[task.fit], task.y[task.fit])  # fmt: skip
        losses = [_loss(told, task.y[task.tune]) for told in _stages(grown, task, task.tune)]
        n = int(np.argmin(losses))
        found.append((losses[n], n, {"learning_rate": rate, "leaves": leaves}, grown))
    _, n, said, grown = min(found, key=lambda each: each[0])
    told = next(islice(_stages(grown, task, task.score), n, None))
    return told, said | {"iterations": n + 1}


def constant(task: Task) -> Answer:
    """The median of the labels, or how often each class occurs among them."""
    model = (
        DummyClassifier(strategy="prior") if task.n_classes else DummyRegressor(strategy="median")
    )
    nothing = np.zeros((len(task.x), 1))
    model.fit(nothing[task.fit], task.y[task.fit])
    return _told(model, nothing[task.score], task.n_classes), {}


LEARNERS: dict[str, Callable[[Task], Answer]] = {
    "probe_mean": probe,
    "probe_attention": probe,
    "trees": trees,
    "neighbours": neighbours,
    "constant": constant,
}
"""Every way that learns from labels, by name."""


def _best(task: Task, grid: Iterable[tuple[Any, dict[str, Any]]]) -> Answer:
    """What the best of some models tells."""
    x, y = task.x[task.fit], task.y[task.fit]
    fitted = [(model.fit(x, y), said) for model, said in grid]
    told = (_told(model, task.x[task.tune], task.n_classes) for model, _ in fitted)
    losses = [_loss(each, task.y[task.tune]) for each in told]
    model, said = fitted[int(np.argmin(losses))]
    return _told(model, task.x[task.score], task.n_classes), said


def _told(model: Any, x: np.ndarray, n_classes: int) -> np.ndarray:
    if not n_classes:
        return np.asarray(model.predict(x), dtype=np.float64)
    return _spread(model.predict_proba(x), model.classes_, n_classes)


def _stages(model: Any, task: Task, rows: np.ndarray) -> Iterator[np.ndarray]:
    """What trees tell after each iteration."""
    if not task.n_classes:
        return iter(model.staged_predict(task.x[rows]))
    staged = model.staged_predict_proba(task.x[rows])
    return (_spread(chances, model.classes_, task.n_classes) for chances in staged)


def _spread(chances: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Chances of all classes; 0 of those that were not among the labels."""
    out = np.zeros((len(chances), n_classes))
    out[:, classes.astype(np.int64)] = chances
    return out


def _loss(told: np.ndarray, y: np.ndarray) -> float:
    """Mean squared error, or log loss."""
    if told.ndim == 1:
        return float(np.mean((told - y) ** 2))
    chance = told[np.arange(len(y)), y.astype(np.int64)]
    return float(-np.log(np.maximum(chance, LEAST_CHANCE)).mean())


def _known_columns(task: Task) -> Task:
    """The task without columns that no example has."""
    known = np.isfinite(task.x[task.fit]).any(axis=0)
    return Task(task.x[:, known], task.y, task.fit, task.tune, task.score, task.n_classes)
