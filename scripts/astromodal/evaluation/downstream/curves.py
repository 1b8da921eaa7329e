"""Label-efficiency curves: how good an answer is after so many labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.evaluation.downstream.cases import Case
from astromodal.evaluation.downstream.scores import MEASURES
from astromodal.evaluation.downstream.ways import LEARNERS, Task

LEARNING = ("probe_mean", "probe_attention", "trees")
"""Ways that curves are drawn of."""
LEAST_LABELS = 10
"""Labels below which nothing is learned."""


@dataclass(frozen=True)
class Curve:
    """A point of a curve.

    Attributes
    ----------
    n : int
        Labels that were learned from.
    draws : int
        Draws of them.
    value, error : float
        Mean of the first measure over the draws, and its standard deviation: what another draw of
        labels would change. NaN for a single draw.
    """

    n: int
    draws: int
    value: float
    error: float


def label_curves(
    case: Case,
    tasks: Mapping[str, Task],
    told: Mapping[str, np.ndarray],
    evaluation: EvaluationSettings,
) -> dict[str, list[Curve]]:
    """The first measure of each way that learns, at parts of the labels.

    All ways learn from the same draws, tune by all labels of the validation split, and are scored
    on the same objects.

    Parameters
    ----------
    case : Case
        The target.
    tasks : mapping of str to Task
        By way.
    told : mapping of str to array
        What each tells after all labels.
    evaluation : EvaluationSettings
        Parts, draws, and their seed.
    """
    measure, truth = MEASURES[case.target.role][0], case.truth
    asked, n_labels = evaluation.downstream, len(case.fit)
    found: dict[str, list[Curve]] = {way: [] for way in LEARNING if way in tasks}
    for fraction in sorted(set(asked.label_fractions)):
        n = round(fraction * n_labels)
        if n < LEAST_LABELS:
            continue
        for way, points in found.items():
            if n >= n_labels:
                points.append(Curve(n, 1, measure.of(truth, told[way]), np.nan))
                continue
            values = []
            for seed in range(asked.label_draws):
                drawn = _draw(tasks[way], n, (evaluation.seed, seed))
                if drawn is not None:
                    values.append(measure.of(truth, _outward(case, LEARNERS[way](drawn)[0])))
            if values:
                error = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
                points.append(Curve(n, len(values), float(np.mean(values)), error))
    return found


def _draw(task: Task, n: int, key: tuple[int, int]) -> Task | None:
    """The task with `n` of its labels; None where they are all of one class."""
    chosen = np.random.default_rng(key).permutation(task.fit)[:n]
    if task.n_classes and len(np.unique(task.y[chosen])) < 2:
        return None
    return replace(task, fit=np.sort(chosen))


def _outward(case: Case, told: np.ndarray) -> np.ndarray:
    return told if case.target.classes else case.target.outward(told)
