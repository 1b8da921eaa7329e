"""Nearest-centroid search, exact, and quantizers in files.

In the plane the search compares a point with a few centroids only. The plane is cut into square-ish
cells, and each cell into finer ones, more of them where more centroids compete. A cell lists the
centroids that are the nearest one somewhere in it: those that lie no farther from the cell's
nearest corner than some centroid lies from its farthest corner. A point searches the list of its
cell in the order of the centroids, so that the first of equally near ones is chosen, as by a search
through all. A point outside all cells is compared with every centroid. On a line the centroids are
sorted, and elsewhere a k-d tree is searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from astromodal.core.loops import share
from astromodal.errors import ConfigError, DataError, must_be
from astromodal.storage.arrays import ArrayFile, load_arrays
from astromodal.tokenizers.quantizers.base import (
    DEFAULT,
    NAME,
    PREFIX,
    QUANTIZERS,
    FittedQuantizer,
)

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

_LARGEST = 1e100  # its square is still a float64
_SIDE = 32  # coarse cells along a side
_FINEST = 64  # fine cells along a side of a coarse one, at most
_BLOCK = 8  # fine cells along a side of a block, whose lists are taken from one list
_MARGIN = (
    0.05  # of the centroids' extent, added all around: it holds most points outside the extent
)
_SMALLEST = 1e-290  # extent whose cells still have a size, and one over it is finite
_SLACK = 1e-9  # of a cell's size, of a squared distance: far above rounding, costs nothing


class Plane:
    """Centroids in the plane, prepared for a search for the nearest.

    Parameters
    ----------
    centroids : float (k, 2)
        At least one, finite.
    """

    def __init__(self, centroids: np.ndarray) -> None:
        c = np.ascontiguousarray(centroids, dtype=np.float64)
        low, high = c.min(axis=0), c.max(axis=0)
        extent = np.where(high - low > _SMALLEST, high - low, 1.0)
        low -= _MARGIN * extent
        step = (1 + 2 * _MARGIN) * extent / _SIDE
        # Corners of cells are rounded as coarsely as the largest coordinate is.
        pad = _SLACK * step + 8 * np.spacing(np.abs(c).max())
        self._grid = (c, low, step, *_build(c, low, step, pad))

    def nearest(self, x: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest centroids, int32 (n,), and squared distances from them, float64 (n,).

        Parameters
        ----------
        x : float64 (n, 2)
            Points, finite. The result is that of computing all squared distances in float64 and
            taking the first of the smallest.
        threads : int
            Threads that share the points; they change no result.
        """
        codes, squared = np.empty(len(x), np.int32), np.empty(len(x))

        def look_up(part: slice) -> None:
            _look_up(x[part], self._grid, codes[part], squared[part])

        share(threads, len(x), look_up)
        return codes, squared


class Line:
    """Centroids on a line, sorted: sixteen times as fast as a k-d tree of 2048 of them.

    Parameters
    ----------
    centroids : float (k, 1)
        At least one, finite.
    """

    def __init__(self, centroids: np.ndarray) -> None:
        self._sorted, self._code = np.unique(centroids[:, 0], return_index=True)
        self._middle = self._sorted[:-1] / 2 + self._sorted[1:] / 2

    def nearest(self, x: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return nearest centroids, int32 (n,), and squared distances from them, float64 (n,).

        Parameters
        ----------
        x : float64 (n, 1)
            Points, finite.
        threads : int
            Not used: one thread is fast enough.
        """
        place = np.searchsorted(self._middle, x[:, 0])
        return self._code[place].astype(np.int32), (x[:, 0] - self._sorted[place]) ** 2


def tree_of(points: np.ndarray) -> cKDTree:
    """Return a k-d tree of points (N, D)."""
    # Here: it takes a fifth of a second to import, and a job that encodes in the plane has none.
    from scipy.spatial import cKDTree

    return cKDTree(points)


def check_points(x: np.ndarray) -> None:
    """Raise `DataError` where a coordinate is not finite, or so large that its square is not."""
    largest = float(np.abs(x).max(initial=0.0))  # NaN where a coordinate is
    if not largest < _LARGEST:
        raise DataError(
            must_be("points to cluster", f"finite and below {_LARGEST:g}", f"{largest}")
        )


class NearestCentroid(FittedQuantizer):
    """A codebook, as that of k-means: a point has the code of its nearest centroid.

    Parameters
    ----------
    centroids : float32 (k, D)
        Centroids, finite.
    counts, inertia
        As in `FittedQuantizer`.
    """

    name = DEFAULT

    def __init__(
        self,
        centroids: np.ndarray,
        counts: np.ndarray | None = None,
        inertia: float | None = None,
    ) -> None:
        self._centroids, self.counts, self.inertia = centroids, counts, inertia

    @property
    def centroids(self) -> np.ndarray:
        """Centroids, float32 (k, D)."""
        return self._centroids

    def encode(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the index of the nearest centroid of each point, exact in float64.

        Parameters
        ----------
        x : float (N, D)
            Points, finite.
        threads : int
            Threads that share the points; they change no code.

        Returns
        -------
        int32 (N,)
            The first of equally near centroids, where D is 2.

        Raises
        ------
        DataError
            Where a coordinate is not finite, or so large that its square is not.
        """
        check_points(x)
        return self.search(np.asarray(x, dtype=np.float64), threads)[0]

    def search(self, x: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
        """Return codes, int32 (N,), and squared distances, float64 (N,), of float64 points."""
        if isinstance(self._index, Line | Plane):
            return self._index.nearest(x, threads)
        distance, codes = self._index.query(x, workers=threads)
        return codes.astype(np.int32), distance**2

    @cached_property
    def _index(self) -> Line | Plane | cKDTree:
        """The prepared search, made once for all batches."""
        points = np.asarray(self._centroids, dtype=np.float64)
        return {1: Line, 2: Plane}.get(points.shape[1], tree_of)(points)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the centroids by name."""
        return {"centroids": self._centroids}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> NearestCentroid:
        """Return the codebook that `arrays` was called on."""
        return cls(arrays["centroids"])


def unpack_quantizer(arrays: Mapping[str, np.ndarray], source: str) -> FittedQuantizer:
    """Return the quantizer that `FittedQuantizer.packed` was called on.

    Parameters
    ----------
    arrays : mapping
        Its arrays, with or without others beside them.
    source : str
        Where they are from, for errors.

    Raises
    ------
    ConfigError
        Where no quantizer of that name is registered.
    """
    if NAME not in arrays:
        return NearestCentroid(arrays["centroids"])
    maker = str(arrays[NAME])
    if maker not in QUANTIZERS:
        do = "add the Python file that registers it to the setting extensions"
        raise ConfigError(must_be(f"{source}: quantizer", "a registered quantizer", maker, do))
    kind = QUANTIZERS.get(maker, f"{source}: quantizer")
    own = {name: array for name, array in arrays.items() if name.startswith(PREFIX)}
    return kind.from_arrays({name.removeprefix(PREFIX): array for name, array in own.items()})


def load_quantizer(
    path: str | Path, *, format: str, version: int
) -> tuple[FittedQuantizer, ArrayFile]:
    """Read a file of `FittedQuantizer.save`: the quantizer, and the whole file.

    Raises
    ------
    FormatError
        Where the file is damaged, or of another format or version.
    ConfigError
        Where no quantizer of the file's name is registered.
    """
    stored = load_arrays(path, format=format, version=version)
    if NAME not in stored:
        return NearestCentroid(stored["centroids"]), stored
    return unpack_quantizer(stored.arrays, str(path)), stored


@njit(cache=True, nogil=True)
def _compete(c, low0, low1, size0, size1, pad, among, kept):  # type: ignore[no-untyped-def]
    """Write the centroids of `among` that are nearest somewhere in a box to `kept`; count them.

    A few others may be kept too. The box begins at `low`, is of `size`, and is padded all around.
    """
    high0, high1 = low0 + size0 + pad[0], low1 + size1 + pad[1]
    low0, low1 = low0 - pad[0], low1 - pad[1]
    bound = np.inf
    for i in among:
        d0 = max(c[i, 0] - low0, high0 - c[i, 0])
        d1 = max(c[i, 1] - low1, high1 - c[i, 1])
        bound = min(bound, d0 * d0 + d1 * d1)
    bound *= 1 + _SLACK
    n = 0
    for i in among:
        d0 = max(low0 - c[i, 0], 0.0, c[i, 0] - high0)
        d1 = max(low1 - c[i, 1], 0.0, c[i, 1] - high1)
        if d0 * d0 + d1 * d1 <= bound:
            kept[n] = i
            n += 1
    return n


@njit(cache=True, nogil=True)
def _build(c, low, step, pad):  # type: ignore[no-untyped-def]
    """Return the lists of all cells.

    Returns
    -------
    side : int32 (coarse,)
        Fine cells along a side of each coarse cell.
    first : int32 (coarse,)
        First fine cell of each coarse cell.
    start, stop : int32 (fine,)
        Begin and end of each fine cell's list in `lists`.
    lists : int32
        Centroids, ascending in each list.
    """
    everything = np.arange(len(c), dtype=np.int32)
    coarse, block = np.empty_like(everything), np.empty_like(everything)
    fine = np.empty_like(everything)
    side, first = np.empty(_SIDE * _SIDE, np.int32), np.empty(_SIDE * _SIDE, np.int32)
    start, stop = np.empty(1024, np.int32), np.empty(1024, np.int32)
    lists = np.empty(4096, np.int32)
    n_fine, n_listed = 0, 0
    for cell in range(_SIDE * _SIDE):
        at0, at1 = low[0] + (cell // _SIDE) * step[0], low[1] + (cell % _SIDE) * step[1]
        n = _compete(c, at0, at1, step[0], step[1], pad, everything, coarse)
        n_side = min(_FINEST, int(np.ceil(np.sqrt(n)))) if n > 2 else 1
        size0, size1 = step[0] / n_side, step[1] / n_side
        side[cell], first[cell] = n_side, n_fine
        start, stop = _room(start, n_fine + n_side**2), _room(stop, n_fine + n_side**2)
        # Many centroids compete for a crowded cell, few for a block of its fine cells.
        n_blocks = (n_side - 1) // _BLOCK + 1
        for k in range(n_blocks**2):
            b0, b1 = k // n_blocks * _BLOCK, k % n_blocks * _BLOCK
            f0, f1 = at0 + b0 * size0, at1 + b1 * size1
            n_block = _compete(c, f0, f1, _BLOCK * size0, _BLOCK * size1, pad, coarse[:n], block)
            for k0 in range(b0, min(b0 + _BLOCK, n_side)):
                for k1 in range(b1, min(b1 + _BLOCK, n_side)):
                    f0, f1 = at0 + k0 * size0, at1 + k1 * size1
                    m = _compete(c, f0, f1, size0, size1, pad, block[:n_block], fine)
                    lists = _room(lists, n_listed + m)
                    lists[n_listed : n_listed + m] = fine[:m]
                    j = n_fine + k0 * n_side + k1
                    start[j], stop[j] = n_listed, n_listed + m
                    n_listed += m
        n_fine += n_side**2
    return side, first, start[:n_fine], stop[:n_fine], lists[:n_listed]


@njit(cache=True, nogil=True)
def _room(values, n):  # type: ignore[no-untyped-def]
    """Return the array itself where it has room for `n`, else a larger one that begins with it."""
    if n <= len(values):
        return values
    return np.concatenate((values, np.empty(max(len(values), n - len(values)), values.dtype)))


@njit(cache=True, nogil=True)
def _look_up(x, grid, codes, squared):  # type: ignore[no-untyped-def]
    """Fill `codes` with the nearest centroids of points, `squared` with squared distances."""
    c, low, step, side, first, start, stop, lists = grid
    scale0, scale1 = 1 / step[0], 1 / step[1]
    for i in range(len(x)):
        x0, x1 = x[i, 0], x[i, 1]
        u0, u1 = (x0 - low[0]) * scale0, (x1 - low[1]) * scale1
        best, least = 0, np.inf
        if 0 <= u0 < _SIDE and 0 <= u1 < _SIDE:
            k0, k1 = int(u0), int(u1)
            cell = k0 * _SIDE + k1
            n = side[cell]
            j = first[cell] + int((u0 - k0) * n) * n + int((u1 - k1) * n)
            for place in range(start[j], stop[j]):
                k = lists[place]
                d0, d1 = x0 - c[k, 0], x1 - c[k, 1]
                d = d0 * d0 + d1 * d1
                if d < least:
                    best, least = k, d
        else:
            for k in range(len(c)):
                d0, d1 = x0 - c[k, 0], x1 - c[k, 1]
                d = d0 * d0 + d1 * d1
                if d < least:
                    best, least = k, d
        codes[i], squared[i] = best, least
