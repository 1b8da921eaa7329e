"""Calibration: predicted distributions and probabilities against the truth, and temperatures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from astromodal.evaluation.metrics import (
    measure_fraction,
    measure_statistic,
)
from astromodal.evaluation.report.section import Measurement
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.training.calibration import (
    without_levels,
)

LEVELS = (0.5, 0.68, 0.95)
"""Probabilities of the central intervals whose coverage is measured."""
CHECKED = 0.68
"""Level that the verdict is based on."""
TOLERATED = 0.05
"""Largest deviation of its coverage, beyond two errors, that is not called poor."""
CONFIDENCE_BINS = 10
_LEAST = 1e-300


@dataclass(frozen=True)
class CalibrationNumbers:
    """Scores of predicted distributions.

    The baseline is the constant distribution: the frequencies of the labels of the training split.

    Attributes
    ----------
    coverage : dict of str to Measurement
        Fraction of the objects inside the central interval, by its probability.
    crps, crps_constant, crps_gain : Measurement
        Continuous ranked probability score of the model and of the baseline (the column's unit),
        and the baseline's minus the model's on the same objects.
    nll, nll_constant, nll_gain : Measurement
        The same for the negative log-likelihood of the true bin (nats).
    temperature : float
        Temperature that training has fitted to the column.
    uncalibrated : dict of str to Measurement
        Coverage of the 68 % interval (``coverage``), ``crps`` and ``nll`` before calibration.
    """

    coverage: dict[str, Measurement]
    crps: Measurement
    crps_constant: Measurement
    crps_gain: Measurement
    nll: Measurement
    nll_constant: Measurement
    nll_gain: Measurement
    temperature: float
    uncalibrated: dict[str, Measurement]

    @property
    def checked(self) -> Measurement:
        """Coverage of the 68 % interval."""
        return self.coverage[str(CHECKED)]

    @property
    def deviation(self) -> float:
        """Distance of the coverage of the 68 % interval from 68 %."""
        return abs(self.checked.value - CHECKED)

    @property
    def poor(self) -> bool:
        """Whether the coverage of the 68 % interval is off by over two errors and five points."""
        return self.deviation > max(2 * self.checked.error, TOLERATED)


@dataclass(frozen=True)
class Calibration:
    """Predicted distributions compared with the truth.

    Attributes
    ----------
    pit : float64 (n,)
        Probability integral transform: the predicted probability below the truth. It is sampled
        uniformly where the truth has a probability of its own. For calibrated predictions it is
        uniform between 0 and 1.
    numbers : CalibrationNumbers
        Scores.
    """

    pit: np.ndarray
    numbers: CalibrationNumbers


def calibrate(
    predicted: ScalarPrediction,
    truth: np.ndarray,
    labels: np.ndarray,
    seed: int,
    clusters: np.ndarray | None = None,
    limit: float | None = None,
) -> Calibration:
    """Compare predicted distributions with the truth.

    Parameters
    ----------
    predicted : ScalarPrediction
        Distributions of the scored objects.
    truth : float64 (n,)
        Their measured values.
    labels : float64 (m,)
        Labels of the training split; the frequencies of their bins are the baseline.
    seed : int
        Seed of ties and of bootstrap errors.
    clusters : int64 (n,), optional
        Clusters that errors are computed over; single objects where None.
    limit : float, optional
        Absolute value that all true values exceed: the distributions given that are compared.
    """
    before, scores = _uncalibrated(predicted), {}
    if limit is not None:
        predicted, before = predicted.given_beyond(limit), before.given_beyond(limit)
    pit, same = _pit(predicted, truth, seed), _constant(predicted, labels)
    coverage = {str(p): _coverage(pit, p) for p in LEVELS}
    uncalibrated = {"coverage": _coverage(_pit(before, truth, seed), CHECKED)}
    for name, score in (("crps", ScalarPrediction.crps), ("nll", bin_nll)):
        model, constant = score(predicted, truth), score(same, truth)
        scores[name] = _measure_mean(model, clusters, seed)
        scores[f"{name}_constant"] = _measure_mean(constant, clusters, seed)
        scores[f"{name}_gain"] = _measure_mean(constant - model, clusters, seed)
        uncalibrated[name] = _measure_mean(score(before, truth), clusters, seed)
    own = predicted.temperature
    numbers = CalibrationNumbers(coverage, **scores, temperature=own, uncalibrated=uncalibrated)
    return Calibration(pit, numbers)


def _pit(predicted: ScalarPrediction, truth: np.ndarray, seed: int) -> np.ndarray:
    """Return the probability integral transform of true values; see `Calibration`."""
    below, upto = predicted.cdf(truth)
    return below + np.random.default_rng(seed).uniform(size=len(truth)) * (upto - below)


def _coverage(pit: np.ndarray, level: float) -> Measurement:
    """Return the fraction of values inside a central interval."""
    return measure_fraction(np.abs(pit - 0.5) <= level / 2)


def _uncalibrated(predicted: ScalarPrediction) -> ScalarPrediction:
    """Return distributions before their calibration."""
    probabilities = predicted.probabilities
    if predicted.levels is not None:
        probabilities = without_levels(probabilities, predicted.levels)
    powers = probabilities**predicted.temperature
    return replace(predicted, probabilities=powers / powers.sum(axis=1, keepdims=True))


def bin_nll(predicted: ScalarPrediction, truth: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood (nats) of the bin of each object's truth, float64 (n,).

    It is that of bins, not of a density: the density of a value that many objects share would be
    infinite.
    """
    bins = _bins(predicted, truth)
    of_truth = predicted.probabilities[np.arange(len(truth)), bins]
    return -np.log(np.maximum(of_truth, _LEAST))


def pit_histogram(pit: np.ndarray, n_bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the density of the PIT in equal bins and its Poisson error, float64 (n_bins,) each.

    The density of uniform values is 1.
    """
    counts = np.histogram(pit, bins=n_bins, range=(0, 1))[0]
    return counts * n_bins / len(pit), np.sqrt(np.maximum(counts, 1)) * n_bins / len(pit)


def _constant(predicted: ScalarPrediction, labels: np.ndarray) -> ScalarPrediction:
    """Return the frequencies of bins among labels, with half a count added to each bin."""
    n_bins = len(predicted.centers)
    counts = 0.5 + np.bincount(_bins(predicted, labels), minlength=n_bins)
    every = np.broadcast_to(counts / counts.sum(), predicted.probabilities.shape)
    return replace(predicted, probabilities=every)


def _bins(predicted: ScalarPrediction, values: np.ndarray) -> np.ndarray:
    """Return the bin of each value: (edge k, edge k + 1]; the first and last have no end."""
    return np.searchsorted(predicted.edges[1:-1], values, side="left")


def _measure_mean(values: np.ndarray, clusters: np.ndarray | None, seed: int) -> Measurement:
    def mean(index: np.ndarray) -> float:
        return float(values[index].mean())

    return measure_statistic(mean, len(values), seed, clusters=clusters)


@dataclass(frozen=True)
class ReliabilityBin:
    """Objects whose confidence, the largest class probability, lies in one bin.

    Attributes
    ----------
    n : int
        Number of objects.
    confidence : float
        Their mean confidence.
    correct : Measurement
        Fraction of them whose class is predicted correctly.
    """

    n: int
    confidence: float
    correct: Measurement


def reliability(truth: np.ndarray, probabilities: np.ndarray) -> list[ReliabilityBin]:
    """Return objects binned by confidence, in ten bins, without empty bins.

    Parameters
    ----------
    truth : int64 (n,)
        Number of each object's class.
    probabilities : float64 (n, classes)
        Predicted probabilities.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    bins = []
    for i in np.unique(place):
        inside = place == i
        fraction = measure_fraction(correct[inside])
        bins.append(ReliabilityBin(int(inside.sum()), float(confidence[inside].mean()), fraction))
    return bins


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error of class probabilities.

    It is the mean difference between confidence and the fraction of correct predictions, in ten
    bins (Guo et al. 2017, arXiv:1706.04599, eq. 3). Noise makes it positive: for few objects it is
    too large.
    """
    bins = reliability(truth, probabilities)
    return float(sum(abs(b.correct.value - b.confidence) * b.n for b in bins)) / len(truth)
