"""Figures and tables of predicted scalars, spectra and cutouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astromodal.evaluation.reconstruction.fluxes import (
    MEAN,
    MEAN_SCALED,
    METHODS,
    MODEL_SCALED,
    PredictedImages,
    PredictedSpectra,
)
from astromodal.evaluation.reconstruction.measures import (
    BandNumbers,
    ColumnNumbers,
    FluxNumbers,
    GroupNumbers,
)
from astromodal.evaluation.reconstruction.sample import BASELINE, MODEL, TOKENIZER
from astromodal.evaluation.report.section import Cell, Measurement, Row, Table
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

FROM_ALL = "model, from everything else"
STYLES = {
    TOKENIZER: (GREEN, "^"),
    MODEL: (BLUE, "o"),
    FROM_ALL: (ORANGE, "D"),
    BASELINE: (FAINT, "s"),
    MEAN: (AMBER, "s"),
    MODEL_SCALED: (PURPLE, "o"),
    MEAN_SCALED: (FAINT, "s"),
}
"""Colour and marker of each method, the same in every figure."""
LOWEST = -1.0
"""R² below which a point is plotted at the edge: the table has its value."""

_ORDER = (TOKENIZER, MODEL, BASELINE)
_BRIGHTNESS = ("|Δmag|, model", "|Δmag|, mean", "gain in |Δmag|")


def plot_columns(columns: Mapping[str, ColumnNumbers]) -> Figure:
    """Plot the median error of every scalar column in units of its spread, by method."""
    shown = {name: column for name, column in columns.items() if column.spread > 0}
    figure, axes = new_figure(height=1.4 + 0.17 * len(shown))
    axis, y = axes[0, 0], np.arange(len(shown))[::-1]
    for method in (TOKENIZER, BASELINE, MODEL):
        errors = [c.medians[method].scaled(1 / c.spread) for c in shown.values()]
        _plot_points(axis, y, errors, method)
    rows, errors = [], []
    for row, column in zip(y, shown.values(), strict=True):
        if column.from_all is not None:
            rows.append(row)
            errors.append(column.from_all.medians[MODEL].scaled(1 / column.spread))
    if rows:
        _plot_points(axis, np.array(rows), errors, FROM_ALL)
    axis.set_xscale("log")
    axis.set_yticks(y, list(shown), fontsize=6.5)
    axis.set(ylim=(-1, len(shown)), xlabel="median |error| / spread of the training values")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _plot_points(axis: Axes, y: np.ndarray, errors: Sequence[Measurement], method: str) -> None:
    value, error = _values(errors)
    colour, marker = STYLES[method]
    axis.errorbar(
        np.where(value > 0, value, np.nan), y, xerr=np.minimum(error, 0.9 * value), fmt=marker,
        color=colour, markersize=3, linewidth=0.9, label=method,
    )  # fmt: skip


def _values(measurements: Sequence[Measurement]) -> tuple[np.ndarray, np.ndarray]:
    """Return values, and errors with 0 for NaN."""
    value = np.array([m.value for m in measurements], dtype=float)
    return value, np.nan_to_num(np.array([m.error for m in measurements], dtype=float))


def plot_r2(rows: Mapping[str, FluxNumbers], label: str) -> Figure:
    """Plot the median R² of every band or group by method; low values at the axis's edge."""
    figure, axes = new_figure(height=3.0)
    axis, x = axes[0, 0], np.arange(len(rows))
    for i, method in enumerate(METHODS):
        colour, marker = STYLES[method]
        value, error = _values([numbers.medians[method] for numbers in rows.values()])
        below = value < LOWEST
        shift = 0.12 * (i - (len(METHODS) - 1) / 2)
        axis.errorbar(
            x + shift, np.where(below, np.nan, value), error, fmt=marker, color=colour,
            markersize=4, label=method,
        )  # fmt: skip
        axis.plot(x[below] + shift, np.full(below.sum(), LOWEST), "v", color=colour, clip_on=False,
                  markersize=6, fillstyle="none")  # fmt: skip
    axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set(ylabel="R², median of the objects", xlabel=label, ylim=(LOWEST, 1.05))
    axis.set_xticks(x, list(rows))
    axis.set_xlim(-0.6, len(rows) - 0.4)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def choose_evenly(quality: np.ndarray, most: int) -> list[int]:
    """Return places of objects at evenly spaced ranks of `quality`, best first.

    Parameters
    ----------
    quality : (n,) float
        The objects' quality; those with NaN are not chosen.
    most : int
        Largest number of objects.
    """
    known = np.flatnonzero(np.isfinite(quality))
    order = known[np.argsort(-quality[known], kind="stable")]
    ranks = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return order[ranks].tolist()


def plot_spectra(
    samples: Mapping[str, PredictedSpectra], chosen: Sequence[tuple[str, int, float]]
) -> Figure:
    """Plot observed, decoded and predicted spectra.

    Parameters
    ----------
    samples : mapping of str to PredictedSpectra
        By group.
    chosen : sequence of (str, int, float)
        Group, place in its sample, and the model's R², of each spectrum.
    """
    n_rows = -(-len(chosen) // 2)
    figure, axes = new_figure(n_rows, 2, height=0.7 + 1.6 * n_rows)
    for axis, (group, i, quality) in zip(axes.flat, chosen, strict=False):
        sample, kind = samples[group], spectrum_group(group)
        factor = sample.factor[MODEL][i]
        _plot_spectrum(axis, sample, i)
        note = f"R² {quality:.2f}, flux × {factor:.2g}"
        axis.set_title(f"{group}, {sample.ids[i]}\n{note}", loc="left", fontsize=7)
        axis.set_xlabel(kind.axis.label, fontsize=7)
        axis.set_ylabel(f"{kind.values.name}\n({kind.values.printed})", fontsize=6)
        axis.tick_params(labelsize=6)
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _plot_spectrum(axis: Axes, sample: PredictedSpectra, i: int) -> None:
    wave, flux, scaled = sample.wave, sample.flux[i], sample.estimates[MODEL_SCALED][i]
    std = np.abs(sample.factor[MODEL][i]) * sample.std[i]
    axis.fill_between(wave, scaled - std, scaled + std, color=PURPLE, alpha=0.15, linewidth=0)
    decoded = sample.estimates[TOKENIZER][i]
    axis.plot(wave, decoded, color=GREEN, linewidth=0.8, label=TOKENIZER)
    axis.plot(wave, scaled, color=PURPLE, linewidth=1.4, label=f"{MODEL_SCALED}, 1 σ")
    axis.plot(wave, flux, color=INK, linewidth=0.4, label="observed")
    low, high = np.nanquantile(flux, [0.005, 0.995])
    pad = 0.4 * (high - low) or 1.0
    axis.set_ylim(low - pad, high + pad)


def plot_cutouts(sample: PredictedImages, band: int, chosen: Sequence[int]) -> Figure:
    """Plot the middle of measured, decoded and predicted cutouts of a band, one row per object."""
    shown = ("measured", TOKENIZER, MODEL, MEAN_SCALED)
    figure, axes = new_figure(len(chosen), len(shown), height=0.5 + 1.55 * len(chosen))
    half = sample.mask.shape[-1] // 2
    reach = min(half, _extent(sample.mask[list(chosen)]) + 4)
    middle = slice(half - reach, half + reach)
    for row, i in zip(axes, chosen, strict=True):
        mask = sample.mask[i, middle, middle]
        pixels = sample.pixels[i, band, middle, middle]
        noise = max(float(sample.measured.noise[i, band]), 1e-6)
        high = np.arcsinh(np.nanmax(np.where(mask, pixels, np.nan)) / noise)
        for axis, name in zip(row, shown, strict=True):
            measured = name == "measured"
            image = pixels if measured else sample.estimates[name][i, band, middle, middle]
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
    """Return the largest distance (pixel) of masks (n, S, S) from the middle, along an axis."""
    half = masks.shape[-1] // 2
    away = np.abs(np.argwhere(masks)[:, 1:] - half)
    return int(away.max(initial=4))


def scalar_table(columns: Mapping[str, ColumnNumbers]) -> Table:
    """Return a table of errors with one row per column."""
    heading = ["column", "unit", "objects", *(f"|error|, {method}" for method in _ORDER),
               "gain over the baseline", *(f"scatter, {method}" for method in _ORDER),
               "spread of the training values", "inside the model's central 68 % (%)",
               "|error|, from everything else", "gain from everything else"]  # fmt: skip
    rows: list[Row] = []
    for name, n in columns.items():
        from_all = (n.from_all.medians[MODEL], n.from_all.gain) if n.from_all else (None, None)
        rows.append([
            name, unit(name), n.n, *(n.medians[method] for method in _ORDER), n.gain,
            *(n.scatter[method] for method in _ORDER), n.spread, n.inside.scaled(100), *from_all,
        ])  # fmt: skip
    return Table(heading, rows)


def spectrum_table(groups: Mapping[str, GroupNumbers]) -> Table:
    """Return a table of R², brightness and χ² with one row per group."""
    heading = ["group", "objects", *(f"R², {method}" for method in METHODS), "gain, scaled",
               *_BRIGHTNESS, *(f"χ², {method}" for method in METHODS),
               "bins within 1 σ of the model (%)"]  # fmt: skip
    rows: list[Row] = [
        [name, n.n, *(n.medians[method] for method in METHODS), n.gain, *_brightness(n),
         *(n.chi2.medians[method] for method in METHODS), n.inside.scaled(100)]
        for name, n in groups.items()
    ]  # fmt: skip
    return Table(heading, rows)


def image_table(bands: Mapping[str, BandNumbers]) -> Table:
    """Return a table of R², brightness and magnitudes with one row per band."""
    both = (TOKENIZER, MODEL)
    heading = ["band", "objects", *(f"R², {method}" for method in METHODS), "gain, scaled",
               "detected", *_BRIGHTNESS, *(f"Δmag, {method}" for method in both),
               *(f"scatter of Δmag, {method}" for method in both)]  # fmt: skip
    rows: list[Row] = [
        [name, n.n, *(n.medians[method] for method in METHODS), n.gain, n.brightness.n,
         *_brightness(n), *(n.dmag[method] for method in both),
         *(n.dmag_scatter[method] for method in both)]
        for name, n in bands.items()
    ]  # fmt: skip
    return Table(heading, rows)


def _brightness(numbers: FluxNumbers) -> list[Cell | Measurement]:
    bright = numbers.brightness
    if not bright.n:
        return [None] * 3
    return [bright.medians[MODEL], bright.medians[BASELINE], bright.gain]
