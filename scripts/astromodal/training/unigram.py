"""The unigram baseline: each code's frequency given its slot, over the training sequences.

It knows where a token stands and nothing else of its sequence. Frequencies are smoothed towards
those of the whole range (of all slots of an image, say); how strongly is chosen by leave-one-out
likelihood, so the baseline is as good as counting can make it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from astromodal.core.vocab import MISS
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import MODALITIES, Range

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
