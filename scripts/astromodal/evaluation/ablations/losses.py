"""Losses of single objects under one trained model.

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
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.held_out import EvaluatedField, eligible_objects
from astromodal.evaluation.transformer.measures import (
    by_object,
    choose_objects,
    code_surprise,
    target_logits,
)
from astromodal.inference.bundle import Bundle
from astromodal.sequences.dataset import SequenceSet, plan_epoch
from astromodal.sequences.layout import MODALITIES, SCALAR
from astromodal.sequences.vocabulary import check_hashes
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.training.targets import NO_TARGET, RangeTargets
from astromodal.training.terms import expected_centroids

_FORMAT: dict[str, Any] = {"format": "ablation_losses", "version": 1}
_BUDGET = 16_384  # tokens of a batch without gradients
ORDERS = ("fixed", "shuffled")
"""Orders of blocks that losses are measured in."""


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
        Codes of each modality.
    surprise : float64 (O, n, M)
        Negative log-likelihood (nats).
    squared : float64 (O, n, M)
        Squared error of the expected centroid, in standardised units.
    scalars : float64 (O, n, columns)
        Distance of the expected value from the code's, in the column's unit; NaN where missing.
    """

    ids: np.ndarray
    columns: np.ndarray
    codes: np.ndarray
    surprise: np.ndarray
    squared: np.ndarray
    scalars: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        save_arrays(path, {f.name: getattr(self, f.name) for f in fields(self)}, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> ObjectLosses:
        """Read what `save` wrote."""
        return cls(**load_arrays(path, **_FORMAT).arrays)


def measure_losses(
    evaluated: Sequence[EvaluatedField],
    bundle: Bundle,
    evaluation: EvaluationSettings,
    progress: Progress = quiet,
) -> ObjectLosses:
    """Losses of evaluated objects, each block told from those before it, in either order.

    Parameters
    ----------
    evaluated : sequence of EvaluatedField
        With the file ``sequences``.
    bundle : Bundle
        The model and its tokenizers.
    evaluation : EvaluationSettings
        Objects a modality at most; seed of their draw and of the shuffled orders.
    progress : Progress
        Shows how many batches are done.
    """
    sequences = SequenceSet([f.files["sequences"] for f in evaluated], bundle.layout)
    for store in sequences.stores:
        check_hashes(bundle.trained.vocabulary, store.tokenizer_hashes, str(store.path))
    eligible = eligible_objects(sequences, evaluated)
    chosen = choose_objects(sequences, eligible, evaluation.max_objects, evaluation.seed)
    objects = np.unique(np.concatenate(list(chosen.values())))
    plan = plan_epoch(objects, sequences.lengths, None, 1, _BUDGET)
    sums = _Sums(bundle, objects)
    for order, shuffle in enumerate((None, (evaluation.seed, 0))):
        for step in progress(range(len(plan)), len(plan), f"batches, {ORDERS[order]} order"):
            batch = sequences.batch(plan.step(step), shuffle)
            targets = target_logits(bundle.trained.model, batch, bundle.layout, bundle.device)
            for found, logits, wanted in targets:
                sums.add(order, found, logits, wanted)
    ids = np.array([sequences.id(i) for i in objects.tolist()], dtype=np.str_)
    columns = np.array(bundle.columns, dtype=np.str_)
    return ObjectLosses(ids, columns, sums.codes, sums.surprise, sums.squared, sums.scalars)


class _Sums:
    """Takes the targets of batches, range by range."""

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
        self.surprise, self.squared = np.zeros(shape), np.zeros(shape)
        self.scalars = np.full((*shape[:2], len(bundle.columns)), np.nan)

    def add(
        self, order: int, found: RangeTargets, logits: torch.Tensor, wanted: torch.Tensor
    ) -> None:
        """Add the targets of a range, (C, T), with their logits, (C, T, S)."""
        rows = np.searchsorted(self._objects, found.objects)
        modality = MODALITIES.index(found.ids.modality)
        known = found.targets != NO_TARGET
        if not order:
            self.codes[rows, modality] += by_object(found, known).sum(axis=1)
        surprise = by_object(found, code_surprise(logits, wanted))
        self.surprise[order, rows, modality] += surprise.sum(axis=1)
        away = _distance(logits, wanted, self._tables[found.ids.offset])
        squared = by_object(found, np.where(known, np.square(away).mean(axis=2), 0.0))
        self.squared[order, rows, modality] += squared.sum(axis=1)
        if found.ids == self._columns:
            used = logits.masked_fill(self._unused[:, None], -torch.inf)
            error = np.abs(_distance(used, wanted, self._centers[:, :, None])[..., 0])
            self.scalars[order, rows] = np.where(known, error, np.nan).T


def _distance(logits: torch.Tensor, wanted: torch.Tensor, tables: torch.Tensor) -> np.ndarray:
    """Expected minus true centroids, float64 (C, T, L), of tables (C, S, L)."""
    pairs = zip(logits, wanted.clamp(min=0), tables, strict=True)
    found = [expected_centroids(each, table) - table[true] for each, true, table in pairs]
    return torch.stack(found).double().cpu().numpy()
