"""Calibration of scalar columns on the validation split: temperatures, and levels of quantiles.

The logits of a column are divided by its temperature (Guo et al. 2017, arXiv:1706.04599): above 1
it makes predictions less certain, below 1 more certain. Then each level of its cumulative
distribution is replaced by the fraction of validation values that lay below it (Kuleshov et al.
2018, arXiv:1807.00263), so that half of the values lie below the median, and so on.

Legend: N tokens of a batch, D model, C ranges, M targets of each, S ids of a range, L levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from astromodal.models.transformer import CausalTransformerLM
from astromodal.models.values import N_LEVELS
from astromodal.sequences.dataset import Batch, SequenceSet
from astromodal.sequences.layout import SCALAR, SequenceLayout
from astromodal.sequences.order import Choose, plan_epoch
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
    """Calibration of scalar columns.

    Attributes
    ----------
    temperatures : float32 (columns,)
        Divisors of the logits.
    levels : float32 (columns, L)
        What the cumulative probabilities `even_levels` become, from 0 to 1, ascending.
    """

    temperatures: np.ndarray
    levels: np.ndarray


def fit_columns(
    model: CausalTransformerLM,
    sequences: SequenceSet,
    objects: np.ndarray,
    shuffle: tuple[int, int] | None,
    choose: Choose,
    token_budget: int,
) -> Calibration:
    """Calibrate each scalar column on its asked values.

    Its temperature is that at which they are likeliest, and its levels are those below which the
    right fractions of them lie.

    Parameters
    ----------
    model : CausalTransformerLM
        The model; its mode is restored.
    sequences : SequenceSet
        Sequences of the objects.
    objects : int64 (n,)
        Numbers of the objects: those of the validation split.
    shuffle : (int, int), optional
        Seed and epoch of the block orders; the layout's order where None.
    choose : callable
        Chooses what is shown, asked and hidden.
    token_budget : int
        Tokens that are run at once.

    Returns
    -------
    Calibration
        Of a column that is asked of few objects, a temperature of 1 and unchanged levels.
    """
    was_training, n_columns = model.training, sequences.layout[SCALAR].length
    model.eval()

    def asked() -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
        plan = plan_epoch(objects, sequences.lengths, None, 1, token_budget)
        for step in range(len(plan)):
            batch = sequences.batch(plan.step(step), shuffle, choose)
            device = model.bias.device
            for targets, logits, codes in target_logits(model, batch, sequences.layout, device):
                if targets.asked is not None:
                    yield targets.asked & (targets.targets != NO_TARGET), logits, codes

    sums, counts = np.zeros((n_columns, len(LOG_TEMPERATURES))), np.zeros(n_columns)
    for known, logits, codes in asked():
        counts += known.sum(axis=1)
        for i, nll in enumerate(nll_by_temperature(logits, codes)):
            sums[:, i] += np.where(known, nll, 0.0).sum(axis=1)
    fitted = np.ones(n_columns, dtype=np.float32)
    for column in np.flatnonzero(counts >= _FEWEST):
        fitted[column] = 2.0 ** best_temperature(sums[column])
    reached = np.zeros((n_columns, N_LEVELS))
    for known, logits, codes in asked():
        scaled = logits / torch.from_numpy(fitted).to(logits)[:, None, None]
        below, upto = _around(scaled, codes)
        for column in np.flatnonzero(known.any(axis=1)):
            own = known[column]
            reached[column] += fractions_below(below[column, own], upto[column, own]).sum(axis=0)
    model.train(was_training)
    few = counts < _FEWEST
    levels = (reached + _PRIOR * even_levels()) / (counts + _PRIOR)[:, None]
    levels[few] = even_levels()
    return Calibration(fitted, levels.astype(np.float32))


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


def with_levels(probabilities: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the probabilities of bins, (n, K), after levels of their sums are replaced.

    Parameters
    ----------
    probabilities : float64 (n, K)
        Probabilities; rows sum to 1.
    before, after : float (L,)
        Cumulative probabilities from 0 to 1, ascending, and what they become.
    """
    edges = np.zeros((len(probabilities), probabilities.shape[1] + 1))
    np.cumsum(probabilities, axis=1, out=edges[:, 1:])
    return np.diff(np.interp(edges / edges[:, -1:], before, after), axis=1)


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
