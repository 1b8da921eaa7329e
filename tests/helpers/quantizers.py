"""A quantizer that the package does not have, as a user's file would register it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from astromodal.core.loops import Progress, quiet
from astromodal.tokenizers.quantizers.base import QUANTIZERS, Quantizer


class Grid(Quantizer):
    """A square lattice over the training points; it stores no centroid."""

    name = "grid"

    def __init__(self, low: np.ndarray, step: np.ndarray, side: int) -> None:
        self.low, self.step, self.side = low, step, side

    @classmethod
    def fit(
        cls,
        points: np.ndarray,
        size: int,
        iterations: int,
        seed: int,
        progress: Progress = quiet,
        threads: int = 1,
    ) -> Grid:
        """Cover the points with as many cells as there may be codes."""
        n_dim = points.shape[1]
        if not len(points):
            return cls(np.zeros(n_dim), np.ones(n_dim), 0)
        side = int(size ** (1 / n_dim) + 1e-9)
        low, high = points.min(axis=0), points.max(axis=0)
        return cls(low.astype(np.float64), np.maximum(high - low, 1e-6) / side, side)

    @property
    def centroids(self) -> np.ndarray:
        """Middles of the cells."""
        axes = np.meshgrid(*[np.arange(self.side) + 0.5] * len(self.low), indexing="ij")
        cells = np.stack([axis.ravel() for axis in axes], axis=1)
        return (self.low + cells * self.step).astype(np.float32)

    def encode(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the number of each point's cell."""
        cell = np.clip(((x - self.low) / self.step).astype(np.int64), 0, self.side - 1)
        return np.ravel_multi_index(tuple(cell.T), (self.side,) * len(self.low))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what the lattice is made of."""
        return {"low": self.low, "step": self.step, "side": np.array(self.side)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Grid:
        """Return the lattice that `arrays` was called on."""
        return cls(arrays["low"], arrays["step"], int(arrays["side"]))


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> type[Quantizer]:
    """The lattice, registered for one test."""
    monkeypatch.setattr(QUANTIZERS, "_items", dict(QUANTIZERS._items))
    return QUANTIZERS.register(Grid)
