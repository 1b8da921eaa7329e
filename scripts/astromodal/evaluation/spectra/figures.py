"""Figures and tables of decoded spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astromodal.evaluation.report.section import Measurement, Row, Table
from astromodal.evaluation.report.style import (
    FAINT,
    INK,
    new_figure,
)
from astromodal.evaluation.spectra.measures import Along, GroupNumbers, SnrBin
from astromodal.evaluation.spectra.redshifts import DELTA_CHI2, SAME, Compared, RedshiftNumbers
from astromodal.evaluation.spectra.sample import WIDE, GroupSample, strongest_lines
from astromodal.surveys.group import Family
from astromodal.surveys.registry import spectrum_group


def colour(group: str) -> str:
    """Return the colour of a group, the same in every figure."""
    return spectrum_group(group).colour


def plot_examples(
    groups: Mapping[str, GroupSample], family: Family, most: int
) -> tuple[Figure, Table]:
    """Plot measured and decoded spectra of a few objects of one survey.

    Parameters
    ----------
    groups : dict of str to GroupSample
        The survey's groups, each with at least one spectrum.
    family : Family
        The groups' family. With a span of wavelengths, its groups share one panel; without, each
        has a panel of its own.
    most : int
        Largest number of objects.

    Returns
    -------
    figure, table
        The figure, and a table with the numbers of each spectrum in it.
    """
    chosen = choose_examples(groups, most)
    together = family.span is not None
    columns = 1 if together else len(groups)
    figure, axes = new_figure(len(chosen), columns, height=0.6 + 1.15 * len(chosen), sharex="col")
    rows: list[Row] = []
    for i, (name, snr) in enumerate(chosen):
        limits = []
        for j, (group, sample) in enumerate(groups.items()):
            axis = axes[i, 0 if together else j]
            place = np.flatnonzero(sample.ids == name)
            if not together:
                title = f"{group}, {name}" if place.size else f"{group}: none"
                axis.set_title(title, loc="left", fontsize=7)
            if not place.size:
                continue
            rows.append(_plot_example(axis, sample, int(place[0]), group))
            limits.append(_limits(sample.pixels.flux[place[0]]))
            if not together:
                axis.set_ylim(*limits[-1])
        if together:
            axes[i, 0].set_title(f"{name}, S/N {snr:.1f}", loc="left", fontsize=7)
            axes[i, 0].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
            axes[i, 0].set_xlim(family.span)
    shared = spectrum_group(next(iter(groups)))
    for axis in axes[-1]:
        axis.set_xlabel(shared.axis.label)
    figure.supylabel(shared.values.label, fontsize=8, color=INK)
    heading = ["object", "group", "S/N", "reduced χ²", "R² of bins", "scale error (%)"]
    return figure, Table(heading, rows)


def choose_examples(groups: Mapping[str, GroupSample], most: int) -> list[tuple[str, float]]:
    """Return ids and S/N of objects at evenly spaced ranks of S/N, the highest first."""
    best: dict[str, float] = {}
    for sample in groups.values():
        for name, snr in zip(sample.ids.tolist(), sample.pixels.snr().tolist(), strict=True):
            best[name] = max(best.get(name, -np.inf), snr)
    order = sorted(best, key=lambda name: (-best[name], name))
    return [(order[rank], best[order[rank]]) for rank in choose_ranks(len(order), most)]


def choose_ranks(n: int, most: int) -> np.ndarray:
    """Return evenly spaced ranks from 0 to n - 1, int (m,), at most `most`."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).round().astype(int))


def _plot_example(axis: Axes, sample: GroupSample, i: int, group: str) -> Row:
    """Plot spectrum `i` and return its row of the table."""
    chosen = sample.pixels.take([i])
    wave, flux, decoded = chosen.wave, chosen.flux[0], chosen.decoded[0]
    ivar = np.where(chosen.good[0], chosen.ivar[0], np.nan)
    sigma = 1 / np.sqrt(ivar)
    measured = np.where(chosen.good[0], flux, np.nan)
    axis.fill_between(wave, measured - sigma, measured + sigma, color=FAINT, alpha=0.35, lw=0)
    axis.plot(wave, measured, color=INK, linewidth=0.3)
    axis.plot(wave, decoded, color=colour(group), linewidth=0.9)
    return [
        str(sample.ids[i]), group, float(chosen.snr()[0]), float(chosen.chi2()[0]),
        float(sample.bins.take([i]).r2()[0]),
        100 * float(sample.decoded_scale[i] / sample.scale[i] - 1),
    ]  # fmt: skip


def _limits(flux: np.ndarray) -> tuple[float, float]:
    """Return limits of an axis that a few outlying pixels do not stretch."""
    low, high = np.nanquantile(flux, [0.01, 0.99])
    pad = 0.25 * (high - low) or 1.0
    return float(low - pad), float(high + pad)


def plot_along(along: Mapping[str, Along], family: Family, mark: float) -> Figure:
    """Plot the error of the continuum and R² along the wavelength.

    Parameters
    ----------
    along : dict of str to Along
        By group of the family.
    family : Family
        The groups' family. With a span of wavelengths, its groups share one panel; without, each
        has a panel of its own.
    mark : float
        Half the height of the shaded band.
    """
    together = family.span is not None
    columns = 1 if together else len(along)
    figure, axes = new_figure(2, columns, height=4.2, sharex="col", sharey="row")
    for j, (group, a) in enumerate(along.items()):
        top, bottom = axes[:, 0 if together else j]
        middle, half = (a.start + a.stop) / 2, (a.stop - a.start) / 2
        style = {"fmt": "o", "markersize": 3, "linewidth": 1, "color": colour(group)}
        top.errorbar(middle, 100 * a.offset, 100 * a.scatter, half, label=group, **style)
        bottom.errorbar(middle, a.r2, np.nan_to_num(a.r2_error), half, **style)
        bottom.set_xlabel(spectrum_group(group).axis.label)
    for top, bottom in axes.T:
        top.axhspan(-100 * mark, 100 * mark, color=FAINT, alpha=0.13, linewidth=0)
        top.axhline(0, color=FAINT, linewidth=0.8)
        bottom.axhline(1, color=FAINT, linewidth=0.8)
        top.legend(loc="lower right", ncols=3)
    lowest = np.nanmin(
        [np.nanmin(np.append(a.r2 - np.nan_to_num(a.r2_error), 0.95)) for a in along.values()]
    )
    axes[1, 0].set(ylabel="R²", ylim=(max(-0.5, lowest - 0.02), 1 + 0.1 * (1 - max(-0.5, lowest))))
    axes[0, 0].set_ylabel("continuum error (%)")
    return figure


def plot_quality(samples: Mapping[str, GroupSample], numbers: Mapping[str, GroupNumbers]) -> Figure:
    """Plot reduced χ² of pixels and of bins of every spectrum against its S/N, with medians."""
    figure, axes = new_figure(1, 2, height=3.3, sharex=True)
    left, right = axes[0]
    for i, (name, sample) in enumerate(samples.items()):
        style = {"color": colour(name)}
        snr = np.maximum(sample.pixels.snr(), 0.1)
        panels = (
            (left, sample.pixels.chi2(), numbers[name].snr),
            (right, sample.bins.chi2(), numbers[name].bins_snr),
        )
        for axis, chi2, bins in panels:
            axis.plot(snr, chi2, ".", markersize=2.5, alpha=0.5, rasterized=len(snr) > 500, **style)
            medians = [b.chi2 for b in bins]
            _plot_medians(axis, bins, medians, snr, label=name, fmt="osD^v"[i % 5], **style)
    for axis in (left, right):
        axis.set(xscale="log", yscale="log", xlabel="S/N of a pixel (median; 0.1 and below at 0.1)")
        axis.xaxis.label.set_fontsize(7.5)
        axis.axhline(1, color=INK, linestyle="--", linewidth=0.9)
    left.set(ylabel="reduced χ² of pixels")
    right.set(ylabel="reduced χ² of bins")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


def plot_lines(groups: Mapping[str, GroupSample], compared: Compared, close: float) -> Figure:
    """Plot what is kept of the lines of one survey, and how far redshifts move.

    Parameters
    ----------
    groups : dict of str to GroupSample
        The survey's groups.
    compared : Compared
        Redshifts of their objects.
    close : float
        Half the height of the shaded band of flux ratios.
    """
    figure, ((left, right),) = new_figure(1, 2, height=3.3)
    left.axhspan(1 - close, 1 + close, color=FAINT, alpha=0.13, linewidth=0)
    widths: list[float] = []
    for name, sample in groups.items():
        for sign, label, face in ((1, name, colour(name)), (-1, None, "none")):
            lines = strongest_lines(sample.pixels, sign)
            widths += np.abs(lines.width).tolist()
            left.plot(
                np.abs(lines.width), (lines.decoded / lines.flux).clip(0, 2), "o", markersize=3.5,
                color=colour(name), markerfacecolor=face, alpha=0.7, linewidth=0, label=label,
            )  # fmt: skip
    left.axhline(1, color=INK, linestyle="--", linewidth=0.9)
    left.set(
        xscale="log",
        xlim=(WIDE, 1.3 * max([100.0, *widths])),
        xlabel="equivalent width, absolute (Å)",
        ylabel="line flux, decoded / measured",
    )
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    sure = compared.measured.delta_chi2
    clear = sure >= DELTA_CHI2[0]
    offsets = np.abs(compared.offsets()[clear]).clip(min=1)
    right.plot(sure[clear], offsets, "o", markersize=3, color=INK, alpha=0.5)
    right.axhline(SAME, color=INK, linestyle="--", linewidth=0.9)
    right.set(
        xscale="log", yscale="log", xlabel="Δχ² of the measured redshift",
        xlim=(DELTA_CHI2[0], 1.3 * max([1e3, *sure])), ylim=(0.8, 1e6),
        ylabel="|Δv| of the decoded redshift (km/s)",
    )  # fmt: skip
    return figure


def _plot_medians(
    axis: Axes,
    bins: Sequence[SnrBin],
    medians: Sequence[Measurement],
    snr: np.ndarray,
    **style: Any,
) -> None:
    """Plot the medians of S/N bins at the median S/N of their spectra."""
    used = [(b, m) for b, m in zip(bins, medians, strict=True) if b.n and m.known]
    if not used:
        return
    x = [float(np.median(snr[(snr >= b.low) & (snr < b.high)])) for b, _ in used]
    y = np.array([m.value for _, m in used])
    error = np.nan_to_num([m.error for _, m in used])
    error = np.stack([np.minimum(error, 0.9 * y), error])  # a log axis hides a bar that reaches 0
    axis.errorbar(
        x, y, yerr=error, markersize=6, linewidth=1.2, markeredgecolor="white",
        markeredgewidth=0.6, **style,
    )  # fmt: skip


def along_table(along: Mapping[str, Along]) -> Table:
    """Return a table with one row per group and segment of the wavelength range."""
    axis = spectrum_group(next(iter(along))).axis
    label = axis.printed or axis.name
    heading = [
        "group", f"from ({label})", f"to ({label})", "spectra", "median continuum error (%)",
        "68 % half-range (%)", "90 % of spectra within (%)", "R²",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, a.start[k], a.stop[k], int(a.live[k]),
         Measurement(100 * a.offset[k], 100 * a.offset_error[k]), 100 * a.scatter[k],
         100 * a.p90[k], Measurement(a.r2[k], a.r2_error[k])]
        for name, a in along.items() for k in range(len(a.start))
    ]  # fmt: skip
    return Table(heading, rows)


def quality_table(groups: Mapping[str, GroupNumbers]) -> Table:
    """Return a table with one row per group and one per bin of S/N."""
    heading = [
        "group", "S/N of a pixel", "spectra", "χ² of pixels", "χ² of bins", "R² of pixels",
        "R² of bins", "R² of all bins together", "median scale error (%)", "dead fibres",
        "bits per object",
    ]  # fmt: skip
    rows: list[Row] = []
    for name, n in groups.items():
        rows.append([name, "all", n.n_live, n.chi2, n.bins_chi2, n.r2, n.bins_r2, n.bins_r2_pooled,
                     n.scale_error.scaled(100), n.n_dead, n.bits_an_object])  # fmt: skip
        rows += [
            [name, str(pixels), pixels.n, pixels.chi2, bins.chi2, pixels.r2, bins.r2, *[None] * 4]
            for pixels, bins in zip(n.snr, n.bins_snr, strict=True) if pixels.n
        ]  # fmt: skip
    return Table(heading, rows)


def lines_table(groups: Mapping[str, GroupNumbers], redshifts: RedshiftNumbers) -> Table:
    """Return a table of the lines of each group of a survey, and of redshifts by Δχ²."""
    heading = [
        "what", "objects", "decoded / measured, median", "scatter",
        "median error of the measured (%)", "within 5 % (%)", "median |Δv| (km/s)",
        "other redshift (%)",
    ]  # fmt: skip
    rows: list[Row] = []
    for name, n in groups.items():
        for kind, lines in n.lines().items():
            rows.append([f"{name}: flux of {kind} lines", lines.flux.n, lines.flux,
                         lines.flux_scatter, lines.noise.scaled(100), lines.close.scaled(100),
                         None, None])  # fmt: skip
            rows.append([f"{name}: equivalent width of {kind} lines", lines.width.n, lines.width,
                         lines.width_scatter, *[None] * 4])  # fmt: skip
    rows += [
        [f"redshift, Δχ² {b}", b.n, *[None] * 4, b.offset, b.other.scaled(100)]
        for b in (redshifts.all, *redshifts.by_delta_chi2) if b.n
    ]  # fmt: skip
    return Table(heading, rows)
