"""One temperature a modality, fitted on the validation split: do softened logits predict better?

Logits over the legal ids are divided by T before they become probabilities (Guo et al. 2017,
arXiv:1706.04599). The surprise at every code is summed object by object on a grid of T in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from astromodal.core.progress import Progress
from astromodal.evaluation.metrics import bootstrap_error, mean_error
from astromodal.evaluation.parts import measured
from astromodal.evaluation.surprise import by_object, choose_objects, target_logits
from astromodal.inference.bundle import Bundle
from astromodal.training.batches import SequenceSet, plan_epoch
from astromodal.training.layout import MODALITIES
from astromodal.training.loss import NO_TARGET

LOG_TEMPERATURES = np.linspace(-1.0, 1.0, 9)
"""Powers of two that are tried; between them the surprise is interpolated."""
_FINE = np.linspace(-1.0, 1.0, 401)
_UNITY = int(np.argmin(np.abs(LOG_TEMPERATURES)))


@dataclass(frozen=True)
class Surprises:
    """Surprise at the codes of one modality, object by object.

    Attributes
    ----------
    sums : float64 (n, temperatures)
        Negative log-likelihood (nats) of all codes of an object, at `LOG_TEMPERATURES`.
    counts : int64 (n,)
        Codes of each object.
    """

    sums: np.ndarray
    counts: np.ndarray

    def at(self, log_temperature: float) -> np.ndarray:
        """Sums at another temperature, 2 to that power, float64 (n,)."""
        return np.asarray(CubicSpline(LOG_TEMPERATURES, self.sums, axis=1)(log_temperature))


def measure_temperatures(
    bundle: Bundle,
    sequences: SequenceSet,
    eligible: np.ndarray,
    most: int,
    seed: int,
    token_budget: int,
    progress: Progress,
) -> dict[str, Surprises]:
    """Surprise at every code of some objects at every temperature of the grid, by modality.

    Parameters
    ----------
    bundle : Bundle
        The model.
    sequences : SequenceSet
        Where the objects are.
    eligible : int64 (n,)
        Objects that may be drawn.
    most, seed : int
        Objects a modality at most; seed of their draw and of block orders.
    token_budget : int
        Tokens that are run at once.
    progress : Progress
        Shows how many batches are done.
    """
    chosen = choose_objects(sequences, eligible, most, seed)
    every = np.unique(np.concatenate(list(chosen.values())))
    sums = {m: np.zeros((len(every), len(LOG_TEMPERATURES))) for m in MODALITIES}
    counts = {m: np.zeros(len(every), dtype=np.int64) for m in MODALITIES}
    plan = plan_epoch(every, sequences.lengths, None, 1, token_budget)
    shuffle = (seed, 0) if bundle.trained.shuffled else None
    for step in progress(range(len(plan)), len(plan), "batches at all temperatures"):
        batch = sequences.batch(plan.step(step), shuffle)
        for found, logits, wanted in target_logits(
            bundle.trained.model, batch, bundle.layout, bundle.device
        ):
            place = np.searchsorted(every, found.objects)
            modality, known = found.ids.modality, by_object(found, found.targets) != NO_TARGET
            np.add.at(counts[modality], place, known.sum(axis=1))
            for i, values in enumerate(_surprises(logits, wanted)):
                told = np.where(known, by_object(found, values), 0.0).sum(axis=1)
                np.add.at(sums[modality][:, i], place, told)
    return {
        m: Surprises(sums[m][counts[m] > 0], counts[m][counts[m] > 0])
        for m in MODALITIES
        if counts[m].any()
    }


def _surprises(logits: torch.Tensor, wanted: torch.Tensor) -> Sequence[np.ndarray]:
    """Surprise at each target (C, M), at every temperature; of a missing one it means nothing."""
    right = logits.gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0]
    found = []
    for power in LOG_TEMPERATURES.tolist():
        scaled = logits / 2**power
        found.append((scaled.logsumexp(dim=2) - right / 2**power).cpu().double().numpy())
    return found


def best_temperature(sums: np.ndarray) -> float:
    """The power of two at which surprise, summed over objects (temperatures,), is least."""
    return float(_FINE[np.argmin(CubicSpline(LOG_TEMPERATURES, sums)(_FINE))])


def temperature_numbers(
    validation: dict[str, Surprises], scored: dict[str, Surprises], seed: int
) -> dict[str, Any]:
    """Temperatures fitted on the validation split, and surprise of evaluated objects with them.

    Parameters
    ----------
    validation, scored : dict of str to Surprises
        By modality; one that either lacks is left out.
    seed : int
        Seed of bootstrap errors over objects.

    Returns
    -------
    dict
        By modality ``temperature``; ``before``, ``after`` and their paired difference ``gain``
        (nats a code), each `measured`; ``helps``, whether the gain exceeds its error; ``edge``,
        whether the temperature is the end of the grid; ``curve``, the mean surprise (nats a code)
        of evaluated objects at each of `LOG_TEMPERATURES` minus that at T = 1.
    """
    out = {}
    for modality in MODALITIES:
        if modality not in validation or modality not in scored:
            continue
        fitted, held = validation[modality].sums, scored[modality]
        power = best_temperature(fitted.sum(axis=0))

        def again(index: np.ndarray, fitted: np.ndarray = fitted) -> float:
            return 2 ** best_temperature(fitted[index].sum(axis=0))

        error = bootstrap_error(again, len(fitted), seed)
        before, after = held.sums[:, _UNITY], held.at(power)
        gain = _mean(before - after, held.counts, seed)
        total = held.sums.sum(axis=0) / held.counts.sum()
        out[modality] = {
            "temperature": measured(2**power, float(error)),
            "n_validation": len(fitted), "n_objects": len(before),
            "before": _mean(before, held.counts, seed), "after": _mean(after, held.counts, seed),
            "gain": gain, "helps": gain["value"] > gain["error"],
            "edge": abs(power) >= LOG_TEMPERATURES[-1], "curve": total - total[_UNITY],
        }  # fmt: skip
    return out


def _mean(sums: np.ndarray, counts: np.ndarray, seed: int) -> dict[str, float]:
    return measured(*mean_error(sums, counts, seed))
