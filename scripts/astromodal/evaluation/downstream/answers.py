"""What every way tells of the scored objects of each case, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.errors import ConfigError, DataError
from astromodal.evaluation.downstream.calibration import Calibration, calibrate
from astromodal.evaluation.downstream.cases import Case
from astromodal.evaluation.downstream.curves import Curve, label_curves
from astromodal.evaluation.downstream.scores import MEASURES, difference, score
from astromodal.evaluation.downstream.ways import LEARNERS, Task
from astromodal.inference.asking import look
from astromodal.inference.distributions import ScalarPrediction
from astromodal.inference.embedding import POOLINGS, embed_by
from astromodal.inference.encoded import Encoded
from astromodal.inference.model import AstroModel
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import SCALAR

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
        seen = self.sequences.only(*look(bundle.layout, self.model.columns, given))
        made = embed_by(bundle, seen, self.numbers[objects], tuple(POOLINGS), budget)
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
