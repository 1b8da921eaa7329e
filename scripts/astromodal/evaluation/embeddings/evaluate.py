"""The section on embeddings: their map, offsets between fields, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from astromodal.config.evaluate import QUERY, LabelSettings
from astromodal.evaluation.context import ModelContext, described, listed
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
    N_COMPONENTS,
    N_NEAREST,
    Agreement,
    AgreementNumbers,
    EmbeddingNumbers,
    K,
    MapNumbers,
    Retrieval,
    class_agreement,
    project_to_plane,
    retrieve,
    value_agreement,
)
from astromodal.evaluation.embeddings.recognition import Recognition, recognise
from astromodal.evaluation.embeddings.sample import (
    LEAST_OBJECTS,
    Offsets,
    Sample,
    field_offsets,
    sample_embeddings,
    select_commonest_blocks,
)
from astromodal.evaluation.report.section import Measurement, Section
from astromodal.evaluation.report.style import styled
from astromodal.inference.index_space import principal_components
from astromodal.sequences.layout import IMAGE

_SIGNIFICANT = 2.0
"""Errors by which the accuracy must exceed that of shuffled labels to count as predicted."""
ALL_OBJECTS, SAME_MODALITIES = "all objects", "objects with the same modalities"

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
    section.numbers = EmbeddingNumbers(len(sample), pooling)
    section.summary = (
        f"{len(sample)} objects: {described(context.fields)}. An object is embedded ({pooling} of "
        f"the states) from all its blocks and columns, except {listed(labels.hidden, 12) or 'none'}"
        f". Distances are those of the {N_COMPONENTS} leading principal components of "
        f"{'embeddings' if pooling == QUERY else 'standardised embeddings'}."
    )
    if len(sample) < 3 or not np.ptp(sample.vectors, axis=0).any():
        why = "all embeddings are equal" if len(sample) >= 3 else "there are fewer than three"
        section.notes.append(f"{len(sample)} embeddings cannot be evaluated: {why}.")
        return section
    mean, components = principal_components(sample.vectors, N_COMPONENTS, pooling)
    space, alone = ((each - mean) @ components for each in (sample.vectors, sample.alone))
    tokenizer, columns = context.model.tokenizers.image, context.settings.columns
    shown = retrieve(sample, space, tokenizer, columns, evaluation.n_examples, seed)
    offsets = _measure_offsets(sample, space, seed)
    kinds = _commonest(sample.kind)
    compared = _compare_neighbours(sample, space, labels, kinds, seed)
    with styled():
        places = _add_map(section, sample, *project_to_plane(space, seed), labels)
        _note_offsets(section, offsets, _absent(sample, context))
        _add_offsets(section, offsets)
        _note_unknown(section, sample, compared, kinds)
        agreements = _add_agreement(section, sample, compared, kinds, labels.magnitude, seed)
        _add_retrieval(section, sample, shown)
    recognition = recognise(space, alone)
    if recognition is not None:
        _add_recognition(section, recognition)
    section.numbers = EmbeddingNumbers(
        len(sample), pooling, places, offsets, agreements, recognition
    )
    return section


def _add_recognition(section: Section, recognition: Recognition) -> None:
    """Add how many objects are recognised by their scalars alone to the headlines."""
    share, nearest, n = recognition.share, recognition.nearest, recognition.of
    section.add_headline(
        "Embeddings: objects recognised by their scalars alone", share.scaled(100, "%"),
        note=f"{share.n} objects that have more are among the {nearest} of {n} that are nearest to "
        f"their embedding from scalars; of random objects {nearest / n:.2%} are",
        verdict="good" if share.above(0.5, errors=1) else "bad",
    )  # fmt: skip


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


def _measure_offsets(sample: Sample, space: np.ndarray, seed: int) -> dict[str, Offsets]:
    """Measure offsets between fields, of all objects and of those with the same modalities."""
    names = [f.name for f in sample.fields]
    chosen = select_commonest_blocks(sample.blocks, sample.field)
    panels = {
        ALL_OBJECTS: field_offsets(space, sample.field, names, seed),
        SAME_MODALITIES: field_offsets(space[chosen], sample.field[chosen], names, seed),
    }
    return {title: offsets for title, offsets in panels.items() if offsets is not None}


def _note_offsets(
    section: Section, offsets: Mapping[str, Offsets], absent: Mapping[str, int]
) -> None:
    """Note which offsets could not be measured, and which fields lack columns.

    `absent` counts the scalar columns that each field's cube lacks.
    """
    if ALL_OBJECTS not in offsets:
        section.notes.append(
            "Offsets between fields were not measured: this needs two fields with at least "
            f"{LEAST_OBJECTS} evaluated objects each."
        )
        return
    if SAME_MODALITIES not in offsets:
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


def _add_offsets(section: Section, offsets: Mapping[str, Offsets]) -> None:
    """Add how well the field of an object is predicted, and how far fields are apart."""
    if not offsets:
        return
    section.add_figure(
        plot_offsets(offsets), "fields",
        "Left: fraction of each field's objects that a linear classifier assigns to it from the "
        "embedding, cross-validated; dashed: with shuffled labels. Right: squared distance of each "
        "field's mean from that of the other fields, minus the distance expected from noise alone. "
        "Errors are from Wilson's interval (left) and a bootstrap over objects (right). Bottom: "
        f"only {SAME_MODALITIES}.",
        f"{_verdict(offsets)} Fields may differ in seeing, depth and calibration, or in the sky "
        "itself: a field with a cluster has other galaxies.",
        offset_table(offsets),
    )  # fmt: skip
    title, own = list(offsets.items())[-1]
    section.add_headline(
        f"Embeddings: field predicted, {title}", own.balanced_accuracy.scaled(100, "%"),
        note=f"balanced accuracy over {len(own.fields)} fields; the mark is that of shuffled "
        f"labels, {100 * own.shuffled.value:.1f} %",
        verdict="bad" if own.excess.above(0, _SIGNIFICANT) else "none",
    )  # fmt: skip


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


def _compare_neighbours(
    sample: Sample, space: np.ndarray, labels: LabelSettings, kinds: Sequence[str], seed: int
) -> Agreements:
    """Compare neighbours in class, redshift and magnitude, where enough objects have them."""
    kind, redshift = f"class ({labels.kind})", f"redshift ({labels.redshift}), stars left out"
    magnitude = f"magnitude ({labels.magnitude})"
    compared: Agreements = {kind: {}, redshift: {}, magnitude: {}}
    groups = {ALL_OBJECTS: np.zeros(len(sample), np.uint32), SAME_MODALITIES: sample.blocks}
    for title, group in groups.items():
        if len(kinds) > 1:
            compared[kind][title] = class_agreement(space, sample.kind, group, seed)
        for what, values in ((redshift, sample.redshift), (magnitude, sample.magnitude)):
            compared[what][title] = value_agreement(
                space, values, group, seed, redshift=what == redshift
            )
    return {w: {t: a for t, a in each.items() if len(a)} for w, each in compared.items()}


def _add_agreement(
    section: Section,
    sample: Sample,
    compared: Agreements,
    kinds: Sequence[str],
    magnitude: str | None,
    seed: int,
) -> tuple[AgreementNumbers, ...]:
    """Add how well neighbours agree in class, redshift and magnitude."""
    if not any(compared.values()):
        return ()
    by_class, by_redshift, by_magnitude = compared.values()
    classes = {
        title: {
            name: _numbers(f"same class (%), {name}", title, agreement[chosen], seed, 100)
            for name, chosen in _class_masks(sample.kind, kinds).items()
        }
        for title, agreement in by_class.items()
    }
    shown = {"|Δz| / (1 + z)": by_redshift, f"|Δ {magnitude}| (mag)": by_magnitude}
    differences = {what: choices for what, choices in shown.items() if choices}
    medians = {
        what: {title: _numbers(f"median {what}", title, a, seed) for title, a in choices.items()}
        for what, choices in differences.items()
    }
    numbers = tuple(n for each in (*classes.values(), *medians.values()) for n in each.values())
    _add_agreement_figure(section, plot_agreement(classes, differences), numbers)
    if classes:
        same = list(classes.values())[-1]["all"]
        _add_headline(section, "neighbours of the same class", same, "%", more_is_better=True)
    if by_redshift:
        closest = list(medians["|Δz| / (1 + z)"].values())[-1]
        what = "neighbours' median |Δz| / (1 + z)"
        _add_headline(section, what, closest, "", more_is_better=False)
    return numbers


def _add_agreement_figure(
    section: Section, figure: Figure, numbers: Sequence[AgreementNumbers]
) -> None:
    """Add the figure of `plot_agreement` with its caption and table."""
    section.add_figure(
        figure, "neighbours",
        f"The {K} nearest neighbours of each object, among those in which the quantity is known, "
        "compared with 50 random objects. Class: fraction with the same class. Others: "
        "distribution over objects of the median difference. Filled and solid: "
        f"{ALL_OBJECTS}; open and dashed: {SAME_MODALITIES}. Errors are bootstrap errors over "
        "objects.",
        "Blue should lie above grey in class, and left of it in redshift: the model was given "
        "neither. It was given the magnitude, in which neighbours agree as expected. Among all "
        "objects, part of the agreement is due to their modalities.",
        agreement_table(numbers),
    )  # fmt: skip


def _numbers(
    quantity: str, among: str, agreement: Agreement, seed: int, scale: float = 1.0
) -> AgreementNumbers:
    """Return the numbers of an agreement, times `scale`."""
    near, random, difference = (m.scaled(scale) for m in agreement.measure(seed))
    return AgreementNumbers(quantity, among, near, random, difference)


def _class_masks(kind: np.ndarray, kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Return masks (n,) of all objects and of the objects of each class."""
    return {"all": np.ones(len(kind), bool), **{name: kind == name for name in kinds}}


def _commonest(kind: np.ndarray, most: int = 5) -> list[str]:
    """Return the known classes with the most objects."""
    names, counts = np.unique(kind[kind != ""], return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")[:most]]]


def _add_headline(
    section: Section, what: str, numbers: AgreementNumbers, unit: str, *, more_is_better: bool
) -> None:
    """Add an agreement of neighbours to the headlines, with that of random objects as its mark."""
    difference = numbers.difference
    sign = 1 if more_is_better else -1
    better = Measurement(sign * difference.value, difference.error).above(0, errors=1)
    mark = f"{'above' if more_is_better else 'below'} that of random objects"
    section.add_headline(
        f"Embeddings: {what}", numbers.near.scaled(1, unit),
        note=f"the mark is {mark}, {numbers.random.value:.3g} {unit}".strip()
        + f"; {numbers.among}, {numbers.near.n} of them",
        verdict="good" if better else "bad",
    )  # fmt: skip


def _note_unknown(
    section: Section, sample: Sample, compared: Agreements, kinds: Sequence[str]
) -> None:
    """Note the quantities that too few objects have."""
    known = (sample.kind != "", np.isfinite(sample.redshift), np.isfinite(sample.magnitude))
    for (what, choices), has in zip(compared.items(), known, strict=True):
        n = int(has.sum())
        if ALL_OBJECTS not in choices:
            why = f"{n} evaluated objects have one, and {LEAST_KNOWN} are needed"
            if n >= LEAST_KNOWN:
                why = f"all {n} evaluated objects that have one are of class {kinds[0]}"
            section.notes.append(f"Neighbours are not compared in {what}: {why}.")
        elif SAME_MODALITIES not in choices:
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
