"""Losses of held-out objects under a trained model: of their codes, and of the values of these.

NLL is the negative log-likelihood. The unigram baseline knows how frequent each code is, no more.

Legend: n objects, C ranges of ids, M targets of each, S ids of a range, L dimensions. In the sums
of `ObjectLosses`, O orders of blocks, M modalities, T targets of a range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from astromodal.config.evaluate import EvaluationSettings
from astromodal.core.loops import Progress, quiet
from astromodal.core.vocab import TYPE_SCALAR
from astromodal.evaluation.context import EvaluatedField, eligible_objects, sample_rows
from astromodal.inference.bundle import Bundle
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch, SequenceSet
from astromodal.sequences.layout import MODALITIES, SCALAR, Block, Range, SequenceLayout
from astromodal.sequences.order import Choose, plan_epoch
from astromodal.sequences.tokenizers import check_hashes
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.training.calibration import target_logits
from astromodal.training.initialisation import Unigram
from astromodal.training.targets import NO_TARGET, RangeTargets
from astromodal.training.terms import expected_centroids


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


_FORMAT: dict[str, Any] = {"format": "ablation_losses", "version": 2}
_BUDGET = 16_384  # tokens per batch, without gradients
ORDERS = ("fixed", "shuffled")
"""Orders of blocks in which losses are measured."""


@dataclass(frozen=True)
class ObjectLosses:
    """Sums over each object's codes, by order of blocks (O = 2) and modality (M = 3).

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects.
    columns : unicode (columns,)
        Scalar columns.
    codes : int64 (n, M)
        Number of codes of each modality.
    nll : float64 (O, n, M)
        Negative log-likelihood (nats).
    squared : float64 (O, n, M)
        Squared error of the expected centroid, in standardised units.
    scalars : float64 (O, n, columns)
        Distance of the expected value from the value of the true code, in the column's unit; NaN
        where missing.
    """

    ids: np.ndarray
    columns: np.ndarray
    codes: np.ndarray
    nll: np.ndarray
    squared: np.ndarray
    scalars: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write the losses to an array file."""
        save_arrays(path, {f.name: getattr(self, f.name) for f in fields(self)}, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> ObjectLosses:
        """Read losses from a file of `save`."""
        arrays = load_arrays(path, **_FORMAT).arrays
        return cls(**{f.name: arrays[f.name] for f in fields(cls)})


def measure_losses(
    evaluated: Sequence[EvaluatedField],
    bundle: Bundle,
    evaluation: EvaluationSettings,
    progress: Progress = quiet,
) -> ObjectLosses:
    """Measure the losses of evaluated objects, with blocks in fixed and in shuffled order.

    The model predicts every block from the blocks before it, and scalar columns as in training: a
    random choice of them after everything else.

    Parameters
    ----------
    evaluated : sequence of EvaluatedField
        With the file ``sequences``.
    bundle : Bundle
        The model and its tokenizers.
    evaluation : EvaluationSettings
        Largest number of objects per modality; seed of the sample and of the shuffled orders.
    progress : Progress
        Wraps the loop over batches.
    """
    sequences = SequenceSet([f.files["sequences"] for f in evaluated], bundle.layout)
    for store in sequences.stores:
        check_hashes(bundle.trained.vocabulary, store.tokenizer_hashes, str(store.path))
    eligible = eligible_objects(sequences, evaluated)
    chosen = sample_objects(sequences, eligible, evaluation.max_objects, evaluation.seed)
    objects = np.unique(np.concatenate(list(chosen.values())))
    plan = plan_epoch(objects, sequences.lengths, None, 1, _BUDGET)
    sums, hiding = _Sums(bundle, objects), bundle.trained.hiding(evaluation.seed)
    for order, shuffle in enumerate((None, (evaluation.seed, 0))):
        for step in progress(range(len(plan)), len(plan), f"batches, {ORDERS[order]} order"):
            batch = sequences.batch(plan.step(step), shuffle, hiding)
            targets = target_logits(bundle.trained.model, batch, bundle.layout, bundle.device)
            for range_targets, logits, wanted in targets:
                sums.add(order, range_targets, logits, wanted)
    ids = np.array([sequences.id(i) for i in objects.tolist()], dtype=np.str_)
    columns = np.array(bundle.columns, dtype=np.str_)
    return ObjectLosses(ids, columns, sums.codes, sums.nll, sums.squared, sums.scalars)


class _Sums:
    """Sums of the losses of each object, accumulated over the targets of batches."""

    def __init__(self, bundle: Bundle, objects: np.ndarray) -> None:
        spec, tables = bundle.layout.spec, bundle.tokenizers.tables()
        ranges = [ids for block in bundle.layout.blocks for ids in block.ranges]
        self._objects = objects
        self._tables = {
            ids.offset: torch.from_numpy(tables.of_range(ids, spec)).to(bundle.device)
            for ids in ranges
        }
        self._columns = bundle.layout[SCALAR].ranges[0]
        centers = bundle.tokenizers.scalar.centers
        self._unused = torch.from_numpy(~np.isfinite(centers)).to(bundle.device)
        self._centers = torch.from_numpy(np.nan_to_num(centers)).float().to(bundle.device)
        shape = (len(ORDERS), len(objects), len(MODALITIES))
        self.codes = np.zeros(shape[1:], dtype=np.int64)
        self.nll, self.squared = np.zeros(shape), np.zeros(shape)
        self.scalars = np.full((*shape[:2], len(bundle.columns)), np.nan)

    def add(
        self, order: int, targets: RangeTargets, logits: torch.Tensor, wanted: torch.Tensor
    ) -> None:
        """Add the losses of the targets of a range, (C, T), with their logits, (C, T, S)."""
        rows = np.searchsorted(self._objects, targets.objects)
        modality = MODALITIES.index(targets.ids.modality)
        known = targets.targets != NO_TARGET
        if not order:
            self.codes[rows, modality] += by_object(targets, known).sum(axis=1)
        nll = by_object(targets, code_nll(logits, wanted))
        self.nll[order, rows, modality] += nll.sum(axis=1)
        difference = _distance(logits, wanted, self._tables[targets.ids.offset])
        squared = by_object(targets, np.where(known, np.square(difference).mean(axis=2), 0.0))
        self.squared[order, rows, modality] += squared.sum(axis=1)
        if targets.ids == self._columns:
            used = logits.masked_fill(self._unused[:, None], -torch.inf)
            error = np.abs(_distance(used, wanted, self._centers[:, :, None])[..., 0])
            self.scalars[order, rows] = np.where(known, error, np.nan).T


def _distance(logits: torch.Tensor, wanted: torch.Tensor, tables: torch.Tensor) -> np.ndarray:
    """Return expected minus true centroids, float64 (C, T, L), of tables (C, S, L)."""
    pairs = zip(logits, wanted.clamp(min=0), tables, strict=True)
    differences = [expected_centroids(each, table) - table[true] for each, true, table in pairs]
    return torch.stack(differences).double().cpu().numpy()
