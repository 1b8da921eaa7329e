"""Whether the model's predicted distributions mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from astromodal.core.progress import Progress
from astromodal.evaluation.metrics import bootstrap_error, fraction_error, mean_error
from astromodal.evaluation.report.values import Measurement
from astromodal.evaluation.transformer.sample import by_object, sample_objects, target_logits
from astromodal.inference.bundle import Bundle
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.sequences.dataset import SequenceSet, plan_epoch
from astromodal.sequences.layout import MODALITIES
from astromodal.training.targets import NO_TARGET

LEVELS = (0.5, 0.68, 0.95)
"""Probabilities of the central intervals whose coverage is counted."""
CHECKED = 0.68
TOLERATED = 0.05
"""Level that the verdict looks at, and how far its coverage may be off, beyond two errors."""
_LEAST = 1e-300


@dataclass(frozen=True)
class Calibration:
    """What the truth says of predicted distributions.

    Attributes
    ----------
    pit : float64 (n,)
        Probability integral transform: the predicted probability below the truth, drawn evenly
        where the truth has a probability of its own. Even between 0 and 1 where all is well.
    numbers : dict
        ``coverage`` by level, ``crps``, ``crps_constant`` (unit), ``nll``, ``nll_constant``
        (nats), each `measured`, and the paired ``crps_gain`` and ``nll_gain`` of the model.
    """

    pit: np.ndarray
    numbers: dict[str, Any]

    @property
    def poor(self) -> bool:
        """Whether the coverage of the 68 % interval is off by over two errors and five points."""
        found = self.numbers["coverage"][str(CHECKED)]
        return abs(found.value - CHECKED) > max(2 * found.error, TOLERATED)


def calibrate(
    predicted: ScalarPrediction, truth: np.ndarray, labels: np.ndarray, seed: int
) -> Calibration:
    """Compare predicted distributions with the truth.

    Parameters
    ----------
    predicted : ScalarPrediction
        Of the scored objects.
    truth : float64 (n,)
        What was measured of them.
    labels : float64 (m,)
        Labels of the training split: how often each bin occurs among them is the constant that
        the model is compared with.
    seed : int
        Seed of ties and of bootstrap errors.
    """
    below, upto = predicted.cdf(truth)
    drawn = np.random.default_rng(seed).uniform(size=len(truth))
    pit = below + drawn * (upto - below)
    inside = np.abs(pit - 0.5)
    coverage = {str(p): Measurement(*fraction_error(inside <= p / 2)) for p in LEVELS}
    same = _constant(predicted, labels)
    numbers: dict[str, Any] = {"coverage": coverage}
    for name, of in (("crps", ScalarPrediction.crps), ("nll", surprise)):
        model, constant = of(predicted, truth), of(same, truth)
        numbers[name] = _mean(model, seed)
        numbers[f"{name}_constant"] = _mean(constant, seed)
        numbers[f"{name}_gain"] = _mean(constant - model, seed)
    return Calibration(pit, numbers)


def surprise(predicted: ScalarPrediction, truth: np.ndarray) -> np.ndarray:
    """Negative log-likelihood (nats) of the bin that each object's truth lies in, float64 (n,).

    Of bins, not of a density: that of a value which many objects share would be infinite.
    """
    bins = _bins(predicted, truth)
    chance = predicted.probabilities[np.arange(len(truth)), bins]
    return -np.log(np.maximum(chance, _LEAST))


def pit_histogram(pit: np.ndarray, n_bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Density of the PIT in even bins, and its Poisson error, float64 (n_bins,) each; 1 is even."""
    counts = np.histogram(pit, bins=n_bins, range=(0, 1))[0]
    return counts * n_bins / len(pit), np.sqrt(np.maximum(counts, 1)) * n_bins / len(pit)


def _constant(predicted: ScalarPrediction, labels: np.ndarray) -> ScalarPrediction:
    """The bins' frequencies among labels, half a count added to each, for every object."""
    n_bins = len(predicted.centers)
    counts = 0.5 + np.bincount(_bins(predicted, labels), minlength=n_bins)
    every = np.broadcast_to(counts / counts.sum(), predicted.probabilities.shape)
    return replace(predicted, probabilities=every)


def _bins(predicted: ScalarPrediction, values: np.ndarray) -> np.ndarray:
    """Bin of each value: (edge k, edge k + 1], the first and last without end."""
    return np.searchsorted(predicted.edges[1:-1], values, side="left")


def _mean(values: np.ndarray, seed: int) -> dict[str, float]:
    error = bootstrap_error(lambda index: float(values[index].mean()), len(values), seed)
    return Measurement(float(values.mean()), float(error))


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
    chosen = sample_objects(sequences, eligible, most, seed)
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
        gain = _mean_nats(before - after, held.counts, seed)
        total = held.sums.sum(axis=0) / held.counts.sum()
        out[modality] = {
            "temperature": Measurement(2**power, float(error)),
            "n_validation": len(fitted), "n_objects": len(before),
            "before": _mean_nats(before, held.counts, seed),
            "after": _mean_nats(after, held.counts, seed),
            "gain": gain, "helps": gain.value > gain.error,
            "edge": abs(power) >= LOG_TEMPERATURES[-1], "curve": total - total[_UNITY],
        }  # fmt: skip
    return out


def _mean_nats(sums: np.ndarray, counts: np.ndarray, seed: int) -> dict[str, float]:
    return Measurement(*mean_error(sums, counts, seed))
