"""The figures of the reconstruction section, each with the table of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astromodal.evaluation.parts import Part, table
from astromodal.evaluation.reconstruction import images, spectra
from astromodal.evaluation.reconstruction.compare import (
    BASELINE,
    MODEL,
    SHAPE,
    TOKENIZER,
    WAYS,
)
from astromodal.evaluation.reconstruction.figures import (
    draw_columns,
    draw_cutouts,
    draw_r2,
    draw_spectra,
    spaced,
)
from astromodal.evaluation.reconstruction.images import ImageSample
from astromodal.evaluation.reconstruction.scalars import ALONE
from astromodal.evaluation.reconstruction.spectra import SpectrumSample
from astromodal.evaluation.style import unit

_ORDER = (TOKENIZER, MODEL, BASELINE)
_READ = (
    "decoded codes (tokenizer); what the model expects, told from all other blocks; the mean of "
    "training objects; and these two with the brightness told, which is what fits each measurement "
    "best. Medians of the objects; bootstrap errors over objects. Open triangles lie below the "
    "axis."
)
_SEE = (
    "Brightness told, the model must lie above the mean, or it knows no more than that. As it is, "
    "a model that is half a magnitude off has a poor R² whatever its shape: the table tells how "
    "far off its brightness is."
)
_BRIGHTNESS = ("|Δmag|, model", "|Δmag|, mean", "gain in |Δmag|")


def add_scalar_figure(part: Part, columns: Mapping[str, Any]) -> None:
    """Errors of every column, in its unit."""
    part.figure(
        draw_columns(columns), "scalars",
        "Median error of each scalar, in units of the spread (half of the 16 to 84 % range) of the "
        "training values: of the column's own code (tokenizer), as the model tells it from the "
        "cutout and the spectra alone, a few columns also from everything else, and if the median "
        "of the training values is taken (baseline). Bootstrap errors over objects.",
        "The model must lie left of the baseline by more than its error; what it can reach is the "
        "tokenizer. Magnitudes should follow from cutouts, astrometry hardly.",
        _scalar_table(columns),
    )  # fmt: skip


def _scalar_table(columns: Mapping[str, Any]) -> dict[str, Any]:
    heading = ["column", "unit", "objects", *(f"|error|, {way}" for way in _ORDER),
               "gain over the baseline", *(f"scatter, {way}" for way in _ORDER),
               "spread of the training values", "inside the model's central 68 % (%)",
               "|error|, everything else given", "gain from everything else"]  # fmt: skip
    rows: list[list[Any]] = []
    for name, n in columns.items():
        alone = n.get(ALONE)
        rows.append([
            name, unit(name), n["n"], *(n[way] for way in _ORDER), n["gain"],
            *(n["scatter"][way] for way in _ORDER), n["spread"], _percent(n["inside"]),
            *((alone[MODEL], alone["gain"]) if alone else (None, None)),
        ])  # fmt: skip
    return table(heading, rows)


def _percent(cell: Mapping[str, float]) -> dict[str, float]:
    return {name: 100 * value for name, value in cell.items()}


def _brightness(numbers: Mapping[str, Any]) -> list[Any]:
    found = numbers["brightness"]
    return [found[MODEL], found[BASELINE], found["gain"]] if found["n"] else [None] * 3


def add_spectrum_figures(
    part: Part, groups: Mapping[str, Any], samples: Mapping[str, SpectrumSample], most: int
) -> None:
    """R² of every group, and examples."""
    heading = ["group", "objects", *(f"R², {way}" for way in WAYS), "gain, brightness told",
               *_BRIGHTNESS, *(f"χ², {way}" for way in WAYS),
               "bins within 1 σ of the model (%)"]  # fmt: skip
    part.figure(
        draw_r2(groups, "group"), "spectra",
        f"Explained variance of the observed flux, weighted by inverse variance: {_READ}",
        f"{_SEE} χ² = 1 would leave noise alone.",
        table(heading, [
            [name, n["n"], *(n[way] for way in WAYS), n["gain"], *_brightness(n),
             *(n["chi2"][way] for way in WAYS), _percent(n["inside"])]
            for name, n in groups.items()
        ]),
    )  # fmt: skip
    each = -(-most // len(samples))
    r2 = {name: spectra.r2_by_way(sample) for name, sample in samples.items()}
    chosen = [
        (name, i, float(r2[name][SHAPE][i, 0]))
        for name in samples
        for i in spaced(r2[name][SHAPE][:, 0], each)
    ]
    part.figure(
        draw_spectra(samples, chosen), "spectrum_examples",
        "Spectra at evenly spaced ranks of the R² of what the model expects once the brightness is "
        "told, the best of a group first: observed and rebinned (black), decoded from their own "
        "codes (green), and expected from the object's other blocks (purple, times the factor "
        "above it) with the model's standard deviation, of noise and brightness, too.",
        "The purple line is a mean over what the source might be: features that the model cannot "
        "place are washed out. A factor far from 1 is a brightness that it did not know.",
        table(["group", "object", *(f"R², {way}" for way in WAYS), "factor"], [
            [name, str(samples[name].ids[i]), *(float(r2[name][way][i, 0]) for way in WAYS),
             float(samples[name].factor[MODEL][i])]
            for name, i, _ in chosen
        ]),
    )  # fmt: skip


def add_image_figures(part: Part, bands: Mapping[str, Any], sample: ImageSample, most: int) -> None:
    """R² of every band, and examples."""
    both = (TOKENIZER, MODEL)
    heading = ["band", "objects", *(f"R², {way}" for way in WAYS), "gain, brightness told",
               "detected", *_BRIGHTNESS, *(f"Δmag, {way}" for way in both),
               *(f"scatter of Δmag, {way}" for way in both)]  # fmt: skip
    part.figure(
        draw_r2(bands, "band"), "images",
        f"Explained variance of the pixels inside the elliptical mask: {_READ}",
        f"{_SEE} Noise keeps even a perfect cutout of a faint source from 1.",
        table(heading, [
            [name, n["n"], *(n[way] for way in WAYS), n["gain"], n["brightness"]["n"],
             *_brightness(n), *(n[f"dmag_{way}"] for way in both),
             *(n[f"dmag_scatter_{way}"] for way in both)]
            for name, n in bands.items()
        ]),
    )  # fmt: skip
    name = "R" if "R" in bands else next(iter(bands))
    place = sample.bands.index(name)
    r2, change = images.r2_by_way(sample), images.magnitude_changes(sample)
    chosen = spaced(r2[SHAPE][:, place], min(most, 4))
    part.figure(
        draw_cutouts(sample, place, chosen), "image_examples",
        f"Cutouts in the {name} band at evenly spaced ranks of the R² of what the model expects "
        "once the brightness is told: measured, decoded from their own codes, expected from the "
        "object's other blocks, and the mean training cutout at the measured brightness. A row has "
        "one stretch; the line is the object's mask.",
        "The model should have the source's brightness (as dark) and extent. Where it is "
        "fainter or brighter, it did not know; neighbours it cannot know.",
        table(["object", *(f"R², {way}" for way in WAYS), "Δmag, model"], [
            [str(sample.ids[i]), *(float(r2[way][i, place]) for way in WAYS),
             float(change[MODEL][i, place])]
            for i in chosen
        ]),
    )  # fmt: skip
