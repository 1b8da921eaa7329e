"""Predictions of labels by the model and by methods that are fitted to labels, and their curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.core.vocab import MISS
from astromodal.errors import ConfigError, DataError
from astromodal.evaluation.downstream.baselines import (
    Examples,
    Fit,
    Hyperparameters,
    fit_constant,
    fit_neighbours,
    fit_probe,
    fit_trees,
)
from astromodal.evaluation.downstream.calibration import Calibration, calibrate
from astromodal.evaluation.downstream.features import (
    ON_MEASUREMENTS,
    Features,
    Measurements,
    examples_of,
)
from astromodal.evaluation.downstream.measures import (
    BRIGHT,
    MEASURES,
    CurvePoint,
    TaskNumbers,
    confusion,
    score_bright,
    score_by_magnitude,
    score_methods,
    score_pairs,
)
from astromodal.evaluation.downstream.networks import fit_network, fit_tabm
from astromodal.evaluation.downstream.tasks import Target, Task
from astromodal.inference.encode import POOLINGS, Encoded, embed_by
from astromodal.inference.finetuned import ClassPrediction
from astromodal.inference.model import AstroModel
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.inference.request import parse_given
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR

MODEL = "model"
"""Name of the model's own prediction among the methods."""
WITH_CURVES = ("probe_mean", "probe_attention", "trees")
"""Methods that curves of label efficiency are made of."""
COMPARED = (MODEL, "probe_mean", "trees", "tabm")
"""Methods that are compared in bins of magnitude."""
LEAST_LABELS = 10
"""Smallest number of labels that methods are fitted to."""
LEARNERS: dict[str, Callable[[Examples], Fit]] = {
    "probe_mean": fit_probe,
    "probe_attention": fit_probe,
    "trees": fit_trees,
    "tabm": fit_tabm,
    "neighbours": fit_neighbours,
    "network": fit_network,
    "constant": fit_constant,
}
"""Every method that is fitted to labels, by name."""


@dataclass
class Predictions:
    """Predictions of the scored objects of a task.

    Attributes
    ----------
    task : Task
        The target, the given modalities and the objects.
    values : dict of str to array
        By method, values float64 (n,) in the target's unit, or class probabilities (n, classes).
    interval : float64 (n, 2), optional
        16 % and 84 % quantiles of the model's distributions.
    calibration : Calibration, optional
        Calibration of the model's distributions.
    chosen : dict of str to Hyperparameters
        The tuned hyperparameters by method.
    inputs : dict of str to str
        What each method sees, in words.
    curves : dict of str to list of CurvePoint
        Curves of label efficiency by method; empty where none are made.
    """

    task: Task
    values: dict[str, np.ndarray] = field(default_factory=dict)
    interval: np.ndarray | None = None
    calibration: Calibration | None = None
    chosen: dict[str, Hyperparameters] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)

    def measure(self, magnitude: np.ndarray, seed: int) -> TaskNumbers:
        """Measure the predictions.

        Parameters
        ----------
        magnitude : float64 (objects,)
            Magnitude of every labelled object.
        seed : int
            Seed of bootstrap errors.
        """
        task, role, truth = self.task, self.task.target.role, self.task.truth
        classes, own = task.target.classes, magnitude[task.score]
        bright, bins = None, []
        if role == "redshift":
            bright = score_bright(truth, self.values, own < BRIGHT, seed)
        if self.curves:
            compared = {name: self.values[name] for name in COMPARED if name in self.values}
            bins = score_by_magnitude(MEASURES[role][0], truth, compared, own, seed)
        return TaskNumbers(
            n_fit=len(task.fit),
            n_tune=len(task.tune),
            n_objects=len(task.score),
            methods=score_methods(role, truth, self.values, seed),
            differences=score_pairs(role, truth, self.values, seed),
            chosen=self.chosen,
            inputs={method: self.inputs[method] for method in self.values},
            calibration=self.calibration.numbers if self.calibration else None,
            bright=bright,
            classes=classes,
            confusion={m: confusion(truth, p) for m, p in self.values.items()} if classes else {},
            by_magnitude=bins,
            curves=self.curves,
        )


def most_modalities(predictions: Sequence[Predictions]) -> dict[Target, Predictions]:
    """Return the predictions from the most modalities for each target.

    Of several with equally many modalities, those with the most scored objects are returned.
    """
    best: dict[Target, Predictions] = {}
    for each in predictions:
        other = best.get(each.task.target)
        if other is None or _rank(each) > _rank(other):
            best[each.task.target] = each
    return best


def _rank(predictions: Predictions) -> tuple[int, int]:
    return predictions.task.given.count("+"), len(predictions.task.score)


@dataclass(frozen=True)
class Predictor:
    """Predicts labels by every method.

    Attributes
    ----------
    model : AstroModel
        The model.
    sequences : SequenceSet
        Sequences of all objects.
    numbers : int64 (objects,)
        Number of each labelled object in the sequences.
    columns : sequence of str
        Scalar columns that may be given.
    measured : Measurements
        What was measured of the labelled objects.
    """

    model: AstroModel
    sequences: SequenceSet
    numbers: np.ndarray
    columns: Sequence[str]
    measured: Measurements

    def predict(
        self,
        tasks: Sequence[Task],
        with_curves: Sequence[Task],
        evaluation: EvaluationSettings,
        notes: list[str],
    ) -> list[Predictions]:
        """Predict the targets of all tasks of one combination of modalities.

        Parameters
        ----------
        tasks : sequence of Task
            Tasks with the same given modalities.
        with_curves : sequence of Task
            Tasks that curves of label efficiency are made for.
        evaluation : EvaluationSettings
            Seed, and settings of the curves.
        notes : list of str
            Receives a sentence for each target that the model cannot predict.
        """
        modalities = tasks[0].given.split("+")
        given = [name for name in modalities if name != SCALAR]
        given += self.columns if SCALAR in modalities else ()
        objects = np.unique(np.concatenate([task.objects for task in tasks]))
        features = self._features(objects, given, modalities)
        inputs = self._inputs(modalities)
        by_model: dict[str, ScalarPrediction | ClassPrediction] = {}
        for task in tasks:
            if task.target.name == self.model.label:
                objects_of = Encoded(self.sequences, self.numbers[task.score])
                by_model[task.target.name] = self._predict_label(objects_of, given)
        for role in ("redshift", "stellar"):
            own = [t for t in tasks if t.target.role == role and t.target.name not in by_model]
            by_model |= self._predict_by_model(own, given, notes)
        predictions = []
        for task in tasks:
            examples = examples_of(task, objects, features)
            each = _predict_task(task, by_model.get(task.target.name), examples, evaluation.seed)
            each.inputs = {method: inputs[method] for method in each.values}
            if task in with_curves:
                each.curves = label_curves(task, examples, each.values, evaluation)
            predictions.append(each)
        return predictions

    def _features(
        self, objects: np.ndarray, given: Sequence[str], modalities: Sequence[str]
    ) -> dict[str, Features]:
        """Return the features of objects for each method that is fitted."""
        bundle, budget = self.model.bundle, self.model.settings.token_budget
        sequences = self.sequences.only(*parse_given(bundle.layout, self.model.columns, given))
        kept = Encoded(sequences, self.numbers[objects])
        embeddings = embed_by(bundle, kept, tuple(POOLINGS), budget)
        features = {f"probe_{pooling}": Features(x) for pooling, x in embeddings.items()}
        measured = Features(
            self.measured.features(modalities, objects), self.measured.fluxes(modalities, objects)
        )
        features |= dict.fromkeys(ON_MEASUREMENTS, measured)
        if SCALAR in modalities:
            features["network"] = Features(self._values(kept))
        return features | {"constant": Features(np.empty((len(objects), 0)))}

    def _inputs(self, modalities: Sequence[str]) -> dict[str, str]:
        """Return in words what each method sees."""
        tokens = f"tokens of {', '.join(modalities)}"
        measured = self.measured.described(modalities)
        return {
            MODEL: tokens,
            "probe_mean": f"embeddings of {tokens}",
            "probe_attention": f"embeddings of {tokens}",
            "network": f"codes of {len(self.columns)} scalars",
            "constant": "nothing",
            **dict.fromkeys(ON_MEASUREMENTS, measured),
        }

    def _values(self, objects: Encoded) -> np.ndarray:
        """Return features of the codes of scalars, float32 (n, features).

        Of each column they are those of its value, and whether it is missing.
        """
        layout, features = self.model.bundle.layout, self.model.tokenizers.tables().value_features()
        ids = layout[SCALAR].ranges[0]
        tokens = objects.sequences.block_tokens(objects.numbers, layout.number(SCALAR))[:, 1:]
        known, columns = tokens != MISS, np.arange(ids.n_slots)
        codes = np.where(known, tokens - ids.offset - ids.stride * columns, 0)
        values = features[columns, codes] * known[:, :, None]
        return np.concatenate([values.reshape(len(values), -1), ~known], axis=1, dtype=np.float32)

    def _predict_label(
        self, objects: Encoded, given: Sequence[str]
    ) -> ScalarPrediction | ClassPrediction:
        """Return a fine-tuned model's own predictions of its label."""
        name = str(self.model.label)
        predicted = self.model.predict(objects, name, given)[name]
        return cast("ScalarPrediction | ClassPrediction", predicted)

    def _predict_by_model(
        self, tasks: Sequence[Task], given: Sequence[str], notes: list[str]
    ) -> dict[str, ScalarPrediction]:
        """Return the model's own distributions for the scored objects of the tasks, by column."""
        known = [task for task in tasks if task.target.name in self.model.columns]
        for task in tasks:
            if task not in known:
                notes.append(
                    f"{task.target.name} is not among the model's scalars "
                    f"(tokenizers.scalar.columns): from {task.given}, the model does not predict "
                    "it, and only the methods that are fitted to labels do."
                )
        if not known:
            return {}
        every = np.unique(np.concatenate([task.score for task in known]))
        objects = Encoded(self.sequences, self.numbers[every])
        try:
            predicted = self.model.predict(objects, [task.target.name for task in known], given)
        except (ConfigError, DataError) as error:  # it was not trained to, and the error says why
            notes.append(f"The model makes no prediction from {known[0].given}: {error}.")
            return {}
        by_column = cast("dict[str, ScalarPrediction]", predicted)
        return {
            task.target.name: by_column[task.target.name][np.searchsorted(every, task.score)]
            for task in known
        }


def _predict_task(
    task: Task,
    by_model: ScalarPrediction | ClassPrediction | None,
    examples: Mapping[str, Examples],
    seed: int,
) -> Predictions:
    predictions = Predictions(task)
    if isinstance(by_model, ClassPrediction):
        every = np.zeros((len(task.score), len(task.target.classes)))
        place = np.searchsorted(task.target.classes, by_model.classes)
        every[:, place] = by_model.probabilities
        predictions.values[MODEL] = every
    elif by_model is not None:
        predictions.values[MODEL] = by_model.median
        quantiles = [by_model.quantile(level) for level in (0.16, 0.84)]
        predictions.interval = np.stack(quantiles, axis=1)
        labels = task.labels[task.fit]
        predictions.calibration = calibrate(by_model, task.truth, labels, seed)
    for method, each in examples.items():
        fit = LEARNERS[method](each)
        predictions.chosen[method] = fit.chosen
        predictions.values[method] = _in_unit(task, fit.predicted)
    return predictions


def label_curves(
    task: Task,
    examples: Mapping[str, Examples],
    predicted: Mapping[str, np.ndarray],
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
    predicted : mapping of str to array
        Predictions after a fit to all labels, by method.
    evaluation : EvaluationSettings
        Fractions of the labels, number of subsets, and their seed.
    """
    measure, truth = MEASURES[task.target.role][0], task.truth
    settings, n_labels = evaluation.downstream, len(task.fit)
    curves: dict[str, list[CurvePoint]] = {name: [] for name in WITH_CURVES if name in examples}
    for fraction in sorted(set(settings.label_fractions)):
        n = round(fraction * n_labels)
        if n < LEAST_LABELS:
            continue
        for method, points in curves.items():
            if n >= n_labels:
                points.append(CurvePoint(n, 1, measure.of(truth, predicted[method]), np.nan))
                continue
            values = []
            for seed in range(settings.label_draws):
                subset = _sample_labels(examples[method], n, (evaluation.seed, seed))
                if subset is not None:
                    fit = LEARNERS[method](subset)
                    values.append(measure.of(truth, _in_unit(task, fit.predicted)))
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


def _in_unit(task: Task, predicted: np.ndarray) -> np.ndarray:
    """Return predictions in the target's unit; class probabilities as they are."""
    return predicted if task.target.classes else task.target.inverse_transform(predicted)
