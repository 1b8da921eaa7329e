"""Skip notes: files that stand in for the outputs of a job whose cube is bad.

A skip note is a short JSON text that names the field, the rule and the error. Reading it as the
output raises a `SkippedError`. A later job on the same field then writes skip notes too; a job on
many fields leaves the field out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from astromodal.errors import DataError, must_be

SKIPPED: Final = "skipped"
"""Format of a skip note, with which the file begins."""
_HEAD = f'{{\n  "format": "{SKIPPED}"'.encode()
_LONGEST = 1 << 20  # byte


@dataclass(frozen=True)
class Skip:
    """A skipped field, the rule that failed on it, and the error message."""

    field: str
    rule: str
    error: str

    def __str__(self) -> str:
        return f"field {self.field} was skipped by {self.rule}: {self.error.rstrip('.')}"


class SkippedError(DataError):
    """An output of a field does not exist because its cube is bad."""

    def __init__(self, skip: Skip) -> None:
        super().__init__(str(skip))
        self.skip = skip


def skip_at(path: str | Path) -> Skip | None:
    """Read the skip note at a path; return None if the file is another one or does not exist."""
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as stream:
        if stream.read(len(_HEAD)) != _HEAD:
            return None
        stream.seek(0)
        try:
            note = json.loads(stream.read(_LONGEST))
            return Skip(*(str(note[name]) for name in ("field", "rule", "error")))
        except (ValueError, KeyError, RecursionError):
            return None  # damaged; readers of the file raise an error


def refuse_skipped(path: str | Path) -> None:
    """Raise `SkippedError` if the file at a path is a skip note."""
    if skip := skip_at(path):
        raise SkippedError(skip)


def usable(paths: Sequence[str | Path]) -> list[str]:
    """Return those files of several fields that are not skip notes.

    Raises
    ------
    DataError
        If all of the files are skip notes.
    """
    skips = list(map(skip_at, paths))
    left = [str(path) for path, skip in zip(paths, skips, strict=True) if skip is None]
    if paths and not left:
        must = "at least one field that was not skipped"
        raise DataError(must_be("what this job reads", must, str(skips[0]), "repair the cubes"))
    return left
