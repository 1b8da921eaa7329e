"""The training loss: the weighted sum of a list of terms, over the legal ids of each target.

Training and validation sum the same list, that of `terms.loss_terms`.

Legend: N tokens of a batch, D model, C ranges of ids, M targets of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from astromodal.config.training import MeaningfulLossSettings
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch
from astromodal.sequences.layout import MODALITIES, SequenceLayout
from astromodal.sequences.tokenizers import CentroidTables
from astromodal.training.targets import (
    NO_TARGET,
    PreparedTargets,
    RangeTargets,
    find_targets,
    sample_known,
    spread_over_bins,
)
from astromodal.training.terms import (
    CROSS_ENTROPY,
    STANDARD_TERMS,
    LossTerm,
    Predictions,
    loss_terms,
)

_NONE = np.empty(0, dtype=np.int64)
Value = TypeVar("Value", float, torch.Tensor)


@dataclass
class TargetSum:
    """The sum of one term over targets, and their number: sums of batches can be added up."""

    total: torch.Tensor | float = 0.0
    n: float = 0


BatchSums = dict[tuple[str, str], TargetSum]
"""Sums of a batch by name of the term and modality."""


@dataclass(frozen=True)
class ColumnWeights:
    """Weights of scalar columns in the cross-entropy, float64 (columns,) each.

    Attributes
    ----------
    asked : float64 (columns,)
        Of columns that are asked at the end of a sequence.
    shown : float64 (columns,)
        Of columns that are shown, and predicted from what stands before them.
    """

    asked: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class PreparedBatch:
    """A batch with its targets on the device: all that is known before the model runs.

    Attributes
    ----------
    batch : Batch
        The batch.
    inputs : tuple of int32 (N,)
        Its tokens, types and slots.
    targets : tuple of PreparedTargets
        Its targets by range of ids.
    positions : int64 (P,)
        Positions of all `targets`, one range after another.
    counts : float64 (terms,)
        Targets that each term's mean is over.
    """

    batch: Batch
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    targets: tuple[PreparedTargets, ...]
    positions: torch.Tensor
    counts: np.ndarray


class TypedLoss:
    """The loss of a batch, term by term and modality by modality.

    Parameters
    ----------
    layout : SequenceLayout
        The layout of sequences.
    tables : CentroidTables
        Centroids of the codes.
    settings : MeaningfulLossSettings
        Weights of all terms, and the number of sampled targets.
    device : torch.device
        Where the model is.

    Attributes
    ----------
    terms : tuple of LossTerm
        The terms that training and validation sum.
    """

    def __init__(
        self,
        layout: SequenceLayout,
        tables: CentroidTables,
        settings: MeaningfulLossSettings,
        device: torch.device,
    ) -> None:
        self.layout = layout
        self.device = device
        self.terms = loss_terms(settings)
        self._most, self._spread = settings.sample_k_per_modality, settings.spread
        self._n_used, self._are_angles = tables.n_scalar, tables.are_angles
        ranges = [ids for block in layout.blocks for ids in block.ranges]
        self._centroids = {
            ids.offset: torch.from_numpy(tables.of_range(ids, layout.spec)).to(device)
            for ids in ranges
        }

    def prepare(
        self, batch: Batch, key: tuple[int, ...] | None, weights: ColumnWeights | None = None
    ) -> PreparedBatch:
        """Find a batch's targets and copy it to the device; needs no model, and may run ahead.

        Parameters
        ----------
        batch : Batch
            The batch.
        key : tuple of int, optional
            Seed of the sampled targets. Where None, as in validation, every known target is
            sampled, and none is spread over neighbouring bins.
        weights : ColumnWeights, optional
            Weights of scalar columns in the cross-entropy; every target weighs 1 where None.
        """
        by_range = find_targets(batch, self.layout)
        prepared = tuple(self._prepared(targets, key, weights) for targets in by_range)
        positions = np.concatenate([targets.positions.ravel() for targets in by_range] or [_NONE])
        tokens, types, slots = (self._send(a) for a in (batch.tokens, batch.types, batch.slots))
        counts = [
            sum(term.count(each) for each in prepared if term.covers(each.of.ids.modality))
            for term in self.terms
        ]
        return PreparedBatch(
            batch, (tokens, types, slots), prepared, self._send(positions), np.array(counts, float)
        )

    def _prepared(
        self, targets: RangeTargets, key: tuple[int, ...] | None, weights: ColumnWeights | None
    ) -> PreparedTargets:
        codes = self._send(targets.targets.ravel())
        sampled = self._send(self._sample(targets, key))
        if weights is None or targets.asked is None:
            return PreparedTargets(targets, codes, sampled, None, targets.n_known)
        each = np.where(targets.asked, weights.asked[:, None], weights.shown[:, None])
        total = float(each.sum(where=targets.targets != NO_TARGET))
        flat = self._send(each.ravel().astype(np.float32))
        if key is None or not self._spread:
            return PreparedTargets(targets, codes, sampled, flat, total)
        columns = slice(len(targets.targets))
        around, shares = spread_over_bins(
            targets, self._n_used[columns], self._spread, self._are_angles[columns]
        )
        neighbours = self._send(around), self._send(shares)
        return PreparedTargets(targets, codes, sampled, flat, total, neighbours)

    def _sample(self, targets: RangeTargets, key: tuple[int, ...] | None) -> np.ndarray:
        """Return the sampled targets of a range; none where cross-entropy is the only term."""
        needed = any(term.covers(targets.ids.modality) for term in self.terms[1:])
        return sample_known(targets, self._most, key) if needed else _NONE

    def _send(self, array: np.ndarray) -> torch.Tensor:
        """Return an array on the device; a copy to a GPU runs beside the host's work."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        with torch.cuda.device(self.device):  # a thread of its own starts on the first GPU
            return tensor.pin_memory().to(self.device, non_blocking=True)

    def batch_sums(
        self, model: CausalTransformerLM, batch: Batch, key: tuple[int, ...] | None
    ) -> BatchSums:
        """Return the sums of a batch; parameters as in `prepare`."""
        return self.prepared_sums(model, self.prepare(batch, key))

    def prepared_sums(self, model: CausalTransformerLM, prepared: PreparedBatch) -> BatchSums:
        """Return the sums of a prepared batch."""
        sums: BatchSums = {
            (term.name, modality): TargetSum() for term in self.terms for modality in MODALITIES
        }
        if not prepared.targets:
            return sums
        hidden = model.flat_hidden(*prepared.inputs, prepared.batch.shapes)  # (N, D)
        picked = hidden.index_select(0, prepared.positions)
        ranges = [each.of for each in prepared.targets]
        parts = [
            part.view(*targets.positions.shape, -1)  # (C, M, D)
            for part, targets in zip(
                picked.split([targets.positions.size for targets in ranges]), ranges, strict=True
            )
        ]
        ids = [(each.ids.offset, len(each.positions), each.ids.size) for each in ranges]
        for targets, logits in zip(prepared.targets, model.range_logits(parts, ids), strict=True):
            centroids = self._centroids[targets.of.ids.offset]
            self._add(sums, Predictions(targets, logits.flatten(0, 1), centroids))
        return sums

    def _add(self, sums: BatchSums, predictions: Predictions) -> None:
        """Add every term over the targets of one range."""
        modality = predictions.targets.of.ids.modality
        for term in self.terms:
            if not term.covers(modality):
                continue
            n = term.count(predictions.targets)
            if n or term.at_zero:
                mine = sums[term.name, modality]
                mine.total = mine.total + term(predictions)
                mine.n += n

    def total(self, sums: BatchSums, counts: np.ndarray | None = None) -> torch.Tensor:
        """Return the weighted sum of the terms' means, float ().

        Parameters
        ----------
        sums : BatchSums
            Sums of a batch.
        counts : float64 (terms,), optional
            What each term's sum is divided by: `PreparedBatch.counts`, added up over all batches of
            a step, so that the totals of these batches add up to that of the step. The targets of
            `sums` where None.
        """
        pooled = [self._pooled(term, sums) for term in self.terms]
        if counts is None:
            counts = np.array([each.n for each in pooled], dtype=float)
        zero = torch.zeros((), device=self.device)
        divisors = np.maximum(1, counts).tolist()
        means = [
            zero + term.weight * each.total / n
            for term, each, n in zip(self.terms, pooled, divisors, strict=True)
        ]
        return _added(means)

    def _pooled(self, term: LossTerm, sums: BatchSums) -> TargetSum:
        """Return the sum of a term over all of its modalities."""
        mine = [sums[term.name, m] for m in MODALITIES if term.modality in (None, m)]
        return TargetSum(sum(each.total for each in mine), sum(each.n for each in mine))

    def objective(self, means: Mapping[str, float | None]) -> float | None:
        """Return the total of mean losses from `Sums.means`; None without any target."""
        if means[CROSS_ENTROPY] is None:
            return None
        weighted = ((term.weight, means[term.key]) for term in self.terms)
        return _added([weight * mean for weight, mean in weighted if mean is not None])


def _added(means: Sequence[Value]) -> Value:
    """Return the sum of weighted means, the first of them added last: rounding depends on it."""
    return means[0] + sum(means[1:])


class Sums:
    """Sums of several batches, by modality and term.

    Parameters
    ----------
    values : float64 (modalities, 2 × names), optional
        For each modality of `MODALITIES`, and for each name among the terms in turn, the sum over
        targets and their number; zeros where None.
    terms : sequence of LossTerm
        The terms.
    """

    def __init__(
        self, values: np.ndarray | None = None, terms: Sequence[LossTerm] = STANDARD_TERMS
    ) -> None:
        self.terms = terms
        self._names = tuple(dict.fromkeys(term.name for term in terms))
        empty = np.zeros((len(MODALITIES), 2 * len(self._names)))
        self.values = empty if values is None else values.reshape(empty.shape)

    @classmethod
    def of(cls, batches: Sequence[BatchSums], terms: Sequence[LossTerm] = STANDARD_TERMS) -> Sums:
        """Return the sums of batches; waits for the device once."""
        sums = cls(None, terms)
        keys = [(name, modality) for modality in MODALITIES for name in sums._names]
        cells = [batch[key] for batch in batches for key in keys]
        values: list[torch.Tensor | float] = [v for cell in cells for v in (cell.total, cell.n)]
        tensors = [v.detach().double() for v in values if isinstance(v, torch.Tensor)]
        numbers = iter(torch.stack(tensors).tolist() if tensors else [])
        plain = [next(numbers) if isinstance(v, torch.Tensor) else float(v) for v in values]
        sums.values = np.array(plain).reshape(len(batches), *sums.values.shape).sum(axis=0)
        return sums

    def like(self, values: np.ndarray | None = None) -> Sums:
        """Return sums of the same terms with other values; zeros where None."""
        return Sums(values, self.terms)

    def add(self, other: Sums) -> None:
        """Add the sums of other batches."""
        self.values = self.values + other.values

    def means(self) -> dict[str, float | None]:
        """Return mean losses; None without targets.

        First the mean over all targets of each term that is not restricted to a modality:
        ``cross_entropy`` (nats). Then by modality ``cross_entropy_{modality}``,
        ``squared_error_{modality}`` (standardised units) and those of further terms.
        """
        together = self.values.sum(axis=0).reshape(-1, 2)
        pooled = {term.name for term in self.terms if term.modality is None}
        means = {
            name: _ratio(*pair)
            for name, pair in zip(self._names, together.tolist(), strict=True)
            if name in pooled
        }
        for modality, row in zip(MODALITIES, self.values, strict=True):
            for name, pair in zip(self._names, row.reshape(-1, 2).tolist(), strict=True):
                means[f"{name}_{modality}"] = _ratio(*pair)
        return means

    def as_list(self) -> list[list[float]]:
        """Return plain numbers, which the constructor takes as an array."""
        return self.values.tolist()


def _ratio(total: float, n: float) -> float | None:
    return total / n if n else None
