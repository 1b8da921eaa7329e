"""The steps of a run: their objects, divided over processes and micro-batches, laid out ahead.

A step takes its budget times processes times micro-batches in tokens. Its objects are chosen with
all of that, and then divided: the same objects make a step however many share the work.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from astromodal.config.schema import SequenceSettings, TrainingSettings
from astromodal.core.threads import ahead
from astromodal.data.splits import TRAIN
from astromodal.errors import ConfigError, must_be
from astromodal.sequences.dataset import EpochPlan, Hiding, SequenceSet, divide, plan_epoch
from astromodal.training.budget import Budget
from astromodal.training.distributed import Group
from astromodal.training.losses import Prepared, TypedLoss

_AHEAD = 2  # steps that are laid out while another is computed


@dataclass(frozen=True)
class Step:
    """A step, as one process takes it.

    Attributes
    ----------
    number, epoch, within : int
        Number of the step from 0, its epoch, and its number within the epoch.
    parts : tuple of int64 (m,)
        Objects of every micro-batch of every process, those of the first process first.
    mine : tuple of Prepared
        This process's micro-batches; some are empty where there are few objects.
    counts : float64 (1 + modalities,)
        What this process's losses count, as in `Prepared.counts`.
    tokens : int
        Tokens of this process's micro-batches.
    flops : float
        Floating-point operations of the model on them.
    """

    number: int
    epoch: int
    within: int
    parts: tuple[np.ndarray, ...]
    mine: tuple[Prepared, ...]
    counts: np.ndarray
    tokens: int
    flops: float


class Steps:
    """All steps of a run.

    Parameters
    ----------
    sequences : SequenceSet
        Sequences of the training objects.
    loss : TypedLoss
        Finds the targets.
    training : TrainingSettings
        Budget, epochs and seed.
    order : SequenceSettings
        Whether blocks are shuffled, and how many columns are hidden.
    group : Group
        The processes that share the steps.
    budget : Budget
        The model's sizes.

    Raises
    ------
    ConfigError
        Where no object is in the training split.
    """

    def __init__(
        self,
        sequences: SequenceSet,
        loss: TypedLoss,
        training: TrainingSettings,
        order: SequenceSettings,
        group: Group,
        budget: Budget,
    ) -> None:
        self.sequences, self.loss, self.settings = sequences, loss, training
        self.group, self.budget = group, budget
        self.shuffled = order.block_order == "shuffled"
        self._hidden = order.hide_columns
        self.objects = np.flatnonzero(sequences.split == TRAIN)
        if not len(self.objects):
            got = f"{len(sequences)} objects, none of them in the training split"
            must = "fields with objects in the training split"
            raise ConfigError(must_be("training.fields", must, got, "name more fields"))
        self._lengths = [len(self._plan(epoch)) for epoch in range(training.epochs)]

    def __len__(self) -> int:
        return sum(self._lengths)

    @property
    def n_parts(self) -> int:
        """Micro-batches of a step, over all processes."""
        return self.group.size * self.settings.accumulate

    def _plan(self, epoch: int) -> EpochPlan:
        """Steps of an epoch; the same whenever it is asked for."""
        settings, parts = self.settings, self.n_parts
        budget = None if settings.token_budget is None else settings.token_budget * parts
        order, size = (settings.seed, epoch), settings.batch_size * parts
        return plan_epoch(self.objects, self.sequences.lengths, order, size, budget)

    def after(self, n_done: int) -> Generator[Step, None, None]:
        """The steps after the first `n_done`, laid out ahead in a thread of its own."""
        return ahead(self._after(n_done), depth=_AHEAD)

    def _after(self, n_done: int) -> Iterator[Step]:
        first = 0
        for epoch, length in enumerate(self._lengths):
            if n_done < first + length:
                plan = self._plan(epoch)
                for within in range(max(0, n_done - first), length):
                    yield self._step(first + within, epoch, within, plan.step(within))
            first += length

    def _step(self, number: int, epoch: int, within: int, objects: np.ndarray) -> Step:
        parts = divide(objects, self.sequences.lengths, self.n_parts)
        begin = self.group.rank * self.settings.accumulate
        seed = self.settings.seed
        shuffle = (seed, epoch) if self.shuffled else None
        own = parts[begin : begin + self.settings.accumulate]
        hiding = Hiding(self._hidden, (seed, epoch, 1)) if self._hidden else None
        batches = (self.sequences.batch(part, shuffle, hiding) for part in own)
        mine = tuple(self.loss.prepare(batch, (seed, number)) for batch in batches)
        counts = np.sum([prepared.counts() for prepared in mine], axis=0)
        tokens = sum(len(prepared.batch.tokens) for prepared in mine)
        flops = sum(self._flops(prepared) for prepared in mine)
        return Step(number, epoch, within, tuple(parts), mine, counts, tokens, flops)

    def _flops(self, prepared: Prepared) -> float:
        heads = [(found.positions.size, found.ids.size) for found in prepared.found]
        return self.budget.flops(prepared.batch.shapes, heads)
