"""Targets to predict, and the objects that each is fitted, tuned and scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from astromodal.config.evaluate import GIVEN, EvaluationSettings, LabelSettings, combine
from astromodal.evaluation.context import cosmological, has_class, sample_rows
from astromodal.evaluation.downstream.sample import FIT, SCORE, TUNE, LabelledObjects
from astromodal.evaluation.report.style import unit, with_unit

LEAST_FIT, LEAST_TUNE, LEAST_SCORE = 15, 5, 10
"""Smallest numbers of labelled objects to fit to, to tune by, and to score."""

Role = Literal["redshift", "temperature", "stellar", "class"]
STARS_INCLUDED = "{}, stars included"
"""Name of the redshift as a target that stars have too."""


@dataclass(frozen=True)
class Target:
    """A label to predict.

    Attributes
    ----------
    name : str
        Its name: that of its column, or another one where there are several targets of a column.
    role : str
        ``redshift``, ``temperature``, ``stellar`` (another stellar parameter) or ``class``.
    classes : tuple of str
        Every class that occurs; empty for a number.
    unit : str
        Unit of a number; empty where it has none.
    of : str
        Its column, where that has another name.
    stars : bool
        Whether stars are among the objects of a redshift.
    """

    name: str
    role: Role
    classes: tuple[str, ...] = ()
    unit: str = ""
    of: str = ""
    stars: bool = False

    @classmethod
    def number(cls, name: str, unit: str) -> Target:
        """Return a target that is a number, no redshift: a temperature if its unit is K."""
        return cls(name, "temperature" if unit == "K" else "stellar", unit=unit)

    @property
    def column(self) -> str:
        """Its column."""
        return self.of or self.name

    @property
    def label(self) -> str:
        """Its name with its unit."""
        return with_unit(self.name, self.unit)

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Return values on the scale of the fits, on which errors have similar sizes.

        The scale is log(1 + z) for a redshift, log₁₀ for a temperature, else the column's own.
        """
        if self.role == "redshift":
            return np.log1p(values)
        return np.log10(values) if self.role == "temperature" else values

    def inverse_transform(self, values: np.ndarray) -> np.ndarray:
        """Return values in the column's unit from those on the scale of `transform`."""
        if self.role == "redshift":
            return np.expm1(values)
        return 10.0**values if self.role == "temperature" else values


@dataclass(frozen=True, eq=False)
class Task:
    """The prediction of one target from one combination of modalities.

    Attributes
    ----------
    target : Target
        The label to predict.
    given : str
        The modalities that it is predicted from, such as ``scalar+image``.
    labels : float64 (objects,)
        The target of every labelled object, NaN where it is not known.
    fit, tune, score : int64 (m,)
        Labelled objects, with all given modalities, to fit to, to tune by, and to score.
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
        """Measured labels of the scored objects; class numbers are int64."""
        labels = self.labels[self.score]
        return labels.astype(np.int64) if self.target.classes else labels


def find_targets(
    objects: LabelledObjects, labels: LabelSettings, notes: list[str]
) -> dict[Target, np.ndarray]:
    """Return the targets with the label of each object.

    Parameters
    ----------
    objects : LabelledObjects
        Objects with labels.
    labels : LabelSettings
        Columns of labels.
    notes : list of str
        Receives a sentence for each label that cannot be evaluated.

    Returns
    -------
    dict of Target to float64 (n,)
        The label of each object, or the number of its class in ``classes``. NaN where it is not
        known. The redshift is a target twice: without stars, whose redshifts are velocities, and
        with those that have one.
    """
    targets: dict[Target, np.ndarray] = {}
    for what, name in (("redshift", labels.redshift), ("kind", labels.kind)):
        if name is None:
            notes.append(f"evaluation.labels.{what} is null: there is no such label.")
        elif name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.{what}).")
    if labels.redshift is not None and labels.redshift not in objects.absent:
        name, measured = labels.redshift, objects.values[labels.redshift]
        values = cosmological(measured, objects.kind, labels)
        targets[Target(name, "redshift")] = values
        every = np.where(np.isin(objects.kind, labels.stars) & (measured > -1), measured, values)
        if (np.isfinite(every) & ~np.isfinite(values)).any():
            targets[Target(STARS_INCLUDED.format(name), "redshift", of=name, stars=True)] = every
        if not (objects.kind != "").any():
            notes.append(
                f"No object has a class, so stars are not excluded from {labels.redshift}."
            )
    for name in labels.stellar:
        if name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.stellar).")
            continue
        target, values = Target.number(name, unit(name)), objects.values[name]
        positive = target.role != "temperature" or values > 0
        targets[target] = np.where(positive, values, np.nan)
    if labels.kind is not None and labels.kind not in objects.absent:
        known = has_class(objects.kind, labels)
        classes, number = np.unique(objects.kind[known], return_inverse=True)
        values = np.full(len(known), np.nan)
        values[known] = number
        targets[Target(labels.kind, "class", tuple(classes.tolist()))] = values
    return targets


def requested_combinations(
    objects: LabelledObjects, given: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the requested combinations of modalities; if None, all that scored objects have."""
    if given is not None:
        return tuple(dict.fromkeys(given))
    every = [combine(names) for n in (1, 2, 3) for names in combinations(GIVEN, n)]
    scored = objects.role == SCORE
    return tuple(name for name in every if (objects.have(name) & scored).any())


def sample_tasks(
    objects: LabelledObjects,
    targets: Mapping[Target, np.ndarray],
    evaluation: EvaluationSettings,
    notes: list[str],
) -> list[Task]:
    """Sample the objects of every target and combination of modalities.

    Parameters
    ----------
    objects, targets
        As `read_labelled` and `find_targets` return them.
    evaluation : EvaluationSettings
        Combinations, largest numbers of objects and labels, and the seed of the sample.
    notes : list of str
        Receives a sentence for each task that cannot be evaluated.
    """
    tasks: list[Task] = []
    few, untuned = list[str](), list[str]()
    for given in requested_combinations(objects, evaluation.downstream.given):
        have = objects.have(given)
        if not (have & (objects.role == SCORE)).any():
            notes.append(f"No evaluated object with a label has {_in_words(given)}.")
            continue
        for target, labels in targets.items():
            task = _sample_task(objects, target, labels, given, evaluation)
            if len(task.fit) < LEAST_FIT or len(task.score) < LEAST_SCORE:
                few.append(f"{target.name} from {given} ({len(task.fit)}, {len(task.score)})")
                continue
            known = np.unique(task.labels[task.fit])
            if target.classes and len(known) < 2:
                only = target.classes[int(known[0])]
                notes.append(f"{target.name} from {given}: all labels to fit to are {only}.")
                continue
            if len(task.tune) < LEAST_TUNE:
                untuned.append(f"{target.name} from {given} ({len(task.tune)})")
                task = _hold_out(task, evaluation.seed)
            tasks.append(task)
    chosen = most_labelled(tasks)  # one is enough to show what stars among the labels change
    tasks = [task for task in tasks if not task.target.of or task in chosen]
    if few:
        notes.append(
            f"Too few labels; at least {LEAST_FIT} to fit to and {LEAST_SCORE} to score are "
            f"needed: {', '.join(few)}."
        )
    if untuned:
        notes.append(
            f"The validation split has fewer than {LEAST_TUNE} labels, so methods are tuned by a "
            f"fifth of the labels of the training split: {', '.join(untuned)}."
        )
    return tasks


def most_labelled(tasks: Sequence[Task]) -> list[Task]:
    """Return the task with the most labels for each target.

    Tasks with scalars, which all methods can use, come before tasks without.
    """
    best: dict[Target, Task] = {}
    for task in tasks:
        other = best.get(task.target)
        if other is None or _rank(task) > _rank(other):
            best[task.target] = task
    return list(best.values())


def _rank(task: Task) -> tuple[bool, int]:
    return GIVEN[0] in task.given.split("+"), len(task.fit)


def _sample_task(
    objects: LabelledObjects,
    target: Target,
    labels: np.ndarray,
    given: str,
    evaluation: EvaluationSettings,
) -> Task:
    usable = objects.have(given) & np.isfinite(labels)
    most = evaluation.downstream.max_labels
    limits = ((FIT, most), (TUNE, most), (SCORE, evaluation.max_objects))
    samples = [
        sample_rows([np.flatnonzero(usable & (objects.role == role))], n, evaluation.seed)[0]
        for role, n in limits
    ]
    return Task(target, given, labels, *samples)


def _hold_out(task: Task, seed: int) -> Task:
    """Return the task with a fifth of its objects to fit to as those to tune by."""
    mixed = np.random.default_rng(seed).permutation(task.fit)
    n = len(mixed) // 5
    fit, tune = np.sort(mixed[n:]), np.sort(mixed[:n])
    return Task(task.target, task.given, task.labels, fit, tune, task.score)


def _in_words(given: str) -> str:
    words = {"scalar": "scalars", "image": "an image", "spectrum": "a spectrum"}
    return " and ".join(words[name] for name in given.split("+"))
