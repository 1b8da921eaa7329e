"""Work on parts of a batch, side by side in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def share(threads: int, n: int, work: Callable[[slice], None]) -> None:
    """Call `work` on consecutive parts of `n` items, each part in a thread of its own.

    Parameters
    ----------
    threads : int
        Parts at most.
    n : int
        Items; without any nothing is called.
    work : callable
        Takes the slice of a part. It must let other threads run (NumPy and kernels that let the
        interpreter go do) and write to that slice alone; what it raises is raised here.
    """
    size = max(1, -(-n // threads))
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    if len(parts) == 1:
        work(parts[0])
    elif parts:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))
