"""Figures of the decoded spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.config.schema import SpectrumSettings
from astromodal.evaluation.metrics import codebook_table, draw_codebooks, r2, reduced_chi2
from astromodal.evaluation.report.section import Part, measured, table
from astromodal.evaluation.report.style import (
    FAINT,
    INK,
    new_figure,
)
from astromodal.evaluation.spectra.measures import FOLLOWS, Along
from astromodal.evaluation.spectra.sample import GroupSample
from astromodal.surveys.group import Family
from astromodal.surveys.registry import by_family, grid_group, spectrum_group


def colour(group: str) -> str:
    """The colour of a group, the same in every figure."""
    return spectrum_group(group).colour


def draw_examples(
    groups: dict[str, GroupSample], waves: dict[str, np.ndarray], family: Family, most: int
) -> tuple[Figure, list[list[Any]]]:
    """Observed and decoded spectra of a few objects.

    Parameters
    ----------
    groups : dict of str to GroupSample
        The family's groups, each with at least one spectrum.
    waves : dict of str to (L,) float
        Centres of each group's bins.
    family : Family
        Its groups share a panel where it has a span; otherwise they stand side by side.
    most : int
        Objects at most.

    Returns
    -------
    figure, rows
        The figure, and a row of numbers for each spectrum in it.
    """
    chosen = choose_examples(groups, most)
    together = family.span is not None
    columns = 1 if together else len(groups)
    figure, axes = new_figure(len(chosen), columns, height=0.6 + 1.15 * len(chosen), sharex="col")
    rows = []
    for i, (name, snr) in enumerate(chosen):
        limits = []
        for j, (group, sample) in enumerate(groups.items()):
            axis = axes[i, 0 if together else j]
            found = np.flatnonzero(sample.ids == name)
            if not together:
                axis.set_title(
                    f"{group}, {name}" if found.size else f"{group}: none", loc="left", fontsize=7
                )
            if not found.size:
                continue
            rows.append(_example(axis, sample, int(found[0]), waves[group], group))
            limits.append(_limits(sample.flux[found[0]]))
            if not together:
                axis.set_ylim(*limits[-1])
        if family.span is not None:
            axes[i, 0].set_title(f"{name}, S/N {snr:.1f}", loc="left", fontsize=7)
            axes[i, 0].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
            axes[i, 0].set_xlim(*family.span)
    kind = spectrum_group(next(iter(groups)))
    for axis in axes[-1]:
        axis.set_xlabel(kind.axis.label)
    figure.supylabel(kind.values.label, fontsize=8, color=INK)
    return figure, rows


def choose_examples(groups: dict[str, GroupSample], most: int) -> list[tuple[str, float]]:
    """Ids and S/N at evenly spaced ranks of S/N, the highest first."""
    best: dict[str, float] = {}
    for sample in groups.values():
        for name, snr in zip(sample.ids.tolist(), sample.snr().tolist(), strict=True):
            best[name] = max(best.get(name, -np.inf), snr)
    order = sorted(best, key=lambda name: (-best[name], name))
    ranks = np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))
    return [(order[rank], best[order[rank]]) for rank in ranks]


def _example(axis: Any, sample: GroupSample, i: int, wave: np.ndarray, group: str) -> list[Any]:
    flux, ivar, decoded = sample.flux[i], sample.ivar[i], sample.decoded[i]
    sigma = np.where(ivar > 0, 1 / np.sqrt(np.where(ivar > 0, ivar, 1)), np.nan)
    axis.fill_between(wave, flux - sigma, flux + sigma, color=FAINT, alpha=0.35, linewidth=0)
    axis.plot(wave, decoded, color=colour(group), linewidth=1.8)
    axis.plot(wave, flux, color=INK, linewidth=0.4)
    return [
        str(sample.ids[i]), group, float(sample.snr()[i]),
        float(r2(flux[None], decoded[None], ivar[None])[0]),
        float(reduced_chi2(flux[None], decoded[None], ivar[None])[0]),
        100 * float(sample.decoded_scale[i] / sample.scale[i] - 1),
    ]  # fmt: skip


def _limits(flux: np.ndarray) -> tuple[float, float]:
    """Limits that a few wild pixels do not stretch."""
    low, high = np.nanquantile(flux, [0.01, 0.99])
    pad = 0.25 * (high - low) or 1.0
    return float(low - pad), float(high + pad)


def draw_along(along: dict[str, Along], family: Family, follows: float) -> Figure:
    """Error of the continuum and explained variance along the wavelength."""
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
        top.axhspan(-100 * follows, 100 * follows, color=FAINT, alpha=0.13, linewidth=0)
        top.axhline(0, color=FAINT, linewidth=0.8)
        bottom.axhline(1, color=FAINT, linewidth=0.8)
        top.legend(loc="lower right", ncols=3)
    lowest = np.nanmin(
        [np.nanmin(np.append(a.r2 - np.nan_to_num(a.r2_error), 0.95)) for a in along.values()]
    )
    axes[1, 0].set(ylabel="R²", ylim=(max(-0.5, lowest - 0.02), 1 + 0.1 * (1 - max(-0.5, lowest))))
    axes[0, 0].set_ylabel("continuum error (%)")
    return figure


def draw_quality(live: dict[str, GroupSample], numbers: dict[str, Any]) -> Figure:
    """R² and reduced chi² of every spectrum against its S/N, with the medians of S/N bins."""
    figure, axes = new_figure(1, 2, height=3.3)
    for i, (name, sample) in enumerate(live.items()):
        style = {"color": colour(name)}
        snr = np.maximum(sample.snr(), 0.1)
        values = (
            1 - r2(sample.flux, sample.decoded, sample.ivar),
            reduced_chi2(sample.flux, sample.decoded, sample.ivar),
        )
        for axis, value, key in zip(axes[0], values, ("r2", "chi2"), strict=True):
            axis.plot(
                snr, value, ".", markersize=2.5, alpha=0.5, rasterized=len(snr) > 500, **style
            )
            _medians(axis, numbers[name]["snr"], key, snr, name, style, "osD^v"[i % 5])
    left, right = axes[0]
    for axis in (left, right):
        axis.set(xscale="log", xlabel="S/N of a bin (median; below 0.1 drawn at 0.1)")
        axis.xaxis.label.set_fontsize(7.5)
    left.set(ylabel="unexplained variance 1 - R²", yscale="log")
    right.set(ylabel="reduced χ²", yscale="log")
    right.axhline(1, color=INK, linestyle="--", linewidth=0.9)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


def _medians(
    axis: Any,
    bins: list[dict[str, Any]],
    key: str,
    snr: np.ndarray,
    name: str,
    style: Any,
    marker: str,
) -> None:
    used = [b for b in bins if b["n"] and np.isfinite(b[key]["value"])]
    if not used:
        return
    x = [float(np.median(snr[(snr >= b["low"]) & (snr < b["high"])])) for b in used]
    y = np.array([b[key]["value"] for b in used])
    y = 1 - y if key == "r2" else y
    error = np.nan_to_num([b[key]["error"] for b in used])
    error = np.stack([np.minimum(error, 0.9 * y), error])  # a log axis shows no bar that reaches 0
    axis.errorbar(
        x, y, yerr=error, fmt=marker, markersize=6, label=name, linewidth=1.2,
        markeredgecolor="white", markeredgewidth=0.6, **style,
    )  # fmt: skip


def add_figures(
    part: Part,
    live: dict[str, GroupSample],
    along: dict[str, Along],
    spectrum: SpectrumSettings,
    n_examples: int,
) -> None:
    """Add every figure of the groups that have spectra.

    Parameters
    ----------
    part : Part
        With ``groups`` among its numbers.
    live, along : dict of str to GroupSample, Along
        By group, at least one spectrum each.
    spectrum : SpectrumSettings
        Gives the groups' bins.
    n_examples : int
        Objects in the figure of examples.
    """
    for family, names in by_family(live).items():
        groups = {name: live[name] for name in names}
        waves = {name: grid_group(name).bin_centres(spectrum) for name in names}
        own = {name: along[name] for name in names}
        _add_family(part, family, groups, waves, own, n_examples)
    part.figure(
        draw_quality(live, part.numbers["groups"]), "quality",
        "Unexplained variance 1 - R² and reduced χ² of each spectrum against its S/N; large "
        "symbols: medians of S/N bins with bootstrap errors.",
        "Left: lower is better. Right: below the dashed line coding adds less than the noise. At "
        "high S/N the codebook's resolution is the limit, so χ² rises there however little is "
        "unexplained.",
        _quality_table(part.numbers["groups"]),
    )  # fmt: skip
    part.figure(
        draw_codebooks({g: s.counts for g, s in live.items()}, {g: colour(g) for g in live}),
        "codebooks",
        "Use of the spectrum codebooks by the evaluated fields: share of tokens in the most used "
        "codes.",
        "A curve that climbs late uses its codebook evenly; dead codes are wasted ids.",
        codebook_table({name: n["codebook"] for name, n in part.numbers["groups"].items()}),
    )  # fmt: skip


def _add_family(
    part: Part,
    family: Family,
    groups: dict[str, GroupSample],
    waves: dict[str, np.ndarray],
    along: dict[str, Along],
    n_examples: int,
) -> None:
    title = family.label
    drawn, rows = draw_examples(groups, waves, family, n_examples)
    part.figure(
        drawn, f"examples_{family.name}",
        f"{title}: observed, rebinned spectra (thin line; grey: ±1σ) and what their codes "
        "decode to (coloured), over the whole range, at evenly spaced ranks of "
        "signal-to-noise; none was picked by eye.",
        "The thin line should run along the coloured one, at continuum and lines, from end "
        "to end.",
        table(["object", "group", "S/N", "R²", "reduced χ²", "scale error (%)"], rows),
    )  # fmt: skip
    part.figure(
        draw_along(along, family, FOLLOWS), f"along_{family.name}",
        f"{title}: along the wavelength, median and 68 % range of the error of the continuum, "
        "relative to the flux or to the object's scale where that is larger (top); variance "
        "of arcsinh(flux / noise) over all objects that is explained, with bootstrap error "
        "(bottom).",
        "Errors should be centred on zero, and R² high, over the whole range and not just in "
        f"its middle; the band of ±{100 * FOLLOWS:g} % is what counts as following the "
        "continuum.",
        _along_table(along),
    )  # fmt: skip


def _along_table(along: dict[str, Along]) -> dict[str, Any]:
    axis = spectrum_group(next(iter(along))).axis
    label = axis.printed or axis.name
    heading = [
        "group", f"from ({label})", f"to ({label})", "spectra", "median continuum error (%)",
        "68 % half-range (%)", "90 % stay within (%)", "R²",
    ]  # fmt: skip
    return table(heading, [
        [name, a.start[k], a.stop[k], int(a.live[k]),
         measured(100 * a.offset[k], 100 * a.offset_error[k]), 100 * a.scatter[k], 100 * a.p90[k],
         measured(a.r2[k], a.r2_error[k])]
        for name, a in along.items() for k in range(len(a.start))
    ])  # fmt: skip


def _quality_table(groups: dict[str, Any]) -> dict[str, Any]:
    heading = [
        "group", "S/N", "spectra", "median R²", "median reduced χ²", "R² of all together",
        "median scale error (%)", "dead fibres", "bits an object",
    ]  # fmt: skip
    rows = []
    for name, n in groups.items():
        scale = measured(100 * n["scale_error"]["value"], 100 * n["scale_error"]["error"])
        rows.append(
            [
                name,
                "all",
                n["n_live"],
                n["r2"],
                n["chi2"],
                n["r2_pooled"],
                scale,
                n["n_dead"],
                n["bits_an_object"],
            ]
        )
        for b in n["snr"]:
            if b["n"]:
                text = (
                    f"{b['low']:g} to {b['high']:g}"
                    if np.isfinite(b["high"])
                    else f"over {b['low']:g}"
                )
                rows.append([name, text, b["n"], b["r2"], b["chi2"], None, None, None, None])
    return table(heading, rows)
