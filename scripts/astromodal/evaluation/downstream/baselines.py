"""Methods that are fitted to labels: linear probes of embeddings, and baselines on measured data.

Each method is tuned over a small grid, by the squared error on the scale of the fits or, for
classes, by the log loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
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
"""Largest number of leaves of a tree, and smallest number of objects in a leaf."""
ITERATIONS = 300
NEIGHBOURS = (3, 10, 30)
WEIGHTS = ("uniform", "distance")
COMPONENTS = 20
"""Most principal components of the spectra of a group that are features."""
LEAST_PROBABILITY = 1e-6
"""Smaller probabilities count as this one in the log loss."""

Hyperparameters = dict[str, float | str]
"""Hyperparameters by name."""


@dataclass(frozen=True)
class Examples:
    """Features and labels that a method is fitted to, tuned by and applied to.

    Attributes
    ----------
    x : float (n, F)
        Features of every object.
    y : float64 (n,)
        Its label on the scale of the fits, or the number of its class.
    fit, tune, score : int64 (m,)
        Objects to fit to, to tune by, and to predict.
    n_classes : int
        Number of classes; 0 where the label is a number.
    spectra : mapping of str to float (n, bins)
        Spectra by group, for methods that use their principal components; NaN in a bin without a
        good pixel, and throughout where an object has none.
    """

    x: np.ndarray
    y: np.ndarray
    fit: np.ndarray
    tune: np.ndarray
    score: np.ndarray
    n_classes: int = 0
    spectra: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Fit:
    """Predictions of a method that was fitted and tuned.

    Attributes
    ----------
    predicted : float64 (m,) or (m, classes)
        Values on the scale of the fits, or class probabilities, of the scored objects.
    chosen : dict of str to float or str
        The tuned hyperparameters.
    mean : float64 (m,), optional
        Means on the scale of the fits of a method whose values are medians of distributions.
    """

    predicted: np.ndarray
    chosen: Hyperparameters
    mean: np.ndarray | None = None


def fit_probe(examples: Examples) -> Fit:
    """Fit ridge regression, or logistic regression for classes, to standardised features."""
    if examples.n_classes:
        grid: Iterable[tuple[Any, Hyperparameters]] = (
            (LogisticRegression(C=c, max_iter=5000, tol=1e-3), {"C": c}) for c in INVERSE_PENALTIES
        )
    else:
        grid = ((Ridge(alpha=alpha, solver="svd"), {"alpha": alpha}) for alpha in ALPHAS)
    return _fit_best(
        examples, ((make_pipeline(StandardScaler(), model), chosen) for model, chosen in grid)
    )


def fit_neighbours(examples: Examples) -> Fit:
    """Fit k nearest neighbours to the ranks of each column, as normal deviates.

    Ranks are used because an outlier of 1e6 would dominate a mean and a standard deviation. A
    missing value becomes the median, and whether it is missing becomes one more feature.
    """
    kind = KNeighborsClassifier if examples.n_classes else KNeighborsRegressor
    examples = tabulate(examples)
    deviates = ranks(len(examples.fit))
    fill = SimpleImputer(strategy="median", add_indicator=True)
    pairs = [pair for pair in product(NEIGHBOURS, WEIGHTS) if pair[0] <= len(examples.fit)]
    return _fit_best(
        examples,
        (
            (make_pipeline(deviates, fill, kind(k, weights=weights)), {"k": k, "weights": weights})
            for k, weights in pairs
        ),
    )


def fit_trees(examples: Examples) -> Fit:
    """Fit gradient-boosted trees, which accept missing values (Friedman 2001)."""
    kind = HistGradientBoostingClassifier if examples.n_classes else HistGradientBoostingRegressor
    examples = tabulate(examples)
    fits: list[tuple[float, int, Hyperparameters, Any]] = []
    for rate, (leaves, least) in product(RATES, LEAVES):
        model = kind(
            learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=least, max_iter=ITERATIONS,
            early_stopping=False, random_state=0,
        ).fit(examples.x[examples.fit], examples.y[examples.fit])  # fmt: skip
        staged = _staged(model, examples, examples.tune)
        losses = [_loss(predicted, examples.y[examples.tune]) for predicted in staged]
        n = int(np.argmin(losses))
        fits.append((losses[n], n, {"learning_rate": rate, "leaves": leaves}, model))
    _, n, chosen, model = min(fits, key=lambda each: each[0])
    predicted = next(islice(_staged(model, examples, examples.score), n, None))
    return Fit(predicted, chosen | {"iterations": n + 1})


def fit_constant(examples: Examples) -> Fit:
    """Predict the median of the labels, or the frequency of each class, for every object."""
    model = (
        DummyClassifier(strategy="prior")
        if examples.n_classes
        else DummyRegressor(strategy="median")
    )
    nothing = np.zeros((len(examples.x), 1))
    model.fit(nothing[examples.fit], examples.y[examples.fit])
    return Fit(_predict(model, nothing[examples.score], examples.n_classes), {})


def _fit_best(examples: Examples, grid: Iterable[tuple[Any, Hyperparameters]]) -> Fit:
    """Fit every model of a grid, and predict with the one that has the least loss."""
    x, y = examples.x[examples.fit], examples.y[examples.fit]
    fitted = [(model.fit(x, y), chosen) for model, chosen in grid]
    x, y, n_classes = examples.x[examples.tune], examples.y[examples.tune], examples.n_classes
    losses = [_loss(_predict(model, x, n_classes), y) for model, _ in fitted]
    model, chosen = fitted[int(np.argmin(losses))]
    return Fit(_predict(model, examples.x[examples.score], n_classes), chosen)


def _predict(model: Any, x: np.ndarray, n_classes: int) -> np.ndarray:
    """Return a model's values (n,), or its probabilities of all classes (n, classes)."""
    if not n_classes:
        return np.asarray(model.predict(x), dtype=np.float64)
    return _all_classes(model.predict_proba(x), model.classes_, n_classes)


def _staged(model: Any, examples: Examples, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the predictions of trees after each iteration."""
    if not examples.n_classes:
        return iter(model.staged_predict(examples.x[rows]))
    staged = model.staged_predict_proba(examples.x[rows])
    return (_all_classes(each, model.classes_, examples.n_classes) for each in staged)


def _all_classes(probabilities: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return probabilities of all classes; 0 for classes without a label to fit to."""
    every = np.zeros((len(probabilities), n_classes))
    every[:, classes.astype(np.int64)] = probabilities
    return every


def _loss(predicted: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared error, or the log loss of class probabilities."""
    if predicted.ndim == 1:
        return float(np.mean((predicted - y) ** 2))
    return log_loss(y.astype(np.int64), predicted)


def log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log-likelihood (nats) of the true classes.

    Parameters
    ----------
    truth : int64 (n,)
        Number of each object's class.
    probabilities : float64 (n, classes)
        Predicted probabilities; those below 1e-6 count as 1e-6.
    """
    of_truth = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(of_truth, LEAST_PROBABILITY)).mean())


def ranks(n_fit: int) -> QuantileTransformer:
    """Return the transformation of features to the normal deviates of their ranks."""
    return QuantileTransformer(
        n_quantiles=min(1000, n_fit), output_distribution="normal", random_state=0
    )


def tabulate(examples: Examples) -> Examples:
    """Return the examples with their spectra as features: principal components of each group.

    Features that are missing in all objects to fit to are left out; where all are, one is 0.
    """
    every = [components(flux, examples.fit) for flux in examples.spectra.values()]
    x = np.concatenate([examples.x, *every], axis=1)
    known = np.isfinite(x[examples.fit]).any(axis=0)
    x = x[:, known] if known.any() else np.zeros((len(x), 1))
    return replace(examples, x=x, spectra={})


def components(flux: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Return the first principal components of spectra, float64 (n, k), k <= `COMPONENTS`.

    Parameters
    ----------
    flux : float (n, bins)
        Spectra; a missing bin counts as the mean of the bin.
    fit : int64 (m,)
        Objects whose spectra the components and means are fitted to.

    Returns
    -------
    float64 (n, k)
        NaN where an object has no spectrum. There are fewer components than such spectra to fit to.
    """
    has = np.isfinite(flux).any(axis=1)
    own = fit[has[fit]]
    n = min(COMPONENTS, len(own) - 1, flux.shape[1])
    if n < 1:
        return np.empty((len(flux), 0))
    fill = SimpleImputer(strategy="mean", keep_empty_features=True).fit(flux[own])
    solver = "covariance_eigh" if len(own) > flux.shape[1] else "full"
    model = PCA(n, svd_solver=solver).fit(fill.transform(flux[own]).astype(np.float64))
    out = np.full((len(flux), n), np.nan)
    out[has] = model.transform(fill.transform(flux[has]))
    return out
