"""Columns of whatever kind of frame, as the Arrow columns that a cube has.

A column is converted by what the model reads in it: ids, numbers, lists of numbers, or texts. What
is masked, null or None is missing. Nothing here knows what frame a column is from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from astromodal.inference.frame_values import (
    PADDING,
    Kind,
    UnfitError,
    Wanted,
    arrow_column,
    nothing,
    present,
)

_WHOLE = (Kind.ID, Kind.FLAG)
"""Texts that may be whole numbers."""


@dataclass(frozen=True)
class Found:
    """A converted column, and which rows are wholly masked or NaN, bool (n,), if that is known."""

    column: pa.ChunkedArray
    void: np.ndarray | None = None


def convert(values: Any, wanted: Wanted, unit: Any = None) -> Found:
    """A column of a frame as a cube has it.

    Parameters
    ----------
    values : array, masked array, Quantity, Series, Arrow array or sequence
        One value a row.
    wanted : Wanted
        What is read in it.
    unit : astropy unit or str, optional
        Its unit, where `values` does not say.

    Raises
    ------
    UnfitError
        Where it holds something else.
    """
    values = _unwrapped(values)
    if isinstance(values, pa.ChunkedArray | pa.Array):
        found = Found(arrow_column(values, wanted.kind))
    else:
        unit = getattr(values, "unit", None) if unit is None else unit
        array, mask = _parts(values)
        if array.ndim == 0:
            raise UnfitError("a column of one value a row", _shown(values))
        if wanted.kind is Kind.NUMBER or (wanted.kind is Kind.FLAG and array.dtype.kind in "iuf"):
            found = Found(_numbers(array, mask, wanted, unit))
        elif wanted.kind is Kind.LIST or (wanted.kind is Kind.TEXT and _holds_lists(array)):
            found = _lists(array, mask, wanted, unit)
        else:
            found = Found(_texts(array, mask, wanted.kind))
    if wanted.kind is Kind.ID:
        present(found.column)
    return found


def is_a(value: Any, package: str, name: str) -> bool:
    """Whether a value is of a class of a package, which is not imported to find out."""
    return any(
        each.__name__ == name and each.__module__.partition(".")[0] == package
        for each in type(value).__mro__
    )


def _unwrapped(values: Any) -> Any:
    """A pandas Series or array as numpy's or Arrow's; sequences as arrays of objects."""
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
    """A sequence as an array of objects (n,), whatever their shapes are."""
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _parts(values: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Values as a plain array, and their mask, if they have one."""
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        if values.mask is not np.ma.nomask:
            mask = np.ma.getmaskarray(values)
        return np.asarray(np.ma.getdata(values)), mask
    if hasattr(values, "unmasked") and hasattr(values, "mask"):  # those of astropy
        values, mask = values.unmasked, np.asarray(values.mask)
    if isinstance(values, str | bytes):
        return np.asarray(None, dtype=object), None
    padded = is_a(values, "numpy", "chararray") or is_a(values, "astropy", "chararray")
    array = np.asarray(values)
    if array.dtype.kind == "T":
        array = array.astype(object)
    return (np.strings.rstrip(array) if padded else array), mask


def _numbers(
    array: np.ndarray, mask: np.ndarray | None, wanted: Wanted, unit: Any
) -> pa.ChunkedArray:
    """A column of numbers, float64; NaN where missing."""
    if array.ndim > 1:
        raise UnfitError(Kind.NUMBER.value, f"arrays of shape {array.shape[1:]}")
    if array.dtype == object:
        found = np.full(len(array), np.nan)
        for i, cell in _cells(array, mask):
            found[i] = _number(cell, wanted, f" in row {i}")
    elif array.dtype.kind in "iuf":
        with np.errstate(over="ignore"):  # of a longer float
            found = array.astype(np.float64)
        if mask is not None:
            found[mask] = np.nan
    elif len(array):
        raise UnfitError(Kind.NUMBER.value, str(array.dtype))
    else:
        found = np.empty(0)
    return pa.chunked_array([pa.array(wanted.converted(found, unit))])


def _number(cell: Any, wanted: Wanted, where: str) -> float:
    """One number among objects."""
    try:
        unit, (value, mask) = getattr(cell, "unit", None), _parts(cell)
        if value.ndim == 0 and value.dtype.kind in "iufO":
            if mask is not None and mask.any():
                return np.nan
            number = value[()]
            if not isinstance(number, str | bytes | bool):
                return float(wanted.converted(np.asarray(float(number)), unit))
    except (TypeError, ValueError, OverflowError):
        pass  # no number
    raise UnfitError(Kind.NUMBER.value, _shown(cell) + where)


def _texts(array: np.ndarray, mask: np.ndarray | None, kind: Kind) -> pa.ChunkedArray:
    """A column of text, or of ids; empty texts are missing."""
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
    """One text or id among objects; None where it is empty."""
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


def _lists(array: np.ndarray, mask: np.ndarray | None, wanted: Wanted, unit: Any) -> Found:
    """A column of lists: of cells that hold one each, or an array whose rows are the lists."""
    if array.dtype == object:
        return _listed(array, mask, wanted, unit)
    if array.ndim == 1:
        if _all_missing(array, mask):
            return Found(pa.chunked_array([pa.nulls(len(array))]))
        raise UnfitError(Kind.LIST.value, str(array.dtype))
    n, size = len(array), int(np.prod(array.shape[1:]))
    flat, void = _floats(array.reshape(n, size), None if mask is None else mask.reshape(n, size))
    if size:
        void |= np.isnan(flat).all(axis=1)
    flat = wanted.converted(flat, unit)
    return Found(_large_lists(flat.ravel(), np.full(n, size), void), void)


def _listed(array: np.ndarray, mask: np.ndarray | None, wanted: Wanted, unit: Any) -> Found:
    """A column of cells that hold a list or an array each; of several dimensions, row-major."""
    n = len(array)
    if array.ndim > 1 and mask is not None:
        array = _emptied(array, mask)
    pieces, sizes, missing = [], np.zeros(n, np.int64), np.ones(n, bool)
    void = np.zeros(n, bool)
    for i, cell in _cells(array, mask):
        values, void[i] = _list(cell, wanted, unit, f" in row {i}")
        pieces.append(values)
        sizes[i], missing[i] = len(values), void[i]
    if not pieces:
        return Found(pa.chunked_array([pa.nulls(n)]))
    return Found(_large_lists(np.concatenate(pieces), sizes, missing), void)


def _list(cell: Any, wanted: Wanted, unit: Any, where: str) -> tuple[np.ndarray, bool]:
    """One list as floats, NaN where a value is missing, and whether it is wholly masked."""
    if isinstance(cell, pa.Array | pa.ChunkedArray):
        cell = cell.to_pylist()
    try:
        own = getattr(cell, "unit", None)
        array, mask = _parts(_plain_list(cell))
        if array.dtype == object and array.ndim:
            if mask is not None:
                array, mask = _emptied(array, mask), None
            inner = [_inner(each, wanted, where) for each in array.ravel()]
            array = np.concatenate(inner) if inner else np.empty(0)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnfitError(Kind.LIST.value, _shown(cell) + where) from error
    if array.ndim == 0 or array.dtype.kind not in "iuf":
        raise UnfitError(Kind.LIST.value, _shown(cell) + where)
    flat, void = _floats(array.reshape(1, -1), None if mask is None else mask.reshape(1, -1))
    return wanted.converted(flat[0], unit if own is None else own), bool(void[0])


def _emptied(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An array of objects, None where it is masked."""
    emptied = array.copy()
    emptied[mask] = None
    return emptied


def _inner(cell: Any, wanted: Wanted, where: str) -> np.ndarray:
    """Values of one element of a list, which may be a list again."""
    if _is_missing(cell):
        return np.full(1, np.nan)
    if isinstance(cell, list | tuple) or np.ndim(cell):
        return _list(cell, wanted, None, where)[0]
    return np.full(1, _number(cell, wanted, where))


def _plain_list(cell: Any) -> Any:
    """A list as an array of numbers where it holds nothing else, and of objects otherwise."""
    if not isinstance(cell, list | tuple):
        return cell
    if any(type(each) not in (float, int) for each in cell):
        return _objects(cell)
    return np.asarray(cell, dtype=np.float64)


def _floats(array: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, L) as native float32 or float64, masked values NaN; which are masked, bool (n,)."""
    if array.dtype.kind not in "iuf":
        raise UnfitError(Kind.LIST.value, f"arrays of {array.dtype}")
    small = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    copy = mask is not None and bool(mask.any())
    with np.errstate(over="ignore"):  # of a longer float
        found = array.astype(np.float32 if small else np.float64, copy=copy)
    if not copy or mask is None:
        return found, np.zeros(len(array), bool)
    found[mask] = np.nan
    return found, mask.all(axis=1) & (mask.shape[1] > 0)


def _large_lists(values: np.ndarray, sizes: np.ndarray, missing: np.ndarray) -> pa.ChunkedArray:
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    mask = pa.array(missing) if missing.any() else None
    lists = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values), mask=mask)
    return pa.chunked_array([lists])


def _cells(array: np.ndarray, mask: np.ndarray | None) -> Iterator[tuple[int, Any]]:
    """Rows of an array of objects that hold something, and what."""
    for i, cell in enumerate(array):
        masked = mask is not None and mask[i].all()
        if not masked and not _is_missing(cell):
            yield i, cell


def _is_missing(cell: Any) -> bool:
    """Whether one value stands for none: None, NaN, a masked one, those of pandas."""
    if cell is None or cell is np.ma.masked or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def _all_missing(array: np.ndarray, mask: np.ndarray | None) -> bool:
    """Whether a column holds no value: it then has the dtype of its filler."""
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)
    return bool((missing if mask is None else missing | mask).all())


def _holds_lists(array: np.ndarray) -> bool:
    """Whether a column that may hold texts holds lists instead, by its first value."""
    if array.ndim > 1 or array.dtype != object:
        return array.ndim > 1
    first = next((cell for _, cell in _cells(array, None)), None)
    return isinstance(first, list | tuple | np.ndarray | pa.Array)


def _shown(value: Any) -> str:
    """A value for an error, cut short."""
    return f"{value!r:.40} ({type(value).__name__})"
