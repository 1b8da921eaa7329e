"""A predicted scalar: a distribution over the bins of its column.

Legend: n objects, K bins in use.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        values = np.empty(2 * len(self.centers) + 1)
        values[::2], values[1::2] = self.edges, self.centers
        width = np.diff(self.edges)
        lower = np.full(len(width), 0.5)
        np.divide(self.edges[1:] - self.centers, width, out=lower, where=width > 0)
        pieces = np.stack([self.probabilities * lower, self.probabilities * (1 - lower)], axis=2)
        reached = np.cumsum(pieces.reshape(len(pieces), -1), axis=1)
        reached /= reached[:, -1:]
        place = np.minimum((reached < level).sum(axis=1), len(values) - 2)
        rows = np.arange(len(reached))
        end = reached[rows, place]
        begin = np.where(place > 0, reached[rows, place - 1], 0.0)
        share = np.ones(len(rows))
        np.divide(level - begin, end - begin, out=share, where=end > begin)
        return values[place] + share * (values[place + 1] - values[place])
