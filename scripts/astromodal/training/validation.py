"""Mean losses over many batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from astromodal.models.transformer import CausalTransformerLM
from astromodal.training.batches import SequenceSet, plan_epoch
from astromodal.training.layout import MODALITIES
from astromodal.training.loss import Term, TypedLoss

_TOKENS = 8192
"""Tokens of a batch when nothing is kept for a backward pass."""
_ORDER = (0, 0)
"""Seed of the block orders that losses are evaluated in, the same at every evaluation."""
_PARTS = ("cross_entropy", "n", "squared_error", "n_squared")


class Sums:
    """Loss sums of several batches, by modality."""

    def __init__(self) -> None:
        self._values = {m: dict.fromkeys(_PARTS, 0.0) for m in MODALITIES}

    def add(self, terms: Mapping[str, Term]) -> None:
        """Add the terms of one batch."""
        for modality, term in terms.items():
            for part in _PARTS:
                value = getattr(term, part)
                number = value.item() if isinstance(value, torch.Tensor) else float(value)
                self._values[modality][part] += number

    def means(self) -> dict[str, float | None]:
        """Mean losses over all targets; None without targets.

        ``cross_entropy`` of every modality together, ``cross_entropy_{modality}`` (nats) and
        ``squared_error_{modality}`` (standardised units).
        """
        total = {p: sum(values[p] for values in self._values.values()) for p in _PARTS}
        means = {"cross_entropy": _ratio(total["cross_entropy"], total["n"])}
        for modality, values in self._values.items():
            means[f"cross_entropy_{modality}"] = _ratio(values["cross_entropy"], values["n"])
            means[f"squared_error_{modality}"] = _ratio(
                values["squared_error"], values["n_squared"]
            )
        return means

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers that `from_dict` makes the same sums from."""
        return {modality: dict(values) for modality, values in self._values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, float]]) -> Sums:
        """The sums that `as_dict` was called on."""
        sums = cls()
        sums._values = {modality: dict(parts) for modality, parts in values.items()}
        return sums


def _ratio(total: float, n: float) -> float | None:
    return total / n if n else None


def evaluate_loss(
    model: CausalTransformerLM,
    loss: TypedLoss,
    sequences: SequenceSet,
    objects: np.ndarray,
    shuffled: bool,
) -> dict[str, float | None]:
    """Mean losses of `objects`, without dropout; the model's mode is left as it was.

    Parameters
    ----------
    model : CausalTransformerLM
        The model.
    loss : TypedLoss
        The loss; every position enters the reconstruction terms.
    sequences : SequenceSet
        Sequences that the objects are from.
    objects : int64 (n,)
        Numbers of the objects.
    shuffled : bool
        Draw each object's order of blocks, from a fixed seed; the layout's order otherwise.

    Returns
    -------
    dict
        What `Sums.means` returns.
    """
    was_training = model.training
    model.eval()
    sums = Sums()
    plan = plan_epoch(objects, sequences.lengths, None, 1, _TOKENS)
    with torch.no_grad():
        for step in range(len(plan)):
            batch = sequences.batch(plan.step(step), _ORDER if shuffled else None)
            sums.add(loss.terms(model, batch, None))
    model.train(was_training)
    return sums.means()
