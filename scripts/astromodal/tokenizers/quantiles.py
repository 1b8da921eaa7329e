"""Mergeable summaries of columns, from which quantiles follow to a known rank error.

A column's sorted values are cut into about `n_cells` cells of (nearly) equal count; equal values
are never cut apart. A cell keeps its smallest and largest value, its count and its mean. A quantile
read off the merged cells of many fields is off in rank by about half a cell of each field: with
8192 cells and 1024 bins, 1/16 of a bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
    ordered = np.sort(values[np.isfinite(values)].astype(np.float64), axis=None)
    if not ordered.size:
        nothing = np.empty(0)
        return ColumnSummary(nothing, nothing, nothing.astype(np.int64), nothing)
    wanted = np.unique(
        np.linspace(0, ordered.size, min(n_cells, ordered.size) + 1).astype(np.int64)
    )
    # A run of equal values starts a cell and ends one, so that a spike of ties stands alone.
    first = ordered[wanted[:-1]]
    runs = [np.searchsorted(ordered, first, side=side) for side in ("left", "right")]
    runs[1] = runs[1][runs[1] - runs[0] > 1]
    starts = np.unique(np.concatenate(runs))
    starts = starts[starts < ordered.size]
    stops = np.append(starts[1:], ordered.size)
    count = stops - starts
    # The mean of offsets from the cell's own minimum keeps all digits of narrow cells far from 0.
    low, high = ordered[starts], ordered[stops - 1]
    offset = np.add.reduceat(ordered - np.repeat(low, count), starts) / count
    return ColumnSummary(low, high, count, np.clip(low + offset, low, high))


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
        cls, values: np.ndarray, names: Sequence[str], n_cells: int = N_CELLS
    ) -> ColumnSummaries:
        """Summarise each column of `values` (n, columns); what is not finite is missing."""
        return cls({n: summarise_column(values[:, i], n_cells) for i, n in enumerate(names)})

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
