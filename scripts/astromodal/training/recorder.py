"""What a run writes down: history, log, and TensorBoard's events where that is installed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from astromodal.core.files import storing, write_text
from astromodal.training.history import history_line
from astromodal.training.speed import SPEEDS
from astromodal.training.step import Outcome
from astromodal.training.validation import Sums


class Writer(Protocol):
    """What is used of TensorBoard's ``SummaryWriter``."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a number of a step."""

    def close(self) -> None:
        """Write what is left."""


def tensorboard_writer(folder: Path, first_step: int) -> Writer | None:
    """A writer of event files to `folder`, None where TensorBoard is not installed.

    Events of `first_step` and later, which a run that was killed wrote, are hidden by it.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Writer = SummaryWriter(str(folder), purge_step=first_step)
    return writer


class Recorder:
    """Takes what steps and validations came to.

    Parameters
    ----------
    history : path, optional
        The JSON-lines file; None where another process writes it.
    logger : logging.Logger
        Takes a line an entry.
    total : int
        Steps of the run.
    writer : Writer, optional
        Takes each number of each entry.
    peak : float, optional
        Floating-point operations a second that the devices can do together; without it there is no
        utilisation.
    """

    def __init__(
        self,
        history: Path | None,
        logger: logging.Logger,
        total: int,
        writer: Writer | None = None,
        peak: float | None = None,
    ) -> None:
        self.path, self.logger, self.total = history, logger, total
        self.writer, self.peak = writer, peak
        self.entries: list[dict[str, Any]] = []
        self.window = Sums()
        self._restart()

    def _restart(self) -> None:
        """Begin to measure speed; losses that are carried over a resumption have no time."""
        self._began, self._paused = time.monotonic(), 0.0
        self._steps, self._tokens, self._flops = 0, 0, 0.0

    def begin(self, entries: list[dict[str, Any]], window: Sums) -> None:
        """Go on from `entries` and the losses since; later lines of the file are dropped."""
        self.entries, self.window = list(entries), window
        if self.path is not None:
            write_text(self.path, "".join(map(history_line, entries)))
        self._restart()

    def add(self, outcome: Outcome) -> None:
        """Take a step into the window that the next training entry is the mean of."""
        self.window.add(outcome.sums)
        self._steps += 1
        self._tokens += outcome.tokens
        self._flops += outcome.flops

    def train(self, step: int, epoch: int, learning_rate: float, loss: float | None) -> None:
        """Write the entry of the window down, with its total `loss`, and begin another."""
        means = self.window.means()
        values = {"learning_rate": learning_rate, **self._speed(), "loss": loss, **means}
        self._record(step, epoch, "train", values)
        self.window = Sums()
        self._restart()

    def _speed(self) -> dict[str, float | None]:
        """Tokens a second, seconds a step and model-FLOPs utilisation of the window."""
        seconds = time.monotonic() - self._began - self._paused
        if seconds <= 0 or not self._steps:
            return dict.fromkeys(SPEEDS)
        used = self._flops / seconds / self.peak if self.peak else None
        rates = (self._tokens / seconds, seconds / self._steps, used)
        return dict(zip(SPEEDS, rates, strict=True))

    def validation(
        self, step: int, epoch: int, values: Mapping[str, float | None], seconds: float
    ) -> None:
        """Write the entry of a validation down; its `seconds` do not count as training."""
        self._paused += seconds
        self._record(step, epoch, "validation", values)

    def _record(self, step: int, epoch: int, split: str, values: Mapping[str, Any]) -> None:
        known = {k: _json_number(v) if isinstance(v, float) else v for k, v in values.items()}
        entry = {"step": step, "epoch": epoch, "split": split, **known}
        self.entries.append(entry)
        if self.path is not None:
            with storing(self.path), self.path.open("a", encoding="utf-8") as stream:
                stream.write(history_line(entry))
        numbers = {k: float(v) for k, v in values.items() if v is not None}
        if self.writer is not None:
            for name, value in numbers.items():
                self.writer.add_scalar(f"{split}/{name}", value, step)
        shown = " ".join(f"{name}={value:.6g}" for name, value in numbers.items())
        self.logger.info("step %d of %d: split=%s %s", step, self.total, split, shown)

    def close(self) -> None:
        """Write what is left of TensorBoard's events."""
        if self.writer is not None:
            self.writer.close()


def _json_number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
