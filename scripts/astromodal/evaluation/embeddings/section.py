"""The section of the embeddings: figures with their tables, headlines, and what was not told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from astromodal.config.evaluate import LabelSettings
from astromodal.evaluation.embeddings.figures import (
    INNER,
    categories,
    plot_agreement,
    plot_map,
    plot_offsets,
    plot_retrieval,
)
from astromodal.evaluation.embeddings.offsets import (
    LEAST_OBJECTS,
    Offsets,
    field_offsets,
    most_common,
)
from astromodal.evaluation.embeddings.retrieval import (
    LEAST_KNOWN,
    N_NEAREST,
    Agreement,
    K,
    Retrieval,
    class_agreement,
    value_agreement,
)
from astromodal.evaluation.embeddings.sample import Sample
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.values import Measurement, Table
from astromodal.sequences.layout import IMAGE

_SIGNIFICANT = 2.0
"""Errors above which fields count as told apart."""
EVERY, ALIKE = "all objects", "objects with the same modalities"


def add_map(
    section: Section, sample: Sample, places: np.ndarray, way: str, labels: LabelSettings
) -> None:
    """The map, coloured by class, field, modalities, redshift and magnitude, as far as known."""
    names = np.array([f.name for f in sample.fields])[sample.field]
    named = {"field": names, "modalities": sample.modalities}
    if (sample.kind != "").any():
        named = {"class": sample.kind, **named}
    named = {title: categories(values) for title, values in named.items()}
    valued = {f"redshift ({labels.redshift})": sample.redshift,
              f"{labels.magnitude} (mag)": sample.magnitude}  # fmt: skip
    valued = {title: values for title, values in valued.items() if np.isfinite(values).any()}
    rows: list[list[Any]] = []
    for title, values in named.items():
        groups, counts = np.unique(values, return_counts=True)
        rows += [[title, str(g), int(n)] for g, n in zip(groups, counts, strict=True)]
    rows += [[title, "known", int(np.isfinite(v).sum())] for title, v in valued.items()]
    section.numbers["map"] = {
        "way": way, "id": sample.ids, "field": names, "x": places[:, 0], "y": places[:, 1],
    }  # fmt: skip
    how = (
        f"t-SNE of {len(sample)} objects: who is near whom is kept as well as a plane can, and "
        "distances between islands, their sizes and their places mean nothing"
        if way == "t-SNE"
        else f"the first two principal components of {len(sample)} objects, too few for t-SNE"
    )
    section.add_figure(
        plot_map(places, named, valued), "map",
        f"The embeddings in the plane ({how}). Pale grey: unknown; scales end at the 2nd and 98th "
        "percentile. Coordinates of every object stand in embeddings.json.",
        "Classes and redshifts, which were not given, should lie together; fields should mix. "
        "Islands of a set of modalities say only that what an object has is seen in its embedding.",
        Table(["colour", "group", "objects"], rows),
    )  # fmt: skip


def add_offsets(
    section: Section, sample: Sample, space: np.ndarray, absent: Mapping[str, int]
) -> None:
    """How well the field is told from the embedding, of all objects and of those that are alike.

    `absent` counts the scalar columns that a field's cube lacks, by field.
    """
    seed, chosen = section.numbers["seed"], most_common(sample.blocks, sample.field)
    panels = {EVERY: field_offsets(space, sample.field, seed),
              ALIKE: field_offsets(space[chosen], sample.field[chosen], seed)}  # fmt: skip
    found = {title: offsets for title, offsets in panels.items() if offsets is not None}
    if EVERY not in found:
        section.notes.append(
            f"No offset between fields was measured: that takes two fields with {LEAST_OBJECTS} "
            "evaluated objects each."
        )
        return
    if ALIKE not in found:
        section.notes.append(
            f"No two fields have {LEAST_OBJECTS} objects with the same modalities: offsets between "
            "fields are those of all objects, which a field's surveys alone may explain."
        )
    names = [f.name for f in sample.fields]
    lacking = [f"{name} ({n})" for name, n in absent.items() if n]
    if lacking:
        section.notes.append(
            f"Columns absent from a field's cube tell it apart: {', '.join(lacking[:10])}"
            f"{' and more' if len(lacking) > 10 else ''} lack scalar columns."
        )
    section.numbers["fields"] = {title: _offset_numbers(o, names) for title, o in found.items()}
    section.add_figure(
        plot_offsets(found, names), "fields",
        "Share of each field's objects whose field a linear classifier tells from the embedding, "
        "cross-validated (left; dashed: with shuffled labels), and the squared distance of each "
        "field's mean from that of the other fields, less what noise gives (right). Bootstrap "
        f"errors over objects; below, only {ALIKE}.",
        f"{_verdict(found)} What differs may be seeing, depth and calibration, or the sky itself: "
        "a field of a cluster holds other galaxies.",
        _offset_table(found, names),
    )  # fmt: skip
    title = ALIKE if ALIKE in found else EVERY
    excess, error = found[title].excess
    section.add_headline(
        f"Embeddings: field told, {title}", *(100 * np.array(found[title].accuracy)), unit="%",
        note=f"balanced accuracy over {len(found[title].fields)} fields; no more is asked for than "
        f"with shuffled labels, {100 * found[title].shuffled[0]:.1f} %",
        verdict="bad" if excess > _SIGNIFICANT * error else "none",
    )  # fmt: skip


def add_agreement(
    section: Section, sample: Sample, space: np.ndarray, labels: LabelSettings
) -> None:
    """How well neighbours agree in class, redshift and magnitude."""
    groups = {EVERY: np.zeros(len(sample), np.uint32), ALIKE: sample.blocks}
    seed, kinds = section.numbers["seed"], _commonest(sample.kind)
    kind, redshift = f"class ({labels.kind})", f"redshift ({labels.redshift}), stars left out"
    magnitude = f"magnitude ({labels.magnitude})"
    found: dict[str, dict[str, Agreement]] = {kind: {}, redshift: {}, magnitude: {}}
    for title, group in groups.items():
        if len(kinds) > 1:
            found[kind][title] = class_agreement(space, sample.kind, group, seed)
        for what, values in ((redshift, sample.redshift), (magnitude, sample.magnitude)):
            told = value_agreement(space, values, group, seed, redshift=what == redshift)
            found[what][title] = told
    found = {w: {t: a for t, a in each.items() if len(a)} for w, each in found.items()}
    _note_unknown(section, sample, found, kinds)
    if not any(found.values()):
        return
    classes = {
        title: {"all": a, **{name: a[sample.kind == name] for name in kinds}}
        for title, a in found[kind].items()
    }
    shown = {"|Δz| / (1 + z)": found[redshift], f"|Δ {labels.magnitude}| (mag)": found[magnitude]}
    differences = {title: each for title, each in shown.items() if each}
    rows = [
        [f"same class (%), {name}", title, *_row(a, seed, 100)]
        for title, each in classes.items() for name, a in each.items()
    ]  # fmt: skip
    rows += [
        [f"median {what}", title, *_row(a, seed)]
        for what, each in differences.items() for title, a in each.items()
    ]  # fmt: skip
    section.numbers["neighbours"] = [
        dict(zip(_AGREEMENT_COLUMNS, row, strict=True)) for row in rows
    ]
    section.add_figure(
        plot_agreement(classes, differences), "neighbours",
        f"An object's {K} nearest neighbours among those in which the quantity is known, compared "
        "to 50 random ones; and the same among objects with the same modalities. Class: share of "
        "the same class; others: distribution over objects of the median difference. Filled and "
        f"solid: {EVERY}; open and dashed: {ALIKE}. Bootstrap errors over objects.",
        "Blue must stand above grey in class, and left of it in redshift: neither was given. The "
        "magnitude was given, so that it agrees is no news. Among all objects, part of an "
        "agreement is that sources which have the same modalities are alike anyhow.",
        Table(list(_AGREEMENT_COLUMNS), rows),
    )  # fmt: skip
    _headline(section, "neighbours of the same class", found[kind], 100, "%", better=1)
    _headline(section, "neighbours' median |Δz| / (1 + z)", found[redshift], 1, "", better=-1)


def add_retrieval(section: Section, sample: Sample, found: Retrieval | None) -> None:
    """Cutouts of a few objects and of those that are nearest to them."""
    if found is None:
        section.notes.append(
            f"No neighbours are shown as cutouts: {sample.has(IMAGE).sum()} evaluated objects have "
            f"one, and it takes {1 + N_NEAREST}."
        )
        return
    rows: list[list[Any]] = []
    for line, distances in zip(found.objects.tolist(), found.distance, strict=True):
        for rank, (place, distance) in enumerate(zip(line, distances, strict=True)):
            rows.append([
                "query" if not rank else f"neighbour {rank}", str(sample.ids[place]),
                sample.fields[sample.field[place]].name, str(sample.kind[place]) or "unknown",
                sample.redshift[place], sample.magnitude[place], float(distance),
            ])  # fmt: skip
    section.add_figure(
        plot_retrieval(found, sample), "retrieval",
        "Objects drawn by chance, classes taking turns (framed), and the nearest others among "
        f"those with a cutout: band {found.band}, the inner {INNER} pixels, arcsinh of the flux "
        "over its noise.",
        "Neighbours should look alike and be of one class. The embedding saw the photometry and "
        "any spectrum too: sources may be alike in what a cutout does not show.",
        Table(["", "id", "field", "class", "redshift", "magnitude (mag)",
               "distance (of two random objects)"], rows),
    )  # fmt: skip


_AGREEMENT_COLUMNS = (
    "quantity", "among", "objects", f"{K} nearest neighbours", "random", "difference",
)  # fmt: skip


def _row(found: Agreement, seed: int, scale: float = 1.0) -> list[Any]:
    numbers = found.numbers(seed).values()
    return [len(found), *(Measurement(scale * value, scale * error) for value, error in numbers)]


def _commonest(kind: np.ndarray, most: int = 5) -> list[str]:
    """The known classes with the most objects."""
    names, counts = np.unique(kind[kind != ""], return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")[:most]]]


def _headline(
    section: Section,
    what: str,
    choices: Mapping[str, Agreement],
    scale: float,
    unit: str,
    better: int,
) -> None:
    """Of objects with the same modalities, where there are; `better` is 1 where more is, or -1."""
    if not choices:
        return
    title, found = list(choices.items())[-1]
    numbers = found.numbers(section.numbers["seed"])
    (value, error), (gain, gain_error) = numbers["near"], numbers["gain"]
    section.add_headline(
        f"Embeddings: {what}", scale * value, scale * error, unit=unit,
        note=f"{'more' if better > 0 else 'less'} is asked for than of random ones, "
        f"{scale * numbers['random'][0]:.3g} {unit}".strip() + f"; {title}, {len(found)} of them",
        verdict="good" if better * gain > gain_error else "bad",
    )  # fmt: skip


def _note_unknown(
    section: Section, sample: Sample, found: Mapping[str, Mapping[str, Agreement]], kinds: list[str]
) -> None:
    """Say of what too little is known."""
    known = (sample.kind != "", np.isfinite(sample.redshift), np.isfinite(sample.magnitude))
    for (what, choices), has in zip(found.items(), known, strict=True):
        n = int(has.sum())
        if EVERY not in choices:
            why = f"{n} evaluated objects have one, and it takes {LEAST_KNOWN}"
            if n >= LEAST_KNOWN:
                why = f"all {n} evaluated objects that have one are of class {kinds[0]}"
            section.notes.append(f"Neighbours are not compared in {what}: {why}.")
        elif ALIKE not in choices:
            section.notes.append(
                f"No {LEAST_KNOWN} objects with the same modalities have a {what.split()[0]}: "
                "what neighbours agree in may be due to their modalities."
            )


def _offset_numbers(found: Offsets, names: list[str]) -> dict[str, Any]:
    return {
        "balanced_accuracy": Measurement(*found.accuracy),
        "shuffled": Measurement(*found.shuffled),
        "chance": found.chance,
        "fields": {
            names[i]: {
                "objects": n,
                "recall": Measurement(*recall),
                "squared_offset": Measurement(*d),
            }
            for i, n, recall, d in zip(
                found.fields, found.count, found.recall, found.distance, strict=True
            )
        },
    }


def _offset_table(found: Mapping[str, Offsets], names: list[str]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for title, o in found.items():
        accuracy, shuffled = (Measurement(100 * v, 100 * e) for v, e in (o.accuracy, o.shuffled))
        rows.append([title, "all fields, balanced", int(o.count.sum()), accuracy, shuffled, None])
        for i, n, recall, d in zip(o.fields, o.count, 100 * o.recall, o.distance, strict=True):
            rows.append([title, names[i], int(n), Measurement(*recall), None, Measurement(*d)])
    return Table(
        ["objects", "field", "number", "told rightly (%)", "with shuffled labels (%)",
         "squared offset (variance within fields)"], rows,
    )  # fmt: skip


def _verdict(found: Mapping[str, Offsets]) -> str:
    sentences = []
    for title, offsets in found.items():
        excess, error = offsets.excess
        told = "is told" if excess > _SIGNIFICANT * error else "is not told beyond chance"
        sentences.append(
            f"Of {title}, the field {told}: {100 * offsets.accuracy[0]:.1f} % against "
            f"{100 * offsets.shuffled[0]:.1f} %."
        )
    return " ".join(sentences)
