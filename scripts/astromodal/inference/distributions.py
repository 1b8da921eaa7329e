"""A predicted scalar: a distribution over the bins of its column.

Legend: n objects, K bins in use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class ScalarPrediction:
    """What is predicted of one scalar column.

    Inside a bin the density is uniform below its center and uniform above it, such that its mean
    is the center: a last bin that ends at an error of 1e6 then does no harm.

    Attributes
    ----------
    column : str
        The column.
    unit : str
        Its unit, as astropy reads it; empty where it has none.
    ids : unicode (n,)
        Ids of the objects.
    probabilities : float64 (n, K)
        Probability of each bin; rows sum to 1.
    centers : float64 (K,)
        Mean of the training values in each bin.
    edges : float64 (K + 1,)
        Edges of the bins, ascending.
    n_given : int32 (n,)
        Codes that each was predicted from; 0: from nothing.
    """

    column: str
    unit: str
    ids: np.ndarray
    probabilities: np.ndarray
    centers: np.ndarray
    edges: np.ndarray
    n_given: np.ndarray

    def __getitem__(self, which: np.ndarray | slice) -> ScalarPrediction:
        """What is predicted of some of the objects, by a mask (n,), their places, or a slice."""
        ids, chances, n_given = (a[which] for a in (self.ids, self.probabilities, self.n_given))
        return replace(self, ids=ids, probabilities=chances, n_given=n_given)

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean, float64 (n,)."""
        return self.probabilities @ self.centers

    @cached_property
    def std(self) -> np.ndarray:
        """Standard deviation, float64 (n,), the spread inside the bins included."""
        low, high = self.edges[:-1], self.edges[1:]
        inside = (high - self.centers) * (self.centers - low) / 3
        around = (self.centers - self.mean[:, None]) ** 2 + inside
        return np.sqrt((self.probabilities * around).sum(axis=1))

    @cached_property
    def median(self) -> np.ndarray:
        """Median, float64 (n,)."""
        return self.quantile(0.5)

    def quantile(self, level: float) -> np.ndarray:
        """Value below which the probability `level`, in [0, 1], lies, float64 (n,)."""
        values, reached = self._knots
        place = np.minimum((reached[:, 1:] < level).sum(axis=1), len(values) - 2)
        rows = np.arange(len(reached))
        begin, end = reached[rows, place], reached[rows, place + 1]
        share = np.ones(len(rows))
        np.divide(level - begin, end - begin, out=share, where=end > begin)
        return values[place] + share * (values[place + 1] - values[place])

    def reached(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability below a value of each object, and up to it, float64 (n,) each.

        Both are the same but at a value that has a probability of its own, a bin without width.

        Parameters
        ----------
        values : float64 (n,)
            Values in the column's unit.
        """
        knots, reached = self._knots
        rows, last = np.arange(len(values)), len(knots) - 1
        left = np.searchsorted(knots, values, side="left")
        right = np.searchsorted(knots, values, side="right")
        place, share = self._inside(values)
        begin, end = reached[rows, place], reached[rows, place + 1]
        between = begin + share * (end - begin)
        at_knot = right > left
        below = np.where(at_knot, reached[rows, np.minimum(left, last)], between)
        return below, np.where(at_knot, reached[rows, right - 1], between)

    def crps(self, values: np.ndarray) -> np.ndarray:
        """Continuous ranked probability score, the integral of (F(x) - [x ≥ value])² over x.

        Matheson & Winkler 1976 (doi:10.1287/mnsc.22.10.1087): smaller is better; of a forecast
        that is one value it is the absolute error. It is exact, F being made of straight pieces.

        Parameters
        ----------
        values : float64 (n,)
            What was measured, in the column's unit.

        Returns
        -------
        float64 (n,)
            In the column's unit.
        """
        knots, reached = self._knots
        width, rows = np.diff(knots), np.arange(len(values))
        low = width * _mean_square(reached[:, :-1], reached[:, 1:])  # (n, pieces), of F²
        high = width * _mean_square(1 - reached[:, :-1], 1 - reached[:, 1:])  # of (1 - F)²
        place, share = self._inside(values)
        begin, end = reached[rows, place], reached[rows, place + 1]
        at = begin + share * (end - begin)
        pieces = np.arange(len(width))
        whole = np.where(pieces < place[:, None], low, 0) + np.where(
            pieces > place[:, None], high, 0
        )
        part = share * _mean_square(begin, at) + (1 - share) * _mean_square(1 - at, 1 - end)
        outside = np.maximum(knots[0] - values, 0) + np.maximum(values - knots[-1], 0)
        return whole.sum(axis=1) + width[place] * part + outside

    @cached_property
    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges and centers in their order (2 K + 1,), and the probability up to each (n, …)."""
        values = np.empty(2 * len(self.centers) + 1)
        values[::2], values[1::2] = self.edges, self.centers
        width = np.diff(self.edges)
        lower = np.full(len(width), 0.5)
        np.divide(self.edges[1:] - self.centers, width, out=lower, where=width > 0)
        pieces = np.stack([self.probabilities * lower, self.probabilities * (1 - lower)], axis=2)
        reached = np.zeros((len(pieces), len(values)))
        np.cumsum(pieces.reshape(len(pieces), -1), axis=1, out=reached[:, 1:])
        return values, reached / reached[:, -1:]

    def _inside(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The piece between knots that each value lies in, and how far in it, 0 to 1."""
        knots = self._knots[0]
        place = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
        width = knots[place + 1] - knots[place]
        share = np.zeros(len(values))
        np.divide(values - knots[place], width, out=share, where=width > 0)
        return place, np.clip(share, 0, 1)


def _mean_square(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Mean of the square of what rises in a straight line from `begin` to `end`."""
    return (begin * begin + begin * end + end * end) / 3
