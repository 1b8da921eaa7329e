"""Arrow columns of any type as the types that a cube is read in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.data.lists import is_list
from astromodal.inference.wanted import Kind, UnfitError

PADDING = b" \0"
"""What fills up a text of fixed width."""
_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def arrow_column(column: pa.Array | pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    """An Arrow column as a cube has it.

    Dictionaries are decoded, lists of lists are one list each, row-major; padding after bytes is
    left out, and an empty text is null.

    Raises
    ------
    UnfitError
        Where it holds something else than `kind` says.
    """
    if column.null_count == len(column):
        return pa.chunked_array([nothing(len(column), kind)])
    convert = {
        Kind.ID: _id,
        Kind.NUMBER: _number,
        Kind.LIST: _list,
        Kind.TEXT: _text,
        Kind.FLAG: _flag,
    }[kind]
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return pa.chunked_array([convert(_decoded(chunk)) for chunk in chunks])


def nothing(n: int, kind: Kind) -> pa.Array:
    """A column of missing values; ids are text even where there are no rows."""
    return pa.nulls(n, pa.large_string() if kind is Kind.ID else pa.null())


def present(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The ids, where every row has one.

    Raises
    ------
    UnfitError
        Where a row has none.
    """
    if column.null_count:
        first = pc.index(column.is_valid(), False).as_py()
        got = f"{column.null_count} of {len(column)} rows not, from row {first} on"
        raise UnfitError("present in every row", got, "leave out the rows without one")
    return column


def _decoded(array: pa.Array) -> pa.Array:
    """The values themselves of an array that stores them otherwise."""
    while True:
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        elif pa.types.is_run_end_encoded(array.type):
            array = pc.run_end_decode(array)
        elif isinstance(array, pa.ExtensionArray):
            array = array.storage
        else:
            return array


def _is(array: pa.Array, tests: tuple[Callable[[Any], bool], ...]) -> bool:
    return any(test(array.type) for test in tests)


def _number(array: pa.Array) -> pa.Array:
    if pa.types.is_decimal(array.type):
        return array.cast(pa.float64())
    if pa.types.is_float16(array.type):
        return array.cast(pa.float32())
    if _is(array, (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)):
        return array
    raise UnfitError(Kind.NUMBER.value, str(array.type))


def _id(array: pa.Array) -> pa.Array:
    if pa.types.is_integer(array.type):
        return array
    if pa.types.is_floating(array.type):
        do = "give them as text or as integers: floats may round them"
        raise UnfitError(Kind.ID.value, str(array.type), do)
    return _strings(array, Kind.ID)


def _text(array: pa.Array) -> pa.Array:
    """Texts of Gaia XP, whose numbers may stand in lists as well."""
    return _list(array) if _is(array, _LISTS) else _strings(array, Kind.TEXT)


def _flag(array: pa.Array) -> pa.Array:
    numeric = (pa.types.is_integer, pa.types.is_floating)
    return array if _is(array, numeric) else _strings(array, Kind.FLAG)


def _strings(array: pa.Array, kind: Kind) -> pa.Array:
    if _is(array, _BYTES):
        stripped = [None if v is None else v.rstrip(PADDING) for v in array.to_pylist()]
        array = pa.array(stripped, pa.large_binary())
    elif _is(array, _TEXTS):
        array = array.cast(pa.large_string())
    else:
        raise UnfitError(kind.value, str(array.type))
    return pc.if_else(pc.equal(pc.binary_length(array), 0), pa.scalar(None, array.type), array)


def _list(array: pa.Array) -> pa.Array:
    if is_list(array.type) and not pa.types.is_float16(array.type.value_type):
        return array
    if pa.types.is_floating(array.type) and pc.all(pc.is_nan(array)).as_py() is not False:
        return pa.LargeListArray.from_arrays(
            np.zeros(len(array) + 1, np.int64),
            pa.array([], pa.float64()),
            mask=pa.array(np.ones(len(array), bool)),
        )  # lists that are all missing, by what pandas makes of them
    if not _is(array, _LISTS):
        raise UnfitError(Kind.LIST.value, str(array.type))
    missing = array.is_null()
    ends, inner = _ends(array), _decoded(array.flatten())
    while _is(inner, _LISTS):
        ends, inner = _ends(inner)[ends], _decoded(inner.flatten())
    try:
        values = _number(inner)
    except UnfitError as error:
        raise UnfitError(Kind.LIST.value, str(array.type)) from error
    return pa.LargeListArray.from_arrays(pa.array(ends), values, mask=missing)


def _ends(lists: pa.Array) -> np.ndarray:
    """Where each list starts and ends among the values of all, int64 (n + 1,)."""
    sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
