"""Arrays in ``.safetensors`` files: a documented header, memory-mapped, no pickle.

https://github.com/huggingface/safetensors tells the format. Files are written by hand, since the
library writes its header in an order that changes from run to run.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.core.files import atomic_path
from astromodal.errors import FormatError, must_be

_KINDS = {"|u1": "U8", "<i4": "I32", "<i8": "I64", "<f4": "F32", "<f8": "F64"}
_HEADER = 8  # bytes of a file that hold the length of its JSON header


def save_tensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, str]
) -> None:
    """Write arrays to a file, atomically; the same arrays and texts give the same bytes.

    Parameters
    ----------
    path : path
        The file.
    arrays : mapping of str to uint8, int32, int64, float32 or float64
        Arrays by name.
    meta : mapping of str to str
        Texts of the header's metadata.
    """
    # The widest numbers come first, which keeps every array aligned.
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(meta)}
    end = 0
    for name in names:
        begin, end = end, end + arrays[name].nbytes
        kind, shape = _KINDS[arrays[name].dtype.str], list(arrays[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _HEADER)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(len(text).to_bytes(_HEADER, "little") + text)
        for name in names:
            stream.write(np.ascontiguousarray(arrays[name]).data)


def map_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays of a file as views of a memory map, and its metadata.

    Raises
    ------
    FormatError
        Where the file is none of `save_tensors`.
    """
    try:
        with Path(path).open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        length = int.from_bytes(mapped[:_HEADER], "little")
        header = json.loads(mapped[_HEADER : _HEADER + length])
        meta = header.pop("__metadata__", {})
        begin = _HEADER + length
        return {name: _view(mapped, begin, entry) for name, entry in header.items()}, meta
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(must_be(str(path), "a safetensors file", str(error))) from error


def _view(mapped: mmap.mmap, begin: int, entry: dict[str, Any]) -> np.ndarray:
    """The array that an entry of the header describes."""
    dtypes = {kind: np.dtype(dtype) for dtype, kind in _KINDS.items()}
    (start, end), dtype = entry["data_offsets"], dtypes[entry["dtype"]]
    flat = np.frombuffer(mapped, dtype, (end - start) // dtype.itemsize, begin + start)
    return flat.reshape(entry["shape"])
