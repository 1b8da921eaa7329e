"""What training predicts: the codes of a batch by range of legal ids, and labels of fine-tuning.

Legend of codes: N tokens of a batch, C ranges of ids that follow one another, M targets of each. Of
labels: n objects, K classes or bins, M states, D model.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import ndtr

from astromodal.core.vocab import MISS
from astromodal.errors import DataError, FormatError, must_be
from astromodal.models.layers import LabelHead
from astromodal.sequences.dataset import Batch, ColumnTokens
from astromodal.sequences.layout import SCALAR, Range, SequenceLayout
from astromodal.sequences.order import random_bits
from astromodal.storage.arrays import map_tensors, save_tensors
from astromodal.storage.formats import check_content, put_aside, remake
from astromodal.storage.hashing import hash_arrays
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

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
    targets: RangeTargets, n_used: np.ndarray, fraction: float, are_angles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spread targets of scalar columns over the bins around them.

    The shares are those of a Gaussian in the number of the bin, cut at the column's last bin
    (Imani & White 2018, arXiv:1806.04613). The first bin of an angle follows its last one.

    Parameters
    ----------
    targets : RangeTargets
        The targets, of C columns.
    n_used : int64 (C,)
        Bins in use of each column.
    fraction : float
        Standard deviation of the Gaussian, in bins in use of the column.
    are_angles : bool (C,)
        Which columns are angles.

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
    used, around = n_used[:, None, None], are_angles[:, None, None]
    inside = known & (around | (codes >= 0) & (codes < used))
    codes = np.where(around, codes % np.maximum(used, 1), codes)
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


_FORMAT = {"format": "label_head", "version": "1"}
_LEAST_PER_BIN = 8
"""Fewest labels of a bin: a small table of labels gets fewer bins."""
_NARROWEST = 1e-9
"""Narrower bins, relative to the largest value, hold a single value."""


@dataclass(frozen=True)
class Label:
    """A label that a model is fine-tuned to: classes, or a number whose values fall into bins.

    Attributes
    ----------
    name, unit : str
        Its name, and its unit in the notation of astropy; empty for none.
    classes : tuple of str
        The classes, ascending; empty for a number.
    edges, centers : float64 (K + 1,), float64 (K,)
        Edges of the bins, ascending, and the mean of the fitted values in each; empty for classes.
    hidden : tuple of str
        Scalar columns that it is never predicted from.
    """

    name: str
    unit: str
    classes: tuple[str, ...]
    edges: np.ndarray
    centers: np.ndarray
    hidden: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of classes or bins, K."""
        return len(self.classes) or len(self.centers)

    @classmethod
    def of_classes(cls, name: str, classes: Sequence[str], hidden: Collection[str]) -> Label:
        """Return a label of the classes that occur in `classes`, of which there must be two."""
        known = tuple(np.unique(np.asarray(classes, dtype=np.str_)).tolist())
        if len(known) < 2:
            got = ", ".join(known) or "none"
            raise DataError(must_be(f"classes of label {name}", "at least two", got))
        return cls(name, "", known, np.empty(0), np.empty(0), tuple(hidden))

    @classmethod
    def of_numbers(
        cls, name: str, unit: str, values: np.ndarray, n_bins: int, hidden: Collection[str]
    ) -> Label:
        """Return a label whose bins hold about equally many of `values`, float64 (n,), finite."""
        n_bins = max(2, min(n_bins, len(values) // _LEAST_PER_BIN))
        summaries = ColumnSummaries.of(values[:, None], [name])
        bins = ScalarTokenizer.fit(summaries, [name], n_bins)
        used = int(bins.n_codes[0])
        if used < 2:
            got = "none" if not used else f"{bins.centers[0, 0]:g} alone"
            raise DataError(must_be(f"values of label {name}", "at least two different", got))
        edges, centers = bins.edges[0, : used + 1], bins.centers[0, :used]
        return cls(name, unit, (), edges, centers, tuple(hidden))

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return the number of each value's class or bin, int64 (n,); -1 for an unknown class."""
        if not self.classes:
            return np.searchsorted(self.edges[1:-1], values, side="left")
        found = np.searchsorted(self.classes, values).clip(0, self.size - 1)
        return np.where(np.asarray(self.classes)[found] == values, found, -1)

    def likelihood(self, values: np.ndarray, errors: np.ndarray | None = None) -> np.ndarray:
        """Return the likelihood of measured values, were the true one in each class or bin.

        Parameters
        ----------
        values : float64 or unicode (n,)
            Measured values, all of them known.
        errors : float64 (n,), optional
            Their standard errors; a value without a positive one counts for its own bin alone.

        Returns
        -------
        float32 (n, K)
            In units of each value's largest. With an error, that of a bin is the mean density of a
            Gaussian over it.
        """
        certain = np.zeros((len(values), self.size), dtype=np.float32)
        certain[np.arange(len(values)), self.place(values)] = 1
        if errors is None or self.classes:
            return certain
        low, high = self.edges[:-1], self.edges[1:]
        narrow = high - low <= _NARROWEST * np.abs(self.edges).max()
        known = np.isfinite(errors) & (errors > 0)
        sigma = np.where(known, errors, 1.0)[:, None]
        away = [(edges - values[:, None]) / sigma for edges in (low, high, self.centers)]
        mass = (ndtr(away[1]) - ndtr(away[0])) / np.where(narrow, 1.0, high - low)
        density = np.exp(-0.5 * away[2] ** 2) / (sigma * np.sqrt(2 * np.pi))
        likelihood = np.where(narrow, density, mass)
        largest = likelihood.max(axis=1, keepdims=True)
        usable = known[:, None] & (largest > 0)
        scaled = np.divide(likelihood, largest, out=np.zeros_like(likelihood), where=usable)
        return np.where(usable, scaled, certain).astype(np.float32)


@dataclass(frozen=True)
class FittedLabel:
    """A label with the head that predicts it.

    Attributes
    ----------
    label : Label
        The label.
    head : LabelHead
        From states to logits.
    temperature : float
        Divisor of the logits, fitted on the validation split.
    """

    label: Label
    head: LabelHead
    temperature: float = 1.0

    @torch.no_grad()
    def probabilities(self, states: torch.Tensor) -> np.ndarray:
        """Return the probabilities of classes or bins, float64 (M, K), from states (M, D)."""
        logits = self.head(states).double() / self.temperature
        return np.asarray(logits.softmax(dim=1).cpu().numpy())

    def to(self, device: torch.device) -> FittedLabel:
        """Return the same label with its head on a device."""
        return replace(self, head=self.head.to(device).eval())

    def save(self, path: str | Path, model_hash: str) -> None:
        """Write the label as safetensors, with the hash of the model that it belongs to."""
        label = self.label
        arrays = {f"head.{name}": t.cpu().numpy() for name, t in self.head.state_dict().items()}
        arrays |= {"edges": label.edges, "centers": label.centers}
        meta = {
            **_FORMAT,
            "hash": hash_arrays(arrays),
            "model_hash": model_hash,
            "name": label.name,
            "unit": label.unit,
            "classes": json.dumps(label.classes),
            "hidden": json.dumps(label.hidden),
            "temperature": json.dumps(self.temperature),
        }
        save_tensors(path, arrays, meta)

    @classmethod
    def load(cls, path: str | Path, model_hash: str) -> FittedLabel:
        """Read what `save` wrote.

        Raises
        ------
        FormatError
            Where the file is damaged, of another version, or belongs to another model.
        """
        name, version = _FORMAT["format"], _FORMAT["version"]
        arrays, meta = map_tensors(path, name)
        found = f"{meta.get('format')} version {meta.get('version')}"
        if found != f"{name} version {version}":
            must = f"{name} version {version}"
            raise FormatError(must_be(str(path), must, found, put_aside(name)))
        check_content(path, meta["hash"], hash_arrays(arrays), remake(name))
        if meta["model_hash"] != model_hash:
            must = f"of the model of hash {model_hash} beside it"
            raise FormatError(must_be(str(path), must, meta["model_hash"], remake(name)))
        weights = {
            key.removeprefix("head."): torch.from_numpy(array.copy())
            for key, array in arrays.items()
            if key.startswith("head.")
        }
        classes, hidden = (tuple(json.loads(meta[key])) for key in ("classes", "hidden"))
        bins = arrays["edges"].copy(), arrays["centers"].copy()
        label = Label(meta["name"], meta["unit"], classes, *bins, hidden)
        head = LabelHead(weights["outer.weight"].shape[1], label.size)
        head.load_state_dict(weights)
        return cls(label, head.eval(), float(json.loads(meta["temperature"])))
