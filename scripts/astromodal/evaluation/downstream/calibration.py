"""Calibration: predicted distributions and probabilities against the truth, and temperatures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from astromodal.core.loops import Progress
from astromodal.evaluation.metrics import (
    bootstrap_error,
    measure_fraction,
    measure_mean,
    measure_statistic,
)
from astromodal.evaluation.report.section import Measurement
from astromodal.evaluation.transformer.losses import by_object, sample_objects
from astromodal.inference.bundle import Bundle
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES
from astromodal.sequences.order import plan_epoch
from astromodal.training.calibration import (
    LOG_TEMPERATURES,
    UNITY,
    best_temperature,
    nll_by_temperature,
    target_logits,
    without_levels,
)
from astromodal.training.targets import NO_TARGET

LEVELS = (0.5, 0.68, 0.95)
"""Probabilities of the central intervals whose coverage is measured."""
CHECKED = 0.68
"""Level that the verdict is based on."""
TOLERATED = 0.05
"""Largest deviation of its coverage, beyond two errors, that is not called poor."""
CONFIDENCE_BINS = 10
_LEAST = 1e-300


@dataclass(frozen=True)
class CalibrationNumbers:
    """Scores of predicted distributions.

    The baseline is the constant distribution: the frequencies of the labels of the training split.

    Attributes
    ----------
    coverage : dict of str to Measurement
        Fraction of the objects inside the central interval, by its probability.
    crps, crps_constant, crps_gain : Measurement
        Continuous ranked probability score of the model and of the baseline (the column's unit),
        and the baseline's minus the model's on the same objects.
    nll, nll_constant, nll_gain : Measurement
        The same for the negative log-likelihood of the true bin (nats).
    temperature : float
        Temperature that training has fitted to the column.
    uncalibrated : dict of str to Measurement
        Coverage of the 68 % interval (``coverage``), ``crps`` and ``nll`` before calibration.
    """

    coverage: dict[str, Measurement]
    crps: Measurement
    crps_constant: Measurement
    crps_gain: Measurement
    nll: Measurement
    nll_constant: Measurement
    nll_gain: Measurement
    temperature: float
    uncalibrated: dict[str, Measurement]

    @property
    def checked(self) -> Measurement:
        """Coverage of the 68 % interval."""
        return self.coverage[str(CHECKED)]

    @property
    def deviation(self) -> float:
        """Distance of the coverage of the 68 % interval from 68 %."""
        return abs(self.checked.value - CHECKED)

    @property
    def poor(self) -> bool:
        """Whether the coverage of the 68 % interval is off by over two errors and five points."""
        return self.deviation > max(2 * self.checked.error, TOLERATED)


@dataclass(frozen=True)
class Calibration:
    """Predicted distributions compared with the truth.

    Attributes
    ----------
    pit : float64 (n,)
        Probability integral transform: the predicted probability below the truth. It is sampled
        uniformly where the truth has a probability of its own. For calibrated predictions it is
        uniform between 0 and 1.
    numbers : CalibrationNumbers
        Scores.
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
        Distributions of the scored objects.
    truth : float64 (n,)
        Their measured values.
    labels : float64 (m,)
        Labels of the training split; the frequencies of their bins are the baseline.
    seed : int
        Seed of ties and of bootstrap errors.
    """
    pit, same = _pit(predicted, truth, seed), _constant(predicted, labels)
    before, scores = _uncalibrated(predicted), {}
    coverage = {str(p): _coverage(pit, p) for p in LEVELS}
    uncalibrated = {"coverage": _coverage(_pit(before, truth, seed), CHECKED)}
    for name, score in (("crps", ScalarPrediction.crps), ("nll", bin_nll)):
        model, constant = score(predicted, truth), score(same, truth)
        scores[name] = _measure_mean(model, seed)
        scores[f"{name}_constant"] = _measure_mean(constant, seed)
        scores[f"{name}_gain"] = _measure_mean(constant - model, seed)
        uncalibrated[name] = _measure_mean(score(before, truth), seed)
    own = predicted.temperature
    numbers = CalibrationNumbers(coverage, **scores, temperature=own, uncalibrated=uncalibrated)
    return Calibration(pit, numbers)


def _pit(predicted: ScalarPrediction, truth: np.ndarray, seed: int) -> np.ndarray:
    """Return the probability integral transform of true values; see `Calibration`."""
    below, upto = predicted.cdf(truth)
    return below + np.random.default_rng(seed).uniform(size=len(truth)) * (upto - below)


def _coverage(pit: np.ndarray, level: float) -> Measurement:
    """Return the fraction of values inside a central interval."""
    return measure_fraction(np.abs(pit - 0.5) <= level / 2)


def _uncalibrated(predicted: ScalarPrediction) -> ScalarPrediction:
    """Return distributions before their calibration."""
    probabilities = predicted.probabilities
    if predicted.levels is not None:
        probabilities = without_levels(probabilities, predicted.levels)
    powers = probabilities**predicted.temperature
    return replace(predicted, probabilities=powers / powers.sum(axis=1, keepdims=True))


def bin_nll(predicted: ScalarPrediction, truth: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood (nats) of the bin of each object's truth, float64 (n,).

    It is that of bins, not of a density: the density of a value that many objects share would be
    infinite.
    """
    bins = _bins(predicted, truth)
    of_truth = predicted.probabilities[np.arange(len(truth)), bins]
    return -np.log(np.maximum(of_truth, _LEAST))


def pit_histogram(pit: np.ndarray, n_bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the density of the PIT in equal bins and its Poisson error, float64 (n_bins,) each.

    The density of uniform values is 1.
    """
    counts = np.histogram(pit, bins=n_bins, range=(0, 1))[0]
    return counts * n_bins / len(pit), np.sqrt(np.maximum(counts, 1)) * n_bins / len(pit)


def _constant(predicted: ScalarPrediction, labels: np.ndarray) -> ScalarPrediction:
    """Return the frequencies of bins among labels, with half a count added to each bin."""
    n_bins = len(predicted.centers)
    counts = 0.5 + np.bincount(_bins(predicted, labels), minlength=n_bins)
    every = np.broadcast_to(counts / counts.sum(), predicted.probabilities.shape)
    return replace(predicted, probabilities=every)


def _bins(predicted: ScalarPrediction, values: np.ndarray) -> np.ndarray:
    """Return the bin of each value: (edge k, edge k + 1]; the first and last have no end."""
    return np.searchsorted(predicted.edges[1:-1], values, side="left")


def _measure_mean(values: np.ndarray, seed: int) -> Measurement:
    return measure_statistic(lambda index: float(values[index].mean()), len(values), seed)


@dataclass(frozen=True)
class ReliabilityBin:
    """Objects whose confidence, the largest class probability, lies in one bin.

    Attributes
    ----------
    n : int
        Number of objects.
    confidence : float
        Their mean confidence.
    correct : Measurement
        Fraction of them whose class is predicted correctly.
    """

    n: int
    confidence: float
    correct: Measurement


def reliability(truth: np.ndarray, probabilities: np.ndarray) -> list[ReliabilityBin]:
    """Return objects binned by confidence, in ten bins, without empty bins.

    Parameters
    ----------
    truth : int64 (n,)
        Number of each object's class.
    probabilities : float64 (n, classes)
        Predicted probabilities.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    bins = []
    for i in np.unique(place):
        inside = place == i
        fraction = measure_fraction(correct[inside])
        bins.append(ReliabilityBin(int(inside.sum()), float(confidence[inside].mean()), fraction))
    return bins


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error of class probabilities.

    It is the mean difference between confidence and the fraction of correct predictions, in ten
    bins (Guo et al. 2017, arXiv:1706.04599, eq. 3). Noise makes it positive: for few objects it is
    too large.
    """
    bins = reliability(truth, probabilities)
    return float(sum(abs(b.correct.value - b.confidence) * b.n for b in bins)) / len(truth)


@dataclass(frozen=True)
class TemperatureScan:
    """NLL of the codes of one modality at each temperature of the grid, by object.

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
        """Return the sums at another temperature, 2 to this power, float64 (n,)."""
        return np.asarray(CubicSpline(LOG_TEMPERATURES, self.sums, axis=1)(log_temperature))


@dataclass(frozen=True)
class TemperatureNumbers:
    """The temperature of one modality, and what it changes.

    Attributes
    ----------
    temperature : Measurement
        Fitted on the validation split.
    n_validation, n_objects : int
        Objects that it was fitted on, and evaluated objects.
    before, after, gain : Measurement
        NLL of the evaluated objects at T = 1 and at the fitted temperature, and the difference of
        the two (nats per code).
    helps : bool
        Whether the gain exceeds its error.
    edge : bool
        Whether the temperature is at an end of the grid.
    curve : float64 (temperatures,)
        Mean NLL (nats per code) of the evaluated objects at `LOG_TEMPERATURES`, minus that at
        T = 1.
    """

    temperature: Measurement
    n_validation: int
    n_objects: int
    before: Measurement
    after: Measurement
    gain: Measurement
    helps: bool
    edge: bool
    curve: np.ndarray


def scan_temperatures(
    bundle: Bundle,
    sequences: SequenceSet,
    eligible: np.ndarray,
    most: int,
    seed: int,
    token_budget: int,
    progress: Progress,
) -> dict[str, TemperatureScan]:
    """Compute the NLL of every code of some objects at every temperature of the grid.

    Of scalars, those count that are asked after everything else, as predictions are made.

    Parameters
    ----------
    bundle : Bundle
        The model.
    sequences : SequenceSet
        Sequences of the objects.
    eligible : int64 (n,)
        Objects to sample from.
    most, seed : int
        Largest number of objects per modality; seed of their sample and of the block orders.
    token_budget : int
        Number of tokens that are run at once.
    progress : Progress
        Shows how many batches are done.

    Returns
    -------
    dict of str to TemperatureScan
        By modality, without modalities that have no code.
    """
    chosen = sample_objects(sequences, eligible, most, seed)
    every = np.unique(np.concatenate(list(chosen.values())))
    sums = {m: np.zeros((len(every), len(LOG_TEMPERATURES))) for m in MODALITIES}
    counts = {m: np.zeros(len(every), dtype=np.int64) for m in MODALITIES}
    plan = plan_epoch(every, sequences.lengths, None, 1, token_budget)
    shuffle = (seed, 0) if bundle.trained.shuffled else None
    hiding = bundle.trained.hiding(seed)
    for step in progress(range(len(plan)), len(plan), "batches at all temperatures"):
        batch = sequences.batch(plan.step(step), shuffle, hiding)
        for targets, logits, codes in target_logits(
            bundle.trained.model, batch, bundle.layout, bundle.device
        ):
            place = np.searchsorted(every, targets.objects)
            modality, known = targets.ids.modality, by_object(targets, targets.targets) != NO_TARGET
            if targets.asked is not None:
                known &= targets.asked.T
            np.add.at(counts[modality], place, known.sum(axis=1))
            for i, nll in enumerate(nll_by_temperature(logits, codes)):
                total = np.where(known, by_object(targets, nll), 0.0).sum(axis=1)
                np.add.at(sums[modality][:, i], place, total)
    return {
        m: TemperatureScan(sums[m][counts[m] > 0], counts[m][counts[m] > 0])
        for m in MODALITIES
        if counts[m].any()
    }


def fit_temperatures(
    validation: dict[str, TemperatureScan], scored: dict[str, TemperatureScan], seed: int
) -> dict[str, TemperatureNumbers]:
    """Fit temperatures on the validation split, and measure the NLL of evaluated objects.

    Parameters
    ----------
    validation, scored : dict of str to TemperatureScan
        By modality; a modality that either lacks is left out.
    seed : int
        Seed of bootstrap errors over objects.
    """
    numbers = {}
    for modality in MODALITIES:
        if modality not in validation or modality not in scored:
            continue
        fitted, held = validation[modality].sums, scored[modality]
        power = best_temperature(fitted.sum(axis=0))

        def refit(index: np.ndarray, fitted: np.ndarray = fitted) -> float:
            return 2 ** best_temperature(fitted[index].sum(axis=0))

        error = float(bootstrap_error(refit, len(fitted), seed))
        before, after = held.sums[:, UNITY], held.at(power)
        gain = measure_mean(before - after, held.counts, seed)
        total = held.sums.sum(axis=0) / held.counts.sum()
        numbers[modality] = TemperatureNumbers(
            temperature=Measurement(2**power, error, len(fitted)),
            n_validation=len(fitted),
            n_objects=len(before),
            before=measure_mean(before, held.counts, seed),
            after=measure_mean(after, held.counts, seed),
            gain=gain,
            helps=gain.above(0, errors=1),
            edge=bool(abs(power) >= LOG_TEMPERATURES[-1]),
            curve=total - total[UNITY],
        )
    return numbers
