"""The training loss: cross-entropy over legal ids, and the reconstruction terms.

Legend: N tokens of a batch, D model, C ranges of ids, M targets of each, S ids of a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from astromodal.config.schema import MeaningfulLossSettings
from astromodal.core.vocab import MISS
from astromodal.models.transformer import CausalTransformerLM
from astromodal.training.batches import Batch
from astromodal.training.layout import MODALITIES, Range, SequenceLayout
from astromodal.training.reconstruction import expected_centroids
from astromodal.training.targets import CentroidTables

NO_TARGET = -100
"""Stands in for a target that does not count: MISS."""


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
    n_sequences : int
        Sequences that they are from.
    """

    ids: Range
    positions: np.ndarray
    targets: np.ndarray
    n_sequences: int


def find_targets(batch: Batch, layout: SequenceLayout) -> list[RangeTargets]:
    """Every target of a batch, by range of ids, ascending; SEP and EOS are none."""
    found = []
    for block in layout.blocks:
        if block.type not in batch.starts:
            continue
        starts = batch.starts[block.type]
        for ids in block.ranges:
            slots = np.arange(ids.n_slots)
            positions = starts[:, None] + ids.first + slots  # the token before each slot
            tokens = batch.tokens[positions + 1].astype(np.int64)
            targets = np.where(tokens == MISS, NO_TARGET, tokens - ids.offset - ids.stride * slots)
            shape = (ids.n_slots, -1) if ids.stride else (1, -1)
            if ids.stride:
                positions, targets = positions.T, targets.T
            found.append(
                RangeTargets(ids, positions.reshape(shape), targets.reshape(shape), len(starts))
            )
    return sorted(found, key=lambda r: r.ids.offset)


@dataclass
class Term:
    """Sums of one modality's losses over its targets: not means, so that they can be added up."""

    cross_entropy: torch.Tensor | float = 0.0
    n: int = 0
    squared_error: torch.Tensor | float = 0.0
    n_squared: int = 0


class TypedLoss:
    """The loss of a batch, modality by modality.

    Parameters
    ----------
    layout : SequenceLayout
        The layout of sequences.
    tables : CentroidTables
        Centroids of the codes.
    settings : MeaningfulLossSettings
        Weights and sampling of the reconstruction terms.
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

    def terms(
        self, model: CausalTransformerLM, batch: Batch, draw: tuple[int, ...] | None
    ) -> dict[str, Term]:
        """Loss sums of a batch.

        Parameters
        ----------
        model : CausalTransformerLM
            The model.
        batch : Batch
            The batch.
        draw : tuple of int, optional
            Seed of the positions that the reconstruction terms are computed on; every position
            where None.
        """
        tokens, types, slots = (
            torch.from_numpy(a).to(self.device) for a in (batch.tokens, batch.types, batch.slots)
        )
        hidden = model.flat_hidden(tokens, types, slots, batch.shapes)  # (N, D)
        found = find_targets(batch, self.layout)
        terms = {modality: Term() for modality in MODALITIES}
        if not found:
            return terms
        positions = np.concatenate([r.positions.ravel() for r in found])
        picked = hidden.index_select(0, torch.from_numpy(positions).to(self.device))
        parts = [
            part.view(*r.positions.shape, -1)  # (C, M, D)
            for part, r in zip(picked.split([r.positions.size for r in found]), found, strict=True)
        ]
        ranges = [(r.ids.offset, len(r.positions), r.ids.size) for r in found]
        generator = None if draw is None else np.random.default_rng(draw)
        for r, logits in zip(found, model.range_logits(parts, ranges), strict=True):
            self._add(terms[r.ids.modality], r, logits, generator)
        return terms

    def _add(
        self,
        term: Term,
        found: RangeTargets,
        logits: torch.Tensor,  # (C, M, S)
        generator: np.random.Generator | None,
    ) -> None:
        flat = logits.flatten(0, 1)
        targets = found.targets.ravel()
        on_device = torch.from_numpy(targets).to(self.device)
        term.cross_entropy = term.cross_entropy + F.cross_entropy(
            flat.float(), on_device, ignore_index=NO_TARGET, reduction="sum"
        )
        known = np.flatnonzero(targets != NO_TARGET)
        term.n += len(known)
        if not (self.settings.enabled and self._weights[found.ids.modality] and len(known)):
            return
        most = self.settings.sample_k_per_modality * found.n_sequences
        if generator is not None and len(known) > most:
            known = np.sort(generator.choice(known, most, replace=False))
        sampled = torch.from_numpy(known).to(self.device)
        table = self._centroids[found.ids.offset]  # (C, S, L)
        column = torch.from_numpy(known // found.targets.shape[1]).to(self.device)
        centroids = table[0] if len(table) == 1 else table[column]
        expected = expected_centroids(flat.index_select(0, sampled), centroids)
        true = table[column, on_device[sampled]]
        term.squared_error = term.squared_error + (expected - true).square().mean(dim=1).sum()
        term.n_squared += len(known)

    def total(self, terms: Mapping[str, Term]) -> torch.Tensor:
        """Mean cross-entropy of all targets, and the weighted mean of each reconstruction term."""
        n = max(1, sum(term.n for term in terms.values()))
        loss = torch.zeros((), device=self.device)
        for modality, term in terms.items():
            loss = loss + term.cross_entropy / n
            loss = loss + self._weights[modality] * term.squared_error / max(1, term.n_squared)
        return loss
