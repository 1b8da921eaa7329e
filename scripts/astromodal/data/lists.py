"""List columns as flat arrays, without a loop over rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike


def lengths(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the lists of a column.

    Returns
    -------
    lengths : int64 (m,)
        Number of values a row; 0 where the list is null.
    valid : bool (m,)
        False where the list is null.
    """
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
    counted = pc.fill_null(pc.list_value_length(column), 0)
    return counted.to_numpy(zero_copy_only=False).astype(np.int64), valid


def flatten(
    column: pa.Array, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All values of a list column in one array.

    Parameters
    ----------
    column : pa.Array
        A list column of numbers, or a column of nulls, (m,).
    dtype : floating dtype
        Of the values; times of day 58,000 need float64.

    Returns
    -------
    values : dtype (sum of lengths,)
        Values of all rows in order; null values are NaN.
    lengths : int64 (m,)
        Number of values a row; 0 where the list is null.
    valid : bool (m,)
        False where the list is null.

    Raises
    ------
    TypeError
        Where the column holds no lists of numbers.
    """
    if pa.types.is_null(column.type):
        nothing = np.zeros(len(column), np.int64)
        return np.empty(0, dtype), nothing, nothing.astype(bool)
    if not is_list(column.type):
        raise TypeError(f"column must be of lists of numbers, got {column.type}")
    counts, valid = lengths(column)
    flat = pc.cast(_joined(column, int(counts.sum())), pa.from_numpy_dtype(dtype), safe=False)
    return flat.to_numpy(zero_copy_only=False), counts, valid


def _joined(column: pa.Array, total: int) -> pa.Array:
    """The `total` values of all lists: a view, but where nulls hide values between them."""
    if not pa.types.is_fixed_size_list(column.type) and len(column):
        first, last = column.offsets[0].as_py(), column.offsets[-1].as_py()
        if last - first == total:
            return column.values.slice(first, total)
    return column.flatten()


def gather(indptr: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the values of some lists stand among the values of all.

    Parameters
    ----------
    indptr : int64 (n + 1,)
        List i's values are ``indptr[i]`` to ``indptr[i + 1]``.
    chosen : int64 (m,)
        Numbers of the lists wanted, in the order wanted.

    Returns
    -------
    places : int64 (sum of lengths,)
        Places of their values, one list after another.
    indptr : int64 (m + 1,)
        The same for the lists that were chosen.
    """
    lengths = np.diff(indptr)[chosen]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.arange(ends[-1]) + np.repeat(indptr[:-1][chosen] - ends[:-1], lengths)
    return places, ends


def is_list(kind: pa.DataType) -> bool:
    """Whether `kind` is a list of numbers (or of nulls, in a column without a value)."""
    listed = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    if not listed:
        return False
    inner = kind.value_type
    return pa.types.is_floating(inner) or pa.types.is_integer(inner) or pa.types.is_null(inner)
