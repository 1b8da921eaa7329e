"""Objects with a label: where they are, what they may be used for, and what is known of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.evaluate import GIVEN, LabelSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.grids import is_light_curve
from astromodal.core.progress import Progress
from astromodal.core.vocab import MISS
from astromodal.data.cube import Cube
from astromodal.data.labels import read_kinds
from astromodal.data.splits import TEST, TRAIN, VALIDATION
from astromodal.evaluation.objects import EvaluatedField, check_ids, check_scalars
from astromodal.inference.encoded import Encoded
from astromodal.tokenizers.scalar import ScalarTokenizer
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import IMAGE, SCALAR
from astromodal.training.sequences import SequenceStore

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
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
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
    spectra = [block.type for block in layout.groups() if not is_light_curve(block.name)]
    bits = [1 << layout[IMAGE].type, sum(1 << kind for kind in spectra)]
    has = [(pattern & np.uint32(bit)) > 0 for bit in bits]
    return np.stack([(tokens[:, list(seen)] != MISS).any(axis=1), *has], axis=1)
