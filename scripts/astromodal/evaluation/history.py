"""Figure and table of the losses of a training run."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from astromodal.evaluation.metrics import LN2
from astromodal.evaluation.parts import table
from astromodal.evaluation.style import BLUE, FAINT, ORANGE, new_figure
from astromodal.training.history import series
from astromodal.training.layout import MODALITIES


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
