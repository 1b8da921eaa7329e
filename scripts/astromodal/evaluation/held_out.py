"""Held-out objects, their labels, and how evaluations find them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, Split, load_split
from astromodal.errors import DataError, FormatError, must_be
from astromodal.sequences.layout import SCALAR
from astromodal.storage.hashing import hash_arrays
from astromodal.storage.skips import skip_at
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

if TYPE_CHECKING:
    from astromodal.inference.encode import Encoded
    from astromodal.sequences.dataset import SequenceSet
from astromodal.config.evaluate import LabelSettings
from astromodal.data.values import base_class

PACKED = "{} and pack_sequences"
"""The rules that bring codes up to date in sequences."""


@dataclass(frozen=True)
class EvaluatedField:
    """A field to evaluate on, and the files of it that a part needs.

    Attributes
    ----------
    name : str
        The field.
    trained : bool
        Whether anything was trained on it: then only its test split is looked at.
    files : dict of str to path
        ``cube``, ``split``, ``tokens``, ``latents``, ``sequences``: those that were given.
    """

    name: str
    trained: bool
    files: dict[str, Path] = field(default_factory=dict)

    def open(self, columns: ColumnSettings) -> Cube:
        """The field's datacube."""
        return Cube(self.files["cube"], self.name, columns)

    def rows(self) -> np.ndarray:
        """Rows of the cube that count, bool (n,)."""
        return evaluation_rows(load_split(self.files["split"]), self.trained)


def evaluated_fields(
    names: Sequence[str], trained: Collection[str], **files: Sequence[str | Path]
) -> list[EvaluatedField]:
    """Fields by name with their files, each list of files being parallel to `names`.

    Fields that were skipped are left out.

    Raises
    ------
    DataError
        Where that leaves none.
    """
    for what, paths in files.items():
        if len(paths) != len(names):
            raise FormatError(
                must_be(f"files of {what!r}", f"{len(names)}, one a field", len(paths))
            )
    found = []
    for i, name in enumerate(names):
        own = {what: Path(paths[i]) for what, paths in files.items()}
        if not any(map(skip_at, own.values())):
            found.append(EvaluatedField(name, name in trained, own))
    if names and not found:
        must = "at least one that was not skipped"
        raise DataError(must_be("evaluated fields", must, listed(names), "mend their cubes"))
    return found


def evaluation_rows(split: Split, trained: bool) -> np.ndarray:
    """Selected rows, and of a field that trained only the test split, bool (n,)."""
    return split.selected & (split.split == TEST) if trained else split.selected.copy()


def eligible_objects(sequences: SequenceSet, fields: Sequence[EvaluatedField]) -> np.ndarray:
    """Objects that nothing was trained on, int64 (n,): of fields that trained, the test split."""
    counts = [len(store) for store in sequences.stores]
    trained = np.repeat([f.trained for f in fields], counts).astype(bool)
    return np.flatnonzero(~trained | (sequences.split == TEST))


def draw(candidates: Sequence[np.ndarray], most: int, seed: int) -> list[np.ndarray]:
    """Draw at most `most` of all fields' rows, each as likely as any other.

    Parameters
    ----------
    candidates : sequence of int (m,)
        Rows of each field.
    most : int
        Objects drawn at most, over all fields.
    seed : int
        Seed of the draw.

    Returns
    -------
    list of int (k,)
        Ascending rows of each field.
    """
    which = np.repeat(np.arange(len(candidates)), [len(rows) for rows in candidates])
    rows = np.concatenate(
        [np.asarray(r, dtype=np.int64) for r in candidates] or [np.empty(0, np.int64)]
    )
    if len(rows) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
        which, rows = which[chosen], rows[chosen]
    return [np.sort(rows[which == i]) for i in range(len(candidates))]


def described(fields: Sequence[EvaluatedField]) -> str:
    """The fields in words, and what of them counts."""
    held = [f.name for f in fields if not f.trained]
    tested = [f.name for f in fields if f.trained]
    parts = []
    if held:
        parts.append(f"all selected objects of {listed(held)}, where nothing was trained")
    if tested:
        parts.append(f"the test split of {listed(tested)}")
    return "; ".join(parts) or "no field"


def check_ids(cube_ids: np.ndarray, rows: np.ndarray, ids: np.ndarray, path: Path) -> None:
    """Raise `FormatError` where the tokens' ids are not the cube's in the same rows."""
    inside = bool(np.all(rows < len(cube_ids))) if len(rows) else True
    if not inside or not np.array_equal(cube_ids[rows], ids):
        raise FormatError(
            must_be(f"ids of {path.name}", "those of the cube's rows", "others", "encode again")
        )


def check_codes(
    cube: Cube, what: str, stored: np.ndarray, now: np.ndarray, rule: str, most: int = 0
) -> None:
    """Raise `FormatError` where codes are not those of the cube as it is now.

    Parameters
    ----------
    cube : Cube
        The cube.
    what : str
        What was encoded, for the error.
    stored, now : uint16 (n, L)
        Codes as they were stored, and of the cube's values; objects in the same order.
    rule : str
        The rule that stores them.
    most : int
        Codes of an object that may differ, where two machines may round differently.
    """
    if ((stored != now).sum(axis=1) > most).any():
        was, found = (hash_arrays({"codes": np.asarray(codes)}) for codes in (stored, now))
        must, do = f"those of {cube.path.name} as it is now, of hash {found}", f"run {rule} again"
        raise FormatError(must_be(f"field {cube.field}: codes of {what}", must, was, do))


def check_cutouts(cube: Cube, stored: np.ndarray, now: np.ndarray, rule: str) -> None:
    """`check_codes` of cutouts: of other pixels nearly all codes differ, on another GPU a few."""
    check_codes(cube, "cutouts", stored, now, rule, most=stored.shape[1] // 2)


def coded_scalars(
    cube: Cube, coder: ScalarTokenizer, rows: np.ndarray, stored: np.ndarray, rule: str
) -> np.ndarray:
    """Scalars of some rows of a cube, float64 (n, C), NaN where missing.

    Raises
    ------
    FormatError
        Where `stored`, uint16 (n, C), are not their codes: the cube has changed since.
    """
    values = cube.scalars(coder.columns)[rows]
    check_codes(cube, "scalars", stored, coder.encode(values), rule)
    return values


def check_scalars(cube: Cube, objects: Encoded, coder: ScalarTokenizer) -> None:
    """Raise `FormatError` where scalars in sequences are not the cube's in the same rows.

    Parameters
    ----------
    cube : Cube
        The cube, of the same ids.
    objects : Encoded
        Objects of its field.
    coder : ScalarTokenizer
        What their scalars were encoded with.
    """
    coded = objects[objects.has(SCALAR)]
    coded_scalars(cube, coder, coded.row, coded.codes(SCALAR), PACKED.format("encode_scalars"))


def listed(names: Sequence[str], most: int = 6) -> str:
    """The first few names in words, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def read_kinds(cube: Cube, labels: LabelSettings) -> np.ndarray:
    """Class of every row of a cube, without what stands in brackets.

    Returns
    -------
    unicode (n,)
        Empty where it is missing or unreliable, or there is no such column.

    Raises
    ------
    DataError
        Where the column holds no text.
    """
    if labels.kind is None:
        return np.full(cube.n_rows, "", dtype="U1")
    return base_class(cube.text(labels.kind))


def has_class(kinds: np.ndarray, labels: LabelSettings) -> np.ndarray:
    """Which of some classes, unicode (n,), say what a source is, bool (n,)."""
    return (kinds != "") & ~np.isin(kinds, labels.unclear)


def cosmological(redshifts: np.ndarray, kinds: np.ndarray, labels: LabelSettings) -> np.ndarray:
    """Redshifts that tell a distance.

    Parameters
    ----------
    redshifts : float64 (n,)
        Spectroscopic redshifts.
    kinds : unicode (n,)
        What `read_kinds` gives. A source without a class keeps its redshift.
    labels : LabelSettings
        Classes of stars, whose redshift is a velocity, and classes that say nothing.

    Returns
    -------
    float64 (n,)
        NaN where a redshift is none, or at most -1.
    """
    meant = (redshifts > -1) & ~np.isin(kinds, (*labels.stars, *labels.unclear))
    return np.where(meant, redshifts, np.nan)
