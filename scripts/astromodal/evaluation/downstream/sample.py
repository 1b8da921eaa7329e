"""Objects with a known label: their roles, modalities, label columns and raw scalars."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.evaluate import GIVEN, LabelSettings
from astromodal.core.vocab import MISS
from astromodal.data.cube import Cube
from astromodal.data.splits import NO_CELL, TEST, TRAIN, VALIDATION, healpix_cells
from astromodal.evaluation.context import (
    EvaluatedField,
    EvaluationContext,
    check_ids,
    check_scalars,
    listed,
    read_kinds,
)
from astromodal.inference.encode import Encoded
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import IMAGE, SCALAR
from astromodal.sequences.store import SequenceStore
from astromodal.surveys.registry import spectra
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

FIT, TUNE, SCORE, UNUSED = range(4)
"""Roles of an object: methods are fitted, tuned or scored on it, or it is not used."""


@dataclass(frozen=True)
class LabelledObjects:
    """Objects of several fields that have at least one label.

    Attributes
    ----------
    number : int64 (n,)
        Their numbers in the `SequenceSet`, ascending.
    role : uint8 (n,)
        `FIT`: training split of a training field; `TUNE`: its validation split; `SCORE`: nothing
        was trained on it.
    has : bool (n, 3)
        Whether they have scalars that may be given, an image, a spectrum.
    values : dict of str to float64 (n,)
        Label columns, NaN where missing.
    kind : unicode (n,)
        Class of the source; empty where it is not known.
    magnitude : float64 (n,)
        Magnitude (mag); NaN where missing.
    cell : int64 (n,)
        HEALPix cells of the split; `NO_CELL` without a position.
    field : unicode (n,)
        Names of their fields.
    absent : frozenset of str
        Label columns that no cube has.
    """

    number: np.ndarray
    role: np.ndarray
    has: np.ndarray
    values: dict[str, np.ndarray]
    kind: np.ndarray
    magnitude: np.ndarray
    cell: np.ndarray
    field: np.ndarray
    absent: frozenset[str]

    def have(self, given: str) -> np.ndarray:
        """Return which objects have all modalities of a combination, bool (n,).

        Parameters
        ----------
        given : str
            The combination, such as ``scalar+image``.
        """
        chosen = [GIVEN.index(name) for name in given.split("+")]
        return np.asarray(self.has[:, chosen].all(axis=1))


def label_columns(labels: LabelSettings) -> tuple[str, ...]:
    """Return the label columns that hold numbers, each once."""
    redshift = () if labels.redshift is None else (labels.redshift,)
    return tuple(dict.fromkeys((*redshift, *labels.stellar)))


def assign_roles(
    fields: Sequence[EvaluatedField],
    sequences: SequenceSet,
    scored: Collection[str],
    labelled: Collection[str],
) -> np.ndarray:
    """Return the role of each object of `sequences`, uint8 (n,).

    Parameters
    ----------
    fields : sequence of EvaluatedField
        The fields, parallel to the files of `sequences`.
    sequences : SequenceSet
        Their sequences.
    scored, labelled : collection of str
        Names of the fields to score on, and of the training fields to take labels from. A field
        may be both.
    """
    roles = [np.empty(0, dtype=np.uint8)]
    for field, store in zip(fields, sequences.stores, strict=True):
        role = np.full(len(store), UNUSED, dtype=np.uint8)
        if field.name in labelled:
            role[store.split == TRAIN] = FIT
            role[store.split == VALIDATION] = TUNE
        if field.name in scored:
            role[(store.split == TEST) | (not field.trained)] = SCORE
        roles.append(role)
    return np.concatenate(roles)


def read_cells(context: EvaluationContext, sequences: SequenceSet) -> np.ndarray:
    """Return the HEALPix cell of each object, int64 (n,); `NO_CELL` without a position.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the file ``cube`` and are parallel to the files of `sequences`.
    sequences : SequenceSet
        Sequences of the objects.

    Raises
    ------
    FormatError
        Where ids of a sequence file are not those of its cube.
    """
    nside, columns = context.settings.split.nside, context.settings.columns
    cells = [np.empty(0, dtype=np.int64)]
    for field, store in zip(context.fields, sequences.stores, strict=True):
        cube = field.open(columns)
        check_ids(cube.ids(), store.row, store.ids(), store.path)
        ra, dec = cube.scalars([columns.ra, columns.dec])[store.row].T
        cells.append(healpix_cells(ra, dec, nside))
    return np.concatenate(cells)


def leave_trained_cells(
    roles: np.ndarray, cells: np.ndarray, names: np.ndarray, notes: list[str]
) -> np.ndarray:
    """Return the roles without scored objects in cells of objects that methods are fitted to.

    Neighbouring fields overlap: a source of a held-out field may be in a training field, too.

    Parameters
    ----------
    roles : uint8 (n,)
        Role of each object, as `assign_roles` returns it.
    cells : int64 (n,)
        Their HEALPix cells; `NO_CELL` without a position, which no object is near to.
    names : unicode (n,)
        Names of their fields.
    notes : list of str
        Receives a sentence on the objects that are left out.
    """
    trained = np.unique(cells[np.isin(roles, (FIT, TUNE)) & (cells != NO_CELL)])
    near = (roles == SCORE) & np.isin(cells, trained)
    if near.any():
        notes.append(
            f"{int(near.sum()):,} objects of {listed(np.unique(names[near]).tolist())} are not "
            "scored: their HEALPix cells hold objects of the training or validation split of the "
            "fields that labels are taken from."
        )
    return np.where(near, UNUSED, roles).astype(roles.dtype)


def read_labelled(
    context: EvaluationContext,
    sequences: SequenceSet,
    roles: np.ndarray,
    cells: np.ndarray,
    coder: ScalarTokenizer,
    usable: Sequence[int],
) -> LabelledObjects:
    """Read the objects that have a label and a role.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the file ``cube`` and are parallel to the files of `sequences`.
    sequences : SequenceSet
        Their sequences.
    roles : uint8 (objects of `sequences`,)
        Role of each object, as `assign_roles` returns it.
    cells : int64 (objects of `sequences`,)
        HEALPix cell of each object.
    coder : ScalarTokenizer
        The tokenizer of the scalars.
    usable : sequence of int
        Numbers of the scalar columns that may be given.

    Raises
    ------
    FormatError
        Where scalar codes of a sequence file are not those of its cube.
    """
    labels, fields = context.settings.evaluation.labels, context.fields
    absent = {*label_columns(labels), *([] if labels.kind is None else [labels.kind])}
    starts = np.cumsum([0] + [len(store) for store in sequences.stores])[:-1].tolist()
    every = list(zip(fields, sequences.stores, starts, strict=True))
    read = []
    for field, store, start in context.progress(every, len(every), "labels of fields"):
        cube = field.open(context.settings.columns)
        absent -= cube.columns
        columns = _read_field(cube, store, start, roles, labels)
        check_scalars(cube, Encoded(sequences, columns["number"]), coder)
        read.append(columns)
    joined = {name: np.concatenate([columns[name] for columns in read]) for name in read[0]}
    number, kind, magnitude = (joined.pop(name) for name in ("number", "kind", "magnitude"))
    return LabelledObjects(
        number=number,
        role=roles[number],
        has=modalities_of(sequences, number, usable),
        values=joined,
        kind=kind,
        magnitude=magnitude,
        cell=cells[number],
        field=field_names(fields, sequences)[number],
        absent=frozenset(absent),
    )


def field_names(fields: Sequence[EvaluatedField], sequences: SequenceSet) -> np.ndarray:
    """Return the name of the field of each object, unicode (n,)."""
    return np.repeat([f.name for f in fields], [len(store) for store in sequences.stores])


def read_raw_scalars(
    context: EvaluationContext, sequences: SequenceSet, numbers: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Read scalars of some objects from the cubes, float64 (n, columns); NaN where missing.

    Parameters
    ----------
    context, sequences
        As for `read_labelled`.
    numbers : int64 (n,)
        Numbers of the objects in `sequences`.
    names : sequence of str
        Columns to read.
    """
    which, rows = sequences.places(numbers)
    values = np.empty((len(numbers), len(names)))
    needed = np.unique(which).tolist()
    for i in context.progress(needed, len(needed), "scalars of fields"):
        mine = which == i
        cube = context.fields[i].open(context.settings.columns)
        values[mine] = cube.scalars(names)[rows[mine]]
    return values


def _read_field(
    cube: Cube, store: SequenceStore, start: int, roles: np.ndarray, labels: LabelSettings
) -> dict[str, np.ndarray]:
    """Read numbers, labels and magnitudes of a field whose first object has the number `start`."""
    names = label_columns(labels)
    magnitude = () if labels.magnitude is None else (labels.magnitude,)
    values = cube.scalars([*names, *magnitude])[store.row]
    kind = read_kinds(cube, labels)[store.row]
    has_label = np.isfinite(values[:, : len(names)]).any(axis=1) | (kind != "")
    kept = np.flatnonzero((roles[start : start + len(store)] != UNUSED) & has_label)
    return {
        "number": start + kept,
        "kind": kind[kept],
        "magnitude": values[kept, -1] if magnitude else np.full(len(kept), np.nan),
        **{name: values[kept, i] for i, name in enumerate(names)},
    }


def modalities_of(sequences: SequenceSet, numbers: np.ndarray, usable: Sequence[int]) -> np.ndarray:
    """Return whether objects have scalars that may be given, an image, a spectrum, bool (n, 3)."""
    layout, pattern = sequences.layout, sequences.pattern[numbers]
    names = [block.name for block in layout.blocks]
    tokens = sequences.block_tokens(numbers, names.index(SCALAR))[:, 1:]
    groups = spectra(block.name for block in layout.groups())
    bits = [1 << layout[IMAGE].type, sum(1 << layout[group].type for group in groups)]
    has = [(pattern & np.uint32(bit)) > 0 for bit in bits]
    return np.stack([(tokens[:, list(usable)] != MISS).any(axis=1), *has], axis=1)
