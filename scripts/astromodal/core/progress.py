"""Progress of long steps: library code announces it, entry scripts decide how it is shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Progress = Callable[[Iterable[Any], int | None, str], Iterable[Any]]
"""Wraps an iterable of a known or unknown length that a step named by the text goes through."""


def quiet(iterable: Iterable[Any], total: int | None, what: str) -> Iterable[Any]:
    """Show nothing."""
    return iterable


def logged(logger: logging.Logger, every: float = 10.0) -> Progress:
    """Log a line every `every` seconds: how much of what is done, and how long is left."""

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
