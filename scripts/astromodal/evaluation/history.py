"""The losses of a training run, as it wrote them down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.errors import FormatError, must_be
from astromodal.evaluation.metrics import LN2
from astromodal.evaluation.parts import table
from astromodal.evaluation.style import BLUE, FAINT, ORANGE, new_figure
from astromodal.training.layout import MODALITIES


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


def last_value(entries: Sequence[dict[str, Any]], key: str) -> float:
    """The last value of `key`; NaN where there is none."""
    values = series(entries, key)[1]
    return float(values[-1]) if values.size else np.nan


def untrained_value(entries: Sequence[dict[str, Any]], key: str) -> float:
    """The value of `key` before the first step; NaN where none was written down."""
    steps, values = series(entries, key)
    return float(values[0]) if steps.size and steps[0] == 0 else np.nan


def median_value(entries: Sequence[dict[str, Any]], key: str) -> float:
    """The median of `key`, such as the speed of training; NaN where none was written down."""
    values = series(entries, key)[1]
    return float(np.median(values)) if values.size else np.nan


def draw_history(history: dict[str, list[dict[str, Any]]]) -> Figure:
    """Surprise against the step, a panel a modality: training, validation, and the unigram."""
    figure, axes = new_figure(1, len(MODALITIES), height=2.7)
    for axis, modality in zip(axes[0], MODALITIES, strict=True):
        key = f"cross_entropy_{modality}"
        steps, values = series(history["train"], key)
        axis.plot(
            steps, values / LN2, ".-", color=BLUE, markersize=2, label="training", linewidth=1
        )
        steps, values = series(history["validation"], key)
        axis.plot(steps, values / LN2, "o-", color=ORANGE, markersize=3, label="validation")
        baseline = series(history["validation"], f"unigram_{modality}")[1]
        if baseline.size:
            axis.axhline(
                baseline[-1] / LN2, color=FAINT, linestyle="--", label="unigram on validation"
            )
        axis.set_title(modality)
        axis.set_xlabel("step")
        axis.locator_params(axis="x", nbins=4)
        if not steps.size:
            axis.text(0.5, 0.5, "no codes", ha="center", transform=axis.transAxes, color=FAINT)
            axis.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("surprise (bits a code)")
    drawn = (dict(zip(*a.get_legend_handles_labels()[::-1], strict=True)) for a in axes[0])
    legend = max(drawn, key=len)
    figure.legend(legend.values(), legend.keys(), loc="outside upper center", ncols=3)
    return figure


def history_table(history: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Surprise at the first, best and last validation, and at the end of training (bits a code)."""
    heading = [
        "modality", "validations", "first validation (bits)", "best validation (bits)",
        "at step", "last validation (bits)", "unigram on validation (bits)", "last training (bits)",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for modality in MODALITIES:
        steps, values = series(history["validation"], f"cross_entropy_{modality}")
        training = series(history["train"], f"cross_entropy_{modality}")[1] / LN2
        baseline = series(history["validation"], f"unigram_{modality}")[1] / LN2
        cells: list[Any] = [None] * 4
        if values.size:
            bits, best = values / LN2, int(values.argmin())
            cells = [bits[0], bits[best], int(steps[best]), bits[-1]]
        last = [float(a[-1]) if a.size else None for a in (baseline, training)]
        rows.append([modality, len(values), *cells, *last])
    return table(heading, rows)
