"""One step of the optimiser: micro-batches, the sum of their gradients, and the update.

The terms of a step's loss are means over all of its targets, so the sums of every micro-batch are
divided by the counts of the whole step. Gradients are then the same however many processes and
micro-batches share the step.
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
from astromodal.training.batches import Group, Step
from astromodal.training.losses import BatchSums, PreparedBatch, Sums, TypedLoss

MOST_WARMUP = 0.1
"""Largest fraction of steps that warm up: a short run must not end before its peak."""


def learning_rate(step: int, total: int, peak: float, warmup: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to 0.

    Parameters
    ----------
    step : int
        Step, from 0.
    total : int
        Steps of the run; the rate would be 0 after the last one.
    peak : float
        Largest learning rate.
    warmup : int
        Steps of warm-up; at most a tenth of `total`.
    """
    warmup = min(warmup, int(MOST_WARMUP * total))
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def make_optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """Return an AdamW optimiser that decays matrices, but no biases and norms.

    Its betas are those of GPT-3 (Brown et al. 2020, arXiv:2005.14165): 0.9 and 0.95.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


class NotFinite(Exception):
    """A loss or gradient norm is not finite; no weight was updated.

    Attributes
    ----------
    what : str
        ``training loss`` or ``gradient norm``.
    value : float
        Its value.
    objects : int64 (n,)
        Numbers of the objects that it was computed on.
    """

    def __init__(self, what: str, value: float, objects: np.ndarray) -> None:
        super().__init__(what)
        self.what, self.value, self.objects = what, value, objects


@dataclass(frozen=True)
class Outcome:
    """The result of a step, over all processes.

    Attributes
    ----------
    sums : Sums
        Sums of its losses.
    tokens : int
        Its tokens.
    flops : float
        Floating-point operations of the model.
    stop : bool
        Whether any process has received a signal to stop.
    """

    sums: Sums
    tokens: int
    flops: float
    stop: bool


@dataclass(frozen=True)
class StepMessage:
    """The numbers of a step that processes add up, in one message.

    Attributes
    ----------
    norm : float
        Norm of the gradients, which every process has: 0 in all but the first.
    stop : float
        Processes that have received a signal to stop.
    tokens, flops : float
        Tokens of the step, and floating-point operations of the model.
    sums : float64 (modalities, columns)
        Values of `Sums`.
    losses : float64 (micro-batches,)
        Loss of each micro-batch of each process; 0 for those of other processes.
    """

    norm: float
    stop: float
    tokens: float
    flops: float
    sums: np.ndarray
    losses: np.ndarray

    def shared(self, group: Group) -> StepMessage:
        """Return the sum of the messages of all processes."""
        numbers = [self.norm, self.stop, self.tokens, self.flops]
        packed = group.sum(np.concatenate([numbers, self.sums.ravel(), self.losses]))
        norm, stop, tokens, flops = packed[: len(numbers)].tolist()
        sums, losses = np.split(packed[len(numbers) :], [self.sums.size])
        return StepMessage(norm, stop, tokens, flops, sums.reshape(self.sums.shape), losses)


class _Objective(nn.Module):
    """The loss of a micro-batch, as a module that DistributedDataParallel can wrap.

    It holds the parameters of the model but not its buffers: those are constants, equal in every
    process, and need not be sent at each step.
    """

    def __init__(self, model: CausalTransformerLM, loss: TypedLoss) -> None:
        super().__init__()
        self.weights = nn.ParameterList(model.parameters())
        self._of = (model, loss)

    def forward(
        self, prepared: PreparedBatch, counts: np.ndarray
    ) -> tuple[torch.Tensor, BatchSums]:
        model, loss = self._of
        sums = loss.prepared_sums(model, prepared)
        total = loss.total(sums, counts)
        if not total.requires_grad:  # an empty micro-batch too takes part in the sum of gradients
            total = total + 0.0 * model.bias.sum()
        return total, sums


class Optimisation:
    """A model with its optimiser: takes steps.

    Parameters
    ----------
    model : CausalTransformerLM
        The model, on its device. Every process starts with the weights of the first one.
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
        self._loss = loss
        self._objective: nn.Module = _Objective(model, loss)
        if group.size > 1:
            # Unused parameters are searched for at every step. That also keeps the buckets, and
            # with them the order of sums, so that a resumed run computes the same bits.
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
            Whether this process has received a signal to stop.

        Raises
        ------
        NotFinite
            In every process, before any weight is updated, where the loss of a micro-batch or the
            norm of the gradients is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        counts = self.group.sum(step.counts)
        self.optimizer.zero_grad(set_to_none=True)
        totals, batches = [], []
        for i, prepared in enumerate(step.mine):
            with self._sync(last=i + 1 == len(step.mine)):
                total, sums = self._backward(prepared, counts)
            totals.append(total)
            batches.append(sums)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        outcome = self._shared(step, totals, norm, Sums.of(batches, self._loss.terms), stop)
        self.optimizer.step()
        return outcome

    def _sync(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a micro-batch: gradients are summed after the last one only."""
        if last or not isinstance(self._objective, DistributedDataParallel):
            return nullcontext()
        return self._objective.no_sync()

    def _backward(
        self, prepared: PreparedBatch, counts: np.ndarray
    ) -> tuple[torch.Tensor, BatchSums]:
        """Add the gradients of a micro-batch; return its part of the step's loss, and its sums."""
        with torch.autocast(self._loss.device.type, torch.bfloat16, enabled=self.half):
            total, sums = self._objective(prepared, counts)
        # DistributedDataParallel averages over processes; these gradients are to be summed.
        (total * self.group.size).backward()
        return total.detach(), sums

    def _shared(
        self,
        step: Step,
        totals: Sequence[torch.Tensor],
        norm: torch.Tensor,
        sums: Sums,
        stop: bool,
    ) -> Outcome:
        """Return the result over all processes; raise `NotFinite` where it is not finite."""
        *own, own_norm = torch.stack([*totals, norm]).tolist()
        losses = np.zeros(len(step.parts))
        losses[self.group.rank * len(own) :][: len(own)] = own
        own_norm = own_norm if self.group.first else 0.0
        message = StepMessage(own_norm, stop, step.tokens, step.flops, sums.values, losses)
        message = message.shared(self.group)
        for part in np.flatnonzero(~np.isfinite(message.losses)):
            raise NotFinite("training loss", float(message.losses[part]), step.parts[part])
        if not np.isfinite(message.norm):
            raise NotFinite("gradient norm", message.norm, np.concatenate(step.parts))
        tokens, flops, stopped = int(message.tokens), message.flops, bool(message.stop)
        return Outcome(sums.like(message.sums), tokens, flops, stopped)
