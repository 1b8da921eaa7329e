"""Hashes of content, and versions of files by their size and time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

HASH_LENGTH = 16


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash the names, dtypes, shapes and bytes of arrays, independently of their order.

    Returns
    -------
    str
        The first 16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()[:HASH_LENGTH]


def hash_values(values: object) -> str:
    """Hash nested dicts, lists, text and numbers, independently of the order of keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def hash_file(path: str | Path) -> str:
    """Hash a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:HASH_LENGTH]


@dataclass(frozen=True)
class FileVersion:
    """Size (byte) and modification time (ns) of a file."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | Path) -> FileVersion:
        """Return the version of the file at `path`."""
        stat = os.stat(path)
        return cls(stat.st_size, stat.st_mtime_ns)

    def __str__(self) -> str:
        time = datetime.fromtimestamp(self.mtime_ns / 1e9, UTC)
        return f"{self.size} byte, of {time.isoformat(sep=' ', timespec='microseconds')}"
