"""The scalar tokenizer: equal-mass bins of each column, none of them too narrow or too wide.

Bin k of a column holds the values in (edge k, edge k + 1]; the first bin includes all lower values,
the last all higher ones. A code decodes to the mean of the training values in its bin, so that an
outlier at the end of the last bin does no harm. A missing value has no code of a bin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import largest_bin, period, smallest_bin
from astromodal.data.cube import Cube
from astromodal.data.splits import Split
from astromodal.errors import FormatError, must_be
from astromodal.storage.arrays import check_maker, load_arrays, save_arrays
from astromodal.storage.formats import check_content, remake
from astromodal.storage.hashing import hash_arrays
from astromodal.tokenizers.scalars.quantiles import Bins, ColumnSummaries, ColumnSummary

_FORMAT: dict[str, Any] = {"format": "scalar_tokenizer", "version": 1}


@dataclass(frozen=True)
class ScalarTokenizer:
    """Bins of several columns.

    Attributes
    ----------
    columns : tuple of str
        Column names, in vocabulary order.
    edges : float64 (C, n_bins + 1)
        Edges of the bins, ascending; NaN beyond a column's last bin.
    centers : float64 (C, n_bins)
        Mean of the training values in a bin; NaN beyond the last bin.
    weights : float64 (C, n_bins)
        Fraction of the column's training values that lie in a bin.
    """

    columns: tuple[str, ...]
    edges: np.ndarray
    centers: np.ndarray
    weights: np.ndarray

    @property
    def n_bins(self) -> int:
        """Bins of a column in the vocabulary; a column with ties uses fewer."""
        return self.centers.shape[1]

    @cached_property
    def n_codes(self) -> np.ndarray:
        """Bins in use, int64 (C,); 0 for a column without training data."""
        return np.isfinite(self.centers).sum(axis=1)

    @cached_property
    def hash(self) -> str:
        """Hash of everything that decides on a code or its value."""
        return hash_arrays(self.arrays())

    @cached_property
    def phases(self) -> np.ndarray:
        """Centers of angles as parts of a turn of their period, float64 (C, n_bins).

        NaN for columns that are no angles, and beyond the last bin.
        """
        periods = [period(name) or np.nan for name in self.columns]
        return self.centers / np.reshape(periods, (-1, 1))

    @classmethod
    def fit(
        cls, summaries: ColumnSummaries, columns: Sequence[str], n_bins: int
    ) -> ScalarTokenizer:
        """Divide each column's training values into `n_bins` bins of equal mass.

        Where these would be narrower than `data.columns.smallest_bin`, bins are about that wide and
        hold less, so that the others are narrower: a quarter of the redshifts are those of stars.
        Where they would be wider than `data.columns.largest_bin`, as in the tails of labels, bins
        are about that wide and hold less; at most half of the bins are spent on that.

        Parameters
        ----------
        summaries : ColumnSummaries
            Merged summaries of the training fields.
        columns : sequence of str
            Columns in vocabulary order; a column without values gets no bins.
        n_bins : int
            Bins of a column; ties reduce their number.
        """
        edges = np.full((len(columns), n_bins + 1), np.nan)
        centers = np.full((len(columns), n_bins), np.nan)
        weights = np.zeros((len(columns), n_bins))
        for i, name in enumerate(columns):
            found = _fit_column(summaries[name], n_bins, smallest_bin(name), largest_bin(name))
            own_edges, own_centers, own_weights = found
            used = len(own_centers)
            edges[i, : used + 1 if used else 0] = own_edges
            centers[i, :used], weights[i, :used] = own_centers, own_weights
        return cls(tuple(columns), edges, centers, weights)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return the codes of `values` (n, C), uint16 (n, C).

        They are `MISSING_CODE` where a value is not finite, and in columns without bins.
        """
        codes = np.full(values.shape, MISSING_CODE, dtype=np.uint16, order="F")
        for i, bins in enumerate(self._bins):
            if bins is not None:
                column = np.ascontiguousarray(values[:, i], dtype=np.float64)
                bins.place(column, codes[:, i], MISSING_CODE)
        return codes

    @cached_property
    def _bins(self) -> list[Bins | None]:
        """Each column's inner edges; None for a column without bins."""
        used = enumerate(self.n_codes.tolist())
        return [Bins(self.edges[i, 1:n]) if n else None for i, n in used]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the values of `codes` (n, C), float64 (n, C); NaN where a code is missing.

        Raises
        ------
        FormatError
            Where a code has no bin: the codes belong to another tokenizer.
        """
        known = codes != MISSING_CODE
        bad = known & (codes >= self.n_codes)
        if bad.any():
            column = int(np.flatnonzero(bad.any(axis=0))[0])
            must = f"below {self.n_codes[column]}"
            got = int(codes[:, column][bad[:, column]].max())
            raise FormatError(
                must_be(f"codes of column {self.columns[column]!r}", must, got, "encode again")
            )
        safe = np.where(known, codes, 0)
        return np.where(known, self.centers[np.arange(len(self.columns)), safe], np.nan)

    def standardised(self) -> np.ndarray:
        """Return centers in units of the spread of their column, float32 (C, n_bins).

        A center c becomes arcsinh((c - median) / scale), with the median of the training values and
        half of their 16 to 84 % range as the scale. The result has no unit, and is not dominated by
        long tails. It is 0 for bins that are not in use.
        """
        table = np.zeros(self.centers.shape, dtype=np.float32)
        for i, used in enumerate(self.n_codes.tolist()):
            if used:
                table[i, :used] = _standardise(self.centers[i, :used], self.weights[i, :used])
        return table

    def arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays, from which `from_arrays` makes the same tokenizer."""
        return {
            "columns": np.array(self.columns, dtype=np.str_),
            "edges": self.edges,
            "centers": self.centers,
            "weights": self.weights,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ScalarTokenizer:
        """Return the tokenizer that `arrays` was called on."""
        names = tuple(arrays["columns"].tolist())
        return cls(names, arrays["edges"], arrays["centers"], arrays["weights"])

    def save(self, path: str | Path) -> None:
        """Write an array file that carries the tokenizer's own hash."""
        save_arrays(path, self.arrays(), hash=self.hash, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> ScalarTokenizer:
        """Read what `save` wrote; raise `FormatError` where its content was changed since."""
        stored = load_arrays(path, **_FORMAT)
        tokenizer = cls.from_arrays(stored.arrays)
        check_content(path, stored.attributes["hash"], tokenizer.hash, remake(_FORMAT["format"]))
        return tokenizer


_HALVINGS = 60


def _shared(
    high: np.ndarray, count: np.ndarray, n_bins: int, smallest: float, largest: float
) -> tuple[np.ndarray, int]:
    """Return the counts that bins share equally, float64 (cells,), and the number of bins.

    They are the counts of the cells, but a cell counts for no more than its share in the width
    `smallest`, and for no less than its share in the width `largest`, as if the density were
    limited where bins would be narrower or wider.
    """
    width = np.diff(high, prepend=high[0])
    whole = width.sum()
    if whole <= smallest or not (smallest or np.isfinite(largest)):
        return count.astype(np.float64), n_bins
    n_bins = min(n_bins, int(whole / smallest)) if smallest else n_bins
    most = width / smallest if smallest else np.full(len(width), np.inf)
    least = width / max(largest, 2 * whole / n_bins)

    def limited(size: float) -> np.ndarray:
        return np.clip(count, size * least, size * most)

    low, full = 0.0, 2 * count.sum() / n_bins  # of the count of a bin, by bisection
    for _ in range(_HALVINGS):
        size = (low + full) / 2
        enough = limited(size).sum() >= n_bins * size
        low, full = (size, full) if enough else (low, size)
    return limited(full), n_bins


def _fit_column(
    cells: ColumnSummary, n_bins: int, smallest: float = 0.0, largest: float = np.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return edges (used + 1,), centers (used,) and weights (used,) of one column."""
    total = cells.total
    if not total:
        return np.empty(0), np.empty(0), np.empty(0)
    order = np.lexsort((cells.low, cells.high))
    high = cells.high[order]
    counts, n_bins = _shared(high, cells.count[order], n_bins, smallest, largest)
    reached = np.cumsum(counts)
    wanted = np.arange(1, n_bins + 1) * (reached[-1] / n_bins)
    # A cell closes the bin whose target rank is closest, from either side.
    place = np.minimum(np.searchsorted(reached, wanted), len(reached) - 1)
    before = np.maximum(place - 1, 0)
    place = np.where(wanted - reached[before] < reached[place] - wanted, before, place)
    place[-1] = len(reached) - 1
    upper = np.unique(high[place])
    # A bin that holds the mean of no cell, as cells of fields overlap, is joined to the next.
    used, bins = np.unique(np.searchsorted(upper[:-1], cells.mean), return_inverse=True)
    upper = np.append(upper[used[:-1]], upper[-1])
    mass = np.bincount(bins, weights=cells.count)
    lower = np.append(cells.low.min(), upper[:-1])
    # Offsets from the lower edge keep all digits of narrow bins far from 0.
    offsets = np.bincount(bins, weights=cells.count * (cells.mean - lower[bins]))
    centers = np.clip(lower + offsets / mass, lower, upper)
    return np.append(lower[:1], upper), centers, mass / total


def _standardise(centers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return arcsinh((c - median) / scale) of centers (K,), weighted by the mass of bins."""
    rank = np.cumsum(weights) - weights / 2
    low, median, high = np.interp([0.16, 0.5, 0.84], rank, centers)
    scale = (high - low) / 2
    if scale <= 0:  # most values are equal: use the standard deviation
        scale = np.sqrt(np.average((centers - median) ** 2, weights=weights))
    return np.arcsinh((centers - median) / scale) if scale > 0 else np.zeros_like(centers)


_TOKENS_FORMAT: dict[str, Any] = {"format": "scalar_tokens", "version": 1}


@dataclass(frozen=True)
class ScalarTokens:
    """The codes of a field's selected rows."""

    ids: np.ndarray  # (n,) unicode
    row: np.ndarray  # (n,) int32, row in the cube
    codes: np.ndarray  # (n, C) uint16; 65535 where missing
    columns: np.ndarray  # (C,) unicode
    n_bins: int
    tokenizer_hash: str
    input_hash: str

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {"ids": self.ids, "row": self.row, "codes": self.codes, "columns": self.columns}
        arrays["n_bins"] = np.array(self.n_bins)
        hashes: dict[str, Any] = {
            "tokenizer_hash": self.tokenizer_hash,
            "input_hash": self.input_hash,
        }
        save_arrays(path, arrays, **_TOKENS_FORMAT, **hashes)


def encode_field_scalars(cube: Cube, split: Split, tokenizer: ScalarTokenizer) -> ScalarTokens:
    """Encode the scalars of a cube's selected rows; columns that the cube lacks are missing."""
    row = np.flatnonzero(split.selected).astype(np.int32)
    values = cube.scalars(tokenizer.columns)[row]
    ids = split.ids[row]
    return ScalarTokens(
        ids=ids,
        row=row,
        codes=tokenizer.encode(values),
        columns=np.array(tokenizer.columns, dtype=np.str_),
        n_bins=tokenizer.n_bins,
        tokenizer_hash=tokenizer.hash,
        input_hash=hash_arrays({"ids": ids, "row": row, "values": values}),
    )


def load_scalar_tokens(path: str | Path, tokenizer_hash: str | None = None) -> ScalarTokens:
    """Read scalar codes.

    Raises
    ------
    FormatError
        Where the tokenizer that made them does not have the hash `tokenizer_hash`.
    """
    stored = load_arrays(path, **_TOKENS_FORMAT)
    check_maker(path, stored, tokenizer_hash, "scalar codes", "encode_scalars")
    arrays = {name: stored[name] for name in ("ids", "row", "codes", "columns")}
    return ScalarTokens(
        **arrays,
        n_bins=int(stored["n_bins"]),
        tokenizer_hash=stored.attributes["tokenizer_hash"],
        input_hash=stored.attributes["input_hash"],
    )
