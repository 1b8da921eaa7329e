"""Files as memory: mapped, not read, and without a file that stays open.

A process may have some thousand files open (``ulimit -n``), and a survey has more fields. Python's
own maps, and NumPy's, which are made of them, hold a file descriptor each as long as they live.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa


def map_file(path: str | Path) -> np.ndarray:
    """The bytes of a file, uint8 (n,): a view of its memory map, which cannot be written to.

    The map lasts as long as the array or a view of it does, even where the file's name goes.
    """
    # Python opens it too, for an error that names the file.
    with Path(path).open("rb"), pa.memory_map(str(path)) as stream:
        return np.frombuffer(stream.read_buffer(), np.uint8)
