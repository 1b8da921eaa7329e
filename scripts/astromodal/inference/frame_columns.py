"""Conversion of columns of pandas, astropy, NumPy and Arrow to the Arrow columns of a cube.

The conversion depends on the kind of values that the model expects: ids, numbers, lists of numbers,
or text. Masked, null and None values are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from astromodal.inference.frame_values import (
    PADDING,
    Expected,
    Kind,
    UnfitError,
    arrow_column,
    nothing,
    present,
)

_WHOLE = (Kind.ID, Kind.FLAG)
"""Kinds of text columns that may hold whole numbers."""


@dataclass(frozen=True)
class Converted:
    """A converted column; `void`, bool (n,), marks rows that are masked or NaN throughout."""

    column: pa.ChunkedArray
    void: np.ndarray | None = None


def convert(values: Any, expected: Expected, unit: Any = None) -> Converted:
    """Convert a column of a table to that of a cube.

    Parameters
    ----------
    values : array, masked array, Quantity, Series, Arrow array or sequence
        One value per row.
    expected : Expected
        The column that the model expects.
    unit : astropy unit or str, optional
        Unit of the values, if they have no attribute `unit`.

    Raises
    ------
    UnfitError
        If the values are of another kind or unit.
    """
    values, kind = _unwrapped(values), expected.kind
    if isinstance(values, pa.ChunkedArray | pa.Array):
        converted = Converted(arrow_column(values, kind))
    else:
        unit = getattr(values, "unit", None) if unit is None else unit
        array, mask = _parts(values)
        if array.ndim == 0:
            raise UnfitError("a column of one value per row", _shown(values))
        if kind is Kind.NUMBER or (kind is Kind.FLAG and array.dtype.kind in "iuf"):
            converted = Converted(_numbers(array, mask, expected, unit))
        elif kind is Kind.LIST or (kind is Kind.TEXT and _holds_lists(array)):
            converted = _lists(array, mask, expected, unit)
        else:
            converted = Converted(_texts(array, mask, kind))
    if kind is Kind.ID:
        present(converted.column)
    return converted


def is_a(value: Any, package: str, name: str) -> bool:
    """Return whether a value is of a class of a package, without importing the package."""
    return any(
        each.__name__ == name and each.__module__.partition(".")[0] == package
        for each in type(value).__mro__
    )


def _unwrapped(values: Any) -> Any:
    """Convert pandas values to NumPy or Arrow arrays, and sequences to arrays of objects."""
    if is_a(values, "pandas", "Series") or is_a(values, "pandas", "Index"):
        values = values.to_numpy() if isinstance(values.dtype, np.dtype) else values.array
    if is_a(values, "pandas", "ExtensionArray"):
        try:
            values = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
            values = np.asarray(values, dtype=object)
    if isinstance(values, list | tuple):
        values = _objects(values)
    return values


def _objects(values: Any) -> np.ndarray:
    """Convert a sequence to an array of objects (n,) of any shapes."""
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _parts(values: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return values as a plain array, and their mask or None."""
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        if values.mask is not np.ma.nomask:
            mask = np.ma.getmaskarray(values)
        return np.asarray(np.ma.getdata(values)), mask
    if hasattr(values, "unmasked") and hasattr(values, "mask"):  # astropy's Masked classes
        values, mask = values.unmasked, np.asarray(values.mask)
    if isinstance(values, str | bytes):
        return np.asarray(None, dtype=object), None
    padded = is_a(values, "numpy", "chararray") or is_a(values, "astropy", "chararray")
    array = np.asarray(values)
    if array.dtype.kind == "T":
        array = array.astype(object)
    return (np.strings.rstrip(array) if padded else array), mask


def _numbers(
    array: np.ndarray, mask: np.ndarray | None, expected: Expected, unit: Any
) -> pa.ChunkedArray:
    """Convert a column of numbers to float64, NaN where missing."""
    if array.ndim > 1:
        raise UnfitError(Kind.NUMBER.value, f"arrays of shape {array.shape[1:]}")
    if array.dtype == object:
        numbers = np.full(len(array), np.nan)
        for i, cell in _cells(array, mask):
            numbers[i] = _number(cell, expected, f" in row {i}")
    elif array.dtype.kind in "iuf":
        with np.errstate(over="ignore"):  # of a longer float type
            numbers = array.astype(np.float64)
        if mask is not None:
            numbers[mask] = np.nan
    elif len(array):
        raise UnfitError(Kind.NUMBER.value, str(array.dtype))
    else:
        numbers = np.empty(0)
    return pa.chunked_array([pa.array(expected.converted(numbers, unit))])


def _number(cell: Any, expected: Expected, where: str) -> float:
    """Convert one number of a column of objects."""
    try:
        unit, (value, mask) = getattr(cell, "unit", None), _parts(cell)
        if value.ndim == 0 and value.dtype.kind in "iufO":
            if mask is not None and mask.any():
                return np.nan
            number = value[()]
            if not isinstance(number, str | bytes | bool):
                return float(expected.converted(np.asarray(float(number)), unit))
    except (TypeError, ValueError, OverflowError):
        pass  # not a number
    raise UnfitError(Kind.NUMBER.value, _shown(cell) + where)


def _texts(array: np.ndarray, mask: np.ndarray | None, kind: Kind) -> pa.ChunkedArray:
    """Convert a column of text or ids; empty texts are missing."""
    must = kind.value
    if array.ndim > 1:
        raise UnfitError(must, f"arrays of shape {array.shape[1:]}")
    if array.dtype.kind in "iu" and kind is Kind.ID:
        column = pa.array(array.astype(array.dtype.newbyteorder("=")), mask=mask)
    elif array.dtype.kind in "SU":
        native = array.astype(array.dtype.newbyteorder("="))
        if native.dtype.kind == "S":
            native = np.strings.rstrip(native, PADDING)
        missing = native == native.dtype.type()
        column = pa.array(native, mask=missing if mask is None else missing | mask)
    elif array.dtype == object:
        texts: list[str | None] = [None] * len(array)
        for i, cell in _cells(array, mask):
            texts[i] = _text(cell, kind, i)
        column = pa.array(texts, pa.large_string())
    elif _all_missing(array, mask):
        column = nothing(len(array), kind)
    else:
        do = "give them as text or as integers: floats may round them" if kind is Kind.ID else None
        raise UnfitError(must, str(array.dtype), do)
    return pa.chunked_array([column])


def _text(cell: Any, kind: Kind, row: int) -> str | None:
    """Convert one text or id of a column of objects; return None if it is empty."""
    if isinstance(cell, bytes | bytearray):
        try:
            return bytes(cell).rstrip(PADDING).decode() or None
        except UnicodeDecodeError as error:
            raise UnfitError("UTF-8 text", f"{_shown(cell)} in row {row}") from error
    if isinstance(cell, int | np.integer) and not isinstance(cell, bool) and kind in _WHOLE:
        return str(int(cell))
    if not isinstance(cell, str):
        raise UnfitError(kind.value, f"{_shown(cell)} in row {row}")
    return cell or None


def _lists(array: np.ndarray, mask: np.ndarray | None, expected: Expected, unit: Any) -> Converted:
    """Convert a column of lists: one list per cell, or an array with one list per row."""
    if array.dtype == object:
        return _listed(array, mask, expected, unit)
    if array.ndim == 1:
        if _all_missing(array, mask):
            return Converted(pa.chunked_array([pa.nulls(len(array))]))
        raise UnfitError(Kind.LIST.value, str(array.dtype))
    n, size = len(array), int(np.prod(array.shape[1:]))
    flat, void = _floats(array.reshape(n, size), None if mask is None else mask.reshape(n, size))
    if size:
        void |= np.isnan(flat).all(axis=1)
    flat = expected.converted(flat, unit)
    return Converted(_large_lists(flat.ravel(), np.full(n, size), void), void)


def _listed(array: np.ndarray, mask: np.ndarray | None, expected: Expected, unit: Any) -> Converted:
    """Convert a column with a list or array per cell; arrays are flattened row-major."""
    n = len(array)
    if array.ndim > 1 and mask is not None:
        array = _emptied(array, mask)
    pieces, sizes, missing = [], np.zeros(n, np.int64), np.ones(n, bool)
    void = np.zeros(n, bool)
    for i, cell in _cells(array, mask):
        values, void[i] = _list(cell, expected, unit, f" in row {i}")
        pieces.append(values)
        sizes[i], missing[i] = len(values), void[i]
    if not pieces:
        return Converted(pa.chunked_array([pa.nulls(n)]))
    return Converted(_large_lists(np.concatenate(pieces), sizes, missing), void)


def _list(cell: Any, expected: Expected, unit: Any, where: str) -> tuple[np.ndarray, bool]:
    """Convert one list to floats, NaN where missing; return also whether all of it is masked."""
    if isinstance(cell, pa.Array | pa.ChunkedArray):
        cell = cell.to_pylist()
    try:
        own = getattr(cell, "unit", None)
        array, mask = _parts(_plain_list(cell))
        if array.dtype == object and array.ndim:
            if mask is not None:
                array, mask = _emptied(array, mask), None
            inner = [_inner(each, expected, where) for each in array.ravel()]
            array = np.concatenate(inner) if inner else np.empty(0)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnfitError(Kind.LIST.value, _shown(cell) + where) from error
    if array.ndim == 0 or array.dtype.kind not in "iuf":
        raise UnfitError(Kind.LIST.value, _shown(cell) + where)
    flat, void = _floats(array.reshape(1, -1), None if mask is None else mask.reshape(1, -1))
    return expected.converted(flat[0], unit if own is None else own), bool(void[0])


def _emptied(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Convert to an array of objects, None where masked."""
    emptied = array.copy()
    emptied[mask] = None
    return emptied


def _inner(cell: Any, expected: Expected, where: str) -> np.ndarray:
    """Convert one element of a list, which may be a list itself."""
    if _is_missing(cell):
        return np.full(1, np.nan)
    if isinstance(cell, list | tuple) or np.ndim(cell):
        return _list(cell, expected, None, where)[0]
    return np.full(1, _number(cell, expected, where))


def _plain_list(cell: Any) -> Any:
    """Convert a list to an array of numbers if it holds only numbers, otherwise of objects."""
    if not isinstance(cell, list | tuple):
        return cell
    if any(type(each) not in (float, int) for each in cell):
        return _objects(cell)
    return np.asarray(cell, dtype=np.float64)


def _floats(array: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Convert rows (n, L) to float32 or float64, NaN where masked; return all-masked rows, (n,)."""
    if array.dtype.kind not in "iuf":
        raise UnfitError(Kind.LIST.value, f"arrays of {array.dtype}")
    small = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    copy = mask is not None and bool(mask.any())
    with np.errstate(over="ignore"):  # of a longer float type
        numbers = array.astype(np.float32 if small else np.float64, copy=copy)
    if not copy or mask is None:
        return numbers, np.zeros(len(array), bool)
    numbers[mask] = np.nan
    return numbers, mask.all(axis=1) & (mask.shape[1] > 0)


def _large_lists(values: np.ndarray, sizes: np.ndarray, missing: np.ndarray) -> pa.ChunkedArray:
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    mask = pa.array(missing) if missing.any() else None
    lists = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values), mask=mask)
    return pa.chunked_array([lists])


def _cells(array: np.ndarray, mask: np.ndarray | None) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each row of an array of objects that is not missing."""
    for i, cell in enumerate(array):
        masked = mask is not None and mask[i].all()
        if not masked and not _is_missing(cell):
            yield i, cell


def _is_missing(cell: Any) -> bool:
    """Return whether a value is missing: None, NaN, masked, or NA or NaT of pandas."""
    if cell is None or cell is np.ma.masked or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def _all_missing(array: np.ndarray, mask: np.ndarray | None) -> bool:
    """Return whether all values are missing: the dtype is then that of the fill value."""
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)
    return bool((missing if mask is None else missing | mask).all())


def _holds_lists(array: np.ndarray) -> bool:
    """Return whether a column of text or lists holds lists, judged by its first value."""
    if array.ndim > 1 or array.dtype != object:
        return array.ndim > 1
    first = next((cell for _, cell in _cells(array, None)), None)
    return isinstance(first, list | tuple | np.ndarray | pa.Array)


def _shown(value: Any) -> str:
    """Return a value as an error message shows it, cut to 40 characters."""
    return f"{value!r:.40} ({type(value).__name__})"
