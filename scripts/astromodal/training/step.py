"""One step of the optimiser: micro-batches, the sum of their gradients, and the update.

The loss of a step is a mean over all its targets, so every micro-batch is divided by the counts of
the whole step: one process, several, and several micro-batches give the same gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from astromodal.config.schema import TrainingSettings
from astromodal.models.transformer import CausalTransformerLM
from astromodal.training.batches import Step
from astromodal.training.distributed import Group
from astromodal.training.losses import Prepared, Term, TypedLoss
from astromodal.training.validation import PARTS, Sums, sums_of

MOST_WARMUP = 0.1
"""Largest fraction of the steps that warm up: a short run must not end before its peak."""


def learning_rate(step: int, total: int, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak`, then a half cosine that reaches 0 after the last of `total` steps.

    Parameters
    ----------
    step : int
        Step, from 0.
    total : int
        Steps of the run.
    peak : float
        Largest learning rate.
    warmup : int
        Steps of warm-up; no more than a tenth of `total` are taken.
    """
    warmup = min(warmup, int(MOST_WARMUP * total))
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def make_optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves biases and norms alone.

    Betas are those of GPT-2 and GPT-3 trainings: 0.9 and 0.95.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


class NotFinite(Exception):
    """A loss or gradient norm that is not finite; nothing was updated.

    Attributes
    ----------
    what : str
        Which of the two.
    value : float
        The loss or the norm.
    objects : int64 (n,)
        Numbers of the objects that it was computed on.
    """

    def __init__(self, what: str, value: float, objects: np.ndarray) -> None:
        super().__init__(what)
        self.what, self.value, self.objects = what, value, objects


@dataclass(frozen=True)
class Outcome:
    """What a step came to, over all processes.

    Attributes
    ----------
    sums : Sums
        Its losses.
    tokens : int
        Its tokens.
    flops : float
        Floating-point operations of the model.
    stop : bool
        Whether any process was told to stop.
    """

    sums: Sums
    tokens: int
    flops: float
    stop: bool


class _Objective(nn.Module):
    """The loss of a micro-batch, as a module whose forward pass DistributedDataParallel wraps.

    Only the model's parameters are the module's own: its buffers are constants, alike in every
    process, which need not be sent around at each step.
    """

    def __init__(self, model: CausalTransformerLM, loss: TypedLoss) -> None:
        super().__init__()
        self.weights = nn.ParameterList(model.parameters())
        self._of = (model, loss)

    def forward(
        self, prepared: Prepared, counts: np.ndarray
    ) -> tuple[torch.Tensor, dict[str, Term]]:
        model, loss = self._of
        terms = loss.prepared_terms(model, prepared)
        total = loss.total(terms, counts)
        if not total.requires_grad:  # an empty part must still take part in the sum of gradients
            total = total + 0.0 * model.bias.sum()
        return total, terms


class Optimisation:
    """A model, its optimiser, and how a step is taken.

    Parameters
    ----------
    model : CausalTransformerLM
        The model, on its device. Every process starts with the first one's weights.
    loss : TypedLoss
        The loss.
    training : TrainingSettings
        Learning rate, weight decay, clipping, mixed precision.
    group : Group
        The processes that share a step.
    """

    def __init__(
        self, model: CausalTransformerLM, loss: TypedLoss, training: TrainingSettings, group: Group
    ) -> None:
        self.model, self.settings, self.group = model, training, group
        self.optimizer = make_optimizer(model, training.learning_rate, training.weight_decay)
        self.half = training.use_amp and loss.device.type == "cuda"
        self._device = loss.device
        self._objective: nn.Module = _Objective(model, loss)
        if group.size > 1:
            # Parameters that a part does not use are found at every step, which also keeps the
            # buckets, and so the order of sums, what they were: a resumed run adds up alike.
            self._objective = DistributedDataParallel(self._objective, find_unused_parameters=True)

    def take(self, step: Step, rate: float, stop: bool) -> Outcome:
        """Take a step.

        Parameters
        ----------
        step : Step
            The step.
        rate : float
            Its learning rate.
        stop : bool
            Whether this process was told to stop.

        Raises
        ------
        NotFinite
            In every process, before anything is updated, where the loss of a micro-batch or the
            norm of the gradients is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        counts = self.group.sum(step.counts)
        self.optimizer.zero_grad(set_to_none=True)
        totals, terms = [], []
        for i, prepared in enumerate(step.mine):
            with self._sync(last=i + 1 == len(step.mine)):
                total, found = self._backward(prepared, counts)
            totals.append(total)
            terms.append(found)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        outcome = self._agree(step, totals, norm, sums_of(terms), stop)
        self.optimizer.step()
        return outcome

    def _sync(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are summed over processes once a step, after its last micro-batch."""
        if last or not isinstance(self._objective, DistributedDataParallel):
            return nullcontext()
        return self._objective.no_sync()

    def _backward(
        self, prepared: Prepared, counts: np.ndarray
    ) -> tuple[torch.Tensor, dict[str, Term]]:
        """Add a micro-batch's gradients; its share of the step's loss, and its terms."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.half):
            total, terms = self._objective(prepared, counts)
        # DistributedDataParallel takes a mean over processes, where these gradients add up.
        (total * self.group.size).backward()
        return total.detach(), terms

    def _agree(
        self,
        step: Step,
        totals: Sequence[torch.Tensor],
        norm: torch.Tensor,
        sums: Sums,
        stop: bool,
    ) -> Outcome:
        """Add up what the processes found, in one message; raise where it is not finite."""
        *own, own_norm = torch.stack([*totals, norm]).tolist()
        losses = np.zeros(len(step.parts))
        losses[self.group.rank * len(own) :][: len(own)] = own
        own_norm = own_norm if self.group.first else 0.0  # every process has the same
        message = [own_norm, float(stop), step.tokens, step.flops, *sums.values.flat, *losses]
        shared = self.group.sum(np.array(message))
        losses = shared[-len(losses) :]
        for part in np.flatnonzero(~np.isfinite(losses)):
            raise NotFinite("training loss", float(losses[part]), step.parts[part])
        if not np.isfinite(shared[0]):
            raise NotFinite("gradient norm", float(shared[0]), np.concatenate(step.parts))
        return Outcome(
            Sums(shared[4 : -len(losses)].reshape(-1, len(PARTS))),
            int(shared[2]),
            float(shared[3]),
            bool(shared[1]),
        )
