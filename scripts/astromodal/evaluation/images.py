"""How well image codes keep the cutouts, and what the autoencoder and the codebook each lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.codebooks import codebook_numbers
from astromodal.evaluation.image_headlines import add_headlines
from astromodal.evaluation.image_hidden import hidden_numbers
from astromodal.evaluation.image_limits import limit_numbers, sentence
from astromodal.evaluation.image_photometry import (
    aperture_numbers,
    colour_numbers,
    names_of_apertures,
)
from astromodal.evaluation.image_sample import (
    ImageSample,
    detected,
    magnitude_change,
    noise_weights,
    sample_images,
)
from astromodal.evaluation.image_section import add_figures
from astromodal.evaluation.image_stars import star_numbers
from astromodal.evaluation.metrics import (
    median_error,
    pooled_r2_error,
    r2_of,
    scatter_error,
)
from astromodal.evaluation.objects import EvaluatedField, described
from astromodal.evaluation.parts import Part, measured
from astromodal.evaluation.style import styled
from astromodal.tokenizers.image import ImageTokenizer
from astromodal.tokenizers.image_autoencoder import UNTRAINED


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
        As `Part.as_dict` gives it. `measured` numbers are ``{"value", "error"}``, WAY is ``codes``
        or ``latents``, BAND a band. Its ``numbers`` hold, where there are cutouts:

        - ``bands``: BAND → ``n``, ``ceiling``, ``ceiling_object``, ``n_detected``, WAY → ``r2``,
          ``r2_object``, ``dmag``, ``dmag_scatter`` (in the mask); ``all_bands``: WAY → ``r2``,
          ``r2_object``.
        - ``limits``: ``pooled`` or ``typical`` → BAND or ``all`` → as `limit_numbers`.
        - ``apertures`` (3 arcsec) and ``apertures_6arcsec``: BAND or ``all`` → ``n``, WAY →
          ``within_0p1``, ``dmag``, ``dmag_scatter``, of sources of S/N > 30.
        - ``aperture_colours``: ``G-R``, ``R-Z`` → bin of S/N → ``n``, WAY → ``median``,
          ``scatter``; ``colours``: neighbouring broad bands → ``n``, ``median``, ``scatter`` (in
          the mask, codes).
        - ``stars``: BAND or ``all`` → ``n``, ``fwhm``, ``fwhm_scatter``, WAY → ``ratio``,
          ``ratio_scatter``, ``failed``.
        - ``missing_bands``: ``by_number`` → ``1`` … → ``n``, ``loss``, ``loss_object``;
          ``by_band`` → BAND → the same, ``seen``, ``guessed``.
        - ``codebook``, ``n_objects``, ``n_whole``, ``n_short``, ``tokenizer_hash``.
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
        part.headline(
            "Images: cutouts that trained the tokenizer", tokenizer.autoencoder.n_train,
            note=UNTRAINED, verdict="bad",
        )  # fmt: skip
        part.notes.append(f"{UNTRAINED[0].upper()}{UNTRAINED[1:]}.")
    if not n:
        part.notes.append(
            "No evaluated object has a cutout with codes. Evaluated objects have "
            f"{sample.n_uncoded} whole cutouts without codes, other objects of these fields "
            f"{sample.n_outside} whole cutouts."
        )
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
    part.numbers["limits"] = limit_numbers(sample, image.bands, seed)
    for name, aperture in names_of_apertures().items():
        part.numbers[name] = aperture_numbers(sample, image.bands, image.size, aperture, seed)
    part.numbers["aperture_colours"] = colour_numbers(sample, image.bands, image.size, seed)
    part.numbers["stars"] = star_numbers(sample, image.bands, image.size, seed)
    weights = noise_weights(sample)
    part.numbers["missing_bands"] = hidden_numbers(sample.hidden, image.bands, weights, seed)
    part.notes.append(sentence(part.numbers["limits"], known))
    add_headlines(part, known)
    with styled():
        add_figures(part, sample, known, image)


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
    bright = detected(sample, i)
    numbers["n_detected"] = int(bright.sum())
    for way in ("codes", "latents"):
        residual = getattr(sample, f"residual_{way}")[here, i]
        change = magnitude_change(sample, way, i)[bright]
        numbers[way] = {
            "r2": measured(*pooled_r2_error(residual, total, seed)),
            "r2_object": measured(*median_error(r2_of(residual, total), seed)),
            "dmag": measured(*median_error(change, seed)),
            "dmag_scatter": measured(*scatter_error(change, seed)),
        }
    return numbers


def overall(sample: ImageSample, seed: int) -> dict[str, Any]:
    """Explained variance over all bands, each band in units of its noise so that none dominates."""
    weight = noise_weights(sample)
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
        both = detected(sample, i) & detected(sample, j)
        change = (magnitude_change(sample, "codes", i) - magnitude_change(sample, "codes", j))[both]
        out[f"{blue}-{red}"] = {
            "n": int(np.isfinite(change).sum()),
            "median": measured(*median_error(change, seed)),
            "scatter": measured(*scatter_error(change, seed)),
        }
    return out
