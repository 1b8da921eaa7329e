"""Batches: the objects of each step, and their tokens laid out without padding.

The order of objects is a function of (seed, epoch). The order of an object's blocks and what of it
is hidden are functions of (seed, epoch, object). A run that resumes at a step therefore gets the
same batches as one that was not interrupted. A batch keeps sequences of equal length side by side,
so that attention needs one call per length and no mask.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astromodal.core.vocab import BOS, EOS, MISS, SEP, TYPE_ASKED
from astromodal.errors import FormatError, must_be
from astromodal.sequences.layout import SCALAR, SequenceLayout
from astromodal.sequences.order import Choose, random_bits
from astromodal.sequences.store import SequenceStore, vocab_hash

_EVERY = slice(None)
_MANY = 1 << 16  # objects whose scalars are read at once


@dataclass(frozen=True)
class ColumnTokens:
    """The scalar columns of the objects of a batch that have any.

    Attributes
    ----------
    objects : int64 (m,)
        Numbers of the objects.
    ids : int32 (m, columns)
        Token ids of the values; MISS where a value is missing.
    place : int64 (m, columns)
        Position of a column's token among the tokens of the batch; -1 where it has none.
    asked : bool (m, columns)
        Whether that token asks for the value; otherwise it shows it.
    """

    objects: np.ndarray
    ids: np.ndarray
    place: np.ndarray
    asked: np.ndarray


@dataclass(frozen=True)
class BlockTokens:
    """One kind of block, other than that of the scalars, of the objects of a batch that have it.

    Attributes
    ----------
    objects : int64 (m,)
        Numbers of the objects.
    ids : int32 (m, slots)
        Token ids of the codes; MISS where a code is missing.
    starts : int64 (m,)
        Position of each block's SEP among the tokens of the batch.
    """

    objects: np.ndarray
    ids: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True)
class ChosenColumns:
    """Scalar columns of objects that are shown or asked.

    Attributes
    ----------
    ids : int32 (m, columns)
        Token ids of the values; MISS where a value is missing.
    shown, asked : bool (m, columns)
        The columns that have a token.
    """

    ids: np.ndarray
    shown: np.ndarray
    asked: np.ndarray

    def __getitem__(self, order: np.ndarray) -> ChosenColumns:
        return ChosenColumns(self.ids[order], self.shown[order], self.asked[order])

    def asking(self, n_labels: int) -> ChosenColumns:
        """Return the columns with as many more at the end, which are asked and have no value."""
        wider, parts = ((0, 0), (0, n_labels)), ((self.ids, MISS), (self.shown, 0), (self.asked, 1))
        return ChosenColumns(*(np.pad(a, wider, constant_values=fill) for a, fill in parts))

    def lay_out(
        self,
        starts: np.ndarray,  # (m, 2), positions of the SEPs of shown and of asked columns
        tokens: np.ndarray,  # (N,), and so are types and slots: they are filled in
        types: np.ndarray,
        slots: np.ndarray,
        layout: SequenceLayout,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Write the tokens of the columns; return `ids`, `place` and `asked` of `ColumnTokens`."""
        place = np.full(self.ids.shape, -1, dtype=np.int64)
        kinds = (self.shown, layout[SCALAR].type), (self.asked, TYPE_ASKED)
        for (used, kind), start in zip(kinds, starts.T, strict=True):
            row, column = np.nonzero(used)
            place[row, column] = (start[:, None] + np.cumsum(used, axis=1))[row, column]
            types[place[row, column]] = kind
            slots[place[row, column]] = 1 + column
            sep = start[used.any(axis=1)]
            tokens[sep], types[sep] = SEP, kind
        tokens[place[self.shown]] = self.ids[self.shown]
        tokens[place[self.asked]] = MISS
        return self.ids, place, self.asked


@dataclass(frozen=True)
class Batch:
    """Sequences of a micro-batch, one after another.

    Attributes
    ----------
    tokens, types, slots : int32 (N,)
        Token ids, token types, and distance from the SEP of a block with every slot (0 before the
        first). The tokens of an asked column and of the codes of a hidden block are MISS.
    shapes : tuple of (int, int)
        For each run of sequences of equal length, the number of sequences and their tokens.
    blocks : dict of int to BlockTokens
        By token type, where the blocks other than that of the scalars stand, and what they hold.
    columns : ColumnTokens
        Where the scalars stand.
    objects : int64 (sequences,)
        Numbers of the objects in their `SequenceSet`, in the order of the sequences.
    order : int64 (sequences,)
        The place of each of them among the objects that the batch was made of.
    """

    tokens: np.ndarray
    types: np.ndarray
    slots: np.ndarray
    shapes: tuple[tuple[int, int], ...]
    blocks: dict[int, BlockTokens]
    columns: ColumnTokens
    objects: np.ndarray
    order: np.ndarray


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
        self._n_labels = 0  # labels that `asking` adds
        self.lengths = self._most_tokens()  # (objects,) tokens of each object, at most

    def _most_tokens(self) -> np.ndarray:
        """Return the tokens of objects all of whose scalars are known, some shown, some asked."""
        sizes = [
            ((self.pattern >> b.type) & 1) * np.int64(1 + b.length) for b in self.layout.blocks
        ]
        asked = (self.pattern >> self.layout[SCALAR].type) & 1  # their SEP
        labels = self._n_labels
        return 2 + np.stack(sizes).sum(axis=0) + np.maximum(asked, labels > 0) + labels

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
        removed = ~np.isin(np.arange(self.layout[SCALAR].length), list(columns))
        if self._removed is not None:
            removed |= self._removed
        return self._with(pattern=self.pattern & bits, _removed=removed)

    def without(self, hidden: np.ndarray) -> SequenceSet:
        """Return the same objects without some blocks of each, as if never measured.

        Parameters
        ----------
        hidden : bool (objects, blocks)
            The blocks that each object is to lack.
        """
        types = np.array([block.type for block in self.layout.blocks], dtype=np.uint32)
        bits = (hidden.astype(np.uint32) << types).sum(axis=1, dtype=np.uint32)
        return self._with(pattern=self.pattern & ~bits)

    def asking(self, n_labels: int) -> SequenceSet:
        """Return the same objects, each with tokens that ask for labels that are no column.

        Parameters
        ----------
        n_labels : int
            Number of labels. They follow the scalar columns in `ColumnTokens`, and in slots.
        """
        return self._with(_n_labels=n_labels)

    def _with(self, **changed: object) -> SequenceSet:
        """Return the same objects with other attributes."""
        other = copy.copy(self)
        vars(other).update(changed)
        other.lengths = other._most_tokens()
        return other

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
        choose: Choose | None = None,
    ) -> Batch:
        """Return a batch of the sequences of `objects`.

        Parameters
        ----------
        objects : int64 (m,)
            Numbers of the objects.
        shuffle : (int, int), optional
            Seed and epoch of the random order of each object's blocks; the layout's order where
            None.
        choose : callable, optional
            Chooses what is shown, asked and hidden; everything known is shown where None.
        """
        scalars, hidden = self._chosen(objects, choose)
        sizes = self._sizes(objects, scalars, hidden)  # (m, blocks + 1)
        order = np.argsort(sizes.sum(axis=1), kind="stable")
        objects, sizes, scalars = objects[order], sizes[order], scalars[order]
        hidden = hidden[order]
        lengths = 2 + sizes.sum(axis=1)
        begin = np.cumsum(lengths) - lengths
        n = int(lengths.sum())
        tokens, types = np.full(n, EOS, dtype=np.int32), np.zeros(n, dtype=np.int32)
        slots = np.zeros(n, dtype=np.int32)
        tokens[begin] = BOS
        places = begin[:, None] + 1 + self._offsets(objects, sizes, hidden, shuffle)
        blocks: dict[int, BlockTokens] = {}
        for i, block in enumerate(self.layout.blocks):
            used = np.flatnonzero(sizes[:, i])
            if block.name == SCALAR or not len(used):
                continue
            placed = self._block(objects[used], i, places[used, i])
            within = np.arange(1 + block.length, dtype=np.int32)
            place = placed.starts[:, None] + within
            tokens[placed.starts] = SEP
            tokens[place[:, 1:]] = np.where(hidden[used, i, None], MISS, placed.ids)
            types[place], slots[place] = block.type, within
            blocks[block.type] = placed
        scalar = self.layout.number(SCALAR)
        of_columns = scalars.lay_out(places[:, [scalar, -1]], tokens, types, slots, self.layout)
        has = self._present(objects)[:, scalar] | bool(self._n_labels)
        columns = ColumnTokens(objects[has], *(a[has] for a in of_columns))
        run_sizes, counts = np.unique(lengths, return_counts=True)
        shapes = tuple(zip(counts.tolist(), run_sizes.tolist(), strict=True))
        return Batch(tokens, types, slots, shapes, blocks, columns, objects, order)

    def _present(self, objects: np.ndarray) -> np.ndarray:
        """Return which blocks objects have, bool (m, blocks)."""
        types = np.array([block.type for block in self.layout.blocks], dtype=np.uint32)
        return ((self.pattern[objects][:, None] >> types) & 1).astype(bool)

    def _chosen(
        self, objects: np.ndarray, choose: Choose | None
    ) -> tuple[ChosenColumns, np.ndarray]:
        """Return the scalars of objects with what is shown and asked, and the hidden blocks."""
        block, number = self.layout[SCALAR], self.layout.number(SCALAR)
        present = self._present(objects)
        ids = np.full((len(objects), block.length), MISS, dtype=np.int32)
        has = np.flatnonzero(present[:, number])
        ids[has] = self.block_tokens(objects[has], number)[:, 1:]
        known = ids != MISS
        if choose is None:
            scalars, hidden = ChosenColumns(ids, known, known & False), present & False
        else:
            chosen = choose(objects, known, present)
            scalars, hidden = ChosenColumns(ids, chosen.shown, chosen.asked), chosen.hidden
        return (scalars.asking(self._n_labels) if self._n_labels else scalars), hidden

    def _block(self, objects: np.ndarray, number: int, starts: np.ndarray) -> BlockTokens:
        """Return a block of objects; of those that do not have it every code is missing."""
        ids = np.full((len(objects), self.layout.blocks[number].length), MISS, dtype=np.int32)
        has = self._present(objects)[:, number]
        ids[has] = self.block_tokens(objects[has], number)[:, 1:]
        return BlockTokens(objects, ids, starts)

    def _sizes(self, objects: np.ndarray, scalars: ChosenColumns, hidden: np.ndarray) -> np.ndarray:
        """Return the tokens of each block, and of the asked columns, int64 (m, blocks + 1)."""
        blocks = self.layout.blocks
        sizes = np.zeros((len(objects), len(blocks) + 1), dtype=np.int64)
        whole = np.array([1 + block.length for block in blocks])
        sizes[:, :-1] = (self._present(objects) | hidden) * whole
        for column, used in ((self.layout.number(SCALAR), scalars.shown), (-1, scalars.asked)):
            n_used = used.sum(axis=1)
            sizes[:, column] = np.where(n_used > 0, 1 + n_used, 0)
        return sizes

    def _offsets(
        self,
        objects: np.ndarray,
        sizes: np.ndarray,
        hidden: np.ndarray,
        shuffle: tuple[int, int] | None,
    ) -> np.ndarray:
        """Return each SEP's position after BOS, int64 (m, blocks + 1); arbitrary where absent.

        The hidden blocks stand after the others, and the asked columns are last.
        """
        types = np.array([block.type for block in self.layout.blocks], dtype=np.uint32)
        order = np.broadcast_to(np.arange(len(types)), hidden.shape)
        if shuffle is not None:
            order = np.argsort(random_bits(objects, types, shuffle), axis=1)
        last = np.argsort(np.take_along_axis(hidden, order, axis=1), axis=1, kind="stable")
        order = np.take_along_axis(order, last, axis=1)
        order = np.concatenate([order, np.full((len(order), 1), len(types))], axis=1)
        ordered = np.take_along_axis(sizes, order, axis=1)
        offsets = np.empty_like(sizes)
        np.put_along_axis(offsets, order, np.cumsum(ordered, axis=1) - ordered, axis=1)
        return offsets

    def know_any(self, objects: np.ndarray, columns: Collection[int]) -> np.ndarray:
        """Return whether objects have a value of any of some scalar columns, bool (m,)."""
        out, numbers = np.zeros(len(objects), dtype=bool), list(columns)
        for begin in range(0, len(objects), _MANY):
            part = slice(begin, begin + _MANY)
            known = self._chosen(objects[part], None)[0].shown
            out[part] = known[:, numbers].any(axis=1)
        return out

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
