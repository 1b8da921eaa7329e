"""What becomes of aperture magnitudes and colours, against the S/N of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.images.apertures import APERTURES, overlaps
from astromodal.evaluation.images.sample import ImageSample
from astromodal.evaluation.metrics import (
    fraction_error,
    mean_error,
    median_error,
    of_objects,
    robust_sigma,
    scatter_error,
)
from astromodal.evaluation.report.style import BLUE, FAINT, INK, ORANGE, new_figure
from astromodal.evaluation.report.values import Measurement, Table

WAYS = ("codes", "latents")
COLOURS = (("G", "R"), ("R", "Z"))
CLOSE = 0.1
"""Change of a magnitude (mag) that is small enough."""

BRIGHT = 30.0
"""S/N of the measured flux above which it is asked for: there noise alone is 0.036 mag, so that
99 % of perfectly denoised fluxes are close to the measured ones."""

SHARE = 0.95
"""Share of the bright sources that must be close in every band."""

COLOUR_OFFSET, COLOUR_SCATTER = 0.05, 0.1
"""Largest median and scatter of a bright source's change of colour (mag) that count as good."""

FEWEST = 10
"""Sources that a band needs to take part in a verdict."""

SNR_EDGES = (5.0, 10.0, 30.0, 100.0, np.inf)


def circle_snr(sample: ImageSample, size: int, aperture: int) -> np.ndarray:
    """S/N of the measured flux in an aperture, (n, B); NaN with an unmeasured pixel or no noise.

    The noise is the sky's: photon noise of the source, whose gain a cube does not tell, is left
    out, which matters for the brightest sources only.
    """
    pixels = np.sqrt((overlaps(size)[aperture] ** 2).sum())
    sigma = np.where(sample.noise > 0, sample.noise * pixels, np.nan)
    return sample.circle[..., aperture] / sigma


def circle_change(sample: ImageSample, way: str, aperture: int) -> np.ndarray:
    """-2.5 log10 (decoded / measured) of the flux in an aperture, (n, B) mag.

    NaN where a flux is not positive or a pixel was not measured.
    """
    decoded = getattr(sample, f"circle_{way}")[..., aperture]
    return instrumental(decoded) - instrumental(sample.circle[..., aperture])


def instrumental(flux: np.ndarray) -> np.ndarray:
    """-2.5 log10 of counts/s; NaN where they are not positive."""
    good = np.isfinite(flux) & (flux > 0)
    return np.where(good, -2.5 * np.log10(np.where(good, flux, 1.0)), np.nan)


def aperture_numbers(
    sample: ImageSample, bands: Sequence[str], size: int, aperture: int, seed: int
) -> dict[str, Any]:
    """Change of the aperture magnitudes of the bright sources, by band.

    Returns
    -------
    dict
        By band, and over all of them as ``all``: ``n`` and, for ``codes`` and ``latents``,
        ``within_0p1`` (share of the n), ``dmag`` (median) and ``dmag_scatter`` (68 % half-range). A
        decoded flux that is not positive is not close.
    """
    bright = circle_snr(sample, size, aperture) > BRIGHT
    out: dict[str, Any] = {name: {"n": int(bright[:, i].sum())} for i, name in enumerate(bands)}
    whole: dict[str, Any] = {"n": int(bright.sum())}
    for way in WAYS:
        change = circle_change(sample, way, aperture)
        close = np.abs(np.nan_to_num(change, nan=np.inf)) < CLOSE
        for i, name in enumerate(bands):
            here = bright[:, i]
            out[name][way] = {
                "within_0p1": Measurement(*fraction_error(close[here, i])),
                **_spread(change[here, i], seed),
            }
        shares = mean_error((close & bright).sum(1), bright.sum(1), seed)
        used = np.where(bright, change, np.nan)
        whole[way] = {
            "within_0p1": Measurement(*shares),
            "dmag": Measurement(*of_objects(np.median, used, seed)),
            "dmag_scatter": Measurement(*of_objects(robust_sigma, used, seed)),
        }
    return {**out, "all": whole}


def colour_numbers(
    sample: ImageSample, bands: Sequence[str], size: int, seed: int
) -> dict[str, Any]:
    """Change of the aperture colours, decoded minus measured, by S/N.

    Returns
    -------
    dict
        By colour and bin of the lower of its two bands' S/N (``5-10`` … ``above_100``, and
        ``above_30`` for all bright ones): ``n`` and, for ``codes`` and ``latents``, ``median`` and
        ``scatter`` (mag).
    """
    snr, out = circle_snr(sample, size, 0), {}
    changes = {way: circle_change(sample, way, 0) for way in WAYS}
    for blue, red in known_colours(bands):
        i, j = bands.index(blue), bands.index(red)
        lower = np.minimum(snr[:, i], snr[:, j])
        out[f"{blue}-{red}"] = {
            name: {
                "n": int(((lower >= low) & (lower < high)).sum()),
                **{
                    way: _colour(changes[way][:, i] - changes[way][:, j], lower, low, high, seed)
                    for way in WAYS
                },
            }
            for name, low, high in _bins()
        }
    return out


def known_colours(bands: Sequence[str]) -> list[tuple[str, str]]:
    """Those of `COLOURS` of which both bands are there."""
    return [pair for pair in COLOURS if set(pair) <= set(bands)]


def _bins() -> list[tuple[str, float, float]]:
    ranges = list(zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True))
    named = [
        (f"{low:g}-{high:g}" if np.isfinite(high) else f"above_{low:g}", low, high)
        for low, high in ranges
    ]
    return [*named, (f"above_{BRIGHT:g}", BRIGHT, np.inf)]


def _colour(
    change: np.ndarray, lower: np.ndarray, low: float, high: float, seed: int
) -> dict[str, Any]:
    spread = _spread(change[(lower >= low) & (lower < high)], seed)
    return {"median": spread["dmag"], "scatter": spread["dmag_scatter"]}


def _spread(change: np.ndarray, seed: int) -> dict[str, Any]:
    return {
        "dmag": Measurement(*median_error(change, seed)),
        "dmag_scatter": Measurement(*scatter_error(change, seed)),
    }


def names_of_apertures() -> dict[str, int]:
    """Place of each aperture by its name among the part's numbers, the main one first."""
    others = {f"apertures_{d:g}arcsec": k for k, d in enumerate(APERTURES) if k}
    return {"apertures": 0, **others}


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
            "fwhm": Measurement(*of_objects(np.median, width, seed)),
            "fwhm_scatter": Measurement(*of_objects(robust_sigma, width, seed)),
        }
        for way in WAYS:
            ratio = getattr(sample, f"fwhm_{way}") / width
            out[name][way] = {
                "ratio": Measurement(*of_objects(np.median, ratio, seed)),
                "ratio_scatter": Measurement(*of_objects(robust_sigma, ratio, seed)),
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


def plot_stars(
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
        ratio = np.array([numbers[name][way]["ratio"].value for name in names])
        half = np.nan_to_num([numbers[name][way]["ratio_scatter"].value for name in names])
        error = np.nan_to_num([numbers[name][way]["ratio"].error for name in names])
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
    return Table(heading, rows)
