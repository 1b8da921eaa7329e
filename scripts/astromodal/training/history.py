"""The record of a run: losses and speeds in a history file, the log and TensorBoard."""

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
from astromodal.training.losses import Sums
from astromodal.training.step import Outcome

_CHECK = ', "crc32": "'


def history_line(entry: Mapping[str, Any]) -> str:
    """Return the line of an entry, with its CRC-32 and a newline."""
    text = json.dumps(entry, allow_nan=False)
    return f'{text[:-1]}{_CHECK}{zlib.crc32(text.encode()):08x}"}}\n'


def read_history(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Return the entries of a ``history.jsonl`` by split, ``train`` and ``validation``, in order.

    Raises
    ------
    FormatError
        Where a line is no entry of a history, or was changed since it was written.
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
    """Return the entry of a line.

    Raises
    ------
    ValueError
        Where the line was changed since it was written.
    KeyError
        Where it is JSON without a CRC-32.
    """
    text, mark, check = line.rpartition(_CHECK)
    if not mark and isinstance(json.loads(line), dict):
        raise KeyError("crc32")
    text += "}"
    if not mark or check != f'{zlib.crc32(text.encode()):08x}"}}':
        raise ValueError("a line without its CRC-32")
    return dict(json.loads(text))


def series(entries: Sequence[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which `key` has a value, and the values, float64 (n,) each."""
    known = [entry for entry in entries if entry.get(key) is not None]
    steps = np.array([entry["step"] for entry in known], dtype=float)
    return steps, np.array([entry[key] for entry in known], dtype=float)


def value_at(entries: Sequence[dict[str, Any]], key: str, step: int) -> float:
    """Return the last value of `key` at or before `step`; NaN where there is none."""
    steps, values = series(entries, key)
    before = values[steps <= step]
    return float(before[-1]) if before.size else np.nan


def untrained_value(entries: Sequence[dict[str, Any]], key: str) -> float:
    """Return the value of `key` before the first step; NaN where there is none."""
    steps, values = series(entries, key)
    return float(values[0]) if steps.size and steps[0] == 0 else np.nan


def median_value(entries: Sequence[dict[str, Any]], key: str) -> float:
    """Return the median of `key`, a speed for example; NaN where it has no value."""
    values = series(entries, key)[1]
    return float(np.median(values)) if values.size else np.nan


class Writer(Protocol):
    """The part of TensorBoard's ``SummaryWriter`` that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a number at a step."""

    def close(self) -> None:
        """Write the remaining events."""


def tensorboard_writer(folder: Path, first_step: int) -> Writer | None:
    """Return a writer of event files to `folder`, or None where TensorBoard is not installed.

    It hides earlier events of `first_step` and later, which a killed run has left.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Writer = SummaryWriter(str(folder), purge_step=first_step)
    return writer


class Recorder:
    """Records the results of steps and validations.

    Parameters
    ----------
    history : path, optional
        The JSON-lines file; None where another process writes it.
    logger : logging.Logger
        Gets a line per entry.
    total : int
        Steps of the run.
    writer : Writer, optional
        Gets each number of each entry.
    peak : float, optional
        Floating-point operations per second that the devices reach together; without it no
        utilisation is recorded.
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
        """Begin to measure speed; losses from before a resumption have no time."""
        self._began, self._paused = time.monotonic(), 0.0
        self._steps, self._tokens, self._flops = 0, 0, 0.0

    def begin(self, entries: list[dict[str, Any]], window: Sums) -> None:
        """Continue from `entries` and the sums since; later lines of the file are dropped."""
        self.entries, self.window = list(entries), window
        if self.path is not None:
            write_text(self.path, "".join(map(history_line, entries)))
        self._restart()

    def add(self, outcome: Outcome) -> None:
        """Add a step to the window, whose means are the next training entry."""
        self.window.add(outcome.sums)
        self._steps += 1
        self._tokens += outcome.tokens
        self._flops += outcome.flops

    def train(self, step: int, epoch: int, learning_rate: float, loss: float | None) -> None:
        """Record the means of the window with their total `loss`, and begin another window."""
        means = self.window.means()
        values = {"learning_rate": learning_rate, **self._speed(), "loss": loss, **means}
        self._record(step, epoch, "train", values)
        self.window = self.window.like()
        self._restart()

    def _speed(self) -> dict[str, float | None]:
        """Return tokens per second, seconds per step and model-FLOPs utilisation of the window."""
        seconds = time.monotonic() - self._began - self._paused
        if seconds <= 0 or not self._steps:
            return dict.fromkeys(SPEEDS)
        used = self._flops / seconds / self.peak if self.peak else None
        rates = (self._tokens / seconds, seconds / self._steps, used)
        return dict(zip(SPEEDS, rates, strict=True))

    def validation(
        self, step: int, epoch: int, values: Mapping[str, float | None], seconds: float
    ) -> None:
        """Record a validation; its `seconds` do not count as training."""
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
        """Write the remaining events of TensorBoard."""
        if self.writer is not None:
            self.writer.close()


def _json_number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


SPEEDS = ("tokens_per_second", "seconds_per_step", "flops_utilisation")
"""Names of speeds in a history: they differ between two runs of the same training."""
_SIDE = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices by device: large enough to keep it busy, small enough for its memory."""
_WARM_UP = 3


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Measure the floating-point operations per second of a matrix product, once per process.

    Parameters
    ----------
    device : torch.device
        Device of the product; a CPU uses as many threads as PyTorch has.
    dtype : torch.dtype
        Type of the numbers.
    seconds : float
        Duration of the measurement (s).

    Returns
    -------
    float
        Operations per second, where a multiplication and an addition are two. It is that of the
        fastest product: disturbances only slow a product down.
    """
    side = _SIDE.get(device.type, 1024)
    numbers = torch.Generator().manual_seed(0)  # training's random numbers are not used
    matrix = torch.randn(side, side, generator=numbers).to(device, dtype)
    out = torch.empty_like(matrix)
    best, spent, done = 0.0, 0.0, 0
    while spent < seconds or done <= _WARM_UP:
        took = _time_product(matrix, out)
        spent, done = spent + took, done + 1
        best = max(best, 2 * side**3 / took)
    return best


def _time_product(matrix: torch.Tensor, out: torch.Tensor) -> float:
    """Return the time of one product (s)."""
    wait = torch.cuda.synchronize if matrix.is_cuda else lambda: None
    wait()
    began = time.perf_counter()
    torch.mm(matrix, matrix, out=out)
    wait()
    return time.perf_counter() - began
