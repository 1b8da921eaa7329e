"""The section on reconstruction: each block of an object, predicted from its other blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from astromodal.evaluation.context import ModelContext, described
from astromodal.evaluation.reconstruction.figures import (
    choose_evenly,
    image_table,
    plot_columns,
    plot_cutouts,
    plot_r2,
    plot_spectra,
    scalar_table,
    spectrum_table,
)
from astromodal.evaluation.reconstruction.fluxes import (
    MEAN_SCALED,
    METHODS,
    MODEL_SCALED,
    PredictedImages,
    PredictedSpectra,
    sample_images,
    sample_spectra,
)
from astromodal.evaluation.reconstruction.measures import (
    BandNumbers,
    FluxNumbers,
    GroupNumbers,
    ImageNumbers,
    ReconstructionNumbers,
    ScalarNumbers,
    SpectrumNumbers,
    judge,
    measure_group,
    measure_groups,
    measure_images,
    measure_scalars,
)
from astromodal.evaluation.reconstruction.sample import (
    BASELINE,
    MODEL,
    TOKENIZER,
    ReconstructionInputs,
    sample_scalars,
)
from astromodal.evaluation.report.section import Row, Section, Table, show
from astromodal.evaluation.report.style import styled
from astromodal.sequences.layout import IMAGE, SCALAR
from astromodal.surveys.registry import spectra as spectrum_groups


def evaluate_reconstruction(
    context: ModelContext, training_sequences: Sequence[str | Path]
) -> Section:
    """Compare what the model predicts of each block, from the other blocks, with measurements.

    Parameters
    ----------
    context : ModelContext
        Its fields have the files ``cube`` and ``sequences``; of fields that trained, the test
        split is used.
    training_sequences : sequence of path
        The sequences that the model was trained on; baselines are means of their objects.

    Returns
    -------
    Section
        The section, with `ReconstructionNumbers`.
    """
    section = Section("reconstruction", "Reconstruction", context.figures)
    inputs = ReconstructionInputs.open(context, training_sequences)
    section.hashes["transformer"] = inputs.model.hash
    section.summary = _summary(context)
    evaluation, layout = context.settings.evaluation, inputs.model.bundle.layout
    groups = spectrum_groups(block.name for block in layout.groups())
    numbers = ReconstructionNumbers()
    spectra: dict[str, PredictedSpectra] = {}
    for block in context.progress([SCALAR, *groups, IMAGE], 2 + len(groups), "blocks"):
        objects = inputs.with_block(block)
        if not _can_predict(section, inputs, block, len(objects)):
            continue
        if block == SCALAR:
            scalars = measure_scalars(sample_scalars(inputs, objects), evaluation.seed)
            _add_scalars(section, scalars)
            numbers = replace(numbers, scalar=scalars)
        elif block == IMAGE:
            cutouts = sample_images(inputs, objects)
            images = measure_images(cutouts, evaluation.seed)
            _add_images(section, images, cutouts, evaluation.n_examples)
            numbers = replace(numbers, image=images)
        else:
            spectra[block] = sample_spectra(inputs, objects, block)
    numbers = replace(numbers, spectrum=_evaluate_spectra(section, spectra, context))
    section.numbers = numbers
    if len(groups) < len(list(layout.groups())):
        section.notes.append(
            "Light curves are given but not predicted, because their length is not modelled."
        )
    return section


def _summary(context: ModelContext) -> str:
    settings = context.settings.evaluation.reconstruction
    return (
        f"{described(context.fields)}; at most {settings.max_objects} objects per block that have "
        "the block and another one. The whole block is hidden, and the model predicts it from the "
        "other blocks of the object in one run, code by code independently. Cutouts are means over "
        f"{settings.n_samples} quantiles of the brightness. The prediction is compared with the "
        "block's own codes, decoded, which are the best that it could reach, and with a baseline "
        "that knows the training fields alone: the median of a scalar, the mean of spectra and "
        "cutouts. The brightness and the shape of spectra and cutouts are judged separately. Model "
        "and baseline are compared on the same objects."
    )


def _can_predict(section: Section, inputs: ReconstructionInputs, block: str, n: int) -> bool:
    """Return whether a block can be predicted; note why not, and what a fixed order leaves out."""
    given = inputs.given_blocks(block)
    if len(given) < len(inputs.model.bundle.layout.blocks) - 1:
        section.notes.append(
            f"{block}: the model was trained on one order of blocks, so this block is predicted "
            f"from {', '.join(given) or 'nothing'} alone."
        )
    known = len(inputs.trained_on(block)) > 0
    if not known:
        section.notes.append(f"{block}: no object that trained the model has it.")
    elif not n:
        section.notes.append(
            f"{block}: no evaluated object has it and another block to predict it from."
        )
    return known and n > 0


def _add_scalars(section: Section, numbers: ScalarNumbers) -> None:
    if not numbers.columns:
        section.notes.append("scalar: no evaluated object has a measured value.")
        return
    every = numbers.all
    methods = ", ".join(f"{m} {show(every.medians[m])}" for m in (TOKENIZER, MODEL, BASELINE))
    section.add_headline(
        "Reconstruction, scalars: gain over the training median",
        every.gain.scaled(1, "of the spread"),
        note=f"median error of {every.n} objects: {methods}; "
        f"{100 * numbers.inside.value:.0f} % of the values lie in the model's central 68 %",
        verdict=judge(every.gain),
    )  # fmt: skip
    with styled():
        section.add_figure(
            plot_columns(numbers.columns), "scalars",
            "Median error of each scalar, in units of the spread (half of the 16 to 84 % range) of "
            "the training values. Tokenizer: the column's own code, decoded. Model: predicted from "
            "the cutout and the spectra alone, a few columns also from everything else. Baseline: "
            "the median of the training values. Bootstrap errors over objects.",
            "The model must lie left of the baseline by more than its error. It cannot be better "
            "than the tokenizer. Cutouts should predict magnitudes well and astrometry hardly.",
            scalar_table(numbers.columns),
        )  # fmt: skip


def _evaluate_spectra(
    section: Section, samples: Mapping[str, PredictedSpectra], context: ModelContext
) -> SpectrumNumbers | None:
    """Add headline and figures of spectra; return their numbers, None without a good pixel."""
    evaluation = context.settings.evaluation
    every = {name: measure_group(sample, evaluation.seed) for name, sample in samples.items()}
    groups = {name: numbers for name, numbers in every.items() if numbers.n}
    section.notes += [
        f"{name}: no spectrum has a good pixel." for name in every if name not in groups
    ]
    if not groups:
        return None
    known = {name: samples[name] for name in groups}
    together = measure_groups(list(known.values()), evaluation.seed)
    _add_headline(section, "spectra", together)
    with styled():
        _add_spectrum_figures(section, groups, known, evaluation.n_examples)
    return SpectrumNumbers(groups, together)


def _add_headline(section: Section, what: str, numbers: FluxNumbers) -> None:
    """Add the gain in R² after scaling; it is good only where the brightness gains, too."""
    bright = numbers.brightness
    model, mean = (show(bright.medians[method]) for method in (MODEL, BASELINE))
    brightness = (
        f"error of the brightness {model} mag, of the mean {mean} mag"
        if bright.n
        else "none is bright enough to compare brightness"
    )
    r2 = ", ".join(
        f"{m} {show(numbers.medians[m])}" for m in (TOKENIZER, MODEL_SCALED, MEAN_SCALED)
    )
    section.add_headline(
        f"Reconstruction, {what}: gain in R² over the mean, both scaled", numbers.gain,
        note=f"medians of {numbers.n} objects: {r2}; {brightness}",
        verdict=judge(numbers.gain, bright.gain),
    )  # fmt: skip


_METHODS = (
    "the block's own codes, decoded (tokenizer); the prediction from all other blocks (model); the "
    "mean of training objects; and the latter two scaled, which means multiplied by the factor "
    "that fits each measurement best. Medians of the objects; bootstrap errors over objects. Open "
    "triangles lie below the axis."
)
_SEE = (
    "The scaled model must lie above the scaled mean: then it knows more of the shape than the "
    "mean does. A model whose brightness is half a magnitude off has a low R² before scaling, "
    "whatever its shape. The table has the error of its brightness."
)


def _add_spectrum_figures(
    section: Section,
    groups: Mapping[str, GroupNumbers],
    samples: Mapping[str, PredictedSpectra],
    most: int,
) -> None:
    """Add R² of every group, and examples."""
    section.add_figure(
        plot_r2(groups, "group"), "spectra",
        f"R² of the observed flux, weighted by inverse variance: {_METHODS}",
        f"{_SEE} χ² = 1 means that only noise is left.",
        spectrum_table(groups),
    )  # fmt: skip
    each = -(-most // len(samples))
    r2 = {name: sample.r2() for name, sample in samples.items()}
    chosen = [
        (name, i, float(r2[name][MODEL_SCALED][i, 0]))
        for name in samples
        for i in choose_evenly(r2[name][MODEL_SCALED][:, 0], each)
    ]
    rows: list[Row] = [
        [name, str(samples[name].ids[i]), *(float(r2[name][method][i, 0]) for method in METHODS),
         float(samples[name].factor[MODEL][i])]
        for name, i, _ in chosen
    ]  # fmt: skip
    section.add_figure(
        plot_spectra(samples, chosen), "spectrum_examples",
        "Spectra at evenly spaced ranks of the R² of the scaled prediction, the best of a group "
        "first: observed and rebinned (black), decoded from their own codes (green), and predicted "
        "from the object's other blocks (purple, times the factor above the panel) with the "
        "predicted standard deviation, which includes noise and brightness.",
        "The purple line is a mean over all spectra that the source might have: features whose "
        "place is uncertain are washed out. A factor far from 1 means that the predicted "
        "brightness is wrong.",
        Table(["group", "object", *(f"R², {method}" for method in METHODS), "factor"], rows),
    )  # fmt: skip


def _add_images(
    section: Section, numbers: ImageNumbers, sample: PredictedImages, most: int
) -> None:
    if not numbers.bands:
        section.notes.append("image: no cutout has light that varies in the mask.")
        return
    _add_headline(section, "cutouts", numbers.all)
    with styled():
        _add_image_figures(section, numbers.bands, sample, most)


def _add_image_figures(
    section: Section, bands: Mapping[str, BandNumbers], sample: PredictedImages, most: int
) -> None:
    """Add R² of every band, and examples."""
    section.add_figure(
        plot_r2(bands, "band"), "images",
        f"R² of the pixels inside the elliptical mask: {_METHODS}",
        f"{_SEE} Because of noise, even a perfect cutout of a faint source has an R² below 1.",
        image_table(bands),
    )  # fmt: skip
    name = "R" if "R" in bands else next(iter(bands))
    place = sample.bands.index(name)
    r2, change = sample.r2(), sample.magnitude_changes()
    chosen = choose_evenly(r2[MODEL_SCALED][:, place], min(most, 4))
    rows: list[Row] = [
        [str(sample.ids[i]), *(float(r2[method][i, place]) for method in METHODS),
         float(change[MODEL][i, place])]
        for i in chosen
    ]  # fmt: skip
    section.add_figure(
        plot_cutouts(sample, place, chosen), "image_examples",
        f"Cutouts in the {name} band at evenly spaced ranks of the R² of the scaled prediction: "
        "measured, decoded from their own codes, predicted from the object's other blocks, and the "
        "mean training cutout, scaled. All cutouts of a row have the same stretch; the line is the "
        "object's mask.",
        "The prediction should have the brightness (as dark) and the extent of the source. Where "
        "it is fainter or brighter, the other blocks did not determine the brightness. It cannot "
        "contain neighbours.",
        Table(["object", *(f"R², {method}" for method in METHODS), "Δmag, model"], rows),
    )  # fmt: skip
