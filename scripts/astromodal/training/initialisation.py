"""A new transformer, and the frequencies of codes that its logits start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from astromodal.config.schema import ModelSettings
from astromodal.core.vocab import MISS
from astromodal.models.layers import ColumnIds
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES, Block, Range, SequenceLayout


def new_model(
    model: ModelSettings, layout: SequenceLayout, max_seq_len: int
) -> CausalTransformerLM:
    """Return a model with random weights for sequences of a layout."""
    spec = layout.spec
    columns = ColumnIds(spec.scalar_offset, spec.n_columns, spec.v_scalar // spec.n_columns)
    return CausalTransformerLM(
        vocab_size=layout.spec.vocab_size,
        d_model=model.d_model,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        d_ff=model.d_ff,
        dropout=model.dropout,
        max_seq_len=max_seq_len,
        columns=columns,
    )


_STRENGTHS = np.geomspace(0.1, 1e5, 25)
_CHUNK_TOKENS = 4_000_000  # tokens counted at once: bounds the memory


class Unigram:
    """Smoothed frequencies of all codes, slot by slot.

    Parameters
    ----------
    sequences : SequenceSet
        The sequences.
    objects : int64 (n,)
        The training objects.
    """

    def __init__(self, sequences: SequenceSet, objects: np.ndarray) -> None:
        self._layout = sequences.layout
        self._pooled: dict[int, np.ndarray] = {}
        self._tables: dict[int, np.ndarray] = {}
        self._counts: dict[int, np.ndarray] = {}
        for ids, counts in _count(sequences, objects).items():
            pooled = _pooled(ids, counts)
            self._counts[ids.offset] = counts
            self._pooled[ids.offset] = np.log(pooled)
            self._tables[ids.offset] = smooth(counts, pooled)

    def bias(self) -> np.ndarray:
        """Return the log frequency of each id within its range, float32 (V,); 0 for special ids."""
        out = np.zeros(self._layout.spec.vocab_size, dtype=np.float32)
        for block in self._layout.blocks:
            for ids in block.ranges:
                # Ids that belong to one slot have the frequency given that slot.
                table = self._tables[ids.offset] if ids.stride else self._pooled[ids.offset][:1]
                out[ids.offset : ids.offset + table.size] = table.ravel()
        return out

    def counts(self, ids: Range) -> np.ndarray:
        """Return the counts of each code in each slot of a range, int64 (n_slots, size)."""
        return self._counts[ids.offset]

    def log_pooled(self, ids: Range) -> np.ndarray:
        """Return the log frequencies that slots shrink to, float64 (n_slots or 1, size)."""
        return self._pooled[ids.offset]

    def log_frequencies(self, ids: Range) -> np.ndarray:
        """Return the log frequency of each code in each slot, float32 (n_slots, size)."""
        return self._tables[ids.offset]

    def cross_entropy(self, sequences: SequenceSet, objects: np.ndarray) -> dict[str, float]:
        """Return the mean nll (nats) of the targets of `objects` by modality; NaN without any."""
        total, n = dict.fromkeys(MODALITIES, 0.0), dict.fromkeys(MODALITIES, 0)
        for ids, counts in _count(sequences, objects).items():
            total[ids.modality] -= float((counts * self._tables[ids.offset]).sum(dtype=np.float64))
            n[ids.modality] += int(counts.sum())
        return {m: total[m] / n[m] if n[m] else float("nan") for m in MODALITIES}


def _count(sequences: SequenceSet, objects: np.ndarray) -> Mapping[Range, np.ndarray]:
    """Return the counts of each code in each slot by range, int64 (n_slots, size)."""
    counts = {}
    for i, block in enumerate(sequences.layout.blocks):
        has = objects[((sequences.pattern[objects] >> block.type) & 1).astype(bool)]
        for ids in block.ranges:
            counts[ids] = np.zeros(ids.n_slots * ids.size, dtype=np.int64)
        for tokens in _chunks(sequences, has, i):
            for ids in block.ranges:
                own = tokens[:, 1 + ids.first : 1 + ids.first + ids.n_slots].astype(np.int64)
                slots = np.arange(ids.n_slots)
                cells = own - ids.offset - ids.stride * slots + ids.size * slots
                counts[ids] += np.bincount(cells[own != MISS], minlength=len(counts[ids]))
    return {ids: flat.reshape(ids.n_slots, ids.size) for ids, flat in counts.items()}


def _chunks(sequences: SequenceSet, objects: np.ndarray, block: int) -> Iterator[np.ndarray]:
    step = max(1, _CHUNK_TOKENS // sequences.layout.blocks[block].length)
    for begin in range(0, len(objects), step):
        yield sequences.block_tokens(objects[begin : begin + step], block)


def _pooled(ids: Range, counts: np.ndarray) -> np.ndarray:
    """Return the frequencies that those of slots shrink to, float64 (n_slots or 1, size).

    Slots that share their ids are counted together. Ids of a single slot are equal-mass bins: all
    up to the last one that occurs are equally likely.
    """
    if not ids.stride:
        together = counts.sum(axis=0, keepdims=True) + 1.0
        return together / together.sum()
    last = ids.size - np.argmax(counts[:, ::-1] > 0, axis=1)  # one past the last code that occurs
    last = np.where(counts.any(axis=1), last, ids.size)
    inside = np.arange(ids.size) < last[:, None]
    return 0.999 * inside / last[:, None] + 0.001 / ids.size


def smooth(counts: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    """Return the log of (count + strength × pooled) / (total + strength).

    Parameters
    ----------
    counts : int64 (n_slots, size)
        Counts of each code in each slot.
    pooled : float64 (n_slots or 1, size)
        Frequencies that those of each slot shrink to. The strength is the one that predicts each
        count best from all others (leave-one-out likelihood).

    Returns
    -------
    float32 (n_slots, size)
        Log frequencies.
    """
    total = counts.sum(axis=1, keepdims=True)
    slot, code = np.nonzero(counts)
    seen, base = counts[slot, code], np.broadcast_to(pooled, counts.shape)[slot, code]
    others = total[slot, 0] - 1

    def left_out(strength: float) -> float:
        probability = (seen - 1 + strength * base) / (others + strength)
        return float((seen * np.log(probability)).sum())

    best = max(_STRENGTHS, key=left_out)
    return np.log((counts + best * pooled) / (total + best)).astype(np.float32)


N_RESIDUALS = 16
"""Residual features of a code."""

_FIRST_RIDGE = 30.0  # of the coefficients, in counts
_RIDGES = (1.0, 1e6)
_ITERATIONS = 12
_HALVINGS = 8
_LARGEST = 8.0  # of a residual feature


@dataclass(frozen=True)
class Start:
    """The features of codes, and the initial logits of every slot as coefficients of them.

    Attributes
    ----------
    features : float32 (V, F + G)
        Features of each token id: those of its centroid, then its residual features.
    coefficients : dict of str to float32 (slots, F + G)
        Coefficients of the features by block; 0 in slots with ids of their own, whose frequencies
        are in the biases.
    """

    features: np.ndarray
    coefficients: dict[str, np.ndarray]


def fit_start(unigram: Unigram, blocks: Sequence[Block], centroids: np.ndarray) -> Start:
    """Fit the initial logits of a model to the frequencies of codes.

    The log odds of a slot's codes are linear in the features of centroids, by maximum penalised
    likelihood. What these leave over is linear in the residual features.

    Parameters
    ----------
    unigram : Unigram
        Counts of the training sequences.
    blocks : sequence of Block
        The blocks.
    centroids : float32 (V, F)
        Features of the centroid of each token id.
    """
    n_ids, n_features = centroids.shape
    features = np.zeros((n_ids, n_features + N_RESIDUALS), dtype=np.float32)
    features[:, :n_features] = centroids
    coefficients = {}
    for block in blocks:
        out = np.zeros((block.length, features.shape[1]), dtype=np.float32)
        for ids in block.ranges:
            if not ids.stride and ids.n_slots > 1:
                slots = slice(ids.first, ids.first + ids.n_slots)
                fitted = _fit(unigram, ids, centroids)
                rest, residuals = _residual_features(unigram, ids, centroids, fitted)
                out[slots] = np.concatenate([fitted, rest], axis=1)
                features[ids.offset : ids.offset + ids.size, n_features:] = residuals
        coefficients[block.name] = out
    return Start(features, coefficients)


def _residual_features(
    unigram: Unigram, ids: Range, centroids: np.ndarray, fitted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients, float64 (n_slots, G), and residual features of codes, float64 (K, G).

    They are singular vectors of the log frequencies less those that were fitted. Codes are weighted
    by their frequency, as in the likelihood. A feature has unit variance over the codes as they
    occur; for rare codes it is clipped.
    """
    common = unigram.log_pooled(ids)  # (n_slots or 1, K)
    own = centroids[ids.offset : ids.offset + ids.size].astype(np.float64)
    explained = log_softmax(common + fitted @ own.T, axis=1)
    left = smooth(unigram.counts(ids), np.exp(explained)) - explained
    weight = np.exp(common.mean(axis=0) / 2)
    slots, size, codes = np.linalg.svd(left * weight, full_matrices=False)
    rank = min(N_RESIDUALS, len(size))
    coefficients, features = np.zeros((len(left), N_RESIDUALS)), np.zeros((ids.size, N_RESIDUALS))
    coefficients[:, :rank] = slots[:, :rank] * size[:rank]
    features[:, :rank] = (codes[:rank] / weight).T.clip(-_LARGEST, _LARGEST)
    return coefficients, features


def _fit(unigram: Unigram, ids: Range, features: np.ndarray) -> np.ndarray:
    """Return coefficients, float64 (n_slots, F), by Newton steps that are halved where too long."""
    own = features[ids.offset : ids.offset + ids.size].astype(np.float64)  # (K, F)
    counts = unigram.counts(ids)
    odds = _Odds(own, unigram.log_pooled(ids), counts.sum(axis=1), counts @ own)
    fitted, ridge = np.zeros((ids.n_slots, own.shape[1])), _FIRST_RIDGE
    for _ in range(_ITERATIONS):
        gradient, curvature = odds.derivatives(fitted, ridge)
        inverse = np.linalg.inv(curvature)  # (slots, F, F)
        step = (inverse @ gradient[:, :, None])[:, :, 0]
        value, length = odds.value(fitted, ridge), np.ones(ids.n_slots)
        for _ in range(_HALVINGS):
            worse = odds.value(fitted + length[:, None] * step, ridge) < value
            if not worse.any():
                break
            length[worse] /= 2
        fitted = fitted + length[:, None] * step
        # MacKay 1992, Neural Computation 4, 415: the number of parameters that the counts
        # determine, over their sum of squares.
        determined = fitted.size - ridge * np.trace(inverse, axis1=1, axis2=2).sum()
        ridge = float(np.clip(determined / max((fitted**2).sum(), 1e-12), *_RIDGES))
    return fitted


@dataclass(frozen=True)
class _Odds:
    """The penalised log likelihood of slots whose log odds are linear in features."""

    features: np.ndarray  # (K, F)
    base: np.ndarray  # (slots or 1, K), log frequencies in the whole range
    total: np.ndarray  # (slots,), counts of all codes
    seen: np.ndarray  # (slots, F), sum of the features of all counted codes

    def _logits(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits less their maximum, (slots, K), and log normalisations, (slots,)."""
        logits = self.base + a @ self.features.T
        largest = logits.max(axis=1, keepdims=True)
        logits -= largest
        return logits, largest[:, 0] + np.log(np.exp(logits).sum(axis=1))

    def value(self, a: np.ndarray, ridge: float) -> np.ndarray:
        """Return log likelihood plus log density of the coefficients of each slot, (slots,)."""
        norm = self._logits(a)[1]
        return (a * self.seen).sum(axis=1) - self.total * norm - ridge / 2 * (a * a).sum(axis=1)

    def derivatives(self, a: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient of `value`, (slots, F), and its negative Hessian, (slots, F, F)."""
        n = self.features.shape[1]
        probability = np.exp(self._logits(a)[0])
        probability /= probability.sum(axis=1, keepdims=True)
        mean = probability @ self.features  # (slots, F)
        products = (self.features[:, :, None] * self.features[:, None, :]).reshape(-1, n * n)
        second = (probability @ products).reshape(-1, n, n)
        spread = second - mean[:, :, None] * mean[:, None, :]
        gradient = self.seen - self.total[:, None] * mean - ridge * a
        return gradient, self.total[:, None, None] * spread + ridge * np.eye(n)
