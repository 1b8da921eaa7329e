"""Columns that a model reads, and conversion of Arrow columns to those of a cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.config.inputs import ColumnSettings
from astromodal.config.schema import (
    Config,
    ImageSettings,
    ScalarSettings,
    SelectionSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.data.columns import cube_columns
from astromodal.data.parquet import is_list
from astromodal.data.values import in_unit
from astromodal.surveys.registry import spectrum_group

if TYPE_CHECKING:
    from astromodal.sequences.tokenizers import Tokenizers


class Kind(Enum):
    """Kind of a column, in the words of error messages."""

    ID = "a column of text, bytes or whole numbers"
    NUMBER = "a column of numbers"
    LIST = "a column of lists or arrays of numbers"
    TEXT = "a column of text, or of lists or arrays of numbers"
    FLAG = "a column of flags, text or numbers"


_KINDS = {
    "id": Kind.ID,
    "number": Kind.NUMBER,
    "list": Kind.LIST,
    "list or text": Kind.TEXT,
    "flag": Kind.FLAG,
}
"""Kinds of table columns by the kind of cube column (`astromodal.data.columns`)."""


class UnfitError(Exception):
    """A column has the wrong kind or unit; the caller adds the name of the table."""

    def __init__(self, must: str, got: str, do: str | None = None) -> None:
        super().__init__(must, got, do)
        self.must, self.got, self.do = must, got, do


@dataclass(frozen=True)
class Expected:
    """A column that a model reads.

    Attributes
    ----------
    name : str
        The column's name.
    kind : Kind
        Kind of its values.
    unit : str, optional
        Unit of its numbers; empty for none, None if unknown.
    group : str
        Columns of one group are parts of one measurement.
    """

    name: str
    kind: Kind
    unit: str | None
    group: str

    def converted(self, values: np.ndarray, unit: Any) -> np.ndarray:
        """Convert values from their unit to the expected one.

        Raises
        ------
        UnfitError
            If the units cannot be converted.
        """
        if unit is None or self.unit is None:
            return values
        try:
            return in_unit(values, unit, self.name, self.unit)
        except (ValueError, TypeError) as error:
            must = f"in {self.unit}" if self.unit else "without a unit"
            reason = str(error).partition(" If this is")[0]
            do = "convert it, or give plain numbers in that unit"
            raise UnfitError(must, f"{str(unit) or 'no unit'} ({reason})", do) from error


def columns_read(tokenizers: Tokenizers, columns: ColumnSettings) -> dict[str, Expected]:
    """Return the columns that encoding reads, by name; all but the id may be absent.

    Parameters
    ----------
    tokenizers : Tokenizers
        Tokenizers, which have names of scalar columns, spectrum groups and bands.
    columns : ColumnSettings
        Names of the columns that identify and place a source, and of flags.
    """
    groups = tokenizers.spectrum.groups
    settings = TokenizerSettings(
        scalar=ScalarSettings(columns=tokenizers.scalar.columns),
        spectrum=SpectrumSettings(groups=tuple(groups)),
        image=ImageSettings(bands=tokenizers.image.bands, size=tokenizers.image.autoencoder.size),
    )
    everything = SelectionSettings(column=None)
    config = Config(columns=columns, selection=everything, tokenizers=settings)
    together = {name: group for group in groups for name in spectrum_group(group).coded_columns}
    return {
        column.name: Expected(
            column.name, _KINDS[column.kind], column.unit, together.get(column.name, column.name)
        )
        for modality, own in cube_columns(config).items()
        for column in own
        # Codes do not depend on other columns.
        if modality != "labels" and column.setting
        if modality != "spectra" or column.name in together
    }


PADDING = b" \0"
"""Characters that pad a text of fixed width."""
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
    """Convert an Arrow column to that of a cube.

    Dictionaries are decoded, nested lists are flattened row-major, padding after bytes is removed,
    and empty texts become null.

    Raises
    ------
    UnfitError
        If its values are not of `kind`.
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
    """Return a column of n missing values; ids are text even if there are no rows."""
    return pa.nulls(n, pa.large_string() if kind is Kind.ID else pa.null())


def present(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of ids after a check that every row has one.

    Raises
    ------
    UnfitError
        If a row has no id.
    """
    if column.null_count:
        first = pc.index(column.is_valid(), False).as_py()
        got = f"{column.null_count} of {len(column)} rows not, from row {first} on"
        raise UnfitError("present in every row", got, "leave out the rows without one")
    return column


def _decoded(array: pa.Array) -> pa.Array:
    """Decode dictionary-encoded, run-end-encoded and extension arrays."""
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
    """Convert columns of Gaia XP, which hold numbers as text or as lists."""
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
        )  # pandas stores a column of missing lists as NaN
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
    """Return the offsets of lists in their concatenated values, int64 (n + 1,)."""
    sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
