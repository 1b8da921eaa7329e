"""Figures of the calibration and of temperatures, with their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from astromodal.evaluation.downstream.calibration import (
    CHECKED,
    LEVELS,
    Calibration,
    pit_histogram,
)
from astromodal.evaluation.downstream.figures import STYLES
from astromodal.evaluation.downstream.predictions import MODEL, Predictions, most_modalities
from astromodal.evaluation.downstream.temperatures import TemperatureNumbers
from astromodal.evaluation.report.section import Row, Section, Table
from astromodal.evaluation.report.style import INK, PALETTE, new_figure
from astromodal.training.calibration import LOG_TEMPERATURES

_MARKERS = "os^"


def add_calibration_figures(
    section: Section,
    predictions: Sequence[Predictions],
    temperature: Mapping[str, TemperatureNumbers],
) -> None:
    """Add the figures of the calibration and of temperatures, where there are any.

    Parameters
    ----------
    section : Section
        The section.
    predictions : sequence of Predictions
        Predictions of all tasks.
    temperature : mapping
        Temperatures by modality.
    """
    best = most_modalities(predictions)
    shown = {t.name: p.calibration for t, p in best.items() if p.calibration is not None}
    if shown:
        _add_calibration(section, predictions, shown)
    if temperature:
        _add_temperatures(section, temperature)


def _add_calibration(
    section: Section, predictions: Sequence[Predictions], shown: Mapping[str, Calibration]
) -> None:
    rows: list[Row] = []
    for each in predictions:
        if each.calibration is not None:
            n, target = each.calibration.numbers, each.task.target
            coverage = [n.coverage[str(p)].scaled(100) for p in LEVELS]
            before = n.uncalibrated
            rows.append([target.name, target.unit or "none", each.task.given, len(each.task.score),
                         *coverage, n.crps, n.crps_constant, n.crps_gain, n.nll, n.nll_constant,
                         n.nll_gain, n.temperature, before["coverage"].scaled(100),
                         before["crps"], before["nll"]])  # fmt: skip
    section.add_figure(
        plot_calibration(shown), "calibration",
        "The model's predicted distributions against the truth, from the most modalities: "
        "probability integral transform (PIT; above, with Poisson errors) and coverage of central "
        "intervals (below, with Wilson errors). The table lists the CRPS and the negative "
        "log-likelihood (NLL) of the true bin, and those of the constant, which is the "
        "distribution of the labels. Distributions are calibrated: training has fitted the "
        "temperature of a column, and the levels of its quantiles, to the validation split, where "
        "that has 50 values or more. The last columns of the table are without calibration.",
        "Above, bars should reach the dashed line. Bars that are high at both ends show too narrow "
        "distributions, a hump too wide ones, a slope a bias. Below, points under the line show "
        "too narrow intervals.",
        Table(["target", "unit", "given", "objects", *(f"inside {p:.0%} (%)" for p in LEVELS),
               "CRPS (unit)", "constant's CRPS (unit)", "CRPS gain (unit)", "NLL (nats)",
               "constant's NLL (nats)", "NLL gain (nats)", "temperature",
               f"inside {CHECKED:.0%} uncalibrated (%)", "CRPS uncalibrated (unit)",
               "NLL uncalibrated (nats)"], rows),
    )  # fmt: skip


def plot_calibration(calibrations: Mapping[str, Calibration]) -> Figure:
    """Plot PIT histograms (above) and coverage (below), one column per target.

    Parameters
    ----------
    calibrations : mapping
        Calibration by the name of the target.
    """
    figure, axes = new_figure(2, len(calibrations), height=4.4)
    colour = STYLES[MODEL].colour
    for (above, below), (name, calibration) in zip(axes.T, calibrations.items(), strict=True):
        density, error = pit_histogram(calibration.pit)
        edges = np.linspace(0, 1, len(density) + 1)
        above.stairs(density, edges, color=colour, fill=True, alpha=0.35)
        above.errorbar((edges[:-1] + edges[1:]) / 2, density, error, fmt="none", color=colour)
        above.axhline(1, color=INK, linestyle="--", linewidth=0.9)
        above.set(xlabel="PIT", ylim=(0, None))
        above.set_title(name, fontsize=8)
        coverage = [calibration.numbers.coverage[str(level)] for level in LEVELS]
        below.plot([0, 100], [0, 100], "--", color=INK, linewidth=0.9)
        below.errorbar(
            100 * np.array(LEVELS), [100 * c.value for c in coverage],
            [100 * c.error for c in coverage], fmt="o", color=colour, markersize=4,
        )  # fmt: skip
        below.set(xlabel="nominal probability (%)", xlim=(0, 105), ylim=(0, 105))
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("objects inside (%)")
    return figure


def _add_temperatures(section: Section, temperature: Mapping[str, TemperatureNumbers]) -> None:
    section.add_figure(
        plot_temperatures(temperature), "temperature",
        "Negative log-likelihood (NLL) of the codes of evaluated objects where logits are divided "
        "by a temperature, minus that at T = 1. Star: the temperature fitted on the validation "
        "split of the training fields, with bootstrap errors over objects.",
        "One temperature for all codes of a modality, without those of columns. Where a star is "
        "below zero by more than its error, it makes the predicted probabilities of the modality "
        "better calibrated, and `AstroModel.calibrated` applies it. At zero it has no effect.",
        Table(
            ["modality", "validation objects", "objects", "temperature",
             "NLL before (nats per code)", "NLL after (nats per code)", "gain (nats per code)",
             "helps"],
            [[modality, n.n_validation, n.n_objects, n.temperature, n.before, n.after, n.gain,
              "yes" if n.helps else "no"] for modality, n in temperature.items()],
        ),
    )  # fmt: skip


def plot_temperatures(temperature: Mapping[str, TemperatureNumbers]) -> Figure:
    """Plot the NLL of evaluated objects against the temperature, and the fitted temperature."""
    figure, axes = new_figure(1, len(temperature), height=2.7)
    for i, (axis, (modality, numbers)) in enumerate(zip(axes[0], temperature.items(), strict=True)):
        axis.plot(2**LOG_TEMPERATURES, numbers.curve, _MARKERS[i], color=PALETTE[i], markersize=4)
        fine = np.linspace(LOG_TEMPERATURES[0], LOG_TEMPERATURES[-1], 200)
        axis.plot(2**fine, CubicSpline(LOG_TEMPERATURES, numbers.curve)(fine), color=PALETTE[i])
        fitted, gain = numbers.temperature, numbers.gain
        axis.errorbar(
            fitted.value, -gain.value, gain.error, np.nan_to_num(fitted.error),
            fmt="*", color=INK, markersize=8,
        )  # fmt: skip
        axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set_xscale("log", base=2)
        axis.set_xticks([0.5, 0.7, 1.0, 1.4, 2.0], ["0.5", "0.7", "1", "1.4", "2"])
        axis.set(xlabel="temperature", title=modality)
        reach = 4 * max(abs(gain.value), gain.error, 0.01)
        axis.set_ylim(-reach, reach)
    axes[0, 0].set_ylabel("NLL − NLL at T = 1 (nats per code)")
    return figure
