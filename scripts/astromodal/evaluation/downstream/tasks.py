"""Objects to fit on, to tune on and to score, for each target and combination of modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from astromodal.config.evaluate import GIVEN, EvaluationSettings, combine
from astromodal.evaluation.downstream.objects import FIT, SCORE, TUNE, Objects, Target
from astromodal.evaluation.held_out import sample_rows

LEAST_FIT, LEAST_TUNE, LEAST_SCORE = 15, 5, 10
"""Fewest labelled objects to fit on, to tune on, and to score."""


@dataclass(frozen=True, eq=False)
class Task:
    """The prediction of one target from one combination of modalities.

    Attributes
    ----------
    target : Target
        The target.
    given : str
        Modalities that it is predicted from, such as ``scalar+image``.
    labels : float64 (objects,)
        Label of every object; NaN where unknown.
    fit, tune, score : int64 (m,)
        Objects with all of these modalities and a label: to fit on, to tune on, and to score.
    """

    target: Target
    given: str
    labels: np.ndarray
    fit: np.ndarray
    tune: np.ndarray
    score: np.ndarray

    @property
    def objects(self) -> np.ndarray:
        """All objects of the task, ascending."""
        return np.sort(np.concatenate([self.fit, self.tune, self.score]))

    @property
    def truth(self) -> np.ndarray:
        """Labels of the scored objects; class numbers are int64."""
        labels = self.labels[self.score]
        return labels.astype(np.int64) if self.target.classes else labels


def requested_combinations(objects: Objects, given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the given combinations, or all that evaluated objects have where None."""
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
) -> list[Task]:
    """Sample the objects of every target and combination.

    Parameters
    ----------
    objects, targets
        Results of `find_objects` and `find_targets`.
    evaluation : EvaluationSettings
        Combinations, largest numbers of objects and labels, and the seed of the sample.
    notes : list of str
        What cannot be evaluated, and why, is appended.
    """
    tasks: list[Task] = []
    few, untuned = list[str](), list[str]()
    for given in requested_combinations(objects, evaluation.downstream.given):
        have = objects.have(given)
        if not (have & (objects.role == SCORE)).any():
            notes.append(f"No evaluated object with a label has {_spoken(given)}.")
            continue
        for target, labels in targets.items():
            task = _sample_task(objects, target, labels, given, evaluation)
            if len(task.fit) < LEAST_FIT or len(task.score) < LEAST_SCORE:
                few.append(f"{target.name} from {given} ({len(task.fit)}, {len(task.score)})")
                continue
            known = np.unique(task.labels[task.fit])
            if target.classes and len(known) < 2:
                only = target.classes[int(known[0])]
                notes.append(f"{target.name} from {given}: all labels to fit on are {only}.")
                continue
            if len(task.tune) < LEAST_TUNE:
                untuned.append(f"{target.name} from {given} ({len(task.tune)})")
                task = _hold_out(task, evaluation.seed)
            tasks.append(task)
    if few:
        notes.append(
            f"Too few labels; {LEAST_FIT} to fit on and {LEAST_SCORE} to score are needed: "
            f"{', '.join(few)}."
        )
    if untuned:
        notes.append(
            f"Fewer than {LEAST_TUNE} labels in the validation split; a fifth of those in the "
            f"training split is used for tuning instead: {', '.join(untuned)}."
        )
    return tasks


def most_labelled(tasks: Sequence[Task]) -> list[Task]:
    """Return the task of each target with the most labels; one with scalars comes first."""
    best: dict[Target, Task] = {}
    for task in tasks:
        before = best.get(task.target)
        if before is None or _reach(task) > _reach(before):
            best[task.target] = task
    return list(best.values())


def _reach(task: Task) -> tuple[bool, int]:
    return GIVEN[0] in task.given.split("+"), len(task.fit)


def _sample_task(
    objects: Objects, target: Target, labels: np.ndarray, given: str, evaluation: EvaluationSettings
) -> Task:
    usable = objects.have(given) & np.isfinite(labels)
    most = evaluation.downstream.max_labels
    limits = ((FIT, most), (TUNE, most), (SCORE, evaluation.max_objects))
    sampled = [
        sample_rows([np.flatnonzero(usable & (objects.role == role))], n, evaluation.seed)[0]
        for role, n in limits
    ]
    return Task(target, given, labels, *sampled)


def _hold_out(task: Task, seed: int) -> Task:
    """Return the task with a fifth of its objects to fit on used for tuning."""
    mixed = np.random.default_rng(seed).permutation(task.fit)
    n = len(mixed) // 5
    fit, tune = np.sort(mixed[n:]), np.sort(mixed[:n])
    return Task(task.target, task.given, task.labels, fit, tune, task.score)


def _spoken(given: str) -> str:
    words = {"scalar": "scalars", "image": "an image", "spectrum": "a spectrum"}
    return " and ".join(words[name] for name in given.split("+"))
