"""What all readers of raw files have in common: their interface and the columns of an index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import ClassVar, Final, Protocol

import numpy as np
import pyarrow as pa

from astromodal.config.sources import SourceSettings
from astromodal.errors import DataError, must_be
from astromodal.sources.files import RawFile

WARNINGS: Final = Lock()
"""Held while warnings are recorded or ignored, which Python does for all threads at once."""
REPLACE: Final = "replace the file, or leave it out of the source's files"
"""Advice for a raw file that is damaged."""
RESERVED: Final = pa.schema(
    [
        ("_ra", pa.float64()),
        ("_dec", pa.float64()),
        ("_epoch", pa.float64()),
        ("_pmra", pa.float64()),
        ("_pmdec", pa.float64()),
        ("_row", pa.int64()),
        ("_rank", pa.float64()),
        ("_reason", pa.string()),
        ("_digest", pa.uint64()),
    ]
)
"""Columns of every index beside ``_key`` (text or int64) and, of catalogues, ``_field`` (text).

``_ra`` and ``_dec`` are ICRS positions (degree) at ``_epoch`` (Julian year), ``_pmra`` (with
cos dec) and ``_pmdec`` proper motions (mas / yr). ``_row`` is the row in the raw file. Of objects
with the same ``_key``, the one with the highest ``_rank`` counts. ``_reason`` says why an object is
not used, and is null where it is. ``_digest`` is a hash of the measured values.
"""


class Reader(Protocol):
    """A reader of one kind of raw files.

    Attributes
    ----------
    in_index : bool
        Whether the index holds the columns of the cube, so that the files are not read again.
    """

    in_index: ClassVar[bool]

    def __init__(self, name: str, settings: SourceSettings) -> None: ...

    def schema(self) -> pa.Schema:
        """Return the names and types of the columns of a cube that the files give."""

    def index(self, file: RawFile) -> Iterator[pa.Table]:
        """Yield one row per object or spectrum of a file, in the file's order.

        Raises
        ------
        DataError
            Where the file is damaged or lacks what the reader needs.
        """

    def read(self, file: RawFile, rows: np.ndarray) -> pa.Table:
        """Return the columns of `schema` of some rows of a file.

        Parameters
        ----------
        file : RawFile
            The file.
        rows : int64 (k,)
            Values of ``_row``, ascending.
        """


def damaged(name: str, path: Path, must: str, got: object, do: str = REPLACE) -> DataError:
    """Return the error of a raw file of the source `name`."""
    return DataError(must_be(f"source {name}: {path}", must, str(got), do))
