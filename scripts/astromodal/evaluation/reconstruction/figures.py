"""Figures of what the model reconstructs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.reconstruction.compare import (
    BASELINE,
    MEAN,
    MEAN_SHAPE,
    MODEL,
    SHAPE,
    TOKENIZER,
    WAYS,
)
from astromodal.evaluation.reconstruction.images import ImageSample
from astromodal.evaluation.reconstruction.scalars import ALONE
from astromodal.evaluation.reconstruction.spectra import SpectrumSample
from astromodal.evaluation.style import (
    AMBER,
    BLUE,
    FAINT,
    FLUX_UNITS,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    WAVE_LABELS,
    new_figure,
)

STYLES = {
    TOKENIZER: (GREEN, "^"),
    MODEL: (BLUE, "o"),
    ALONE: (ORANGE, "D"),
    BASELINE: (FAINT, "s"),
    MEAN: (AMBER, "s"),
    SHAPE: (PURPLE, "o"),
    MEAN_SHAPE: (FAINT, "s"),
}
"""Colour and marker of each way, the same in every figure."""
LOWEST = -1.0
"""R² below which a point is drawn at the edge: the table has its value."""


def draw_columns(columns: Mapping[str, Any]) -> Figure:
    """Median error of every scalar column in units of its spread, by way."""
    names = [name for name in columns if columns[name]["spread"] > 0]
    figure, axes = new_figure(height=1.4 + 0.17 * len(names))
    axis, y = axes[0, 0], np.arange(len(names))[::-1]
    for way in (TOKENIZER, BASELINE, MODEL):
        _points(axis, y, [(columns[n][way], columns[n]["spread"]) for n in names], way)
    chosen = [i for i, name in enumerate(names) if ALONE in columns[name]]
    if chosen:
        cells = [(columns[names[i]][ALONE][MODEL], columns[names[i]]["spread"]) for i in chosen]
        _points(axis, y[chosen], cells, ALONE)
    axis.set_xscale("log")
    axis.set_yticks(y, names, fontsize=6.5)
    axis.set(ylim=(-1, len(names)), xlabel="median |error| / spread of the training values")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _points(
    axis: Any, y: np.ndarray, cells: Sequence[tuple[dict[str, float], float]], way: str
) -> None:
    value, error = (
        np.array([cell[key] / spread for cell, spread in cells]) for key in ("value", "error")
    )
    colour, marker = STYLES[way]
    axis.errorbar(
        np.where(value > 0, value, np.nan), y, xerr=np.minimum(np.nan_to_num(error), 0.9 * value),
        fmt=marker, color=colour, markersize=3, linewidth=0.9, label=way,
    )  # fmt: skip


def draw_r2(rows: Mapping[str, Any], label: str) -> Figure:
    """Median R² of every band or group, by way; what is below the axis stands at its edge."""
    figure, axes = new_figure(height=3.0)
    axis, x = axes[0, 0], np.arange(len(rows))
    for i, way in enumerate(WAYS):
        colour, marker = STYLES[way]
        value, error = (
            np.array([n[way][key] for n in rows.values()]) for key in ("value", "error")
        )
        below = value < LOWEST
        shift = 0.12 * (i - (len(WAYS) - 1) / 2)
        axis.errorbar(
            x + shift, np.where(below, np.nan, value), np.nan_to_num(error), fmt=marker,
            color=colour, markersize=4, label=way,
        )  # fmt: skip
        axis.plot(x[below] + shift, np.full(below.sum(), LOWEST), "v", color=colour, clip_on=False,
                  markersize=6, fillstyle="none")  # fmt: skip
    axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set(ylabel="R², median of the objects", xlabel=label, ylim=(LOWEST, 1.05))
    axis.set_xticks(x, list(rows))
    axis.set_xlim(-0.6, len(rows) - 0.4)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def spaced(quality: np.ndarray, most: int) -> list[int]:
    """Places of at most `most` objects at evenly spaced ranks of `quality` (n,), best first."""
    known = np.flatnonzero(np.isfinite(quality))
    order = known[np.argsort(-quality[known], kind="stable")]
    ranks = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return order[ranks].tolist()


def draw_spectra(
    samples: Mapping[str, SpectrumSample], chosen: Sequence[tuple[str, int, float]]
) -> Figure:
    """Observed, decoded and predicted spectra.

    Parameters
    ----------
    samples : mapping of str to SpectrumSample
        By group.
    chosen : sequence of (str, int, float)
        Group, place in its sample, and the model's R², of each spectrum to draw.
    """
    n_rows = -(-len(chosen) // 2)
    figure, axes = new_figure(n_rows, 2, height=0.7 + 1.6 * n_rows)
    for axis, (group, i, quality) in zip(axes.flat, chosen, strict=False):
        sample, family = samples[group], group.split("_")[0]
        wave, flux, expected = sample.wave, sample.flux[i], sample.ways[SHAPE][i]
        factor = sample.factor[MODEL][i]
        std = np.abs(factor) * sample.std[i]
        axis.fill_between(wave, expected - std, expected + std, color=PURPLE, alpha=0.15,
                          linewidth=0)  # fmt: skip
        axis.plot(wave, sample.ways[TOKENIZER][i], color=GREEN, linewidth=0.8, label=TOKENIZER)
        axis.plot(wave, expected, color=PURPLE, linewidth=1.4, label=f"{SHAPE}, 1 σ")
        axis.plot(wave, flux, color=INK, linewidth=0.4, label="observed")
        told = f"R² {quality:.2f}, flux × {factor:.2g}"
        axis.set_title(f"{group}, {sample.ids[i]}\n{told}", loc="left", fontsize=7)
        low, high = np.nanquantile(flux, [0.005, 0.995])
        pad = 0.4 * (high - low) or 1.0
        axis.set_ylim(low - pad, high + pad)
        axis.set_xlabel(WAVE_LABELS[family], fontsize=7)
        axis.set_ylabel(f"flux\n({FLUX_UNITS[family]})", fontsize=6)
        axis.tick_params(labelsize=6)
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def draw_cutouts(sample: ImageSample, band: int, chosen: Sequence[int]) -> Figure:
    """The middle of measured, decoded and expected cutouts of one band, an object a row."""
    shown = ("measured", TOKENIZER, MODEL, MEAN_SHAPE)
    figure, axes = new_figure(len(chosen), len(shown), height=0.5 + 1.55 * len(chosen))
    half = sample.mask.shape[-1] // 2
    reach = min(half, _extent(sample.mask[list(chosen)]) + 4)
    middle = slice(half - reach, half + reach)
    for row, i in zip(axes, chosen, strict=True):
        mask = sample.mask[i, middle, middle]
        pixels = sample.pixels[i, band, middle, middle]
        noise = max(float(sample.sums["noise"][i, band]), 1e-6)
        high = np.arcsinh(np.nanmax(np.where(mask, pixels, np.nan)) / noise)
        for axis, name in zip(row, shown, strict=True):
            image = pixels if name == "measured" else sample.ways[name][i, band, middle, middle]
            axis.imshow(np.arcsinh(image / noise), origin="lower", cmap="gray_r", vmin=-2,
                        vmax=high)  # fmt: skip
            axis.contour(mask, levels=[0.5], colors=ORANGE, linewidths=0.7)
            axis.grid(visible=False)
            axis.spines[:].set_visible(True)
            axis.set(xticks=[], yticks=[])
            if i == chosen[0]:
                axis.set_title(name, fontsize=8)
        row[0].set_ylabel(str(sample.ids[i]), fontsize=6)
    figure.supxlabel(
        f"{sample.bands[band]} band, the middle {2 * reach} pixels of 0.55 arcsec; "
        "arcsinh of flux / sky noise",
        fontsize=8,
    )
    return figure


def _extent(masks: np.ndarray) -> int:
    """How far masks (n, S, S) reach from the middle, in pixels."""
    half = masks.shape[-1] // 2
    away = np.abs(np.argwhere(masks)[:, 1:] - half)
    return int(away.max(initial=4))
