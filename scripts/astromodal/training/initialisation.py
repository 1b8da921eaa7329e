"""A new transformer, and the weights that its training starts from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from astromodal.config.schema import ModelSettings
from astromodal.core.vocab import MISS
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES, Block, Range, SequenceLayout


def new_model(
    model: ModelSettings, layout: SequenceLayout, max_seq_len: int
) -> CausalTransformerLM:
    """A model with random weights, for sequences of a layout."""
    return CausalTransformerLM(
        vocab_size=layout.spec.vocab_size,
        d_model=model.d_model,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        d_ff=model.d_ff,
        dropout=model.dropout,
        max_seq_len=max_seq_len,
    )


_STRENGTHS = np.geomspace(0.1, 1e5, 25)
_CHUNK_TOKENS = 4_000_000  # tokens counted at once: bounds the memory


class Unigram:
    """Smoothed frequencies of every code, slot by slot.

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
        """Log frequency of every id within its range, float32 (V,); 0 for special ids."""
        out = np.zeros(self._layout.spec.vocab_size, dtype=np.float32)
        for block in self._layout.blocks:
            for ids in block.ranges:
                # Where each slot has ids of its own, their frequency is that given the slot.
                table = self._tables[ids.offset] if ids.stride else self._pooled[ids.offset][:1]
                out[ids.offset : ids.offset + table.size] = table.ravel()
        return out

    def counts(self, ids: Range) -> np.ndarray:
        """How often each slot of a range took each code, int64 (n_slots, size)."""
        return self._counts[ids.offset]

    def log_pooled(self, ids: Range) -> np.ndarray:
        """Log frequencies that a range's are smoothed towards, float64 (n_slots or 1, size)."""
        return self._pooled[ids.offset]

    def log_frequencies(self, ids: Range) -> np.ndarray:
        """Log frequency of each code in each slot of a range, float32 (n_slots, size)."""
        return self._tables[ids.offset]

    def cross_entropy(self, sequences: SequenceSet, objects: np.ndarray) -> dict[str, float]:
        """Mean surprise (nats) at the targets of `objects`, by modality; NaN without any."""
        total, n = dict.fromkeys(MODALITIES, 0.0), dict.fromkeys(MODALITIES, 0)
        for ids, counts in _count(sequences, objects).items():
            total[ids.modality] -= float((counts * self._tables[ids.offset]).sum(dtype=np.float64))
            n[ids.modality] += int(counts.sum())
        return {m: total[m] / n[m] if n[m] else float("nan") for m in MODALITIES}


def _count(sequences: SequenceSet, objects: np.ndarray) -> Mapping[Range, np.ndarray]:
    """How often each slot of each range takes each code, int64 (n_slots, size)."""
    counts = {}
    for i, block in enumerate(sequences.layout.blocks):
        has = objects[((sequences.pattern[objects] >> block.type) & 1).astype(bool)]
        for ids in block.ranges:
            counts[ids] = np.zeros(ids.n_slots * ids.size, dtype=np.int64)
        for tokens in _chunks(sequences, has, i):
            for ids in block.ranges:
                found = tokens[:, 1 + ids.first : 1 + ids.first + ids.n_slots].astype(np.int64)
                slots = np.arange(ids.n_slots)
                place = found - ids.offset - ids.stride * slots + ids.size * slots
                seen = place[found != MISS]
                counts[ids] += np.bincount(seen, minlength=len(counts[ids]))
    return {ids: flat.reshape(ids.n_slots, ids.size) for ids, flat in counts.items()}


def _chunks(sequences: SequenceSet, objects: np.ndarray, block: int) -> Iterator[np.ndarray]:
    step = max(1, _CHUNK_TOKENS // sequences.layout.blocks[block].length)
    for begin in range(0, len(objects), step):
        yield sequences.block_tokens(objects[begin : begin + step], block)


def _pooled(ids: Range, counts: np.ndarray) -> np.ndarray:
    """Frequencies to smooth towards, float64 (n_slots or 1, size).

    Slots that share their ids are counted together. Where they do not, the bins up to the last one
    seen are taken as equally likely, which equal-mass bins are.
    """
    if not ids.stride:
        together = counts.sum(axis=0, keepdims=True) + 1.0
        return together / together.sum()
    last = ids.size - np.argmax(counts[:, ::-1] > 0, axis=1)  # one past the last code seen
    last = np.where(counts.any(axis=1), last, ids.size)
    inside = np.arange(ids.size) < last[:, None]
    return 0.999 * inside / last[:, None] + 0.001 / ids.size


def smooth(counts: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    """Log of (count + strength × pooled) / (total + strength), float32 (n_slots, size).

    Parameters
    ----------
    counts : int64 (n_slots, size)
        How often each slot took each code.
    pooled : float64 (n_slots or 1, size)
        Frequencies that those of each slot are drawn to, as strongly as predicts each count best
        from all others.
    """
    total = counts.sum(axis=1, keepdims=True)
    slot, code = np.nonzero(counts)
    seen, base = counts[slot, code], np.broadcast_to(pooled, counts.shape)[slot, code]
    others = total[slot, 0] - 1

    def left_out(strength: float) -> float:
        chance = (seen - 1 + strength * base) / (others + strength)
        return float((seen * np.log(chance)).sum())

    best = max(_STRENGTHS, key=left_out)
    return np.log((counts + best * pooled) / (total + best)).astype(np.float32)


N_CONTRASTS = 16
"""Contrasts of a code."""

_FIRST_RIDGE = 30.0  # pull towards the whole range, in counts
_RIDGES = (1.0, 1e6)
_ITERATIONS = 12
_HALVINGS = 8
_LARGEST = 8.0  # of a contrast


@dataclass(frozen=True)
class Start:
    """Features of codes, and what every slot starts with.

    Attributes
    ----------
    features : float32 (V, F + G)
        Features of every token id: those of its centroid, and its contrasts.
    coefficients : dict of str to float32 (slots, F + G)
        Of the features, by block; 0 where a slot has ids of its own, whose frequencies the biases
        hold.
    """

    features: np.ndarray
    coefficients: dict[str, np.ndarray]


def fit_start(unigram: Unigram, blocks: Sequence[Block], centroids: np.ndarray) -> Start:
    """Fit the start of a training.

    Parameters
    ----------
    unigram : Unigram
        Counts of the training sequences.
    blocks : sequence of Block
        The blocks.
    centroids : float32 (V, F)
        Features of every token id's centroid.
    """
    n_ids, n_features = centroids.shape
    features = np.zeros((n_ids, n_features + N_CONTRASTS), dtype=np.float32)
    features[:, :n_features] = centroids
    coefficients = {}
    for block in blocks:
        out = np.zeros((block.length, features.shape[1]), dtype=np.float32)
        for ids in block.ranges:
            if not ids.stride and ids.n_slots > 1:
                slots = slice(ids.first, ids.first + ids.n_slots)
                fitted = _fit(unigram, ids, centroids)
                rest, found = _contrasts(unigram, ids, centroids, fitted)
                out[slots] = np.concatenate([fitted, rest], axis=1)
                features[ids.offset : ids.offset + ids.size, n_features:] = found
        coefficients[block.name] = out
    return Start(features, coefficients)


def _contrasts(
    unigram: Unigram, ids: Range, centroids: np.ndarray, fitted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients, float64 (n_slots, G), and contrasts, float64 (K, G), of what is left to tell.

    Singular vectors with codes weighted by their frequency, which is how they count in a likelihood
    near it. Of unit variance over the codes as they occur; rare ones are held within a few times
    that.
    """
    common = unigram.log_pooled(ids)  # (n_slots or 1, K)
    own = centroids[ids.offset : ids.offset + ids.size].astype(np.float64)
    told = log_softmax(common + fitted @ own.T, axis=1)
    left = smooth(unigram.counts(ids), np.exp(told)) - told
    weight = np.exp(common.mean(axis=0) / 2)
    slots, size, codes = np.linalg.svd(left * weight, full_matrices=False)
    rank = min(N_CONTRASTS, len(size))
    coefficients, found = np.zeros((len(left), N_CONTRASTS)), np.zeros((ids.size, N_CONTRASTS))
    coefficients[:, :rank] = slots[:, :rank] * size[:rank]
    found[:, :rank] = (codes[:rank] / weight).T.clip(-_LARGEST, _LARGEST)
    return coefficients, found


def _fit(unigram: Unigram, ids: Range, features: np.ndarray) -> np.ndarray:
    """Newton's method with halved steps, all slots at once, float64 (n_slots, F)."""
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
        # MacKay 1992, Neural Computation 4, 415: parameters that the counts decide on, over their
        # summed squares.
        decided = fitted.size - ridge * np.trace(inverse, axis1=1, axis2=2).sum()
        ridge = float(np.clip(decided / max((fitted**2).sum(), 1e-12), *_RIDGES))
    return fitted


@dataclass(frozen=True)
class _Odds:
    """Penalised log likelihood of slots whose log odds are linear in features."""

    features: np.ndarray  # (K, F)
    base: np.ndarray  # (slots or 1, K), log frequencies in the whole range
    total: np.ndarray  # (slots,), codes seen
    seen: np.ndarray  # (slots, F), features of the codes seen, summed

    def _logits(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits less their largest, (slots, K), and log of their normalisation, (slots,)."""
        logits = self.base + a @ self.features.T
        largest = logits.max(axis=1, keepdims=True)
        logits -= largest
        return logits, largest[:, 0] + np.log(np.exp(logits).sum(axis=1))

    def value(self, a: np.ndarray, ridge: float) -> np.ndarray:
        """Log likelihood of each slot's counts and log density of its coefficients, (slots,)."""
        norm = self._logits(a)[1]
        return (a * self.seen).sum(axis=1) - self.total * norm - ridge / 2 * (a * a).sum(axis=1)

    def derivatives(self, a: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of the value, (slots, F), and its negative second derivatives."""
        n = self.features.shape[1]
        chance = np.exp(self._logits(a)[0])
        chance /= chance.sum(axis=1, keepdims=True)
        mean = chance @ self.features  # (slots, F)
        products = (self.features[:, :, None] * self.features[:, None, :]).reshape(-1, n * n)
        second = (chance @ products).reshape(-1, n, n)
        spread = second - mean[:, :, None] * mean[:, None, :]
        gradient = self.seen - self.total[:, None] * mean - ridge * a
        return gradient, self.total[:, None, None] * spread + ridge * np.eye(n)
