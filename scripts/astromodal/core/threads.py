"""Threads: work on parts of a batch side by side, and reading ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar


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


T = TypeVar("T")

_POLL = 0.1  # s between looks at whether anyone still wants more


def ahead(iterable: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield what `iterable` yields, in order, while a thread prepares the next items.

    Parameters
    ----------
    iterable : iterable
        Consumed in a thread of its own. What it raises is raised here, in its item's place; when
        this iterator is closed early, the thread ends after the item that it is at.
    depth : int
        Items that may wait, at least one.
    """
    waiting: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(max(1, depth))
    closed = threading.Event()

    def put(more: bool, item: T | BaseException | None) -> bool:
        while not closed.is_set():
            try:
                waiting.put((more, item), timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in iterable:
                if not put(True, item):
                    return
        except BaseException as error:  # whatever it is, it belongs to the one who waits
            put(False, error)
        else:
            put(False, None)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if more:
                yield item  # type: ignore[misc]
            elif isinstance(item, BaseException):
                raise item
            else:
                return
    finally:
        closed.set()
        thread.join()
