"""Objects with a label: their roles, labels and targets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from astromodal.config.evaluate import GIVEN, LabelSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress
from astromodal.core.vocab import MISS
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, TRAIN, VALIDATION
from astromodal.evaluation.held_out import (
    EvaluatedField,
    check_ids,
    check_scalars,
    cosmological,
    has_class,
    read_kinds,
)
from astromodal.evaluation.report.style import unit, with_unit
from astromodal.inference.encode import Encoded
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import IMAGE, SCALAR
from astromodal.sequences.store import SequenceStore
from astromodal.surveys.registry import spectra
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

FIT, TUNE, SCORE, UNUSED = range(4)
"""Role of an object: to fit on, to tune on, to score, or none."""


@dataclass(frozen=True)
class Objects:
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
        Columns of labels, NaN where missing.
    kind : unicode (n,)
        Class; empty where unknown.
    magnitude : float64 (n,)
        Magnitude; NaN where missing.
    absent : frozenset of str
        Columns of labels that no cube has.
    """

    number: np.ndarray
    role: np.ndarray
    has: np.ndarray
    values: dict[str, np.ndarray]
    kind: np.ndarray
    magnitude: np.ndarray
    absent: frozenset[str]

    def have(self, given: str) -> np.ndarray:
        """Return which objects have all modalities of, say, ``scalar+image``, bool (n,)."""
        chosen = [GIVEN.index(name) for name in given.split("+")]
        return np.asarray(self.has[:, chosen].all(axis=1))


def label_columns(labels: LabelSettings) -> tuple[str, ...]:
    """Return the numeric columns that are labels, without repetition."""
    redshift = () if labels.redshift is None else (labels.redshift,)
    return tuple(dict.fromkeys((*redshift, *labels.stellar)))


def find_roles(
    fields: Sequence[EvaluatedField],
    sequences: SequenceSet,
    scored: Collection[str],
    labelled: Collection[str],
) -> np.ndarray:
    """Return the role of each object, uint8 (objects of `sequences`,).

    Parameters
    ----------
    fields : sequence of EvaluatedField
        Fields, in the order of the files of `sequences`.
    sequences : SequenceSet
        Their sequences.
    scored, labelled : collection of str
        Fields to evaluate on, and training fields to take labels from; some may be both.
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


def find_objects(
    fields: Sequence[EvaluatedField],
    sequences: SequenceSet,
    roles: np.ndarray,
    coder: ScalarTokenizer,
    seen: Sequence[int],
    labels: LabelSettings,
    columns: ColumnSettings,
    progress: Progress,
) -> Objects:
    """Find the objects that have a label.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        Fields with the file ``cube``, in the order of the files of `sequences`.
    sequences : SequenceSet
        Their sequences.
    roles : uint8 (objects of `sequences`,)
        Role of each object; unused ones are left out.
    coder : ScalarTokenizer
        The scalar tokenizer.
    seen : sequence of int
        Numbers of the scalar columns that may be given.
    labels, columns : LabelSettings, ColumnSettings
        Columns to read.
    progress : Progress
        Wraps the loop over fields.

    Raises
    ------
    FormatError
        Where sequences are not those of the cube as it is now.
    """
    parts = []
    absent = {*label_columns(labels), *([] if labels.kind is None else [labels.kind])}
    starts = np.cumsum([0] + [len(store) for store in sequences.stores])[:-1].tolist()
    every = list(zip(fields, sequences.stores, starts, strict=True))
    for field, store, start in progress(every, len(every), "labels of fields"):
        cube = field.open(columns)
        absent -= cube.columns
        known = _of_field(cube, store, start, roles, labels)
        check_scalars(cube, Encoded(sequences, known["number"]), coder)
        parts.append(known)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    number = joined.pop("number")
    kind, magnitude = joined.pop("kind"), joined.pop("magnitude")
    has = _modalities(sequences, number, seen)
    return Objects(number, roles[number], has, joined, kind, magnitude, frozenset(absent))


def read_features(
    fields: Sequence[EvaluatedField],
    sequences: SequenceSet,
    numbers: np.ndarray,
    names: Sequence[str],
    columns: ColumnSettings,
    progress: Progress,
) -> np.ndarray:
    """Read raw scalars of some objects, float64 (n, columns); NaN where missing.

    Parameters
    ----------
    fields, sequences, columns, progress
        As for `find_objects`.
    numbers : int64 (n,)
        Numbers of the objects in `sequences`.
    names : sequence of str
        Columns to read.
    """
    which, rows = sequences.places(numbers)
    out = np.empty((len(numbers), len(names)))
    needed = np.unique(which).tolist()
    for i in progress(needed, len(needed), "scalars of fields"):
        mine = which == i
        out[mine] = fields[i].open(columns).scalars(names)[rows[mine]]
    return out


def _of_field(
    cube: Cube, store: SequenceStore, start: int, roles: np.ndarray, labels: LabelSettings
) -> dict[str, np.ndarray]:
    """Read the labels of one field's objects, the first of which has the number `start`."""
    check_ids(cube.ids(), store.row, store.ids(), store.path)
    names = label_columns(labels)
    magnitude = () if labels.magnitude is None else (labels.magnitude,)
    values = cube.scalars([*names, *magnitude])[store.row]
    kind = read_kinds(cube, labels)[store.row]
    known = np.isfinite(values[:, : len(names)]).any(axis=1) | (kind != "")
    kept = np.flatnonzero((roles[start : start + len(store)] != UNUSED) & known)
    return {
        "number": start + kept,
        "kind": kind[kept],
        "magnitude": values[kept, -1] if magnitude else np.full(len(kept), np.nan),
        **{name: values[kept, i] for i, name in enumerate(names)},
    }


def _modalities(sequences: SequenceSet, numbers: np.ndarray, seen: Sequence[int]) -> np.ndarray:
    """Return whether objects have scalars that may be given, an image, a spectrum, (n, 3)."""
    layout, pattern = sequences.layout, sequences.pattern[numbers]
    names = [block.name for block in layout.blocks]
    tokens = sequences.block_tokens(numbers, names.index(SCALAR))[:, 1:]
    groups = spectra(block.name for block in layout.groups())
    bits = [1 << layout[IMAGE].type, sum(1 << layout[group].type for group in groups)]
    has = [(pattern & np.uint32(bit)) > 0 for bit in bits]
    return np.stack([(tokens[:, list(seen)] != MISS).any(axis=1), *has], axis=1)


Role = Literal["redshift", "stellar", "class"]


@dataclass(frozen=True)
class Target:
    """A label that is predicted.

    Attributes
    ----------
    name : str
        Its column.
    role : str
        ``redshift``, ``stellar`` or ``class``.
    classes : tuple of str
        Classes that occur; empty for a number.
    """

    name: str
    role: Role
    classes: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Unit as figures print it; empty without a unit."""
        return unit(self.name) if self.role == "stellar" else ""

    @property
    def label(self) -> str:
        """Name with the unit."""
        return with_unit(self.name, self.unit)

    def inward(self, values: np.ndarray) -> np.ndarray:
        """Return values on the inward scale: log(1 + z), log₁₀ of a temperature, or unchanged.

        On this scale, errors of small and large values are comparable.
        """
        if self.role == "redshift":
            return np.log1p(values)
        return np.log10(values) if self.unit == "K" else values

    def outward(self, values: np.ndarray) -> np.ndarray:
        """Undo `inward`."""
        if self.role == "redshift":
            return np.expm1(values)
        return 10.0**values if self.unit == "K" else values


def find_targets(
    objects: Objects, labels: LabelSettings, notes: list[str]
) -> dict[Target, np.ndarray]:
    """Return the targets, and the label of each object.

    Parameters
    ----------
    objects : Objects
        Objects with labels.
    labels : LabelSettings
        Their columns.
    notes : list of str
        What cannot be evaluated, and why, is appended.

    Returns
    -------
    dict of Target to float64 (n,)
        Labels; a class is its number in ``classes``. NaN where a label is unknown, and for
        redshifts of stars, which are velocities.
    """
    labelled: dict[Target, np.ndarray] = {}
    for what, name in (("redshift", labels.redshift), ("kind", labels.kind)):
        if name is None:
            notes.append(f"evaluation.labels.{what} is null, so this label is not evaluated.")
        elif name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.{what}).")
    if labels.redshift is not None and labels.redshift not in objects.absent:
        values = cosmological(objects.values[labels.redshift], objects.kind, labels)
        labelled[Target(labels.redshift, "redshift")] = values
        if not (objects.kind != "").any():
            notes.append(
                f"Stars among {labels.redshift} are unknown, and are therefore not left out."
            )
    for name in labels.stellar:
        if name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.stellar).")
            continue
        target, values = Target(name, "stellar"), objects.values[name]
        labelled[target] = np.where(values > 0, values, np.nan) if target.unit == "K" else values
    if labels.kind is not None and labels.kind not in objects.absent:
        known = has_class(objects.kind, labels)
        classes, number = np.unique(objects.kind[known], return_inverse=True)
        values = np.full(len(known), np.nan)
        values[known] = number
        labelled[Target(labels.kind, "class", tuple(classes.tolist()))] = values
    return labelled
