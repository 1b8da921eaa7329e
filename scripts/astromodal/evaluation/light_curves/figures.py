"""The figures of the light curves, each with the table of its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.light_curves.sample import CurveSample
from astromodal.evaluation.metrics import codebook_table, plot_codebooks
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import INK, new_figure
from astromodal.evaluation.report.values import Measurement, Table
from astromodal.evaluation.spectra.figures import colour


def add_curve_figures(section: Section, live: dict[str, CurveSample], n_examples: int) -> None:
    """Add every figure of the groups that have light curves.

    Parameters
    ----------
    part : Part
        With ``light_curves`` among its numbers.
    live : dict of str to CurveSample
        By group, at least one light curve each.
    n_examples : int
        Light curves in the figure of examples.
    """
    numbers = section.numbers["light_curves"]
    name = max(live, key=lambda group: len(live[group].observed.time))
    drawn, rows = plot_curves(live[name], name, n_examples)
    section.add_figure(
        drawn, "examples_light_curves",
        f"{name}: observed magnitudes (dark, with their errors) and what their codes decode to, at "
        "decoded times (coloured), at evenly spaced ranks of variability (reduced χ² about the "
        "median); none was picked by eye.",
        "Coloured points should lie on dark ones. Times are sums of decoded steps, so they drift "
        "along a curve.",
        Table(["object", "epochs", "χ² about the median", "reduced χ²", "end off by (day)"], rows),
    )  # fmt: skip
    section.add_figure(
        plot_curve_quality(live, numbers), "quality_light_curves",
        "Unexplained variance about the object's median and reduced χ² of light curves by the "
        "median S/N of their epochs, with bootstrap errors.",
        "Left: lower is better. Right: below the dashed line coding adds less than the noise.",
        _quality_table(numbers),
    )  # fmt: skip
    section.add_figure(
        plot_codebooks({g: s.counts for g, s in live.items()}, {g: colour(g) for g in live}),
        "codebooks_light_curves",
        "Use of the light-curve codebooks by the evaluated fields: share of tokens in the most "
        "used codes.",
        "A curve that climbs late uses its codebook evenly; dead codes are wasted ids.",
        codebook_table({group: n["codebook"] for group, n in numbers.items()}),
    )  # fmt: skip


def plot_curves(sample: CurveSample, group: str, most: int) -> tuple[Figure, list[list[Any]]]:
    """Observed and decoded light curves, and a row of numbers for each."""
    observed, decoded, n = sample.observed, sample.decoded, sample.observed.lengths()
    about = (observed.mag - np.repeat(sample.median, n)) / observed.error
    variable = sample.sums(about**2) / n
    residual = sample.sums(((observed.mag - decoded.mag) / observed.error) ** 2) / n
    order = np.lexsort((sample.ids, -variable))
    ranks = np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))
    figure, axes = new_figure(len(ranks), 1, height=0.6 + 1.2 * len(ranks), sharex=True)
    rows = []
    for axis, i in zip(axes[:, 0], order[ranks].tolist(), strict=True):
        epochs = slice(observed.indptr[i], observed.indptr[i + 1])
        time = observed.time[epochs] - observed.time[epochs.start]
        axis.errorbar(
            time, observed.mag[epochs], observed.error[epochs], fmt=".", color=INK, markersize=3,
            linewidth=0.5,
        )  # fmt: skip
        axis.plot(
            decoded.time[epochs], decoded.mag[epochs], ".", color=colour(group), markersize=3,
            alpha=0.8,
        )  # fmt: skip
        axis.invert_yaxis()
        axis.set_title(str(sample.ids[i]), loc="left", fontsize=7)
        off = float(decoded.time[epochs][-1] - time[-1])
        rows.append([str(sample.ids[i]), int(n[i]), float(variable[i]), float(residual[i]), off])
    axes[-1, 0].set_xlabel("time since the first epoch (day)")
    figure.supylabel("magnitude (mag)", fontsize=8, color=INK)
    return figure, rows


def plot_curve_quality(live: dict[str, CurveSample], numbers: dict[str, Any]) -> Figure:
    """Medians of 1 - R² and of reduced chi² in bins of S/N, with bootstrap errors."""
    figure, axes = new_figure(1, 2, height=3.0)
    for name, sample in live.items():
        snr = sample.snr()
        used = [b for b in numbers[name]["snr"] if b["n"]]
        x = [np.median(snr[(snr >= b["low"]) & (snr < b["high"])]) for b in used]
        for axis, key in zip(axes[0], ("r2", "chi2"), strict=True):
            value = np.array([b[key].value for b in used])
            value = 1 - value if key == "r2" else value
            error = np.nan_to_num([b[key].error for b in used])
            low = np.minimum(error, 0.9 * np.abs(value))  # a log axis shows no bar that reaches 0
            axis.errorbar(x, value, [low, error], fmt="o", color=colour(name), label=name)
    left, right = axes[0]
    left.set(xscale="log", yscale="log", xlabel="S/N of an epoch (median)",
             ylabel="unexplained variance 1 - R²")  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="S/N of an epoch (median)", ylabel="reduced χ²")
    right.axhline(1, color=INK, linestyle="--", linewidth=0.9)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _quality_table(groups: dict[str, Any]) -> dict[str, Any]:
    heading = [
        "group", "S/N", "light curves", "median R²", "median reduced χ²", "R² of all together",
        "error of the median (mag)", "error of the precision (%)", "error of 1 + step (%)",
        "error of the duration (%)",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for name, n in groups.items():
        percent = [
            Measurement(100 * n[key].value, 100 * n[key].error)
            for key in ("precision_error", "step_error", "end_error")
        ]
        whole = [n["r2"], n["chi2"], n["r2_pooled"], n["median_error"], *percent]
        rows.append([name, "all", n["n_curves"], *whole])
        for b in n["snr"]:
            if b["n"]:
                over = not np.isfinite(b["high"])
                text = f"over {b['low']:g}" if over else f"{b['low']:g} to {b['high']:g}"
                rows.append([name, text, b["n"], b["r2"], b["chi2"], *[None] * 5])
    return Table(heading, rows)
