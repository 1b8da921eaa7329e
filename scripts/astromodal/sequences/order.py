"""The order of objects and of what belongs to an object, as functions of seeds.

The order of objects is a function of (seed, epoch); what is chosen at random for an object is a
function of seeds and of the object. Neither depends on the other objects of a batch.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.training import SequenceSettings
from astromodal.sequences.layout import SequenceLayout


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


@dataclass(frozen=True)
class Chosen:
    """What is shown of objects, and what is to be predicted from that.

    Attributes
    ----------
    shown, asked : bool (m, columns)
        Scalar columns that are shown, and those that are asked at the end of the sequence. A column
        may be asked whose value is not known; none may be shown.
    hidden : bool (m, blocks)
        Blocks at the end of the sequence whose codes are all hidden, and are predicted from what is
        shown. A block may be hidden that the object does not have.
    """

    shown: np.ndarray
    asked: np.ndarray
    hidden: np.ndarray


Choose = Callable[[np.ndarray, np.ndarray, np.ndarray], Chosen]
"""Chooses for objects, by their numbers, int64 (m,), among the columns whose value is known, bool
(m, columns), and the blocks that they have, bool (m, blocks)."""


@dataclass(frozen=True)
class Hiding:
    """A random choice of what is hidden in training, and predicted from everything else.

    A model that has always seen all columns cannot predict one from a few others. Columns are asked
    of a random choice of objects: of half of these all columns, so that the model learns to predict
    columns from images and spectra alone; of the others a fraction that is uniform between 0 and 1.
    Labels are asked far more often than they are shown, since users predict them from everything
    else. Each block is hidden independently of the others.

    Attributes
    ----------
    key : tuple of int
        Seed of the choice, beside the object.
    columns : float
        Probability that columns of an object are asked.
    labels : tuple of int
        Numbers of the columns that are labels; all of an object are asked, or none is by this.
    all_labels : float
        Probability that the labels of an object are asked.
    blocks : tuple of int
        Numbers of the blocks that may be hidden.
    each_block : float
        Probability that each of them is hidden.
    fraction : float, optional
        Fraction of the columns that is asked of a chosen object; by default a random one, as above.
    """

    key: tuple[int, ...]
    columns: float
    labels: tuple[int, ...] = ()
    all_labels: float = 0.0
    blocks: tuple[int, ...] = ()
    each_block: float = 0.0
    fraction: float | None = None

    def __call__(self, objects: np.ndarray, known: np.ndarray, present: np.ndarray) -> Chosen:
        """Choose; see `Choose`."""
        n_columns, n_blocks = known.shape[1], present.shape[1]
        bits = random_bits(objects, np.arange(3 + n_columns + n_blocks), self.key)
        uniform = (bits >> np.uint64(11)) * 2.0**-53  # float64 in [0, 1)
        chosen = uniform[:, 0] < self.columns
        some = np.minimum(1.0, 2 * uniform[:, 1]) if self.fraction is None else self.fraction
        fraction = np.where(chosen, some, 0.0)
        asked = uniform[:, 3 : 3 + n_columns] < fraction[:, None]
        asked[:, list(self.labels)] |= uniform[:, 2:3] < self.all_labels
        hidden = np.zeros(present.shape, dtype=bool)
        may = list(self.blocks)
        hidden[:, may] = uniform[:, 3 + n_columns :][:, may] < self.each_block
        return Chosen(known & ~asked, known & asked, present & hidden)


def hiding(
    settings: SequenceSettings,
    layout: SequenceLayout,
    labels: tuple[int, ...],
    key: tuple[int, ...],
) -> Hiding:
    """Return the choice that settings describe, of blocks and columns by number."""
    return Hiding(
        key,
        settings.hide_columns,
        labels,
        settings.hide_labels,
        layout.hideable,
        settings.hide_blocks,
    )


def label_numbers(columns: Sequence[str], labels: Collection[str]) -> tuple[int, ...]:
    """Return the numbers of the columns that are labels."""
    return tuple(i for i, name in enumerate(columns) if name in labels)
