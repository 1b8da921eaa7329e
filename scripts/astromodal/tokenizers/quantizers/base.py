"""The interface of a quantizer, and the registry that a setting chooses one from.

A quantizer is fitted on points and then maps each point to one of its codes. Image latents and the
standardised features of spectra and light curves are quantized in the same way. Another quantizer
than k-means is one class: a subclass of `Quantizer`, registered in `QUANTIZERS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from astromodal.core.loops import Progress, quiet
from astromodal.errors import ConfigError, must_be
from astromodal.extensions import Registry
from astromodal.storage.arrays import save_arrays

DEFAULT = "kmeans"
"""Name of the quantizer that made a file without an array ``quantizer``."""
NAME, PREFIX = "quantizer", "quantizer_"
"""In files of other quantizers: the array that names it, and the prefix of its own arrays."""


class FittedQuantizer(ABC):
    """A codebook with a rule that chooses the code of a point.

    Attributes
    ----------
    name : str
        Name of the quantizer, as settings and files have it.
    counts : int64 (k,) or None
        Training points of each code, where the fit counted them.
    inertia : float or None
        Mean squared distance of a training point to the centroid of its code, where the fit
        measured it.
    """

    name: ClassVar[str]
    counts: np.ndarray | None = None
    inertia: float | None = None

    @property
    @abstractmethod
    def centroids(self) -> np.ndarray:
        """The point that each code decodes to, float32 (k, D); k is 0 without training points."""

    @abstractmethod
    def encode(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the code of each point.

        Parameters
        ----------
        x : float (N, D)
            Points, finite.
        threads : int
            Threads that share the points. They must not change a code, nor may the size or the
            order of a batch.

        Returns
        -------
        int (N,)
            Codes from 0 to k - 1. It is not called where k is 0.
        """

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the centroids of codes (...,), float32 (..., D)."""
        return self.centroids[codes]

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything that decides on a code or its value, as plain arrays by name."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> FittedQuantizer:
        """Return the quantizer that `arrays` was called on."""

    def packed(self) -> dict[str, np.ndarray]:
        """Return the arrays of a file or a hash: `arrays` and the quantizer's name.

        Those of k-means have no name and no prefix. `nearest.unpack_quantizer` reverses it.
        """
        if self.name == DEFAULT:
            return self.arrays()
        own = {f"{PREFIX}{name}": array for name, array in self.arrays().items()}
        return {NAME: np.array(self.name, dtype=np.str_), **own}

    def save(
        self,
        path: str | Path,
        others: Mapping[str, np.ndarray],
        *,
        format: str,
        version: int,
        **attributes: Any,
    ) -> None:
        """Write an array file of the quantizer and of `others`; `nearest.load_quantizer` reads it.

        Parameters
        ----------
        path : path
            The file, ending in ``.npz``.
        others : mapping
            Further arrays of the file.
        format, version, **attributes
            As `storage.arrays.save_arrays` takes them.
        """
        save_arrays(path, {**self.packed(), **others}, format=format, version=version, **attributes)


class Quantizer(FittedQuantizer):
    """A quantizer that can be fitted: what `QUANTIZERS` holds, one class each."""

    @classmethod
    @abstractmethod
    def fit(
        cls,
        points: np.ndarray,
        size: int,
        iterations: int,
        seed: int,
        progress: Progress = quiet,
        threads: int = 1,
    ) -> FittedQuantizer:
        """Fit a codebook.

        Parameters
        ----------
        points : float (N, D)
            Training points, finite; N may be 0.
        size : int
            Largest number of codes, below 65535.
        iterations : int
            Passes over the points, for a quantizer that iterates.
        seed : int
            Seed of everything that is random: same points and seed, same codebook.
        progress : callable
            Shows the passes.
        threads : int
            Threads; they change no result.
        """


QUANTIZERS: Registry[type[Quantizer]] = Registry("quantizer")
"""Quantizers by the name that ``tokenizers.image.quantizer`` and others give."""


def check_fitted(fitted: FittedQuantizer, size: int, n_dim: int) -> None:
    """Check what a quantizer was fitted to.

    Parameters
    ----------
    fitted : FittedQuantizer
        The result of a `Quantizer.fit`.
    size, n_dim : int
        Largest number of codes, and dimension of the training points.

    Raises
    ------
    ConfigError
        Where there are more codes than `size`, or centroids are not float32, finite and of
        dimension `n_dim`.
    """
    centroids = fitted.centroids
    is_table = centroids.ndim == 2 and centroids.shape[1] == n_dim and len(centroids) <= size
    if not is_table or centroids.dtype != np.float32 or not np.isfinite(centroids).all():
        what = f"centroids of quantizer {fitted.name!r}"
        must = f"finite float32 of shape (k, {n_dim}), k at most {size}"
        got = f"{centroids.dtype} of shape {centroids.shape}"
        raise ConfigError(must_be(what, must, got, "correct its fit"))


def usage(
    fitted: FittedQuantizer, points: np.ndarray, threads: int = 1
) -> tuple[np.ndarray, float]:
    """Return how training points lie around a codebook.

    Parameters
    ----------
    fitted : FittedQuantizer
        A quantizer that was fitted on `points`.
    points : float (N, D)
        Its training points.
    threads : int
        Threads that encode.

    Returns
    -------
    counts : int64 (k,)
        Points of each code.
    inertia : float
        Mean squared distance of a point to the centroid of its code; 0 without points.
    """
    if fitted.counts is not None and fitted.inertia is not None:
        return fitted.counts, fitted.inertia
    return usage_of(fitted, points, threads)


def usage_of(
    fitted: FittedQuantizer, points: np.ndarray, threads: int = 1
) -> tuple[np.ndarray, float]:
    """Return how any points (N, D) lie around a codebook, as `usage` does."""
    if not len(points) or not len(fitted.centroids):
        return np.zeros(len(fitted.centroids), np.int64), 0.0
    codes = fitted.encode(points, threads)
    squared = ((points - fitted.decode(codes)) ** 2).sum(axis=1)
    return np.bincount(codes, minlength=len(fitted.centroids)), float(squared.mean())
