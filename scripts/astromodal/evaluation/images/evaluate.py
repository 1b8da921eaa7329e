"""The section on image cutouts: how well their codes keep them, and what causes the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from astromodal.evaluation.context import EvaluationContext, described
from astromodal.evaluation.images.figures import add_figures
from astromodal.evaluation.images.measures import (
    ImageCounts,
    ImageNumbers,
    LimitNumbers,
    bits_an_object,
    measure_all_bands,
    measure_band,
    measure_limits,
    measure_missing,
    noise_weights,
)
from astromodal.evaluation.images.photometry import (
    ABOVE_BRIGHT,
    ABOVE_SURE,
    BRIGHT,
    CLOSE,
    CORE_CLOSE,
    FEWEST,
    SHARP,
    ApertureNumbers,
    measure_aperture_colours,
    measure_apertures,
    measure_colours,
    measure_peaks,
    measure_stars,
)
from astromodal.evaluation.images.photometry_figures import SAME, SHARE
from astromodal.evaluation.images.sample import ImageSample, sample_images
from astromodal.evaluation.metrics import CodebookUse
from astromodal.evaluation.report.section import Measurement, Section, Verdict, show_number
from astromodal.evaluation.report.style import styled
from astromodal.tokenizers.images.autoencoder import UNTRAINED
from astromodal.tokenizers.images.tokenizer import ImageTokenizer

MOST = 0.96
"""Smallest R² in the mask, all bands together, that counts as good."""

LITTLE = 0.01
"""Largest loss of R² in the other bands, with one missing, that counts as good."""

COLOUR_OFFSET, COLOUR_SCATTER = 0.05, 0.05
"""Largest median and scatter of a bright source's change of colour (mag) that count as good."""


def evaluate_images(context: EvaluationContext, tokenizer: ImageTokenizer) -> Section:
    """Compare decoded cutouts with the measured ones inside the elliptical mask.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the files ``cube``, ``split``, ``tokens`` (image codes) and ``latents``.
    tokenizer : ImageTokenizer
        Autoencoder and codebook.

    Returns
    -------
    Section
        The section, with `ImageNumbers`, or with `ImageCounts` where no cutout could be evaluated.
    """
    section = Section("images", "Image cutouts", context.figures)
    section.hashes["image tokenizer"] = tokenizer.hash
    sample = sample_images(context, tokenizer)
    n = len(sample.ids)
    section.summary = (
        f"{n} cutouts of {described(context.fields)}. {sample.n_whole} cutouts of these fields are "
        f"whole; {sample.n_short} are short (cut at an image edge) and count as missing. R² is the "
        "variance explained inside the elliptical mask, in counts/s, all cutouts together. "
        "Cutouts are decoded from latents, by the autoencoder alone, and from codes, with the "
        "codebook too; both are brought to the place and the fluxes of their brightness codes. "
        "These are of apertures of 0.7, 2 and 3 arcsec, so that magnitudes in 2 and 3 arcsec "
        "measure the rounding of the codes, and the brightest pixel largely does; no code holds "
        "the flux in 6 arcsec. Coded fluxes carry the noise of the measured ones. Apertures stand "
        "around the measured place of the source. The noise ceiling is the R² of an image without "
        "any noise. An ideal coder of the codes of a cutout needs "
        f"{bits_an_object(sample):.0f} bits."
    )
    section.numbers = ImageCounts(
        n, sample.n_whole, sample.n_short, bits_an_object(sample), CodebookUse.of(sample.counts)
    )
    if not sample.counts.size:
        section.add_headline(
            "Images: cutouts that trained the tokenizer",
            Measurement(tokenizer.autoencoder.n_train), note=UNTRAINED, verdict="bad",
        )  # fmt: skip
        section.notes.append(f"{UNTRAINED[0].upper()}{UNTRAINED[1:]}.")
    if n:
        _evaluate_bands(section, sample, context.settings.evaluation.seed)
    else:
        section.notes.append(
            "No evaluated object has a cutout with codes. Evaluated objects have "
            f"{sample.n_uncoded} whole cutouts without codes, other objects of these fields "
            f"{sample.n_outside} whole cutouts."
        )
    return section


def _evaluate_bands(section: Section, sample: ImageSample, seed: int) -> None:
    """Add numbers, headlines and figures of a sample that has at least one cutout."""
    varies = np.any(sample.total > 0, axis=0)
    section.notes += [
        f"Band {name}: no evaluated cutout has it."
        for name, known in zip(sample.bands, varies, strict=True)
        if not known
    ]
    if not varies.any():
        section.notes.append(
            "No cutout could be evaluated: none has light that varies in the mask."
        )
        return
    numbers = measure_images(sample, seed)
    section.numbers = numbers
    limits = describe_limits(numbers.limits, list(numbers.known))
    section.notes.append(limits)
    add_headlines(section, numbers)
    with styled():
        add_figures(section, sample, numbers, limits)


def measure_images(sample: ImageSample, seed: int) -> ImageNumbers:
    """Measure every number of a sample in which some cutout has light that varies in the mask."""
    return ImageNumbers(
        n_objects=len(sample.ids),
        n_whole=sample.n_whole,
        n_short=sample.n_short,
        bits_an_object=bits_an_object(sample),
        codebook=CodebookUse.of(sample.counts),
        bands={name: measure_band(sample, i, seed) for i, name in enumerate(sample.bands)},
        all_bands=measure_all_bands(sample, seed),
        colours=measure_colours(sample, seed),
        limits=measure_limits(sample, seed),
        apertures=measure_apertures(sample, 0, seed),
        apertures_2arcsec=measure_apertures(sample, 1, seed),
        apertures_6arcsec=measure_apertures(sample, 2, seed),
        aperture_colours=measure_aperture_colours(sample, seed),
        peaks=measure_peaks(sample, seed),
        stars=measure_stars(sample, seed),
        missing_bands=measure_missing(sample.hidden, sample.bands, noise_weights(sample), seed),
    )


def describe_limits(limits: LimitNumbers, known: list[str]) -> str:
    """Return sentences that name the larger loss, over all bands and by band."""
    sentences = []
    for by_band, what in (
        (limits.pooled, "All light together"),
        (limits.typical, "In the mean detected cutout"),
    ):
        named = {
            limit: [name for name in known if by_band[name].limit == limit]
            for limit in ("autoencoder", "codebook", "undecided")
        }
        bands = "; ".join(
            f"{limit} in {' '.join(names)}" for limit, names in named.items() if names
        )
        limit = by_band["all"].limit
        overall = limit if limit == "undecided" else f"the {limit}"
        sentences.append(f"{what} the limit is {overall} (by band: {bands}).")
    return " ".join(sentences)


def add_headlines(section: Section, numbers: ImageNumbers) -> None:
    """Add every headline that the numbers allow, and notes in place of the others."""
    _add_apertures(section, "3 arcsec", numbers.apertures, list(numbers.known))
    _add_apertures(section, "2 arcsec", numbers.apertures_2arcsec, list(numbers.known))
    _add_colours(section, numbers)
    _add_peaks(section, numbers)
    _add_stars(section, numbers)
    _add_explained(section, numbers)
    _add_missing(section, numbers)
    _add_limit(section, numbers.limits)


def _verdict(good: bool) -> Verdict:
    return "good" if good else "bad"


def _add_explained(section: Section, numbers: ImageNumbers) -> None:
    whole, bands = numbers.all_bands, numbers.known
    worst = min(bands, key=lambda name: bands[name].codes.r2.value)
    lowest = bands[worst].codes.r2.value
    section.add_headline(
        "Images: R² in the mask, from codes", whole.codes.r2,
        note=f"from latents {show_number(whole.latents.r2.value)}; lowest band {worst}: "
        f"{show_number(lowest)}; the mark is at least {MOST:g} over all bands",
        verdict=_verdict(whole.codes.r2.value >= MOST),
    )  # fmt: skip


def _add_limit(section: Section, limits: LimitNumbers) -> None:
    pooled, typical = limits.pooled["all"], limits.typical["all"]
    differences = [losses.difference.value for losses in (pooled, typical)]
    section.add_headline(
        "Images: R² lost by the autoencoder", pooled.autoencoder,
        note=f"by the codebook {show_number(pooled.codebook.value)}; in the mean detected "
        f"cutout {show_number(typical.autoencoder.value)} and "
        f"{show_number(typical.codebook.value)}; the mark is at most the loss of the codebook in "
        "both",
        verdict=_verdict(max(differences) <= 0) if np.isfinite(differences).all() else "none",
    )  # fmt: skip


def _add_apertures(
    section: Section, diameter: str, apertures: Mapping[str, ApertureNumbers], known: Sequence[str]
) -> None:
    shares = {
        name: apertures[name].codes.within_0p1.value
        for name in known
        if apertures[name].n >= FEWEST
    }
    if not shares:
        section.notes.append(f"No band has {FEWEST} sources of S/N > {BRIGHT:g} in {diameter}.")
        return
    worst = min(shares, key=lambda name: shares[name])
    section.add_headline(
        f"Images: {diameter} magnitudes within {CLOSE:g} mag, S/N > {BRIGHT:g}",
        apertures["all"].codes.within_0p1,
        note=f"fraction of the measurements in all bands, from codes; from latents "
        f"{show_number(apertures['all'].latents.within_0p1.value)}; lowest band {worst}: "
        f"{show_number(shares[worst])}; the mark is at least {SHARE:g} in every band",
        verdict=_verdict(shares[worst] >= SHARE),
    )  # fmt: skip


def _add_colours(section: Section, numbers: ImageNumbers) -> None:
    for colour, bins in numbers.aperture_colours.items():
        bright = bins[ABOVE_BRIGHT]
        if bright.n < FEWEST:
            continue
        median, scatter = bright.codes.median, bright.codes.scatter
        good = abs(median.value) <= COLOUR_OFFSET and scatter.value <= COLOUR_SCATTER
        section.add_headline(
            f"Images: change of {colour}, S/N > {BRIGHT:g}", median.scaled(1, "mag"),
            note=f"median; 68 % half-range {show_number(scatter.value)} mag; the marks are at most "
            f"{COLOUR_OFFSET:g} and {COLOUR_SCATTER:g} mag",
            verdict=_verdict(good),
        )  # fmt: skip


def _add_peaks(section: Section, numbers: ImageNumbers) -> None:
    shares = {
        name: numbers.peaks[name][ABOVE_SURE].codes.within_5pct.value
        for name in numbers.known
        if numbers.peaks[name][ABOVE_SURE].n >= FEWEST
    }
    if not shares:
        section.notes.append(f"No band has {FEWEST} sources whose brightest pixel has S/N > 100.")
        return
    worst = min(shares, key=lambda name: shares[name])
    sure, bright = (numbers.peaks["all"][name] for name in (ABOVE_SURE, ABOVE_BRIGHT))
    section.add_headline(
        f"Images: brightest pixel within {CORE_CLOSE:.0%}, S/N > 100", sure.codes.within_5pct,
        note=f"fraction of the sources in all bands, from codes; median ratio "
        f"{show_number(sure.codes.ratio.value)}; at S/N > {BRIGHT:g} of that pixel "
        f"{show_number(bright.codes.within_5pct.value)}, where an image without noise has "
        f"{show_number(bright.ceiling)}; lowest band {worst}: {show_number(shares[worst])}; the "
        f"mark is at least {SHARE:g} in every band",
        verdict=_verdict(shares[worst] >= SHARE),
    )  # fmt: skip


def _add_stars(section: Section, numbers: ImageNumbers) -> None:
    stars = numbers.stars
    ratio = {
        name: stars[name].codes.ratio.value for name in numbers.known if stars[name].n >= FEWEST
    }
    if not ratio:
        section.notes.append(
            f"No band has {FEWEST} stars of S/N > {SHARP:g}: no widths to compare."
        )
        return
    # A band whose decoded stars all lack a width has no ratio: it is farthest from 1.
    worst = max(ratio, key=lambda name: np.nan_to_num(abs(ratio[name] - 1), nan=np.inf))
    section.add_headline(
        "Images: FWHM of stars, decoded over measured", stars["all"].codes.ratio,
        note=f"median, from codes; farthest from 1 in {worst}: {show_number(ratio[worst])}; "
        f"the mark is within {SAME:g} of 1 in every band",
        verdict=_verdict(abs(ratio[worst] - 1) <= SAME),
    )  # fmt: skip


def _add_missing(section: Section, numbers: ImageNumbers) -> None:
    one = numbers.missing_bands.by_number.get(1)
    if one is None or not one.n:
        return
    section.add_headline(
        "Images: R² lost in the other bands when one is missing", one.loss,
        note=f"median cutout {show_number(one.loss_object.value)}; the mark is at most {LITTLE:g}",
        verdict=_verdict(one.loss.value <= LITTLE),
    )  # fmt: skip
