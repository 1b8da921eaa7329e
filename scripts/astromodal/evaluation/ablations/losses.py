"""Losses of each object under one trained model.

Legend: n objects, M modalities, C ranges of ids, T targets of each, S ids of a range, L dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.evaluate import EvaluationSettings
from astromodal.core.loops import Progress, quiet
from astromodal.evaluation.context import EvaluatedField, eligible_objects
from astromodal.evaluation.transformer.sample import (
    by_object,
    code_nll,
    sample_objects,
)
from astromodal.inference.bundle import Bundle
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES, SCALAR
from astromodal.sequences.order import plan_epoch
from astromodal.sequences.tokenizers import check_hashes
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.training.calibration import target_logits
from astromodal.training.targets import NO_TARGET, RangeTargets
from astromodal.training.terms import expected_centroids

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
