"""Scores of predicted labels, with bootstrap errors over HEALPix cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from sklearn.metrics import confusion_matrix

from astromodal.data.splits import NO_CELL
from astromodal.evaluation.downstream.baselines import Fit, log_loss
from astromodal.evaluation.downstream.calibration import calibration_error
from astromodal.evaluation.downstream.tasks import Role, Target
from astromodal.evaluation.metrics import (
    N_RESAMPLES,
    measure_fraction,
    measure_resampled,
    r2_of,
    resampled,
    robust_sigma,
)
from astromodal.evaluation.report.section import Measurement, Verdict
from astromodal.inference.predict_scalars import ScalarPrediction

OUTLIER = 0.15
"""|Δz| / (1 + z) beyond which a redshift is an outlier."""
FEWEST_CELLS = 10
"""Fewest HEALPix cells that are resampled; objects are where there are fewer."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
PAIRS = (
    *(("model", other) for other in ("trees", "tabm", "neighbours", "network", "constant")),
    ("model", "probe"),
    *(("probe", other) for other in ("trees", "tabm", "constant")),
    ("tabm", "trees"),
)  # fmt: skip
"""Pairs of methods that are compared on the same objects."""

Scores = dict[str, Measurement]
"""Scores by the name of the measure."""


def clusters_of(cells: np.ndarray) -> np.ndarray | None:
    """Return the clusters of objects that errors are computed over, int64 (n,).

    They are HEALPix cells, in which objects share a PSF, a calibration and often a cluster of
    galaxies. An object without a position is a cluster of its own. None, which stands for single
    objects, where there are fewer than `FEWEST_CELLS` cells.

    Parameters
    ----------
    cells : int64 (n,)
        HEALPix cells; `NO_CELL` without a position.
    """
    alone = NO_CELL - 1 - np.arange(len(cells))
    clusters = np.where(cells == NO_CELL, alone, cells)
    return clusters if len(np.unique(clusters)) >= FEWEST_CELLS else None


@dataclass(frozen=True)
class Estimates:
    """What a method predicts of n objects: points of its distributions.

    A method without distributions predicts one value, which is all three.

    Attributes
    ----------
    median, mean : float64 (n,)
        Values in the target's unit. For classes, both are the probabilities (n, classes).
    scaled : float64 (n,)
        Means on the scale of the fits (`Target.transform`).
    """

    median: np.ndarray
    mean: np.ndarray
    scaled: np.ndarray

    @classmethod
    def of_fit(cls, target: Target, fit: Fit) -> Estimates:
        """Return the estimates of a method that was fitted on the scale of the fits."""
        mean = fit.predicted if fit.mean is None else fit.mean
        if target.classes:
            return cls(fit.predicted, mean, mean)
        median = target.inverse_transform(fit.predicted)
        return cls(median, target.inverse_transform(mean), mean)

    @classmethod
    def of_distributions(cls, target: Target, predicted: ScalarPrediction) -> Estimates:
        """Return the estimates of predicted distributions."""
        scaled = predicted.probabilities @ target.transform(predicted.centers)
        return cls(predicted.median, predicted.mean, scaled)

    def __getitem__(self, rows: np.ndarray) -> Estimates:
        return Estimates(self.median[rows], self.mean[rows], self.scaled[rows])


@dataclass(frozen=True)
class Truth:
    """Measured labels of the scored objects of a target.

    Attributes
    ----------
    target : Target
        The target.
    values : float64 or int64 (n,)
        Labels in the target's unit, or numbers of classes.
    clusters : int64 (n,), optional
        Clusters that errors are computed over; single objects where None.
    seed : int
        Seed of bootstrap errors.
    """

    target: Target
    values: np.ndarray
    clusters: np.ndarray | None
    seed: int

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Truth:
        clusters = None if self.clusters is None else clusters_of(self.clusters[rows])
        return replace(self, values=self.values[rows], clusters=clusters)

    @cached_property
    def samples(self) -> list[np.ndarray]:
        """Numbers of the objects of each bootstrap sample, the same for all measures."""
        return list(resampled(self.seed, len(self), N_RESAMPLES, self.clusters))

    def measure(self, statistic: Callable[[np.ndarray], float]) -> Measurement:
        """Measure a statistic, a function of numbers of objects, with its bootstrap error."""
        return measure_resampled(statistic, len(self), self.samples)


def redshift_error(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Δz / (1 + z), where z is the spectroscopic redshift."""
    return (predicted - truth) / (1 + truth)


def sigma_nmad(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return 1.4826 times the median absolute deviation of Δz / (1 + z).

    Brammer et al. 2008 (doi:10.1086/591786), eq. 5.
    """
    error = redshift_error(truth, predicted)
    return float(NORMAL_MAD * np.median(np.abs(error - np.median(error))))


def outlier_fraction(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the fraction of objects with |Δz| / (1 + z) > 0.15."""
    return float(np.mean(np.abs(redshift_error(truth, predicted)) > OUTLIER))


def root_mean_square(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the coefficient of determination R²; NaN where the truth does not vary."""
    total = np.sum((truth - truth.mean()) ** 2)
    return float(r2_of(np.sum((truth - predicted) ** 2), total))


def balanced_accuracy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean recall over the classes that occur in the truth."""
    count = np.bincount(truth)
    correct = np.bincount(truth, weights=probabilities.argmax(axis=1) == truth)
    return float(np.mean(correct[count > 0] / count[count > 0]))


def confusion(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the number of objects by class (row) and predicted class (column), int64."""
    n_classes = probabilities.shape[1]
    return confusion_matrix(truth, probabilities.argmax(axis=1), labels=range(n_classes))


@dataclass(frozen=True)
class Measure:
    """A measure of how good predictions are.

    Attributes
    ----------
    name, label : str
        Its key, and its name in figures.
    of : callable
        Takes truth and predictions.
    better : int
        1 where larger is better, -1 where smaller is, 0 where zero is best.
    estimate : str
        What is measured: the ``median``, the ``mean``, or the ``scaled`` mean, of which the truth
        is on the scale of the fits too. The mean has the least squared error, the median the least
        absolute error.
    unit : str
        ``target``: it has the target's unit; else its unit, empty for none.
    shown : bool
        Whether it is in the figures and decides the verdict.
    """

    name: str
    label: str
    of: Callable[[np.ndarray, np.ndarray], float]
    better: int
    estimate: Literal["median", "mean", "scaled"] = "median"
    unit: str = ""
    shown: bool = False

    def unit_of(self, target: Target) -> str:
        """Return its unit for a target."""
        return target.unit if self.unit == "target" else self.unit

    def arguments(self, truth: Truth, predicted: Estimates) -> tuple[np.ndarray, np.ndarray]:
        """Return the truth and the predictions that it compares."""
        scaled = self.estimate == "scaled"
        values = truth.target.transform(truth.values) if scaled else truth.values
        return values, getattr(predicted, self.estimate)

    def value(self, truth: Truth, predicted: Estimates) -> float:
        """Return the measure of all objects."""
        return self.of(*self.arguments(truth, predicted))


_STELLAR = (
    Measure("rmse", "RMSE", root_mean_square, -1, "mean", "target", shown=True),
    Measure("scatter", "robust scatter", lambda t, p: robust_sigma(p - t), -1, "median", "target",
            shown=True),
    Measure("bias", "median error", lambda t, p: float(np.median(p - t)), 0, "median", "target"),
    Measure("r2", "R²", r2, 1, "mean"),
)  # fmt: skip
MEASURES: dict[Role, tuple[Measure, ...]] = {
    "redshift": (
        Measure("sigma_nmad", "σ_NMAD of Δz/(1+z)", sigma_nmad, -1, shown=True),
        Measure("outliers", "fraction with |Δz|/(1+z) > 0.15", outlier_fraction, -1, shown=True),
        Measure("bias", "median Δz/(1+z)", lambda t, p: float(np.median(redshift_error(t, p))), 0),
        Measure("r2", "R²", r2, 1, "mean"),
    ),
    "temperature": (
        Measure("rmse_log", "RMSE of log₁₀", root_mean_square, -1, "scaled", "dex", shown=True),
        replace(_STELLAR[0], shown=False),
        *_STELLAR[1:],
    ),
    "stellar": _STELLAR,
    "class": (
        Measure("balanced_accuracy", "balanced accuracy", balanced_accuracy, 1, shown=True),
        Measure("calibration_error", "expected calibration error", calibration_error, -1),
        Measure("log_loss", "log loss (nats)", log_loss, -1),
    ),
}
"""Measures by the role of a target. The first one leads, and is that of curves."""


def score(measure: Measure, truth: Truth, predicted: Estimates) -> Measurement:
    """Measure predictions, with a bootstrap error over clusters.

    That of the fraction of outliers is at least Wilson's, because the bootstrap's is zero where
    there is no outlier.
    """
    values, estimates = measure.arguments(truth, predicted)

    def of(index: np.ndarray) -> float:
        return measure.of(values[index], estimates[index])

    found = truth.measure(of)
    if measure.of is not outlier_fraction:
        return found
    alone = measure_fraction(np.abs(redshift_error(values, estimates)) > OUTLIER)
    return replace(alone, error=float(np.fmax(alone.error, found.error)))


def score_difference(
    measure: Measure, truth: Truth, one: Estimates, other: Estimates
) -> Measurement:
    """Return a measure of `one` minus that of `other`, with the error of the paired difference.

    Both are resampled on the same objects. An object that is hard to predict is hard for both, so
    this error is smaller than those of the two.
    """
    values, first = measure.arguments(truth, one)
    _, second = measure.arguments(truth, other)

    def of(index: np.ndarray) -> float:
        return measure.of(values[index], first[index]) - measure.of(values[index], second[index])

    return truth.measure(of)


def score_methods(truth: Truth, predicted: Mapping[str, Estimates]) -> dict[str, Scores]:
    """Return every measure of every method."""
    measures = MEASURES[truth.target.role]
    return {
        method: {m.name: score(m, truth, each) for m in measures}
        for method, each in predicted.items()
    }


def score_pairs(truth: Truth, predicted: Mapping[str, Estimates]) -> dict[str, Scores]:
    """Return the paired differences of the shown measures, for those of `PAIRS` that exist."""
    return {
        f"{one} - {other}": {
            m.name: score_difference(m, truth, predicted[one], predicted[other])
            for m in MEASURES[truth.target.role]
            if m.shown
        }
        for one, other in PAIRS
        if one in predicted and other in predicted
    }


def verdict(role: Role, differences: Mapping[str, Measurement]) -> Verdict:
    """Return the verdict on paired differences of the shown measures.

    It is bad where one of them is worse by more than its error, else good where one is better by
    more than its error. σ_NMAD alone would call a method good whose redshifts are all wrong by the
    same amount.
    """
    gains = [
        (m.better * differences[m.name].value, differences[m.name].error)
        for m in MEASURES[role]
        if m.shown
    ]
    if any(gain < -error for gain, error in gains):
        return "bad"
    return "good" if any(gain > error for gain, error in gains) else "none"
