"""Batches: the objects of each step, and their tokens laid out without padding.

The order of objects is a function of (seed, epoch). The order of an object's blocks and its hidden
columns are functions of (seed, epoch, object). A run that resumes at a step therefore gets the same
batches as one that was not interrupted. A batch keeps sequences of equal length side by side, so
that attention needs one call per length and no mask.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astromodal.core.vocab import BOS, EOS, MISS
from astromodal.errors import FormatError, must_be
from astromodal.sequences.layout import SCALAR, SequenceLayout
from astromodal.sequences.store import SequenceStore, vocab_hash

_EVERY = slice(None)


@dataclass(frozen=True)
class HiddenColumns:
    """A random choice of scalar columns that are hidden from the model's input, not from its loss.

    A model that has always seen all columns cannot predict one from a few others. Columns are
    hidden in a random choice of objects: in half of these all columns, so that the model learns to
    predict columns from images and spectra alone; in the others a fraction that is uniform
    between 0 and 1.

    Attributes
    ----------
    probability : float
        Probability that columns of an object are hidden.
    key : tuple of int
        Seed of the choice, beside the object.
    """

    probability: float
    key: tuple[int, ...]

    def sample(self, objects: np.ndarray, n_columns: int) -> np.ndarray:
        """Return the hidden columns of objects, bool (m, n_columns)."""
        bits = random_bits(objects, np.arange(2 + n_columns), self.key)
        uniform = (bits >> np.uint64(11)) * 2.0**-53  # float64 in [0, 1)
        chosen = uniform[:, 0] < self.probability
        fraction = np.where(chosen, np.minimum(1.0, 2 * uniform[:, 1]), 0.0)
        return uniform[:, 2:] < fraction[:, None]


@dataclass(frozen=True)
class Batch:
    """Sequences of a micro-batch, one after another.

    Attributes
    ----------
    tokens, types, slots : int32 (N,)
        Token ids, token types, and distance from the latest SEP (0 before the first).
    inputs : int32 (N,)
        Token ids of the model's input: MISS where a scalar is hidden.
    shapes : tuple of (int, int)
        For each run of sequences of equal length, the number of sequences and their tokens.
    starts : dict of int to int64 (m,)
        By token type, positions of the SEPs of that type's blocks among the N tokens.
    objects : int64 (sequences,)
        Numbers of the objects in their `SequenceSet`, in the order of the sequences.
    """

    tokens: np.ndarray
    types: np.ndarray
    slots: np.ndarray
    inputs: np.ndarray
    shapes: tuple[tuple[int, int], ...]
    starts: dict[int, np.ndarray]
    objects: np.ndarray


class SequenceSet:
    """The sequences of several fields, whose objects are numbered consecutively.

    Parameters
    ----------
    paths : sequence of path
        Sequence files.
    layout : SequenceLayout
        The layout that they must have been packed with.
    verified : slice
        The files that are read whole and compared with their hashes, all by default. Processes
        that train together divide the files among them.

    Raises
    ------
    FormatError
        Where a file is damaged or was packed for another vocabulary, or where two files are of
        different tokenizers.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        layout: SequenceLayout,
        verified: slice = _EVERY,
    ) -> None:
        self.layout = layout
        self.stores = [SequenceStore.open(path) for path in paths]
        for store in self.stores[verified]:
            store.verify()
        for store in self.stores:
            _check_same(store, "vocabulary of hash", vocab_hash(layout), store.meta["vocab_hash"])
            first = self.stores[0].tokenizer_hashes
            _check_same(store, "tokenizers of hashes", str(first), str(store.tokenizer_hashes))
        self._starts = np.cumsum([0] + [len(store) for store in self.stores])
        empty = [np.empty(0, dtype=np.uint32)]
        self.pattern = np.concatenate([store.pattern for store in self.stores] or empty)
        self.split = np.concatenate([store.split for store in self.stores] or empty)
        self._removed: np.ndarray | None = None  # (columns,) scalars that `only` removed
        self.lengths = self._count_tokens()  # (objects,) tokens of each object

    def _count_tokens(self) -> np.ndarray:
        sizes = [
            ((self.pattern >> b.type) & 1) * np.int64(1 + b.length) for b in self.layout.blocks
        ]
        return 2 + np.stack(sizes).sum(axis=0)

    def only(self, blocks: Collection[str], columns: Collection[int]) -> SequenceSet:
        """Return the same objects without their other blocks and columns, as if never measured.

        Parameters
        ----------
        blocks : collection of str
            Names of the blocks that are kept, beside that of the scalars.
        columns : collection of int
            Numbers of the scalar columns that are kept; without any, their block is removed.
        """
        kept = {*blocks, *([SCALAR] if columns else [])}
        bits = np.uint32(sum(1 << block.type for block in self.layout.blocks if block.name in kept))
        reduced = copy.copy(self)
        reduced.pattern = self.pattern & bits
        reduced._removed = ~np.isin(np.arange(self.layout[SCALAR].length), list(columns))
        if self._removed is not None:
            reduced._removed |= self._removed
        reduced.lengths = reduced._count_tokens()
        return reduced

    def __len__(self) -> int:
        return int(self._starts[-1])

    def id(self, index: int) -> str:
        """Return the id of an object."""
        store = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.stores[store].id(index - int(self._starts[store]))

    def places(self, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each object's file and its row in the cube, int64 (m,) each."""
        fields = np.searchsorted(self._starts, objects, side="right") - 1
        rows = np.empty(len(objects), dtype=np.int64)
        for field in np.unique(fields):
            mine = fields == field
            rows[mine] = self.stores[field].row[objects[mine] - self._starts[field]]
        return fields, rows

    def batch(
        self,
        objects: np.ndarray,
        shuffle: tuple[int, int] | None = None,
        hidden: HiddenColumns | None = None,
    ) -> Batch:
        """Return a batch of the sequences of `objects`.

        Parameters
        ----------
        objects : int64 (m,)
            Numbers of the objects.
        shuffle : (int, int), optional
            Seed and epoch of the random order of each object's blocks; the layout's order where
            None.
        hidden : HiddenColumns, optional
            The scalar columns that are hidden from the model; none where None.
        """
        objects = objects[np.argsort(self.lengths[objects], kind="stable")]
        lengths = self.lengths[objects]
        begin = np.cumsum(lengths) - lengths
        n = int(lengths.sum())
        tokens, types = np.full(n, EOS, dtype=np.int32), np.zeros(n, dtype=np.int32)
        slots = np.zeros(n, dtype=np.int32)
        tokens[begin] = BOS
        starts: dict[int, np.ndarray] = {}
        block_starts = begin[:, None] + 1 + self._block_offsets(objects, shuffle)
        for i, block in enumerate(self.layout.blocks):
            has = np.flatnonzero((self.pattern[objects] >> block.type) & 1)
            if not len(has):
                continue
            starts[block.type] = block_starts[has, i]
            within = np.arange(1 + block.length, dtype=np.int32)
            place = starts[block.type][:, None] + within
            tokens[place] = self.block_tokens(objects[has], i)
            types[place] = block.type
            slots[place] = within
        slots[begin + lengths - 1] = 0  # EOS belongs to no block
        sizes, counts = np.unique(lengths, return_counts=True)
        shapes = tuple(zip(counts.tolist(), sizes.tolist(), strict=True))
        inputs = tokens
        if hidden is not None and len(objects):
            inputs = self._hide(tokens, starts, objects, hidden)
        return Batch(tokens, types, slots, inputs, shapes, starts, objects)

    def _hide(
        self,
        tokens: np.ndarray,
        starts: dict[int, np.ndarray],
        objects: np.ndarray,
        hidden: HiddenColumns,
    ) -> np.ndarray:
        """Return the tokens, MISS where a scalar is hidden; all objects have scalars."""
        block = self.layout[SCALAR]
        place = starts[block.type][:, None] + 1 + np.arange(block.length)
        inputs = tokens.copy()
        inputs[place[hidden.sample(objects, block.length)]] = MISS
        return inputs

    def _block_offsets(self, objects: np.ndarray, shuffle: tuple[int, int] | None) -> np.ndarray:
        """Return each SEP's position after BOS, int64 (m, blocks); arbitrary for absent blocks."""
        blocks = self.layout.blocks
        sizes = np.array([1 + block.length for block in blocks])
        types = np.array([block.type for block in blocks], dtype=np.uint32)
        sizes = ((self.pattern[objects][:, None] >> types) & 1) * sizes  # (m, blocks)
        if shuffle is None:
            return np.cumsum(sizes, axis=1) - sizes
        order = np.argsort(random_bits(objects, types, shuffle), axis=1)
        ordered = np.take_along_axis(sizes, order, axis=1)
        offsets = np.empty_like(sizes)
        np.put_along_axis(offsets, order, np.cumsum(ordered, axis=1) - ordered, axis=1)
        return offsets

    def block_tokens(self, objects: np.ndarray, block: int) -> np.ndarray:
        """Return the ids of a block with its SEP, int32 (m, 1 + slots); all objects have it."""
        kind = self.layout.blocks[block]
        fields = np.searchsorted(self._starts, objects, side="right") - 1
        out = np.empty((len(objects), 1 + kind.length), dtype=np.int32)
        for field in np.unique(fields):
            mine = np.flatnonzero(fields == field)
            out[mine] = self.stores[field].blocks(objects[mine] - self._starts[field], kind)
        if kind.name == SCALAR and self._removed is not None:
            out[:, 1:][:, self._removed] = MISS
        return out


def _check_same(store: SequenceStore, what: str, want: str, got: str) -> None:
    if want != got:
        raise FormatError(must_be(f"{store.path}: {what}", want, got, "pack the field again"))


def random_bits(objects: np.ndarray, numbers: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    """Return random integers that are a function of key, object and number alone.

    Parameters
    ----------
    objects : int64 (m,)
        Numbers of the objects.
    numbers : int (k,)
        Numbers of the integers of an object: one per token type, or one per slot.
    key : tuple of int
        Seeds, none of them negative.

    Returns
    -------
    uint64 (m, k)
        Uniform; the other objects of a batch do not change them.
    """
    first, second = np.random.SeedSequence(key).generate_state(2, np.uint64)
    mixed = _mix(objects.astype(np.uint64) ^ first)[:, None] ^ second
    return _mix(mixed + numbers.astype(np.uint64)[None, :] * np.uint64(0x9E3779B97F4A7C15))


def _mix(x: np.ndarray) -> np.ndarray:
    """Mix the bits of uint64 numbers: the finaliser of SplitMix64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class EpochPlan:
    """The steps of one pass over some objects.

    Attributes
    ----------
    objects : int64 (n,)
        Numbers of the objects, in the order of the epoch.
    edges : int64 (steps + 1,)
        Index in `objects` at which each step begins; the last is their number.
    """

    objects: np.ndarray
    edges: np.ndarray

    def __len__(self) -> int:
        return len(self.edges) - 1

    def step(self, step: int) -> np.ndarray:
        """Return the objects of a step."""
        return self.objects[self.edges[step] : self.edges[step + 1]]


def plan_epoch(
    objects: np.ndarray,
    lengths: np.ndarray,
    order: tuple[int, int] | None,
    batch_size: int,
    token_budget: int | None,
) -> EpochPlan:
    """Divide objects into steps.

    Parameters
    ----------
    objects : int64 (n,)
        Numbers of the objects.
    lengths : int64
        Tokens of every object, indexed by those numbers.
    order : (int, int), optional
        Seed and epoch of the random order of objects; the given order where None.
    batch_size : int
        Objects of a step where `token_budget` is None.
    token_budget : int, optional
        Largest number of tokens of a step; a longer object makes a step of its own.
    """
    if order is not None:
        objects = np.random.default_rng(order).permutation(objects)
    if token_budget is None:
        edges = [*range(0, len(objects), batch_size), len(objects)] if len(objects) else [0]
        return EpochPlan(objects, np.array(edges, dtype=np.int64))
    total = np.concatenate([[0], np.cumsum(lengths[objects])])
    edges = [0]
    while edges[-1] < len(objects):
        begin = edges[-1]
        end = int(np.searchsorted(total, total[begin] + token_budget, side="right")) - 1
        edges.append(max(end, begin + 1))
    return EpochPlan(objects, np.array(edges, dtype=np.int64))


def divide(objects: np.ndarray, lengths: np.ndarray, parts: int) -> list[np.ndarray]:
    """Divide a step's objects into parts of nearly equal tokens.

    Objects are assigned from the longest to the shortest, each to the part with the fewest tokens
    so far (Graham 1969, doi:10.1137/0117039: no part exceeds 4/3 of the least possible).

    Parameters
    ----------
    objects : int64 (n,)
        Numbers of the objects.
    lengths : int64
        Tokens of every object, indexed by those numbers.
    parts : int
        Number of parts.

    Returns
    -------
    list of int64 (m,)
        Objects of each part; some are empty where there are fewer objects than parts.
    """
    if parts == 1:
        return [objects]
    ordered = objects[np.argsort(-lengths[objects], kind="stable")]
    emptiest = [(0, part) for part in range(parts)]
    owner = np.empty(len(ordered), dtype=np.int64)
    for i, length in enumerate(lengths[ordered].tolist()):
        tokens, part = emptiest[0]
        owner[i] = part
        heapq.heapreplace(emptiest, (tokens + length, part))
    return [ordered[owner == part] for part in range(parts)]
