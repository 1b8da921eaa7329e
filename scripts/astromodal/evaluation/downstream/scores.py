"""Scores of predictions for each kind of target, with bootstrap errors over objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from astromodal.evaluation.downstream.baselines import LEAST_PROBABILITY
from astromodal.evaluation.metrics import (
    measure_fraction,
    measure_statistic,
    r2_of,
    robust_sigma,
)
from astromodal.evaluation.report.section import Verdict
from astromodal.evaluation.report.values import Measurement

OUTLIER = 0.15
"""|Δz| / (1 + z) beyond which a redshift is an outlier."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
CONFIDENCE_BINS = 10


def redshift_error(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Δz / (1 + z), where z is the spectroscopic redshift."""
    return (predicted - truth) / (1 + truth)


def sigma_nmad(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return 1.4826 times the median absolute deviation of Δz / (1 + z).

    Brammer et al. 2008 (doi:10.1086/591786), eq. 5.
    """
    error = redshift_error(truth, predicted)
    return float(NORMAL_MAD * np.median(np.abs(error - np.median(error))))


def outliers(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the fraction of objects with |Δz| / (1 + z) > 0.15."""
    return float(np.mean(np.abs(redshift_error(truth, predicted)) > OUTLIER))


def explained(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the explained variance R²; NaN where the truth does not vary."""
    total = np.sum((truth - truth.mean()) ** 2)
    return float(r2_of(np.sum((truth - predicted) ** 2), total))


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean recall of the classes that occur in the truth.

    scikit-learn's function warns where a class is predicted that does not occur.
    """
    count = np.bincount(truth)
    right = np.bincount(truth, weights=predicted.argmax(axis=1) == truth)
    return float(np.mean(right[count > 0] / count[count > 0]))


def calibration_error(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the expected calibration error: mean distance of confidence from accuracy.

    Guo et al. 2017 (arXiv:1706.04599), eq. 3, in ten bins. It is positive even for calibrated
    probabilities: for few objects it is too large.
    """
    return float(
        sum(abs(b.right.value - b.confidence) * b.n for b in reliability(truth, predicted))
    ) / len(truth)


@dataclass(frozen=True)
class ReliabilityBin:
    """Objects of similar confidence.

    Attributes
    ----------
    n : int
        Number of objects.
    confidence : float
        Their mean confidence.
    right : Measurement
        Fraction of them that are predicted rightly.
    """

    n: int
    confidence: float
    right: Measurement


def reliability(truth: np.ndarray, predicted: np.ndarray) -> list[ReliabilityBin]:
    """Bin objects by confidence, the probability of the likeliest class; skip empty bins.

    Parameters
    ----------
    truth : int64 (n,)
        Number of each object's class.
    predicted : float64 (n, classes)
        Probabilities of the classes.
    """
    confidence, right = predicted.max(axis=1), predicted.argmax(axis=1) == truth
    place = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    bins = []
    for i in np.unique(place):
        inside = place == i
        mean, n = float(confidence[inside].mean()), int(inside.sum())
        bins.append(ReliabilityBin(n, mean, measure_fraction(right[inside])))
    return bins


def confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the number of objects by true class (row) and predicted class (column), int64."""
    labels = np.arange(predicted.shape[1])
    return confusion_matrix(truth, predicted.argmax(axis=1), labels=labels)


def _log_loss(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean negative logarithm of the probability of the true class."""
    probability = predicted[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(probability, LEAST_PROBABILITY)).mean())


@dataclass(frozen=True)
class Measure:
    """A score of predictions.

    Attributes
    ----------
    name, label : str
        Key, and name in words.
    of : callable
        Takes truth and predictions, and returns the score.
    better : int
        1 where larger is better, -1 where smaller is, 0 where zero is best.
    scaled : bool
        Whether it has the target's unit.
    shown : bool
        Whether it is plotted, and enters a verdict.
    """

    name: str
    label: str
    of: Callable[[np.ndarray, np.ndarray], float]
    better: int
    scaled: bool = False
    shown: bool = False


MEASURES: dict[str, tuple[Measure, ...]] = {
    "redshift": (
        Measure("sigma_nmad", "σ_NMAD of Δz/(1+z)", sigma_nmad, -1, shown=True),
        Measure("outliers", "fraction with |Δz|/(1+z) > 0.15", outliers, -1, shown=True),
        Measure("bias", "median Δz/(1+z)", lambda t, e: float(np.median(redshift_error(t, e))), 0),
        Measure("r2", "R²", explained, 1),
    ),
    "stellar": (
        Measure("rmse", "RMSE", lambda t, e: float(np.sqrt(np.mean((e - t) ** 2))), -1, True, True),
        Measure("scatter", "robust scatter", lambda t, e: robust_sigma(e - t), -1, True),
        Measure("bias", "median error", lambda t, e: float(np.median(e - t)), 0, True),
        Measure("r2", "R²", explained, 1),
    ),
    "class": (
        Measure("balanced_accuracy", "balanced accuracy", balanced_accuracy, 1, shown=True),
        Measure("calibration_error", "expected calibration error", calibration_error, -1),
        Measure("log_loss", "log loss (nats)", _log_loss, -1),
    ),
}
"""Measures of each role of a target, the one that figures show first."""


def score(measure: Measure, truth: np.ndarray, predicted: np.ndarray, seed: int) -> Measurement:
    """Measure a score with its error over objects.

    The error of a fraction is Wilson's, since that of a bootstrap is zero without an exception.
    """
    if measure.of is outliers:
        return measure_fraction(np.abs(redshift_error(truth, predicted)) > OUTLIER)
    return measure_statistic(
        lambda index: measure.of(truth[index], predicted[index]), len(truth), seed
    )


def difference(
    measure: Measure, truth: np.ndarray, one: np.ndarray, other: np.ndarray, seed: int
) -> Measurement:
    """Measure the score of `one` minus that of `other`, paired by object.

    An object that is hard for one method is hard for the other, so this error is smaller than
    those of the two scores.
    """

    def of(index: np.ndarray) -> float:
        return measure.of(truth[index], one[index]) - measure.of(truth[index], other[index])

    return measure_statistic(of, len(truth), seed)


def verdict(role: str, paired: Mapping[str, Measurement]) -> Verdict:
    """Judge paired differences of the shown measures.

    Bad if one of them is worse by more than its error; else good if one is better by more than its
    error. σ_NMAD alone would accept a method whose redshifts all have the same error.
    """
    gains = [
        (m.better * paired[m.name].value, paired[m.name].error) for m in MEASURES[role] if m.shown
    ]
    if any(gain < -error for gain, error in gains):
        return "bad"
    return "good" if any(gain > error for gain, error in gains) else "none"


@dataclass(frozen=True)
class MagnitudeBin:
    """Scores of several methods in one bin of magnitude.

    Attributes
    ----------
    n : int
        Number of objects.
    low, middle, high : float
        Smallest, median and largest magnitude.
    methods : dict of str to Measurement
        Score by method.
    """

    n: int
    low: float
    middle: float
    high: float
    methods: dict[str, Measurement]


def by_magnitude(
    measure: Measure, truth: np.ndarray, predicted: Mapping[str, np.ndarray],
    magnitude: np.ndarray, seed: int, least: int = 12, most: int = 5,
) -> list[MagnitudeBin]:  # fmt: skip
    """Measure a score of several methods in bins of magnitude with equally many objects.

    Parameters
    ----------
    measure : Measure
        The score.
    truth, predicted
        Truth, and predictions by method.
    magnitude : float64 (n,)
        Magnitudes; objects without one are left out.
    seed : int
        Seed of the bootstrap.
    least, most : int
        Fewest objects of a bin, and largest number of bins. The list is empty if there are not
        enough objects for two bins.
    """
    known = np.flatnonzero(np.isfinite(magnitude))
    n_bins = min(most, len(known) // least)
    if n_bins < 2:
        return []
    order = known[np.argsort(magnitude[known], kind="stable")]
    bins = []
    for rows in np.array_split(order, n_bins):
        low, middle, high = (float(v) for v in np.quantile(magnitude[rows], [0, 0.5, 1]))
        methods = {
            method: score(measure, truth[rows], each[rows], seed)
            for method, each in predicted.items()
        }
        bins.append(MagnitudeBin(len(rows), low, middle, high, methods))
    return bins
