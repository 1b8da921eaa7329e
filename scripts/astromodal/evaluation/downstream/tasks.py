"""Which objects teach, tune and score each target, by what it is told from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from astromodal.config.evaluate import GIVEN, EvaluationSettings, combine
from astromodal.evaluation.downstream.objects import FIT, SCORE, TUNE, Objects, Target
from astromodal.evaluation.held_out import sample_rows

LEAST_FIT, LEAST_TUNE, LEAST_SCORE = 15, 5, 10
"""Labelled objects below which nothing is learned, tuned by themselves, or scored."""


@dataclass(frozen=True, eq=False)
class Case:
    """One target, told from one combination of modalities.

    Attributes
    ----------
    target : Target
        What is told.
    given : str
        What from, such as ``scalar+image``.
    labels : float64 (objects,)
        The target of every object, NaN where not known.
    fit, tune, score : int64 (m,)
        Objects that have all that is given and a label: to learn from, to tune by, to score.
    """

    target: Target
    given: str
    labels: np.ndarray
    fit: np.ndarray
    tune: np.ndarray
    score: np.ndarray

    @property
    def objects(self) -> np.ndarray:
        """All of them, ascending."""
        return np.sort(np.concatenate([self.fit, self.tune, self.score]))

    @property
    def truth(self) -> np.ndarray:
        """What is known of the scored objects; class numbers are int64."""
        found = self.labels[self.score]
        return found.astype(np.int64) if self.target.classes else found


def asked_for(objects: Objects, given: Sequence[str] | None) -> tuple[str, ...]:
    """Combinations that are asked for; where None, all that evaluated objects have."""
    if given is not None:
        return tuple(dict.fromkeys(given))
    every = [combine(names) for n in (1, 2, 3) for names in combinations(GIVEN, n)]
    scored = objects.role == SCORE
    return tuple(name for name in every if (objects.have(name) & scored).any())


def sample_tasks(
    objects: Objects,
    targets: Mapping[Target, np.ndarray],
    evaluation: EvaluationSettings,
    notes: list[str],
) -> list[Case]:
    """Draw the objects of every target and combination.

    Parameters
    ----------
    objects, targets
        As `find_objects` and `find_targets` gave them.
    evaluation : EvaluationSettings
        Combinations, objects and labels at most, and the seed of their draw.
    notes : list of str
        Takes what cannot be evaluated, and why.
    """
    found: list[Case] = []
    few, untuned = list[str](), list[str]()
    for given in asked_for(objects, evaluation.downstream.given):
        have = objects.have(given)
        if not (have & (objects.role == SCORE)).any():
            notes.append(f"No evaluated object with a label has {_spoken(given)}.")
            continue
        for target, labels in targets.items():
            case = _draw_case(objects, target, labels, given, evaluation)
            if len(case.fit) < LEAST_FIT or len(case.score) < LEAST_SCORE:
                few.append(f"{target.name} from {given} ({len(case.fit)}, {len(case.score)})")
                continue
            known = np.unique(case.labels[case.fit])
            if target.classes and len(known) < 2:
                only = target.classes[int(known[0])]
                notes.append(f"{target.name} from {given}: all labels to learn from say {only}.")
                continue
            if len(case.tune) < LEAST_TUNE:
                untuned.append(f"{target.name} from {given} ({len(case.tune)})")
                case = _hold_out(case, evaluation.seed)
            found.append(case)
    if few:
        notes.append(
            f"Too few labels, at least {LEAST_FIT} to learn from and {LEAST_SCORE} to score being "
            f"needed: {', '.join(few)}."
        )
    if untuned:
        notes.append(
            f"Fewer than {LEAST_TUNE} labels in the validation split, so that a fifth of the "
            f"training split's tune instead: {', '.join(untuned)}."
        )
    return found


def most_labelled(cases: Sequence[Case]) -> list[Case]:
    """Of each target the case with the most labels; one with scalars, which all ways see, first."""
    best: dict[Target, Case] = {}
    for case in cases:
        before = best.get(case.target)
        if before is None or _reach(case) > _reach(before):
            best[case.target] = case
    return list(best.values())


def _reach(case: Case) -> tuple[bool, int]:
    return GIVEN[0] in case.given.split("+"), len(case.fit)


def _draw_case(
    objects: Objects, target: Target, labels: np.ndarray, given: str, evaluation: EvaluationSettings
) -> Case:
    usable = objects.have(given) & np.isfinite(labels)
    most = evaluation.downstream.max_labels
    limits = ((FIT, most), (TUNE, most), (SCORE, evaluation.max_objects))
    drawn = [
        sample_rows([np.flatnonzero(usable & (objects.role == role))], n, evaluation.seed)[0]
        for role, n in limits
    ]
    return Case(target, given, labels, *drawn)


def _hold_out(case: Case, seed: int) -> Case:
    """The case, with a fifth of its training objects to tune by."""
    mixed = np.random.default_rng(seed).permutation(case.fit)
    n = len(mixed) // 5
    fit, tune = np.sort(mixed[n:]), np.sort(mixed[:n])
    return Case(case.target, case.given, case.labels, fit, tune, case.score)


def _spoken(given: str) -> str:
    words = {"scalar": "scalars", "image": "an image", "spectrum": "a spectrum"}
    return " and ".join(words[name] for name in given.split("+"))
