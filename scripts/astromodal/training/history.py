"""What a run writes down: losses, log, speed, and events for TensorBoard."""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from astromodal.errors import FormatError, must_be
from astromodal.storage.formats import put_aside, remake
from astromodal.storage.tempfiles import storing, write_text
from astromodal.training.step import Outcome
from astromodal.training.validation import Sums

_CHECK = ', "crc32": "'


def history_line(entry: Mapping[str, Any]) -> str:
    """An entry as it is written down, with its line's end."""
    text = json.dumps(entry, allow_nan=False)
    return f'{text[:-1]}{_CHECK}{zlib.crc32(text.encode()):08x}"}}\n'


def read_history(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Entries of a ``history.jsonl`` by split: ``train`` and ``validation``, in order.

    Raises
    ------
    FormatError
        Where a line is no entry of a history, or not what was written.
    """
    entries: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    lines = Path(path).read_bytes().removesuffix(b"\n").split(b"\n")
    for number, line in enumerate(filter(None, lines), start=1):
        try:
            entry = _entry(line.decode())
            entries[entry["split"]].append(entry)
        except (ValueError, KeyError, TypeError) as error:
            what, must = f"{path}, line {number}", "an entry of a history"
            damaged = isinstance(error, ValueError)  # else its CRC is right, or it never had one
            remedy = (remake if damaged else put_aside)("transformer")
            raise FormatError(must_be(what, must, f"{line!r:.60}", remedy)) from error
    return entries


def _entry(line: str) -> dict[str, Any]:
    """What was written as a line.

    Raises
    ------
    ValueError
        Where it is another now.
    KeyError
        Where it is whole, and has no CRC-32 to tell.
    """
    text, mark, check = line.rpartition(_CHECK)
    if not mark and isinstance(json.loads(line), dict):
        raise KeyError("crc32")
    text += "}"
    if not mark or check != f'{zlib.crc32(text.encode()):08x}"}}':
        raise ValueError("a line without its CRC-32")
    return dict(json.loads(text))


def series(entries: Sequence[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which `key` has a value, and the values, (n,) each."""
    known = [entry for entry in entries if entry.get(key) is not None]
    steps = np.array([entry["step"] for entry in known], dtype=float)
    return steps, np.array([entry[key] for entry in known], dtype=float)


def value_at(entries: Sequence[dict[str, Any]], key: str, step: int) -> float:
    """The last value of `key` at `step` or before it; NaN where there is none."""
    steps, values = series(entries, key)
    before = values[steps <= step]
    return float(before[-1]) if before.size else np.nan


def untrained_value(entries: Sequence[dict[str, Any]], key: str) -> float:
    """The value of `key` before the first step; NaN where none was written down."""
    steps, values = series(entries, key)
    return float(values[0]) if steps.size and steps[0] == 0 else np.nan


def median_value(entries: Sequence[dict[str, Any]], key: str) -> float:
    """The median of `key`, such as the speed of training; NaN where none was written down."""
    values = series(entries, key)[1]
    return float(np.median(values)) if values.size else np.nan


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


SPEEDS = ("tokens_per_second", "seconds_per_step", "flops_utilisation")
"""Entries of a history that tell how fast training went, which no two runs have in common."""
_SIDE = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices: large enough to keep the device busy, small enough for its memory."""
_WARM_UP = 3


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Floating-point operations a second of a matrix product, measured once a process.

    Parameters
    ----------
    device : torch.device
        Where the product runs; on a CPU on as many threads as PyTorch has.
    dtype : torch.dtype
        Format of the numbers.
    seconds : float
        How long to measure (s).

    Returns
    -------
    float
        Operations a second, a product and a sum being two; the best of the products, for what
        disturbs a measurement makes it slower.
    """
    side = _SIDE.get(device.type, 1024)
    numbers = torch.Generator().manual_seed(0)  # of its own: training's draws are left alone
    matrix = torch.randn(side, side, generator=numbers).to(device, dtype)
    out = torch.empty_like(matrix)
    best, spent, done = 0.0, 0.0, 0
    while spent < seconds or done <= _WARM_UP:
        took = _time_product(matrix, out)
        spent, done = spent + took, done + 1
        best = max(best, 2 * side**3 / took)
    return best


def _time_product(matrix: torch.Tensor, out: torch.Tensor) -> float:
    """Time of one product (s)."""
    wait = torch.cuda.synchronize if matrix.is_cuda else lambda: None
    wait()
    began = time.perf_counter()
    torch.mm(matrix, matrix, out=out)
    wait()
    return time.perf_counter() - began
