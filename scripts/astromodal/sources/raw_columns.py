"""Values of raw columns as columns of a cube: exact, in the cube's unit, null where missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.data.values import in_unit, is_sentinel
from astromodal.errors import DataError, must_be
from astromodal.sources.raw_table import RawTable
from astromodal.sources.table_formats import NULLS

_EXACT: Final = 2.0**53
"""Whole numbers below this are exact as float64."""


@dataclass(frozen=True)
class RawColumn:
    """Some rows of a column of a raw file.

    Attributes
    ----------
    source : str
        Name of the source.
    table : RawTable
        The file.
    name : str
        Name of the column.
    values : pyarrow.ChunkedArray
        Its values.
    start : int
        Row in the file of the first value.
    """

    source: str
    table: RawTable
    name: str
    values: pa.ChunkedArray
    start: int

    def error(self, must: str, got: str, do: str | None = None) -> DataError:
        """Return an error that names file and column."""
        what = f"source {self.source}: {self.table.path}: column {self.name!r}"
        return DataError(must_be(what, must, got, do))

    def plain(self, element: int | None = None) -> pa.Array:
        """Return the values as one array without dictionaries; one element of each list.

        Raises
        ------
        DataError
            If a list has no such element, or the column has lists and no element is named.
        """
        values = self.values.combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # of columns without rows
            values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.nulls(0)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
            values = values.cast(pa.string())
        if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
            values = values.cast(pa.string())
        return (
            values if element is None and not _is_list(values) else self._element(values, element)
        )

    def _element(self, values: pa.Array, element: int | None) -> pa.Array:
        if pa.types.is_string(values.type):
            values = _lists(values)
        if element is None:
            do = "name one of its values in the rule's element"
            raise self.error("a column of single values", "lists", do)
        if not _is_list(values):
            must = f"a column of lists, of which value {element} is read"
            raise self.error(must, f"{values.type}", "leave out the rule's element")
        lengths = pc.list_value_length(values)
        short = pc.fill_null(pc.less_equal(lengths, element), False).to_numpy(zero_copy_only=False)
        if short.any():
            place = int(np.flatnonzero(short)[0])
            got = f"{lengths[place].as_py()} in row {self.start + place}"
            raise self.error(f"lists of more than {element} values", got)
        return pc.list_element(values, element)


def numbers(
    column: RawColumn,
    unit: str | None = None,
    name: str | None = None,
    sentinels: Sequence[float] = (),
    element: int | None = None,
) -> np.ndarray:
    """Return a raw column as numbers in the cube's unit.

    Parameters
    ----------
    column : RawColumn
        The column.
    unit : str, optional
        Unit of the result. Values are converted where the file states another unit.
    name : str, optional
        Column of the cube, which decides on what a logarithm is relative to.
    sentinels : sequence of float
        Values that stand for a missing one, in the unit of the file.
    element : int, optional
        Position of the value in a column of lists.

    Returns
    -------
    float64 (n,)
        NaN where the value is missing, a sentinel or not finite.

    Raises
    ------
    DataError
        If a value is no number, or its unit cannot be converted.
    """
    values = _floats(column, column.plain(element))
    missing = ~np.isfinite(values) | is_sentinel(values, np.asarray(sentinels, dtype=float))
    values = np.where(missing, np.nan, values)
    given = column.table.units.get(column.name)
    if unit is None or given is None:
        return values
    try:
        return np.asarray(in_unit(values, given, name or column.name, unit), dtype=np.float64)
    except ValueError as error:
        do = "correct the unit in the file, or the column's unit in a copy of the preset"
        raise column.error(f"in {unit} or a unit of the same kind", repr(given), do) from error


def whole_numbers(
    column: RawColumn, sentinels: Sequence[float] = (), element: int | None = None
) -> pa.Array:
    """Return a raw column as int64, exactly; null where missing or a sentinel.

    Raises
    ------
    DataError
        If a value is no whole number, or is a float that may have been rounded.
    """
    values = column.plain(element)
    try:
        whole = values.cast(pa.int64())
    except pa.ArrowInvalid:
        whole = None
    if whole is None or pa.types.is_floating(values.type):
        whole = _of_floats(column, _floats(column, values))
    if sentinels:
        whole = pc.if_else(pc.is_in(whole, pa.array([int(s) for s in sentinels])), None, whole)
    return whole


def texts(column: RawColumn, prefix: str = "", element: int | None = None) -> pa.Array:
    """Return a raw column as text without spaces at its ends; null where missing or empty.

    Parameters
    ----------
    column : RawColumn
        The column.
    prefix : str
        Text before each value that does not begin with it.
    element : int, optional
        Position of the value in a column of lists.

    Raises
    ------
    DataError
        If the values are floats with a prefix: ids that were rounded.
    """
    values = column.plain(element)
    if prefix and pa.types.is_floating(values.type):
        do = "write the ids as whole numbers or text, which are exact"
        raise column.error("text or whole numbers", f"{values.type}", do)
    trimmed = _without_nulls(values.cast(pa.string()))
    if not prefix:
        return trimmed
    longer = pc.binary_join_element_wise(prefix, trimmed, "")
    return pc.if_else(pc.starts_with(trimmed, prefix), trimmed, longer)


def group_of(values: pa.Array, pattern: str) -> pa.Array:
    """Return the part of each text that the group of a pattern matches; null where none does."""
    expression = re.compile(pattern)
    found = [None if v is None else expression.search(v) for v in values.to_pylist()]
    return pa.array([match and match[1] for match in found], pa.string())


def content_digest(columns: Mapping[str, pa.Array], n: int) -> np.ndarray:
    """Return a hash of the values of each row, uint64 (n,).

    It is the sum of a hash of each value and its column's name, modulo 2^64. Null adds nothing, so
    neither the order of columns nor columns without a value matter.

    Parameters
    ----------
    columns : mapping of str to pyarrow.Array
        Columns of numbers or text.
    n : int
        Number of rows.
    """
    total = np.zeros(n, dtype=np.uint64)
    for name, values in columns.items():
        known = pc.is_valid(values).to_numpy(zero_copy_only=False)
        salt = pd.util.hash_array(np.array([name], dtype=object))[0]
        with np.errstate(over="ignore"):
            total += np.where(known, pd.util.hash_array(_bits(values) + salt), np.uint64(0))
    return total


def _bits(values: pa.Array) -> np.ndarray:
    """Return 64 bits of each value: the same for equal numbers of the same kind; 0 for null."""
    if pa.types.is_string(values.type):
        plain = np.asarray(values.fill_null("").to_pylist(), dtype=object)
        return np.asarray(pd.util.hash_array(plain, categorize=False))
    if pa.types.is_integer(values.type):
        return values.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    plain = values.fill_null(0.0).to_numpy(zero_copy_only=False).astype(np.float64)
    return (plain + 0.0).view(np.uint64)  # -0.0 becomes 0.0


def _is_list(values: pa.Array) -> bool:
    kind = values.type
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _lists(values: pa.Array) -> pa.Array:
    """Return texts such as ``[1,2]``, ``(1, 2)`` and ``1 2`` as lists of texts."""
    bare = pc.replace_substring_regex(values, r"[\[\](){}\"]", "")
    return pc.split_pattern_regex(pc.utf8_trim_whitespace(bare), r"\s*,\s*|\s+")


def _floats(column: RawColumn, values: pa.Array) -> np.ndarray:
    """Return values as float64 (n,); NaN where null."""
    if pa.types.is_string(values.type):
        values = _without_nulls(values)
    try:
        plain = values.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        got = " ".join(str(error).split()[:20])
        raise column.error("a column of numbers", got) from error
    return np.asarray(plain.fill_null(np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def _without_nulls(values: pa.Array) -> pa.Array:
    """Return texts without spaces at their ends; null where they stand for a missing value."""
    trimmed = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.is_in(trimmed, pa.array(NULLS)), None, trimmed)


def _of_floats(column: RawColumn, values: np.ndarray) -> pa.Array:
    """Return floats as int64, after a check that they are whole and cannot have been rounded."""
    missing = ~np.isfinite(values)
    plain = np.where(missing, 0.0, values)
    wrong = (plain != np.round(plain)) | (np.abs(plain) >= _EXACT)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        must = "whole numbers, or floats below 2^53 without a fraction"
        got = f"{float(plain[place])!r} in row {column.start + place}"
        raise column.error(must, got, "write ids as whole numbers or text, which are exact")
    return pa.array(plain.astype(np.int64), mask=missing)
