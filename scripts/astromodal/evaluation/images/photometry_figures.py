"""Figures and tables of aperture magnitudes and colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from astromodal.config.schema import ImageSettings
from astromodal.evaluation.images.apertures import APERTURES
from astromodal.evaluation.images.photometry import (
    BRIGHT,
    CLOSE,
    SHARE,
    SNR_EDGES,
    WAYS,
    circle_change,
    circle_snr,
    instrumental,
    known_colours,
    names_of_apertures,
)
from astromodal.evaluation.images.sample import ImageSample
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import BLUE, FAINT, INK, ORANGE, new_figure
from astromodal.evaluation.report.values import Table

_STYLE = {"codes": (BLUE, "o", -0.12), "latents": (ORANGE, "s", 0.12)}
_REACH = 0.5  # mag that an axis shows; what lies beyond is drawn at its edge
_FAINTEST = 5.0


def plot_changes(
    sample: ImageSample, known: Sequence[str], order: Sequence[str], size: int
) -> Figure:
    """Change of the small aperture's magnitude against its S/N, a panel a band."""
    columns = min(4, len(known))
    rows = -(-len(known) // columns)
    figure, axes = new_figure(
        rows, columns, height=0.9 + 1.25 * rows, sharex=True, sharey=True,
    )  # fmt: skip
    snr, change = circle_snr(sample, size, 0), circle_change(sample, "codes", 0)
    for axis, name in zip(axes.flat, known, strict=False):
        i = list(order).index(name)
        axis.axhspan(-CLOSE, CLOSE, color=FAINT, alpha=0.15, linewidth=0)
        axis.axhline(0, color=FAINT, linewidth=0.8)
        axis.axvline(BRIGHT, color=INK, linestyle="--", linewidth=0.8)
        _cloud(axis, snr[:, i], change[:, i])
        _running(axis, snr[:, i], change[:, i])
        axis.set_title(name, loc="left", fontsize=8, pad=2)
    for axis in axes.flat[len(known) :]:
        axis.set_visible(False)
    top = float(np.nanmax(snr, initial=100.0))
    axes[0, 0].set(xscale="log", xlim=(_FAINTEST, 1.5 * top), ylim=(-1.06 * _REACH, 1.06 * _REACH))
    axes[0, 0].xaxis.set_major_locator(LogLocator(numticks=9))
    figure.supxlabel("S/N of the measured flux in 3 arcsec", fontsize=9)
    figure.supylabel("decoded - measured (mag)", fontsize=9)
    return figure


def _cloud(axis: Any, snr: np.ndarray, change: np.ndarray) -> None:
    """Every source; those beyond the axis as triangles at its edge."""
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


def _running(axis: Any, snr: np.ndarray, change: np.ndarray) -> None:
    """Median and 16 to 84 % range in bins of S/N."""
    for low, high in zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True):
        here = (snr >= low) & (snr < high) & np.isfinite(change)
        if here.sum() >= 3:
            below, middle, above = np.quantile(change[here], [0.16, 0.5, 0.84])
            axis.errorbar(
                np.median(snr[here]), middle, [[middle - below], [above - middle]], fmt="D",
                color=ORANGE, markersize=3.5, markeredgecolor="white", markeredgewidth=0.5,
                elinewidth=1.2, zorder=5,
            )  # fmt: skip


def plot_bright(numbers: dict[str, Any], known: Sequence[str]) -> Figure:
    """Share of the bright sources whose magnitude is kept, and median change, by band."""
    figure, axes = new_figure(2, 1, height=4.2, sharex=True)
    upper, lower = axes[:, 0]
    known = [name for name in known if numbers[name]["n"]]
    for way in WAYS:
        colour, marker, shift = _STYLE[way]
        x = np.arange(len(known)) + shift
        found = [numbers[name][way] for name in known]
        share, share_error, median, median_error, half = (
            np.nan_to_num(np.array([n[key][what] for n in found], dtype=float))
            for key, what in (
                ("within_0p1", "value"), ("within_0p1", "error"), ("dmag", "value"),
                ("dmag", "error"), ("dmag_scatter", "value"),
            )
        )  # fmt: skip
        style = {"fmt": marker, "color": colour, "markersize": 4}
        upper.errorbar(x, share, share_error, label=f"from {way}", **style)
        lower.errorbar(x, median, half, fmt="none", ecolor=colour, elinewidth=0.8)
        lower.errorbar(x, median, median_error, elinewidth=2.4, **style)
    upper.axhline(SHARE, color=INK, linestyle="--", linewidth=0.9)
    upper.set(ylabel=f"share within {CLOSE:g} mag", ylim=(0, 1.03))
    lower.axhspan(-CLOSE, CLOSE, color=FAINT, alpha=0.15, linewidth=0)
    lower.axhline(0, color=FAINT, linewidth=0.8)
    lower.set(ylabel="change (mag)", xlabel="band (sources)")
    lower.set_xticks(
        np.arange(len(known)), [f"{name}\n({numbers[name]['n']})" for name in known], fontsize=7
    )
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def plot_colours(sample: ImageSample, order: Sequence[str], size: int) -> Figure:
    """Decoded against measured colour, and its change against S/N, a row a colour."""
    pairs = known_colours(order)
    figure, axes = new_figure(len(pairs), 2, height=0.5 + 2.4 * len(pairs))
    snr = circle_snr(sample, size, 0)
    measured_mag = instrumental(sample.circle[..., 0])
    decoded_mag = instrumental(sample.circle_codes[..., 0])
    for (left, right), (blue, red) in zip(axes, pairs, strict=True):
        i, j = list(order).index(blue), list(order).index(red)
        lower = np.minimum(snr[:, i], snr[:, j])
        x, y = (m[:, i] - m[:, j] for m in (measured_mag, decoded_mag))
        both = np.isfinite(x) & np.isfinite(y)
        for here, marker, colour, label in (
            ((lower > _FAINTEST) & (lower <= BRIGHT), "s", ORANGE, f"S/N 5 to {BRIGHT:g}"),
            (lower > BRIGHT, "o", BLUE, f"S/N above {BRIGHT:g}"),
        ):
            left.plot(
                x[here & both], y[here & both], marker, color=colour, markersize=2.4, alpha=0.6,
                markeredgewidth=0, label=label, rasterized=True,
            )  # fmt: skip
        ends = _ends(np.stack([x, y])[:, both & (lower > _FAINTEST)])
        left.plot(ends, ends, color=INK, linestyle="--", linewidth=0.9)
        left.set(xlim=ends, ylim=ends, aspect="equal")
        left.set(
            xlabel=f"measured {blue} - {red} (instrumental mag)",
            ylabel=f"decoded {blue} - {red} (mag)",
        )
        right.axhline(0, color=FAINT, linewidth=0.8)
        right.axvline(BRIGHT, color=INK, linestyle="--", linewidth=0.8)
        _cloud(right, lower, y - x)
        _running(right, lower, y - x)
        right.set(xscale="log", ylim=(-1.06 * _REACH, 1.06 * _REACH))
        right.set(xlabel="lower S/N of the two bands", ylabel=f"change of {blue} - {red} (mag)")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, markerscale=2
    )
    return figure


def _ends(colours: np.ndarray) -> tuple[float, float]:
    """Limits that hold all but one in a hundred of the colours."""
    if not colours.size:
        return -1.0, 1.0
    low, high = np.quantile(colours, [0.005, 0.995])
    return float(low) - 0.15, float(high) + 0.15


def bright_table(numbers: dict[str, dict[str, Any]], known: Sequence[str]) -> dict[str, Any]:
    """A row a band and an aperture; `numbers` by the aperture's diameter as text."""
    heading = [
        "aperture (arcsec)", "band", f"sources of S/N > {BRIGHT:g}",
        *(f"{what}, {way}" for way in WAYS for what in (
            f"share within {CLOSE:g} mag", "median change (mag)", "68 % half-range (mag)"
        )),
    ]  # fmt: skip
    rows = []
    for diameter, by_band in numbers.items():
        for name in [*known, "all"]:
            n = by_band[name]
            keys = ("within_0p1", "dmag", "dmag_scatter")
            rows.append([diameter, name, n["n"], *(n[way][key] for way in WAYS for key in keys)])
    return Table(heading, rows)


def colour_table(numbers: dict[str, Any]) -> dict[str, Any]:
    """A row a colour and a bin of S/N."""
    heading = [
        "colour", "lower S/N of its bands", "sources", "median change, codes (mag)",
        "68 % half-range, codes (mag)", "median change, latents (mag)",
        "68 % half-range, latents (mag)",
    ]  # fmt: skip
    rows = [
        [name, snr.replace("_", " "), n["n"],
         *(n[way][key] for way in WAYS for key in ("median", "scatter"))]
        for name, bins in numbers.items()
        for snr, n in bins.items()
    ]  # fmt: skip
    return Table(heading, rows)


def add_photometry(
    section: Section, sample: ImageSample, known: Sequence[str], image: ImageSettings
) -> None:
    """Add the figures that the bands allow; arguments as for `add_figures`."""
    by_diameter = {
        f"{APERTURES[place]:g}": section.numbers[name]
        for name, place in names_of_apertures().items()
    }
    tabulated = bright_table(by_diameter, known)
    section.add_figure(
        plot_changes(sample, known, image.bands, image.size), "aperture_changes",
        "Magnitude in a circle of 3 arcsec diameter, decoded from codes minus measured, against "
        "the S/N of the measured flux (sky noise), above 5. Triangles: beyond ±0.5 mag. "
        "Diamonds: medians and 16 to 84 % ranges of S/N 5 to 10, 10 to 30, 30 to 100 and above.",
        f"Right of the dashed line points should lie in the grey band of ±{CLOSE:g} mag. Towards "
        "low S/N the measured magnitude's own noise widens the cloud.",
        tabulated,
    )  # fmt: skip
    if section.numbers["apertures"]["all"]["n"]:
        section.add_figure(
            plot_bright(section.numbers["apertures"], known), "aperture_bright",
            f"Sources of S/N > {BRIGHT:g} in 3 arcsec, by band: share whose magnitude changes by "
            f"less than {CLOSE:g} mag, with Wilson's 68 % interval (top); median change with its "
            "bootstrap error (thick) and 68 % half-range (thin; bottom). In brackets: number of "
            "sources.",
            f"Shares should lie above the dashed line at {SHARE:g}, medians at zero. A median off "
            "zero is a flux scale that is lost, a wide range one that varies from source to "
            "source.",
            tabulated,
        )  # fmt: skip
    if known_colours(known):
        section.add_figure(
            plot_colours(sample, image.bands, image.size), "aperture_colours",
            "Colours in a circle of 3 arcsec, from codes: decoded against measured (left), and "
            "their change against the lower S/N of the two bands (right). Instrumental: counts/s "
            "without a zero point, which moves both axes alike; one colour in a hundred lies "
            "beyond the axes. Triangles and diamonds as in the "
            "figure of magnitudes.",
            "Points should follow the dashed line at left and zero at right; a cloud that is "
            "flatter than the line has lost colours to the mean one.",
            colour_table(section.numbers["aperture_colours"]),
        )  # fmt: skip
