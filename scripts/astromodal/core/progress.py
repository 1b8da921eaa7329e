"""Progress of long steps: library code reports it, entry scripts choose how it is shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

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
