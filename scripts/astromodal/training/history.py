"""The losses of a training run, as it wrote them down, read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.errors import FormatError, must_be


def read_history(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Entries of a ``history.jsonl`` by split: ``train`` and ``validation``, in order.

    Raises
    ------
    FormatError
        Where a line is no entry of a history.
    """
    entries: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            entries[entry["split"]].append(entry)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            message = must_be(f"{path}, line {number}", "an entry of a history", f"{line!r:.60}")
            raise FormatError(message) from error
    return entries


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
