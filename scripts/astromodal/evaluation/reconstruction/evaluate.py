"""The report's section on what the model reconstructs of one block from the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.held_out import EvaluatedField, described, eligible_objects
from astromodal.evaluation.reconstruction import figures as section
from astromodal.evaluation.reconstruction import images, scalars, spectra
from astromodal.evaluation.reconstruction.scores import (
    BASELINE,
    MEAN_SHAPE,
    MODEL,
    SHAPE,
    TOKENIZER,
    Bench,
    compared,
    verdict,
)
from astromodal.evaluation.report.section import Part, show
from astromodal.evaluation.report.style import styled
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import IMAGE, SCALAR
from astromodal.sequences.vocabulary import check_hashes
from astromodal.surveys.registry import light_curves
from astromodal.surveys.registry import spectra as spectrum_groups


def evaluate_reconstruction(
    fields: Sequence[EvaluatedField],
    training_sequences: Sequence[str | Path],
    model: AstroModel,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Compare what the model tells of each block from the others with what was measured.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        With the files ``cube`` and ``sequences``; of fields that trained, the test split is used.
    training_sequences : sequence of path
        The sequences that the model was trained on, which baselines are means of.
    model : AstroModel
        The trained model.
    evaluation, columns : settings
        Objects and continuations at most, examples, seed; how a cube is read.
    figures : path
        Folder to write the figures into.
    progress : Progress
        Shows which block is being asked for.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    part = Part("reconstruction", "Reconstruction", Path(figures))
    layout = model.bundle.layout
    sequences = SequenceSet([f.files["sequences"] for f in fields], layout)
    training = SequenceSet(training_sequences, layout)
    for store in (*sequences.stores, *training.stores):
        check_hashes(model.bundle.trained.vocabulary, store.tokenizer_hashes, str(store.path))
    eligible = eligible_objects(sequences, fields)
    bench = Bench(model, fields, columns, evaluation, sequences, training, eligible)
    part.summary = _summary(bench)
    part.numbers = {"weights_hash": model.hash}
    groups = spectrum_groups(block.name for block in layout.groups())
    samples: dict[str, spectra.SpectrumSample] = {}
    for block in progress([SCALAR, *groups, IMAGE], 2 + len(groups), "blocks"):
        objects = bench.having(block)
        if not _can_ask(part, bench, block, len(objects)):
            continue
        with styled():
            if block == SCALAR:
                _add_scalars(part, scalars.sample_scalars(bench, objects), evaluation.seed)
            elif block == IMAGE:
                _add_images(part, images.sample_images(bench, objects), evaluation)
            else:
                samples[block] = spectra.sample_spectra(bench, objects, block)
    if samples:
        with styled():
            _add_spectra(part, samples, evaluation)
    if light_curves(block.name for block in layout.groups()):
        part.notes.append("Light curves are given and not asked for: their length is not modelled.")
    return part.as_dict()


def _summary(bench: Bench) -> str:
    asked = bench.evaluation.reconstruction
    return (
        f"{described(bench.fields)}; at most {asked.max_objects} objects a block that have it and "
        "another one. Each block is hidden whole and told by the model from the object's other "
        f"blocks; spectra and cutouts are means over {asked.n_samples} continuations, whose own "
        "scatter costs some of their R². Beside it stand the block's own codes, decoded, which is "
        "the best that it could reach, and what one would say who knows the training fields alone: "
        "the median of a scalar, the mean of spectra and cutouts. Brightness and shape of the "
        "latter are judged apart. Model and baseline are compared on the same objects."
    )


def _can_ask(part: Part, bench: Bench, block: str, n: int) -> bool:
    """Whether a block can be asked for; notes where not, and what an order of blocks leaves out."""
    told, shuffled = bench.told_from(block), bench.model.bundle.trained.shuffled
    if not shuffled:
        part.notes.append(
            f"{block}: the model was trained on one order of blocks, so that it is told from "
            f"{', '.join(told) or 'nothing'} alone."
        )
    known = len(bench.trained_on(block)) > 0
    if not known:
        part.notes.append(f"{block}: no object that trained the model has it.")
    elif not n:
        part.notes.append(f"{block}: no evaluated object has it and a block to tell it from.")
    return known and n > 0


def _add_scalars(part: Part, sample: scalars.ScalarSample, seed: int) -> None:
    numbers = scalars.scalar_numbers(sample, seed)
    part.numbers["scalar"] = numbers
    if not numbers["columns"]:
        part.notes.append("scalar: none was measured of the objects asked about.")
        return
    every = numbers["all"]
    told = ", ".join(f"{way} {show(every[way])}" for way in (TOKENIZER, MODEL, BASELINE))
    part.headline(
        "Reconstruction, scalars: gain over the training median", **every["gain"],
        unit="of the spread",
        note=f"median error of {every['n']} objects: {told}; "
        f"{100 * numbers['inside']['value']:.0f} % of the values lie in the model's central 68 %",
        verdict=verdict(every["gain"]),
    )  # fmt: skip
    section.add_scalar_figure(part, numbers["columns"])


def _add_spectra(
    part: Part, samples: dict[str, spectra.SpectrumSample], evaluation: EvaluationSettings
) -> None:
    every = {name: spectra.spectrum_numbers(s, evaluation.seed) for name, s in samples.items()}
    groups = {name: numbers for name, numbers in every.items() if numbers["n"]}
    part.notes += [f"{name}: no spectrum has a good pixel." for name in every if name not in groups]
    if not groups:
        return
    live = {name: samples[name] for name in groups}
    part.numbers["spectrum"] = {"groups": groups, "all": _all_groups(live, evaluation.seed)}
    _headline(part, "spectra", part.numbers["spectrum"]["all"])
    section.add_spectrum_figures(part, groups, live, evaluation.n_examples)


def _headline(part: Part, what: str, every: dict[str, Any]) -> None:
    """The gain in R² once the brightness is told; good only where the brightness gains, too."""
    bright = every["brightness"]
    told = (
        f"brightness off by {show(bright[MODEL])} mag, the mean by {show(bright[BASELINE])} mag"
        if bright["n"]
        else "none is bright enough to compare brightness"
    )
    r2 = ", ".join(f"{way} {show(every[way])}" for way in (TOKENIZER, SHAPE, MEAN_SHAPE))
    part.headline(
        f"Reconstruction, {what}: gain in R² over the mean, brightness told", **every["gain"],
        note=f"medians of {every['n']} objects: {r2}; {told}",
        verdict=verdict(every["gain"], bright["gain"]),
    )  # fmt: skip


def _all_groups(samples: dict[str, spectra.SpectrumSample], seed: int) -> dict[str, Any]:
    """R² and brightness of all groups' spectra together."""
    r2 = _by_object(samples, [spectra.r2_by_way(s) for s in samples.values()])
    bright = _by_object(samples, [spectra.brightness_by_way(s) for s in samples.values()])
    return {
        **compared(r2, seed, (SHAPE, MEAN_SHAPE)),
        "brightness": compared(bright, seed, lower_is_better=True),
    }


def _by_object(
    samples: dict[str, spectra.SpectrumSample], found: list[dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Values (n, 1) of each group's spectra as a row an object and a column a group, by way."""
    ids, place = np.unique(np.concatenate([s.ids for s in samples.values()]), return_inverse=True)
    ends = np.cumsum([len(s.ids) for s in samples.values()])
    tables = {way: np.full((len(ids), len(found)), np.nan) for way in found[0]}
    for column, (rows, values) in enumerate(zip(np.split(place, ends[:-1]), found, strict=True)):
        for way, of_group in values.items():
            tables[way][rows, column] = of_group[:, 0]
    return tables


def _add_images(part: Part, sample: images.ImageSample, evaluation: EvaluationSettings) -> None:
    numbers = images.image_numbers(sample, evaluation.seed)
    part.numbers["image"] = numbers
    if not numbers["bands"]:
        part.notes.append("image: no cutout has light that varies in the mask.")
        return
    _headline(part, "cutouts", numbers["all"])
    section.add_image_figures(part, numbers["bands"], sample, evaluation.n_examples)
