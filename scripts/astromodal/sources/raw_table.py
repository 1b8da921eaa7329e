"""What all formats of raw tables share: reading in batches, and errors of damaged files."""

from __future__ import annotations

import gzip
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from astromodal.errors import AstromodalError, DataError, machine_error, must_be, suggestion
from astromodal.sources.base import REPLACE, WARNINGS

ROWS: Final = 262_144
"""Most rows of a batch."""
_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20
_LONGEST = 300  # characters of a library's message in an error


class RawTable(ABC):
    """A table of a raw file, opened by `astromodal.sources.tables.open_table`.

    Attributes
    ----------
    path : Path
        The file.
    names : tuple of str
        Names of the columns, in the file's order.
    units : dict of str to str
        Units as the file states them, by column; a column without a unit is not in it.
    types : dict of str to pyarrow.DataType
        Types of columns as the file states them; a format of text without types has none.
    n_rows : int, optional
        Number of rows; None where the format does not state it.
    is_text : bool
        Whether values are text in the file, which columns without a stated type then are.
    """

    is_text: ClassVar[bool] = False
    n_rows: int | None = None

    def __init__(self, path: Path, source: str | None) -> None:
        self.path = path
        self._source = source
        self.names: tuple[str, ...] = ()
        self.units: dict[str, str] = {}
        self.types: dict[str, pa.DataType] = {}

    @abstractmethod
    def _read(
        self, columns: Sequence[str], rows: int, types: Mapping[str, pa.DataType]
    ) -> Iterator[pa.Table]:
        """Yield some columns in batches of any length; `types` are those that are wanted."""

    def batches(
        self,
        columns: Sequence[str],
        rows: int = ROWS,
        types: Mapping[str, pa.DataType] | None = None,
    ) -> Iterator[pa.Table]:
        """Yield some columns, a batch of rows at a time, in the file's order.

        Parameters
        ----------
        columns : sequence of str
            Names of the columns.
        rows : int
            Most rows of a batch.
        types : mapping of str to pyarrow.DataType, optional
            Types of columns that are not to have the type that the file states. Where a file
            states none, as CSV, the other columns are text: no number is guessed.

        Yields
        ------
        pyarrow.Table
            The columns in the order of `columns`. Missing values are null; NaN stays NaN.

        Raises
        ------
        DataError
            Where a column is missing or stands twice, a value is not of the type that is wanted,
            or the file is damaged.
        """
        self._check(columns)
        wanted = {name: kind for name, kind in (types or {}).items() if name in columns}
        with self.reading():
            for table in _rebatched(self._read(columns, rows, wanted), rows):
                yield _cast(table.select(list(columns)), wanted)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn any error of a library that reads the file into a `DataError` that names it."""
        with reading(self.path, self._source):
            yield

    def error(self, must: str, got: str, do: str = REPLACE) -> DataError:
        """Return an error that names the file, and its source where it is known."""
        return DataError(must_be(_named(self.path, self._source), must, got, do))

    def _check(self, columns: Sequence[str]) -> None:
        counts = Counter(self.names)
        for name in columns:
            what = f"{_named(self.path, self._source)}: column {name!r}"
            if name not in counts:
                raise DataError(
                    must_be(what, "in the file", "none of its columns")
                    + suggestion(name, self.names)
                )
            if counts[name] > 1:
                do = "rename one of the two"
                raise DataError(must_be(what, "in the file once", f"{counts[name]} times", do))


@contextmanager
def reading(path: Path, source: str | None = None) -> Iterator[None]:
    """Turn any error of a library that reads a raw file into a `DataError` that names the file."""
    try:
        yield
    except AstromodalError:
        raise
    except FileNotFoundError as error:
        raise DataError(must_be(_named(path, source), "a file", "none", REPLACE)) from error
    # Libraries raise errors of any type on damaged files, from IndexError to Warning.
    except Exception as error:
        if explained := machine_error(error):
            raise explained from error
        text = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        message = must_be(_named(path, source), "a file that can be read", text, REPLACE)
        raise DataError(message) from error


@contextmanager
def without_warnings(*categories: type[Warning]) -> Iterator[None]:
    """Ignore warnings of some categories, one thread at a time: filters belong to the process."""
    with WARNINGS, warnings.catch_warnings():
        for category in categories:
            warnings.simplefilter("ignore", category)
        yield


def check_unpacks(path: Path) -> None:
    """Unpack a file that is compressed by gzip, without keeping it.

    astropy takes the end of what can be unpacked for the end of the file.

    Raises
    ------
    EOFError, OSError, zlib.error
        If the file is cut off or damaged.
    """
    if is_gzip(path):
        with gzip.open(path) as stream:
            while stream.read(_CHUNK):
                pass


def is_gzip(path: Path) -> bool:
    """Return whether a file is compressed by gzip, by its first bytes."""
    with path.open("rb") as stream:
        return stream.read(len(_GZIP)) == _GZIP


def arrow_array(values: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return values as an Arrow array; columns of arrays become lists.

    Parameters
    ----------
    values : array (n, …)
        Numbers in any byte order, booleans, bytes, text, or objects: arrays, text or None.
    missing : bool array, optional
        Which values are null, of the same shape.

    Raises
    ------
    TypeError
        For complex numbers and records.
    """
    if values.dtype.kind not in "biufSUO":
        raise TypeError(f"columns of type {values.dtype} are not read")
    if values.dtype.kind == "O" and values.ndim == 1:
        return _of_objects(values, missing)
    if values.ndim > 1:
        flat = arrow_array(values.reshape(-1), None if missing is None else missing.reshape(-1))
        size = int(np.prod(values.shape[1:]))
        return pa.FixedSizeListArray.from_arrays(flat, size)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8") if len(values) else values.astype(np.str_)
    if values.dtype.kind == "U":
        return pa.array(np.char.rstrip(values), pa.string(), mask=missing)  # FITS pads text
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return pa.array(np.ascontiguousarray(values), mask=missing)


def _of_objects(values: np.ndarray, missing: np.ndarray | None) -> pa.Array:
    """Return text, or arrays of differing lengths, as an Arrow array."""
    lost = np.zeros(len(values), dtype=bool) if missing is None else missing
    lost = lost | np.array([v is None or v is np.ma.masked for v in values], dtype=bool)
    if any(isinstance(value, np.ndarray) for value in values[~lost]):
        return _of_arrays(values, lost)
    plain = [v.decode("utf-8") if isinstance(v, bytes) else v for v in values]
    return pa.array([None if no else v for v, no in zip(plain, lost.tolist(), strict=True)])


def _of_arrays(values: np.ndarray, lost: np.ndarray) -> pa.Array:
    """Return arrays of differing lengths as lists."""
    known = [value.reshape(-1) for value in values[~lost]]
    lengths = np.zeros(len(values) + 1, dtype=np.int32)
    lengths[1:][~lost] = [len(value) for value in known]
    flat = np.concatenate([np.ma.getdata(value) for value in known])
    masked = np.concatenate([np.ma.getmaskarray(value) for value in known])
    offsets = pa.array(np.cumsum(lengths, dtype=np.int32), mask=np.append(lost, False))
    return pa.ListArray.from_arrays(offsets, arrow_array(flat, masked if masked.any() else None))


def _named(path: Path, source: str | None) -> str:
    return f"{path}" if source is None else f"source {source}: {path}"


def _rebatched(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Join and split tables so that all but the last have `rows` rows."""
    held: list[pa.Table] = []
    n = 0
    for table in tables:
        held.append(table)
        n += len(table)
        while n >= rows:
            joined = pa.concat_tables(held)
            yield joined.slice(0, rows).combine_chunks()
            rest = joined.slice(rows)
            held, n = ([rest], len(rest)) if len(rest) else ([], 0)
    if n:
        yield pa.concat_tables(held).combine_chunks()


def _cast(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Cast columns without a loss."""
    for place, name in enumerate(table.column_names):
        if name in types and table.column(place).type != types[name]:
            table = table.set_column(place, name, table.column(place).cast(types[name]))
    return table
