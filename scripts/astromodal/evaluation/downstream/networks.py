"""Neural networks that are fitted to labels: a perceptron on codes, and TabM on measured features.

Both predict the probabilities of classes, or of bins of a number, whose median and mean are the
predictions. They are tuned by the log loss.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astromodal.evaluation.downstream.baselines import (
    Examples,
    Fit,
    Hyperparameters,
    fit_constant,
    log_loss,
    ranks,
    tabulate,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

SPREADS = (1.0, 2.0)
"""Standard deviations (bins) of the Gaussian over the bins beside that of a label."""
NETWORK_EPOCHS = 30
NETWORK_BINS = 128
_WIDTH, _DROPOUT, _BATCH, _RATE, _DECAY = 128, 0.1, 128, 4e-3, 0.05
"""Width and dropout of a network; objects of a step, peak learning rate and weight decay."""
TABM_RATES = (1e-3, 4e-3)
"""Learning rates of TabM."""
TABM_EPOCHS, TABM_STEPS, PATIENCE = 60, 2000, 8
"""Most epochs and steps of TabM, and epochs without a smaller loss after which it stops."""
_MEMBERS, _EMBEDDING, _EDGES = 8, 8, 16
"""Members of TabM, numbers that a feature is embedded in, and bins of its embedding."""
_STEPS, _MOST = 10, 256
"""Fewest steps of an epoch of TabM, and most objects of a step."""
_RARE = 0.02
"""Share of the objects that must lack a feature, and have it, for the gap to be a feature."""
_CHUNK = 1024


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    build : callable
        Returns a network of so many outputs: logits (n, outputs), or (n, members, outputs).
    rate : float
        Learning rate; the largest one of a cycle.
    batch, epochs, patience : int
        Objects of a step, most epochs, and epochs without a smaller loss after which it stops.
    cycle : bool
        Whether the learning rate rises and falls over all epochs.
    spread : float
        Standard deviation (bins) of the Gaussian that a label is spread over; 0 for none.
    chosen : Hyperparameters
        The hyperparameters that the recipe stands for.
    """

    build: Callable[[int], nn.Module]
    rate: float
    batch: int
    epochs: int
    patience: int
    cycle: bool
    spread: float
    chosen: Hyperparameters


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

    def mean(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the means of the same distributions."""
        if len(self.edges) < 2:
            return np.full(len(probabilities), self.edges[0])
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        return np.asarray(probabilities @ middle / probabilities.sum(axis=1))


def fit_network(examples: Examples) -> Fit:
    """Fit a perceptron of two hidden layers, with dropout, which predicts a distribution.

    A number is predicted as the median of a distribution over bins of equal mass, in which a label
    also counts for the bins beside its own (Imani & White 2018, arXiv:1806.04613). The epoch and
    the width of that are those of the least log loss.
    """
    spreads = (0.0,) if examples.n_classes else SPREADS

    def build(n_outputs: int) -> nn.Module:
        from torch import nn

        return nn.Sequential(
            nn.Linear(examples.x.shape[1], _WIDTH), nn.GELU(), nn.Dropout(_DROPOUT),
            nn.Linear(_WIDTH, _WIDTH), nn.GELU(), nn.Dropout(_DROPOUT),
            nn.Linear(_WIDTH, n_outputs),
        )  # fmt: skip

    return _fit_best(
        examples,
        examples.x,
        (
            Recipe(
                build, _RATE, _BATCH, NETWORK_EPOCHS, NETWORK_EPOCHS, True, spread,
                {} if examples.n_classes else {"spread": spread},
            )
            for spread in spreads
        ),
    )  # fmt: skip


def fit_tabm(examples: Examples) -> Fit:
    """Fit TabM, an ensemble of perceptrons that share most weights, to a table of features.

    Gorishniy et al. 2025 (arXiv:2410.24210), with their piecewise-linear embeddings of features
    (arXiv:2203.05556). Features are normal deviates of their ranks; a missing value becomes the
    median, and whether it is missing becomes one more feature. Each member predicts the
    distribution that `fit_network` predicts, and the ensemble their mean. The learning rate and
    the epoch are those of the least log loss.
    """
    table = tabulate(examples)
    x = _filled(table)
    if not x.shape[1]:
        return fit_constant(examples)
    batch = int(np.clip(len(table.fit) // _STEPS, 8, _MOST))
    epochs = min(TABM_EPOCHS, TABM_STEPS // -(-len(table.fit) // batch))
    return _fit_best(
        table,
        x,
        (
            Recipe(
                lambda n_outputs: _tabm(x[table.fit], n_outputs), rate, batch, epochs,
                PATIENCE, False, 0.0 if table.n_classes else SPREADS[0], {"learning_rate": rate},
            )
            for rate in TABM_RATES
        ),
    )  # fmt: skip


def _filled(table: Examples) -> np.ndarray:
    """Return the normal deviates of the ranks of features that vary, without gaps, float32 (n, F).

    A missing value is 0, the median; features that say what is missing stand behind.
    """
    deviates = ranks(len(table.fit)).fit(table.x[table.fit]).transform(table.x)
    missing = np.isnan(deviates)
    share = missing[table.fit].mean(axis=0)
    gaps = np.unique(missing[:, (share > _RARE) & (share < 1 - _RARE)], axis=1)
    x = np.concatenate([np.where(missing, 0.0, deviates), gaps], axis=1, dtype=np.float32)
    return x[:, np.ptp(x[table.fit], axis=0) > 0]


def _tabm(x: np.ndarray, n_outputs: int) -> nn.Module:
    """Return TabM for features like `x`, those of the objects to fit to."""
    import torch
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
    from tabm import TabM

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .*-th feature has just two bin edges")
        edges = compute_bins(torch.from_numpy(x), n_bins=min(_EDGES, len(x) // 4))
        embedding = PiecewiseLinearEmbeddings(edges, _EMBEDDING, activation=False, version="B")
    return TabM.make(
        n_num_features=x.shape[1], num_embeddings=embedding, d_out=n_outputs, k=_MEMBERS,
        d_block=_WIDTH, dropout=_DROPOUT,
    )  # fmt: skip


def _fit_best(examples: Examples, x: np.ndarray, recipes: Iterable[Recipe]) -> Fit:
    """Train a network by each recipe, and predict with that of the least log loss."""
    import torch

    bins = None if examples.n_classes else _Bins.of(examples.y[examples.fit])
    known = np.nan_to_num(examples.y)  # of objects of other tasks nothing is known
    truth = known.astype(np.int64) if bins is None else bins.number(known)
    inputs = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    fits: list[tuple[float, Hyperparameters, np.ndarray]] = []
    for recipe in recipes:
        shares = np.eye(examples.n_classes) if bins is None else bins.spread(recipe.spread)
        loss, epochs, scored = _train(inputs, truth, shares, examples, recipe)
        fits.append((loss, {"epochs": epochs} | recipe.chosen, scored))
    _, best, probabilities = min(fits, key=lambda each: each[0])
    if bins is None:
        return Fit(probabilities, best)
    return Fit(bins.median(probabilities), best, bins.mean(probabilities))


def _train(
    x: torch.Tensor, truth: np.ndarray, shares: np.ndarray, examples: Examples, recipe: Recipe
) -> tuple[float, int, np.ndarray]:
    """Train a network; return its least log loss, its epoch, and the scored probabilities there."""
    import torch
    from torch import nn

    n_steps = recipe.epochs * -(-len(examples.fit) // recipe.batch)
    best: tuple[float, int, np.ndarray] = (np.inf, 0, np.empty(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = recipe.build(len(shares))
        optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=_DECAY)
        schedule = (
            torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=n_steps)
            if recipe.cycle
            else None
        )
        wanted = torch.from_numpy(shares[truth.clip(0, len(shares) - 1)].astype(np.float32))
        unseen = wanted[torch.from_numpy(examples.fit)].sum(dim=0) == 0
        for epoch in range(recipe.epochs):
            model.train()
            order = np.random.default_rng(epoch).permutation(examples.fit)
            for begin in range(0, len(order), recipe.batch):
                part = torch.from_numpy(order[begin : begin + recipe.batch])
                logits = _by_member(model(x[part]))
                every = wanted[part][:, None].expand_as(logits)
                loss = nn.functional.cross_entropy(logits.flatten(0, 1), every.flatten(0, 1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if schedule is not None:
                    schedule.step()
            model.eval()
            tuned = log_loss(truth[examples.tune], _probabilities(model, x, examples.tune, unseen))
            if tuned < best[0]:
                best = tuned, epoch + 1, _probabilities(model, x, examples.score, unseen)
            elif epoch + 1 - best[1] >= recipe.patience:
                break
    return best


def _by_member(logits: torch.Tensor) -> torch.Tensor:
    """Return logits (n, members, outputs), of a single network with one member."""
    return logits[:, None] if logits.ndim == 2 else logits


def _probabilities(
    model: nn.Module, x: torch.Tensor, rows: np.ndarray, unseen: torch.Tensor
) -> np.ndarray:
    """Return the mean probabilities of all members, float64 (rows, outputs); 0 where unseen."""
    import torch

    parts = []
    with torch.no_grad():
        for begin in range(0, len(rows), _CHUNK):
            logits = _by_member(model(x[torch.from_numpy(rows[begin : begin + _CHUNK])]))
            parts.append(logits.masked_fill(unseen, -torch.inf).softmax(dim=-1).mean(dim=1))
    return torch.cat(parts).double().numpy()
