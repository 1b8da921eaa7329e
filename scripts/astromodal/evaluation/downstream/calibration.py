"""Calibration of the model's predicted distributions, and temperatures that improve it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from astromodal.core.progress import Progress
from astromodal.evaluation.metrics import (
    bootstrap_error,
    measure_fraction,
    measure_mean,
    measure_statistic,
)
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
"""Level of the interval by which calibration is judged."""
TOLERATED = 0.05
"""Difference of its coverage from this level that is tolerated, beyond two errors."""
_LEAST = 1e-300


@dataclass(frozen=True)
class CalibrationNumbers:
    """Calibration of predicted distributions in numbers.

    Attributes
    ----------
    coverage : dict of str to Measurement
        Fraction of the objects whose truth lies in the central interval, by its probability.
    crps, crps_constant : Measurement
        Continuous ranked probability score of the model and of the constant, in the column's unit.
    nll, nll_constant : Measurement
        Negative log-likelihood of the bin of the truth (nats).
    crps_gain, nll_gain : Measurement
        Constant minus model, paired by object.
    """

    coverage: dict[str, Measurement]
    crps: Measurement
    crps_constant: Measurement
    crps_gain: Measurement
    nll: Measurement
    nll_constant: Measurement
    nll_gain: Measurement

    @property
    def checked(self) -> Measurement:
        """Coverage of the interval by which calibration is judged."""
        return self.coverage[str(CHECKED)]

    @property
    def poor(self) -> bool:
        """Whether that coverage is off by more than two errors and five percentage points."""
        return abs(self.checked.value - CHECKED) > max(2 * self.checked.error, TOLERATED)


@dataclass(frozen=True)
class Calibration:
    """Predicted distributions compared with the truth.

    Attributes
    ----------
    pit : float64 (n,)
        Probability integral transform: the predicted probability below the truth. Where the truth
        has a probability of its own, a uniform random part of it is added. It is uniform between 0
        and 1 for calibrated distributions.
    numbers : CalibrationNumbers
        The numbers.
    """

    pit: np.ndarray
    numbers: CalibrationNumbers


def calibrate(
    predicted: ScalarPrediction, truth: np.ndarray, labels: np.ndarray, seed: int
) -> Calibration:
    """Compare predicted distributions with the truth.

    Parameters
    ----------
    predicted : ScalarPrediction
        Predictions of the scored objects.
    truth : float64 (n,)
        Their measured values.
    labels : float64 (m,)
        Labels of the training split. The frequencies of bins among them are the constant that the
        model is compared with.
    seed : int
        Seed of ties and of bootstrap errors.
    """
    below, upto = predicted.cdf(truth)
    sampled = np.random.default_rng(seed).uniform(size=len(truth))
    pit = below + sampled * (upto - below)
    inside = np.abs(pit - 0.5)
    coverage = {str(p): measure_fraction(inside <= p / 2) for p in LEVELS}
    constant = _constant(predicted, labels)
    crps, crps_constant = (each.crps(truth) for each in (predicted, constant))
    own, own_constant = (nll(each, truth) for each in (predicted, constant))
    return Calibration(
        pit,
        CalibrationNumbers(
            coverage=coverage,
            crps=_mean(crps, seed),
            crps_constant=_mean(crps_constant, seed),
            crps_gain=_mean(crps_constant - crps, seed),
            nll=_mean(own, seed),
            nll_constant=_mean(own_constant, seed),
            nll_gain=_mean(own_constant - own, seed),
        ),
    )


def nll(predicted: ScalarPrediction, truth: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood (nats) of the bin of each truth, float64 (n,).

    It is that of bins, not of a density, which is infinite at a value that many objects share.
    """
    bins = _bins(predicted, truth)
    probability = predicted.probabilities[np.arange(len(truth)), bins]
    return -np.log(np.maximum(probability, _LEAST))


def pit_histogram(pit: np.ndarray, n_bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the density of the PIT in equal bins and its Poisson error, float64 (n_bins,)."""
    counts = np.histogram(pit, bins=n_bins, range=(0, 1))[0]
    return counts * n_bins / len(pit), np.sqrt(np.maximum(counts, 1)) * n_bins / len(pit)


def _constant(predicted: ScalarPrediction, labels: np.ndarray) -> ScalarPrediction:
    """Return the frequencies of bins among labels, with half a count added to each bin."""
    n_bins = len(predicted.centers)
    counts = 0.5 + np.bincount(_bins(predicted, labels), minlength=n_bins)
    every = np.broadcast_to(counts / counts.sum(), predicted.probabilities.shape)
    return replace(predicted, probabilities=every)


def _bins(predicted: ScalarPrediction, values: np.ndarray) -> np.ndarray:
    """Return the bin of each value: (edge k, edge k + 1], the first and last unbounded."""
    return np.searchsorted(predicted.edges[1:-1], values, side="left")


def _mean(values: np.ndarray, seed: int) -> Measurement:
    return measure_statistic(lambda index: float(values[index].mean()), len(values), seed)


LOG_TEMPERATURES = np.linspace(-1.0, 1.0, 9)
"""Powers of two that are computed; between them the NLL is interpolated."""
_FINE = np.linspace(-1.0, 1.0, 401)
_UNITY = int(np.argmin(np.abs(LOG_TEMPERATURES)))


@dataclass(frozen=True)
class NllSums:
    """NLL of the codes of one modality, by object.

    Attributes
    ----------
    sums : float64 (n, temperatures)
        Negative log-likelihood (nats) of all codes of an object, at `LOG_TEMPERATURES`.
    counts : int64 (n,)
        Number of codes of each object.
    """

    sums: np.ndarray
    counts: np.ndarray

    def at(self, log_temperature: float) -> np.ndarray:
        """Return the sums at the temperature 2 to that power, float64 (n,)."""
        return np.asarray(CubicSpline(LOG_TEMPERATURES, self.sums, axis=1)(log_temperature))


def measure_temperatures(
    bundle: Bundle,
    sequences: SequenceSet,
    eligible: np.ndarray,
    most: int,
    seed: int,
    token_budget: int,
    progress: Progress,
) -> dict[str, NllSums]:
    """Compute the NLL of every code of some objects at every temperature of the grid.

    Parameters
    ----------
    bundle : Bundle
        The model.
    sequences : SequenceSet
        Sequences of the objects.
    eligible : int64 (n,)
        Objects that may be sampled.
    most, seed : int
        Largest number of objects per modality; seed of their sample and of block orders.
    token_budget : int
        Tokens per batch.
    progress : Progress
        Wraps the loop over batches.

    Returns
    -------
    dict of str to NllSums
        By modality.
    """
    chosen = sample_objects(sequences, eligible, most, seed)
    every = np.unique(np.concatenate(list(chosen.values())))
    sums = {m: np.zeros((len(every), len(LOG_TEMPERATURES))) for m in MODALITIES}
    counts = {m: np.zeros(len(every), dtype=np.int64) for m in MODALITIES}
    plan = plan_epoch(every, sequences.lengths, None, 1, token_budget)
    shuffle = (seed, 0) if bundle.trained.shuffled else None
    for step in progress(range(len(plan)), len(plan), "batches at all temperatures"):
        batch = sequences.batch(plan.step(step), shuffle)
        for targets, logits, wanted in target_logits(
            bundle.trained.model, batch, bundle.layout, bundle.device
        ):
            place = np.searchsorted(every, targets.objects)
            modality = targets.ids.modality
            known = by_object(targets, targets.targets) != NO_TARGET
            np.add.at(counts[modality], place, known.sum(axis=1))
            for i, values in enumerate(_target_nll(logits, wanted)):
                total = np.where(known, by_object(targets, values), 0.0).sum(axis=1)
                np.add.at(sums[modality][:, i], place, total)
    return {
        m: NllSums(sums[m][counts[m] > 0], counts[m][counts[m] > 0])
        for m in MODALITIES
        if counts[m].any()
    }


def _target_nll(logits: torch.Tensor, wanted: torch.Tensor) -> Sequence[np.ndarray]:
    """Return the NLL of each target (C, M) at every temperature; undefined for missing ones."""
    right = logits.gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0]
    nll_at = []
    for power in LOG_TEMPERATURES.tolist():
        scaled = logits / 2**power
        nll_at.append((scaled.logsumexp(dim=2) - right / 2**power).cpu().double().numpy())
    return nll_at


def best_temperature(sums: np.ndarray) -> float:
    """Return the power of two that minimises the NLL, summed over objects (temperatures,)."""
    return float(_FINE[np.argmin(CubicSpline(LOG_TEMPERATURES, sums)(_FINE))])


@dataclass(frozen=True)
class TemperatureNumbers:
    """A temperature, and its effect on the NLL of one modality's codes.

    Attributes
    ----------
    temperature : Measurement
        Divisor of the logits that minimises the NLL on the validation split.
    n_validation, n_objects : int
        Objects that it was fitted on, and evaluated objects.
    before, after, gain : Measurement
        NLL of evaluated objects without and with it, and the paired difference (nats per code).
    edge : bool
        Whether the temperature is an end of the grid.
    curve : float64 (temperatures,)
        Mean NLL of evaluated objects at each of `LOG_TEMPERATURES` minus that at T = 1 (nats per
        code).
    """

    temperature: Measurement
    n_validation: int
    n_objects: int
    before: Measurement
    after: Measurement
    gain: Measurement
    edge: bool
    curve: np.ndarray

    @property
    def helps(self) -> bool:
        """Whether the gain exceeds its error."""
        return self.gain.value > self.gain.error


def fit_temperatures(
    validation: Mapping[str, NllSums], scored: Mapping[str, NllSums], seed: int
) -> dict[str, TemperatureNumbers]:
    """Fit a temperature per modality on the validation split, and evaluate it.

    Parameters
    ----------
    validation, scored : mapping of str to NllSums
        By modality; modalities that one of them lacks are left out.
    seed : int
        Seed of bootstrap errors over objects.
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
        total = held.sums.sum(axis=0) / held.counts.sum()
        out[modality] = TemperatureNumbers(
            temperature=Measurement(2**power, float(error)),
            n_validation=len(fitted),
            n_objects=len(before),
            before=measure_mean(before, held.counts, seed),
            after=measure_mean(after, held.counts, seed),
            gain=measure_mean(before - after, held.counts, seed),
            edge=abs(power) >= LOG_TEMPERATURES[-1],
            curve=total - total[_UNITY],
        )
    return out
