"""Into which bin a value falls, as ``np.searchsorted`` says it, many times faster.

A value's place among the edges is first narrowed down by a table, then found by a few steps of a
binary search that has no branches. The table is entered by a key that grows with the value v:

    key = ± (bits(|v| + softening) - bits(softening)),   the sign being that of v

where ``bits`` reads a float64 as an int64, a piecewise linear logarithm for free. Without softening
keys follow log |v|, with a large one v itself, and in between arcsinh(v / softening), so that heavy
tails and columns of both signs divide evenly. The softening that leaves the fewest steps is chosen.
A key never decreases with the value, whatever is rounded: hence no edge outside a value's entry can
lie on its other side, and the result is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

_TABLE_BITS = 13
_SOFTENINGS = np.concatenate([[0.0], 2.0 ** np.arange(-8, 31, 2)])
"""Candidates, in units of the edges' interquartile range."""
_LARGEST = 1e280  # edges spread by less: added to any value, a softening makes no infinity
_BLOCK = 512  # values that go through each step together


class Bins:
    """Edges of one column's bins, prepared for looking values up.

    Parameters
    ----------
    edges : float64 (k,)
        Inner edges, finite and strictly ascending; k may be 0.
    """

    def __init__(self, edges: np.ndarray) -> None:
        edges = np.asarray(edges, dtype=np.float64)
        tables = [_table(edges, softening) for softening in _candidates(edges)]
        self._table = min(tables, key=lambda table: table.n_steps)
        # Steps may look beyond the last edge, and find that nothing lies above infinity.
        self._edges = np.append(edges, np.full(1 << self._table.n_steps, np.inf))

    def place(self, values: np.ndarray, out: np.ndarray, missing: int) -> None:
        """Write how many edges lie below each value: ``np.searchsorted(edges, values)``.

        Parameters
        ----------
        values : float64 (n,)
            Values.
        out : uint16 (n,)
            Filled with the places.
        missing : int
            What is written where a value is not finite.
        """
        _place(values, self._edges, *self._table, out, np.uint16(missing))


class _Table(NamedTuple):
    """Where to begin, by key: at edge ``entries[(key - first) >> shift]``, for `n_steps` steps."""

    entries: np.ndarray
    softening: float
    first: int
    final: int
    shift: int
    n_steps: int


def _table(edges: np.ndarray, softening: float) -> _Table:
    if not len(edges):
        return _Table(np.zeros(1, np.int32), softening, 0, 0, 0, 0)
    keys = _keys(edges, softening)
    first, final = int(keys[0]), int(keys[-1])
    if (final - first).bit_length() > 63:  # their difference would overflow
        return _Table(np.zeros(1, np.int32), softening, 0, 0, 0, len(edges).bit_length())
    shift = max(0, (final - first).bit_length() - _TABLE_BITS)
    entry = (keys - first) >> shift
    entries = np.searchsorted(entry, np.arange(entry[-1] + 1)).astype(np.int32)
    n_steps = int(np.bincount(entry).max()).bit_length()
    return _Table(entries, softening, first, final, shift, n_steps)


def _candidates(edges: np.ndarray) -> list[float]:
    """Softenings to try: 0 only where the edges have one sign, and none of them is 0."""
    if len(edges) < 2:
        return [1.0]
    spread = min(float(np.subtract(*np.quantile(edges, [0.75, 0.25]))), _LARGEST)
    found = _SOFTENINGS * (spread if spread > 0 else 1.0)
    return [float(s) for s in found if s or edges[0] > 0 or edges[-1] < 0]


def _keys(values: np.ndarray, softening: float) -> np.ndarray:
    """Keys of values, int64; see the module's head."""
    size = (np.abs(values) + softening).view(np.int64) - np.float64(softening).view(np.int64)
    return np.where(values < 0, -size, size)


@njit(cache=True, nogil=True)
def _place(values, edges, entries, softening, first, final, shift, n_steps, out, missing):  # type: ignore[no-untyped-def]
    """Fill `out`; all that is inside a loop over a block is one instruction for many values."""
    place, size = np.empty(_BLOCK, np.int32), np.empty(_BLOCK + 1)
    bits = size.view(np.int64)
    size[_BLOCK] = softening
    softened = bits[_BLOCK]
    for start in range(0, len(values), _BLOCK):
        n = min(_BLOCK, len(values) - start)
        for i in range(n):
            size[i] = abs(values[start + i]) + softening
        for i in range(n):
            key = bits[i] - softened
            key = -key if values[start + i] < 0 else key
            place[i] = entries[np.uint64((max(first, min(final, key)) - first) >> shift)]
        step = (1 << n_steps) >> 1
        while step > 0:
            for i in range(n):
                above = edges[np.uint64(place[i] + step - 1)] < values[start + i]
                place[i] += step * np.int32(above)
            step >>= 1
        for i in range(n):
            out[start + i] = place[i] if abs(values[start + i]) < np.inf else missing
