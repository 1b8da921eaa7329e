"""Objects with a label: where they are, what they may be used for, and what is known of them."""

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
"""What an object is for: labels to learn from, labels to tune by, evaluation, nothing."""


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
        What the source is; empty where not known.
    magnitude : float64 (n,)
        NaN where missing.
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
        """Which objects have all modalities of a combination such as ``scalar+image``, (n,)."""
        chosen = [GIVEN.index(name) for name in given.split("+")]
        return np.asarray(self.has[:, chosen].all(axis=1))


def label_columns(labels: LabelSettings) -> tuple[str, ...]:
    """Columns of numbers that are labels, each once."""
    redshift = () if labels.redshift is None else (labels.redshift,)
    return tuple(dict.fromkeys((*redshift, *labels.stellar)))


def find_roles(
    fields: Sequence[EvaluatedField],
    sequences: SequenceSet,
    scored: Collection[str],
    labelled: Collection[str],
) -> np.ndarray:
    """What each object is for, uint8 (objects of `sequences`,).

    Parameters
    ----------
    fields : sequence of EvaluatedField
        Parallel to the files of `sequences`.
    sequences : SequenceSet
        Their sequences.
    scored, labelled : collection of str
        Fields to evaluate on, and training fields to take labels from; some may be both.
    """
    found = [np.empty(0, dtype=np.uint8)]
    for field, store in zip(fields, sequences.stores, strict=True):
        role = np.full(len(store), UNUSED, dtype=np.uint8)
        if field.name in labelled:
            role[store.split == TRAIN] = FIT
            role[store.split == VALIDATION] = TUNE
        if field.name in scored:
            role[(store.split == TEST) | (not field.trained)] = SCORE
        found.append(role)
    return np.concatenate(found)


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
        With the file ``cube``, parallel to the files of `sequences`.
    sequences : SequenceSet
        Their sequences.
    roles : uint8 (objects of `sequences`,)
        What each is for; those for nothing are left out.
    coder : ScalarTokenizer
        What scalars were encoded with.
    seen : sequence of int
        Numbers of the scalar columns that may be given.
    labels, columns : LabelSettings, ColumnSettings
        Columns to read.
    progress : Progress
        Shows how many fields are done.

    Raises
    ------
    FormatError
        Where a sequence file is not of its cube as it is now.
    """
    found = []
    absent = {*label_columns(labels), *([] if labels.kind is None else [labels.kind])}
    starts = np.cumsum([0] + [len(store) for store in sequences.stores])[:-1].tolist()
    every = list(zip(fields, sequences.stores, starts, strict=True))
    for field, store, start in progress(every, len(every), "labels of fields"):
        cube = field.open(columns)
        absent -= cube.columns
        known = _of_field(cube, store, start, roles, labels)
        check_scalars(cube, Encoded(sequences, known["number"]), coder)
        found.append(known)
    joined = {name: np.concatenate([section[name] for section in found]) for name in found[0]}
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
    """Raw scalars of some objects, float64 (n, columns), NaN where missing.

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
    """What is known of the labelled objects of one field, whose first has the number `start`."""
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
    """Whether objects have scalars that may be given, an image, a spectrum, bool (n, 3)."""
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
    """A label that is to be told.

    Attributes
    ----------
    name : str
        Its column.
    role : str
        ``redshift``, ``stellar`` or ``class``.
    classes : tuple of str
        Every class that occurs; empty of a number.
    """

    name: str
    role: Role
    classes: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Its unit as figures spell it; empty where it has none."""
        return unit(self.name) if self.role == "stellar" else ""

    @property
    def label(self) -> str:
        """Its name with its unit."""
        return with_unit(self.name, self.unit)

    def inward(self, values: np.ndarray) -> np.ndarray:
        """The scale on which errors are alike: log(1 + z), log₁₀ of a temperature, or as it is."""
        if self.role == "redshift":
            return np.log1p(values)
        return np.log10(values) if self.unit == "K" else values

    def outward(self, values: np.ndarray) -> np.ndarray:
        """Back from the scale of `inward`."""
        if self.role == "redshift":
            return np.expm1(values)
        return 10.0**values if self.unit == "K" else values


def find_targets(
    objects: Objects, labels: LabelSettings, notes: list[str]
) -> dict[Target, np.ndarray]:
    """Targets, and what is known of them.

    Parameters
    ----------
    objects : Objects
        Objects with labels.
    labels : LabelSettings
        Their columns.
    notes : list of str
        Takes what cannot be evaluated, and why.

    Returns
    -------
    dict of Target to float64 (n,)
        The label of each object, of a class its number in ``classes``; NaN where it is not known
        or not meant: the redshift of a star is a velocity.
    """
    found: dict[Target, np.ndarray] = {}
    for what, name in (("redshift", labels.redshift), ("kind", labels.kind)):
        if name is None:
            notes.append(f"evaluation.labels.{what} is null: there is no such label.")
        elif name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.{what}).")
    if labels.redshift is not None and labels.redshift not in objects.absent:
        values = cosmological(objects.values[labels.redshift], objects.kind, labels)
        found[Target(labels.redshift, "redshift")] = values
        if not (objects.kind != "").any():
            notes.append(f"Stars among {labels.redshift} are not known, and so are not left out.")
    for name in labels.stellar:
        if name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.stellar).")
            continue
        target, values = Target(name, "stellar"), objects.values[name]
        found[target] = np.where(values > 0, values, np.nan) if target.unit == "K" else values
    if labels.kind is not None and labels.kind not in objects.absent:
        known = has_class(objects.kind, labels)
        classes, number = np.unique(objects.kind[known], return_inverse=True)
        values = np.full(len(known), np.nan)
        values[known] = number
        found[Target(labels.kind, "class", tuple(classes.tolist()))] = values
    return found
