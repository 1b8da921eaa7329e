"""Numbers of predicted labels by target: of all scored objects, and of parts of them.

Parts are bins of fixed edges, of magnitude and redshift, classes, and fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from astromodal.evaluation.downstream.baselines import Hyperparameters
from astromodal.evaluation.downstream.calibration import CalibrationNumbers
from astromodal.evaluation.downstream.measures import (
    Estimates,
    Scores,
    Truth,
    score_methods,
)
from astromodal.evaluation.downstream.temperatures import TemperatureNumbers
from astromodal.evaluation.report.section import Measurement

BRIGHT = 21.0
"""Magnitude of the faintest objects that published redshifts are compared on."""
MAGNITUDES = (10.0, 14.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0, 22.0, 23.0, 24.0, 26.0)
"""Edges of the bins of magnitude (mag), the same for every run."""
REDSHIFTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Edges of the bins of redshift, the same for every run."""
LEAST_IN_PART = 12
"""Fewest objects of a part that is scored."""


@dataclass(frozen=True)
class PartScores:
    """Scores of several methods on a part of the scored objects.

    Attributes
    ----------
    name : str
        The part: a class, a field, or the edges of a bin.
    n : int
        Number of objects.
    middle : float
        Median of the quantity that is binned; NaN for other parts.
    methods : dict of str to dict of str to Measurement
        Every measure by method.
    """

    name: str
    n: int
    middle: float
    methods: dict[str, Scores]

    @classmethod
    def of(
        cls, name: str, truth: Truth, predicted: Mapping[str, Estimates], rows: np.ndarray,
        middle: float = np.nan,
    ) -> Self:  # fmt: skip
        """Score the objects `rows`, bool (n,)."""
        own = {method: each[rows] for method, each in predicted.items()}
        return cls(name, int(rows.sum()), middle, score_methods(truth[rows], own))


def score_bins(
    truth: Truth, predicted: Mapping[str, Estimates], quantity: np.ndarray, edges: Sequence[float]
) -> list[PartScores]:
    """Score methods in bins of a quantity, (edge, next edge], without those of few objects.

    Parameters
    ----------
    truth : Truth
        Truth of n objects.
    predicted : mapping of str to Estimates
        Estimates by method.
    quantity : float64 (n,)
        The quantity; NaN is in no bin.
    edges : sequence of float
        Edges of the bins, ascending.
    """
    parts = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        rows = (quantity > low) & (quantity <= high)
        if rows.sum() >= LEAST_IN_PART:
            middle = float(np.median(quantity[rows]))
            parts.append(PartScores.of(f"{low:g} to {high:g}", truth, predicted, rows, middle))
    return parts


def score_groups(
    truth: Truth, predicted: Mapping[str, Estimates], names: np.ndarray
) -> list[PartScores]:
    """Score methods on the objects of each name, unicode (n,), without those of few objects.

    Objects of an empty name are in no group. There are no groups where all objects are in one.
    """
    found, counts = np.unique(names, return_counts=True)
    if counts.max(initial=0) == len(names):
        return []
    return [
        PartScores.of(str(name), truth, predicted, names == name)
        for name, count in zip(found, counts, strict=True)
        if name and count >= LEAST_IN_PART
    ]


@dataclass(frozen=True)
class CurvePoint:
    """A point of a curve of label efficiency.

    Attributes
    ----------
    n : int
        Number of labels that the method was fitted to.
    draws : int
        Number of random subsets of that size.
    value, error : float
        Mean of the first measure over the subsets, and its standard deviation, which is NaN for a
        single subset.
    """

    n: int
    draws: int
    value: float
    error: float

    @property
    def score(self) -> Measurement:
        """Value and error."""
        return Measurement(self.value, self.error)


@dataclass(frozen=True)
class TaskNumbers:
    """Numbers of one target that is predicted from one combination of modalities.

    Attributes
    ----------
    n_fit, n_tune, n_objects : int
        Labels to fit to and to tune by, and scored objects.
    n_clusters : int
        Clusters that errors are computed over: HEALPix cells, or objects.
    methods : dict of str to Scores
        Every measure of every method.
    differences : dict of str to Scores
        Paired differences of the shown measures, by ``one - other``.
    chosen : dict of str to Hyperparameters
        The tuned hyperparameters of every method.
    inputs : dict of str to str
        What every method sees, in words.
    calibration : CalibrationNumbers, optional
        Scores of the model's distributions.
    bright : PartScores, optional
        Scores of the redshifts of objects brighter than `BRIGHT`.
    classes : tuple of str
        The classes, of a target that is one.
    confusion : dict of str to int64 (classes, classes)
        Objects by class (row) and predicted class (column), by method.
    by_magnitude, by_redshift : list of PartScores
        Bins of magnitude, and of redshift of a redshift, where parts are scored.
    by_class, by_field : list of PartScores
        Redshifts of each class; any target in each field.
    curves : dict of str to list of CurvePoint
        Curves of label efficiency by method, where they are made.
    """

    n_fit: int
    n_tune: int
    n_objects: int
    n_clusters: int
    methods: dict[str, Scores]
    differences: dict[str, Scores]
    chosen: dict[str, Hyperparameters]
    inputs: dict[str, str] = field(default_factory=dict)
    calibration: CalibrationNumbers | None = None
    bright: PartScores | None = None
    classes: tuple[str, ...] = ()
    confusion: dict[str, np.ndarray] = field(default_factory=dict)
    by_magnitude: list[PartScores] = field(default_factory=list)
    by_redshift: list[PartScores] = field(default_factory=list)
    by_class: list[PartScores] = field(default_factory=list)
    by_field: list[PartScores] = field(default_factory=list)
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)


@dataclass(frozen=True)
class DownstreamNumbers:
    """Numbers of the section.

    Attributes
    ----------
    temperature : dict of str to TemperatureNumbers
        By modality.
    targets : dict of str to dict of str to TaskNumbers
        By label and combination of modalities.
    """

    temperature: dict[str, TemperatureNumbers]
    targets: dict[str, dict[str, TaskNumbers]]
