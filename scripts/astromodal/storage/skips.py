"""Fields that a run leaves out because their cubes are bad.

Each output of a job that met a bad cube is a short text in place of what it should be, which names
the field, the rule and the error. Whatever reads it raises a `SkippedError` that says so. A job on
the same field then leaves such texts in its turn, a job on many fields leaves the field out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from astromodal.errors import DataError, must_be

SKIPPED: Final = "skipped"
"""Format of such a text, with which it begins."""
_HEAD = f'{{\n  "format": "{SKIPPED}"'.encode()
_LONGEST = 1 << 20  # byte


@dataclass(frozen=True)
class Skip:
    """Why a field was skipped: its name, the rule that met the error, and the error."""

    field: str
    rule: str
    error: str

    def __str__(self) -> str:
        return f"field {self.field} was skipped by {self.rule}: {self.error.rstrip('.')}"


class SkippedError(DataError):
    """What should have been made of a field was not, because its cube is bad."""

    def __init__(self, skip: Skip) -> None:
        super().__init__(str(skip))
        self.skip = skip


def skip_at(path: str | Path) -> Skip | None:
    """Why such a text lies at a path; None where anything else does, or nothing."""
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as stream:
        if stream.read(len(_HEAD)) != _HEAD:
            return None
        stream.seek(0)
        try:
            told = json.loads(stream.read(_LONGEST))
            return Skip(*(str(told[name]) for name in ("field", "rule", "error")))
        except (ValueError, KeyError, RecursionError):
            return None  # damaged: whatever reads it says so


def refuse_skipped(path: str | Path) -> None:
    """Raise `SkippedError` where such a text lies at a path."""
    if skip := skip_at(path):
        raise SkippedError(skip)


def usable(paths: Sequence[str | Path]) -> list[str]:
    """Those of some fields' files that are more than such a text.

    Raises
    ------
    DataError
        Where there are files, and none of them is.
    """
    skips = list(map(skip_at, paths))
    left = [str(path) for path, skip in zip(paths, skips, strict=True) if skip is None]
    if paths and not left:
        must = "at least one field that was not skipped"
        raise DataError(must_be("what this job reads", must, str(skips[0]), "mend the cubes"))
    return left
