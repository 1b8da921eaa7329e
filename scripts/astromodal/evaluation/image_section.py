"""The figures of the cutouts' section, each with the table of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from astromodal.evaluation.codebooks import codebook_table, draw_codebooks
from astromodal.evaluation.image_figures import draw_bands, draw_examples, draw_flux
from astromodal.evaluation.image_sample import DETECTED, ImageSample
from astromodal.evaluation.parts import Part, table
from astromodal.evaluation.style import BLUE


def add_figures(
    part: Part, sample: ImageSample, known: Sequence[str], order: Sequence[str]
) -> None:
    """Add every figure.

    Parameters
    ----------
    part : Part
        With ``bands``, ``colours`` and ``codebook`` among its numbers.
    sample : ImageSample
        At least one cutout.
    known, order : sequence of str
        Bands that some cutout has, and all bands in channel order.
    """
    bands = part.numbers["bands"]
    part.figure(
        draw_bands(bands, known), "r2_by_band",
        "Variance explained inside the elliptical mask, by band, with bootstrap errors over "
        "objects.",
        "Codes should follow latents closely: the gap between them is the codebook's loss, the "
        "gap between latents and the noise ceiling the autoencoder's.",
        _band_table(bands),
    )  # fmt: skip
    part.figure(
        draw_flux(sample, bands, known, order), "flux_in_aperture",
        "Magnitude decoded minus measured inside the mask: median and 68 % range by band (left), "
        "and against the signal-to-noise of the flux, from codes, in all bands (right).",
        "The medians should lie at zero: a decoded cutout that keeps its pixels but not its flux "
        f"would lose its photometry. Only fluxes above {DETECTED:g}σ are compared.",
        _flux_table(part.numbers),
    )  # fmt: skip
    _add_examples(part, sample, order)
    if sample.counts.sum():
        _add_codebook(part, sample)


def _add_examples(part: Part, sample: ImageSample, order: Sequence[str]) -> None:
    drawn, rows = draw_examples(sample.examples, order)
    part.figure(
        drawn, "examples",
        "Cutouts drawn at random among the evaluated ones, brightest first, in three bands: "
        "measured (with the mask's outline), decoded from codes, and decoded minus measured. "
        "Arcsinh stretch in units of the sky noise; the difference runs from −10σ (blue) to +10σ "
        "(red). The side of a row's cutouts is given in pixels.",
        "Decoded sources should have the same shape and brightness; a good difference is flat "
        "noise without rings or a source in it.",
        table(["object", "band", "R² in the mask", "magnitude change (mag)", "flux S/N"], rows),
    )  # fmt: skip


def _add_codebook(part: Part, sample: ImageSample) -> None:
    part.figure(
        draw_codebooks({"image": sample.counts}, {"image": BLUE}), "codebook",
        "Use of the image codebook by the evaluated fields: share of tokens in the most used "
        "codes.",
        "Sky patches outnumber sources, so a few codes take many tokens; dead codes are "
        "wasted ids.",
        codebook_table({"image": part.numbers["codebook"]}),
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
    return table(heading, rows)


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
    return table(heading, rows)
