"""What a variant changes against the training as configured: over the same objects and seeds.

Legend: S seeds, O orders of blocks, n objects, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from astromodal.config.ablations import AS_CONFIGURED
from astromodal.errors import FormatError, must_be
from astromodal.evaluation.ablations.losses import ObjectLosses
from astromodal.evaluation.metrics import LN2, bootstrap_error
from astromodal.evaluation.parts import measured
from astromodal.training.layout import MODALITIES

ONE_SIGMA = float(stats.norm.cdf(1.0))


@dataclass(frozen=True)
class Trainings:
    """Losses under all trainings of each variant, the same objects in every one.

    Attributes
    ----------
    codes : int64 (n, M)
        Codes of each object.
    surprise, squared : dict of str to float64 (S, O, n, M)
        By variant, sums over each object's codes.
    scalars : dict of str to float64 (S, O, n, columns)
        By variant, errors of the expected scalars.
    columns : tuple of str
        The scalar columns.
    """

    codes: np.ndarray
    surprise: dict[str, np.ndarray]
    squared: dict[str, np.ndarray]
    scalars: dict[str, np.ndarray]
    columns: tuple[str, ...]

    @classmethod
    def join(cls, runs: Sequence[tuple[str, ObjectLosses]]) -> Trainings:
        """Losses by variant; those of one variant come in the order of their seeds.

        Raises
        ------
        FormatError
            Where two are of different objects or columns.
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

        surprise, squared, scalars = map(stacked, ("surprise", "squared", "scalars"))
        return cls(first.codes, surprise, squared, scalars, tuple(first.columns.tolist()))


def change(statistic: Callable[[np.ndarray], np.ndarray], n: int, seed: int) -> dict[str, float]:
    """Mean over seeds of a statistic of objects, with its errors.

    Parameters
    ----------
    statistic : callable
        Takes object numbers (m,) and returns what was found with each seed, (S,).
    n, seed : int
        Objects, and the seed of the bootstrap.

    Returns
    -------
    dict
        ``value``; ``over_objects``, its bootstrap error; ``over_seeds``, the standard error of a
        mean of S values, widened as Student's t asks for few of them (NaN of a single one);
        ``error``, both together.
    """
    found = statistic(np.arange(n))
    over_objects = float(bootstrap_error(lambda index: statistic(index).mean(), n, seed))
    over_seeds = np.nan
    if len(found) > 1:
        factor = stats.t.ppf(ONE_SIGMA, len(found) - 1)
        over_seeds = float(factor * found.std(ddof=1) / np.sqrt(len(found)))
    both = float(np.hypot(over_objects, np.nan_to_num(over_seeds)))
    return {**measured(float(found.mean()), both), "over_objects": over_objects,
            "over_seeds": over_seeds}  # fmt: skip


def modality_changes(trainings: Trainings, order: int, seed: int) -> dict[str, Any]:
    """By variant and modality: surprise and squared error, and how they differ from as configured.

    Returns
    -------
    dict
        ``bits`` a code and ``squared`` (standardised units) are means over seeds; ``bits_change``
        and ``squared_change`` (%) as of `change`, not there for the variant as configured.
    """
    out: dict[str, Any] = {}
    for variant in trainings.surprise:
        out[variant] = {}
        for m, modality in enumerate(MODALITIES):
            has = trainings.codes[:, m] > 0
            if not has.any():
                continue
            codes = trainings.codes[has, m]
            nll, base_nll, squared, base_squared = (
                values[name][:, order, has, m]  # (S, n)
                for values in (trainings.surprise, trainings.squared)
                for name in (variant, AS_CONFIGURED)
            )
            total = codes.sum()
            numbers: dict[str, Any] = {
                "n": len(codes),
                "bits": float((nll.sum(1) / total / LN2).mean()),
                "squared": float((squared.sum(1) / total).mean()),
            }
            if variant != AS_CONFIGURED:
                numbers["bits_change"] = _difference(nll - base_nll, codes, seed)
                numbers["squared_change"] = _percent(squared, base_squared, seed)
            out[variant][modality] = numbers
    return out


def _difference(away: np.ndarray, codes: np.ndarray, seed: int) -> dict[str, float]:
    """Difference (S, n) a code, in bits."""

    def a_code(index: np.ndarray) -> np.ndarray:
        return away[:, index].sum(1) / codes[index].sum() / LN2

    return change(a_code, len(codes), seed)


def _percent(found: np.ndarray, base: np.ndarray, seed: int) -> dict[str, float]:
    """Change of sums (S, n) in per cent."""

    def percent(index: np.ndarray) -> np.ndarray:
        return 100 * (found[:, index].sum(1) / base[:, index].sum(1) - 1)

    return change(percent, base.shape[1], seed)


def column_changes(
    trainings: Trainings, variant: str, order: int, seed: int
) -> dict[str, dict[str, Any]]:
    """By scalar column: median error in its unit, as configured and of a variant, and the change.

    Columns that no object has, or that are without error as configured, are left out.
    """
    out: dict[str, dict[str, Any]] = {}
    for i, column in enumerate(trainings.columns):
        base, found = (trainings.scalars[v][:, order, :, i] for v in (AS_CONFIGURED, variant))
        known = np.isfinite(base).all(0) & np.isfinite(found).all(0)
        base, found = base[:, known], found[:, known]
        if not known.any() or not np.median(base, axis=1).all():
            continue

        def percent(index: np.ndarray, found: np.ndarray = found, base: np.ndarray = base) -> Any:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.median(found[:, index], axis=1) / np.median(base[:, index], axis=1)
            return 100 * (ratio - 1)

        out[column] = {
            "n": int(known.sum()),
            "configured": float(np.median(base, axis=1).mean()),
            "variant": float(np.median(found, axis=1).mean()),
            "change": change(percent, base.shape[1], seed),
        }
    return out


def without_reconstruction(variants: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The variant that differs in having no reconstruction term, by what it changes."""
    terms = {f"training.meaningful_loss.lambda_{modality}" for modality in MODALITIES}
    switch = "training.meaningful_loss.enabled"
    for name, changes in variants.items():
        off = changes.get(switch) is False or terms <= changes.keys()
        if off and changes.keys() <= {switch, *terms} and not any(changes.values()):
            return name
    return None
