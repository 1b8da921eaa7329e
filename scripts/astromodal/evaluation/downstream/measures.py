"""Scores of predicted labels, with bootstrap errors over objects, and the section's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import confusion_matrix

from astromodal.evaluation.downstream.baselines import Hyperparameters, log_loss
from astromodal.evaluation.downstream.calibration import (
    CalibrationNumbers,
    TemperatureNumbers,
    calibration_error,
)
from astromodal.evaluation.downstream.tasks import Role
from astromodal.evaluation.metrics import (
    measure_fraction,
    measure_statistic,
    r2_of,
    robust_sigma,
)
from astromodal.evaluation.report.section import Measurement, Verdict

OUTLIER = 0.15
"""|Δz| / (1 + z) beyond which a redshift is an outlier."""
BRIGHT = 21.0
"""Magnitude of the faintest objects that published redshifts are compared on."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
PAIRS = (
    *(("model", other) for other in ("trees", "tabm", "neighbours", "network", "constant")),
    *(("probe_mean", other) for other in ("trees", "tabm", "constant")),
    ("probe_attention", "trees"), ("tabm", "trees"),
)  # fmt: skip
"""Pairs of methods that are compared on the same objects."""

Scores = dict[str, Measurement]
"""Scores by the name of the measure."""


@dataclass(frozen=True)
class BrightScores:
    """Scores of the redshifts of objects brighter than `BRIGHT`."""

    sigma_nmad: Measurement
    outliers: Measurement


@dataclass(frozen=True)
class BrightNumbers:
    """Scores of all methods on objects brighter than `BRIGHT`.

    Attributes
    ----------
    n : int
        Number of objects.
    methods : dict of str to BrightScores
        By method; empty for fewer than two objects.
    """

    n: int
    methods: dict[str, BrightScores]


@dataclass(frozen=True)
class MagnitudeBin:
    """The first measure of several methods in one bin of magnitude.

    Attributes
    ----------
    n : int
        Number of objects.
    low, middle, high : float
        Least, median and largest magnitude.
    methods : dict of str to Measurement
        The measure by method.
    """

    n: int
    low: float
    middle: float
    high: float
    methods: dict[str, Measurement]


@dataclass(frozen=True)
class CurvePoint:
    """A point of a curve of label efficiency.

    Attributes
    ----------
    n : int
        Number of labels that the method was fitted to.
    draws : int
        Number of random subsets of that size.
    value, error : float
        Mean of the first measure over the subsets, and its standard deviation, which is NaN for a
        single subset.
    """

    n: int
    draws: int
    value: float
    error: float

    @property
    def score(self) -> Measurement:
        """Value and error."""
        return Measurement(self.value, self.error)


@dataclass(frozen=True)
class TaskNumbers:
    """Numbers of one target that is predicted from one combination of modalities.

    Attributes
    ----------
    n_fit, n_tune, n_objects : int
        Labels to fit to and to tune by, and scored objects.
    methods : dict of str to Scores
        Every measure of every method.
    differences : dict of str to Scores
        Paired differences of the shown measures, by ``one - other``.
    chosen : dict of str to Hyperparameters
        The tuned hyperparameters of every method.
    inputs : dict of str to str
        What every method sees, in words.
    calibration : CalibrationNumbers, optional
        Scores of the model's distributions.
    bright : BrightNumbers, optional
        Scores of the redshifts of bright objects.
    classes : tuple of str
        The classes, of a target that is one.
    confusion : dict of str to int64 (classes, classes)
        Objects by class (row) and predicted class (column), by method.
    by_magnitude : list of MagnitudeBin
        Bins of magnitude, where curves are made.
    curves : dict of str to list of CurvePoint
        Curves of label efficiency by method, where they are made.
    """

    n_fit: int
    n_tune: int
    n_objects: int
    methods: dict[str, Scores]
    differences: dict[str, Scores]
    chosen: dict[str, Hyperparameters]
    inputs: dict[str, str] = field(default_factory=dict)
    calibration: CalibrationNumbers | None = None
    bright: BrightNumbers | None = None
    classes: tuple[str, ...] = ()
    confusion: dict[str, np.ndarray] = field(default_factory=dict)
    by_magnitude: list[MagnitudeBin] = field(default_factory=list)
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)


@dataclass(frozen=True)
class DownstreamNumbers:
    """Numbers of the section.

    Attributes
    ----------
    temperature : dict of str to TemperatureNumbers
        By modality.
    targets : dict of str to dict of str to TaskNumbers
        By label column and combination of modalities.
    """

    temperature: dict[str, TemperatureNumbers]
    targets: dict[str, dict[str, TaskNumbers]]


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
    scaled : bool
        Whether it has the target's unit.
    shown : bool
        Whether it is in the figures and decides the verdict.
    """

    name: str
    label: str
    of: Callable[[np.ndarray, np.ndarray], float]
    better: int
    scaled: bool = False
    shown: bool = False


MEASURES: dict[Role, tuple[Measure, ...]] = {
    "redshift": (
        Measure("sigma_nmad", "σ_NMAD of Δz/(1+z)", sigma_nmad, -1, shown=True),
        Measure("outliers", "fraction with |Δz|/(1+z) > 0.15", outlier_fraction, -1, shown=True),
        Measure("bias", "median Δz/(1+z)", lambda t, p: float(np.median(redshift_error(t, p))), 0),
        Measure("r2", "R²", r2, 1),
    ),
    "stellar": (
        Measure("rmse", "RMSE", lambda t, p: float(np.sqrt(np.mean((p - t) ** 2))), -1, True, True),
        Measure("scatter", "robust scatter", lambda t, p: robust_sigma(p - t), -1, True),
        Measure("bias", "median error", lambda t, p: float(np.median(p - t)), 0, True),
        Measure("r2", "R²", r2, 1),
    ),
    "class": (
        Measure("balanced_accuracy", "balanced accuracy", balanced_accuracy, 1, shown=True),
        Measure("calibration_error", "expected calibration error", calibration_error, -1),
        Measure("log_loss", "log loss (nats)", log_loss, -1),
    ),
}
"""Measures by the role of a target. The first one is that of curves and bins of magnitude."""


def score(measure: Measure, truth: np.ndarray, predicted: np.ndarray, seed: int) -> Measurement:
    """Measure predictions, with an error over objects.

    The error is that of a bootstrap. For the fraction of outliers it is Wilson's, because the
    bootstrap's is zero where there is no outlier.
    """
    if measure.of is outlier_fraction:
        return measure_fraction(np.abs(redshift_error(truth, predicted)) > OUTLIER)

    def of(index: np.ndarray) -> float:
        return measure.of(truth[index], predicted[index])

    return measure_statistic(of, len(truth), seed)


def score_difference(
    measure: Measure, truth: np.ndarray, one: np.ndarray, other: np.ndarray, seed: int
) -> Measurement:
    """Return a measure of `one` minus that of `other`, with the error of the paired difference.

    Both are resampled on the same objects. An object that is hard to predict is hard for both, so
    this error is smaller than those of the two.
    """

    def of(index: np.ndarray) -> float:
        return measure.of(truth[index], one[index]) - measure.of(truth[index], other[index])

    return measure_statistic(of, len(truth), seed)


def score_methods(
    role: Role, truth: np.ndarray, predicted: Mapping[str, np.ndarray], seed: int
) -> dict[str, Scores]:
    """Return every measure of every method."""
    return {
        method: {m.name: score(m, truth, each, seed) for m in MEASURES[role]}
        for method, each in predicted.items()
    }


def score_pairs(
    role: Role, truth: np.ndarray, predicted: Mapping[str, np.ndarray], seed: int
) -> dict[str, Scores]:
    """Return the paired differences of the shown measures, for those of `PAIRS` that exist."""
    return {
        f"{one} - {other}": {
            m.name: score_difference(m, truth, predicted[one], predicted[other], seed)
            for m in MEASURES[role]
            if m.shown
        }
        for one, other in PAIRS
        if one in predicted and other in predicted
    }


def score_bright(
    truth: np.ndarray, predicted: Mapping[str, np.ndarray], bright: np.ndarray, seed: int
) -> BrightNumbers:
    """Measure the redshifts of bright objects.

    Parameters
    ----------
    truth : float64 (n,)
        Measured redshifts.
    predicted : mapping of str to float64 (n,)
        Predicted redshifts by method.
    bright : bool (n,)
        Which objects are bright.
    seed : int
        Seed of the bootstrap.
    """
    n, (nmad, outliers) = int(bright.sum()), MEASURES["redshift"][:2]
    if n < 2:
        return BrightNumbers(n, {})
    methods = {
        method: BrightScores(
            score(nmad, truth[bright], each[bright], seed),
            score(outliers, truth[bright], each[bright], seed),
        )
        for method, each in predicted.items()
    }
    return BrightNumbers(n, methods)


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


def score_by_magnitude(
    measure: Measure, truth: np.ndarray, predicted: Mapping[str, np.ndarray],
    magnitude: np.ndarray, seed: int, least: int = 12, most: int = 5,
) -> list[MagnitudeBin]:  # fmt: skip
    """Measure several methods in bins of magnitude that hold equally many objects.

    Parameters
    ----------
    measure : Measure
        The measure.
    truth, predicted
        Truth, and predictions by method.
    magnitude : float64 (n,)
        Magnitudes; objects without one are left out.
    seed : int
        Seed of the bootstrap.
    least, most : int
        Smallest number of objects in a bin, and largest number of bins. There are no bins where
        fewer than two would be full.
    """
    known = np.flatnonzero(np.isfinite(magnitude))
    n_bins = min(most, len(known) // least)
    if n_bins < 2:
        return []
    order = known[np.argsort(magnitude[known], kind="stable")]
    bins = []
    for rows in np.array_split(order, n_bins):
        methods = {
            method: score(measure, truth[rows], each[rows], seed)
            for method, each in predicted.items()
        }
        low, middle, high = (float(v) for v in np.quantile(magnitude[rows], [0, 0.5, 1]))
        bins.append(MagnitudeBin(len(rows), low, middle, high, methods))
    return bins
