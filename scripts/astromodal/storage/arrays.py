"""Files of arrays, never unpickled: ``.npz`` with attributes, and memory-mapped ``.safetensors``.

The format of the latter is described at https://github.com/huggingface/safetensors. They are
written without that library, whose order of header entries changes from run to run. Their metadata
hold a hash of the header; callers store a hash of the arrays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from astromodal.errors import FormatError, must_be
from astromodal.storage.formats import (
    DAMAGE,
    put_aside,
    read_arrays,
    refuse_skipped,
    remake,
    unreadable,
)
from astromodal.storage.hashing import hash_values
from astromodal.storage.tempfiles import atomic_path


@dataclass(frozen=True)
class ArrayFile:
    """Arrays of a file by name, its attributes and its path."""

    arrays: dict[str, np.ndarray]
    attributes: dict[str, Any]
    path: str = ""

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            held = ", ".join(sorted(self.arrays))
            raise FormatError(
                must_be(self.path, f"a file with an array {name!r}", held, put_aside(""))
            )
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays


def check_maker(
    path: str | Path, file: ArrayFile, tokenizer_hash: str | None, what: str, rule: str
) -> None:
    """Raise `FormatError` if a file was made by another tokenizer than that of a hash.

    Parameters
    ----------
    path, file
        The file and its content, whose attribute ``tokenizer_hash`` is checked.
    tokenizer_hash : str, optional
        Expected hash; nothing is checked if None.
    what, rule : str
        Content of the file and the rule that makes it, for the message.
    """
    made_by = file.attributes["tokenizer_hash"]
    if tokenizer_hash is not None and made_by != tokenizer_hash:
        must = f"made by the tokenizer of hash {tokenizer_hash}"
        raise FormatError(must_be(f"{path}: {what}", must, made_by, f"run {rule} again"))


def save_arrays(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    *,
    format: str,
    version: int,
    **attributes: Any,
) -> None:
    """Write arrays to a ``.npz`` file atomically; the same arrays give the same bytes.

    Parameters
    ----------
    path : path
        The file, ending in ``.npz``.
    arrays : mapping
        Arrays of numbers, booleans or text by name; objects are refused. ``meta`` is reserved.
    format, version
        Format and version of the file, which `load_arrays` checks.
    **attributes
        Values that can be stored as JSON, for example ``tokenizer_hash`` and ``input_hash``.
    """
    for name, array in arrays.items():
        if name == "meta" or array.dtype.hasobject:
            raise FormatError(
                must_be(f"{path}: array {name!r}", "of plain numbers or text", array.dtype)
            )
    meta = json.dumps(
        {"format": format, "version": version, **attributes}, sort_keys=True, allow_nan=False
    )
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **{**arrays, "meta": np.array(meta)})


def load_arrays(path: str | Path, *, format: str, version: int) -> ArrayFile:
    """Read a file written by `save_arrays`, without unpickling; no array exceeds the file's size.

    Raises
    ------
    FormatError
        If the file is damaged, or of another format or version.
    SkippedError
        If the field was skipped.
    """
    try:
        arrays = read_arrays(path)
        meta = dict(json.loads(str(arrays.pop("meta"))))
    except (FileNotFoundError, IsADirectoryError):
        raise
    except DAMAGE as error:
        must = f"an array file of astromodal, {format}"
        raise unreadable(error, path, must, format) from error
    found = f"{meta.pop('format', None)} version {meta.pop('version', None)}"
    if found != f"{format} version {version}":
        must = f"{format} version {version}"
        raise FormatError(must_be(str(path), must, found, put_aside(format)))
    return ArrayFile(arrays, meta, str(path))


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


def map_format(
    path: str | Path, format: str, version: str, names: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Map the arrays of a file of a known format; return them and the metadata, each by name.

    Parameters
    ----------
    path : path
        The file.
    format, version
        Expected format and version, which its metadata name.
    names : collection of str
        Names of its arrays.

    Raises
    ------
    FormatError
        If the header is damaged, or the file is of another format or version.
    SkippedError
        If the field was skipped.
    """
    must = f"{format} version {version}"
    arrays, meta = map_tensors(path, format)
    got = f"{meta.get('format')} version {meta.get('version')}"
    if got == must and arrays.keys() != set(names):
        got = f"one of {', '.join(sorted(arrays))}"
    if got != must:
        raise FormatError(must_be(str(path), must, got, put_aside(format)))
    return arrays, meta


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
