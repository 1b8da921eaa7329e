"""Mean losses over many batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import SequenceSet, plan_epoch
from astromodal.sequences.layout import MODALITIES
from astromodal.training.distributed import ALONE, Group
from astromodal.training.losses import Term, TypedLoss

_TOKENS = 8192
"""Tokens of a batch when nothing is kept for a backward pass."""
_ORDER = (0, 0)
"""Seed of the block orders that losses are evaluated in, the same at every evaluation."""
PARTS = ("cross_entropy", "n", "squared_error", "n_squared")
"""What is summed of each modality, as `Term` names it."""


class Sums:
    """Loss sums of several batches, by modality.

    Parameters
    ----------
    values : float64 (modalities, parts), optional
        Sums in the order of `MODALITIES` and `PARTS`; none yet where None.
    """

    def __init__(self, values: np.ndarray | None = None) -> None:
        empty = np.zeros((len(MODALITIES), len(PARTS)))
        self.values = empty if values is None else values

    def add(self, other: Sums) -> None:
        """Add the sums of other batches."""
        self.values = self.values + other.values

    def means(self) -> dict[str, float | None]:
        """Mean losses over all targets; None without targets.

        ``cross_entropy`` of every modality together, ``cross_entropy_{modality}`` (nats) and
        ``squared_error_{modality}`` (standardised units).
        """
        means = {"cross_entropy": _ratio(*self.values.sum(axis=0)[:2].tolist())}
        for modality, (entropy, n, squared, n_squared) in zip(
            MODALITIES, self.values.tolist(), strict=True
        ):
            means[f"cross_entropy_{modality}"] = _ratio(entropy, n)
            means[f"squared_error_{modality}"] = _ratio(squared, n_squared)
        return means

    def as_list(self) -> list[list[float]]:
        """Plain numbers, which `from_list` makes the same sums from."""
        return self.values.tolist()

    @classmethod
    def from_list(cls, values: list[list[float]]) -> Sums:
        """The sums that `as_list` was called on."""
        return cls(np.array(values, dtype=np.float64))


def sums_of(terms: Sequence[Mapping[str, Term]]) -> Sums:
    """The sums of batches' terms; waits for the device once."""
    values = [getattr(batch[m], part) for batch in terms for m in MODALITIES for part in PARTS]
    tensors = [v.detach().double() for v in values if isinstance(v, torch.Tensor)]
    found = iter(torch.stack(tensors).tolist() if tensors else [])
    plain = [next(found) if isinstance(v, torch.Tensor) else float(v) for v in values]
    return Sums(np.array(plain).reshape(len(terms), len(MODALITIES), len(PARTS)).sum(axis=0))


def _ratio(total: float, n: float) -> float | None:
    return total / n if n else None


def evaluate_loss(
    model: CausalTransformerLM,
    loss: TypedLoss,
    sequences: SequenceSet,
    objects: np.ndarray,
    shuffled: bool,
    group: Group = ALONE,
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
    group : Group
        Processes that share the objects; each gets the losses of all.

    Returns
    -------
    dict
        What `Sums.means` returns, and ``loss``, their total as `TypedLoss.objective` takes it.
    """
    was_training = model.training
    model.eval()
    sums = Sums()
    plan = plan_epoch(objects, sequences.lengths, None, 1, _TOKENS)
    with torch.no_grad():
        for step in range(group.rank, len(plan), group.size):
            batch = sequences.batch(plan.step(step), _ORDER if shuffled else None)
            sums.add(sums_of([loss.terms(model, batch, None)]))
    model.train(was_training)
    means = Sums(group.sum(sums.values)).means()
    return {"loss": loss.objective(means), **means}


@dataclass(frozen=True)
class Best:
    """The best validation so far.

    Attributes
    ----------
    step : int, optional
        When it was; None before the first.
    loss : float
        Its total loss.
    waited : int
        Validations since.
    """

    step: int | None = None
    loss: float = math.inf
    waited: int = 0

    def after(self, step: int, loss: float | None) -> Best:
        """The best of this and of a validation at a step; a loss that is missing or NaN is none."""
        if loss is not None and loss < self.loss:
            return Best(step, loss)
        return Best(self.step, self.loss, self.waited + 1)
