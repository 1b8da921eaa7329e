"""Predictions of all methods for all tasks, and label-efficiency curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.errors import ConfigError, DataError
from astromodal.evaluation.downstream.baselines import LEARNERS, Examples, Tuned
from astromodal.evaluation.downstream.calibration import Calibration, calibrate
from astromodal.evaluation.downstream.scores import MEASURES
from astromodal.evaluation.downstream.tasks import Task
from astromodal.evaluation.report.values import Measurement
from astromodal.inference.encode import POOLINGS, Encoded, embed_by
from astromodal.inference.model import AstroModel
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.inference.request import parse_given
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR

LEARNING = ("probe_mean", "probe_attention", "trees")
"""Methods with label-efficiency curves."""
LEAST_LABELS = 10
"""Fewest labels to fit on."""


@dataclass(frozen=True)
class Curve:
    """A point of a label-efficiency curve.

    Attributes
    ----------
    n : int
        Number of labels to fit on.
    samples : int
        Number of random samples of so many labels.
    score : Measurement
        Mean of the first measure over the samples, and its standard deviation: the change from one
        sample of labels to another. The error of a single sample is NaN.
    """

    n: int
    samples: int
    score: Measurement


def label_curves(
    task: Task,
    examples: Mapping[str, Examples],
    predicted: Mapping[str, np.ndarray],
    evaluation: EvaluationSettings,
) -> dict[str, list[Curve]]:
    """Score every method that learns after fractions of the labels, by the first measure.

    All methods learn from the same samples of labels, are tuned on all labels of the validation
    split, and are scored on the same objects.

    Parameters
    ----------
    task : Task
        The task.
    examples : mapping of str to Examples
        By method.
    predicted : mapping of str to array
        Predictions by method after all labels.
    evaluation : EvaluationSettings
        Fractions, number of samples, and their seed.
    """
    measure, truth = MEASURES[task.target.role][0], task.truth
    settings, n_labels = evaluation.downstream, len(task.fit)
    curves: dict[str, list[Curve]] = {name: [] for name in LEARNING if name in examples}
    for fraction in sorted(set(settings.label_fractions)):
        n = round(fraction * n_labels)
        if n < LEAST_LABELS:
            continue
        for method, points in curves.items():
            if n >= n_labels:
                points.append(Curve(n, 1, Measurement(measure.of(truth, predicted[method]))))
                continue
            values = []
            for seed in range(settings.label_draws):
                sample = _sample_labels(examples[method], n, (evaluation.seed, seed))
                if sample is not None:
                    values.append(measure.of(truth, _outward(task, LEARNERS[method](sample)[0])))
            if values:
                error = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
                mean = Measurement(float(np.mean(values)), error)
                points.append(Curve(n, len(values), mean))
    return curves


def _sample_labels(examples: Examples, n: int, key: tuple[int, int]) -> Examples | None:
    """Return examples with `n` of their labels; None where these have a single class."""
    chosen = np.random.default_rng(key).permutation(examples.fit)[:n]
    if examples.n_classes and len(np.unique(examples.y[chosen])) < 2:
        return None
    return replace(examples, fit=np.sort(chosen))


def _outward(task: Task, predicted: np.ndarray) -> np.ndarray:
    """Return predictions in the target's unit."""
    return predicted if task.target.classes else task.target.outward(predicted)


MODEL = "model"
PAIRS = ((MODEL, "trees"), ("probe_mean", "trees"), ("probe_attention", "trees"),
         (MODEL, "constant"), ("probe_mean", "constant"))  # fmt: skip
"""Pairs of methods that are compared on the same objects."""


@dataclass
class TaskPredictions:
    """Predictions of the scored objects of one task.

    Attributes
    ----------
    task : Task
        Target, modalities that it is predicted from, and objects.
    predicted : dict of str to array
        By method, values float64 (n,) in the target's unit, or probabilities (n, classes).
    interval : float64 (n, 2), optional
        16 and 84 % quantiles of the model's distribution.
    calibration : Calibration, optional
        Calibration of the model's distributions.
    tuned : dict of str to dict
        Parameters that tuning chose, by method.
    curves : dict of str to list of Curve
        Label-efficiency curves by method; empty where none are requested.
    """

    task: Task
    predicted: dict[str, np.ndarray] = field(default_factory=dict)
    interval: np.ndarray | None = None
    calibration: Calibration | None = None
    tuned: dict[str, Tuned] = field(default_factory=dict)
    curves: dict[str, list[Curve]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Inputs of all predictions.

    Attributes
    ----------
    model : AstroModel
        The model.
    sequences : SequenceSet
        Sequences of every object.
    numbers : int64 (objects,)
        Number in `sequences` of each object that tasks refer to.
    columns : sequence of str
        Scalar columns that may be given.
    rows : int64 (n,)
        Objects whose raw scalars were read, ascending.
    raw : float64 (n, columns)
        Raw scalars; NaN where missing.
    """

    model: AstroModel
    sequences: SequenceSet
    numbers: np.ndarray
    columns: Sequence[str]
    rows: np.ndarray
    raw: np.ndarray

    def predict(
        self,
        tasks: Sequence[Task],
        curved: Sequence[Task],
        evaluation: EvaluationSettings,
        notes: list[str],
    ) -> list[TaskPredictions]:
        """Predict all tasks of one combination of modalities with every method.

        Parameters
        ----------
        cases : sequence of Case
            Cases that share what is given.
        curved : sequence of Case
            Cases that label-efficiency curves are made of.
        evaluation : EvaluationSettings
            Seed, and what the curves are made of.
        notes : list of str
            Takes what the model cannot tell, and why.
        """
        modalities = tasks[0].given.split("+")
        given = [name for name in modalities if name != SCALAR]
        given += self.columns if SCALAR in modalities else ()
        objects = np.unique(np.concatenate([task.objects for task in tasks]))
        x = self._inputs(objects, given, SCALAR in modalities)
        predicted: dict[str, ScalarPrediction] = {}
        for role in ("redshift", "stellar"):
            own = [task for task in tasks if task.target.role == role]
            predicted |= self._predict(own, given, notes)
        return [
            _predict_task(
                task, predicted.get(task.target.name), _examples(task, objects, x), evaluation,
                task in curved,
            )
            for task in tasks
        ]  # fmt: skip

    def _inputs(
        self, objects: np.ndarray, given: Sequence[str], scalars: bool
    ) -> dict[str, np.ndarray]:
        """Return the features of objects for each method that learns, float (n, features)."""
        bundle, budget = self.model.bundle, self.model.settings.token_budget
        seen = self.sequences.only(*parse_given(bundle.layout, self.model.columns, given))
        kept = Encoded(seen, self.numbers[objects])
        made = embed_by(bundle, kept, tuple(POOLINGS), budget)
        x = {f"probe_{pooling}": vectors for pooling, vectors in made.items()}
        if scalars:
            raw = self.raw[np.searchsorted(self.rows, objects)]
            x |= {"trees": raw, "neighbours": raw}
        return x | {"constant": np.empty((len(objects), 0))}

    def _predict(
        self, tasks: Sequence[Task], given: Sequence[str], notes: list[str]
    ) -> dict[str, ScalarPrediction]:
        """Predict distributions with the model itself, by column, for the scored objects."""
        known = [task for task in tasks if task.target.name in self.model.columns]
        for task in tasks:
            if task not in known:
                notes.append(
                    f"{task.target.name} is not a scalar of the model "
                    f"(tokenizers.scalar.columns): from {task.given}, only probes predict it."
                )
        if not known:
            return {}
        every = np.unique(np.concatenate([task.score for task in known]))
        objects = Encoded(self.sequences, self.numbers[every])
        try:
            predicted = self.model.predict(objects, [task.target.name for task in known], given)
        except (ConfigError, DataError) as error:  # it was not trained to, and the error says why
            notes.append(f"The model itself predicts nothing from {known[0].given}: {error}.")
            return {}
        of_columns = cast("dict[str, ScalarPrediction]", predicted)
        return {
            task.target.name: of_columns[task.target.name][np.searchsorted(every, task.score)]
            for task in known
        }


def _examples(task: Task, objects: np.ndarray, x: Mapping[str, np.ndarray]) -> dict[str, Examples]:
    """Return examples for every method that learns; `x` has features of ascending `objects`."""
    fit, tune, scored = (np.searchsorted(objects, a) for a in (task.fit, task.tune, task.score))
    known = np.concatenate([fit, tune, scored])
    labels = np.full(len(objects), np.nan)
    labels[known] = task.target.inward(task.labels[objects[known]])
    n = len(task.target.classes)
    return {method: Examples(each, labels, fit, tune, scored, n) for method, each in x.items()}


def _predict_task(
    task: Task,
    predicted: ScalarPrediction | None,
    examples: Mapping[str, Examples],
    evaluation: EvaluationSettings,
    curved: bool,
) -> TaskPredictions:
    """Predict one task with the model, where it can, and with every method that learns."""
    out = TaskPredictions(task)
    if predicted is not None:
        out.predicted[MODEL] = predicted.median
        quantiles = [predicted.quantile(level) for level in (0.16, 0.84)]
        out.interval = np.stack(quantiles, axis=1)
        labels = task.labels[task.fit]
        out.calibration = calibrate(predicted, task.truth, labels, evaluation.seed)
    for method, own in examples.items():
        inward, out.tuned[method] = LEARNERS[method](own)
        out.predicted[method] = _outward(task, inward)
    if curved:
        out.curves = label_curves(task, examples, out.predicted, evaluation)
    return out
