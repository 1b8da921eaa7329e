"""Methods that learn a target from labels: probes of embeddings, and baselines on raw scalars.

Each is tuned on the same labels over a small grid of its own: by squared error on the target's
inward scale, and by log loss for classes.
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
"""Largest number of leaves of a tree, and fewest objects of a leaf."""
ITERATIONS = 300
NEIGHBOURS = (3, 10, 30)
WEIGHTS = ("uniform", "distance")
LEAST_PROBABILITY = 1e-6
"""Smallest probability that enters a log loss."""


@dataclass(frozen=True)
class Examples:
    """Examples of one target.

    Attributes
    ----------
    x : float (n, F)
        Features of every object.
    y : float64 (n,)
        Its label on the inward scale, or the number of its class.
    fit, tune, score : int64 (m,)
        Objects to fit on, to tune on, and to predict.
    n_classes : int
        Number of classes; 0 for a target that is a number.
    """

    x: np.ndarray
    y: np.ndarray
    fit: np.ndarray
    tune: np.ndarray
    score: np.ndarray
    n_classes: int = 0


Tuned = dict[str, float | str]
"""Parameters that tuning chose, by name."""
Predicted = tuple[np.ndarray, Tuned]
"""Values (m,) or class probabilities (m, classes) of scored objects, and tuned parameters."""


def probe(examples: Examples) -> Predicted:
    """Predict with a linear probe: ridge or logistic regression of standardised features."""
    if examples.n_classes:
        grid: Iterable[tuple[Any, Tuned]] = (
            (LogisticRegression(C=c, max_iter=5000, tol=1e-3), {"C": c}) for c in INVERSE_PENALTIES
        )
    else:
        grid = ((Ridge(alpha=alpha, solver="svd"), {"alpha": alpha}) for alpha in ALPHAS)
    return _best(
        examples, ((make_pipeline(StandardScaler(), each), chosen) for each, chosen in grid)
    )


def neighbours(examples: Examples) -> Predicted:
    """Predict with k nearest neighbours of the ranks of each column, as normal deviates.

    Ranks are used because one error of 1e6 would dominate a mean and a standard deviation. A
    missing value is put at the median, and that it is missing is one more feature.
    """
    kind = KNeighborsClassifier if examples.n_classes else KNeighborsRegressor
    examples = _known_columns(examples)
    ranks = QuantileTransformer(
        n_quantiles=min(1000, len(examples.fit)), output_distribution="normal", random_state=0
    )
    fill = SimpleImputer(strategy="median", add_indicator=True)
    pairs = [pair for pair in product(NEIGHBOURS, WEIGHTS) if pair[0] <= len(examples.fit)]
    return _best(
        examples,
        (
            (make_pipeline(ranks, fill, kind(k, weights=weights)), {"k": k, "weights": weights})
            for k, weights in pairs
        ),
    )


def trees(examples: Examples) -> Predicted:
    """Predict with gradient-boosted trees (Friedman 2001), which handle missing values."""
    kind = HistGradientBoostingClassifier if examples.n_classes else HistGradientBoostingRegressor
    examples = _known_columns(examples)
    fitted: list[tuple[float, int, Tuned, Any]] = []
    for rate, (leaves, least) in product(RATES, LEAVES):
        grown = kind(
            learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=least, max_iter=ITERATIONS,
            early_stopping=False, random_state=0,
        ).fit(examples.x[examples.fit], examples.y[examples.fit])  # fmt: skip
        losses = [
            _loss(predicted, examples.y[examples.tune])
            for predicted in _stages(grown, examples, examples.tune)
        ]
        n = int(np.argmin(losses))
        fitted.append((losses[n], n, {"learning_rate": rate, "leaves": leaves}, grown))
    _, n, chosen, grown = min(fitted, key=lambda each: each[0])
    predicted = next(islice(_stages(grown, examples, examples.score), n, None))
    return predicted, chosen | {"iterations": n + 1}


def constant(examples: Examples) -> Predicted:
    """Predict the median of the labels, or the frequency of each class among them."""
    model = (
        DummyClassifier(strategy="prior")
        if examples.n_classes
        else DummyRegressor(strategy="median")
    )
    nothing = np.zeros((len(examples.x), 1))
    model.fit(nothing[examples.fit], examples.y[examples.fit])
    return _predict(model, nothing[examples.score], examples.n_classes), {}


LEARNERS: dict[str, Callable[[Examples], Predicted]] = {
    "probe_mean": probe,
    "probe_attention": probe,
    "trees": trees,
    "neighbours": neighbours,
    "constant": constant,
}
"""Methods that learn from labels, by name."""


def _best(examples: Examples, grid: Iterable[tuple[Any, Tuned]]) -> Predicted:
    """Predict with the model of a grid that is best on the objects to tune on."""
    x, y = examples.x[examples.fit], examples.y[examples.fit]
    fitted = [(model.fit(x, y), chosen) for model, chosen in grid]
    predicted = (
        _predict(model, examples.x[examples.tune], examples.n_classes) for model, _ in fitted
    )
    losses = [_loss(each, examples.y[examples.tune]) for each in predicted]
    model, chosen = fitted[int(np.argmin(losses))]
    return _predict(model, examples.x[examples.score], examples.n_classes), chosen


def _predict(model: Any, x: np.ndarray, n_classes: int) -> np.ndarray:
    """Predict values, or probabilities of all classes."""
    if not n_classes:
        return np.asarray(model.predict(x), dtype=np.float64)
    return _spread(model.predict_proba(x), model.classes_, n_classes)


def _stages(model: Any, examples: Examples, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the predictions after each iteration."""
    if not examples.n_classes:
        return iter(model.staged_predict(examples.x[rows]))
    staged = model.staged_predict_proba(examples.x[rows])
    return (_spread(probabilities, model.classes_, examples.n_classes) for probabilities in staged)


def _spread(probabilities: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return probabilities of all classes; 0 for those that were not among the labels."""
    out = np.zeros((len(probabilities), n_classes))
    out[:, classes.astype(np.int64)] = probabilities
    return out


def _loss(predicted: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared error, or the log loss."""
    if predicted.ndim == 1:
        return float(np.mean((predicted - y) ** 2))
    probability = predicted[np.arange(len(y)), y.astype(np.int64)]
    return float(-np.log(np.maximum(probability, LEAST_PROBABILITY)).mean())


def _known_columns(examples: Examples) -> Examples:
    """Return the examples without columns that no object to fit on has."""
    known = np.isfinite(examples.x[examples.fit]).any(axis=0)
    return Examples(
        examples.x[:, known],
        examples.y,
        examples.fit,
        examples.tune,
        examples.score,
        examples.n_classes,
    )
