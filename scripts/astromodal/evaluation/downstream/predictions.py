"""Predictions of labels by the model and by methods that are fitted to labels, and their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from astromodal.config.evaluate import QUERY, EvaluationSettings
from astromodal.core.vocab import MISS
from astromodal.errors import ConfigError, DataError
from astromodal.evaluation.downstream.baselines import (
    Examples,
    Hyperparameters,
)
from astromodal.evaluation.downstream.calibration import Calibration, calibrate
from astromodal.evaluation.downstream.curves import LEARNERS, label_curves
from astromodal.evaluation.downstream.features import (
    ON_MEASUREMENTS,
    Features,
    Measurements,
    examples_of,
)
from astromodal.evaluation.downstream.measures import (
    Estimates,
    Truth,
    clusters_of,
    confusion,
    score_methods,
    score_pairs,
)
from astromodal.evaluation.downstream.numbers import (
    BRIGHT,
    MAGNITUDES,
    REDSHIFTS,
    CurvePoint,
    PartScores,
    TaskNumbers,
    score_bins,
    score_groups,
)
from astromodal.evaluation.downstream.sample import LabelledObjects
from astromodal.evaluation.downstream.tasks import Target, Task
from astromodal.inference.encode import Encoded, embed_objects
from astromodal.inference.finetuned import ClassPrediction
from astromodal.inference.model import AstroModel
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.inference.request import parse_given
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR

MODEL = "model"
"""Name of the model's own prediction among the methods."""
COMPARED = (MODEL, "probe", "trees", "tabm")
"""Methods that are compared in bins, classes and fields."""
STARS_WITHIN = 0.003
"""Absolute redshift of the fastest stars: 900 km/s, well above the Galaxy's escape speed at the Sun
of 528 km/s (Deason et al. 2019, doi:10.1093/mnras/stz623)."""


@dataclass
class Predictions:
    """Predictions of the scored objects of a task.

    Attributes
    ----------
    task : Task
        The target, the given modalities and the objects.
    estimates : dict of str to Estimates
        Estimates by method.
    interval : float64 (n, 2), optional
        16 % and 84 % quantiles of the model's distributions.
    calibration : Calibration, optional
        Calibration of the model's distributions.
    chosen : dict of str to Hyperparameters
        The tuned hyperparameters by method.
    inputs : dict of str to str
        What each method sees, in words.
    in_parts : bool
        Whether parts of the scored objects are scored, too.
    curves : dict of str to list of CurvePoint
        Curves of label efficiency by method; empty where none are made.
    """

    task: Task
    estimates: dict[str, Estimates] = field(default_factory=dict)
    interval: np.ndarray | None = None
    calibration: Calibration | None = None
    chosen: dict[str, Hyperparameters] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    in_parts: bool = False
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, np.ndarray]:
        """By method, medians float64 (n,) in the target's unit, or probabilities (n, classes)."""
        return {method: each.median for method, each in self.estimates.items()}

    def measure(self, objects: LabelledObjects, seed: int) -> TaskNumbers:
        """Measure the predictions.

        Parameters
        ----------
        objects : LabelledObjects
            The labelled objects that the task refers to.
        seed : int
            Seed of bootstrap errors.
        """
        task, target, scored = self.task, self.task.target, self.task.score
        truth = Truth(target, task.truth, clusters_of(objects.cell[scored]), seed)
        n_clusters = len(truth if truth.clusters is None else np.unique(truth.clusters))
        return TaskNumbers(
            n_fit=len(task.fit),
            n_tune=len(task.tune),
            n_objects=len(scored),
            n_clusters=n_clusters,
            methods=score_methods(truth, self.estimates),
            differences=score_pairs(truth, self.estimates),
            chosen=self.chosen,
            inputs={method: self.inputs[method] for method in self.estimates},
            calibration=self.calibration.numbers if self.calibration else None,
            classes=target.classes,
            confusion={m: confusion(truth.values, p) for m, p in self.values.items()}
            if target.classes
            else {},
            curves=self.curves,
            **self._parts(truth, objects),
        )

    def _parts(self, truth: Truth, objects: LabelledObjects) -> dict[str, Any]:
        """Return the scores of parts of the objects, by attribute of `TaskNumbers`."""
        scored = self.task.score
        magnitude = objects.magnitude[scored]
        compared = {name: each for name, each in self.estimates.items() if name in COMPARED}
        parts: dict[str, Any] = {}
        if truth.target.role == "redshift" and not truth.target.stars:
            bright = magnitude < BRIGHT
            if bright.sum() > 1:
                parts["bright"] = PartScores.of("bright", truth, compared, bright)
        if not self.in_parts:
            return parts
        parts["by_magnitude"] = score_bins(truth, compared, magnitude, MAGNITUDES)
        parts["by_field"] = score_groups(truth, compared, objects.field[scored])
        if truth.target.role == "redshift":
            parts["by_redshift"] = score_bins(truth, compared, truth.values, REDSHIFTS)
            parts["by_class"] = score_groups(truth, compared, objects.kind[scored])
        return parts


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
    cells : int64 (objects,)
        HEALPix cell of each labelled object.
    """

    model: AstroModel
    sequences: SequenceSet
    numbers: np.ndarray
    columns: Sequence[str]
    measured: Measurements
    cells: np.ndarray

    def predict(
        self,
        tasks: Sequence[Task],
        chosen: Sequence[Task],
        evaluation: EvaluationSettings,
        notes: list[str],
    ) -> list[Predictions]:
        """Predict the targets of all tasks of one combination of modalities.

        Parameters
        ----------
        tasks : sequence of Task
            Tasks with the same given modalities.
        chosen : sequence of Task
            Tasks whose objects are scored in parts, and, but for redshifts with stars, that curves
            of label efficiency are made for.
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
        by_model: dict[Target, ScalarPrediction | ClassPrediction] = {}
        for task in tasks:
            if task.target.name == self.model.label:
                objects_of = Encoded(self.sequences, self.numbers[task.score])
                by_model[task.target] = self._predict_label(objects_of, given)
        own = [t for t in tasks if not t.target.classes and t.target not in by_model]
        for of_redshift in (True, False):
            asked = [task for task in own if (task.target.role == "redshift") == of_redshift]
            by_model |= self._predict_by_model(asked, given, notes)
        predictions = []
        for task in tasks:
            examples = examples_of(task, objects, features)
            clusters = clusters_of(self.cells[task.score])
            each = _predict_task(
                task, by_model.get(task.target), examples, clusters, evaluation.seed
            )
            each.inputs = {method: inputs[method] for method in each.estimates}
            each.in_parts = task in chosen
            if each.in_parts and not task.target.of:  # stars would change little
                each.curves = label_curves(task, examples, each.estimates, evaluation)
            predictions.append(each)
        return predictions

    def _features(
        self, objects: np.ndarray, given: Sequence[str], modalities: Sequence[str]
    ) -> dict[str, Features]:
        """Return the features of objects for each method that is fitted."""
        bundle, budget = self.model.bundle, self.model.settings.token_budget
        sequences = self.sequences.only(*parse_given(bundle.layout, self.model.columns, given))
        kept = Encoded(sequences, self.numbers[objects])
        features = {"probe": Features(embed_objects(bundle, kept, QUERY, budget))}
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
            "probe": f"embeddings of {tokens}",
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
    ) -> dict[Target, ScalarPrediction]:
        """Return the model's own distributions for the scored objects of the tasks, by target."""
        known = [task for task in tasks if task.target.column in self.model.columns]
        for task in tasks:
            if task not in known:
                notes.append(
                    f"{task.target.column} is not among the model's scalars "
                    f"(tokenizers.scalar.columns): from {task.given}, the model does not predict "
                    "it, and only the methods that are fitted to labels do."
                )
        if not known:
            return {}
        every = np.unique(np.concatenate([task.score for task in known]))
        objects = Encoded(self.sequences, self.numbers[every])
        try:
            columns = list(dict.fromkeys(task.target.column for task in known))
            predicted = self.model.predict(objects, columns, given)
        except (ConfigError, DataError) as error:  # it was not trained to, and the error says why
            notes.append(f"The model makes no prediction from {known[0].given}: {error}.")
            return {}
        by_column = cast("dict[str, ScalarPrediction]", predicted)
        return {
            task.target: by_column[task.target.column][np.searchsorted(every, task.score)]
            for task in known
        }


def _predict_task(
    task: Task,
    by_model: ScalarPrediction | ClassPrediction | None,
    examples: Mapping[str, Examples],
    clusters: np.ndarray | None,
    seed: int,
) -> Predictions:
    predictions = Predictions(task)
    if isinstance(by_model, ClassPrediction):
        every = np.zeros((len(task.score), len(task.target.classes)))
        place = np.searchsorted(task.target.classes, by_model.classes)
        every[:, place] = by_model.probabilities
        predictions.estimates[MODEL] = Estimates(every, every, every)
    elif by_model is not None:
        # Other methods were fitted without stars where these are left out.
        limit = STARS_WITHIN if task.target.role == "redshift" and not task.target.stars else None
        own = by_model if limit is None else by_model.given_beyond(limit)
        predictions.estimates[MODEL] = Estimates.of_distributions(task.target, own)
        predictions.interval = np.stack([own.quantile(level) for level in (0.16, 0.84)], axis=1)
        labels = task.labels[task.fit]
        predictions.calibration = calibrate(by_model, task.truth, labels, seed, clusters, limit)
    for method, each in examples.items():
        fit = LEARNERS[method](each)
        predictions.chosen[method] = fit.chosen
        predictions.estimates[method] = Estimates.of_fit(task.target, fit)
    return predictions
