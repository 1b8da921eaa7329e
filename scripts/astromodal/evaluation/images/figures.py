"""Figures of the decoded cutouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.config.schema import ImageSettings
from astromodal.evaluation.images.apertures import STAR_SIGNIFICANCE
from astromodal.evaluation.images.field import Example
from astromodal.evaluation.images.limits import (
    hidden_table,
    limit_table,
    plot_hidden_bands,
    plot_limits,
    sentence,
)
from astromodal.evaluation.images.photometry import SHARP, plot_stars, star_table
from astromodal.evaluation.images.photometry_figures import add_photometry
from astromodal.evaluation.images.sample import DETECTED, ImageSample, magnitude_change
from astromodal.evaluation.metrics import codebook_table, plot_codebooks, r2
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import AMBER, BLUE, FAINT, INK, ORANGE, new_figure
from astromodal.evaluation.report.values import Table

_SHOWN = ("F515", "R", "Z", "G", "I", "F660", "F861", "U")
_WAYS = (("codes", BLUE, "o", -0.12), ("latents", ORANGE, "s", 0.12))


def plot_bands(bands: dict[str, Any], known: Sequence[str]) -> Figure:
    """R² by band, from codes and from latents, and the noise ceiling."""
    figure, axes = new_figure(height=3.0)
    axis = axes[0, 0]
    x = np.arange(len(known))
    for way, colour, marker, shift in _WAYS:
        value = np.array([bands[name][way]["r2"].value for name in known])
        error = np.nan_to_num([bands[name][way]["r2"].error for name in known])
        axis.errorbar(
            x + shift, value, error, fmt=marker, color=colour, markersize=4, label=f"from {way}"
        )
    ceiling = [bands[name]["ceiling"] for name in known]
    axis.plot(x, ceiling, "_", color=INK, markersize=14, label="noise ceiling")
    lowest = min(bands[name]["codes"]["r2"].value for name in known)
    axis.set(
        ylabel="R² inside the mask", xlabel="band", ylim=(max(-0.6, min(0.0, lowest - 0.1)), 1.03)
    )
    axis.set_xticks(x, known)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def plot_flux(
    sample: ImageSample, bands: dict[str, Any], known: Sequence[str], order: Sequence[str]
) -> Figure:
    """Magnitude change by band, and against the flux's S/N."""
    figure, axes = new_figure(1, 2, height=3.2, sharey=True)
    left, right = axes[0]
    places = np.arange(len(known))
    for way, colour, marker, shift in _WAYS:
        value = np.array([bands[name][way]["dmag"].value for name in known])
        half = np.array([bands[name][way]["dmag_scatter"].value for name in known])
        left.errorbar(
            places + shift, value, np.nan_to_num(half), fmt=marker, color=colour, markersize=4,
            label=f"from {way}",
        )  # fmt: skip
    left.set_xticks(places, known, rotation=60)
    left.set(xlabel="band", ylabel="decoded - measured (mag)")
    left.legend()
    for name in known:
        i = list(order).index(name)
        sigma = sample.noise[:, i] * np.sqrt(sample.n_pixels[:, i])
        snr = np.divide(sample.flux[:, i], sigma, out=np.full(len(sigma), np.nan), where=sigma > 0)
        right.plot(
            snr,
            magnitude_change(sample, "codes", i),
            ".",
            color=BLUE,
            markersize=1.5,
            alpha=0.4,
            rasterized=True,
        )
    right.set(xscale="log", xlabel="S/N of the flux in the mask", xlim=(1, None))
    right.axvline(5, color=INK, linestyle="--", linewidth=0.9)
    limit = _flux_limit(bands, known)
    for axis in (left, right):
        axis.axhline(0, color=FAINT, linewidth=0.8)
        axis.set_ylim(-limit, limit)
    return figure


def _flux_limit(bands: dict[str, Any], known: Sequence[str]) -> float:
    reach = [
        abs(bands[name][way]["dmag"].value) + bands[name][way]["dmag_scatter"].value
        for name in known
        for way in ("codes", "latents")
    ]
    finite = [r for r in reach if np.isfinite(r)]
    return float(np.clip(2.0 * max(finite, default=0.5), 0.1, 2.0))


def plot_examples(
    examples: Sequence[Example], bands: Sequence[str]
) -> tuple[Figure, list[list[Any]]]:
    """Measured, decoded and residual cutouts in three bands, a row an object; and its numbers."""
    shown = [name for name in (*_SHOWN, *bands) if name in bands]
    shown = sorted(dict.fromkeys(shown[: min(3, len(bands))]), key=list(bands).index)
    rows = len(examples)
    figure, axes = new_figure(rows, 3 * len(shown), height=0.4 + 0.72 * rows)
    numbers = []
    for i, example in enumerate(examples):
        for k, name in enumerate(shown):
            band = list(bands).index(name)
            numbers.append(_panel(axes[i, 3 * k : 3 * k + 3], example, band, name))
        section = _window(example.mask)
        axes[i, 0].set_ylabel(f"{example.id[-9:]}\n{part.stop - part.start} pixel", fontsize=5)
    for k, name in enumerate(shown):
        for j, what in enumerate(("measured", "decoded", "difference")):
            axes[0, 3 * k + j].set_title(f"{name}\n{what}" if j == 1 else f"\n{what}", fontsize=6.5)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    return figure, numbers


def _window(mask: np.ndarray) -> slice:
    """Rows (and columns) of a square around the middle that shows three times the mask's extent."""
    size = len(mask)
    reach = np.abs(np.argwhere(mask) - (size - 1) / 2).max(initial=0.0)
    half = min(max(round(3 * reach), size // 6), size // 2)
    return slice(size // 2 - half, size // 2 + half)


def _panel(axes: np.ndarray, example: Example, band: int, name: str) -> list[Any]:
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
    section = (_window(mask),) * 2
    for axis, values in zip(axes[:2], stretched, strict=True):
        axis.imshow(values[section], origin="lower", vmin=-0.8, vmax=top)
    residual = np.where(valid, decoded - truth, 0) / sigma
    axes[2].imshow(residual[section], origin="lower", vmin=-10, vmax=10, cmap="RdBu_r")
    axes[0].contour(mask[section], levels=[0.5], colors=[AMBER], linewidths=0.6)
    inside = (valid & mask)[None]
    explained = float(r2(np.where(inside, truth, np.nan).reshape(1, -1), decoded.reshape(1, -1))[0])
    flux = [float(values[inside[0]].sum()) for values in (truth, decoded)]
    change = -2.5 * np.log10(flux[1] / flux[0]) if min(flux) > 0 else None
    return [example.id, name, explained, change, flux[0] / (sigma * np.sqrt(inside.sum()))]


def add_figures(
    section: Section, sample: ImageSample, known: Sequence[str], image: ImageSettings
) -> None:
    """Add every figure.

    Parameters
    ----------
    part : Part
        With all of its numbers.
    sample : ImageSample
        At least one cutout.
    known : sequence of str
        Bands that some cutout has.
    image : ImageSettings
        All bands in channel order, and the side of a cutout.
    """
    bands, order = section.numbers["bands"], image.bands
    section.add_figure(
        plot_bands(bands, known), "r2_by_band",
        "Variance explained inside the elliptical mask, by band, with bootstrap errors over "
        "objects.",
        "Codes should follow latents closely: the gap between them is the codebook's loss, the "
        "gap between latents and the noise ceiling the autoencoder's.",
        _band_table(bands),
    )  # fmt: skip
    _add_limits(section, known)
    add_photometry(section, sample, known, image)
    if section.numbers["stars"]["all"]["n"]:
        _add_stars(section, sample, known, image.size)
    if section.numbers["missing_bands"]["by_number"]["1"]["n"]:
        _add_missing(section, known)
    section.add_figure(
        plot_flux(sample, bands, known, order), "flux_in_mask",
        "Magnitude decoded minus measured inside the mask: median and 68 % range by band (left), "
        "and against the signal-to-noise of the flux, from codes, in all bands (right).",
        "The medians should lie at zero: a decoded cutout that keeps its pixels but not its flux "
        f"would lose its photometry. Only fluxes above {DETECTED:g}σ are compared.",
        _flux_table(section.numbers),
    )  # fmt: skip
    _add_examples(section, sample, order)
    if sample.counts.sum():
        _add_codebook(section, sample)


def _add_limits(section: Section, known: Sequence[str]) -> None:
    limits = section.numbers["limits"]
    section.add_figure(
        plot_limits(limits, known), "limits",
        "What leaves variance unexplained inside the mask, by band and over all bands in units of "
        "their noise: sky noise, the autoencoder beyond it (with the photon noise of bright "
        "sources, for cubes tell no gain), the codebook beyond that. Lines: bootstrap errors over "
        "objects, of each share alone.",
        f"{sentence(limits, known)} The taller coloured part is the one to work on. A share below "
        "zero means that the step helped by chance, or kept noise.",
        limit_table(limits, known),
    )  # fmt: skip


def _add_stars(section: Section, sample: ImageSample, known: Sequence[str], size: int) -> None:
    numbers = section.numbers["stars"]
    section.add_figure(
        plot_stars(sample, numbers, known, size), "star_widths",
        "Full width at half maximum of the Gaussian that stars' adaptive moments give, decoded "
        "against measured: every star and band (left); median of the ratio with its bootstrap "
        "error (thick) and 68 % half-range (thin) by band (right). Stars: sources whose Gaia "
        f"parallax or proper motion is above {STAR_SIGNIFICANCE:g}σ, with a flux of S/N > "
        f"{SHARP:g} in 3 arcsec and no unmeasured pixel within 3 arcsec.",
        "Points should follow the dashed line: a cloud that is flatter shows stars of one and the "
        "same width, whatever the seeing. Ratios in the grey band are within 5 % of 1.",
        star_table(numbers, known),
    )  # fmt: skip


def _add_missing(section: Section, known: Sequence[str]) -> None:
    numbers = section.numbers["missing_bands"]
    section.add_figure(
        plot_hidden_bands(numbers, known), "missing_bands",
        f"{numbers['n_objects']} cutouts encoded again with bands hidden from the encoder, and "
        "decoded from codes. R² lost inside the mask of the bands that stay, by number of bands "
        "missing (left; one: every band in turn; more: drawn at random) and by the one band that "
        "is missing (middle); R² of that band, given or guessed from the others (right; values "
        "below −0.5 are drawn there). Bootstrap errors over objects.",
        "Losses should lie at zero: other bands decode as well as before. A missing band cannot be "
        "known, but where it is guessed well, the others tell what it holds.",
        hidden_table(numbers, known),
    )  # fmt: skip


def _add_examples(section: Section, sample: ImageSample, order: Sequence[str]) -> None:
    drawn, rows = plot_examples(sample.examples, order)
    section.add_figure(
        drawn, "examples",
        "Cutouts drawn at random among the evaluated ones, brightest first, in three bands: "
        "measured (with the mask's outline), decoded from codes, and decoded minus measured. "
        "Arcsinh stretch in units of the sky noise; the difference runs from −10σ (blue) to +10σ "
        "(red). The side of a row's cutouts is given in pixels.",
        "Decoded sources should have the same shape and brightness; a good difference is flat "
        "noise without rings or a source in it.",
        Table(["object", "band", "R² in the mask", "magnitude change (mag)", "flux S/N"], rows),
    )  # fmt: skip


def _add_codebook(section: Section, sample: ImageSample) -> None:
    section.add_figure(
        plot_codebooks({"image": sample.counts}, {"image": BLUE}), "codebook",
        "Use of the image codebook by the evaluated fields: share of tokens in the most used "
        "codes.",
        "Sky patches outnumber sources, so a few codes take many tokens; dead codes are "
        "wasted ids.",
        codebook_table({"image": section.numbers["codebook"]}),
    )  # fmt: skip


def _band_table(bands: dict[str, Any]) -> dict[str, Any]:
    heading = [
        "band", "cutouts", "R² from codes", "R² from latents", "noise ceiling",
        "median R² of one cutout, codes", "the same, latents", "the same, noise ceiling",
    ]  # fmt: skip
    rows = []
    for name, n in bands.items():
        if not n["n"]:
            rows.append([name, 0, *[None] * 6])
            continue
        pooled = [n["codes"]["r2"], n["latents"]["r2"], n["ceiling"]]
        single = [n["codes"]["r2_object"], n["latents"]["r2_object"], n["ceiling_object"]]
        rows.append([name, n["n"], *pooled, *single])
    return Table(heading, rows)


def _flux_table(numbers: dict[str, Any]) -> dict[str, Any]:
    heading = [
        "band or colour", "sources", "median change, codes (mag)", "68 % half-range, codes (mag)",
        "median change, latents (mag)", "68 % half-range, latents (mag)",
    ]  # fmt: skip
    rows = [
        [name, n["n_detected"], n["codes"]["dmag"], n["codes"]["dmag_scatter"],
         n["latents"]["dmag"], n["latents"]["dmag_scatter"]]
        for name, n in numbers["bands"].items() if n["n"]
    ]  # fmt: skip
    rows += [
        [name, c["n"], c["median"], c["scatter"], None, None]
        for name, c in numbers["colours"].items()
    ]
    return Table(heading, rows)
