"""Surprise of model and baseline, by modality and by slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from astromodal.evaluation.metrics import LN2, bootstrap_error, mean_error
from astromodal.evaluation.parts import measured
from astromodal.evaluation.surprise import Surprise
from astromodal.training.layout import SCALAR, SPECTRUM


def modality_numbers(
    surprises: Sequence[Surprise],
    objects: dict[str, np.ndarray],
    modality: str,
    chosen: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Mean surprise at a modality's codes (nats), of model and baseline, with bootstrap errors.

    Parameters
    ----------
    surprises : sequence of Surprise
        Every range.
    objects : dict of str to int64 (m,)
        By block, the objects of its rows.
    modality : str
        ``image``, ``scalar`` or ``spectrum``.
    chosen : int64 (n,)
        Objects drawn for this modality.
    seed : int
        Seed of the bootstrap.
    """
    sums = object_sums(surprises, objects, modality, chosen)
    count = sums["count"]
    out: dict[str, Any] = {"n_objects": int((count > 0).sum()), "n_codes": int(count.sum())}
    if not count.sum():
        return out
    for what in ("model", "unigram", "gain"):
        value, error = mean_error(sums[what], count, seed)
        out[what] = measured(value, error)
        out[f"{what}_bits"] = measured(value / LN2, error / LN2)
    better = sums["gain"][count > 0] > 0
    out["better"] = float(better.mean())
    for name, where in (("first", sums["first"]), ("after_others", ~sums["first"])):
        if count[where].sum():
            out[name] = measured(*mean_error(sums["model"][where] / LN2, count[where], seed))
            out[f"{name}_objects"] = int((count[where] > 0).sum())
    return out


def object_sums(
    surprises: Sequence[Surprise], objects: dict[str, np.ndarray], modality: str, chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """Sums over each chosen object's codes of one modality, (n,) each.

    ``gain`` is the baseline's surprise minus the model's; ``first`` is whether none of the
    modality's blocks came after a block of another one.
    """
    order = np.argsort(chosen)
    out = {name: np.zeros(len(chosen)) for name in ("model", "unigram", "gain", "count")}
    out["first"] = np.ones(len(chosen), dtype=bool)
    for s in surprises:
        if s.ids.modality != modality or not len(s.model) or not len(chosen):
            continue
        rows = objects[s.block]
        place = np.searchsorted(chosen[order], rows)
        inside = (place < len(chosen)) & (chosen[order][np.minimum(place, len(chosen) - 1)] == rows)
        at = order[place[inside]]
        model, unigram = s.model[inside], s.unigram[inside]
        np.add.at(out["model"], at, np.nansum(model, axis=1))
        np.add.at(out["unigram"], at, np.nansum(unigram, axis=1))
        np.add.at(out["count"], at, np.isfinite(model).sum(axis=1))
        out["first"][at] &= s.first[inside]
    out["gain"] = out["unigram"] - out["model"]
    return out


def slot_numbers(
    surprises: Sequence[Surprise],
    objects: dict[str, np.ndarray],
    chosen: dict[str, np.ndarray],
    seed: int,
) -> dict[str, Any]:
    """Mean gain over the baseline (bits) in every slot, by block; a spectrum's scale by itself.

    Parameters
    ----------
    surprises, objects
        As for `modality_numbers`.
    chosen : dict of str to int64 (n,)
        By modality, the objects drawn for it: a block counts only in those drawn for its sake.
    seed : int
        Seed of the bootstrap, which scalar slots get.
    """
    out: dict[str, Any] = {}
    for s in surprises:
        home = s.block if s.block in chosen else SPECTRUM
        rows = np.isin(objects[s.block], chosen[home])
        if not rows.any():
            continue
        model, gain = s.model[rows] / LN2, (s.unigram[rows] - s.model[rows]) / LN2
        slots = {"n": np.isfinite(gain).sum(axis=0), "gain": _column_means(gain)}
        if s.ids.modality != SCALAR:
            out[s.block] = slots
            continue

        def means(index: np.ndarray, values: np.ndarray = gain) -> np.ndarray:
            return _column_means(values[index])

        slots["error"] = bootstrap_error(means, len(gain), seed, 100)
        slots["model"], slots["unigram"] = _column_means(model), _column_means(model + gain)
        out[SCALAR if home == SCALAR else f"{s.block}_scale"] = slots
    return out


def _column_means(values: np.ndarray) -> np.ndarray:
    count = np.isfinite(values).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
