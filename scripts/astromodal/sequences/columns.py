"""Scalar columns in a sequence: which are shown, which are asked, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from astromodal.core.vocab import MISS, SEP
from astromodal.sequences.layout import SCALAR, SequenceLayout
from astromodal.sequences.order import random_bits

Choose = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Returns the columns of objects that are shown and those that are asked, bool (m, columns) each.

It is called with the numbers of the objects, int64 (m,), and with the columns whose value is known,
bool (m, columns). A column may be asked whose value is not known; none may be shown.
"""


@dataclass(frozen=True)
class AskedColumns:
    """A random choice of known scalar columns that are asked at the end of a sequence.

    The others are shown. A model that has always seen all columns cannot predict one from a few
    others. Columns are asked of a random choice of objects: of half of these all columns, so that
    the model learns to predict columns from images and spectra alone; of the others a fraction that
    is uniform between 0 and 1. Labels are asked far more often than they are shown, since users
    predict them from everything else.

    Attributes
    ----------
    probability : float
        Probability that columns of an object are asked.
    key : tuple of int
        Seed of the choice, beside the object.
    labels : tuple of int
        Numbers of the columns that are labels; all of an object are asked, or none is by this.
    label_probability : float
        Probability that the labels of an object are asked.
    """

    probability: float
    key: tuple[int, ...]
    labels: tuple[int, ...] = ()
    label_probability: float = 0.0

    def __call__(self, objects: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the shown and the asked columns of objects; see `Choose`."""
        n_columns = known.shape[1]
        bits = random_bits(objects, np.arange(3 + n_columns), self.key)
        uniform = (bits >> np.uint64(11)) * 2.0**-53  # float64 in [0, 1)
        chosen = uniform[:, 0] < self.probability
        fraction = np.where(chosen, np.minimum(1.0, 2 * uniform[:, 1]), 0.0)
        asked = uniform[:, 3:] < fraction[:, None]
        asked[:, list(self.labels)] |= uniform[:, 2:3] < self.label_probability
        return known & ~asked, known & asked


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
        kinds = (self.shown, layout[SCALAR].type), (self.asked, layout.spec.ask_type)
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
