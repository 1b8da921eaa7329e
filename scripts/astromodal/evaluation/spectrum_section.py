"""The figures of the spectra's section, each with the table of its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.core.grids import bin_centres
from astromodal.evaluation.codebooks import codebook_table, draw_codebooks
from astromodal.evaluation.parts import Part, measured, table
from astromodal.evaluation.spectrum_along import FOLLOWS, Along
from astromodal.evaluation.spectrum_figures import colour, draw_along, draw_examples, draw_quality
from astromodal.evaluation.spectrum_sample import GroupSample

FAMILIES = {"desi": "DESI", "gaiaxp": "Gaia XP"}


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
    for family in FAMILIES:
        groups = {name: s for name, s in live.items() if name.startswith(family)}
        if groups:
            waves = {name: bin_centres(name, spectrum) for name in groups}
            own = {name: along[name] for name in groups}
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
    family: str,
    groups: dict[str, GroupSample],
    waves: dict[str, np.ndarray],
    along: dict[str, Along],
    n_examples: int,
) -> None:
    title = FAMILIES[family]
    drawn, rows = draw_examples(groups, waves, family, n_examples)
    part.figure(
        drawn, f"examples_{family}",
        f"{title}: observed, rebinned spectra (thin line; grey: ±1σ) and what their codes "
        "decode to (coloured), over the whole range, at evenly spaced ranks of "
        "signal-to-noise; none was picked by eye.",
        "The thin line should run along the coloured one, at continuum and lines, from end "
        "to end.",
        table(["object", "group", "S/N", "R²", "reduced χ²", "scale error (%)"], rows),
    )  # fmt: skip
    part.figure(
        draw_along(along, family, FOLLOWS), f"along_{family}",
        f"{title}: along the wavelength, median and 68 % range of the error of the continuum, "
        "relative to the flux or to the object's scale where that is larger (top); variance "
        "of arcsinh(flux / noise) over all objects that is explained, with bootstrap error "
        "(bottom).",
        "Errors should be centred on zero, and R² high, over the whole range and not just in "
        f"its middle; the band of ±{100 * FOLLOWS:g} % is what counts as following the "
        "continuum.",
        _along_table(along, family),
    )  # fmt: skip


def _along_table(along: dict[str, Along], family: str) -> dict[str, Any]:
    label = "Å" if family == "desi" else "pseudo-wavelength"
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
