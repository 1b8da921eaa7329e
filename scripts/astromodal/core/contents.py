"""A digest of a file's content that reads little of it: by the checksums that the file carries.

Archives of arrays and of tensors hold a CRC-32 of each member, tensors the hash of all of them in
their header, and the pixels of cutouts lie beside a file with their hash. A file without any, and
each small one, is read whole.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from astromodal.core.archives import DAMAGE
from astromodal.core.hashing import HASH_LENGTH, hash_file, hash_values

SMALL: Final = 1 << 18
"""Size (byte) up to which a file is read whole."""
_END: Final = 1 << 16  # byte
_LENGTH: Final = 8  # bytes of a .safetensors file that hold the length of its header


def content_digest(path: str | Path, whole: bool = False) -> str:
    """Digest of a file's content, for files of the same size.

    Parameters
    ----------
    path : path
        The file.
    whole : bool
        Read all of it, whatever its format.

    Returns
    -------
    str
        16 hexadecimal digits. Of a large ``.npz`` or ``.pt`` they are of the names, sizes and CRCs
        of its members, of a ``.safetensors`` of its header, of a ``.npy`` and a ``.parquet`` of its
        first and last 64 kB (with the shape, or the footer with statistics of every column), of any
        other file of all of it.
    """
    path = Path(path)
    reader = None if whole else _READERS.get(path.suffix)
    if reader is None or path.stat().st_size <= SMALL:
        return hash_file(path)
    with path.open("rb") as stream:
        read = reader(stream)
    return hash_file(path) if read is None else hashlib.sha256(read).hexdigest()[:HASH_LENGTH]


def _members(stream: IO[bytes]) -> bytes | None:
    """What an archive's directory tells of its members; None where it is none."""
    try:
        with zipfile.ZipFile(stream) as archive:
            found = [(each.filename, each.file_size, each.CRC) for each in archive.infolist()]
    except DAMAGE:
        return None
    return hash_values(found).encode()


def _header(stream: IO[bytes]) -> bytes | None:
    """The header of a file of tensors; None where it is none."""
    length = int.from_bytes(stream.read(_LENGTH), "little")
    return stream.read(length) if length <= os.fstat(stream.fileno()).st_size else None


def _ends(stream: IO[bytes]) -> bytes:
    begin = stream.read(_END)
    stream.seek(-_END, os.SEEK_END)
    return begin + stream.read()


_READERS: Final[dict[str, Callable[[IO[bytes]], bytes | None]]] = {
    ".npz": _members,
    ".pt": _members,
    ".safetensors": _header,
    ".npy": _ends,
    ".parquet": _ends,
}
"""What is read of a large file, by the end of its name."""
