"""Negative log-likelihoods (NLL) of held-out codes under the model and the unigram baseline.

Legend: N tokens of a batch, D model, C ranges of ids, M targets of each, S ids of a range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from astromodal.core.vocab import TYPE_SCALAR
from astromodal.evaluation.context import sample_rows
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch, SequenceSet
from astromodal.sequences.layout import MODALITIES, Block, Range, SequenceLayout
from astromodal.sequences.order import Choose
from astromodal.training.calibration import target_logits
from astromodal.training.initialisation import Unigram
from astromodal.training.targets import NO_TARGET, RangeTargets


@dataclass
class RangeNll:
    """NLL (nats) of the codes in one range of ids, by object and slot.

    Attributes
    ----------
    block : str
        ``image``, ``scalar`` or the spectrum group.
    ids : Range
        The range; its modality, slots and size.
    model, unigram : float64 (objects, n_slots)
        NLL under the model and under the baseline; NaN where the code is missing.
    first : bool (objects,)
        Whether the block is the first of its sequence, so that it is predicted from nothing.
    """

    block: str
    ids: Range
    model: np.ndarray
    unigram: np.ndarray
    first: np.ndarray


def sample_objects(
    sequences: SequenceSet, eligible: np.ndarray, most: int, seed: int
) -> dict[str, np.ndarray]:
    """Sample at most `most` of the eligible objects that have each modality.

    Parameters
    ----------
    sequences : SequenceSet
        The sequences.
    eligible : int64 (n,)
        Objects that nothing was trained on.
    most, seed : int
        Largest number of objects per modality, and the seed of the sample.

    Returns
    -------
    dict of str to int64 (m,)
        Objects by modality.
    """
    chosen = {}
    for modality in MODALITIES:
        blocks = [b for b in sequences.layout.blocks if _home(b) == modality]
        bits = np.uint32(sum(1 << block.type for block in blocks))
        has = eligible[(sequences.pattern[eligible] & bits) > 0]
        chosen[modality] = sample_rows([has], most, seed)[0]
    return chosen


def measure_nll(
    model: CausalTransformerLM,
    sequences: SequenceSet,
    batches: Iterable[np.ndarray],
    unigram: Unigram,
    shuffle: tuple[int, int] | None,
    choose: Choose | None,
    device: torch.device,
) -> tuple[list[RangeNll], dict[str, np.ndarray]]:
    """Compute the NLL of every code of some objects.

    Parameters
    ----------
    model : CausalTransformerLM
        The model, on `device`, in evaluation mode.
    sequences : SequenceSet
        Sequences of the objects.
    batches : iterable of int64 (m,)
        Objects of each batch.
    unigram : Unigram
        The baseline, counted on the training sequences.
    shuffle : (int, int), optional
        Seed and epoch of the block orders; the layout's order where None.
    choose : callable, optional
        Chooses what is shown, each code predicted from what stands before it, and what is hidden
        and predicted from that; everything is shown where None.
    device : torch.device
        Where the model is.

    Returns
    -------
    ranges : list of RangeNll
        One per range of ids, in the layout's order.
    objects : dict of str to int64 (m,)
        The objects of the rows, by block.
    """
    layout = sequences.layout
    pairs: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    firsts: dict[int, list[np.ndarray]] = {}
    objects: dict[int, list[np.ndarray]] = {}
    for chosen in batches:
        batch = sequences.batch(chosen, shuffle, choose)
        for ids, values in _batch_nll(model, batch, layout, unigram, device):
            pairs.setdefault(ids.offset, []).append(values)
        for kind, (numbers, is_first) in _first_blocks(batch).items():
            objects.setdefault(kind, []).append(numbers)
            firsts.setdefault(kind, []).append(is_first)
    ranges = []
    for block in layout.blocks:
        for ids in block.ranges:
            mine = pairs.get(ids.offset, [])
            model_nll, unigram_nll = (
                np.concatenate([np.empty((0, ids.n_slots)), *(pair[i] for pair in mine)])
                for i in (0, 1)
            )
            first = np.concatenate([np.empty(0, bool), *firsts.get(block.type, [])])
            ranges.append(RangeNll(block.name, ids, model_nll, unigram_nll, first))
    empty = np.empty(0, np.int64)
    rows = {b.name: np.concatenate([empty, *objects.get(b.type, [])]) for b in layout.blocks}
    return ranges, rows


def by_object(targets: RangeTargets, values: np.ndarray) -> np.ndarray:
    """Reshape values of a range's targets (C, M) to one row per object, (m, slots)."""
    return values.T if targets.ids.stride else values.reshape(targets.n_sequences, -1)


def code_nll(logits: torch.Tensor, codes: torch.Tensor) -> np.ndarray:
    """Return the NLL of codes (C, M) under logits (C, M, S), float64 (C, M); 0 where missing."""
    nll = F.cross_entropy(
        logits.flatten(0, 1), codes.flatten(), ignore_index=NO_TARGET, reduction="none"
    )
    return nll.cpu().double().numpy().reshape(codes.shape)


def _batch_nll(
    model: CausalTransformerLM,
    batch: Batch,
    layout: SequenceLayout,
    unigram: Unigram,
    device: torch.device,
) -> Iterator[tuple[Range, tuple[np.ndarray, np.ndarray]]]:
    """Yield each range of a batch with the NLL under the model and under the baseline."""
    for t, logits, wanted in target_logits(model, batch, layout, device):
        values, codes = by_object(t, code_nll(logits, wanted)), by_object(t, t.targets)
        missing = codes == NO_TARGET
        table = unigram.log_frequencies(t.ids)  # (n_slots, S)
        baseline = -table[np.arange(t.ids.n_slots), np.where(missing, 0, codes)].astype(np.float64)
        yield t.ids, (np.where(missing, np.nan, values), np.where(missing, np.nan, baseline))


def _first_blocks(batch: Batch) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return the objects of each type of block, (m,), and whether it is their first, bool (m,)."""
    lengths = np.concatenate([np.full(n, length) for n, length in batch.shapes])
    begins = np.zeros(len(batch.tokens), dtype=bool)
    begins[np.cumsum(lengths) - lengths] = True  # BOS
    columns = batch.columns
    place = np.where((columns.place >= 0) & ~columns.asked, columns.place, len(begins))
    first = place.min(axis=1, initial=len(begins))  # behind its SEP
    is_first = (first < len(begins)) & begins[first - 2]
    found = {TYPE_SCALAR: (columns.objects, is_first)}
    for kind, block in batch.blocks.items():
        found[kind] = block.objects, begins[block.starts - 1]
    return found


def _home(block: Block) -> str:
    """Return the modality of a block: that of its last range."""
    return block.ranges[-1].modality
