"""The training loss: cross-entropy over legal ids, and the reconstruction terms.

Legend: N tokens of a batch, D model, C ranges of ids, M targets of each, S ids of a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.vocab import MISS
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.centroids import CentroidTables
from astromodal.sequences.dataset import Batch, draws
from astromodal.sequences.layout import MODALITIES, Range, SequenceLayout
from astromodal.training.reconstruction import expected_centroids

NO_TARGET = -100
"""Stands in for a target that does not count: MISS."""
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class RangeTargets:
    """Targets in one range of ids.

    Attributes
    ----------
    ids : Range
        The range.
    positions : int64 (C, M)
        Tokens of the batch whose hidden states predict them.
    targets : int64 (C, M)
        Targets, counted from their range's first id; `NO_TARGET` where missing.
    objects : int64 (m,)
        Numbers of the objects that they are from.
    """

    ids: Range
    positions: np.ndarray
    targets: np.ndarray
    objects: np.ndarray

    @property
    def n_sequences(self) -> int:
        """Sequences that they are from."""
        return len(self.objects)


def find_targets(batch: Batch, layout: SequenceLayout) -> list[RangeTargets]:
    """Every target of a batch, by range of ids, ascending; SEP and EOS are none."""
    found = []
    counts, lengths = np.array(batch.shapes, dtype=np.int64).reshape(-1, 2).T
    begins = np.cumsum(np.repeat(lengths, counts)) - np.repeat(lengths, counts)
    for block in layout.blocks:
        if block.type not in batch.starts:
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
            found.append(
                RangeTargets(ids, positions.reshape(shape), targets.reshape(shape), objects)
            )
    return sorted(found, key=lambda r: r.ids.offset)


def sample_known(found: RangeTargets, most: int, key: tuple[int, ...] | None) -> np.ndarray:
    """Targets that enter a reconstruction term, as indices into the flat targets.

    Parameters
    ----------
    found : RangeTargets
        The targets.
    most : int
        Targets of an object at most.
    key : tuple of int, optional
        What the draw depends on beside object, range and slot: which objects share the batch does
        not matter. Every known target where None.

    Returns
    -------
    int64 (n,)
        Ascending.
    """
    known = found.targets != NO_TARGET  # (C, M)
    n_slots = found.ids.n_slots
    if key is None or n_slots <= most:
        return np.flatnonzero(known)
    by_object = known.T if found.ids.stride else known.reshape(-1, n_slots)  # (m, slots)
    drawn = draws(found.objects, np.arange(n_slots), (*key, found.ids.offset))
    drawn[~by_object] = np.iinfo(np.uint64).max
    last = np.partition(drawn, most - 1, axis=1)[:, most - 1 : most]
    chosen = by_object & (drawn <= last)
    return np.flatnonzero(chosen.T if found.ids.stride else chosen)


@dataclass
class Term:
    """Sums of one modality's losses over its targets: not means, so that they can be added up."""

    cross_entropy: torch.Tensor | float = 0.0
    n: int = 0
    squared_error: torch.Tensor | float = 0.0
    n_squared: int = 0


@dataclass(frozen=True)
class Prepared:
    """A batch laid out for the loss: all that is known before the model is asked.

    Attributes
    ----------
    batch : Batch
        The batch.
    inputs : tuple of int32 (N,)
        Its tokens, types and slots on the model's device.
    found : tuple of RangeTargets
        Its targets.
    positions : int64 (P,)
        Positions of all of `found`, one after another, on the device.
    targets : tuple of int64 (C M,)
        Flat targets of each of `found`, on the device.
    sampled : tuple of int64 (n,)
        Of each of `found`, the flat targets in the reconstruction term, on the device; empty where
        the term is off.
    """

    batch: Batch
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    found: tuple[RangeTargets, ...]
    positions: torch.Tensor
    targets: tuple[torch.Tensor, ...]
    sampled: tuple[torch.Tensor, ...]

    def counts(self) -> np.ndarray:
        """What `TypedLoss.total` divides by, float64 (1 + modalities,).

        Known targets, and by modality those in its reconstruction term.
        """
        counts = np.zeros(1 + len(MODALITIES))
        for r, sampled in zip(self.found, self.sampled, strict=True):
            counts[0] += np.count_nonzero(r.targets != NO_TARGET)
            counts[1 + MODALITIES.index(r.ids.modality)] += len(sampled)
        return counts


class TypedLoss:
    """The loss of a batch, modality by modality.

    Parameters
    ----------
    layout : SequenceLayout
        The layout of sequences.
    tables : CentroidTables
        Centroids of the codes.
    settings : MeaningfulLossSettings
        Weights of all terms, and sampling of the reconstruction terms.
    device : torch.device
        Where the model is.
    """

    def __init__(
        self,
        layout: SequenceLayout,
        tables: CentroidTables,
        settings: MeaningfulLossSettings,
        device: torch.device,
    ) -> None:
        self.layout = layout
        self.settings = settings
        self.device = device
        self._weights = {m: getattr(settings, f"lambda_{m}") for m in MODALITIES}
        ranges = [ids for block in layout.blocks for ids in block.ranges]
        self._centroids = {
            ids.offset: torch.from_numpy(tables.of_range(ids, layout.spec)).to(device)
            for ids in ranges
        }

    def prepare(self, batch: Batch, draw: tuple[int, ...] | None) -> Prepared:
        """Find a batch's targets and bring it to the device; needs no model, and may run ahead.

        Parameters
        ----------
        batch : Batch
            The batch.
        draw : tuple of int, optional
            Key of the positions that the reconstruction terms are computed on; every position
            where None.
        """
        found = find_targets(batch, self.layout)
        sampled = []
        for r in found:
            wanted = self.settings.enabled and self._weights[r.ids.modality]
            most = self.settings.sample_k_per_modality
            sampled.append(sample_known(r, most, draw) if wanted else _NONE)
        positions = np.concatenate([r.positions.ravel() for r in found] or [_NONE])
        tokens, types, slots = (self._send(a) for a in (batch.inputs, batch.types, batch.slots))
        return Prepared(
            batch,
            (tokens, types, slots),
            tuple(found),
            self._send(positions),
            tuple(self._send(r.targets.ravel()) for r in found),
            tuple(self._send(each) for each in sampled),
        )

    def _send(self, array: np.ndarray) -> torch.Tensor:
        """An array on the device; to a GPU the copy goes on while the host does."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        with torch.cuda.device(self.device):  # a thread of its own starts on the first GPU
            return tensor.pin_memory().to(self.device, non_blocking=True)

    def terms(
        self, model: CausalTransformerLM, batch: Batch, draw: tuple[int, ...] | None
    ) -> dict[str, Term]:
        """Loss sums of a batch; parameters as in `prepare`."""
        return self.prepared_terms(model, self.prepare(batch, draw))

    def prepared_terms(self, model: CausalTransformerLM, prepared: Prepared) -> dict[str, Term]:
        """Loss sums of a prepared batch."""
        found, batch = prepared.found, prepared.batch
        terms = {modality: Term() for modality in MODALITIES}
        if not found:
            return terms
        hidden = model.flat_hidden(*prepared.inputs, batch.shapes)  # (N, D)
        picked = hidden.index_select(0, prepared.positions)
        parts = [
            part.view(*r.positions.shape, -1)  # (C, M, D)
            for part, r in zip(picked.split([r.positions.size for r in found]), found, strict=True)
        ]
        ranges = [(r.ids.offset, len(r.positions), r.ids.size) for r in found]
        all_logits = model.range_logits(parts, ranges)
        rows = zip(found, all_logits, prepared.targets, prepared.sampled, strict=True)
        for r, logits, targets, sampled in rows:
            self._add(terms[r.ids.modality], r, logits, targets, sampled)
        return terms

    def _add(
        self,
        term: Term,
        found: RangeTargets,
        logits: torch.Tensor,  # (C, M, S)
        targets: torch.Tensor,  # (C M,)
        sampled: torch.Tensor,  # (n,)
    ) -> None:
        flat = logits.flatten(0, 1)
        term.cross_entropy = term.cross_entropy + F.cross_entropy(
            flat.float(), targets, ignore_index=NO_TARGET, reduction="sum"
        )
        term.n += int(np.count_nonzero(found.targets != NO_TARGET))
        if not len(sampled):
            return
        table = self._centroids[found.ids.offset]  # (C, S, L)
        column = sampled // found.targets.shape[1]
        centroids = table[0] if len(table) == 1 else table[column]
        expected = expected_centroids(flat.index_select(0, sampled), centroids)
        true = table[column, targets[sampled]]
        term.squared_error = term.squared_error + (expected - true).square().mean(dim=1).sum()
        term.n_squared += len(sampled)

    def total(self, terms: Mapping[str, Term], counts: np.ndarray | None = None) -> torch.Tensor:
        """Weighted means: of the cross-entropy of all targets, and of each reconstruction term.

        Parameters
        ----------
        terms : mapping of str to Term
            Loss sums by modality.
        counts : float64 (1 + modalities,), optional
            What the sums are divided by, as in `Prepared.counts`: those of all batches that make a
            step together, so that their totals add up to the step's. Those of `terms` where None.
        """
        if counts is None:
            squared = [terms[m].n_squared for m in MODALITIES]
            counts = np.array([sum(term.n for term in terms.values()), *squared], dtype=float)
        n, *n_squared = np.maximum(1, counts).tolist()
        loss = torch.zeros((), device=self.device)
        for modality, count in zip(MODALITIES, n_squared, strict=True):
            term, weight = terms[modality], self._weights[modality]
            loss = loss + self.settings.lambda_cross_entropy * term.cross_entropy / n
            loss = loss + weight * term.squared_error / count
        return loss

    def objective(self, means: Mapping[str, float | None]) -> float | None:
        """The total of mean losses as `Sums.means` gives them; None without any target."""
        if means["cross_entropy"] is None:
            return None
        squared = ((w, means[f"squared_error_{m}"]) for m, w in self._weights.items())
        entropy = self.settings.lambda_cross_entropy * means["cross_entropy"]
        return entropy + sum(w * mean for w, mean in squared if mean is not None)
