"""What a variant changes against the training as configured: over the same objects and seeds.

Legend: S seeds, O orders of blocks, n objects, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from astromodal.config.evaluate import AS_CONFIGURED
from astromodal.errors import FormatError, must_be
from astromodal.evaluation.ablations.losses import ObjectLosses
from astromodal.evaluation.metrics import LN2, bootstrap_error
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import BLUE, GREEN, INK, ORANGE, new_figure, unit
from astromodal.evaluation.report.values import Measurement, Table
from astromodal.sequences.layout import MODALITIES

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
    return {**Measurement(float(found.mean()), both), "over_objects": over_objects,
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


_STYLES = dict(
    zip(MODALITIES, ((BLUE, "o", 0.2), (ORANGE, "s", 0.0), (GREEN, "^", -0.2)), strict=True)
)
"""Colour, marker and shift of each modality."""
_PANELS = (
    ("bits_change", "change of surprise (bits a code)"),
    ("squared_change", "change of squared error (%)"),
)
_FAR = 20.0
"""Times the median change beyond which one would press all others together on a linear axis."""


def add_changes(
    section: Section,
    changes: Mapping[str, Any],
    order: str,
    variants: Mapping[str, Mapping[str, Any]],
) -> None:
    """What every variant changes, measured in one order of blocks."""
    varied = [name for name in changes if name != AS_CONFIGURED]
    if not varied or not changes[AS_CONFIGURED]:
        section.notes.append(f"Blocks in {order} order: nothing to compare.")
        return
    section.add_figure(
        _plot_changes(changes, varied), f"changes_{order}",
        f"Blocks in {order} order: what each variant changes of the surprise at unseen codes "
        "(left) and of the squared error of the expected centroid (right), by modality. Where "
        "there are dotted lines the axis is logarithmic beyond them.",
        "Right of zero the variant is worse than the training as configured: what it leaves out "
        "is worth that much. A bar that reaches zero shows no difference.",
        _change_table(changes, variants),
    )  # fmt: skip


def _plot_changes(changes: Mapping[str, Any], varied: Sequence[str]) -> Figure:
    figure, axes = new_figure(1, 2, height=1.3 + 0.36 * len(varied), sharey=True)
    y = np.arange(len(varied))[::-1]
    for axis, (key, label) in zip(axes[0], _PANELS, strict=True):
        reached = [np.empty(0)]
        for modality, (colour, marker, shift) in _STYLES.items():
            cells = [changes[name].get(modality, {}).get(key, {}) for name in varied]
            value, error = (
                np.array([c.get(what, np.nan) for c in cells], float) for what in ("value", "error")
            )
            error = np.nan_to_num(error)
            axis.errorbar(value, y + shift, xerr=error, fmt=marker, color=colour, markersize=4,
                          label=modality)  # fmt: skip
            reached.append(np.abs(value) + error)
        _scale(axis, np.concatenate(reached))
        axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set_xlabel(label)
        axis.tick_params(axis="x", labelrotation=45)
    axes[0, 0].set_ylim(-0.6, len(varied) - 0.4)
    axes[0, 0].set_yticks(y, varied)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _scale(axis: Any, reached: np.ndarray) -> None:
    """A logarithmic axis beyond what most changes reach, where one reaches far beyond."""
    typical = float(np.median(reached[np.isfinite(reached)]))
    if typical > 0 and np.nanmax(reached) > _FAR * typical:
        linear = _FAR / 4 * typical
        axis.set_xscale("symlog", linthresh=linear)
        for edge in (-linear, linear):
            axis.axvline(edge, color=INK, linestyle=":", linewidth=0.5)


def _change_table(
    changes: Mapping[str, Any], variants: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    heading = [
        "variant", "what differs", "modality", "objects", "surprise (bits a code)",
        "change (bits a code)", "of its error, over objects", "over seeds",
        "squared error (standardised²)", "change (%)", "of its error, over objects", "over seeds",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for name, modalities in changes.items():
        differs = ", ".join(f"{k}: {v}" for k, v in variants.get(name, {}).items()) or "nothing"
        for modality, n in modalities.items():
            cells: list[Any] = []
            for value, key in (("bits", "bits_change"), ("squared", "squared_change")):
                found = n.get(key)
                errors = [found["over_objects"], found["over_seeds"]] if found else [None, None]
                cells += [n[value], found, *errors]
            rows.append([name, differs, modality, n["n"], *cells])
    return Table(heading, rows)


def add_columns(section: Section, columns: Mapping[str, Any], order: str) -> None:
    """Errors of the expected scalars in their units, with and without reconstruction terms."""
    section.add_figure(
        _plot_columns(columns), "columns",
        f"Blocks in {order} order: change of the median distance between a scalar's expected value "
        "and its code's, without the reconstruction terms.",
        "Right of zero the terms help a column. The table has the errors in the columns' units.",
        Table(
            ["column", "unit", "objects", "median error as configured",
             "without reconstruction terms", "change (%)", "of its error, over objects",
             "over seeds"],
            [[name, unit(name), n["n"], n["configured"], n["variant"], n["change"],
              n["change"]["over_objects"], n["change"]["over_seeds"]]
             for name, n in columns.items()],
        ),
    )  # fmt: skip


def _plot_columns(columns: Mapping[str, Any]) -> Figure:
    figure, axes = new_figure(height=1.0 + 0.16 * len(columns))
    axis, y = axes[0, 0], np.arange(len(columns))[::-1]
    value, error = (
        np.array([n["change"][key] for n in columns.values()]) for key in ("value", "error")
    )
    axis.errorbar(value, y, xerr=np.nan_to_num(error), fmt="o", color=BLUE, markersize=3,
                  linewidth=1)  # fmt: skip
    axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set_yticks(y, list(columns), fontsize=6.5)
    axis.set(ylim=(-1, len(columns)), xlabel="change of the median error (%)")
    return figure
