"""Label-efficiency curves: how good an answer is after so many labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.errors import ConfigError, DataError
from astromodal.evaluation.downstream.baselines import LEARNERS, Task
from astromodal.evaluation.downstream.calibration import Calibration, calibrate
from astromodal.evaluation.downstream.scores import MEASURES, difference, score
from astromodal.evaluation.downstream.tasks import Case
from astromodal.inference.encode import POOLINGS, Encoded, embed_by
from astromodal.inference.model import AstroModel
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.inference.request import parse_given
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR

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


MODEL = "model"
PAIRS = ((MODEL, "trees"), ("probe_mean", "trees"), ("probe_attention", "trees"),
         (MODEL, "constant"), ("probe_mean", "constant"))  # fmt: skip
"""Ways that are compared on the same objects."""


@dataclass
class Answers:
    """What was told of the scored objects of a case.

    Attributes
    ----------
    case : Case
        Target, what it is told from, and the objects.
    told : dict of str to array
        By way, values float64 (n,) in the target's unit, or chances (n, classes).
    interval : float64 (n, 2), optional
        16 and 84 % quantiles of the model's distribution.
    calibration : Calibration, optional
        Of the model's distributions.
    chosen : dict
        By way, what tuning chose.
    curves : dict of str to list of Curve
        Label-efficiency curves by way; empty where they were not asked for.
    """

    case: Case
    told: dict[str, np.ndarray] = field(default_factory=dict)
    interval: np.ndarray | None = None
    calibration: Calibration | None = None
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, list[Curve]] = field(default_factory=dict)

    def numbers(self, seed: int) -> dict[str, Any]:
        """Objects, every measure of every way, and paired differences of the shown measures."""
        case, truth = self.case, self.case.truth
        measures = MEASURES[case.target.role]
        ways = {
            way: {m.name: score(m, truth, told, seed) for m in measures}
            for way, told in self.told.items()
        }
        paired = {
            f"{one} - {other}": {
                m.name: difference(m, truth, self.told[one], self.told[other], seed)
                for m in measures
                if m.shown
            }
            for one, other in PAIRS
            if one in self.told and other in self.told
        }
        found = {
            "n_fit": len(case.fit), "n_tune": len(case.tune), "n_objects": len(case.score),
            "ways": ways, "differences": paired, "chosen": self.chosen,
        }  # fmt: skip
        if self.calibration is not None:
            found["calibration"] = self.calibration.numbers
        return found


@dataclass(frozen=True)
class Source:
    """Where answers come from.

    Attributes
    ----------
    model : AstroModel
        The model.
    sequences : SequenceSet
        Sequences of every object.
    numbers : int64 (objects,)
        Number in the sequences of each object that cases count.
    columns : sequence of str
        Scalar columns that may be given.
    rows : int64 (n,)
        Objects, ascending, whose raw scalars were read.
    raw : float64 (n, columns)
        These, NaN where missing.
    """

    model: AstroModel
    sequences: SequenceSet
    numbers: np.ndarray
    columns: Sequence[str]
    rows: np.ndarray
    raw: np.ndarray

    def answers(
        self,
        cases: Sequence[Case],
        curved: Sequence[Case],
        evaluation: EvaluationSettings,
        notes: list[str],
    ) -> list[Answers]:
        """Ask every way about all cases of one combination.

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
        modalities = cases[0].given.split("+")
        given = [name for name in modalities if name != SCALAR]
        given += self.columns if SCALAR in modalities else ()
        objects = np.unique(np.concatenate([case.objects for case in cases]))
        x = self._inputs(objects, given, SCALAR in modalities)
        predicted: dict[str, ScalarPrediction] = {}
        for role in ("redshift", "stellar"):
            own = [case for case in cases if case.target.role == role]
            predicted |= self._predict(own, given, notes)
        return [
            _answer(
                case, predicted.get(case.target.name), _tasks(case, objects, x), evaluation,
                case in curved,
            )
            for case in cases
        ]  # fmt: skip

    def _inputs(
        self, objects: np.ndarray, given: Sequence[str], scalars: bool
    ) -> dict[str, np.ndarray]:
        """What each way that learns is told of objects, float (n, features)."""
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
        self, cases: Sequence[Case], given: Sequence[str], notes: list[str]
    ) -> dict[str, ScalarPrediction]:
        """The model's own distributions, by column, of the cases' scored objects."""
        known = [case for case in cases if case.target.name in self.model.columns]
        for case in cases:
            if case not in known:
                notes.append(
                    f"{case.target.name} is none of the model's scalars "
                    f"(tokenizers.scalar.columns): from {case.given}, only probes tell it."
                )
        if not known:
            return {}
        every = np.unique(np.concatenate([case.score for case in known]))
        asked = Encoded(self.sequences, self.numbers[every])
        try:
            told = self.model.predict(asked, [case.target.name for case in known], given)
        except (ConfigError, DataError) as error:  # it never learned to, and says why
            notes.append(f"The model itself tells nothing from {known[0].given}: {error}.")
            return {}
        of_columns = cast("dict[str, ScalarPrediction]", told)
        return {
            case.target.name: of_columns[case.target.name][np.searchsorted(every, case.score)]
            for case in known
        }


def _tasks(case: Case, objects: np.ndarray, x: Mapping[str, np.ndarray]) -> dict[str, Task]:
    """The task of every way that learns; `x` tells of `objects`, which are ascending."""
    fit, tune, scored = (np.searchsorted(objects, a) for a in (case.fit, case.tune, case.score))
    known = np.concatenate([fit, tune, scored])
    labels = np.full(len(objects), np.nan)
    labels[known] = case.target.inward(case.labels[objects[known]])
    n = len(case.target.classes)
    return {way: Task(each, labels, fit, tune, scored, n) for way, each in x.items()}


def _answer(
    case: Case,
    predicted: ScalarPrediction | None,
    tasks: Mapping[str, Task],
    evaluation: EvaluationSettings,
    curved: bool,
) -> Answers:
    out = Answers(case)
    if predicted is not None:
        out.told[MODEL] = predicted.median
        quantiles = [predicted.quantile(level) for level in (0.16, 0.84)]
        out.interval = np.stack(quantiles, axis=1)
        labels = case.labels[case.fit]
        out.calibration = calibrate(predicted, case.truth, labels, evaluation.seed)
    for way, task in tasks.items():
        told, out.chosen[way] = LEARNERS[way](task)
        out.told[way] = told if case.target.classes else case.target.outward(told)
    if curved:
        out.curves = label_curves(case, tasks, out.told, evaluation)
    return out
