"""Every method that is fitted to labels, and curves of its errors against their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.evaluation.downstream.baselines import (
    Examples,
    Fit,
    fit_constant,
    fit_neighbours,
    fit_probe,
    fit_trees,
)
from astromodal.evaluation.downstream.measures import MEASURES, Estimates, Truth
from astromodal.evaluation.downstream.networks import fit_network, fit_tabm
from astromodal.evaluation.downstream.numbers import CurvePoint
from astromodal.evaluation.downstream.tasks import Task

WITH_CURVES = ("probe", "trees")
"""Methods that curves of label efficiency are made of."""
LEAST_LABELS = 10
"""Smallest number of labels that methods are fitted to."""
LEARNERS: dict[str, Callable[[Examples], Fit]] = {
    "probe": fit_probe,
    "trees": fit_trees,
    "tabm": fit_tabm,
    "neighbours": fit_neighbours,
    "network": fit_network,
    "constant": fit_constant,
}
"""Every method that is fitted to labels, by name."""


def label_curves(
    task: Task,
    examples: Mapping[str, Examples],
    predicted: Mapping[str, Estimates],
    evaluation: EvaluationSettings,
) -> dict[str, list[CurvePoint]]:
    """Return the first measure of each method after fits to random subsets of the labels.

    All methods are fitted to the same subsets, tuned by all labels of the validation split, and
    scored on the same objects.

    Parameters
    ----------
    task : Task
        The task.
    examples : mapping of str to Examples
        Examples by method.
    predicted : mapping of str to Estimates
        Estimates after a fit to all labels, by method.
    evaluation : EvaluationSettings
        Fractions of the labels, number of subsets, and their seed.
    """
    measure, truth = (
        MEASURES[task.target.role][0],
        Truth(task.target, task.truth, None, evaluation.seed),
    )
    settings, n_labels = evaluation.downstream, len(task.fit)
    curves: dict[str, list[CurvePoint]] = {name: [] for name in WITH_CURVES if name in examples}
    for fraction in sorted(set(settings.label_fractions)):
        n = round(fraction * n_labels)
        if n < LEAST_LABELS:
            continue
        for method, points in curves.items():
            if n >= n_labels:
                points.append(CurvePoint(n, 1, measure.value(truth, predicted[method]), np.nan))
                continue
            values = []
            for seed in range(settings.label_draws):
                subset = _sample_labels(examples[method], n, (evaluation.seed, seed))
                if subset is not None:
                    fit = LEARNERS[method](subset)
                    values.append(measure.value(truth, Estimates.of_fit(task.target, fit)))
            if values:
                error = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
                points.append(CurvePoint(n, len(values), float(np.mean(values)), error))
    return curves


def _sample_labels(examples: Examples, n: int, key: tuple[int, int]) -> Examples | None:
    """Return the examples with `n` of the labels; None where they are all of one class."""
    chosen = np.random.default_rng(key).permutation(examples.fit)[:n]
    if examples.n_classes and len(np.unique(examples.y[chosen])) < 2:
        return None
    return replace(examples, fit=np.sort(chosen))
