"""Which file it is that lies at a path, told by its size and time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class FileVersion:
    """Size (byte) and time of modification (ns) of a file."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | Path) -> FileVersion:
        """Those of the file at `path`."""
        found = os.stat(path)
        return cls(found.st_size, found.st_mtime_ns)

    def __str__(self) -> str:
        time = datetime.fromtimestamp(self.mtime_ns / 1e9, UTC)
        return f"{self.size} byte, of {time.isoformat(sep=' ', timespec='microseconds')}"
