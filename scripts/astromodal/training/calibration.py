"""Calibration of scalar columns on the validation split: temperatures, and levels of quantiles.

The logits of a column are divided by its temperature (Guo et al. 2017, arXiv:1706.04599): above 1
it makes predictions less certain, below 1 more certain. Then each level of its cumulative
distribution is replaced by the fraction of validation values that lay below it (Kuleshov et al.
2018, arXiv:1807.00263), so that half of the values lie below the median, and so on. Levels depend
on how many columns are shown.

Legend: N tokens of a batch, D model, C ranges, M targets of each, S ids of a range, G scalar
columns, L levels, P parts of the columns that are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from astromodal.models.layers import N_LEVELS, SHOWN
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch, ColumnTokens, SequenceSet
from astromodal.sequences.layout import SCALAR, SequenceLayout
from astromodal.sequences.order import Choose, Hiding, plan_epoch
from astromodal.training.targets import NO_TARGET, RangeTargets, find_targets

LOG_TEMPERATURES = np.linspace(-1.0, 1.0, 9)
"""Base-2 logarithms of the temperatures of the grid; the NLL is interpolated between them."""
_FINE = np.linspace(-1.0, 1.0, 401)
UNITY = int(np.argmin(np.abs(LOG_TEMPERATURES)))
_FEWEST = 50
"""Fewest values that a column is calibrated on."""
_PRIOR = 20.0
"""Number of values that would lie as predicted, beside those of the validation split."""


@dataclass(frozen=True)
class Calibration:
    """Calibration of G scalar columns.

    Attributes
    ----------
    temperatures : float32 (G,)
        Divisors of the logits.
    levels : float32 (G, P, L)
        What the cumulative probabilities `even_levels` become, from 0 to 1, ascending, where
        different parts of the columns are shown.
    shown : float32 (G, P)
        These parts of all columns, ascending: means over the objects that were calibrated on.
    """

    temperatures: np.ndarray
    levels: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class ValidationObjects:
    """The objects that columns are calibrated on.

    Attributes
    ----------
    sequences : SequenceSet
        Sequences of the objects.
    numbers : int64 (n,)
        Their numbers: those of the validation split.
    shuffle : (int, int), optional
        Seed and epoch of the block orders; the layout's order where None.
    token_budget : int
        Tokens that are run at once.
    """

    sequences: SequenceSet
    numbers: np.ndarray
    shuffle: tuple[int, int] | None
    token_budget: int

    @property
    def n_columns(self) -> int:
        """Number of scalar columns, G."""
        return self.sequences.layout[SCALAR].length

    def asked(self, model: CausalTransformerLM, choose: Choose) -> Iterator[AskedColumns]:
        """Yield the asked values of each batch, where `choose` chooses what is shown."""
        layout, device = self.sequences.layout, model.bias.device
        plan = plan_epoch(self.numbers, self.sequences.lengths, None, 1, self.token_budget)
        for step in range(len(plan)):
            batch = self.sequences.batch(plan.step(step), self.shuffle, choose)
            shown = part_shown(batch.columns)
            for targets, logits, codes in target_logits(model, batch, layout, device):
                if targets.asked is not None:
                    known = targets.asked & (targets.targets != NO_TARGET)
                    yield AskedColumns(known, logits, codes, shown)


class AskedColumns(NamedTuple):
    """Scalar columns of the objects of a batch.

    Attributes
    ----------
    known : bool (G, M)
        Whether a column is asked and its value is known.
    logits : float (G, M, S)
        Logits of its bins.
    codes : int64 (G, M)
        The bin of its value.
    shown : float64 (M,)
        Part of all columns that is shown.
    """

    known: np.ndarray
    logits: torch.Tensor
    codes: torch.Tensor
    shown: np.ndarray


def fit_columns(
    model: CausalTransformerLM, objects: ValidationObjects, hiding: Hiding
) -> Calibration:
    """Calibrate each scalar column on its asked values.

    The temperature of a column is that at which they are likeliest: of a label where everything
    else is shown, as it is mostly predicted, and of another column as training asks it. Its levels
    are those below which the right fractions of the values lie, where each of the parts `SHOWN` of
    the columns is shown: fewer columns leave more to be learned, and more to be certain of
    wrongly.

    Parameters
    ----------
    model : CausalTransformerLM
        The model; its mode is restored.
    objects : ValidationObjects
        The objects.
    hiding : Hiding
        What training hides, with all labels.

    Returns
    -------
    Calibration
        Of a column that is asked of few objects, a temperature of 1 and unchanged levels.
    """
    was_training = model.training
    model.eval()
    everything = replace(hiding, columns=0.0, each_block=0.0)
    temperatures, labels = fit_temperatures(model, objects, hiding), list(hiding.labels)
    temperatures[labels] = fit_temperatures(model, objects, everything)[labels]
    levels = np.tile(even_levels(), (objects.n_columns, len(SHOWN), 1))
    shown = np.zeros((objects.n_columns, len(SHOWN)))
    for i, part in enumerate(SHOWN):
        choose = replace(hiding, columns=1.0, fraction=1 - part) if part < 1 else everything
        known, own, mean = _levels(model, objects, choose, temperatures)
        levels[:, i], shown[:, i] = own, mean
        if i:  # columns that are not asked here are as with fewer shown
            levels[~known, i], shown[~known, i] = levels[~known, i - 1], shown[~known, i - 1]
    model.train(was_training)
    return Calibration(*(each.astype(np.float32) for each in (temperatures, levels, shown)))


def fit_temperatures(
    model: CausalTransformerLM, objects: ValidationObjects, choose: Choose
) -> np.ndarray:
    """Return the temperature of each column at which its asked values are likeliest, (G,)."""
    sums = np.zeros((objects.n_columns, len(LOG_TEMPERATURES)))
    counts = np.zeros(objects.n_columns)
    for known, logits, codes, _ in objects.asked(model, choose):
        counts += known.sum(axis=1)
        for i, nll in enumerate(nll_by_temperature(logits, codes)):
            sums[:, i] += np.where(known, nll, 0.0).sum(axis=1)
    fitted = np.ones(objects.n_columns)
    for column in np.flatnonzero(counts >= _FEWEST):
        fitted[column] = 2.0 ** best_temperature(sums[column])
    return fitted


def _levels(
    model: CausalTransformerLM,
    objects: ValidationObjects,
    choose: Choose,
    temperatures: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which columns are asked often enough, (G,), levels (G, L), and parts shown (G,)."""
    reached = np.zeros((objects.n_columns, N_LEVELS))
    counts, total = np.zeros((2, objects.n_columns))
    for known, logits, codes, shown in objects.asked(model, choose):
        scaled = logits / torch.from_numpy(temperatures).to(logits)[:, None, None]
        below, upto = _around(scaled, codes)
        counts += known.sum(axis=1)
        total += known @ shown
        for column in np.flatnonzero(known.any(axis=1)):
            own = known[column]
            reached[column] += fractions_below(below[column, own], upto[column, own]).sum(axis=0)
    levels = (reached + _PRIOR * even_levels()) / (counts + _PRIOR)[:, None]
    enough = counts >= _FEWEST
    levels[~enough] = even_levels()
    return enough, levels, np.where(enough, total / np.maximum(counts, 1), 0.0)


def part_shown(columns: ColumnTokens) -> np.ndarray:
    """Return which part of all columns is shown of each object, float64 (m,)."""
    return np.asarray(((columns.place >= 0) & ~columns.asked).mean(axis=1))


def levels_at(levels: np.ndarray, shown: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Interpolate the levels of a column to parts of the columns that are shown.

    Parameters
    ----------
    levels : float (P, L)
        Levels where the parts `shown` are shown.
    shown : float (P,)
        Parts of all columns, ascending; some may be equal.
    parts : float64 (n,)
        Parts that are shown of n objects. Outside of `shown` the levels are those of its ends.

    Returns
    -------
    float64 (n, L)
    """
    left = np.clip(np.searchsorted(shown, parts, side="right") - 1, 0, len(shown) - 2)
    width = shown[left + 1] - shown[left]
    weight = np.divide(parts - shown[left], width, out=np.ones(len(parts)), where=width > 0)
    weight = np.clip(weight, 0, 1)[:, None]
    return levels[left] * (1 - weight) + levels[left + 1] * weight


def even_levels() -> np.ndarray:
    """Return the cumulative probabilities that are calibrated, evenly from 0 to 1, float64 (L,)."""
    return np.linspace(0.0, 1.0, N_LEVELS)


def fractions_below(below: np.ndarray, upto: np.ndarray) -> np.ndarray:
    """Return which fraction of each value's bin lies below each level, float64 (n, L).

    Parameters
    ----------
    below, upto : float64 (n,)
        Predicted cumulative probabilities at the lower and the upper edge of the bin that holds
        the value.
    """
    width = np.maximum(upto - below, 1e-12)[:, None]
    return np.clip((even_levels() - below[:, None]) / width, 0.0, 1.0)


def with_levels(probabilities: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the probabilities of bins, (n, K), after levels of their sums are replaced.

    Parameters
    ----------
    probabilities : float64 (n, K)
        Probabilities; rows sum to 1.
    levels : float (n, L)
        What the cumulative probabilities `even_levels` of each row become, from 0 to 1, ascending.
    """
    place = _cumulative(probabilities) * (N_LEVELS - 1)
    left = np.minimum(place.astype(np.int64), N_LEVELS - 2)
    low, high = (np.take_along_axis(levels, left + i, axis=1) for i in (0, 1))
    return np.diff(low + (place - left) * (high - low), axis=1)


def without_levels(probabilities: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Undo `with_levels`."""
    rows = zip(_cumulative(probabilities), levels, strict=True)
    return np.diff([np.interp(row, own, even_levels()) for row, own in rows], axis=1)


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
    """Return the sums of probabilities (n, K) up to each edge, from 0 to 1, (n, K + 1)."""
    edges = np.zeros((len(probabilities), probabilities.shape[1] + 1))
    np.cumsum(probabilities, axis=1, out=edges[:, 1:])
    return edges / edges[:, -1:]


def _around(logits: torch.Tensor, codes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the cumulative probabilities below and up to codes (C, M), float64 (C, M) each."""
    probabilities = logits.double().softmax(dim=2)
    upto = probabilities.cumsum(dim=2)
    place = codes.clamp(min=0)[:, :, None]
    high, own = (each.gather(2, place)[:, :, 0].cpu().numpy() for each in (upto, probabilities))
    return high - own, high


@torch.no_grad()
def target_logits(
    model: CausalTransformerLM, batch: Batch, layout: SequenceLayout, device: torch.device
) -> Iterator[tuple[RangeTargets, torch.Tensor, torch.Tensor]]:
    """Yield the targets of each range of a batch, their logits (C, M, S) and their codes (C, M)."""
    tokens, types, slots = (
        torch.from_numpy(a).to(device) for a in (batch.tokens, batch.types, batch.slots)
    )
    hidden = model.flat_hidden(tokens, types, slots, batch.shapes)  # (N, D)
    targets = find_targets(batch, layout)
    states = [hidden[torch.from_numpy(t.positions).to(device)] for t in targets]  # (C, M, D)
    ranges = [(t.ids.offset, len(t.positions), t.ids.size) for t in targets]
    for t, logits in zip(targets, model.range_logits(states, ranges), strict=True):
        yield t, logits.float(), torch.from_numpy(t.targets).to(device)


def nll_by_temperature(logits: torch.Tensor, codes: torch.Tensor) -> Sequence[np.ndarray]:
    """Return the NLL of codes (C, M) at every temperature; meaningless where a code is missing."""
    of_code = logits.gather(2, codes.clamp(min=0)[:, :, None])[:, :, 0]
    nll = []
    for power in LOG_TEMPERATURES.tolist():
        scaled = logits / 2**power
        nll.append((scaled.logsumexp(dim=2) - of_code / 2**power).cpu().double().numpy())
    return nll


def best_temperature(sums: np.ndarray) -> float:
    """Return the base-2 logarithm of the temperature at which an NLL (temperatures,) is least."""
    return float(_FINE[np.argmin(CubicSpline(LOG_TEMPERATURES, sums)(_FINE))])
