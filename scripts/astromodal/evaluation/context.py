"""The context of an evaluation: its objects, with samples, checks and labels; settings; model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astromodal.config.evaluate import LabelSettings
from astromodal.config.schema import ColumnSettings, Config
from astromodal.core.loops import Progress, quiet
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, Split, load_split
from astromodal.data.values import base_class
from astromodal.errors import DataError, FormatError, must_be
from astromodal.sequences.layout import SCALAR
from astromodal.storage.formats import skip_at
from astromodal.storage.hashing import hash_arrays
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

if TYPE_CHECKING:
    import torch

    from astromodal.inference.encode import Encoded
    from astromodal.inference.model import AstroModel
    from astromodal.sequences.dataset import SequenceSet


PACKED = "{} and pack_sequences"
"""The rules to run again for the codes in sequences, after the rule that encodes."""


@dataclass(frozen=True)
class EvaluatedField:
    """A field to evaluate on, with the files that a section needs.

    Attributes
    ----------
    name : str
        The field.
    trained : bool
        Whether anything was trained on it. If so, only its test split is evaluated.
    files : dict of str to path
        Some of ``cube``, ``split``, ``tokens``, ``latents``, ``sequences``.
    """

    name: str
    trained: bool
    files: dict[str, Path] = field(default_factory=dict)

    def open(self, columns: ColumnSettings) -> Cube:
        """Open the field's datacube."""
        return Cube(self.files["cube"], self.name, columns)

    def rows(self) -> np.ndarray:
        """Return which rows of the cube are evaluated, bool (n,)."""
        return evaluation_rows(load_split(self.files["split"]), self.trained)


def evaluated_fields(
    names: Sequence[str], trained: Collection[str], **files: Sequence[str | Path]
) -> list[EvaluatedField]:
    """Return fields with their files, without the fields that were skipped.

    Parameters
    ----------
    names : sequence of str
        The fields.
    trained : collection of str
        Fields that something was trained on.
    **files : sequence of path
        Files of each kind, parallel to `names`.

    Raises
    ------
    FormatError
        Where there are not as many files of a kind as fields.
    DataError
        Where all fields were skipped.
    """
    for what, paths in files.items():
        if len(paths) != len(names):
            raise FormatError(
                must_be(f"files of {what!r}", f"{len(names)}, one per field", len(paths))
            )
    fields = []
    for i, name in enumerate(names):
        own = {what: Path(paths[i]) for what, paths in files.items()}
        if not any(map(skip_at, own.values())):
            fields.append(EvaluatedField(name, name in trained, own))
    if names and not fields:
        must = "at least one that was not skipped"
        raise DataError(must_be("evaluated fields", must, listed(names), "repair their cubes"))
    return fields


def evaluation_rows(split: Split, trained: bool) -> np.ndarray:
    """Return which rows are evaluated, bool (n,).

    These are all selected rows, or those in the test split where something was trained.
    """
    return split.selected & (split.split == TEST) if trained else split.selected.copy()


def eligible_objects(sequences: SequenceSet, fields: Sequence[EvaluatedField]) -> np.ndarray:
    """Return the numbers of the objects that nothing was trained on, int64 (n,).

    In fields that were trained on, these are the objects of the test split.
    """
    counts = [len(store) for store in sequences.stores]
    trained = np.repeat([f.trained for f in fields], counts).astype(bool)
    return np.flatnonzero(~trained | (sequences.split == TEST))


def sample_rows(candidates: Sequence[np.ndarray], most: int, seed: int) -> list[np.ndarray]:
    """Sample rows of all fields uniformly, without replacement.

    Parameters
    ----------
    candidates : sequence of int (m,)
        Rows of each field.
    most : int
        Largest number of sampled rows, over all fields.
    seed : int
        Seed of the sample.

    Returns
    -------
    list of int (k,)
        Sampled rows of each field, ascending.
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
    """Return the fields in words, with which of their objects are evaluated."""
    held = [f.name for f in fields if not f.trained]
    tested = [f.name for f in fields if f.trained]
    phrases = []
    if held:
        phrases.append(f"all selected objects of {listed(held)}, where nothing was trained")
    if tested:
        phrases.append(f"the test split of {listed(tested)}")
    return "; ".join(phrases) or "no field"


def check_ids(cube_ids: np.ndarray, rows: np.ndarray, ids: np.ndarray, path: Path) -> None:
    """Raise `FormatError` unless the ids of tokens are those of the cube in the same rows."""
    inside = bool(np.all(rows < len(cube_ids))) if len(rows) else True
    if not inside or not np.array_equal(cube_ids[rows], ids):
        raise FormatError(
            must_be(f"ids of {path.name}", "those of the cube's rows", "others", "encode again")
        )


def check_codes(
    cube: Cube, what: str, stored: np.ndarray, now: np.ndarray, rule: str, most: int = 0
) -> None:
    """Raise `FormatError` unless stored codes are those of the cube's present values.

    Parameters
    ----------
    cube : Cube
        The cube.
    what : str
        Name of what was encoded, for the error.
    stored, now : uint16 (n, L)
        Stored codes, and codes of the present values, of the same objects.
    rule : str
        The rule that stores codes.
    most : int
        Number of codes of an object that may differ, because machines round differently.
    """
    if ((stored != now).sum(axis=1) > most).any():
        was, present = (hash_arrays({"codes": np.asarray(codes)}) for codes in (stored, now))
        must, do = f"those of {cube.path.name} as it is now, of hash {present}", f"run {rule} again"
        raise FormatError(must_be(f"field {cube.field}: codes of {what}", must, was, do))


def check_cutouts(cube: Cube, stored: np.ndarray, now: np.ndarray, rule: str) -> None:
    """Check the codes of cutouts like `check_codes`, but allow half of the codes to differ.

    On another GPU a few codes differ; for other pixels nearly all do.
    """
    check_codes(cube, "cutouts", stored, now, rule, most=stored.shape[1] // 2)


def coded_scalars(
    cube: Cube, coder: ScalarTokenizer, rows: np.ndarray, stored: np.ndarray, rule: str
) -> np.ndarray:
    """Read scalars of some rows of a cube, float64 (n, C); NaN where missing.

    Raises
    ------
    FormatError
        Where `stored`, uint16 (n, C), are not their codes, because the cube was changed.
    """
    values = cube.scalars(coder.columns)[rows]
    check_codes(cube, "scalars", stored, coder.encode(values), rule)
    return values


def check_scalars(cube: Cube, objects: Encoded, coder: ScalarTokenizer) -> None:
    """Raise `FormatError` unless scalar codes in sequences are those of the cube's rows.

    Parameters
    ----------
    cube : Cube
        The cube, with the same ids.
    objects : Encoded
        Objects of its field.
    coder : ScalarTokenizer
        The tokenizer of their scalars.
    """
    coded = objects[objects.has(SCALAR)]
    coded_scalars(cube, coder, coded.row, coded.codes(SCALAR), PACKED.format("encode_scalars"))


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return the first names in words, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def read_kinds(cube: Cube, labels: LabelSettings) -> np.ndarray:
    """Read the class of every row of a cube, without the part in brackets.

    Returns
    -------
    unicode (n,)
        Empty where the class is missing or unreliable, or the cube has no such column.

    Raises
    ------
    DataError
        Where the column does not hold text.
    """
    if labels.kind is None:
        return np.full(cube.n_rows, "", dtype="U1")
    return base_class(cube.text(labels.kind))


def has_class(kinds: np.ndarray, labels: LabelSettings) -> np.ndarray:
    """Return which of `kinds`, unicode (n,), are the class of a source, bool (n,)."""
    return (kinds != "") & ~np.isin(kinds, labels.unclear)


def cosmological(redshifts: np.ndarray, kinds: np.ndarray, labels: LabelSettings) -> np.ndarray:
    """Return the redshifts that are cosmological, without those of stars.

    Parameters
    ----------
    redshifts : float64 (n,)
        Spectroscopic redshifts.
    kinds : unicode (n,)
        Classes, as `read_kinds` returns them. A source without a class keeps its redshift.
    labels : LabelSettings
        Classes of stars, whose redshift is a velocity, and unclear classes.

    Returns
    -------
    float64 (n,)
        NaN for stars, for unclear classes, and where the redshift is -1 or less.
    """
    cosmic = (redshifts > -1) & ~np.isin(kinds, (*labels.stars, *labels.unclear))
    return np.where(cosmic, redshifts, np.nan)


@dataclass(frozen=True)
class EvaluationContext:
    """The inputs that the evaluations of all sections have in common.

    Attributes
    ----------
    fields : sequence of EvaluatedField
        The fields, with the files that the section reads.
    settings : Config
        Settings of the run; in a job only those that its rule names.
    figures : path
        Folder for the section's figures.
    progress : Progress
        Wraps long loops.
    device : torch.device, optional
        Where networks run; None: on the CPU.
    """

    fields: Sequence[EvaluatedField]
    settings: Config
    figures: Path
    progress: Progress = quiet
    device: torch.device | None = None


# A class of its own: a job that does not run the model must not depend on the model's code.
@dataclass(frozen=True)
class ModelContext(EvaluationContext):
    """The inputs of a section that evaluates the trained model.

    Attributes
    ----------
    run : path
        Folder of the trained model.
    """

    run: Path = field(kw_only=True)

    @cached_property
    def model(self) -> AstroModel:
        """The trained model, loaded when it is first used."""
        from astromodal.inference.model import AstroModel

        return AstroModel.from_run(self.run, self.device or "cpu", self.settings.predict)
