"""What a variant changes relative to the training as configured, on the same objects and seeds.

Legend: S seeds, O orders of blocks, n objects, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from astromodal.config.evaluate import AS_CONFIGURED
from astromodal.errors import FormatError, must_be
from astromodal.evaluation.metrics import LN2, bootstrap_error
from astromodal.evaluation.report.section import Measurement
from astromodal.evaluation.transformer.losses import ObjectLosses
from astromodal.sequences.layout import MODALITIES

ONE_SIGMA = float(stats.norm.cdf(1.0))


@dataclass(frozen=True)
class Trainings:
    """Losses under all trainings of each variant, for the same objects.

    Attributes
    ----------
    codes : int64 (n, M)
        Number of codes of each object.
    nll, squared : dict of str to float64 (S, O, n, M)
        By variant, sums over each object's codes.
    scalars : dict of str to float64 (S, O, n, columns)
        By variant, errors of the expected scalars.
    columns : tuple of str
        The scalar columns.
    """

    codes: np.ndarray
    nll: dict[str, np.ndarray]
    squared: dict[str, np.ndarray]
    scalars: dict[str, np.ndarray]
    columns: tuple[str, ...]

    @classmethod
    def join(cls, runs: Sequence[tuple[str, ObjectLosses]]) -> Trainings:
        """Stack losses by variant; the order of `runs` is that of the seeds.

        Raises
        ------
        FormatError
            Where two runs have losses of different objects or columns.
        """
        first = runs[0][1]
        for variant, losses in runs:
            for name in ("ids", "columns", "codes"):
                if not np.array_equal(getattr(losses, name), getattr(first, name)):
                    what, must = f"{name} of {variant}'s losses", f"those of {runs[0][0]}"
                    raise FormatError(must_be(what, must, "others", "run evaluate_ablation again"))
        variants = dict.fromkeys(variant for variant, _ in runs)

        def stacked(name: str) -> dict[str, np.ndarray]:
            return {v: np.stack([getattr(s, name) for w, s in runs if w == v]) for v in variants}

        nll, squared, scalars = map(stacked, ("nll", "squared", "scalars"))
        return cls(first.codes, nll, squared, scalars, tuple(first.columns.tolist()))


@dataclass(frozen=True)
class Change:
    """A change, as the mean over seeds.

    Attributes
    ----------
    value, error : float
        The change and its standard error, over objects and over seeds together.
    over_objects : float
        The bootstrap error over objects.
    over_seeds : float
        The standard error of the mean over seeds, multiplied by the factor of Student's t for few
        seeds; NaN for a single seed.
    """

    value: float
    error: float
    over_objects: float
    over_seeds: float

    @property
    def measurement(self) -> Measurement:
        """The change with its error."""
        return Measurement(self.value, self.error)


@dataclass(frozen=True)
class ModalityNumbers:
    """Losses of one modality under one variant, as means over seeds.

    Attributes
    ----------
    n : int
        Objects with codes.
    bits : float
        Negative log-likelihood (bits per code).
    squared : float
        Squared error of the expected centroid (standardised units).
    bits_change, squared_change : Change, optional
        Change relative to the training as configured, in bits per code and in per cent; None for
        the training as configured.
    """

    n: int
    bits: float
    squared: float
    bits_change: Change | None = None
    squared_change: Change | None = None


VariantNumbers = Mapping[str, Mapping[str, ModalityNumbers]]
"""By variant and modality."""


@dataclass(frozen=True)
class ColumnNumbers:
    """Errors of one expected scalar, as means over seeds.

    Attributes
    ----------
    n : int
        Objects with a value.
    configured, variant : float
        Median error under the training as configured and under a variant, in the column's unit.
    change : Change
        Change of the median error (%).
    """

    n: int
    configured: float
    variant: float
    change: Change


@dataclass(frozen=True)
class AblationNumbers:
    """All numbers of the page.

    Attributes
    ----------
    orders : dict of str to VariantNumbers
        By order of blocks.
    columns : dict of str to ColumnNumbers
        By scalar column, without the reconstruction terms; empty where no variant lacks them.
    """

    orders: Mapping[str, VariantNumbers]
    columns: Mapping[str, ColumnNumbers]


def measure_change(statistic: Callable[[np.ndarray], np.ndarray], n: int, seed: int) -> Change:
    """Measure the mean over seeds of a statistic of objects.

    Parameters
    ----------
    statistic : callable
        Takes object numbers (m,) and returns the statistic under the training of each seed, (S,).
    n, seed : int
        Number of objects, and the seed of the bootstrap.
    """
    values = statistic(np.arange(n))
    over_objects = float(bootstrap_error(lambda index: statistic(index).mean(), n, seed))
    over_seeds = np.nan
    if len(values) > 1:
        factor = stats.t.ppf(ONE_SIGMA, len(values) - 1)
        over_seeds = float(factor * values.std(ddof=1) / np.sqrt(len(values)))
    error = float(np.hypot(over_objects, np.nan_to_num(over_seeds)))
    return Change(float(values.mean()), error, over_objects, over_seeds)


def measure_modalities(trainings: Trainings, order: int, seed: int) -> VariantNumbers:
    """Measure the losses of each variant and modality in one order of blocks.

    Modalities without a code are left out.
    """
    present = [m for m in range(len(MODALITIES)) if trainings.codes[:, m].any()]
    return {
        variant: {
            MODALITIES[m]: _measure_modality(trainings, variant, order, m, seed) for m in present
        }
        for variant in trainings.nll
    }


def _measure_modality(
    trainings: Trainings, variant: str, order: int, m: int, seed: int
) -> ModalityNumbers:
    has = trainings.codes[:, m] > 0
    codes = trainings.codes[has, m]
    nll, base_nll, squared, base_squared = (
        values[name][:, order, has, m]  # (S, n)
        for values in (trainings.nll, trainings.squared)
        for name in (variant, AS_CONFIGURED)
    )
    varied = variant != AS_CONFIGURED
    return ModalityNumbers(
        n=len(codes),
        bits=float((nll.sum(1) / codes.sum() / LN2).mean()),
        squared=float((squared.sum(1) / codes.sum()).mean()),
        bits_change=_difference(nll - base_nll, codes, seed) if varied else None,
        squared_change=_percent(squared, base_squared, seed) if varied else None,
    )


def _difference(difference: np.ndarray, codes: np.ndarray, seed: int) -> Change:
    """Measure a difference of sums (S, n), in bits per code."""

    def per_code(index: np.ndarray) -> np.ndarray:
        return difference[:, index].sum(1) / codes[index].sum() / LN2

    return measure_change(per_code, len(codes), seed)


def _percent(varied: np.ndarray, base: np.ndarray, seed: int) -> Change:
    """Measure the change of sums (S, n), in per cent."""

    def percent(index: np.ndarray) -> np.ndarray:
        return 100 * (varied[:, index].sum(1) / base[:, index].sum(1) - 1)

    return measure_change(percent, base.shape[1], seed)


def measure_columns(
    trainings: Trainings, variant: str, order: int, seed: int
) -> dict[str, ColumnNumbers]:
    """Measure the median error of each scalar column as configured and under a variant.

    Columns without a value, or whose median error as configured is 0, are left out.
    """
    columns: dict[str, ColumnNumbers] = {}
    for i, column in enumerate(trainings.columns):
        base, varied = (trainings.scalars[v][:, order, :, i] for v in (AS_CONFIGURED, variant))
        known = np.isfinite(base).all(0) & np.isfinite(varied).all(0)
        base, varied = base[:, known], varied[:, known]
        if known.any() and np.median(base, axis=1).all():
            columns[column] = ColumnNumbers(
                n=int(known.sum()),
                configured=float(np.median(base, axis=1).mean()),
                variant=float(np.median(varied, axis=1).mean()),
                change=_percent_of_medians(varied, base, seed),
            )
    return columns


def _percent_of_medians(varied: np.ndarray, base: np.ndarray, seed: int) -> Change:
    """Measure the change of the medians over objects of (S, n), in per cent."""

    def percent(index: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: np.ndarray = np.median(varied[:, index], axis=1) / np.median(
                base[:, index], axis=1
            )
        return 100 * (ratio - 1)

    return measure_change(percent, base.shape[1], seed)


def without_reconstruction(variants: Mapping[str, Mapping[str, object]]) -> str | None:
    """Return the variant that differs only in having no reconstruction terms.

    Parameters
    ----------
    variants : mapping of str to mapping of str to object
        By variant, the settings that differ, by dotted name.

    Returns
    -------
    str or None
        None where no variant does.
    """
    terms = {f"training.meaningful_loss.lambda_{modality}" for modality in MODALITIES}
    switch = "training.meaningful_loss.enabled"
    for name, changes in variants.items():
        off = changes.get(switch) is False or terms <= changes.keys()
        if off and changes.keys() <= {switch, *terms} and not any(changes.values()):
            return name
    return None
