"""Figures of the model's calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from astromodal.evaluation.downstream.answers import Answers
from astromodal.evaluation.downstream.calibration import LEVELS, Calibration, pit_histogram
from astromodal.evaluation.downstream.temperature import LOG_TEMPERATURES
from astromodal.evaluation.style import BLUE, INK, PALETTE, new_figure

_MARKERS = "os^"


def draw_calibration(found: Sequence[tuple[Answers, Calibration]]) -> Figure:
    """PIT histograms (above) and coverage of central intervals (below), a column a target."""
    figure, axes = new_figure(2, len(found), height=4.4)
    for (above, below), (answers, calibration) in zip(axes.T, found, strict=True):
        density, error = pit_histogram(calibration.pit)
        edges = np.linspace(0, 1, len(density) + 1)
        above.stairs(density, edges, color=BLUE, fill=True, alpha=0.35)
        above.errorbar((edges[:-1] + edges[1:]) / 2, density, error, fmt="none", color=BLUE)
        above.axhline(1, color=INK, linestyle="--", linewidth=0.9)
        above.set(xlabel="PIT", ylim=(0, None))
        above.set_title(answers.case.target.name, fontsize=8)
        cells = [calibration.numbers["coverage"][str(level)] for level in LEVELS]
        below.plot([0, 100], [0, 100], "--", color=INK, linewidth=0.9)
        below.errorbar(
            100 * np.array(LEVELS), [100 * c["value"] for c in cells],
            [100 * c["error"] for c in cells], fmt="o", color=BLUE, markersize=4,
        )  # fmt: skip
        below.set(xlabel="probability said (%)", xlim=(0, 105), ylim=(0, 105))
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("objects inside (%)")
    return figure


def draw_temperatures(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Surprise of evaluated objects against the temperature; the fitted one with its error."""
    figure, axes = new_figure(1, len(found), height=2.7)
    for i, (axis, (modality, numbers)) in enumerate(zip(axes[0], found.items(), strict=True)):
        tint = PALETTE[i]
        axis.plot(2**LOG_TEMPERATURES, numbers["curve"], _MARKERS[i], color=tint, markersize=4)
        fine = np.linspace(LOG_TEMPERATURES[0], LOG_TEMPERATURES[-1], 200)
        axis.plot(2**fine, CubicSpline(LOG_TEMPERATURES, numbers["curve"])(fine), color=tint)
        fitted = numbers["temperature"]
        gain = numbers["gain"]
        axis.errorbar(
            fitted["value"], -gain["value"], gain["error"], np.nan_to_num(fitted["error"]),
            fmt="*", color=INK, markersize=8,
        )  # fmt: skip
        axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set_xscale("log", base=2)
        axis.set_xticks([0.5, 0.7, 1.0, 1.4, 2.0], ["0.5", "0.7", "1", "1.4", "2"])
        axis.set(xlabel="temperature", title=modality)
        reach = 4 * max(abs(gain["value"]), gain["error"], 0.01)
        axis.set_ylim(-reach, reach)
    axes[0, 0].set_ylabel("surprise − that at T = 1 (nats a code)")
    return figure
