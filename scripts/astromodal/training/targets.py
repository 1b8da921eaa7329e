"""Targets of a batch: which code each position has to predict, by range of legal ids.

Legend: N tokens of a batch, C ranges of ids that follow one another, M targets of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from astromodal.core.vocab import MISS
from astromodal.sequences.dataset import Batch, ColumnTokens
from astromodal.sequences.layout import SCALAR, Range, SequenceLayout
from astromodal.sequences.order import random_bits

NO_TARGET = -100
"""In place of a target that is missing: its token is MISS."""


@dataclass(frozen=True)
class RangeTargets:
    """Targets in one range of ids.

    Attributes
    ----------
    ids : Range
        The range.
    positions : int64 (C, M)
        Tokens of the batch whose hidden states predict the targets.
    targets : int64 (C, M)
        Targets, counted from the first id of their range; `NO_TARGET` where missing.
    objects : int64 (m,)
        Numbers of the objects that the targets belong to.
    asked : bool (C, M), optional
        Scalar columns: whether the target is asked at the end; otherwise it follows what is shown.
    """

    ids: Range
    positions: np.ndarray
    targets: np.ndarray
    objects: np.ndarray
    asked: np.ndarray | None = None

    @property
    def n_sequences(self) -> int:
        """Number of sequences that the targets belong to."""
        return len(self.objects)

    @property
    def n_known(self) -> int:
        """Number of targets that are not missing."""
        return int(np.count_nonzero(self.targets != NO_TARGET))


@dataclass(frozen=True)
class PreparedTargets:
    """Targets in one range of ids, on the device of the model.

    Attributes
    ----------
    of : RangeTargets
        The targets, on the host.
    codes : int64 (C M,)
        ``of.targets``, flat.
    weights : float32 (C M,) or None
        Weights of the targets in the mean cross-entropy; 1 each where None.
    weight : float
        Sum of the weights of known targets.
    sampled : int64 (n,)
        The sample of known targets that terms which cost more than cross-entropy are computed on:
        indices into `codes`, ascending.
    """

    of: RangeTargets
    codes: torch.Tensor
    sampled: torch.Tensor
    weights: torch.Tensor | None
    weight: float


def find_targets(batch: Batch, layout: SequenceLayout) -> list[RangeTargets]:
    """Return all targets of a batch by range of ids, ascending; SEP and EOS are no targets."""
    by_range = []
    counts, lengths = np.array(batch.shapes, dtype=np.int64).reshape(-1, 2).T
    begins = np.cumsum(np.repeat(lengths, counts)) - np.repeat(lengths, counts)
    for block in layout.blocks:
        if block.type not in batch.starts:
            continue
        if block.name == SCALAR:
            by_range.append(_of_columns(batch.columns, block.ranges[0]))
            continue
        starts = batch.starts[block.type]
        objects = batch.objects[np.searchsorted(begins, starts, side="right") - 1]
        for ids in block.ranges:
            slots = np.arange(ids.n_slots)
            positions = starts[:, None] + ids.first + slots  # the token before each slot
            tokens = batch.tokens[positions + 1].astype(np.int64)
            targets = np.where(tokens == MISS, NO_TARGET, tokens - ids.offset - ids.stride * slots)
            shape = (ids.n_slots, -1) if ids.stride else (1, -1)
            if ids.stride:
                positions, targets = positions.T, targets.T
            by_range.append(
                RangeTargets(ids, positions.reshape(shape), targets.reshape(shape), objects)
            )
    return sorted(by_range, key=lambda targets: targets.ids.offset)


def _of_columns(columns: ColumnTokens, ids: Range) -> RangeTargets:
    """Return the targets of scalar columns.

    A shown one is predicted by the token before it, an asked one by its own. A column without a
    token is no target, and its position is that of the first token.
    """
    positions = np.where(columns.asked, columns.place, columns.place - 1)
    target = (columns.place >= 0) & (columns.ids != MISS)
    codes = columns.ids.astype(np.int64) - ids.offset - ids.stride * np.arange(ids.n_slots)
    return RangeTargets(
        ids,
        np.where(columns.place >= 0, positions, 0).T,
        np.where(target, codes, NO_TARGET).T,
        columns.objects,
        columns.asked.T,
    )


def sample_known(targets: RangeTargets, most: int, key: tuple[int, ...] | None) -> np.ndarray:
    """Sample known targets.

    Parameters
    ----------
    targets : RangeTargets
        The targets.
    most : int
        Largest number of targets of one object.
    key : tuple of int, optional
        Seed of the sample, which depends on key, object, range and slot alone, not on the other
        objects of the batch. Every known target where None.

    Returns
    -------
    int64 (n,)
        Indices into the flat targets, ascending.
    """
    known = targets.targets != NO_TARGET  # (C, M)
    n_slots = targets.ids.n_slots
    if key is None or n_slots <= most:
        return np.flatnonzero(known)
    by_object = known.T if targets.ids.stride else known.reshape(-1, n_slots)  # (m, slots)
    order = random_bits(targets.objects, np.arange(n_slots), (*key, targets.ids.offset))
    order[~by_object] = np.iinfo(np.uint64).max
    last = np.partition(order, most - 1, axis=1)[:, most - 1 : most]
    chosen = by_object & (order <= last)
    return np.flatnonzero(chosen.T if targets.ids.stride else chosen)
