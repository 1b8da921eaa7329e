"""Whether the model's predicted distributions mean what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from astromodal.evaluation.metrics import bootstrap_error, fraction_error
from astromodal.evaluation.parts import measured
from astromodal.inference.distributions import ScalarPrediction

LEVELS = (0.5, 0.68, 0.95)
"""Probabilities of the central intervals whose coverage is counted."""
CHECKED = 0.68
TOLERATED = 0.05
"""Level that the verdict looks at, and how far its coverage may be off, beyond two errors."""
_LEAST = 1e-300


@dataclass(frozen=True)
class Calibration:
    """What the truth says of predicted distributions.

    Attributes
    ----------
    pit : float64 (n,)
        Probability integral transform: the predicted probability below the truth, drawn evenly
        where the truth has a probability of its own. Even between 0 and 1 where all is well.
    numbers : dict
        ``coverage`` by level, ``crps``, ``crps_constant`` (unit), ``nll``, ``nll_constant``
        (nats), each `measured`, and the paired ``crps_gain`` and ``nll_gain`` of the model.
    """

    pit: np.ndarray
    numbers: dict[str, Any]

    @property
    def poor(self) -> bool:
        """Whether the coverage of the 68 % interval is off by over two errors and five points."""
        found = self.numbers["coverage"][str(CHECKED)]
        return abs(found["value"] - CHECKED) > max(2 * found["error"], TOLERATED)


def calibrate(
    predicted: ScalarPrediction, truth: np.ndarray, labels: np.ndarray, seed: int
) -> Calibration:
    """Compare predicted distributions with the truth.

    Parameters
    ----------
    predicted : ScalarPrediction
        Of the scored objects.
    truth : float64 (n,)
        What was measured of them.
    labels : float64 (m,)
        Labels of the training split: how often each bin occurs among them is the constant that
        the model is compared with.
    seed : int
        Seed of ties and of bootstrap errors.
    """
    below, upto = predicted.reached(truth)
    drawn = np.random.default_rng(seed).uniform(size=len(truth))
    pit = below + drawn * (upto - below)
    inside = np.abs(pit - 0.5)
    coverage = {str(p): measured(*fraction_error(inside <= p / 2)) for p in LEVELS}
    same = _constant(predicted, labels)
    numbers: dict[str, Any] = {"coverage": coverage}
    for name, of in (("crps", ScalarPrediction.crps), ("nll", surprise)):
        model, constant = of(predicted, truth), of(same, truth)
        numbers[name] = _mean(model, seed)
        numbers[f"{name}_constant"] = _mean(constant, seed)
        numbers[f"{name}_gain"] = _mean(constant - model, seed)
    return Calibration(pit, numbers)


def surprise(predicted: ScalarPrediction, truth: np.ndarray) -> np.ndarray:
    """Negative log-likelihood (nats) of the bin that each object's truth lies in, float64 (n,).

    Of bins, not of a density: that of a value which many objects share would be infinite.
    """
    bins = _bins(predicted, truth)
    chance = predicted.probabilities[np.arange(len(truth)), bins]
    return -np.log(np.maximum(chance, _LEAST))


def pit_histogram(pit: np.ndarray, n_bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Density of the PIT in even bins, and its Poisson error, float64 (n_bins,) each; 1 is even."""
    counts = np.histogram(pit, bins=n_bins, range=(0, 1))[0]
    return counts * n_bins / len(pit), np.sqrt(np.maximum(counts, 1)) * n_bins / len(pit)


def _constant(predicted: ScalarPrediction, labels: np.ndarray) -> ScalarPrediction:
    """The bins' frequencies among labels, half a count added to each, for every object."""
    n_bins = len(predicted.centers)
    counts = 0.5 + np.bincount(_bins(predicted, labels), minlength=n_bins)
    every = np.broadcast_to(counts / counts.sum(), predicted.probabilities.shape)
    return replace(predicted, probabilities=every)


def _bins(predicted: ScalarPrediction, values: np.ndarray) -> np.ndarray:
    """Bin of each value: (edge k, edge k + 1], the first and last without end."""
    return np.searchsorted(predicted.edges[1:-1], values, side="left")


def _mean(values: np.ndarray, seed: int) -> dict[str, float]:
    error = bootstrap_error(lambda index: float(values[index].mean()), len(values), seed)
    return measured(float(values.mean()), float(error))
