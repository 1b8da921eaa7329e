"""Numbers of the section on labels: scores of every method, paired differences, bright objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from astromodal.evaluation.downstream.baselines import Tuned
from astromodal.evaluation.downstream.calibration import CalibrationNumbers, TemperatureNumbers
from astromodal.evaluation.downstream.objects import Target
from astromodal.evaluation.downstream.predictions import MODEL, PAIRS, Curve, TaskPredictions
from astromodal.evaluation.downstream.scores import (
    MEASURES,
    MagnitudeBin,
    by_magnitude,
    confusion,
    difference,
    score,
)
from astromodal.evaluation.report.values import Measurement

BRIGHT = 21.0
"""Magnitude below which redshifts are compared with published ones."""
COMPARED = (MODEL, "probe_mean", "trees")
"""Methods that are compared in bins of magnitude."""
Scores = dict[str, Measurement]
"""Scores by measure."""


@dataclass(frozen=True)
class BrightNumbers:
    """Scores of redshifts of bright objects.

    Attributes
    ----------
    n : int
        Number of objects.
    methods : dict of str to dict of str to Measurement
        σ_NMAD and fraction of outliers, by method; empty for fewer than two objects.
    """

    n: int
    methods: dict[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskNumbers:
    """Numbers of one task.

    Attributes
    ----------
    n_fit, n_tune, n_objects : int
        Objects to fit on, to tune on, and scored objects.
    methods : dict of str to dict of str to Measurement
        Scores by method and measure.
    differences : dict of str to dict of str to Measurement
        Paired differences of the shown measures, by pair of methods.
    tuned : dict of str to dict
        Parameters that tuning chose, by method.
    calibration : CalibrationNumbers, optional
        Calibration of the model's distributions.
    bright : BrightNumbers, optional
        For redshifts.
    classes : tuple of str
        Names of the classes; empty for a number.
    confusion : dict of str to int64 (classes, classes)
        Objects by true and predicted class, by method.
    by_magnitude : list of MagnitudeBin
        First measure in bins of magnitude, for tasks with curves.
    curves : dict of str to list of Curve
        Label-efficiency curves.
    """

    n_fit: int
    n_tune: int
    n_objects: int
    methods: dict[str, Scores]
    differences: dict[str, Scores]
    tuned: dict[str, Tuned]
    calibration: CalibrationNumbers | None = None
    bright: BrightNumbers | None = None
    classes: tuple[str, ...] = ()
    confusion: dict[str, np.ndarray] = field(default_factory=dict)
    by_magnitude: list[MagnitudeBin] = field(default_factory=list)
    curves: dict[str, list[Curve]] = field(default_factory=dict)


Numbers = dict[Target, dict[str, TaskNumbers]]
"""Numbers by target and combination of modalities."""


@dataclass(frozen=True)
class DownstreamNumbers:
    """All numbers of the section.

    Attributes
    ----------
    temperature : dict of str to TemperatureNumbers
        By modality.
    targets : dict of str to dict of str to TaskNumbers
        By column of the label and combination of modalities.
    """

    temperature: dict[str, TemperatureNumbers]
    targets: dict[str, dict[str, TaskNumbers]]


def measure_tasks(
    predictions: Sequence[TaskPredictions], magnitude: np.ndarray, seed: int
) -> Numbers:
    """Measure all tasks.

    Parameters
    ----------
    predictions : sequence of TaskPredictions
        Predictions of all tasks.
    magnitude : float64 (objects,)
        Magnitude of every object that tasks refer to.
    seed : int
        Seed of bootstrap errors.
    """
    numbers: Numbers = {}
    for each in predictions:
        own = _measure_task(each, magnitude[each.task.score], seed)
        numbers.setdefault(each.task.target, {})[each.task.given] = own
    return numbers


def _measure_task(each: TaskPredictions, magnitude: np.ndarray, seed: int) -> TaskNumbers:
    task, truth, predicted = each.task, each.task.truth, each.predicted
    measures, target = MEASURES[task.target.role], task.target
    compared = {name: predicted[name] for name in COMPARED if name in predicted}
    return TaskNumbers(
        n_fit=len(task.fit),
        n_tune=len(task.tune),
        n_objects=len(task.score),
        methods={
            method: {m.name: score(m, truth, values, seed) for m in measures}
            for method, values in predicted.items()
        },
        differences={
            f"{one} - {other}": {
                m.name: difference(m, truth, predicted[one], predicted[other], seed)
                for m in measures
                if m.shown
            }
            for one, other in PAIRS
            if one in predicted and other in predicted
        },
        tuned=each.tuned,
        calibration=None if each.calibration is None else each.calibration.numbers,
        bright=_bright(each, magnitude < BRIGHT, seed) if target.role == "redshift" else None,
        classes=target.classes,
        confusion={m: confusion(truth, p) for m, p in predicted.items()} if target.classes else {},
        by_magnitude=(
            by_magnitude(measures[0], truth, compared, magnitude, seed) if each.curves else []
        ),
        curves=each.curves,
    )


def _bright(each: TaskPredictions, bright: np.ndarray, seed: int) -> BrightNumbers:
    """Measure σ_NMAD and outliers of bright objects."""
    n = int(bright.sum())
    if n < 2:
        return BrightNumbers(n)
    truth = each.task.truth[bright]
    measures = [m for m in MEASURES["redshift"] if m.name in ("sigma_nmad", "outliers")]
    methods = {
        method: {m.name: score(m, truth, values[bright], seed) for m in measures}
        for method, values in each.predicted.items()
    }
    return BrightNumbers(n, methods)


def fullest(predictions: Sequence[TaskPredictions]) -> dict[Target, TaskPredictions]:
    """Return the predictions of each target from the most modalities, then of the most objects."""
    best: dict[Target, TaskPredictions] = {}
    for each in predictions:
        before = best.get(each.task.target)
        if before is None or _size(each) > _size(before):
            best[each.task.target] = each
    return best


def _size(each: TaskPredictions) -> tuple[int, int]:
    return each.task.given.count("+"), len(each.task.score)
