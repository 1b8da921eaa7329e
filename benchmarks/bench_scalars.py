"""Scalars: summaries of fields, and codes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.simulate.field import ROW_GROUP
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from benchmarks.harness import REPEATS, Row, paired
from benchmarks.sky import N_COLUMNS, N_ROWS, ONE_GROUP, scalar_values, write_scalars

N_BINS = 1024
N_FIELDS = 3
LAYOUTS = ((ONE_GROUP, N_COLUMNS, REPEATS), (ROW_GROUP, N_COLUMNS, REPEATS), (64, 190, 1))
"""Rows of a row group, columns of the file, and how often it is read.

The first is a real cube as pandas writes it, the second has the row groups of simulated cubes. The
third is a simulated cube with the smallest row groups: pandas reads it for a minute.
"""


def rows() -> Iterator[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        fields = [scalar_values(N_ROWS, seed) for seed in range(N_FIELDS)]
        paths = [Path(folder) / f"datacube_F{i}.parquet" for i in range(N_FIELDS)]
        for path, values in zip(paths, fields, strict=True):
            write_scalars(path, values)
        yield from _summaries(paths, np.concatenate(fields))
        for row_group, n_columns, repeats in LAYOUTS:
            write_scalars(paths[0], fields[0], row_group, n_columns)
            groups = "a single row group" if row_group == ONE_GROUP else f"groups of {row_group}"
            yield from _from_file(paths[0], f"{n_columns} in the file, {groups}", repeats)
    yield _codes(fields[0])


def _summaries(paths: list[Path], values: np.ndarray) -> Iterator[Row]:
    pair = paired(lambda: _merged(paths), lambda: _column_by_column(paths))
    yield Row(
        "scalar summaries", f"bins of {len(SCALAR_COLUMNS)} columns from {N_FIELDS} fields",
        "pandas and np.quantile, each file read once a column", pair.ratio, mark=5,
        detail=f"{pair}; ours on two threads",
    )  # fmt: skip
    tokenizer = ScalarTokenizer.fit(_merged(paths), SCALAR_COLUMNS, N_BINS)
    yield Row(
        "scalar summaries", "largest error in rank of an edge, all columns", "exact quantiles",
        max(_rank_error(tokenizer, values, i) for i in range(len(SCALAR_COLUMNS))),
        "bins", mark=0.1, at_most=True,
        detail="no value stands at the rank beside long runs of ties",
    )  # fmt: skip


def _merged(paths: list[Path]) -> ColumnSummaries:
    parts = [ColumnSummaries.of(_scalars(path), SCALAR_COLUMNS, threads=2) for path in paths]
    return ColumnSummaries.merge(parts)


def _column_by_column(paths: list[Path]) -> list[np.ndarray]:
    """Naive summary: read one column of all files, take its exact quantiles, go to the next."""
    ranks = np.linspace(0, 1, N_BINS + 1)
    edges = []
    for name in SCALAR_COLUMNS:
        column = np.concatenate([pd.read_parquet(path, columns=[name])[name] for path in paths])
        edges.append(np.quantile(column[np.isfinite(column)], ranks))
    return edges


def _from_file(path: Path, layout: str, repeats: int) -> Iterator[Row]:
    """Fit and encode from one field's file; pandas reads it once, or once per column."""
    tokenizer = _fitted(path)
    calls = {"fit": lambda: _fitted(path), "codes": lambda: tokenizer.encode(_scalars(path))}
    once: dict[str, Callable[[], object]] = {
        "fit": lambda: _quantiles(pd.read_parquet(path, columns=list(SCALAR_COLUMNS))),
        "codes": lambda: _searched(
            tokenizer, pd.read_parquet(path, columns=list(SCALAR_COLUMNS)).to_numpy()
        ),
    }
    each: dict[str, Callable[[], object]] = {
        "fit": lambda: _column_by_column([path]),
        "codes": lambda: _searched(tokenizer, _column_stack(path)),
    }
    words = {"fit": "np.quantile", "codes": "np.searchsorted"}
    for what, ours in calls.items():
        for theirs, how, mark in ((each, "once per column", 5), (once, "once", None)):
            pair = paired(ours, theirs[what], repeats, warm=False)
            yield Row(
                "scalars from a file", f"{what} of {len(SCALAR_COLUMNS)} columns, {layout}",
                f"pandas and {words[what]}, the file read {how}", pair.ratio, mark=mark,
                detail=f"{pair}; ours fits on two threads",
            )  # fmt: skip


def _scalars(path: Path) -> np.ndarray:
    return Cube(path, "F").scalars(SCALAR_COLUMNS)


def _fitted(path: Path) -> ScalarTokenizer:
    summaries = ColumnSummaries.of(_scalars(path), SCALAR_COLUMNS, threads=2)
    return ScalarTokenizer.fit(summaries, SCALAR_COLUMNS, N_BINS)


def _quantiles(columns: pd.DataFrame) -> list[np.ndarray]:
    ranks = np.linspace(0, 1, N_BINS + 1)
    return [np.quantile(column[np.isfinite(column)], ranks) for _, column in columns.items()]


def _column_stack(path: Path) -> np.ndarray:
    """Scalars of a field, float64 (n, columns), of which each is read by a call of its own."""
    columns = [pd.read_parquet(path, columns=[name])[name] for name in SCALAR_COLUMNS]
    return np.stack(columns, axis=1)


def _rank_error(tokenizer: ScalarTokenizer, values: np.ndarray, i: int) -> float:
    """Largest distance, in bins, of an edge's rank from the nearest that an edge should have.

    Equal values have all ranks from the first's to the last's. An edge below a run of them longer
    than a tenth of a bin is left out: there is no value at the rank it should have.
    """
    ordered = np.sort(values[np.isfinite(values[:, i]), i])
    size = len(ordered) / N_BINS
    edges = tokenizer.edges[i, 1 : tokenizer.n_codes[i]]
    low, high = (np.searchsorted(ordered, edges, side=side) / size for side in ("left", "right"))
    following = ordered[np.minimum((high * size).astype(int), len(ordered) - 1)]
    run = np.searchsorted(ordered, following, side="right") / size - high
    above, below = np.ceil(low) - high, high - np.round(high)
    distance = np.where(above <= 0, 0, np.minimum(above, np.abs(below)))
    return float(distance[run <= 0.1].max(initial=0.0))


def _codes(values: np.ndarray) -> Row:
    summaries = ColumnSummaries.of(values, SCALAR_COLUMNS)
    tokenizer = ScalarTokenizer.fit(summaries, SCALAR_COLUMNS, N_BINS)
    if not np.array_equal(tokenizer.encode(values), _searched(tokenizer, values)):
        raise SystemExit("scalar encoding: codes differ from those of np.searchsorted")
    pair = paired(lambda: tokenizer.encode(values), lambda: _searched(tokenizer, values))
    return Row(
        "scalar encoding", f"codes of {N_ROWS} rows of {len(SCALAR_COLUMNS)} columns, identical",
        "np.searchsorted column by column", pair.ratio, mark=8, detail=f"{pair}, one thread each",
    )  # fmt: skip


def _searched(tokenizer: ScalarTokenizer, values: np.ndarray) -> np.ndarray:
    codes = np.full(values.shape, MISSING_CODE, np.uint16)
    for i, used in enumerate(tokenizer.n_codes.tolist()):
        known = np.isfinite(values[:, i])
        codes[known, i] = np.searchsorted(tokenizer.edges[i, 1:used], values[known, i])
    return codes
