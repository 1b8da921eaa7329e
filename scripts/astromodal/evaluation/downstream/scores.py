"""How good answers are: measures of each kind of target, with bootstrap errors over objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from astromodal.evaluation.downstream.baselines import LEAST_CHANCE
from astromodal.evaluation.metrics import bootstrap_error, fraction_error, r2_of, robust_sigma
from astromodal.evaluation.report.section import Verdict
from astromodal.evaluation.report.values import Measurement

OUTLIER = 0.15
"""|Δz| / (1 + z) beyond which a redshift is an outlier."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
CONFIDENCE_BINS = 10


def redshift_error(truth: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Δz / (1 + z), z being the spectroscopic one."""
    return (told - truth) / (1 + truth)


def sigma_nmad(truth: np.ndarray, told: np.ndarray) -> float:
    """1.4826 times the median absolute deviation of Δz / (1 + z).

    Brammer et al. 2008 (doi:10.1086/591786), eq. 5.
    """
    error = redshift_error(truth, told)
    return float(NORMAL_MAD * np.median(np.abs(error - np.median(error))))


def outliers(truth: np.ndarray, told: np.ndarray) -> float:
    """Share of objects with |Δz| / (1 + z) > 0.15."""
    return float(np.mean(np.abs(redshift_error(truth, told)) > OUTLIER))


def explained(truth: np.ndarray, told: np.ndarray) -> float:
    """Explained variance R²; NaN where the truth does not vary."""
    total = np.sum((truth - truth.mean()) ** 2)
    return float(r2_of(np.sum((truth - told) ** 2), total))


def balanced_accuracy(truth: np.ndarray, told: np.ndarray) -> float:
    """Mean over the classes that occur of the share of their objects that are told right."""
    count = np.bincount(truth)
    right = np.bincount(truth, weights=told.argmax(axis=1) == truth)
    return float(np.mean(right[count > 0] / count[count > 0]))


def calibration_error(truth: np.ndarray, told: np.ndarray) -> float:
    """Expected calibration error: how far confidence lies from the share that is right.

    Guo et al. 2017 (arXiv:1706.04599), eq. 3, in ten bins. Chance alone makes it positive: of few
    objects it is too large.
    """
    return float(sum(abs(b.right - b.confidence) * b.n for b in reliability(truth, told))) / len(
        truth
    )


@dataclass(frozen=True)
class ReliabilityBin:
    """Objects of like confidence: how many, their mean confidence, the share that is right."""

    n: int
    confidence: float
    right: float
    error: float


def reliability(truth: np.ndarray, told: np.ndarray) -> list[ReliabilityBin]:
    """Objects by confidence, the chance of the likeliest class; bins without objects are left out.

    Parameters
    ----------
    truth : int64 (n,)
        Number of each object's class.
    told : float64 (n, classes)
        Chances.
    """
    confidence, right = told.max(axis=1), told.argmax(axis=1) == truth
    place = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    found = []
    for i in np.unique(place):
        inside = place == i
        share, error = fraction_error(right[inside])
        found.append(
            ReliabilityBin(int(inside.sum()), float(confidence[inside].mean()), share, error)
        )
    return found


def confusion(truth: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Objects by class (row) and by the class they are told to be (column), int64."""
    n = told.shape[1]
    return np.bincount(truth * n + told.argmax(axis=1), minlength=n * n).reshape(n, n)


def _log_loss(truth: np.ndarray, told: np.ndarray) -> float:
    chance = told[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chance, LEAST_CHANCE)).mean())


@dataclass(frozen=True)
class Measure:
    """A number that says how good answers are.

    Attributes
    ----------
    name, label : str
        As a key, and in words.
    of : callable
        Takes truth and answers.
    better : int
        1 where larger is better, -1 where smaller is, 0 where zero is best.
    scaled : bool
        Whether it has the target's unit.
    shown : bool
        Whether it is drawn, and enters a verdict.
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
        Measure("outliers", "share with |Δz|/(1+z) > 0.15", outliers, -1, shown=True),
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


def score(measure: Measure, truth: np.ndarray, told: np.ndarray, seed: int) -> dict[str, float]:
    """A measure with its error over objects, as `measured` gives it.

    The error of a share is Wilson's, for a bootstrap's is zero where there is no exception.
    """
    if measure.of is outliers:
        return Measurement(*fraction_error(np.abs(redshift_error(truth, told)) > OUTLIER))

    def of(index: np.ndarray) -> float:
        return measure.of(truth[index], told[index])

    return Measurement(measure.of(truth, told), float(bootstrap_error(of, len(truth), seed)))


def difference(
    measure: Measure, truth: np.ndarray, one: np.ndarray, other: np.ndarray, seed: int
) -> dict[str, float]:
    """A measure of `one` minus that of `other`, as `measured`: the same objects are drawn of both.

    What is hard of an object is hard for both, so this error is smaller than those of the two.
    """

    def of(index: np.ndarray) -> float:
        return measure.of(truth[index], one[index]) - measure.of(truth[index], other[index])

    return Measurement(of(np.arange(len(truth))), float(bootstrap_error(of, len(truth), seed)))


def verdict(role: str, paired: Mapping[str, Mapping[str, float]]) -> Verdict:
    """What differences of the shown measures say: bad where one of them is worse by over its error.

    Else good where one is better by over its error. σ_NMAD alone would call a way good whose every
    redshift is wrong by the same.
    """
    gains = [
        (m.better * paired[m.name].value, paired[m.name].error) for m in MEASURES[role] if m.shown
    ]
    if any(gain < -error for gain, error in gains):
        return "bad"
    return "good" if any(gain > error for gain, error in gains) else "none"


def by_magnitude(
    measure: Measure, truth: np.ndarray, told: dict[str, np.ndarray], magnitude: np.ndarray,
    seed: int, least: int = 12, most: int = 5,
) -> list[dict[str, Any]]:  # fmt: skip
    """A measure of several ways in bins of magnitude that hold equally many objects.

    Parameters
    ----------
    measure : Measure
        The measure.
    truth, told
        Truth, and answers by way.
    magnitude : float64 (n,)
        Objects without one are left out.
    seed : int
        Seed of the bootstrap.
    least, most : int
        Objects of a bin at least, and bins at most; there are none where not even two are full.
    """
    known = np.flatnonzero(np.isfinite(magnitude))
    n_bins = min(most, len(known) // least)
    if n_bins < 2:
        return []
    order = known[np.argsort(magnitude[known], kind="stable")]
    found = []
    for rows in np.array_split(order, n_bins):
        inside = magnitude[rows]
        ways = {way: score(measure, truth[rows], each[rows], seed) for way, each in told.items()}
        low, middle, high = (float(v) for v in np.quantile(inside, [0, 0.5, 1]))
        found.append({"n": len(rows), "low": low, "middle": middle, "high": high, "ways": ways})
    return found
