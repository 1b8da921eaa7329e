"""Temperatures of the scalar columns, fitted on the validation split.

The logits of a column are divided by its temperature (Guo et al. 2017, arXiv:1706.04599): above 1
it makes predictions less certain, below 1 more certain.

Legend: N tokens of a batch, D model, C ranges of ids, M targets of each, S ids of a range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch, SequenceSet
from astromodal.sequences.layout import SCALAR, SequenceLayout
from astromodal.sequences.order import Choose, plan_epoch
from astromodal.training.targets import NO_TARGET, RangeTargets, find_targets

LOG_TEMPERATURES = np.linspace(-1.0, 1.0, 9)
"""Base-2 logarithms of the temperatures of the grid; the NLL is interpolated between them."""
_FINE = np.linspace(-1.0, 1.0, 401)
UNITY = int(np.argmin(np.abs(LOG_TEMPERATURES)))
_FEWEST = 50
"""Fewest values that a temperature is fitted to; that of a column with fewer is 1."""


def fit_columns(
    model: CausalTransformerLM,
    sequences: SequenceSet,
    objects: np.ndarray,
    shuffle: tuple[int, int] | None,
    choose: Choose,
    token_budget: int,
) -> np.ndarray:
    """Fit the temperature of each scalar column, at which its asked values are likeliest.

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
    float32 (columns,)
        Temperatures; 1 for a column that is asked of few objects.
    """
    was_training, device = model.training, model.bias.device
    model.eval()
    n_columns = sequences.layout[SCALAR].length
    sums = np.zeros((n_columns, len(LOG_TEMPERATURES)))
    counts = np.zeros(n_columns, dtype=np.int64)
    plan = plan_epoch(objects, sequences.lengths, None, 1, token_budget)
    for step in range(len(plan)):
        batch = sequences.batch(plan.step(step), shuffle, choose)
        for targets, logits, codes in target_logits(model, batch, sequences.layout, device):
            if targets.asked is None:
                continue
            known = targets.asked & (targets.targets != NO_TARGET)
            counts += known.sum(axis=1)
            for i, nll in enumerate(nll_by_temperature(logits, codes)):
                sums[:, i] += np.where(known, nll, 0.0).sum(axis=1)
    model.train(was_training)
    fitted = np.ones(n_columns, dtype=np.float32)
    for column in np.flatnonzero(counts >= _FEWEST):
        fitted[column] = 2.0 ** best_temperature(sums[column])
    return fitted


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
