"""Arrays in memory-mapped ``.safetensors`` files.

The format is described at https://github.com/huggingface/safetensors. Files are written without
that library, whose order of header entries changes from run to run. The metadata hold a hash of the
header; callers store a hash of the arrays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from astromodal.errors import FormatError, must_be
from astromodal.storage.formats import put_aside, remake
from astromodal.storage.hashing import hash_values
from astromodal.storage.skips import refuse_skipped
from astromodal.storage.tempfiles import atomic_path

_KINDS = {"|u1": "U8", "<i4": "I32", "<i8": "I64", "<f4": "F32", "<f8": "F64"}
_HASH = "header_hash"
_NONE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""Errors raised on reading an invalid header."""
_HEADER = 8  # bytes of a file that hold the length of its JSON header


def save_tensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, str]
) -> None:
    """Write arrays to a file atomically; the same arrays and metadata give the same bytes.

    Parameters
    ----------
    path : path
        The file.
    arrays : mapping of str to uint8, int32, int64, float32 or float64
        Arrays by name.
    meta : mapping of str to str
        Metadata of the header.
    """
    # Arrays of the widest dtypes come first, so that all are aligned.
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(meta)}
    end = 0
    for name in names:
        begin, end = end, end + arrays[name].nbytes
        kind, shape = _KINDS[arrays[name].dtype.str], list(arrays[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    header["__metadata__"][_HASH] = hash_values(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _HEADER)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(len(text).to_bytes(_HEADER, "little") + text)
        for name in names:
            stream.write(np.ascontiguousarray(arrays[name]).data)


def map_tensors(path: str | Path, format: str = "") -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Map the arrays of a file into memory; return them and the metadata, each by name.

    Nothing is allocated. Arrays that do not fit in the file are refused.

    Parameters
    ----------
    path : path
        The file.
    format : str
        Expected format, for the error message only; the caller checks the metadata.

    Raises
    ------
    FormatError
        If the file was not written by `save_tensors`.
    SkippedError
        If the field was skipped.
    """
    remedy = remake(format)
    try:
        mapped = map_file(path)
        length = int.from_bytes(mapped[:_HEADER].tobytes(), "little")
        header = json.loads(mapped[_HEADER : _HEADER + length].tobytes())
        meta = header.pop("__metadata__", {})
        stored = meta.pop(_HASH, None)
        if stored is None:  # written by another program
            remedy = put_aside(format)
        elif stored != hash_values({**header, "__metadata__": meta}):
            raise ValueError("a header whose hash is not the one stored in it")
        data = mapped[_HEADER + length :]
        return {name: _view(data, entry) for name, entry in header.items()}, _texts(meta)
    except _NONE as error:
        refuse_skipped(path)
        raise FormatError(must_be(str(path), "a safetensors file", str(error), remedy)) from error


def _texts(meta: dict[str, str]) -> dict[str, str]:
    """Return metadata after a check that all values are text."""
    if not all(isinstance(value, str) for value in meta.values()):
        raise TypeError("metadata that are not text")
    return meta


def _view(data: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    """Return the array that an entry of the header describes, as a view."""
    dtypes = {kind: np.dtype(dtype) for dtype, kind in _KINDS.items()}
    (start, end), dtype, shape = entry["data_offsets"], dtypes[entry["dtype"]], entry["shape"]
    claimed = math.prod(shape) * dtype.itemsize
    if not 0 <= start <= end <= len(data) or claimed != end - start:
        raise ValueError(f"an array of shape {shape} at {start} to {end} of {len(data)} byte")
    return data[start:end].view(dtype).reshape(shape)


def map_file(path: str | Path) -> np.ndarray:
    """Map a file into memory; return its bytes, a read-only array uint8 (n,).

    The map lives as long as the array or a view of it, even if the file is deleted.
    """
    # Opened by Python as well, whose error names the file.
    with Path(path).open("rb"), pa.memory_map(str(path)) as stream:
        return np.frombuffer(stream.read_buffer(), np.uint8)
