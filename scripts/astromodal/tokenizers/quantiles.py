"""Mergeable summaries of columns, from which quantiles follow to a known rank error.

A column's sorted values are cut into about `n_cells` cells of (nearly) equal count; equal values
are never cut apart. A cell keeps its smallest and largest value, its count and its mean. A quantile
read off the merged cells of many fields is off in rank by about half a cell of each field: with
8192 cells and 1024 bins, 1/16 of a bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from astromodal.core.files import load_arrays, save_arrays
from astromodal.errors import FormatError, must_be

_FORMAT: dict[str, Any] = {"format": "quantile_summaries", "version": 1}
N_CELLS = 8192


@dataclass(frozen=True)
class ColumnSummary:
    """Cells of one column in the order of their values."""

    low: np.ndarray  # (cells,) float64, smallest value of a cell
    high: np.ndarray  # (cells,) float64, largest value of a cell
    count: np.ndarray  # (cells,) int64
    mean: np.ndarray  # (cells,) float64

    @property
    def total(self) -> int:
        """Number of values summarised."""
        return int(self.count.sum())


def summarise_column(values: np.ndarray, n_cells: int = N_CELLS) -> ColumnSummary:
    """Summarise the finite values of an array (any shape, any float dtype)."""
    ordered = np.sort(values[np.isfinite(values)].astype(np.float64, copy=False), axis=None)
    return ColumnSummary(*_cells(ordered, min(n_cells, ordered.size)))


@njit(cache=True, nogil=True)
def _cells(ordered, n_cells):  # type: ignore[no-untyped-def]
    """Low, high, count and mean of about `n_cells` cells of ascending values.

    A run of equal values that a cell should begin in begins one and ends one, so that a spike of
    ties stands alone.
    """
    n = len(ordered)
    starts = np.empty(2 * n_cells + 1, np.int64)
    n_starts, wanted, run = 0, 0, 0
    while run < n:
        stop = run + 1
        while stop < n and ordered[stop] == ordered[run]:
            stop += 1
        if wanted * n // n_cells < stop:
            if n_starts == 0 or starts[n_starts - 1] != run:
                starts[n_starts] = run
                n_starts += 1
            if stop - run > 1 and stop < n:
                starts[n_starts] = stop
                n_starts += 1
            while wanted * n // n_cells < stop:
                wanted += 1
        run = stop
    starts[n_starts] = n
    low, high, mean = np.empty(n_starts), np.empty(n_starts), np.empty(n_starts)
    for k in range(n_starts):
        first, stop = starts[k], starts[k + 1]
        low[k], high[k] = ordered[first], ordered[stop - 1]
        # The mean of offsets from the cell's own minimum keeps all digits of narrow cells far
        # from 0.
        total = 0.0
        for i in range(first, stop):
            total += ordered[i] - low[k]
        mean[k] = min(max(low[k] + total / (stop - first), low[k]), high[k])
    return low, high, np.diff(starts[: n_starts + 1]), mean


def merge(summaries: Sequence[ColumnSummary]) -> ColumnSummary:
    """One summary of all the values that several summaries stand for."""
    joined = [np.concatenate(parts) for parts in zip(*(_parts(s) for s in summaries), strict=True)]
    low, high, count, mean = joined
    order = np.lexsort((low, high))
    return ColumnSummary(low[order], high[order], count[order].astype(np.int64), mean[order])


def _parts(summary: ColumnSummary) -> tuple[np.ndarray, ...]:
    return summary.low, summary.high, summary.count, summary.mean


@dataclass(frozen=True)
class ColumnSummaries:
    """Summaries of several columns, by name."""

    columns: dict[str, ColumnSummary]

    def __getitem__(self, name: str) -> ColumnSummary:
        return self.columns[name]

    @classmethod
    def of(
        cls, values: np.ndarray, names: Sequence[str], n_cells: int = N_CELLS, threads: int = 1
    ) -> ColumnSummaries:
        """Summarise each column of `values` (n, columns); what is not finite is missing.

        Threads share the columns, and change nothing.
        """
        with ThreadPoolExecutor(threads) as pool:
            found = pool.map(lambda column: summarise_column(column, n_cells), values.T)
            return cls(dict(zip(names, found, strict=True)))

    @classmethod
    def merge(cls, parts: Sequence[ColumnSummaries]) -> ColumnSummaries:
        """Merge the summaries of several fields; all must have the same columns."""
        names = list(parts[0].columns)
        for part in parts[1:]:
            if list(part.columns) != names:
                got = f"{len(names)} and {len(part.columns)} columns"
                raise FormatError(must_be("summaries", "of the same columns", got, "remake them"))
        return cls({name: merge([part[name] for part in parts]) for name in names})

    def save(self, path: str | Path) -> None:
        """Write an array file: the cells of all columns, one column after another."""
        parts = [_parts(summary) for summary in self.columns.values()]
        arrays = {
            key: np.concatenate([part[i] for part in parts]) if parts else np.empty(0)
            for i, key in enumerate(("low", "high", "count", "mean"))
        }
        sizes = np.array([len(part[0]) for part in parts], dtype=np.int64)
        arrays["columns"] = np.array(list(self.columns), dtype=np.str_)
        arrays["indptr"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        save_arrays(path, arrays, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> ColumnSummaries:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_FORMAT)
        bounds = zip(stored["indptr"][:-1], stored["indptr"][1:], strict=True)
        cells = [stored[key] for key in ("low", "high", "count", "mean")]
        summaries = [ColumnSummary(*(part[a:b] for part in cells)) for a, b in bounds]
        return cls(dict(zip(stored["columns"].tolist(), summaries, strict=True)))
