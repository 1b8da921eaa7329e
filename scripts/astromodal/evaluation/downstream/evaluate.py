"""The section on labels: predicted redshifts, stellar parameters and classes, and baselines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from astromodal.core.loops import Progress, quiet
from astromodal.evaluation.context import EvaluationContext, ModelContext, described
from astromodal.evaluation.downstream.calibration import CHECKED
from astromodal.evaluation.downstream.calibration_figures import add_calibration_figures
from astromodal.evaluation.downstream.features import measure
from astromodal.evaluation.downstream.figures import STYLES, add_figures
from astromodal.evaluation.downstream.measures import FEWEST_CELLS, MEASURES, verdict
from astromodal.evaluation.downstream.numbers import (
    BRIGHT,
    DownstreamNumbers,
    PartScores,
    TaskNumbers,
)
from astromodal.evaluation.downstream.parts_figures import add_part_figures
from astromodal.evaluation.downstream.predictions import (
    MODEL,
    STARS_WITHIN,
    Predictions,
    Predictor,
    most_modalities,
)
from astromodal.evaluation.downstream.sample import (
    SCORE,
    TUNE,
    LabelledObjects,
    assign_roles,
    field_names,
    leave_trained_cells,
    read_cells,
    read_labelled,
)
from astromodal.evaluation.downstream.tasks import (
    Target,
    Task,
    find_targets,
    most_labelled,
    sample_tasks,
)
from astromodal.evaluation.downstream.temperatures import (
    TemperatureNumbers,
    fit_temperatures,
    scan_temperatures,
)
from astromodal.evaluation.report.section import Measurement, Section, show
from astromodal.evaluation.report.style import styled
from astromodal.inference.encode import open_sequences
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet

ON_MEASURED = (
    "Gradient-boosted trees, the neural network TabM and nearest neighbours use what was measured "
    "of the given modalities: raw scalars; magnitudes, colours, half-light radii, concentrations "
    "and widths of the cutout by band; principal components and brightness of the rebinned "
    "spectra, with components that are fitted to the spectra of the objects to fit to."
)
"""What the methods on measurements see, in words."""
ON_ERRORS = (
    "Errors are bootstrap errors over HEALPix cells, whose objects share a PSF and a calibration; "
    f"over objects where fewer than {FEWEST_CELLS} cells are scored."
)
"""What errors are computed over, in words."""
PUBLISHED = (
    "The best photometric redshifts of S-PLUS reach σ_NMAD 0.023 and 0.64 % outliers, for galaxies "
    "of 16 < r < 21 (Lima et al. 2022, arXiv:2110.13901)"
)


def evaluate_downstream(
    context: ModelContext,
    scored: Collection[str],
    labelled: Collection[str],
    simulated: bool = False,
) -> Section:
    """Compare labels of held-out objects with predictions of the model, of probes and of baselines.

    Parameters
    ----------
    context : ModelContext
        Its fields have the files ``cube`` and ``sequences``; they are those to score on and those
        to take labels from.
    scored, labelled : collection of str
        Names of the fields to score on and of those to take labels from; some may be both. Methods
        are fitted to labels of the training split and tuned by labels of the validation split.
    simulated : bool
        Whether the sky is simulated: published results of real surveys are then not beside ours.

    Returns
    -------
    Section
        The section, with `DownstreamNumbers`.

    Raises
    ------
    FormatError
        Where sequences are of other tokenizers than the model, or of another cube.
    """
    section = Section("downstream", "Redshifts, stars and classes", context.figures)
    model, evaluation = context.model, context.settings.evaluation
    section.hashes["transformer"] = model.hash
    section.summary = _summary(context, scored, labelled)
    paths = [field.files["sequences"] for field in context.fields]
    sequences = open_sequences(paths, model.bundle).sequences
    cells, fields = read_cells(context, sequences), field_names(context.fields, sequences)
    roles = assign_roles(context.fields, sequences, scored, labelled)
    roles = leave_trained_cells(roles, cells, fields, section.notes)
    hidden = evaluation.labels.hidden
    usable = [i for i, name in enumerate(model.columns) if name not in hidden]
    objects = read_labelled(context, sequences, roles, cells, model.tokenizers.scalar, usable)
    targets = find_targets(objects, evaluation.labels, section.notes)
    tasks = sample_tasks(objects, targets, evaluation, section.notes)
    names = [model.columns[i] for i in usable]
    predictions = predict_tasks(
        context, model, sequences, objects, tasks, names, section.notes, context.progress
    )
    temperature = _measure_temperatures(context, sequences, roles)
    measured: dict[Target, dict[str, TaskNumbers]] = {}
    for each in predictions:
        numbers = each.measure(objects, evaluation.seed)
        measured.setdefault(each.task.target, {})[each.task.given] = numbers
    by_name = {target.name: by_given for target, by_given in measured.items()}
    section.numbers = DownstreamNumbers(temperature, by_name)
    _add_headlines(section, predictions, measured)
    published = None if simulated else evaluation.labels.magnitude
    _add_notes(section, measured, temperature, published)
    with styled():
        add_figures(section, predictions, measured)
        add_part_figures(section, predictions, measured, evaluation.labels.magnitude or "")
        add_calibration_figures(section, predictions, temperature)
    return section


def predict_tasks(
    context: EvaluationContext,
    model: AstroModel,
    sequences: SequenceSet,
    objects: LabelledObjects,
    tasks: Sequence[Task],
    names: Sequence[str],
    notes: list[str],
    progress: Progress = quiet,
) -> list[Predictions]:
    """Predict the targets of all tasks, one combination of modalities after the other.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the file ``cube``.
    model : AstroModel
        The model.
    sequences : SequenceSet
        Sequences of all fields.
    objects : LabelledObjects
        The objects that tasks refer to.
    tasks : sequence of Task
        The tasks.
    names : sequence of str
        Scalar columns that may be given.
    notes : list of str
        Receives a sentence for each target that the model cannot predict.
    progress : Progress
        Shows how many combinations are done.
    """
    measured = measure(context, model, sequences, objects, tasks, names)
    predictor = Predictor(model, sequences, objects.number, names, measured, objects.cell)
    chosen = most_labelled(tasks)
    combinations = list(dict.fromkeys(task.given for task in tasks))
    predictions: list[Predictions] = []
    for given in progress(combinations, len(combinations), "combinations of modalities"):
        own = [task for task in tasks if task.given == given]
        predictions += predictor.predict(own, chosen, context.settings.evaluation, notes)
    return predictions


def _measure_temperatures(
    context: ModelContext, sequences: SequenceSet, roles: np.ndarray
) -> dict[str, TemperatureNumbers]:
    """Fit temperatures on the validation split, and measure them on the scored objects."""
    evaluation, budget = context.settings.evaluation, context.model.settings.token_budget
    validation, held_out = (
        scan_temperatures(
            context.model.bundle, sequences, np.flatnonzero(roles == role),
            evaluation.max_objects, evaluation.seed, budget, context.progress,
        )
        for role in (TUNE, SCORE)
    )  # fmt: skip
    return fit_temperatures(validation, held_out, evaluation.seed)


def _summary(context: ModelContext, scored: Collection[str], labelled: Collection[str]) -> str:
    evaluation = context.settings.evaluation
    settings = evaluation.downstream
    fractions = ", ".join(f"{fraction:.3g}" for fraction in settings.label_fractions)
    hidden = ", ".join(evaluation.labels.hidden) or "none"
    return (
        "Labels of held-out objects are predicted by the model itself (the median of its "
        "distribution; its mean for root mean squares and R²), by linear probes of its embeddings "
        "(by a query), and by baselines. "
        f"{ON_MEASURED} Another neural network uses the codes of the scalars alone, and a constant "
        "nothing. "
        f"Predictions are scored on {described([f for f in context.fields if f.name in scored])}, "
        f"at most {evaluation.max_objects:,} objects per target and combination of modalities. "
        f"Probes and baselines are fitted to the same labels, at most {settings.max_labels:,} of "
        f"the training split of {len(labelled)} training fields. They are tuned over grids by the "
        "labels of its validation split. The model was trained on all labels of the training split "
        f"as tokens. Curves of label efficiency use these fractions of the labels: {fractions}, "
        f"with {settings.label_draws} random subsets each. Columns that are never given to any "
        f"method: {hidden}. {ON_ERRORS}"
    )


def _add_headlines(
    section: Section,
    predictions: Sequence[Predictions],
    measured: Mapping[Target, Mapping[str, TaskNumbers]],
) -> None:
    """Add headlines on the redshift, the first stellar parameter, the class and the coverage."""
    chosen = most_modalities(predictions)
    roles: dict[str, Predictions] = {}
    for target, each in chosen.items():
        roles.setdefault(target.role, each)
    for each in roles.values():
        add_headline(section, each.task, measured[each.task.target][each.task.given])
    numbers = [measured[each.task.target][each.task.given] for each in chosen.values()]
    checked = [
        (each.task, n.calibration)
        for each, n in zip(chosen.values(), numbers, strict=True)
        if n.calibration is not None
    ]
    if checked:
        task, worst = max(checked, key=lambda pair: pair[1].deviation)
        section.add_headline(
            f"Coverage of the model's {CHECKED:.0%} intervals, worst target",
            worst.checked.scaled(100, "%"),
            note=f"{task.target.name} from {task.given}, {len(task.score)} objects",
            verdict="bad" if worst.poor else "good",
        )


def add_headline(section: Section, task: Task, numbers: TaskNumbers) -> None:
    """Add the first measure of the model, or else of the mean probe, beside baselines.

    The verdict is bad where it is bad beside any of them, and good where it is good beside all.
    """
    target, measures = task.target, MEASURES[task.target.role]
    method = next(name for name in (MODEL, "probe") if name in numbers.methods)
    strong = tuple(name for name in ("trees", "tabm") if name in numbers.methods)
    baselines = strong or ("constant",)
    mine = numbers.methods[method]
    note = f"from {task.given}, {numbers.n_objects} objects"
    for m in (m for m in measures if m.shown):
        note += f"; {m.label} {show(mine[m.name])}"
        for name in baselines:
            difference = numbers.differences[f"{method} - {name}"][m.name]
            note += (
                f", {STYLES[name].label} {show(numbers.methods[name][m.name])} (paired difference "
                f"{show(difference)})"
            )
    found = {verdict(target.role, numbers.differences[f"{method} - {name}"]) for name in baselines}
    first = measures[0]
    section.add_headline(
        f"{target.name}: {first.label} of the {STYLES[method].label}",
        replace(mine[first.name], unit=first.unit_of(target)),
        note=note,
        verdict="bad" if "bad" in found else "good" if found == {"good"} else "none",
    )


def _add_notes(
    section: Section,
    measured: Mapping[Target, Mapping[str, TaskNumbers]],
    temperature: Mapping[str, TemperatureNumbers],
    magnitude: str | None,
) -> None:
    """Add notes on what limits the results.

    Parameters
    ----------
    section : Section
        The section.
    measured : mapping
        Numbers by target and combination of modalities.
    temperature : mapping
        Temperatures by modality.
    magnitude : str, optional
        Column of the magnitude up to which published results are beside ours; None for no such.
    """
    section.notes += _notes_on_inputs(measured)
    section.notes += _notes_on_gspphot(measured)
    section.notes += _notes_on_calibration(measured)
    section.notes += _notes_on_redshifts(measured, magnitude)
    section.notes += _notes_on_temperatures(temperature)


def _notes_on_inputs(measured: Mapping[Target, Mapping[str, TaskNumbers]]) -> Iterator[str]:
    for target in measured:
        if target.classes:
            yield (
                f"{target.name} is text and no column of the model, so the model does not predict "
                "it, and only the methods that are fitted to labels do."
            )
    without = dict.fromkeys(
        given
        for by_given in measured.values()
        for given, numbers in by_given.items()
        if "trees" not in numbers.methods
    )
    if without:
        yield (
            "Nothing was measured of the objects to fit to, so there are no trees, no TabM and no "
            f"nearest neighbours from {', '.join(without)}."
        )


def _notes_on_gspphot(measured: Mapping[Target, Mapping[str, TaskNumbers]]) -> Iterator[str]:
    """Yield what Gaia's stellar parameters were derived from, where they are labels."""
    names = [target.name for target in measured if target.name.endswith("_gspphot")]
    if names:
        yield (
            f"{', '.join(names)}: Gaia derived these labels (GSP-Phot; Andrae et al. 2023, "
            "arXiv:2206.06138) from XP spectra, the G magnitude and the parallax. Given those, a "
            "method reproduces an analysis rather than measures a star, and it repeats the "
            "systematic errors of that analysis."
        )


def _notes_on_calibration(measured: Mapping[Target, Mapping[str, TaskNumbers]]) -> Iterator[str]:
    poor = [
        f"{_percent(numbers.calibration.checked)} for {target.name} from {given}"
        for target, by_given in measured.items()
        for given, numbers in by_given.items()
        if numbers.calibration is not None and numbers.calibration.poor
    ]
    if poor:
        yield (
            f"Calibration is poor: the fraction of objects inside the model's {CHECKED:.0%} "
            f"intervals is {', '.join(poor)}."
        )


def _notes_on_redshifts(
    measured: Mapping[Target, Mapping[str, TaskNumbers]], magnitude: str | None
) -> Iterator[str]:
    """Yield how the model's training differs, and the published numbers beside ours."""
    for target, by_given in measured.items():
        if target.role != "redshift" or target.stars:
            continue
        if any(MODEL in numbers.methods for numbers in by_given.values()):
            yield (
                f"The model was trained on {target.name} of all objects that have it, stars "
                "included. Where the scored objects are no known stars, probes and baselines are "
                "fitted without known stars, and the model's distributions are those given "
                f"|z| > {STARS_WITHIN:g}, beyond the speeds of stars."
            )
        if magnitude is not None:
            ours = "; ".join(
                _bright_text(given, numbers.bright)
                for given, numbers in by_given.items()
                if numbers.bright is not None
            )
            yield (
                f"{PUBLISHED}. Results here, for objects at {magnitude} < {BRIGHT:g} that are no "
                f"known stars, quasars included: {ours}."
            )


def _bright_text(given: str, bright: PartScores) -> str:
    scores = [
        f"{STYLES[name].label} {show(each['sigma_nmad'])} and {_percent(each['outliers'])}"
        for name, each in bright.methods.items()
    ]
    return f"from {given} ({bright.n} objects) {', '.join(scores) or 'nothing'}"


def _notes_on_temperatures(temperature: Mapping[str, TemperatureNumbers]) -> Iterator[str]:
    for modality, numbers in temperature.items():
        if numbers.edge:
            yield f"The temperature of modality {modality} is at an end of the grid."
        if not numbers.helps:
            yield (
                f"Temperature {show(numbers.temperature)}, fitted on the validation split, does "
                f"not improve the NLL of modality {modality}: the gain is {show(numbers.gain)} "
                "nats per code."
            )


def _percent(fraction: Measurement) -> str:
    return f"{show(fraction.scaled(100))} %"
