"""The processes that train together, and the steps of a run, divided among them.

A single process needs no process group: `Group()` stands for it, and its sums are its own values.
A step has as many tokens as the budget of a micro-batch, times processes, times micro-batches. Its
objects are chosen first and then divided, so that a step has the same objects however many
processes share it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from astromodal.config.schema import SequenceSettings, TrainingSettings
from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.loops import ahead
from astromodal.data.splits import TRAIN
from astromodal.errors import ConfigError, must_be
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.order import EpochPlan, Hiding, divide, hiding, label_numbers, plan_epoch
from astromodal.training.budget import Budget
from astromodal.training.losses import ColumnWeights, PreparedBatch, TypedLoss


@dataclass(frozen=True)
class Group:
    """The processes of a training run, seen from one of them.

    Attributes
    ----------
    rank : int
        Number of this process; 0 writes the files.
    size : int
        Number of processes.
    device : torch.device
        Device of this process, on which sums are exchanged.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of `values` over all processes, float64, the same bits in each."""
        if self.size == 1:
            return np.asarray(values, dtype=np.float64)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.cpu().numpy()

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Return the `values` (n,) of every process in the order of ranks, (size, n) on the CPU."""
        if self.size == 1:
            return values.cpu()[None]
        parts = [torch.empty_like(values, device=self.device) for _ in range(self.size)]
        distributed.all_gather(parts, values.to(self.device))
        return torch.stack(parts).cpu()

    def wait(self) -> None:
        """Return when all processes have called this."""
        self.sum(np.zeros(1))


ALONE = Group()
"""A single process."""


@contextmanager
def process_group(meeting: Path | None) -> Iterator[Group]:
    """Join the processes that the launcher started; inside, sums are over all of them.

    Each process uses the GPU of its number on its node; without GPUs, processes share the CPU.

    Parameters
    ----------
    meeting : path, optional
        A new file at which processes of one node meet; the launcher's host and port where None.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device, backend = torch.device("cpu"), "gloo"
    if torch.cuda.is_available():
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), "nccl"
        torch.cuda.set_device(device)
    where = "env://" if meeting is None else meeting.absolute().as_uri()
    distributed.init_process_group(backend, where, rank=rank, world_size=size)
    # Not destroyed after an error: others may never answer, and the launcher ends them.
    try:
        yield Group(rank, size, device)
    except SystemExit:
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


_AHEAD = 2  # steps that are prepared while another is computed


@dataclass(frozen=True)
class Step:
    """The part of a step that one process computes.

    Attributes
    ----------
    number, epoch, within : int
        Number of the step from 0, its epoch, and its number within the epoch.
    parts : tuple of int64 (m,)
        Objects of every micro-batch of every process, those of the first process first.
    mine : tuple of PreparedBatch
        This process's micro-batches; some are empty where there are few objects.
    counts : float64 (terms,)
        Targets of this process's micro-batches for each term, as in `PreparedBatch.counts`.
    tokens : int
        Tokens of this process's micro-batches.
    flops : float
        Floating-point operations of the model on them.
    """

    number: int
    epoch: int
    within: int
    parts: tuple[np.ndarray, ...]
    mine: tuple[PreparedBatch, ...]
    counts: np.ndarray
    tokens: int
    flops: float


_OTHERS = 1 / 8
"""Weight of other columns where labels are asked of every object."""
_MOST = 10.0
"""Largest weight of a rare column."""


@dataclass(frozen=True)
class ColumnRoles:
    """What training does with scalar columns.

    Attributes
    ----------
    labels : tuple of int
        Numbers of the columns that are labels.
    asked : float64 (columns,)
        Weight of each column where it is asked.
    shown : float
        Weight of all columns where they are shown.
    """

    labels: tuple[int, ...]
    asked: np.ndarray
    shown: float

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        labels: Collection[str],
        counts: np.ndarray,
        loss: MeaningfulLossSettings,
    ) -> ColumnRoles:
        """Return the roles of named columns, by how many training values each has, (columns,)."""
        rarity = counts.max(initial=1) / np.maximum(counts, 1)
        weights = np.minimum(rarity**loss.rarity, _MOST)
        return cls(label_numbers(columns, labels), weights, loss.next_column)

    @classmethod
    def alike(cls, n_columns: int) -> ColumnRoles:
        """Return roles without labels, in which every column weighs 1."""
        return cls((), np.ones(n_columns), 1.0)

    def weights(self, labels: bool) -> ColumnWeights:
        """Return weights, where all labels are asked or in the passes before."""
        asked, shown = self.asked, np.full(len(self.asked), self.shown)
        if labels:
            is_label = np.isin(np.arange(len(asked)), self.labels)
            asked, shown = np.where(is_label, asked, asked * _OTHERS), shown * _OTHERS
        return ColumnWeights(asked, shown)


class Steps:
    """All steps of a run.

    Parameters
    ----------
    sequences : SequenceSet
        Sequences of the training objects.
    loss : TypedLoss
        Prepares the micro-batches.
    training : TrainingSettings
        Budget, epochs and seed.
    order : SequenceSettings
        Whether blocks are shuffled, and how often columns and blocks are hidden.
    columns : ColumnRoles
        Labels and weights of the scalar columns.
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
        columns: ColumnRoles,
        group: Group,
        budget: Budget,
    ) -> None:
        self.sequences, self.loss, self.settings = sequences, loss, training
        self.group, self.budget = group, budget
        self.shuffled = order.block_order == "shuffled"
        self._order, self.columns = order, columns
        self.objects = np.flatnonzero(sequences.split == TRAIN)
        if not len(self.objects):
            got = f"{len(sequences)} objects, none of them in the training split"
            must = "fields with objects in the training split"
            raise ConfigError(must_be("training.fields", must, got, "name more fields"))
        self._labelled = self.objects
        if training.label_epochs:
            self._labelled = self.objects[sequences.know_any(self.objects, columns.labels)]
        epochs = training.epochs + (training.label_epochs if len(self._labelled) else 0)
        self._lengths = [len(self._plan(epoch)) for epoch in range(epochs)]

    def __len__(self) -> int:
        return sum(self._lengths)

    @property
    def labels_from(self) -> int:
        """Number of the first step that asks all labels; that of all steps where none does."""
        return sum(self._lengths[: self.settings.epochs])

    @property
    def n_parts(self) -> int:
        """Micro-batches of a step, over all processes."""
        return self.group.size * self.settings.accumulate

    def _plan(self, epoch: int) -> EpochPlan:
        """Return the steps of an epoch, a function of seed and epoch."""
        settings, parts = self.settings, self.n_parts
        objects = self._labelled if self.asks_labels(epoch) else self.objects
        budget = None if settings.token_budget is None else settings.token_budget * parts
        order, size = (settings.seed, epoch), settings.batch_size * parts
        return plan_epoch(objects, self.sequences.lengths, order, size, budget)

    def after(self, n_done: int) -> Generator[Step, None, None]:
        """Yield the steps after the first `n_done`, prepared ahead in a thread of its own."""
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
        last = self.asks_labels(epoch)
        hiding = self.hiding((seed, epoch, 1), last)
        weights = self.columns.weights(last)
        batches = (self.sequences.batch(part, shuffle, hiding) for part in own)
        mine = tuple(self.loss.prepare(batch, (seed, number), weights) for batch in batches)
        counts = np.sum([prepared.counts for prepared in mine], axis=0)
        tokens = sum(len(prepared.batch.tokens) for prepared in mine)
        flops = sum(self._flops(prepared) for prepared in mine)
        return Step(number, epoch, within, tuple(parts), mine, counts, tokens, flops)

    def asks_labels(self, epoch: int) -> bool:
        """Return whether an epoch is one of those at the end that ask all labels."""
        return epoch >= self.settings.epochs

    def hiding(self, key: tuple[int, ...], labels: bool = False) -> Hiding:
        """Return the choice of what is hidden, with all labels or as the settings have it."""
        choice = hiding(self._order, self.sequences.layout, self.columns.labels, key)
        return replace(choice, all_labels=1.0) if labels else choice

    def _flops(self, prepared: PreparedBatch) -> float:
        heads = [(each.of.positions.size, each.of.ids.size) for each in prepared.targets]
        return self.budget.flops(prepared.batch.shapes, heads)
