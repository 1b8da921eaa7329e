"""Digests of a cube's columns, which depend on their values alone.

The bytes of the file do not matter: the same table has the same digests when it is copied, or
written by another program, with another compression or in other row groups. A null number and a
NaN have the same digest, since both are missing values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.data.cube import Cube
from astromodal.data.parquet import is_list, is_number

if TYPE_CHECKING:
    from hashlib import _Hash

ABSENT: Final = "absent"
"""Digest of a column that a cube lacks."""
DIGEST_LENGTH = 32
_ROWS, _ROWS_OF_LISTS = 65_536, 256  # rows in memory at a time
_COLUMNS = 64  # columns of numbers in memory at a time


def column_digests(cube: Cube, names: Iterable[str]) -> dict[str, str]:
    """Compute the digests of some columns, a slice of rows at a time.

    Parameters
    ----------
    cube : Cube
        The field's datacube.
    names : iterable of str
        Columns; the digest of a column that the cube lacks is `ABSENT`.

    Returns
    -------
    dict
        The first 32 hexadecimal digits of a SHA-256 over type, nulls, lengths and values, by
        column.
    """
    digests = dict.fromkeys(names, ABSENT)
    present = {name: cube.dtype(name) for name in digests if name in cube.columns}
    numbers = [name for name, kind in present.items() if is_number(kind)]
    for first in range(0, len(numbers), _COLUMNS):
        digests |= _digests(cube, numbers[first : first + _COLUMNS], _ROWS)
    for name, kind in present.items():
        if not is_number(kind):
            digests |= _digests(cube, [name], _ROWS_OF_LISTS if is_list(kind) else _ROWS)
    return digests


def _digests(cube: Cube, names: Sequence[str], rows: int) -> dict[str, str]:
    """Return the digests of columns that are read together, `rows` rows at a time."""
    streams: dict[str, dict[str, _Hash]] = {name: {} for name in names}
    for piece in cube.slices(names, rows):
        for name, column in zip(names, piece.table.columns, strict=True):
            _add(streams[name], "", column)
    return {name: _digest(cube.n_rows, places) for name, places in streams.items()}


def _digest(n_rows: int, streams: Mapping[str, _Hash]) -> str:
    whole = hashlib.sha256(str(n_rows).encode())
    for place in sorted(streams):
        whole.update(place.encode() + streams[place].digest())
    return whole.hexdigest()[:DIGEST_LENGTH]


def _add(streams: dict[str, _Hash], place: str, column: Any) -> None:
    """Add the values of an Arrow array, and of the arrays inside it, to their streams.

    Lengths, nulls and values form separate streams, at each depth of the lists. So the digest does
    not depend on how the rows are sliced.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if is_list(kind):
        _stream(streams, f"{place} lists").update(_lengths(pc.list_value_length(column)))
        _add(streams, f"{place}[]", column.flatten())
    elif pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False)
        gaps = np.isnan(values)
        if gaps.any():
            values = np.where(gaps, values.dtype.type(np.nan), values)
        _stream(streams, f"{place} {values.dtype.str}").update(_buffer(values))
    elif pa.types.is_integer(kind):
        values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
        valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
        _stream(streams, f"{place} nulls").update(_buffer(valid))
        _stream(streams, f"{place} {values.dtype.str}").update(_buffer(values))
    elif pa.types.is_null(kind):
        pass  # the number of rows is part of every digest
    else:
        _add_text(streams, place, column)


def _add_text(streams: dict[str, _Hash], place: str, column: Any) -> None:
    """Add text and bytes by their bytes, and values of any other type as text."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        column = pc.cast(column, pa.large_binary())
    elif not pa.types.is_large_binary(kind):
        printed = [None if value is None else str(value) for value in column.to_pylist()]
        column = pa.array(printed, pa.large_string()).cast(pa.large_binary())
    _stream(streams, f"{place} texts").update(_lengths(pc.binary_length(column)))
    _stream(streams, f"{place} bytes").update(b"".join(column.drop_null().to_pylist()))


def _stream(streams: dict[str, _Hash], name: str) -> _Hash:
    return streams.setdefault(name, hashlib.sha256())


def _lengths(counted: Any) -> memoryview:
    """Return lengths as bytes of int64; -1 where null."""
    return _buffer(pc.fill_null(pc.cast(counted, pa.int64()), -1).to_numpy(zero_copy_only=False))


def _buffer(values: np.ndarray) -> memoryview:
    return np.ascontiguousarray(values).data
