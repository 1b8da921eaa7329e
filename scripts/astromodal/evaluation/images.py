"""How well image codes keep the cutouts, and what the autoencoder and the codebook each lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import ColumnSettings, EvaluationSettings, ImageSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.codebooks import codebook_numbers
from astromodal.evaluation.image_sample import (
    DETECTED,
    ImageSample,
    magnitude_change,
    sample_images,
)
from astromodal.evaluation.image_section import add_figures
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
from astromodal.evaluation.parts import Part, measured
from astromodal.evaluation.style import styled
from astromodal.tokenizers.image import ImageTokenizer

MOST = 0.5
"""Explained variance above which a code explains most of what is in the mask."""


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
        "variance explained inside the elliptical mask, in counts/s, all cutouts together. From "
        "latents: the autoencoder alone; from codes: with the codebook too. The noise ceiling is "
        "what an image without any noise would reach."
    )
    part.numbers = {
        "tokenizer_hash": tokenizer.hash,
        "n_objects": n,
        "n_whole": sample.n_whole,
        "n_short": sample.n_short,
        "codebook": codebook_numbers(sample.counts),
    }
    if not sample.counts.size:
        part.notes.append("The image codebook is empty: no object that trains has a cutout.")
    if not n:
        others = f"; {sample.n_whole} objects outside of these have one" if sample.n_whole else ""
        part.notes.append(f"No evaluated object has a cutout with codes{others}.")
        return part.as_dict()
    _evaluate_bands(part, sample, image, evaluation.seed)
    return part.as_dict()


def _evaluate_bands(part: Part, sample: ImageSample, image: ImageSettings, seed: int) -> None:
    """Add numbers, headlines and figures of a sample that has at least one cutout."""
    bands = {name: band_numbers(sample, i, seed) for i, name in enumerate(image.bands)}
    part.numbers["bands"] = bands
    part.numbers["colours"] = colours(sample, image.bands, seed)
    known = [name for name in bands if bands[name]["n"]]
    part.notes += [
        f"Band {name}: no evaluated cutout has it." for name in bands if name not in known
    ]
    if not known:
        part.notes.append("No cutout could be evaluated: none has light that varies in the mask.")
        return
    part.numbers["all_bands"] = overall(sample, seed)
    _headlines(part, bands, known)
    with styled():
        add_figures(part, sample, known, image.bands)


def band_numbers(sample: ImageSample, i: int, seed: int) -> dict[str, Any]:
    """All numbers of band `i`, from codes and from latents."""
    here = sample.total[:, i] > 0
    total = sample.total[here, i]
    numbers: dict[str, Any] = {"n": int(here.sum())}
    if not here.any():
        return numbers
    noise = sample.n_pixels[here, i] * sample.noise[here, i] ** 2
    numbers["ceiling"] = float(1 - noise.sum() / total.sum())
    numbers["ceiling_object"] = measured(*median_error(1 - noise / total, seed))
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
