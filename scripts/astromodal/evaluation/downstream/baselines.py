"""Methods that are fitted to labels: linear probes of embeddings, and baselines on scalars.

Each method is tuned over a small grid, by the squared error on the scale of the fits or, for
classes and networks, by the log loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

if TYPE_CHECKING:
    import torch

ALPHAS = tuple(10.0**power for power in range(-2, 6))
INVERSE_PENALTIES = tuple(10.0**power for power in range(-5, 1))
RATES = (0.05, 0.15)
LEAVES = ((7, 5), (31, 20))
"""Largest number of leaves of a tree, and smallest number of objects in a leaf."""
ITERATIONS = 300
NEIGHBOURS = (3, 10, 30)
WEIGHTS = ("uniform", "distance")
SPREADS = (1.0, 2.0)
"""Standard deviations (bins) of the Gaussian over the bins beside that of a label."""
NETWORK_EPOCHS = 30
NETWORK_BINS = 128
_WIDTH, _DROPOUT, _BATCH, _RATE, _DECAY = 128, 0.1, 128, 4e-3, 0.05
"""Width and dropout of a network; objects of a step, peak learning rate and weight decay."""
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
    """

    x: np.ndarray
    y: np.ndarray
    fit: np.ndarray
    tune: np.ndarray
    score: np.ndarray
    n_classes: int = 0


@dataclass(frozen=True)
class Fit:
    """Predictions of a method that was fitted and tuned.

    Attributes
    ----------
    predicted : float64 (m,) or (m, classes)
        Values on the scale of the fits, or class probabilities, of the scored objects.
    chosen : dict of str to float or str
        The tuned hyperparameters.
    """

    predicted: np.ndarray
    chosen: Hyperparameters


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
    examples = _known_columns(examples)
    ranks = QuantileTransformer(
        n_quantiles=min(1000, len(examples.fit)), output_distribution="normal", random_state=0
    )
    fill = SimpleImputer(strategy="median", add_indicator=True)
    pairs = [pair for pair in product(NEIGHBOURS, WEIGHTS) if pair[0] <= len(examples.fit)]
    return _fit_best(
        examples,
        (
            (make_pipeline(ranks, fill, kind(k, weights=weights)), {"k": k, "weights": weights})
            for k, weights in pairs
        ),
    )


def fit_trees(examples: Examples) -> Fit:
    """Fit gradient-boosted trees, which accept missing values (Friedman 2001)."""
    kind = HistGradientBoostingClassifier if examples.n_classes else HistGradientBoostingRegressor
    examples = _known_columns(examples)
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


@dataclass(frozen=True)
class _Bins:
    """Bins of equal mass of the labels that a network is fitted to.

    Attributes
    ----------
    edges : float64 (K + 1,)
        Their edges, ascending.
    """

    edges: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> _Bins:
        """Return `NETWORK_BINS` bins of labels; fewer where labels are few or equal."""
        n = min(NETWORK_BINS, max(2, len(labels) // 10))
        return cls(np.unique(np.quantile(labels, np.linspace(0, 1, n + 1))))

    def number(self, labels: np.ndarray) -> np.ndarray:
        """Return the number of each label's bin, int64 (n,)."""
        return np.searchsorted(self.edges[1:-1], labels)

    def spread(self, width: float) -> np.ndarray:
        """Return what a label of each bin counts for in all bins, float64 (K, K): a Gaussian."""
        number = np.arange(max(1, len(self.edges) - 1))
        shares = np.exp(-0.5 * ((number - number[:, None]) / width) ** 2)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def median(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the medians of distributions (n, K), with equal densities inside bins."""
        if len(self.edges) < 2:
            return np.full(len(probabilities), self.edges[0])
        reached = np.cumsum(probabilities, axis=1)
        reached = np.concatenate([np.zeros((len(reached), 1)), reached / reached[:, -1:]], axis=1)
        return np.array([np.interp(0.5, each, self.edges) for each in reached])


def fit_network(examples: Examples) -> Fit:
    """Fit a perceptron of two hidden layers, with dropout, which predicts a distribution.

    A number is predicted as the median of a distribution over bins of equal mass, in which a label
    also counts for the bins beside its own (Imani & White 2018, arXiv:1806.04613). The epoch and
    the width of that are those of the least log loss.
    """
    import torch

    bins = None if examples.n_classes else _Bins.of(examples.y[examples.fit])
    truth = examples.y.astype(np.int64) if bins is None else bins.number(examples.y)
    x = torch.from_numpy(np.ascontiguousarray(examples.x, dtype=np.float32))
    fits: list[tuple[float, Hyperparameters, np.ndarray]] = []
    for width in (0.0,) if bins is None else SPREADS:
        shares = np.eye(examples.n_classes) if bins is None else bins.spread(width)
        losses = _trained(x, truth, shares, examples)
        epoch, (loss, scored) = min(enumerate(losses), key=lambda each: each[1][0])
        chosen: Hyperparameters = {"epochs": epoch + 1}
        fits.append((loss, chosen if bins is None else chosen | {"spread": width}, scored))
    _, best, probabilities = min(fits, key=lambda each: each[0])
    return Fit(probabilities if bins is None else bins.median(probabilities), best)


def _trained(
    x: torch.Tensor, truth: np.ndarray, shares: np.ndarray, examples: Examples
) -> Iterator[tuple[float, np.ndarray]]:
    """Train a network; yield its log loss, and probabilities of the scored objects, each epoch."""
    import torch
    from torch import nn

    n_steps = NETWORK_EPOCHS * -(-len(examples.fit) // _BATCH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(x.shape[1], _WIDTH), nn.GELU(), nn.Dropout(_DROPOUT),
            nn.Linear(_WIDTH, _WIDTH), nn.GELU(), nn.Dropout(_DROPOUT),
            nn.Linear(_WIDTH, len(shares)),
        )  # fmt: skip
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=n_steps)
        wanted = torch.from_numpy(shares[truth.clip(0, len(shares) - 1)].astype(np.float32))
        unseen = wanted[torch.from_numpy(examples.fit)].sum(dim=0) == 0
        for epoch in range(NETWORK_EPOCHS):
            model.train()
            order = np.random.default_rng(epoch).permutation(examples.fit)
            for begin in range(0, len(order), _BATCH):
                part = torch.from_numpy(order[begin : begin + _BATCH])
                loss = nn.functional.cross_entropy(model(x[part]), wanted[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            model.eval()
            with torch.no_grad():
                tune, score = (
                    model(x[torch.from_numpy(rows)]).masked_fill(unseen, -torch.inf).softmax(dim=1)
                    for rows in (examples.tune, examples.score)
                )
            yield log_loss(truth[examples.tune], tune.double().numpy()), score.double().numpy()


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


LEARNERS: dict[str, Callable[[Examples], Fit]] = {
    "probe_mean": fit_probe,
    "probe_attention": fit_probe,
    "trees": fit_trees,
    "neighbours": fit_neighbours,
    "network": fit_network,
    "constant": fit_constant,
}
"""Every method that is fitted to labels, by name."""


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


def _known_columns(examples: Examples) -> Examples:
    """Return the examples without features that are missing in all objects to fit to."""
    known = np.isfinite(examples.x[examples.fit]).any(axis=0)
    return replace(examples, x=examples.x[:, known])
