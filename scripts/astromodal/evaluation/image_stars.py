"""Widths of stars in decoded cutouts: does the point spread function survive?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.image_photometry import FEWEST, WAYS, circle_snr
from astromodal.evaluation.image_sample import ImageSample
from astromodal.evaluation.metrics import of_objects, robust_sigma
from astromodal.evaluation.parts import measured, table
from astromodal.evaluation.style import BLUE, FAINT, INK, ORANGE, new_figure

SHARP = 50.0
"""S/N of a star's flux (3 arcsec) above which its width is compared: noise then moves a width by
some 2 %."""

SAME = 0.05
"""Largest deviation from 1 of a band's median ratio of widths that counts as good."""

_STYLE = {"codes": (BLUE, "o", -0.12), "latents": (ORANGE, "s", 0.12)}


def star_numbers(sample: ImageSample, bands: Sequence[str], size: int, seed: int) -> dict[str, Any]:
    """Widths of bright stars, decoded over measured, by band and over all as ``all``.

    Returns
    -------
    dict
        ``n`` (stars whose width was measured), ``fwhm`` and ``fwhm_scatter`` (arcsec: median and 68
        % half-range of the measured ones) and, for ``codes`` and ``latents``, ``ratio`` and
        ``ratio_scatter`` (median and 68 % half-range of decoded over measured) and ``failed``: how
        many of the n have no width once decoded.
    """
    used = bright_stars(sample, size)
    places = {name: used * np.eye(len(bands), dtype=bool)[i] for i, name in enumerate(bands)}
    out: dict[str, Any] = {}
    for name, here in {**places, "all": used}.items():
        width = np.where(here, sample.fwhm, np.nan)
        out[name] = {
            "n": int(here.sum()),
            "fwhm": measured(*of_objects(np.median, width, seed)),
            "fwhm_scatter": measured(*of_objects(robust_sigma, width, seed)),
        }
        for way in WAYS:
            ratio = getattr(sample, f"fwhm_{way}") / width
            out[name][way] = {
                "ratio": measured(*of_objects(np.median, ratio, seed)),
                "ratio_scatter": measured(*of_objects(robust_sigma, ratio, seed)),
                "failed": int((here & np.isnan(ratio)).sum()),
            }
    return out


def bright_stars(sample: ImageSample, size: int) -> np.ndarray:
    """Stars and bands whose widths are compared, bool (n, B)."""
    snr = np.nan_to_num(circle_snr(sample, size, 0))
    return sample.star[:, None] & (snr > SHARP) & np.isfinite(sample.fwhm)


def enough(numbers: dict[str, Any], known: Sequence[str]) -> list[str]:
    """Bands with stars enough for a verdict."""
    return [name for name in known if numbers[name]["n"] >= FEWEST]


def draw_stars(
    sample: ImageSample, numbers: dict[str, Any], known: Sequence[str], size: int
) -> Figure:
    """Decoded against measured widths, and their median ratio by band."""
    figure, axes = new_figure(1, 2, height=3.2)
    left, right = axes[0]
    used = bright_stars(sample, size)
    for way in reversed(WAYS):
        colour, marker, shift = _STYLE[way]
        x, y = sample.fwhm[used], getattr(sample, f"fwhm_{way}")[used]
        left.plot(
            x, y, marker, color=colour, markersize=1.8, alpha=0.5, markeredgewidth=0,
            rasterized=True,
        )  # fmt: skip
        names = [name for name in known if numbers[name]["n"]]
        ratio = np.array([numbers[name][way]["ratio"]["value"] for name in names])
        half = np.nan_to_num([numbers[name][way]["ratio_scatter"]["value"] for name in names])
        error = np.nan_to_num([numbers[name][way]["ratio"]["error"] for name in names])
        places = np.arange(len(names)) + shift
        right.errorbar(places, ratio, half, fmt="none", ecolor=colour, elinewidth=0.8)
        right.errorbar(
            places, ratio, error, fmt=marker, color=colour, markersize=4, elinewidth=2.4,
            label=f"from {way}",
        )  # fmt: skip
    seen = sample.fwhm[used]
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


def star_table(numbers: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """A row a band."""
    heading = [
        "band", "stars", "measured FWHM (arcsec)", "its 68 % half-range (arcsec)",
        "decoded / measured, codes", "68 % half-range, codes", "without a width, codes",
        "decoded / measured, latents", "68 % half-range, latents", "without a width, latents",
    ]  # fmt: skip
    rows = []
    for name in [*known, "all"]:
        n = numbers[name]
        both = [n[way][key] for way in WAYS for key in ("ratio", "ratio_scatter", "failed")]
        rows.append([name, n["n"], n["fwhm"], n["fwhm_scatter"], *both])
    return table(heading, rows)
