"""How well image codes keep the cutouts, and what the autoencoder and the codebook each lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import ColumnSettings, EvaluationSettings, ImageSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.codebooks import codebook_numbers, codebook_table, draw_codebooks
from astromodal.evaluation.image_figures import draw_bands, draw_examples, draw_flux
from astromodal.evaluation.image_sample import ImageSample, magnitude_change, sample_images
from astromodal.evaluation.metrics import (
    bootstrap_error,
    column_medians,
    median_error,
    pooled_r2_error,
    r2_of,
    robust_sigma,
)
from astromodal.evaluation.numbers import show_number
from astromodal.evaluation.objects import EvaluatedField, described
from astromodal.evaluation.parts import Part, measured, table
from astromodal.evaluation.style import BLUE, styled
from astromodal.tokenizers.image import ImageTokenizer

MOST = 0.5
"""Explained variance above which a code explains most of what is in the mask."""
DETECTED = 5.0
"""Signal-to-noise of the flux in the mask above which a magnitude is compared."""


def evaluate_images(
    fields: Sequence[EvaluatedField],
    tokenizer: ImageTokenizer,
    image: ImageSettings,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Compare decoded cutouts to the measured ones inside the elliptical mask.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        With the files ``cube``, ``split``, ``tokens`` (image codes) and ``latents``.
    tokenizer : ImageTokenizer
        Autoencoder and codebook.
    image, evaluation, columns : settings
        How cutouts are read, how many objects are evaluated, how a cube is read.
    figures : path
        Folder to write the figures into.
    progress : Progress
        Shows how many cutouts were read.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    part = Part("images", "Image cutouts", Path(figures))
    sample = sample_images(fields, tokenizer, image, evaluation, columns, progress)
    n = len(sample.ids)
    part.summary = (
        f"{n} cutouts of {described(fields)}; {sample.n_whole} cutouts of these fields are whole, "
        f"{sample.n_short} are short (cut at an image edge) and count as missing. R² is the "
        f"variance "
        "explained inside the elliptical mask, in counts/s, all cutouts together. From latents: "
        "the "
        "autoencoder alone; from codes: with the codebook too. The noise ceiling is what an image "
        "without "
        "any noise would reach."
    )
    part.numbers = {
        "tokenizer_hash": tokenizer.hash,
        "n_objects": n,
        "n_whole": sample.n_whole,
        "n_short": sample.n_short,
        "codebook": codebook_numbers(sample.counts),
    }
    if not sample.counts.size:
        part.notes.append("The image codebook is empty, because no training field has cutouts.")
    if not n:
        part.notes.append("No cutout could be evaluated: no evaluated object has one with codes.")
        return part.as_dict()
    bands = {name: band_numbers(sample, i, evaluation.seed) for i, name in enumerate(image.bands)}
    part.numbers["bands"] = bands
    part.numbers["colours"] = colours(sample, image.bands, evaluation.seed)
    known = [name for name in bands if bands[name]["n"]]
    part.notes += [
        f"Band {name}: no evaluated cutout has it." for name in bands if name not in known
    ]
    part.numbers["all_bands"] = overall(sample, evaluation.seed)
    _headlines(part, bands, known)
    with styled():
        _figures(part, sample, known, bands, image)
    return part.as_dict()


def band_numbers(sample: ImageSample, i: int, seed: int) -> dict[str, Any]:
    """All numbers of band `i`, from codes and from latents."""
    here = sample.total[:, i] > 0
    total = sample.total[here, i]
    numbers: dict[str, Any] = {"n": int(here.sum())}
    if not here.any():
        return numbers
    noise = sample.n_pixels[here, i] * sample.noise[here, i] ** 2
    numbers["ceiling"] = float(1 - noise.sum() / total.sum())
    detected = _detected(sample, i)
    numbers["n_detected"] = int(detected.sum())
    for way in ("codes", "latents"):
        residual = getattr(sample, f"residual_{way}")[here, i]
        change = magnitude_change(sample, way, i)[detected]
        numbers[way] = {
            "r2": measured(*pooled_r2_error(residual, total, seed)),
            "r2_object": measured(*median_error(r2_of(residual, total), seed)),
            "dmag": measured(*median_error(change, seed)),
            "dmag_scatter": _scatter(change, seed),
        }
    return numbers


def overall(sample: ImageSample, seed: int) -> dict[str, Any]:
    """Explained variance over all bands, each band in units of its noise so that none dominates."""
    noise = column_medians(np.where(sample.noise > 0, sample.noise, np.nan))
    weight = np.where(noise > 0, 1 / np.where(noise > 0, noise, 1) ** 2, 0.0)
    total = (sample.total * weight).sum(1)
    out = {}
    for way in ("codes", "latents"):
        residual = (getattr(sample, f"residual_{way}") * weight).sum(1)
        out[way] = {
            "r2": measured(*pooled_r2_error(residual, total, seed)),
            "r2_object": measured(*median_error(r2_of(residual, total), seed)),
        }
    return out


def colours(sample: ImageSample, bands: Sequence[str], seed: int) -> dict[str, Any]:
    """Change of the colour of neighbouring broad bands, decoded minus measured (mag)."""
    out = {}
    broad = [b for b in ("U", "G", "R", "I", "Z") if b in bands]
    for blue, red in zip(broad[:-1], broad[1:], strict=True):
        i, j = bands.index(blue), bands.index(red)
        both = _detected(sample, i) & _detected(sample, j)
        change = (magnitude_change(sample, "codes", i) - magnitude_change(sample, "codes", j))[both]
        out[f"{blue}-{red}"] = {
            "n": int(np.isfinite(change).sum()),
            "median": measured(*median_error(change, seed)),
            "scatter": _scatter(change, seed),
        }
    return out


def _detected(sample: ImageSample, i: int) -> np.ndarray:
    sigma = sample.noise[:, i] * np.sqrt(sample.n_pixels[:, i])
    return (sample.total[:, i] > 0) & (sample.flux[:, i] > DETECTED * sigma)


def _scatter(values: np.ndarray, seed: int) -> dict[str, float]:
    values = values[np.isfinite(values)]
    error = bootstrap_error(lambda index: robust_sigma(values[index]), len(values), seed)
    return measured(robust_sigma(values), float(error))


def _headlines(part: Part, bands: dict[str, Any], known: list[str]) -> None:
    whole = part.numbers["all_bands"]
    worst = min(known, key=lambda name: bands[name]["codes"]["r2"]["value"])
    lowest = bands[worst]["codes"]["r2"]["value"]
    part.headline(
        "Images: R² in the mask, from codes", whole["codes"]["r2"]["value"],
        whole["codes"]["r2"]["error"],
        note=f"from latents {show_number(whole['latents']['r2']['value'])}; lowest band {worst}: "
        f"{show_number(lowest)}; more than {MOST:g} is asked for in every band",
        verdict="good" if lowest > MOST else "bad",
    )  # fmt: skip


def _figures(
    part: Part, sample: ImageSample, known: list[str], bands: dict[str, Any], image: ImageSettings
) -> None:
    part.figure(
        draw_bands(bands, known), "r2_by_band",
        "Variance explained inside the elliptical mask, by band, with bootstrap errors over "
        "objects.",
        "Codes should follow latents closely: the gap between them is the codebook's loss, the gap "
        "between "
        "latents and the noise ceiling the autoencoder's.",
        _band_table(bands),
    )  # fmt: skip
    part.figure(
        draw_flux(sample, bands, known, image.bands), "flux_in_aperture",
        "Magnitude decoded minus measured inside the mask: median and 68 % range by band (left), "
        "and "
        "against the signal-to-noise of the flux, from codes, in all bands (right).",
        "The medians should lie at zero: a decoded cutout that keeps its pixels but not its flux "
        "would "
        f"lose its photometry. Only fluxes above {DETECTED:g}σ are compared.",
        _flux_table(part.numbers),
    )  # fmt: skip
    drawn, rows = draw_examples(sample.examples, image.bands)
    part.figure(
        drawn, "examples",
        "Cutouts drawn at random among the evaluated ones, brightest first, in three bands: "
        "measured "
        "(with the mask's outline), decoded from codes, and decoded minus measured. Arcsinh "
        "stretch "
        "in units of the sky noise; the difference runs from −10σ (blue) to +10σ (red). The side "
        "of a "
        "row's cutouts is given in pixels.",
        "Decoded sources should have the same shape and brightness; a good difference is flat "
        "noise "
        "without rings or a source in it.",
        table(["object", "band", "R² in the mask", "magnitude change (mag)", "flux S/N"], rows),
    )  # fmt: skip
    counts = sample.counts
    if counts.sum():
        part.figure(
            draw_codebooks({"image": counts}, {"image": BLUE}), "codebook",
            "Use of the image codebook by the evaluated fields: share of tokens in the most used "
            "codes.",
            "Sky patches outnumber sources, so a few codes take many tokens; dead codes are wasted "
            "ids.",
            codebook_table({"image": part.numbers["codebook"]}),
        )  # fmt: skip


def _band_table(bands: dict[str, Any]) -> dict[str, Any]:
    heading = [
        "band", "cutouts", "R² from codes", "R² from latents", "noise ceiling",
        "median R² of one cutout, codes", "the same, latents",
    ]  # fmt: skip
    rows = []
    for name, n in bands.items():
        if not n["n"]:
            rows.append([name, 0, *[None] * 5])
            continue
        codes, latents = n["codes"], n["latents"]
        rows.append(
            [
                name,
                n["n"],
                codes["r2"],
                latents["r2"],
                n["ceiling"],
                codes["r2_object"],
                latents["r2_object"],
            ]
        )
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
