"""How well image codes keep the cutouts, and what the autoencoder and the codebook each lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.held_out import EvaluatedField, described
from astromodal.evaluation.images.figures import add_figures
from astromodal.evaluation.images.limits import LITTLE, hidden_numbers, limit_numbers, sentence
from astromodal.evaluation.images.photometry import (
    BRIGHT,
    CLOSE,
    COLOUR_OFFSET,
    COLOUR_SCATTER,
    FEWEST,
    SAME,
    SHARE,
    SHARP,
    aperture_numbers,
    colour_numbers,
    enough,
    names_of_apertures,
    star_numbers,
)
from astromodal.evaluation.images.sample import (
    ImageSample,
    detected,
    magnitude_change,
    noise_weights,
    sample_images,
)
from astromodal.evaluation.metrics import (
    codebook_numbers,
    median_error,
    pooled_r2_error,
    r2_of,
    scatter_error,
)
from astromodal.evaluation.report.section import Section, Verdict
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import Measurement, show_number
from astromodal.tokenizers.images.autoencoder import UNTRAINED
from astromodal.tokenizers.images.tokenizer import ImageTokenizer


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
    section = Section("images", "Image cutouts", Path(figures))
    sample = sample_images(fields, tokenizer, image, evaluation, columns, progress)
    n = len(sample.ids)
    section.summary = (
        f"{n} cutouts of {described(fields)}; {sample.n_whole} cutouts of these fields are whole, "
        f"{sample.n_short} are short (cut at an image edge) and count as missing. R² is the "
        "variance explained inside the elliptical mask, in counts/s, all cutouts together. From "
        "latents: the autoencoder alone; from codes: with the codebook too. The noise ceiling is "
        "what an image without any noise would reach."
    )
    section.numbers = {
        "tokenizer_hash": tokenizer.hash,
        "n_objects": n,
        "n_whole": sample.n_whole,
        "n_short": sample.n_short,
        "codebook": codebook_numbers(sample.counts),
    }
    if not sample.counts.size:
        section.add_headline(
            "Images: cutouts that trained the tokenizer", tokenizer.autoencoder.n_train,
            note=UNTRAINED, verdict="bad",
        )  # fmt: skip
        section.notes.append(f"{UNTRAINED[0].upper()}{UNTRAINED[1:]}.")
    if not n:
        section.notes.append(
            "No evaluated object has a cutout with codes. Evaluated objects have "
            f"{sample.n_uncoded} whole cutouts without codes, other objects of these fields "
            f"{sample.n_outside} whole cutouts."
        )
        return section.as_dict()
    _evaluate_bands(section, sample, image, evaluation.seed)
    return section.as_dict()


def _evaluate_bands(section: Section, sample: ImageSample, image: ImageSettings, seed: int) -> None:
    """Add numbers, headlines and figures of a sample that has at least one cutout."""
    bands = {name: band_numbers(sample, i, seed) for i, name in enumerate(image.bands)}
    section.numbers["bands"] = bands
    section.numbers["colours"] = colours(sample, image.bands, seed)
    known = [name for name in bands if bands[name]["n"]]
    section.notes += [
        f"Band {name}: no evaluated cutout has it." for name in bands if name not in known
    ]
    if not known:
        section.notes.append(
            "No cutout could be evaluated: none has light that varies in the mask."
        )
        return
    section.numbers["all_bands"] = overall(sample, seed)
    section.numbers["limits"] = limit_numbers(sample, image.bands, seed)
    for name, aperture in names_of_apertures().items():
        section.numbers[name] = aperture_numbers(sample, image.bands, image.size, aperture, seed)
    section.numbers["aperture_colours"] = colour_numbers(sample, image.bands, image.size, seed)
    section.numbers["stars"] = star_numbers(sample, image.bands, image.size, seed)
    weights = noise_weights(sample)
    section.numbers["missing_bands"] = hidden_numbers(sample.hidden, image.bands, weights, seed)
    section.notes.append(sentence(section.numbers["limits"], known))
    add_headlines(section, known)
    with styled():
        add_figures(section, sample, known, image)


def band_numbers(sample: ImageSample, i: int, seed: int) -> dict[str, Any]:
    """All numbers of band `i`, from codes and from latents."""
    here = sample.total[:, i] > 0
    total = sample.total[here, i]
    numbers: dict[str, Any] = {"n": int(here.sum())}
    if not here.any():
        return numbers
    noise = sample.n_pixels[here, i] * sample.noise[here, i] ** 2
    numbers["ceiling"] = float(1 - noise.sum() / total.sum())
    numbers["ceiling_object"] = Measurement(*median_error(1 - noise / total, seed))
    bright = detected(sample, i)
    numbers["n_detected"] = int(bright.sum())
    for way in ("codes", "latents"):
        residual = getattr(sample, f"residual_{way}")[here, i]
        change = magnitude_change(sample, way, i)[bright]
        numbers[way] = {
            "r2": Measurement(*pooled_r2_error(residual, total, seed)),
            "r2_object": Measurement(*median_error(r2_of(residual, total), seed)),
            "dmag": Measurement(*median_error(change, seed)),
            "dmag_scatter": Measurement(*scatter_error(change, seed)),
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
            "r2": Measurement(*pooled_r2_error(residual, total, seed)),
            "r2_object": Measurement(*median_error(r2_of(residual, total), seed)),
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
            "median": Measurement(*median_error(change, seed)),
            "scatter": Measurement(*scatter_error(change, seed)),
        }
    return out


MOST = 0.5
"""Explained variance above which a code explains most of what is in the mask."""


def add_headlines(section: Section, known: Sequence[str]) -> None:
    """Add every headline that the part's numbers allow; `known` are the bands that were seen."""
    _explained(section, known)
    _limit(section)
    _apertures(section, known)
    _colours(section)
    _stars(section, known)
    _missing(section)


def _verdict(good: bool) -> Verdict:
    return "good" if good else "bad"


def _explained(section: Section, known: Sequence[str]) -> None:
    whole, bands = section.numbers["all_bands"], section.numbers["bands"]
    worst = min(known, key=lambda name: bands[name]["codes"]["r2"].value)
    lowest = bands[worst]["codes"]["r2"].value
    section.add_headline(
        "Images: R² in the mask, from codes", **whole["codes"]["r2"],
        note=f"from latents {show_number(whole['latents']['r2']['value'])}; lowest band {worst}: "
        f"{show_number(lowest)}; more than {MOST:g} is asked for in every band",
        verdict=_verdict(lowest > MOST),
    )  # fmt: skip


def _limit(section: Section) -> None:
    pooled, typical = (section.numbers["limits"][kind]["all"] for kind in ("pooled", "typical"))
    differences = [n["difference"].value for n in (pooled, typical)]
    section.add_headline(
        "Images: R² lost by the autoencoder", **pooled["autoencoder"],
        note=f"by the codebook {show_number(pooled['codebook']['value'])}; in the mean detected "
        f"cutout {show_number(typical['autoencoder']['value'])} and "
        f"{show_number(typical['codebook']['value'])}; the codebook is asked to be the limit in "
        "both",
        verdict=_verdict(max(differences) <= 0) if np.isfinite(differences).all() else "none",
    )  # fmt: skip


def _apertures(section: Section, known: Sequence[str]) -> None:
    numbers = section.numbers["apertures"]
    shares = {
        name: numbers[name]["codes"]["within_0p1"].value
        for name in known
        if numbers[name]["n"] >= FEWEST
    }
    label = f"Images: 3 arcsec magnitudes within {CLOSE:g} mag, S/N > {BRIGHT:g}"
    if not shares:
        section.notes.append(f"No band has {FEWEST} sources of S/N > {BRIGHT:g} in 3 arcsec.")
        return
    worst = min(shares, key=lambda name: shares[name])
    section.add_headline(
        label, **numbers["all"]["codes"]["within_0p1"],
        note=f"share of the measurements in all bands, from codes; from latents "
        f"{show_number(numbers['all']['latents']['within_0p1']['value'])}; lowest band {worst}: "
        f"{show_number(shares[worst])}; at least {SHARE:g} is asked for in every band",
        verdict=_verdict(shares[worst] >= SHARE),
    )  # fmt: skip


def _colours(section: Section) -> None:
    for colour, bins in section.numbers["aperture_colours"].items():
        found = bins[f"above_{BRIGHT:g}"]
        if found["n"] < FEWEST:
            continue
        median, scatter = (found["codes"][key] for key in ("median", "scatter"))
        good = abs(median.value) < COLOUR_OFFSET and scatter.value < COLOUR_SCATTER
        section.add_headline(
            f"Images: change of {colour}, S/N > {BRIGHT:g}", **median, unit="mag",
            note=f"median; 68 % half-range {show_number(scatter['value'])} mag; below "
            f"{COLOUR_OFFSET:g} and {COLOUR_SCATTER:g} mag are asked for",
            verdict=_verdict(good),
        )  # fmt: skip


def _stars(section: Section, known: Sequence[str]) -> None:
    numbers = section.numbers["stars"]
    judged = enough(numbers, known)
    if not judged:
        section.notes.append(
            f"No band has {FEWEST} stars of S/N > {SHARP:g}: no widths to compare."
        )
        return
    ratio = {name: numbers[name]["codes"]["ratio"].value for name in judged}
    # A band whose stars all vanished has no ratio: nothing is farther from 1.
    worst = max(judged, key=lambda name: np.nan_to_num(abs(ratio[name] - 1), nan=np.inf))
    section.add_headline(
        "Images: FWHM of stars, decoded over measured", **numbers["all"]["codes"]["ratio"],
        note=f"median, from codes; farthest from 1 in {worst}: {show_number(ratio[worst])}; "
        f"within {SAME:g} of 1 is asked for in every band",
        verdict=_verdict(abs(ratio[worst] - 1) <= SAME),
    )  # fmt: skip


def _missing(section: Section) -> None:
    one = section.numbers["missing_bands"]["by_number"].get("1")
    if not one or not one["n"]:
        return
    section.add_headline(
        "Images: R² lost in the other bands when one is missing", **one["loss"],
        note=f"median cutout {show_number(one['loss_object']['value'])}; at most {LITTLE:g} is "
        "asked for",
        verdict=_verdict(one["loss"].value <= LITTLE),
    )  # fmt: skip
