"""Figures of what the model reconstructs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.reconstruction import images, spectra
from astromodal.evaluation.reconstruction.images import ImageSample
from astromodal.evaluation.reconstruction.scalars import ALONE
from astromodal.evaluation.reconstruction.scores import (
    BASELINE,
    MEAN,
    MEAN_SHAPE,
    MODEL,
    SHAPE,
    TOKENIZER,
    WAYS,
)
from astromodal.evaluation.reconstruction.spectra import SpectrumSample
from astromodal.evaluation.report.section import Part, table
from astromodal.evaluation.report.style import (
    AMBER,
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    new_figure,
    unit,
)
from astromodal.surveys.registry import spectrum_group

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
        sample, kind = samples[group], spectrum_group(group)
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
        axis.set_xlabel(kind.axis.label, fontsize=7)
        axis.set_ylabel(f"{kind.values.name}\n({kind.values.printed})", fontsize=6)
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


_ORDER = (TOKENIZER, MODEL, BASELINE)
_READ = (
    "decoded codes (tokenizer); what the model expects, told from all other blocks; the mean of "
    "training objects; and these two with the brightness told, which is what fits each measurement "
    "best. Medians of the objects; bootstrap errors over objects. Open triangles lie below the "
    "axis."
)
_SEE = (
    "Brightness told, the model must lie above the mean, or it knows no more than that. As it is, "
    "a model that is half a magnitude off has a poor R² whatever its shape: the table tells how "
    "far off its brightness is."
)
_BRIGHTNESS = ("|Δmag|, model", "|Δmag|, mean", "gain in |Δmag|")


def add_scalar_figure(part: Part, columns: Mapping[str, Any]) -> None:
    """Errors of every column, in its unit."""
    part.figure(
        draw_columns(columns), "scalars",
        "Median error of each scalar, in units of the spread (half of the 16 to 84 % range) of the "
        "training values: of the column's own code (tokenizer), as the model tells it from the "
        "cutout and the spectra alone, a few columns also from everything else, and if the median "
        "of the training values is taken (baseline). Bootstrap errors over objects.",
        "The model must lie left of the baseline by more than its error; what it can reach is the "
        "tokenizer. Magnitudes should follow from cutouts, astrometry hardly.",
        _scalar_table(columns),
    )  # fmt: skip


def _scalar_table(columns: Mapping[str, Any]) -> dict[str, Any]:
    heading = ["column", "unit", "objects", *(f"|error|, {way}" for way in _ORDER),
               "gain over the baseline", *(f"scatter, {way}" for way in _ORDER),
               "spread of the training values", "inside the model's central 68 % (%)",
               "|error|, everything else given", "gain from everything else"]  # fmt: skip
    rows: list[list[Any]] = []
    for name, n in columns.items():
        alone = n.get(ALONE)
        rows.append([
            name, unit(name), n["n"], *(n[way] for way in _ORDER), n["gain"],
            *(n["scatter"][way] for way in _ORDER), n["spread"], _percent(n["inside"]),
            *((alone[MODEL], alone["gain"]) if alone else (None, None)),
        ])  # fmt: skip
    return table(heading, rows)


def _percent(cell: Mapping[str, float]) -> dict[str, float]:
    return {name: 100 * value for name, value in cell.items()}


def _brightness(numbers: Mapping[str, Any]) -> list[Any]:
    found = numbers["brightness"]
    return [found[MODEL], found[BASELINE], found["gain"]] if found["n"] else [None] * 3


def add_spectrum_figures(
    part: Part, groups: Mapping[str, Any], samples: Mapping[str, SpectrumSample], most: int
) -> None:
    """R² of every group, and examples."""
    heading = ["group", "objects", *(f"R², {way}" for way in WAYS), "gain, brightness told",
               *_BRIGHTNESS, *(f"χ², {way}" for way in WAYS),
               "bins within 1 σ of the model (%)"]  # fmt: skip
    part.figure(
        draw_r2(groups, "group"), "spectra",
        f"Explained variance of the observed flux, weighted by inverse variance: {_READ}",
        f"{_SEE} χ² = 1 would leave noise alone.",
        table(heading, [
            [name, n["n"], *(n[way] for way in WAYS), n["gain"], *_brightness(n),
             *(n["chi2"][way] for way in WAYS), _percent(n["inside"])]
            for name, n in groups.items()
        ]),
    )  # fmt: skip
    each = -(-most // len(samples))
    r2 = {name: spectra.r2_by_way(sample) for name, sample in samples.items()}
    chosen = [
        (name, i, float(r2[name][SHAPE][i, 0]))
        for name in samples
        for i in spaced(r2[name][SHAPE][:, 0], each)
    ]
    part.figure(
        draw_spectra(samples, chosen), "spectrum_examples",
        "Spectra at evenly spaced ranks of the R² of what the model expects once the brightness is "
        "told, the best of a group first: observed and rebinned (black), decoded from their own "
        "codes (green), and expected from the object's other blocks (purple, times the factor "
        "above it) with the model's standard deviation, of noise and brightness, too.",
        "The purple line is a mean over what the source might be: features that the model cannot "
        "place are washed out. A factor far from 1 is a brightness that it did not know.",
        table(["group", "object", *(f"R², {way}" for way in WAYS), "factor"], [
            [name, str(samples[name].ids[i]), *(float(r2[name][way][i, 0]) for way in WAYS),
             float(samples[name].factor[MODEL][i])]
            for name, i, _ in chosen
        ]),
    )  # fmt: skip


def add_image_figures(part: Part, bands: Mapping[str, Any], sample: ImageSample, most: int) -> None:
    """R² of every band, and examples."""
    both = (TOKENIZER, MODEL)
    heading = ["band", "objects", *(f"R², {way}" for way in WAYS), "gain, brightness told",
               "detected", *_BRIGHTNESS, *(f"Δmag, {way}" for way in both),
               *(f"scatter of Δmag, {way}" for way in both)]  # fmt: skip
    part.figure(
        draw_r2(bands, "band"), "images",
        f"Explained variance of the pixels inside the elliptical mask: {_READ}",
        f"{_SEE} Noise keeps even a perfect cutout of a faint source from 1.",
        table(heading, [
            [name, n["n"], *(n[way] for way in WAYS), n["gain"], n["brightness"]["n"],
             *_brightness(n), *(n[f"dmag_{way}"] for way in both),
             *(n[f"dmag_scatter_{way}"] for way in both)]
            for name, n in bands.items()
        ]),
    )  # fmt: skip
    name = "R" if "R" in bands else next(iter(bands))
    place = sample.bands.index(name)
    r2, change = images.r2_by_way(sample), images.magnitude_changes(sample)
    chosen = spaced(r2[SHAPE][:, place], min(most, 4))
    part.figure(
        draw_cutouts(sample, place, chosen), "image_examples",
        f"Cutouts in the {name} band at evenly spaced ranks of the R² of what the model expects "
        "once the brightness is told: measured, decoded from their own codes, expected from the "
        "object's other blocks, and the mean training cutout at the measured brightness. A row has "
        "one stretch; the line is the object's mask.",
        "The model should have the source's brightness (as dark) and extent. Where it is "
        "fainter or brighter, it did not know; neighbours it cannot know.",
        table(["object", *(f"R², {way}" for way in WAYS), "Δmag, model"], [
            [str(sample.ids[i]), *(float(r2[way][i, place]) for way in WAYS),
             float(change[MODEL][i, place])]
            for i in chosen
        ]),
    )  # fmt: skip
