"""Figures and tables of R², its losses, hidden bands and examples of decoded cutouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.images.measures import (
    SHARES,
    BandNumbers,
    ImageNumbers,
    LimitNumbers,
    MissingNumbers,
)
from astromodal.evaluation.images.photometry import DETECTED, magnitude_change
from astromodal.evaluation.images.photometry_figures import STYLE, add_photometry_figures
from astromodal.evaluation.images.sample import STAGES, Example, ImageSample
from astromodal.evaluation.metrics import CodebookUse, codebook_table, r2
from astromodal.evaluation.report.section import Measurement, Row, Section, Table
from astromodal.evaluation.report.style import (
    AMBER,
    BLUE,
    FAINT,
    INK,
    ORANGE,
    new_figure,
    plot_codebooks,
)

_SHOWN = ("F515", "R", "Z", "G", "I", "F660", "F861", "U")
_COLOURS = {"noise": FAINT, "autoencoder": ORANGE, "codebook": BLUE}
_HATCHES = {"noise": "", "autoencoder": "", "codebook": "////"}
_SHIFTS = {"noise": -0.22, "autoencoder": 0.0, "codebook": 0.22}
AVERAGES: Final = {
    "pooled": "all light together: bright cutouts count most",
    "typical": "mean of the fractions of each detected cutout",
}


def plot_bands(bands: Mapping[str, BandNumbers]) -> Figure:
    """Plot R² by band, from codes and from latents, and the noise ceiling."""
    figure, axes = new_figure(height=3.0)
    axis, x = axes[0, 0], np.arange(len(bands))
    for stage in STAGES:
        colour, marker, shift = STYLE[stage]
        explained = [band.at(stage).r2 for band in bands.values()]
        value, error = _values(explained)
        axis.errorbar(
            x + shift, value, error, fmt=marker, color=colour, markersize=4, label=f"from {stage}"
        )
    ceiling = [band.ceiling for band in bands.values()]
    axis.plot(x, ceiling, "_", color=INK, markersize=14, label="noise ceiling")
    lowest = min(band.codes.r2.value for band in bands.values())
    axis.set(
        ylabel="R² inside the mask", xlabel="band", ylim=(max(-0.6, min(0.0, lowest - 0.1)), 1.03)
    )
    axis.set_xticks(x, list(bands))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _values(measurements: Sequence[Measurement]) -> tuple[np.ndarray, np.ndarray]:
    """Return values, and errors with 0 for NaN."""
    value = np.array([m.value for m in measurements], dtype=float)
    return value, np.nan_to_num(np.array([m.error for m in measurements], dtype=float))


def plot_flux(sample: ImageSample, bands: Mapping[str, BandNumbers]) -> Figure:
    """Plot the change of the magnitude in the mask by band, and against the S/N of the flux."""
    figure, axes = new_figure(1, 2, height=3.2, sharey=True)
    left, right = axes[0]
    places = np.arange(len(bands))
    for stage in STAGES:
        colour, marker, shift = STYLE[stage]
        decoded = [band.at(stage) for band in bands.values()]
        value = np.array([d.dmag.value for d in decoded])
        half = np.nan_to_num([d.dmag_scatter.value for d in decoded])
        left.errorbar(
            places + shift, value, half, fmt=marker, color=colour, markersize=4,
            label=f"from {stage}",
        )  # fmt: skip
    left.set_xticks(places, list(bands), rotation=60)
    left.set(xlabel="band", ylabel="decoded - measured (mag)")
    left.legend()
    for name in bands:
        i = sample.bands.index(name)
        sigma = sample.noise[:, i] * np.sqrt(sample.n_pixels[:, i])
        flux = sample.measured.flux[:, i]
        snr = np.divide(flux, sigma, out=np.full(len(sigma), np.nan), where=sigma > 0)
        right.plot(
            snr, magnitude_change(sample, "codes", i), ".", color=BLUE, markersize=1.5, alpha=0.4,
            rasterized=True,
        )  # fmt: skip
    right.set(xscale="log", xlabel="S/N of the flux in the mask", xlim=(1, None))
    right.axvline(DETECTED, color=INK, linestyle="--", linewidth=0.9)
    limit = _flux_limit(bands)
    for axis in (left, right):
        axis.axhline(0, color=FAINT, linewidth=0.8)
        axis.set_ylim(-limit, limit)
    return figure


def _flux_limit(bands: Mapping[str, BandNumbers]) -> float:
    decoded = [band.at(stage) for band in bands.values() for stage in STAGES]
    reach = [abs(d.dmag.value) + d.dmag_scatter.value for d in decoded]
    finite = [r for r in reach if np.isfinite(r)]
    return float(np.clip(2.0 * max(finite, default=0.5), 0.1, 2.0))


def plot_examples(examples: Sequence[Example], bands: Sequence[str]) -> tuple[Figure, list[Row]]:
    """Plot measured, decoded and residual cutouts in three bands, one row per object.

    Returns
    -------
    figure : Figure
        The figure.
    rows : list of Row
        Id, band, R², change of magnitude and S/N of each measured cutout of the figure.
    """
    shown = [name for name in (*_SHOWN, *bands) if name in bands]
    shown = sorted(dict.fromkeys(shown[: min(3, len(bands))]), key=list(bands).index)
    n_rows = len(examples)
    figure, axes = new_figure(n_rows, 3 * len(shown), height=0.4 + 0.72 * n_rows)
    rows = []
    for i, example in enumerate(examples):
        for k, name in enumerate(shown):
            band = list(bands).index(name)
            rows.append(_plot_panel(axes[i, 3 * k : 3 * k + 3], example, band, name))
        window = _window(example.mask)
        side = window.stop - window.start
        axes[i, 0].set_ylabel(f"{example.id[-9:]}\n{side} pixel", fontsize=5)
    for k, name in enumerate(shown):
        for j, what in enumerate(("measured", "decoded", "difference")):
            axes[0, 3 * k + j].set_title(f"{name}\n{what}" if j == 1 else f"\n{what}", fontsize=6.5)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    return figure, rows


def _window(mask: np.ndarray) -> slice:
    """Return the rows and columns of a central square of three times the extent of the mask."""
    size = len(mask)
    reach = np.abs(np.argwhere(mask) - (size - 1) / 2).max(initial=0.0)
    half = min(max(round(3 * reach), size // 6), size // 2)
    return slice(size // 2 - half, size // 2 + half)


def _plot_panel(axes: np.ndarray, example: Example, band: int, name: str) -> Row:
    """Plot one band of a cutout, and return its row of the table."""
    valid, mask = example.valid[band], example.mask
    truth, decoded = example.pixels[band], example.decoded[band]
    if not valid.any():
        axes[1].text(
            0.5, 0.5, "no image", ha="center", va="center", transform=axes[1].transAxes, fontsize=6
        )
        return [example.id, name, None, None, None]
    sigma = example.noise[band] or float(truth[valid].std()) or 1.0
    stretched = [
        np.arcsinh(np.where(valid, values, 0) / (2 * sigma)) for values in (truth, decoded)
    ]
    top = max(float(np.quantile(stretched[0], 0.998)), 1.5)
    window = (_window(mask),) * 2
    for axis, values in zip(axes[:2], stretched, strict=True):
        axis.imshow(values[window], origin="lower", vmin=-0.8, vmax=top)
    residual = np.where(valid, decoded - truth, 0) / sigma
    axes[2].imshow(residual[window], origin="lower", vmin=-10, vmax=10, cmap="RdBu_r")
    axes[0].contour(mask[window], levels=[0.5], colors=[AMBER], linewidths=0.6)
    inside = (valid & mask)[None]
    explained = float(r2(np.where(inside, truth, np.nan).reshape(1, -1), decoded.reshape(1, -1))[0])
    flux = [float(values[inside[0]].sum()) for values in (truth, decoded)]
    change = -2.5 * np.log10(flux[1] / flux[0]) if min(flux) > 0 else None
    return [example.id, name, explained, change, flux[0] / (sigma * np.sqrt(inside.sum()))]


def plot_limits(limits: LimitNumbers, known: Sequence[str]) -> Figure:
    """Plot the unexplained variance by cause, stacked, by band and over all bands."""
    names = [*known, "all"]
    figure, axes = new_figure(2, 1, height=4.6, sharex=True)
    x = np.arange(len(names)) + np.array([0.0] * len(known) + [0.6])
    kinds = zip((limits.pooled, limits.typical), AVERAGES.values(), strict=True)
    for axis, (by_band, title) in zip(axes[:, 0], kinds, strict=True):
        top, bottom = np.zeros(len(names)), np.zeros(len(names))
        for share in SHARES:
            value, error = _values([getattr(by_band[name], share) for name in names])
            value = np.nan_to_num(value)
            base = np.where(value >= 0, top, bottom)
            axis.bar(
                x, value, 0.7, base, color=_COLOURS[share], hatch=_HATCHES[share], label=share,
                edgecolor="white", linewidth=0.4,
            )  # fmt: skip
            place = x + _SHIFTS[share]
            axis.errorbar(place, base + value, error, fmt="none", ecolor=INK, elinewidth=0.9)
            top, bottom = top + np.maximum(value, 0), bottom + np.minimum(value, 0)
        axis.axhline(0, color=INK, linewidth=0.8)
        axis.set_title(title, loc="left", fontsize=8)
        axis.set_ylabel("unexplained, 1 - R²")
    axes[1, 0].set_xticks(x, names)
    axes[1, 0].set_xlabel("band")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3,
        title="unexplained because of", title_fontsize=8,
    )  # fmt: skip
    return figure


def plot_missing(missing: MissingNumbers, known: Sequence[str]) -> Figure:
    """Plot the loss by number of missing bands and by missing band, and the missing band's R²."""
    figure, axes = new_figure(1, 3, height=3.2, width_ratios=(0.7, 1, 1))
    by_band = {name: missing.by_band[name] for name in known if missing.by_band[name].n}
    by_number = {k: loss for k, loss in missing.by_number.items() if loss.n}
    x = np.array(list(by_number), dtype=float)
    rows = np.arange(len(by_band))[::-1]
    for j, label in enumerate(("all light together", "median cutout")):
        style = {"fmt": "os"[j], "color": (BLUE, ORANGE)[j], "markersize": 4, "label": label}
        shift = 0.16 * (2 * j - 1)
        value, error = _values([(n.loss, n.loss_object)[j] for n in by_number.values()])
        axes[0, 0].errorbar(x + shift / 2, value, error, **style)
        value, error = _values([(n.loss, n.loss_object)[j] for n in by_band.values()])
        axes[0, 1].errorbar(value, rows - shift, xerr=error, **style)
    axes[0, 0].axhline(0, color=INK, linewidth=0.8)
    axes[0, 0].set(xlabel="bands missing", ylabel="R² lost in the others")
    axes[0, 0].set_xticks(x, [str(k) for k in by_number])
    axes[0, 1].axvline(0, color=INK, linewidth=0.8)
    axes[0, 1].set(xlabel="R² lost in the others", ylabel="band missing")
    axes[0, 1].locator_params(axis="x", nbins=4)
    for j, label in enumerate(("band given", "band missing")):
        value, error = _values([(n.seen, n.guessed)[j] for n in by_band.values()])
        axes[0, 2].errorbar(
            np.maximum(value, -0.5), rows, xerr=error, fmt="^v"[j], color=(FAINT, BLUE)[j],
            markersize=5, label=label,
        )  # fmt: skip
    axes[0, 2].set(xlabel="R² of that band itself")
    for axis in axes[0, 1:]:
        axis.set_yticks(rows, list(by_band))
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=7)
    return figure


def band_table(bands: Mapping[str, BandNumbers]) -> Table:
    """Return a table of R² with one row per band."""
    heading = [
        "band", "cutouts", "R² from codes", "R² from latents", "noise ceiling",
        "median R² of one cutout, codes", "the same, latents", "the same, noise ceiling",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, n.n, n.codes.r2, n.latents.r2, n.ceiling, n.codes.r2_object, n.latents.r2_object,
         n.ceiling_object]
        for name, n in bands.items()
    ]  # fmt: skip
    return Table(heading, rows)


def flux_table(numbers: ImageNumbers) -> Table:
    """Return a table of changes in the mask, with one row per band, then one row per colour."""
    heading = [
        "band or colour", "sources", "median change, codes (mag)", "68 % half-range, codes (mag)",
        "median change, latents (mag)", "68 % half-range, latents (mag)",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, n.n_detected, n.codes.dmag, n.codes.dmag_scatter, n.latents.dmag,
         n.latents.dmag_scatter]
        for name, n in numbers.known.items()
    ]  # fmt: skip
    rows += [[name, c.n, c.median, c.scatter, None, None] for name, c in numbers.colours.items()]
    return Table(heading, rows)


def limit_table(limits: LimitNumbers, known: Sequence[str]) -> Table:
    """Return a table of losses with one row per average and band."""
    heading = ["average", "band", "cutouts", *SHARES, "limit"]
    averages = {
        "all light together": limits.pooled, "mean of the fractions of each cutout": limits.typical
    }  # fmt: skip
    rows: list[Row] = [
        [label, name, by_band[name].n, *(getattr(by_band[name], share) for share in SHARES),
         by_band[name].limit]
        for label, by_band in averages.items()
        for name in (*known, "all")
    ]  # fmt: skip
    return Table(heading, rows)


def missing_table(missing: MissingNumbers, known: Sequence[str]) -> Table:
    """Return a table with one row per number of missing bands, then one row per missing band."""
    heading = [
        "missing", "cutouts", "R² lost in the other bands", "the same, median cutout",
        "R² of the missing band, where given", "the same, where missing",
    ]  # fmt: skip
    rows: list[Row] = [
        [f"{k} band" + "s" * (k != 1), n.n, n.loss, n.loss_object, None, None]
        for k, n in missing.by_number.items()
    ]
    rows += [
        [name, n.n, n.loss, n.loss_object, n.seen, n.guessed]
        for name, n in missing.by_band.items() if name in known
    ]  # fmt: skip
    return Table(heading, rows)


def add_figures(section: Section, sample: ImageSample, numbers: ImageNumbers, limits: str) -> None:
    """Add every figure to a section.

    Parameters
    ----------
    section : Section
        The section.
    sample : ImageSample
        At least one cutout.
    numbers : ImageNumbers
        Numbers of the sample.
    limits : str
        What `describe_limits` returns.
    """
    bands, known = numbers.known, list(numbers.known)
    add_photometry_figures(section, sample, numbers)
    section.add_figure(
        plot_bands(bands), "r2_by_band",
        "Variance explained inside the elliptical mask, by band, with bootstrap errors over "
        "objects.",
        "Codes should be close to latents. The gap between them is the loss of the codebook; the "
        "gap between latents and the noise ceiling is the loss of the autoencoder.",
        band_table(numbers.bands),
    )  # fmt: skip
    section.add_figure(
        plot_limits(numbers.limits, known), "limits",
        "Causes of the variance that is unexplained inside the mask, by band and over all bands in "
        "units of their noise: sky noise, the autoencoder beyond it (including the photon noise "
        "of bright sources, because cubes do not contain the gain), the codebook beyond that. "
        "Lines: bootstrap errors over objects, for each cause alone.",
        f"{limits} The larger coloured bar shows what to improve. A bar below zero means that the "
        "step helped at random, or kept noise.",
        limit_table(numbers.limits, known),
    )  # fmt: skip
    if numbers.missing_bands.by_number[1].n:
        _add_missing(section, numbers.missing_bands, known)
    section.add_figure(
        plot_flux(sample, bands), "flux_in_mask",
        "Decoded minus measured magnitude inside the mask. Left: median and 68 % range by band. "
        "Right: against the signal-to-noise of the flux, from codes, in all bands.",
        "The medians should be zero: otherwise decoded cutouts have the right pixels but the wrong "
        f"flux. Only fluxes above {DETECTED:g}σ are compared.",
        flux_table(numbers),
    )  # fmt: skip
    _add_examples(section, sample)
    if sample.counts.sum():
        _add_codebook(section, sample, numbers.codebook)


def _add_codebook(section: Section, sample: ImageSample, codebook: CodebookUse) -> None:
    section.add_figure(
        plot_codebooks({"image": sample.counts}, {"image": BLUE}), "codebook",
        "Use of the image codebook in the evaluated fields: fraction of the tokens that have "
        "one of the most frequent codes.",
        "There are more patches of sky than of sources, so a few codes take many tokens. Dead "
        "codes are unused ids.",
        codebook_table({"image": codebook}),
    )  # fmt: skip


def _add_missing(section: Section, missing: MissingNumbers, known: Sequence[str]) -> None:
    section.add_figure(
        plot_missing(missing, known), "missing_bands",
        f"{missing.n_objects} cutouts, encoded again with bands hidden from the encoder and "
        "decoded from codes. R² lost inside the mask of the bands that are given, by number of "
        "missing bands (left; one: every band in turn; more: at random) and by the one missing "
        "band (middle). Right: R² of that band itself, given or predicted from the others; values "
        "below −0.5 are plotted at −0.5. Bootstrap errors over objects.",
        "Losses should be zero: the other bands are decoded as well as before. The content of a "
        "missing band is not known; where its R² is high, the other bands predict it.",
        missing_table(missing, known),
    )  # fmt: skip


def _add_examples(section: Section, sample: ImageSample) -> None:
    figure, rows = plot_examples(sample.examples, sample.bands)
    section.add_figure(
        figure, "examples",
        "Random evaluated cutouts, brightest first, in three bands: measured (with the outline of "
        "the mask), decoded from codes, and decoded minus measured. Arcsinh stretch in units of "
        "the sky noise; the difference runs from −10σ (blue) to +10σ (red). The side of the "
        "cutouts in each row is given in pixels.",
        "Decoded sources should have the same shape and brightness. A good difference is flat "
        "noise, without rings or a source.",
        Table(["object", "band", "R² in the mask", "magnitude change (mag)", "flux S/N"], rows),
    )  # fmt: skip
