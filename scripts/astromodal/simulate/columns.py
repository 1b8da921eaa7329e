"""Arrays into parquet columns, with the nulls that real datacubes have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

LEFT_NAN = 0.01
"""Share of missing numbers that stay NaN instead of null, as some tools write them."""


def nullable(values: np.ndarray, rng: np.random.Generator) -> pa.Array:
    """A column of `values` (n,) whose missing ones are null, but for a few that stay NaN."""
    missing = np.isnan(values)
    return pa.array(values, mask=missing & (rng.uniform(size=len(values)) >= LEFT_NAN))


def exact(values: np.ndarray) -> pa.Array:
    """A column of `values` (n,) whose missing ones are all null."""
    return pa.array(values, mask=np.isnan(values))


def places(rows: np.ndarray, n: int) -> np.ndarray:
    """Where each of `n` rows stands in `rows`, int64 (n,); -1 where it does not."""
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    return place


def spread(values: Sequence[object], place: np.ndarray, kind: pa.DataType) -> pa.Array:
    """A column that holds ``values[place]``, and null where `place` is negative."""
    listed = list(values)
    return pa.array([listed[k] if k >= 0 else None for k in place.tolist()], kind)


def ragged(values: np.ndarray, place: np.ndarray) -> pa.Array:
    """A float32 list column of the rows ``values[place]``, null where `place` is negative."""
    present = place >= 0
    flat = np.ascontiguousarray(values[place[present]], dtype=np.float32).ravel()
    return lists(flat, np.where(present, values.shape[1], 0), present)


def lists(flat: np.ndarray, length: np.ndarray, present: np.ndarray) -> pa.Array:
    """A float32 list column of `length` (n,) values each, one after the other in `flat`."""
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(flat, pa.float32()), mask=pa.array(~present)
    )
