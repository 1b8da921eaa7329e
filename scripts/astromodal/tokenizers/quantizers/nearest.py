"""The nearest of many centroids in the plane, exactly, by looking at a few of them.

The plane around the centroids is cut into square-ish cells, and each of these into finer ones,
the more the more centroids compete for it. A cell lists the centroids that are the nearest one
somewhere in it: those that lie no farther from the cell's nearest corner than some centroid lies
from its farthest. A point looks at its cell's list alone, in the order of the centroids, so that
of equally near ones the first is chosen, as by a search through all. A point outside all cells is
compared with every centroid.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from astromodal.core.threads import share

_SIDE = 32  # coarse cells a side
_FINEST = 64  # fine cells a side of a coarse one, at most
_BLOCK = 8  # fine cells a side of a block whose lists are drawn from one
_MARGIN = 0.05  # of the centroids' extent, added all around: most points outside it lie in it
_SMALLEST = 1e-290  # extent whose cells still have a size, and one over it is finite
_SLACK = 1e-9  # of a cell's size, of a squared distance: far above rounding, costs nothing


class Plane:
    """Centroids of the plane, prepared for looking up the nearest.

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
        """Indices int32 (n,) and squared distances float64 (n,) of the nearest centroids.

        Parameters
        ----------
        x : float64 (n, 2)
            Points, finite. The result is that of computing all squared distances in float64 and
            taking the first of the smallest.
        threads : int
            Threads that share the points; they change nothing else.
        """
        codes, squared = np.empty(len(x), np.int32), np.empty(len(x))

        def look_up(part: slice) -> None:
            _look_up(x[part], self._grid, codes[part], squared[part])

        share(threads, len(x), look_up)
        return codes, squared


@njit(cache=True, nogil=True)
def _compete(c, low0, low1, size0, size1, pad, among, kept):  # type: ignore[no-untyped-def]
    """Write to `kept` those `among` the centroids that are nearest somewhere in a box; count them.

    Some may be kept that are not. The box begins at `low`, is of `size`, and is padded all around.
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
    """Lists of all cells.

    Returns
    -------
    side : int32 (coarse,)
        Fine cells a side of each coarse one.
    first : int32 (coarse,)
        Its first fine cell.
    start, stop : int32 (fine,)
        Where the list of each fine cell begins and ends in `lists`.
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
        # Many compete for a crowded cell, few for a block of its fine ones.
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
    """The array itself where it has room for `n`, else a larger one that begins with it."""
    if n <= len(values):
        return values
    return np.concatenate((values, np.empty(max(len(values), n - len(values)), values.dtype)))


@njit(cache=True, nogil=True)
def _look_up(x, grid, codes, squared):  # type: ignore[no-untyped-def]
    """Fill `codes` and `squared`."""
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
