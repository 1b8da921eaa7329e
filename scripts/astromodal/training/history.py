"""The losses of a training run, a JSON object a line, each of which ends with its own CRC-32."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.core.files import put_aside, remake
from astromodal.errors import FormatError, must_be

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
