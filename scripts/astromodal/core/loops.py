"""Long loops: their progress, which entry scripts choose how to show, and threads to share them."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Progress = Callable[[Iterable[Any], int | None, str], Iterable[Any]]
"""Wraps an iterable; the arguments are the iterable, its length or None, and the step's name."""


def quiet(iterable: Iterable[Any], total: int | None, what: str) -> Iterable[Any]:
    """Return the iterable without showing progress."""
    return iterable


def logged(logger: logging.Logger, every: float = 10.0) -> Progress:
    """Return a progress that logs the items done and the time left, every `every` seconds."""

    def wrap(iterable: Iterable[Any], total: int | None, what: str) -> Iterator[Any]:
        started = shown = time.monotonic()
        for done, item in enumerate(iterable):
            now = time.monotonic()
            if now - shown >= every:
                left = (
                    f", {(now - started) / done * (total - done):.0f} s left"
                    if total and done
                    else ""
                )
                logger.info("%s: %d of %s%s", what, done, total or "?", left)
                shown = now
            yield item
        logger.info("%s: done in %.1f s", what, time.monotonic() - started)

    return wrap


def share(threads: int, n: int, work: Callable[[slice], None]) -> None:
    """Call a function on consecutive parts of `n` items, one thread per part.

    Parameters
    ----------
    threads : int
        Largest number of parts.
    n : int
        Number of items; 0 calls nothing.
    work : callable
        Takes the slice of a part. It must release the interpreter lock, as NumPy does, and write to
        that slice only. Its errors are raised here.
    """
    size = max(1, -(-n // threads))
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    if len(parts) == 1:
        work(parts[0])
    elif parts:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))


T = TypeVar("T")

_POLL = 0.1  # s between checks whether the iterator was closed


def ahead(iterable: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield the items of an iterable in order, while a thread prepares the next ones.

    Parameters
    ----------
    iterable : iterable
        Consumed in a separate thread. An error is raised here in place of its item. If this
        iterator is closed early, the thread ends after its current item.
    depth : int
        Largest number of prepared items, at least one.
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
        except BaseException as error:  # any error is passed to the consumer
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
