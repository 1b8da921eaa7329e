"""How surprised the model and the unigram baseline are by each code of unseen objects.

Legend: N tokens of a batch, D model, C ranges of ids, M targets of each, S ids of a range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from astromodal.evaluation.held_out import sample_rows
from astromodal.evaluation.metrics import LN2, bootstrap_error, mean_error
from astromodal.evaluation.report.values import Measurement
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch, SequenceSet
from astromodal.sequences.layout import MODALITIES, SCALAR, SPECTRUM, Block, Range, SequenceLayout
from astromodal.training.initialisation import Unigram
from astromodal.training.targets import NO_TARGET, RangeTargets, find_targets


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
        chosen[modality] = sample_rows([has], most, seed)[0]
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
def target_logits(
    model: CausalTransformerLM, batch: Batch, layout: SequenceLayout, device: torch.device
) -> Iterator[tuple[RangeTargets, torch.Tensor, torch.Tensor]]:
    """Targets of a batch, range by range: with their logits (C, M, S), and themselves (C, M)."""
    tokens, types, slots = (
        torch.from_numpy(a).to(device) for a in (batch.tokens, batch.types, batch.slots)
    )
    hidden = model.flat_hidden(tokens, types, slots, batch.shapes)  # (N, D)
    targets = find_targets(batch, layout)
    sections = [hidden[torch.from_numpy(t.positions).to(device)] for t in targets]  # (C, M, D)
    ranges = [(t.ids.offset, len(t.positions), t.ids.size) for t in targets]
    for t, logits in zip(targets, model.range_logits(sections, ranges), strict=True):
        yield t, logits.float(), torch.from_numpy(t.targets).to(device)


def by_object(found: RangeTargets, values: np.ndarray) -> np.ndarray:
    """Values of a range's targets, (C, M), as a row an object, (m, slots)."""
    return values.T if found.ids.stride else values.reshape(found.n_sequences, -1)


def code_surprise(logits: torch.Tensor, wanted: torch.Tensor) -> np.ndarray:
    """Negative log-likelihoods of targets (C, M) under logits (C, M, S); 0 where missing."""
    nll = F.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), ignore_index=NO_TARGET, reduction="none"
    )
    return nll.cpu().double().numpy().reshape(wanted.shape)


def _batch_surprise(
    model: CausalTransformerLM,
    batch: Batch,
    layout: SequenceLayout,
    unigram: Unigram,
    device: torch.device,
) -> Iterator[tuple[Range, tuple[np.ndarray, np.ndarray]]]:
    for t, logits, wanted in target_logits(model, batch, layout, device):
        values, codes = by_object(t, code_surprise(logits, wanted)), by_object(t, t.targets)
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


def modality_numbers(
    surprises: Sequence[Surprise],
    objects: dict[str, np.ndarray],
    modality: str,
    chosen: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Mean surprise at a modality's codes (nats), of model and baseline, with bootstrap errors.

    Parameters
    ----------
    surprises : sequence of Surprise
        Every range.
    objects : dict of str to int64 (m,)
        By block, the objects of its rows.
    modality : str
        ``image``, ``scalar`` or ``spectrum``.
    chosen : int64 (n,)
        Objects drawn for this modality.
    seed : int
        Seed of the bootstrap.
    """
    sums = object_sums(surprises, objects, modality, chosen)
    count = sums["count"]
    out: dict[str, Any] = {"n_objects": int((count > 0).sum()), "n_codes": int(count.sum())}
    if not count.sum():
        return out
    for what in ("model", "unigram", "gain"):
        value, error = mean_error(sums[what], count, seed)
        out[what] = Measurement(value, error)
        out[f"{what}_bits"] = Measurement(value / LN2, error / LN2)
    better = sums["gain"][count > 0] > 0
    out["better"] = float(better.mean())
    for name, where in (("first", sums["first"]), ("after_others", ~sums["first"])):
        if count[where].sum():
            out[name] = Measurement(*mean_error(sums["model"][where] / LN2, count[where], seed))
            out[f"{name}_objects"] = int((count[where] > 0).sum())
    return out


def object_sums(
    surprises: Sequence[Surprise], objects: dict[str, np.ndarray], modality: str, chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """Sums over each chosen object's codes of one modality, (n,) each.

    ``gain`` is the baseline's surprise minus the model's; ``first`` is whether none of the
    modality's blocks came after a block of another one.
    """
    order = np.argsort(chosen)
    out = {name: np.zeros(len(chosen)) for name in ("model", "unigram", "gain", "count")}
    out["first"] = np.ones(len(chosen), dtype=bool)
    for s in surprises:
        if s.ids.modality != modality or not len(s.model) or not len(chosen):
            continue
        rows = objects[s.block]
        place = np.searchsorted(chosen[order], rows)
        inside = (place < len(chosen)) & (chosen[order][np.minimum(place, len(chosen) - 1)] == rows)
        at = order[place[inside]]
        model, unigram = s.model[inside], s.unigram[inside]
        np.add.at(out["model"], at, np.nansum(model, axis=1))
        np.add.at(out["unigram"], at, np.nansum(unigram, axis=1))
        np.add.at(out["count"], at, np.isfinite(model).sum(axis=1))
        out["first"][at] &= s.first[inside]
    out["gain"] = out["unigram"] - out["model"]
    return out


def slot_numbers(
    surprises: Sequence[Surprise],
    objects: dict[str, np.ndarray],
    chosen: dict[str, np.ndarray],
    seed: int,
) -> dict[str, Any]:
    """Mean gain over the baseline (bits) in every slot, by block; a spectrum's scale by itself.

    Parameters
    ----------
    surprises, objects
        As for `modality_numbers`.
    chosen : dict of str to int64 (n,)
        By modality, the objects drawn for it: a block counts only in those drawn for its sake.
    seed : int
        Seed of the bootstrap, which scalar slots get.
    """
    out: dict[str, Any] = {}
    for s in surprises:
        home = s.block if s.block in chosen else SPECTRUM
        rows = np.isin(objects[s.block], chosen[home])
        if not rows.any():
            continue
        model, gain = s.model[rows] / LN2, (s.unigram[rows] - s.model[rows]) / LN2
        slots = {"n": np.isfinite(gain).sum(axis=0), "gain": _column_means(gain)}
        if s.ids.modality != SCALAR:
            out[s.block] = slots
            continue

        def means(index: np.ndarray, values: np.ndarray = gain) -> np.ndarray:
            return _column_means(values[index])

        slots.error = bootstrap_error(means, len(gain), seed, 100)
        slots["model"], slots["unigram"] = _column_means(model), _column_means(model + gain)
        out[SCALAR if home == SCALAR else f"{s.block}_scale"] = slots
    return out


def _column_means(values: np.ndarray) -> np.ndarray:
    count = np.isfinite(values).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
