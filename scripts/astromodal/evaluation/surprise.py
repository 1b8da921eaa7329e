"""How surprised the model and the unigram baseline are by each code of unseen objects.

Legend: N tokens of a batch, D model, C ranges of ids, M targets of each, S ids of a range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from astromodal.evaluation.objects import draw
from astromodal.models.transformer import CausalTransformerLM
from astromodal.training.batches import Batch, SequenceSet
from astromodal.training.layout import MODALITIES, Block, Range, SequenceLayout
from astromodal.training.loss import NO_TARGET, RangeTargets, find_targets
from astromodal.training.unigram import Unigram


@dataclass
class Surprise:
    """Negative log-likelihoods (nats) in one range of ids, object by object and slot by slot.

    Attributes
    ----------
    block : str
        ``image``, ``scalar`` or the spectrum group.
    ids : Range
        The range; its modality, slots and size.
    model, unigram : float64 (objects, n_slots)
        NaN where a slot is missing.
    first : bool (objects,)
        Whether the block was the first of its sequence, so that nothing else could help.
    """

    block: str
    ids: Range
    model: np.ndarray
    unigram: np.ndarray
    first: np.ndarray


def choose_objects(
    sequences: SequenceSet, eligible: np.ndarray, most: int, seed: int
) -> dict[str, np.ndarray]:
    """Draw at most `most` of the eligible objects that have each modality, by modality.

    Parameters
    ----------
    sequences : SequenceSet
        The sequences.
    eligible : int64 (n,)
        Objects that nothing was trained on.
    most, seed : int
        Objects a modality at most, and the seed of the draw.
    """
    chosen = {}
    for modality in MODALITIES:
        blocks = [b for b in sequences.layout.blocks if _home(b) == modality]
        bits = np.uint32(sum(1 << block.type for block in blocks))
        has = eligible[(sequences.pattern[eligible] & bits) > 0]
        chosen[modality] = draw([has], most, seed)[0]
    return chosen


def measure_surprise(
    model: CausalTransformerLM,
    sequences: SequenceSet,
    batches: Iterable[np.ndarray],
    unigram: Unigram,
    shuffle: tuple[int, int] | None,
    device: torch.device,
) -> tuple[list[Surprise], dict[str, np.ndarray]]:
    """Negative log-likelihood of every code of some objects.

    Parameters
    ----------
    model : CausalTransformerLM
        On `device`, in evaluation mode.
    sequences : SequenceSet
        Where the objects are.
    batches : iterable of int64 (m,)
        Objects of each batch.
    unigram : Unigram
        The baseline, counted on the training sequences.
    shuffle : (int, int), optional
        Seed and epoch of the block orders; the layout's order where None.
    device : torch.device
        Where the model is.

    Returns
    -------
    surprises, objects
        One entry a range, in the layout's order, and by block the objects of its rows.
    """
    layout = sequences.layout
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    firsts: dict[int, list[np.ndarray]] = {}
    objects: dict[int, list[np.ndarray]] = {}
    for chosen in batches:
        batch = sequences.batch(chosen, shuffle)
        for ids, values in _batch_surprise(model, batch, layout, unigram, device):
            found.setdefault(ids.offset, []).append(values)
        for kind, starts in batch.starts.items():
            has = ((sequences.pattern[batch.objects] >> kind) & 1).astype(bool)
            objects.setdefault(kind, []).append(batch.objects[has])
            firsts.setdefault(kind, []).append(starts == _begins(batch)[has] + 1)
    surprises = []
    for block in layout.blocks:
        for ids in block.ranges:
            pairs = found.get(ids.offset, [])
            model_nll, unigram_nll = (
                np.concatenate([np.empty((0, ids.n_slots)), *(pair[i] for pair in pairs)])
                for i in (0, 1)
            )
            first = np.concatenate([np.empty(0, bool), *firsts.get(block.type, [])])
            surprises.append(Surprise(block.name, ids, model_nll, unigram_nll, first))
    empty = np.empty(0, np.int64)
    rows = {b.name: np.concatenate([empty, *objects.get(b.type, [])]) for b in layout.blocks}
    return surprises, rows


@torch.no_grad()
def legal_logits(
    model: CausalTransformerLM, batch: Batch, layout: SequenceLayout, device: torch.device
) -> Iterator[tuple[RangeTargets, torch.Tensor]]:
    """Every target of a batch with the logits of the ids that are legal there.

    Parameters
    ----------
    model : CausalTransformerLM
        On `device`, in evaluation mode.
    batch, layout : Batch, SequenceLayout
        The sequences.
    device : torch.device
        Where the model is.

    Yields
    ------
    targets : RangeTargets
        Targets in one range of ids.
    logits : float32 (C M, S)
        On the device, parallel to the flat targets.
    """
    tokens, types, slots = (
        torch.from_numpy(a).to(device) for a in (batch.tokens, batch.types, batch.slots)
    )
    hidden = model.flat_hidden(tokens, types, slots, batch.shapes)  # (N, D)
    targets = find_targets(batch, layout)
    parts = [hidden[torch.from_numpy(t.positions).to(device)] for t in targets]  # (C, M, D)
    ranges = [(t.ids.offset, len(t.positions), t.ids.size) for t in targets]
    for t, logits in zip(targets, model.range_logits(parts, ranges), strict=True):
        yield t, logits.flatten(0, 1).float()


def by_object(found: RangeTargets, values: np.ndarray) -> np.ndarray:
    """Values of the flat targets object by object, (m, slots)."""
    shaped = values.reshape(found.targets.shape)
    return shaped.T if found.ids.stride else shaped.reshape(found.n_sequences, -1)


def _batch_surprise(
    model: CausalTransformerLM,
    batch: Batch,
    layout: SequenceLayout,
    unigram: Unigram,
    device: torch.device,
) -> Iterator[tuple[Range, tuple[np.ndarray, np.ndarray]]]:
    for t, logits in legal_logits(model, batch, layout, device):
        wanted = torch.from_numpy(t.targets).to(device).flatten()
        nll = F.cross_entropy(logits, wanted, ignore_index=NO_TARGET, reduction="none")
        codes, values = by_object(t, t.targets), by_object(t, nll.cpu().double().numpy())
        missing = codes == NO_TARGET
        table = unigram.log_frequencies(t.ids)  # (n_slots, S)
        baseline = -table[np.arange(t.ids.n_slots), np.where(missing, 0, codes)].astype(np.float64)
        yield t.ids, (np.where(missing, np.nan, values), np.where(missing, np.nan, baseline))


def _begins(batch: Batch) -> np.ndarray:
    """Where each sequence's BOS stands, int64 (sequences,)."""
    lengths = np.concatenate([np.full(n, length) for n, length in batch.shapes])
    return np.cumsum(lengths) - lengths


def _home(block: Block) -> str:
    """The modality that a block is there for: its last range's."""
    return block.ranges[-1].modality
