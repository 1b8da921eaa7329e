"""What each source of raw survey files gave to a cube, as the cube's metadata hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter, ValidationError

PROVENANCE: Final = b"astromodal.sources"
"""Key of a cube's metadata with what each source gave, as JSON."""
_EXACT: Final = ConfigDict(extra="forbid", strict=True)
"""How metadata are checked. Footers have no checksum: an unknown name is a sign of damage."""


@dataclass
class BandCounts:
    """Numbers of the cutouts of a band.

    Attributes
    ----------
    n_files : int
        Images of the band.
    n_cut : int
        Sources with a cutout.
    n_partial : int
        Those whose cutout reaches beyond the edge of the image, where its pixels are NaN.
    n_outside : int
        Sources that stand outside every image of the band, or have no position.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    n_files: int = 0
    n_cut: int = 0
    n_partial: int = 0
    n_outside: int = 0


@dataclass
class Provenance:
    """What a source gave to a cube.

    Attributes
    ----------
    kind : str
        Kind of the source.
    files : dict
        Names of the raw files that were read, with a hash of the content where it was computed.
    objects : int
        Objects in the field's cells and around them; rows, for the base.
    dropped : dict
        Number of objects that were not used, by reason.
    matched, contested : int
        Rows that have an object, and objects that are nearest to several rows.
    separation : float, optional
        Median separation of rows and objects (arcsec).
    left_out : list of str
        Raw files that are damaged and were not read.
    bands : dict
        Of images: by band, the numbers of their cutouts.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    kind: str
    files: dict[str, str] = field(default_factory=dict)
    objects: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    matched: int = 0
    contested: int = 0
    separation: float | None = None
    left_out: list[str] = field(default_factory=list)
    bands: dict[str, BandCounts] = field(default_factory=dict)


def provenance_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, Provenance]:
    """Return what each source gave to a cube, by source.

    Parameters
    ----------
    metadata : mapping of bytes to bytes, optional
        The key-value metadata of a cube's file.

    Returns
    -------
    dict
        In the order in which the sources were added; empty for a cube that was not built.

    Raises
    ------
    ValueError
        Where the metadata are damaged.
    """
    text = (metadata or {}).get(PROVENANCE, b"{}")
    try:
        return TypeAdapter(dict[str, Provenance]).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from error


def read_provenance(path: str | Path) -> dict[str, Provenance]:
    """Return what each source gave to the cube in a file; only the footer is read.

    Raises
    ------
    OSError, ValueError
        Where the file cannot be read, is no parquet file, or has damaged metadata.
    """
    return provenance_of(pq.read_metadata(path).metadata)
