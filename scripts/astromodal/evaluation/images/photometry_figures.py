"""Figures and tables of magnitudes, colours, brightest pixels and widths of stars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from astromodal.evaluation.images.apertures import STAR_SIGNIFICANCE
from astromodal.evaluation.images.measures import ImageNumbers
from astromodal.evaluation.images.photometry import (
    ABOVE_BRIGHT,
    BRIGHT,
    CLOSE,
    CORE_CLOSE,
    SHARP,
    SNR_EDGES,
    ApertureNumbers,
    ColourNumbers,
    PeakNumbers,
    StarNumbers,
    bright_stars,
    circle_change,
    circle_snr,
    instrumental,
    known_colours,
    peak_snr,
)
from astromodal.evaluation.images.sample import STAGES, ImageSample
from astromodal.evaluation.report.section import Row, Section, Table
from astromodal.evaluation.report.style import BLUE, FAINT, INK, ORANGE, new_figure

SHARE = 0.95
"""Fraction of the bright sources that must be close in every band."""

SAME = 0.05
"""Largest deviation from 1 of a band's median ratio of widths that counts as good."""

STYLE = {"codes": (BLUE, "o", -0.12), "latents": (ORANGE, "s", 0.12)}
"""Colour, marker and shift of each stage."""

_REACH = 0.5  # mag that an axis shows; points beyond are plotted at its edge
_FAINTEST = 5.0


def plot_changes(sample: ImageSample, known: Sequence[str]) -> Figure:
    """Plot the change of the magnitude in 3 arcsec against its S/N, one panel per band."""
    columns = min(4, len(known))
    rows = -(-len(known) // columns)
    figure, axes = new_figure(rows, columns, height=0.9 + 1.25 * rows, sharex=True, sharey=True)
    snr, change = circle_snr(sample, 0), circle_change(sample, "codes", 0)
    for axis, name in zip(axes.flat, known, strict=False):
        i = sample.bands.index(name)
        axis.axhspan(-CLOSE, CLOSE, color=FAINT, alpha=0.15, linewidth=0)
        axis.axhline(0, color=FAINT, linewidth=0.8)
        axis.axvline(BRIGHT, color=INK, linestyle="--", linewidth=0.8)
        _plot_cloud(axis, snr[:, i], change[:, i])
        _plot_running(axis, snr[:, i], change[:, i])
        axis.set_title(name, loc="left", fontsize=8, pad=2)
    for axis in axes.flat[len(known) :]:
        axis.set_visible(False)
    top = float(np.nanmax(snr, initial=100.0))
    axes[0, 0].set(xscale="log", xlim=(_FAINTEST, 1.5 * top), ylim=(-1.06 * _REACH, 1.06 * _REACH))
    axes[0, 0].xaxis.set_major_locator(LogLocator(numticks=9))
    figure.supxlabel("S/N of the measured flux in 3 arcsec", fontsize=9)
    figure.supylabel("decoded - measured (mag)", fontsize=9)
    return figure


def _plot_cloud(axis: Axes, snr: np.ndarray, change: np.ndarray) -> None:
    """Plot every source; those beyond the axis as triangles at its edge."""
    seen = (snr > _FAINTEST) & np.isfinite(change)
    x, y = snr[seen], change[seen]
    for here, marker, size in (
        (np.abs(y) <= _REACH, ".", 2.5),
        (y > _REACH, "^", 3),
        (y < -_REACH, "v", 3),
    ):
        axis.plot(
            x[here], np.clip(y[here], -_REACH, _REACH), marker, color=BLUE, markersize=size,
            alpha=0.45, markeredgewidth=0, rasterized=True,
        )  # fmt: skip


def _plot_running(axis: Axes, snr: np.ndarray, change: np.ndarray) -> None:
    """Plot the median and the 16 to 84 % range in bins of S/N."""
    for low, high in zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True):
        here = (snr >= low) & (snr < high) & np.isfinite(change)
        if here.sum() >= 3:
            below, middle, above = np.quantile(change[here], [0.16, 0.5, 0.84])
            axis.errorbar(
                np.median(snr[here]), middle, [[middle - below], [above - middle]], fmt="D",
                color=ORANGE, markersize=3.5, markeredgecolor="white", markeredgewidth=0.5,
                elinewidth=1.2, zorder=5,
            )  # fmt: skip


def plot_bright(apertures: Mapping[str, ApertureNumbers], known: Sequence[str]) -> Figure:
    """Plot the fraction of bright sources that keep their magnitude, and the median change."""
    figure, axes = new_figure(2, 1, height=4.2, sharex=True)
    upper, lower = axes[:, 0]
    shown = {name: apertures[name] for name in known if apertures[name].n}
    for stage in STAGES:
        colour, marker, shift = STYLE[stage]
        x = np.arange(len(shown)) + shift
        changes = [numbers.at(stage) for numbers in shown.values()]
        share = [c.within_0p1.value for c in changes]
        share_error = np.nan_to_num([c.within_0p1.error for c in changes])
        median = np.nan_to_num([c.dmag.value for c in changes])
        style = {"fmt": marker, "color": colour, "markersize": 4}
        upper.errorbar(x, np.nan_to_num(share), share_error, label=f"from {stage}", **style)
        half = np.nan_to_num([c.dmag_scatter.value for c in changes])
        lower.errorbar(x, median, half, fmt="none", ecolor=colour, elinewidth=0.8)
        median_error = np.nan_to_num([c.dmag.error for c in changes])
        lower.errorbar(x, median, median_error, elinewidth=2.4, **style)
    upper.axhline(SHARE, color=INK, linestyle="--", linewidth=0.9)
    upper.set(ylabel=f"fraction within {CLOSE:g} mag", ylim=(0, 1.03))
    lower.axhspan(-CLOSE, CLOSE, color=FAINT, alpha=0.15, linewidth=0)
    lower.axhline(0, color=FAINT, linewidth=0.8)
    lower.set(ylabel="change (mag)", xlabel="band (sources)")
    labels = [f"{name}\n({numbers.n})" for name, numbers in shown.items()]
    lower.set_xticks(np.arange(len(shown)), labels, fontsize=7)
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def plot_colours(sample: ImageSample) -> Figure:
    """Plot decoded against measured colour, and its change against S/N, one row per colour."""
    pairs = known_colours(sample.bands)
    figure, axes = new_figure(len(pairs), 2, height=0.5 + 2.4 * len(pairs))
    snr = circle_snr(sample, 0)
    magnitudes = [instrumental(p.circle[..., 0]) for p in (sample.measured, sample.codes)]
    for (left, right), (blue, red) in zip(axes, pairs, strict=True):
        i, j = sample.bands.index(blue), sample.bands.index(red)
        lower = np.minimum(snr[:, i], snr[:, j])
        x, y = (m[:, i] - m[:, j] for m in magnitudes)
        _plot_colour(left, x, y, lower)
        left.set(
            xlabel=f"measured {blue} - {red} (instrumental mag)",
            ylabel=f"decoded {blue} - {red} (mag)",
        )
        right.axhline(0, color=FAINT, linewidth=0.8)
        right.axvline(BRIGHT, color=INK, linestyle="--", linewidth=0.8)
        _plot_cloud(right, lower, y - x)
        _plot_running(right, lower, y - x)
        right.set(xscale="log", ylim=(-1.06 * _REACH, 1.06 * _REACH))
        right.set(xlabel="lower S/N of the two bands", ylabel=f"change of {blue} - {red} (mag)")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, markerscale=2
    )
    return figure


def _plot_colour(axis: Axes, x: np.ndarray, y: np.ndarray, snr: np.ndarray) -> None:
    """Plot decoded against measured colour, in two ranges of S/N."""
    both = np.isfinite(x) & np.isfinite(y)
    for here, marker, colour, label in (
        ((snr > _FAINTEST) & (snr <= BRIGHT), "s", ORANGE, f"S/N 5 to {BRIGHT:g}"),
        (snr > BRIGHT, "o", BLUE, f"S/N above {BRIGHT:g}"),
    ):
        axis.plot(
            x[here & both], y[here & both], marker, color=colour, markersize=2.4, alpha=0.6,
            markeredgewidth=0, label=label, rasterized=True,
        )  # fmt: skip
    ends = _limits(np.stack([x, y])[:, both & (snr > _FAINTEST)])
    axis.plot(ends, ends, color=INK, linestyle="--", linewidth=0.9)
    axis.set(xlim=ends, ylim=ends, aspect="equal")


def _limits(colours: np.ndarray) -> tuple[float, float]:
    """Return limits of an axis that contain all but 1 % of the colours."""
    if not colours.size:
        return -1.0, 1.0
    low, high = np.quantile(colours, [0.005, 0.995])
    return float(low) - 0.15, float(high) + 0.15


def plot_peaks(sample: ImageSample) -> Figure:
    """Plot the decoded over the measured brightest pixel of every source and band by its S/N."""
    figure, axes = new_figure(1, 2, height=3.0, sharey=True)
    snr = peak_snr(sample)
    for axis, stage in zip(axes[0], STAGES, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = sample.at(stage).peak / sample.measured.peak
        axis.axhspan(1 - CORE_CLOSE, 1 + CORE_CLOSE, color=FAINT, alpha=0.15, linewidth=0)
        axis.axvline(BRIGHT, color=INK, linestyle="--", linewidth=0.8)
        _plot_cloud(axis, snr.ravel(), ratio.ravel() - 1)
        _plot_running(axis, snr.ravel(), ratio.ravel() - 1)
        axis.set(xscale="log", ylim=(-1.06 * _REACH, 1.06 * _REACH))
        axis.set(xlabel="S/N of the brightest pixel", title=f"from {stage}")
    axes[0, 0].set(ylabel="decoded / measured - 1")
    return figure


def plot_stars(sample: ImageSample, stars: Mapping[str, StarNumbers]) -> Figure:
    """Plot decoded against measured widths, and their median ratio by band."""
    figure, axes = new_figure(1, 2, height=3.2)
    left, right = axes[0]
    used = bright_stars(sample)
    names = [name for name in sample.bands if stars[name].n]
    seen = sample.measured.fwhm[used]
    for stage in reversed(STAGES):
        colour, marker, shift = STYLE[stage]
        left.plot(
            seen, sample.at(stage).fwhm[used], marker, color=colour, markersize=1.8, alpha=0.5,
            markeredgewidth=0, rasterized=True,
        )  # fmt: skip
        widths = [stars[name].at(stage) for name in names]
        ratio = np.array([w.ratio.value for w in widths])
        places = np.arange(len(names)) + shift
        half = np.nan_to_num([w.ratio_scatter.value for w in widths])
        right.errorbar(places, ratio, half, fmt="none", ecolor=colour, elinewidth=0.8)
        right.errorbar(
            places, ratio, np.nan_to_num([w.ratio.error for w in widths]), fmt=marker,
            color=colour, markersize=4, elinewidth=2.4, label=f"from {stage}",
        )  # fmt: skip
    limits = (0.88 * float(seen.min()), 1.12 * float(seen.max()))
    left.plot(limits, limits, color=INK, linewidth=0.9, linestyle="--")
    left.set(
        xlim=limits, ylim=limits, xlabel="measured FWHM (arcsec)", ylabel="decoded FWHM (arcsec)",
        aspect="equal",
    )  # fmt: skip
    right.axhspan(1 - SAME, 1 + SAME, color=FAINT, alpha=0.15, linewidth=0)
    right.axhline(1, color=FAINT, linewidth=0.8)
    right.set_xticks(np.arange(len(names)), names, rotation=60)
    right.set(xlabel="band", ylabel="decoded / measured FWHM")
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=2)
    return figure


def aperture_table(
    apertures: Mapping[str, Mapping[str, ApertureNumbers]], known: Sequence[str]
) -> Table:
    """Return a table with one row per aperture, by its diameter as text, and band."""
    heading = [
        "aperture (arcsec)", "band", f"sources of S/N > {BRIGHT:g}",
        *(f"{what}, {stage}" for stage in STAGES for what in (
            f"fraction within {CLOSE:g} mag", "median change (mag)", "68 % half-range (mag)"
        )),
    ]  # fmt: skip
    rows: list[Row] = []
    for diameter, by_band in apertures.items():
        for name in [*known, "all"]:
            numbers = by_band[name]
            changes = [numbers.at(stage) for stage in STAGES]
            cells = [cell for c in changes for cell in (c.within_0p1, c.dmag, c.dmag_scatter)]
            rows.append([diameter, name, numbers.n, *cells])
    return Table(heading, rows)


def colour_table(colours: Mapping[str, Mapping[str, ColourNumbers]]) -> Table:
    """Return a table with one row per colour and bin of S/N."""
    heading = [
        "colour", "lower S/N of its bands", "sources", "median change, codes (mag)",
        "68 % half-range, codes (mag)", "median change, latents (mag)",
        "68 % half-range, latents (mag)",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, snr.replace("_", " "), n.n, n.codes.median, n.codes.scatter, n.latents.median,
         n.latents.scatter]
        for name, bins in colours.items()
        for snr, n in bins.items()
    ]  # fmt: skip
    return Table(heading, rows)


def peak_table(peaks: Mapping[str, Mapping[str, PeakNumbers]], known: Sequence[str]) -> Table:
    """Return a table with one row per band and bin of S/N."""
    heading = [
        "band", "S/N of the brightest pixel", "sources", "within 5 %, an image without noise",
        *(f"{what}, {stage}" for stage in STAGES for what in (
            "within 5 %", "median of decoded / measured", "68 % half-range"
        )),
    ]  # fmt: skip
    rows: list[Row] = []
    for name in [*known, "all"]:
        for snr, n in peaks[name].items():
            both = [c for r in (n.codes, n.latents)
                    for c in (r.within_5pct, r.ratio, r.ratio_scatter)]  # fmt: skip
            rows.append([name, snr.replace("_", " "), n.n, n.ceiling, *both])
    return Table(heading, rows)


def star_table(stars: Mapping[str, StarNumbers], known: Sequence[str]) -> Table:
    """Return a table with one row per band."""
    heading = [
        "band", "stars", "measured FWHM (arcsec)", "its 68 % half-range (arcsec)",
        "decoded / measured, codes", "68 % half-range, codes", "without a width, codes",
        "decoded / measured, latents", "68 % half-range, latents", "without a width, latents",
    ]  # fmt: skip
    rows: list[Row] = []
    for name in [*known, "all"]:
        n = stars[name]
        both = [c for w in (n.codes, n.latents) for c in (w.ratio, w.ratio_scatter, w.failed)]
        rows.append([name, n.n, n.fwhm, n.fwhm_scatter, *both])
    return Table(heading, rows)


def add_photometry_figures(section: Section, sample: ImageSample, numbers: ImageNumbers) -> None:
    """Add the figures of magnitudes, colours and stars to a section, as far as there are any."""
    known = list(numbers.known)
    table = aperture_table(
        {
            "2": numbers.apertures_2arcsec,
            "3": numbers.apertures,
            "6": numbers.apertures_6arcsec,
        },
        known,
    )
    section.add_figure(
        plot_changes(sample, known), "aperture_changes",
        "Magnitude in a circle of 3 arcsec diameter, decoded from codes minus measured, against "
        "the S/N of the measured flux (sky noise), above 5. Triangles: beyond ±0.5 mag. "
        "Diamonds: medians and 16 to 84 % ranges of S/N 5 to 10, 10 to 30, 30 to 100 and above.",
        f"Right of the dashed line, points should lie in the grey band of ±{CLOSE:g} mag. Towards "
        "low S/N the noise of the measured magnitude widens the cloud.",
        table,
    )  # fmt: skip
    if numbers.apertures["all"].n:
        section.add_figure(
            plot_bright(numbers.apertures, known), "aperture_bright",
            f"Sources of S/N > {BRIGHT:g} in 3 arcsec, by band. Top: fraction whose magnitude "
            f"changes by less than {CLOSE:g} mag, with Wilson's 68 % interval. Bottom: median "
            "change with its bootstrap error (thick) and 68 % half-range (thin). In brackets: "
            "number of sources.",
            f"Fractions should lie above the dashed line at {SHARE:g}, medians at zero. A median "
            "off zero means that the flux scale is wrong; a wide range means that the scale "
            "varies from source to source.",
            table,
        )  # fmt: skip
    if known_colours(tuple(known)):
        section.add_figure(
            plot_colours(sample), "aperture_colours",
            "Colours in a circle of 3 arcsec, from codes. Left: decoded against measured. Right: "
            "their change against the lower S/N of the two bands. Colours are instrumental: from "
            "counts/s, without a zero point, which would shift both axes alike. 1 % of the colours "
            "lie beyond the axes. Triangles and diamonds as in the figure of magnitudes.",
            "Points should follow the dashed line on the left and zero on the right. A cloud that "
            "is flatter than the line means that decoded colours are too close to the mean colour.",
            colour_table(numbers.aperture_colours),
        )  # fmt: skip
    if numbers.peaks["all"][ABOVE_BRIGHT].n:
        section.add_figure(
            plot_peaks(sample), "brightest_pixels",
            "Light of the pixel in which the measured source is brightest, decoded over measured, "
            "against the S/N of that pixel; every source and band. Left: from codes. Right: from "
            "latents. Triangles and diamonds as in the figure of magnitudes.",
            f"Right of the dashed line, points should lie in the grey band of ±{CORE_CLOSE:.0%}. "
            "Noise of the measured pixel widens the cloud, by 3 % at that line and by 1 % at 100.",
            peak_table(numbers.peaks, known),
        )  # fmt: skip
    if numbers.stars["all"].n:
        _add_stars(section, sample, numbers)


def _add_stars(section: Section, sample: ImageSample, numbers: ImageNumbers) -> None:
    section.add_figure(
        plot_stars(sample, numbers.stars), "star_widths",
        "Full width at half maximum of stars, from the Gaussian of their adaptive moments. "
        "Left: decoded against measured, every star and band. Right: median of the ratio by "
        "band, with its bootstrap error (thick) and 68 % half-range (thin). Stars: sources "
        f"whose Gaia parallax or proper motion is above {STAR_SIGNIFICANCE:g}σ, with a flux of "
        f"S/N > {SHARP:g} in 3 arcsec and no unmeasured pixel within 3 arcsec.",
        "Points should follow the dashed line. A cloud that is flatter means that decoded "
        "stars have the same width whatever the seeing. Ratios in the grey band are within "
        "5 % of 1.",
        star_table(numbers.stars, list(numbers.known)),
    )  # fmt: skip
