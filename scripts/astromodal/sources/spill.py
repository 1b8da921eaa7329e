"""Spectra of matched objects in a scratch file, until the rows that they belong to are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from astromodal.sources.base import Reader
from astromodal.sources.files import RawFile


class Spill:
    """Spectra of one source, read file by file and returned in the order of the cube's rows.

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
