"""Rows of an index, their digests and lists, which readers of spectra share; spectra on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.sources.base import RESERVED, Reader
from astromodal.sources.files import RawFile

_NOTHING: Final = b"\x00"
"""Stands for a null in a digest. All other values begin with their length plus one, in 8 bytes."""
_DIGEST_BYTES: Final = 8


def index_table(rows: np.ndarray, key: pa.Array, digest: np.ndarray, **columns: Any) -> pa.Table:
    """Return rows of an index, with all reserved columns.

    Parameters
    ----------
    rows : int64 (n,)
        Rows in the raw file.
    key : arrow array (n,)
        Ids, text or int64.
    digest : uint64 (n,)
        Digests, as of `row_digests`.
    **columns : array or sequence (n,)
        Reserved columns without the underscore: ``ra``, ``dec``, ``epoch``, ``pmra``, ``pmdec``,
        ``rank``, ``reason``. Columns that are not given are null, and ``rank`` is 0. Numbers that
        are not finite become null.
    """
    given = {"row": rows, "digest": digest, "rank": np.zeros(len(rows)), **columns}
    filled = {"_key": key}
    for field in RESERVED:
        values = given.get(field.name[1:])
        if values is None:
            filled[field.name] = pa.nulls(len(rows), field.type)
        elif pa.types.is_float64(field.type):
            filled[field.name] = finite(np.asarray(values, np.float64))
        else:
            filled[field.name] = pa.array(values, field.type)
    return pa.table(filled)


def finite(values: np.ndarray) -> pa.Array:
    """Return numbers as an arrow array; those that are not finite become null."""
    return pa.array(values, mask=~np.isfinite(values))


def is_list(kind: pa.DataType | None) -> bool:
    """Return whether a type is one of lists, of any length or of one."""
    return kind is not None and (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def fields_of(kind: pa.DataType) -> list[str]:
    """Return the names of the fields of a nested type."""
    inner = kind.value_type if is_list(kind) else kind
    return [field.name for field in inner] if pa.types.is_struct(inner) else []


def unpacked(column: pa.Array, names: list[str]) -> dict[str, pa.Array]:
    """Return fields of a nested column: lists of a struct of lists, or of a list of structs."""
    if not is_list(column.type):
        return {name: pc.struct_field(column, name) for name in names}
    values = column.flatten()
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return {n: pa.ListArray.from_arrays(offsets, pc.struct_field(values, n)) for n in names}


def row_digests(columns: Mapping[str, pa.Array] | pa.Table) -> np.ndarray:
    """Return a hash of each row of some columns, uint64 (n,).

    The hash depends on the values of the row alone, with their types, in the order of the columns.

    Parameters
    ----------
    columns : table, or mapping of str to arrow array
        Columns of numbers, text or lists of numbers, all of the same length.
    """
    if isinstance(columns, pa.Table):
        columns = dict(zip(columns.column_names, columns.columns, strict=True))
    every = [_joined(column) for column in columns.values()]
    hashes = [blake2b(digest_size=_DIGEST_BYTES) for _ in range(len(every[0]) if every else 0)]
    for column in every:
        for each, value in zip(hashes, _values(column), strict=True):
            if value is None:
                each.update(_NOTHING)
            else:
                each.update((memoryview(value).nbytes + 1).to_bytes(8, "big"))
                each.update(value)
    return np.frombuffer(b"".join(each.digest() for each in hashes), dtype="<u8").astype(np.uint64)


def _joined(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _values(column: pa.Array) -> Iterator[bytes | memoryview | None]:
    """Yield the bytes of each value of a column; None for a null."""
    if pa.types.is_list(column.type):
        flat = np.ascontiguousarray(column.flatten().to_numpy(zero_copy_only=False))
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        ends = np.concatenate([[0], np.cumsum(lengths)])
        for i, there in enumerate(column.is_valid().to_pylist()):
            yield flat[ends[i] : ends[i + 1]].view(np.uint8).data if there else None
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        yield from (None if text is None else text.encode() for text in column.to_pylist())
    else:
        numbers = np.ascontiguousarray(pc.fill_null(column, 0).to_numpy(zero_copy_only=False))
        for i, there in enumerate(column.is_valid().to_pylist()):
            yield numbers[i : i + 1].view(np.uint8).data if there else None


class Spill:
    """Spectra of matched objects, read file by file and returned in the order of the cube's rows.

    The scratch file is mapped into memory: what is not needed leaves memory again.

    Parameters
    ----------
    path : path
        The scratch file.
    reader : Reader
        Reader of the source.
    files : sequence of RawFile
        The raw files that the index numbers.
    place : int64 (n,)
        Number of each row's object in the index; negative where the row has none.
    file, raw : int64 (m,)
        Number of the file of each object in the index, and its row there.
    """

    def __init__(
        self,
        path: Path,
        reader: Reader,
        files: Sequence[RawFile],
        place: np.ndarray,
        file: np.ndarray,
        raw: np.ndarray,
    ) -> None:
        self.schema = reader.schema()
        objects, inverse = np.unique(place[place >= 0], return_inverse=True)
        order = np.lexsort((raw[objects], file[objects]))
        self.files: tuple[str, ...] = ()
        self._ends = [0]  # of the batches, in objects
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, self.schema) as writer:
            for number in np.unique(file[objects]).tolist():
                mine = order[file[objects][order] == number]
                table = reader.read(files[number], raw[objects][mine])
                for batch in table.cast(self.schema).to_batches():
                    writer.write_batch(batch)
                    self._ends.append(self._ends[-1] + batch.num_rows)
                self.files += (str(files[number].path),)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        self._place = np.full(len(place), -1)
        self._place[place >= 0] = rank[inverse]
        self._stored = pa.ipc.open_file(pa.memory_map(str(path)))

    def take(self, start: int, end: int) -> list[pa.ChunkedArray]:
        """Return the columns of the rows `start` to `end`; null where a row has no spectrum."""
        place = self._place[start:end]
        wanted = np.unique(place[place >= 0])
        number = np.searchsorted(self._ends, wanted, side="right") - 1
        batches = [
            self._stored.get_batch(k).take(pa.array(wanted[number == k] - self._ends[k]))
            for k in np.unique(number).tolist()
        ]
        found = pa.Table.from_batches(batches, self.schema)
        order = pa.array(np.searchsorted(wanted, place), mask=place < 0)
        return found.take(order).columns
