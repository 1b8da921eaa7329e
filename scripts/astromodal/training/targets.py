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
    neighbours : (int64, float32) (C M, k), or None
        The codes that each target is spread over in the cross-entropy, and their shares, which sum
        to 1, or to 0 where it is missing; each target counts alone where None.
    sampled : int64 (n,)
        The sample of known targets that terms which cost more than cross-entropy are computed on:
        indices into `codes`, ascending.
    """

    of: RangeTargets
    codes: torch.Tensor
    sampled: torch.Tensor
    weights: torch.Tensor | None
    weight: float
    neighbours: tuple[torch.Tensor, torch.Tensor] | None = None


def find_targets(batch: Batch, layout: SequenceLayout) -> list[RangeTargets]:
    """Return all targets of a batch by range of ids, ascending; SEP and EOS are no targets."""
    by_range = []
    for block in layout.blocks:
        if block.name == SCALAR:
            if len(batch.columns.objects):
                by_range.append(_of_columns(batch.columns, block.ranges[0]))
            continue
        if block.type not in batch.blocks:
            continue
        mine = batch.blocks[block.type]
        for ids in block.ranges:
            slots = np.arange(ids.n_slots)
            positions = mine.starts[:, None] + ids.first + slots  # the token before each slot
            codes = mine.ids[:, ids.first : ids.first + ids.n_slots].astype(np.int64)
            targets = np.where(codes == MISS, NO_TARGET, codes - ids.offset - ids.stride * slots)
            shape = (ids.n_slots, -1) if ids.stride else (1, -1)
            if ids.stride:
                positions, targets = positions.T, targets.T
            found = positions.reshape(shape), targets.reshape(shape)
            by_range.append(RangeTargets(ids, *found, mine.objects))
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


_SIGMAS = 3.0
"""Widths of a Gaussian to either side that a target is spread over."""


def spread_over_bins(
    targets: RangeTargets, n_used: np.ndarray, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Spread targets of scalar columns over the bins around them.

    The shares are those of a Gaussian in the number of the bin, cut at the column's last bin
    (Imani & White 2018, arXiv:1806.04613).

    Parameters
    ----------
    targets : RangeTargets
        The targets, of C columns.
    n_used : int64 (C,)
        Bins in use of each column.
    fraction : float
        Standard deviation of the Gaussian, in bins in use of the column.

    Returns
    -------
    codes : int64 (C M, k)
        The codes around each target.
    shares : float32 (C M, k)
        Their shares, which sum to 1; 0 where the target is missing.
    """
    sigma = np.maximum(fraction * n_used, 1e-6)[:, None, None]  # (C, 1, 1)
    reach = int(np.ceil(_SIGMAS * sigma.max()))
    away = np.arange(-reach, reach + 1)
    known = (targets.targets != NO_TARGET)[:, :, None]
    codes = np.where(known, targets.targets[:, :, None], 0) + away  # (C, M, k)
    inside = known & (codes >= 0) & (codes < n_used[:, None, None])
    shares = np.exp(-0.5 * (away / sigma) ** 2) * inside
    shares /= np.maximum(shares.sum(axis=2, keepdims=True), 1e-12)
    k = len(away)
    codes = np.where(inside, codes, 0)
    return codes.reshape(-1, k), shares.reshape(-1, k).astype(np.float32)


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
