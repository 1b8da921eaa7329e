"""Temperatures of modalities, fitted on the validation split, and what they change elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from astromodal.core.loops import Progress
from astromodal.evaluation.metrics import bootstrap_error, measure_mean
from astromodal.evaluation.report.section import Measurement
from astromodal.evaluation.transformer.losses import by_object, sample_objects
from astromodal.inference.bundle import Bundle
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES
from astromodal.sequences.order import plan_epoch
from astromodal.training.calibration import (
    LOG_TEMPERATURES,
    UNITY,
    best_temperature,
    nll_by_temperature,
    target_logits,
)
from astromodal.training.targets import NO_TARGET


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
