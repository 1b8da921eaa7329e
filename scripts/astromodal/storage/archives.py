"""Files of arrays looked through before anything in them is believed: they may be anybody's.

A ``.npz`` and a ``.pt`` are zip archives that we write without compression. A member is then as
large as it says and all of them are no larger than the file, so nothing can inflate; and each has
a CRC-32, by which a flipped bit is noticed. PyTorch does not look at it, nor does NumPy where an
array claims to be smaller than its member. A header that is not what NumPy writes of plain numbers
or text, or tells of another size than is there, is refused before any array is made.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

DAMAGE = (
    zipfile.BadZipFile,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    RuntimeError,
)
"""What reading an archive raises that is damaged or none."""

_CHUNK = 1 << 18  # byte
_NPY = re.compile(
    rb"\{'descr': '([<|][biufU][0-9]{1,10})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\), \} *\n"
)


def check_archive(path: str | Path) -> None:
    """Read all of an archive; raise one of `DAMAGE` where it is not as it was written."""
    with zipfile.ZipFile(path) as archive:
        for member in members(archive):
            with archive.open(member) as stream:
                while stream.read(_CHUNK):
                    pass  # the last piece is checked against the CRC


def is_whole(path: str | Path) -> bool:
    """Whether a file is an archive of which every member is as it was written, whoever wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in found):
                return True  # not ours, and it may inflate to more than can be read
        check_archive(path)
    except DAMAGE:
        return False
    return True


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Members of an archive; raise `ValueError` where one is compressed, or larger than the file.

    Members that lie on one another, so that a small file holds many large ones, are too large
    together.
    """
    found = archive.infolist()
    for member in found:
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError(f"its member {member.filename!r:.80} is compressed")
    size, room = (
        sum(member.file_size for member in found),
        Path(str(archive.filename)).stat().st_size,
    )
    if size > room:
        raise ValueError(f"its members claim {size} byte of {room}")
    return found


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of a ``.npz`` by name; raise one of `DAMAGE` where it is not as it was written."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in members(archive):
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = _read(stream, member.file_size)
    return arrays


def npy_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and dtype that the head of a ``.npy`` tells.

    Parameters
    ----------
    stream : binary file
        At the file's start; afterwards at its first number.
    size : int
        Of the whole file (byte).

    Raises
    ------
    ValueError
        Where it is none of plain numbers or text, or of another size than that.
    """
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not a .npy file of version 1.0")
    length = int.from_bytes(stream.read(2), "little")
    told = _NPY.fullmatch(stream.read(length))
    if told is None:
        raise ValueError("not a .npy file of plain numbers or text")
    shape = tuple(int(part) for part in told[3].decode().split(",") if part.strip())
    dtype = np.dtype(told[1].decode())
    claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if claimed != there:
        raise ValueError(f"an array of shape {shape} and {dtype} takes {claimed} byte, not {there}")
    return shape, told[2] == b"True", dtype


def _read(stream: IO[bytes], size: int) -> np.ndarray:
    """The array of a member, a piece at a time: no second copy of it is ever held."""
    shape, fortran, dtype = npy_header(stream, size)
    flat = np.empty(math.prod(shape), dtype)
    if dtype.itemsize:
        room = flat.view(np.uint8)
        for start in range(0, len(room), _CHUNK):
            piece = stream.read(min(_CHUNK, len(room) - start))
            room[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
    return flat.reshape(shape, order="F" if fortran else "C")
