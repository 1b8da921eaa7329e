"""The section on embeddings: their map, offsets between fields, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from astromodal.config.evaluate import LabelSettings
from astromodal.evaluation.context import ModelContext
from astromodal.evaluation.embeddings.figures import (
    INNER,
    agreement_table,
    categories,
    map_table,
    offset_table,
    plot_agreement,
    plot_map,
    plot_offsets,
    plot_retrieval,
    retrieval_table,
)
from astromodal.evaluation.embeddings.measures import (
    LEAST_KNOWN,
    N_NEAREST,
    Agreement,
    AgreementNumbers,
    EmbeddingNumbers,
    K,
    MapNumbers,
    Retrieval,
    class_agreement,
    embedding_space,
    plane,
    retrieve,
    value_agreement,
)
from astromodal.evaluation.embeddings.offsets import (
    LEAST_OBJECTS,
    Offsets,
    field_offsets,
    most_common,
)
from astromodal.evaluation.embeddings.sample import Sample, sample_embeddings
from astromodal.evaluation.held_out import described, listed
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import Measurement
from astromodal.sequences.layout import IMAGE

_SIGNIFICANT = 2.0
"""Errors by which the accuracy must exceed that of shuffled labels to count as predicted."""
EVERY, ALIKE = "all objects", "objects with the same modalities"

Agreements = dict[str, dict[str, Agreement]]
"""Agreement by quantity and by choice of objects."""


def evaluate_embeddings(context: ModelContext) -> Section:
    """Embed held-out objects without their labels, and compare neighbours in these labels.

    Parameters
    ----------
    context : ModelContext
        Its fields have the files ``cube`` and ``sequences``; of fields that trained, the test
        split is used.

    Returns
    -------
    Section
        The section, with `EmbeddingNumbers`.
    """
    section = Section("embeddings", "Embeddings", context.figures)
    evaluation, pooling = context.settings.evaluation, context.settings.predict.pooling
    seed, labels = evaluation.seed, evaluation.labels
    section.hashes["transformer"] = context.model.hash
    sample = sample_embeddings(context)
    numbers = EmbeddingNumbers(len(sample), pooling)
    section.numbers = numbers
    section.summary = (
        f"{len(sample)} objects: {described(context.fields)}. An object is embedded ({pooling} of "
        f"the states) from all its blocks and columns, except {listed(labels.hidden, 12) or 'none'}"
        ". Distances are those of the 30 leading principal components of standardised embeddings."
    )
    if len(sample) < 3 or not np.ptp(sample.vectors, axis=0).any():
        why = "all embeddings are equal" if len(sample) >= 3 else "there are fewer than three"
        section.notes.append(f"{len(sample)} embeddings cannot be evaluated: {why}.")
        return section
    space = embedding_space(sample.vectors)
    tokenizer, columns = context.model.tokenizers.image, context.settings.columns
    shown = retrieve(sample, space, tokenizer, columns, evaluation.n_examples, seed)
    with styled():
        numbers = replace(numbers, map=_add_map(section, sample, *plane(space, seed), labels))
        offsets = _add_offsets(section, sample, space, _absent(sample, context), seed)
        neighbours = _add_agreement(section, sample, space, labels, seed)
        _add_retrieval(section, sample, shown)
    section.numbers = replace(numbers, fields=offsets, neighbours=neighbours)
    return section


def _absent(sample: Sample, context: ModelContext) -> dict[str, int]:
    """Count the model's columns that a field's cube lacks and another field's cube has."""
    used = [sample.fields[i] for i in np.unique(sample.field)]
    columns = set(context.model.columns)
    present = {f.name: f.open(context.settings.columns).columns & columns for f in used}
    every = frozenset().union(*present.values())
    return {name: len(every - own) for name, own in present.items()}


def _add_map(
    section: Section, sample: Sample, places: np.ndarray, method: str, labels: LabelSettings
) -> MapNumbers:
    """Add the map, coloured by class, field, modalities, redshift and magnitude where known."""
    fields = np.array([f.name for f in sample.fields])[sample.field]
    named = {"field": fields, "modalities": sample.modalities}
    if (sample.kind != "").any():
        named = {"class": sample.kind, **named}
    named = {title: categories(values) for title, values in named.items()}
    valued = {
        f"redshift ({labels.redshift})": sample.redshift,
        f"{labels.magnitude} (mag)": sample.magnitude,
    }
    valued = {title: values for title, values in valued.items() if np.isfinite(values).any()}
    how = (
        f"t-SNE of {len(sample)} objects: it keeps neighbours as well as a plane can; distances "
        "between islands, their sizes and their places have no meaning"
        if method == "t-SNE"
        else f"the first two principal components of {len(sample)} objects, too few for t-SNE"
    )
    section.add_figure(
        plot_map(places, named, valued), "map",
        f"The embeddings in the plane ({how}). Pale grey: unknown. Colour scales end at the 2nd "
        "and 98th percentile. embeddings.json has the coordinates of every object.",
        "Classes and redshifts, which the model was not given, should lie together; fields should "
        "mix. An island of one set of modalities only shows that the embedding depends on which "
        "blocks an object has.",
        map_table(named, valued),
    )  # fmt: skip
    return MapNumbers(method, sample.ids, fields, places[:, 0], places[:, 1])


def _add_offsets(
    section: Section, sample: Sample, space: np.ndarray, absent: Mapping[str, int], seed: int
) -> dict[str, Offsets]:
    """Add how well fields are predicted, from all objects and from those with equal modalities.

    `absent` counts the scalar columns that a field's cube lacks.
    """
    names = [f.name for f in sample.fields]
    chosen = most_common(sample.blocks, sample.field)
    panels = {
        EVERY: field_offsets(space, sample.field, names, seed),
        ALIKE: field_offsets(space[chosen], sample.field[chosen], names, seed),
    }
    offsets = {title: each for title, each in panels.items() if each is not None}
    if EVERY not in offsets:
        section.notes.append(
            "Offsets between fields were not measured: this needs two fields with at least "
            f"{LEAST_OBJECTS} evaluated objects each."
        )
        return {}
    if ALIKE not in offsets:
        section.notes.append(
            f"No two fields have {LEAST_OBJECTS} objects with the same modalities. Offsets between "
            "fields are those of all objects; different surveys in the fields may explain them."
        )
    lacking = [f"{name} ({n})" for name, n in absent.items() if n]
    if lacking:
        section.notes.append(
            f"Columns that a cube lacks reveal its field: {', '.join(lacking[:10])}"
            f"{' and more' if len(lacking) > 10 else ''} lack scalar columns."
        )
    section.add_figure(
        plot_offsets(offsets), "fields",
        "Left: fraction of each field's objects that a linear classifier assigns to it from the "
        "embedding, cross-validated; dashed: with shuffled labels. Right: squared distance of each "
        "field's mean from that of the other fields, less the part of noise. Errors are bootstrap "
        f"errors over objects. Bottom: only {ALIKE}.",
        f"{_verdict(offsets)} Fields may differ in seeing, depth and calibration, or in the sky "
        "itself: a field with a cluster has other galaxies.",
        offset_table(offsets),
    )  # fmt: skip
    title = ALIKE if ALIKE in offsets else EVERY
    own = offsets[title]
    section.add_headline(
        f"Embeddings: field predicted, {title}", own.balanced_accuracy.scaled(100, "%"),
        note=f"balanced accuracy over {len(own.fields)} fields; the mark is that of shuffled "
        f"labels, {100 * own.shuffled.value:.1f} %",
        verdict="bad" if own.excess.above(0, _SIGNIFICANT) else "none",
    )  # fmt: skip
    return offsets


def _verdict(offsets: Mapping[str, Offsets]) -> str:
    sentences = []
    for title, each in offsets.items():
        above = each.excess.above(0, _SIGNIFICANT)
        result = "can be predicted" if above else "is predicted no better than at random"
        sentences.append(
            f"For {title}, the field {result}: {100 * each.balanced_accuracy.value:.1f} % against "
            f"{100 * each.shuffled.value:.1f} %."
        )
    return " ".join(sentences)


def _add_agreement(
    section: Section, sample: Sample, space: np.ndarray, labels: LabelSettings, seed: int
) -> tuple[AgreementNumbers, ...]:
    """Add how well neighbours agree in class, redshift and magnitude."""
    kinds = _commonest(sample.kind)
    kind, redshift = f"class ({labels.kind})", f"redshift ({labels.redshift}), stars left out"
    magnitude = f"magnitude ({labels.magnitude})"
    compared: Agreements = {kind: {}, redshift: {}, magnitude: {}}
    for title, group in {EVERY: np.zeros(len(sample), np.uint32), ALIKE: sample.blocks}.items():
        if len(kinds) > 1:
            compared[kind][title] = class_agreement(space, sample.kind, group, seed)
        for what, values in ((redshift, sample.redshift), (magnitude, sample.magnitude)):
            compared[what][title] = value_agreement(
                space, values, group, seed, redshift=what == redshift
            )
    compared = {w: {t: a for t, a in each.items() if len(a)} for w, each in compared.items()}
    _note_unknown(section, sample, compared, kinds)
    if not any(compared.values()):
        return ()
    classes = {
        title: {"all": a, **{name: a[sample.kind == name] for name in kinds}}
        for title, a in compared[kind].items()
    }
    shown = {
        "|Δz| / (1 + z)": compared[redshift],
        f"|Δ {labels.magnitude}| (mag)": compared[magnitude],
    }
    differences = {title: each for title, each in shown.items() if each}
    numbers = tuple(
        _numbers(f"same class (%), {name}", title, a, seed, 100)
        for title, each in classes.items()
        for name, a in each.items()
    ) + tuple(
        _numbers(f"median {what}", title, a, seed)
        for what, each in differences.items()
        for title, a in each.items()
    )
    section.add_figure(
        plot_agreement(classes, differences), "neighbours",
        f"The {K} nearest neighbours of each object, among those in which the quantity is known, "
        "compared with 50 random objects. Class: fraction with the same class. Others: "
        "distribution over objects of the median difference. Filled and solid: "
        f"{EVERY}; open and dashed: {ALIKE}. Errors are bootstrap errors over objects.",
        "Blue should lie above grey in class, and left of it in redshift: the model was given "
        "neither. It was given the magnitude, in which neighbours agree as expected. Among all "
        "objects, part of the agreement is due to their modalities.",
        agreement_table(numbers),
    )  # fmt: skip
    _add_headline(section, "neighbours of the same class", compared[kind], seed, 100, "%", True)
    _add_headline(
        section, "neighbours' median |Δz| / (1 + z)", compared[redshift], seed, 1, "", False
    )
    return numbers


def _numbers(
    quantity: str, among: str, agreement: Agreement, seed: int, scale: float = 1.0
) -> AgreementNumbers:
    near, random, difference = (m.scaled(scale) for m in agreement.measure(seed))
    return AgreementNumbers(quantity, among, near, random, difference)


def _commonest(kind: np.ndarray, most: int = 5) -> list[str]:
    """Return the known classes with the most objects."""
    names, counts = np.unique(kind[kind != ""], return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")[:most]]]


def _add_headline(
    section: Section,
    what: str,
    choices: Mapping[str, Agreement],
    seed: int,
    scale: float,
    unit: str,
    more_is_better: bool,
) -> None:
    """Add a headline for objects with the same modalities where there are some, else for all."""
    if not choices:
        return
    title, agreement = list(choices.items())[-1]
    near, random, gain = agreement.measure(seed)
    sign = 1 if more_is_better else -1
    better = Measurement(sign * gain.value, gain.error).above(0, errors=1)
    mark = f"{'above' if more_is_better else 'below'} that of random objects"
    section.add_headline(
        f"Embeddings: {what}", near.scaled(scale, unit),
        note=f"the mark is {mark}, {scale * random.value:.3g} {unit}".strip()
        + f"; {title}, {len(agreement)} of them",
        verdict="good" if better else "bad",
    )  # fmt: skip


def _note_unknown(section: Section, sample: Sample, compared: Agreements, kinds: list[str]) -> None:
    """Note the quantities that too few objects have."""
    known = (sample.kind != "", np.isfinite(sample.redshift), np.isfinite(sample.magnitude))
    for (what, choices), has in zip(compared.items(), known, strict=True):
        n = int(has.sum())
        if EVERY not in choices:
            why = f"{n} evaluated objects have one, and {LEAST_KNOWN} are needed"
            if n >= LEAST_KNOWN:
                why = f"all {n} evaluated objects that have one are of class {kinds[0]}"
            section.notes.append(f"Neighbours are not compared in {what}: {why}.")
        elif ALIKE not in choices:
            section.notes.append(
                f"No {LEAST_KNOWN} objects with the same modalities have a {what.split()[0]}: "
                "neighbours may agree because of their modalities."
            )


def _add_retrieval(section: Section, sample: Sample, retrieval: Retrieval | None) -> None:
    """Add the cutouts of a few objects and of their nearest neighbours."""
    if retrieval is None:
        section.notes.append(
            f"No neighbours are shown as cutouts: {sample.has(IMAGE).sum()} evaluated objects have "
            f"one, and {1 + N_NEAREST} are needed."
        )
        return
    section.add_figure(
        plot_retrieval(retrieval, sample), "retrieval",
        "Random objects (framed), with classes taking turns, and their nearest neighbours among "
        f"objects with a cutout: band {retrieval.band}, the inner {INNER} pixels, arcsinh of the "
        "flux over its noise.",
        "Neighbours should look alike and have the same class. The embedding uses the photometry "
        "and spectra too, so sources may be alike in what a cutout does not show.",
        retrieval_table(retrieval, sample),
    )  # fmt: skip
