"""The figures of the cutouts' section, each with the table of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from astromodal.config.schema import ImageSettings
from astromodal.evaluation.codebooks import codebook_table, draw_codebooks
from astromodal.evaluation.image_figures import draw_bands, draw_examples, draw_flux
from astromodal.evaluation.image_hidden import draw_hidden_bands, hidden_table
from astromodal.evaluation.image_limits import draw_limits, limit_table, sentence
from astromodal.evaluation.image_photometry_section import add_photometry
from astromodal.evaluation.image_sample import DETECTED, ImageSample
from astromodal.evaluation.image_stars import SHARP, draw_stars, star_table
from astromodal.evaluation.image_sums import STAR_SIGNIFICANCE
from astromodal.evaluation.parts import Part, table
from astromodal.evaluation.style import BLUE


def add_figures(
    part: Part, sample: ImageSample, known: Sequence[str], image: ImageSettings
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
    bands, order = part.numbers["bands"], image.bands
    part.figure(
        draw_bands(bands, known), "r2_by_band",
        "Variance explained inside the elliptical mask, by band, with bootstrap errors over "
        "objects.",
        "Codes should follow latents closely: the gap between them is the codebook's loss, the "
        "gap between latents and the noise ceiling the autoencoder's.",
        _band_table(bands),
    )  # fmt: skip
    _add_limits(part, known)
    add_photometry(part, sample, known, image)
    if part.numbers["stars"]["all"]["n"]:
        _add_stars(part, sample, known, image.size)
    if part.numbers["missing_bands"]["by_number"]["1"]["n"]:
        _add_missing(part, known)
    part.figure(
        draw_flux(sample, bands, known, order), "flux_in_mask",
        "Magnitude decoded minus measured inside the mask: median and 68 % range by band (left), "
        "and against the signal-to-noise of the flux, from codes, in all bands (right).",
        "The medians should lie at zero: a decoded cutout that keeps its pixels but not its flux "
        f"would lose its photometry. Only fluxes above {DETECTED:g}σ are compared.",
        _flux_table(part.numbers),
    )  # fmt: skip
    _add_examples(part, sample, order)
    if sample.counts.sum():
        _add_codebook(part, sample)


def _add_limits(part: Part, known: Sequence[str]) -> None:
    limits = part.numbers["limits"]
    part.figure(
        draw_limits(limits, known), "limits",
        "What leaves variance unexplained inside the mask, by band and over all bands in units of "
        "their noise: sky noise, the autoencoder beyond it (with the photon noise of bright "
        "sources, for cubes tell no gain), the codebook beyond that. Lines: bootstrap errors over "
        "objects, of each share alone.",
        f"{sentence(limits, known)} The taller coloured part is the one to work on. A share below "
        "zero means that the step helped by chance, or kept noise.",
        limit_table(limits, known),
    )  # fmt: skip


def _add_stars(part: Part, sample: ImageSample, known: Sequence[str], size: int) -> None:
    numbers = part.numbers["stars"]
    part.figure(
        draw_stars(sample, numbers, known, size), "star_widths",
        "Full width at half maximum of the Gaussian that stars' adaptive moments give, decoded "
        "against measured: every star and band (left); median of the ratio with its bootstrap "
        "error (thick) and 68 % half-range (thin) by band (right). Stars: sources whose Gaia "
        f"parallax or proper motion is above {STAR_SIGNIFICANCE:g}σ, with a flux of S/N > "
        f"{SHARP:g} in 3 arcsec and no unmeasured pixel within 3 arcsec.",
        "Points should follow the dashed line: a cloud that is flatter shows stars of one and the "
        "same width, whatever the seeing. Ratios in the grey band are within 5 % of 1.",
        star_table(numbers, known),
    )  # fmt: skip


def _add_missing(part: Part, known: Sequence[str]) -> None:
    numbers = part.numbers["missing_bands"]
    part.figure(
        draw_hidden_bands(numbers, known), "missing_bands",
        f"{numbers['n_objects']} cutouts encoded again with bands hidden from the encoder, and "
        "decoded from codes. R² lost inside the mask of the bands that stay, by number of bands "
        "missing (left; one: every band in turn; more: drawn at random) and by the one band that "
        "is missing (middle); R² of that band, given or guessed from the others (right; values "
        "below −0.5 are drawn there). Bootstrap errors over objects.",
        "Losses should lie at zero: other bands decode as well as before. A missing band cannot be "
        "known, but where it is guessed well, the others tell what it holds.",
        hidden_table(numbers, known),
    )  # fmt: skip


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
