"""Snakemake's notes of the jobs that made files: inputs and parameters, to compare with a plan's.

The notes lie in the working folder, one a file, and name the file and its inputs by the paths that
a plan has for them. An inventory keeps them by paths that hold wherever the results are copied to.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(".snakemake")
"""Snakemake's own folder, in the working folder."""
_KEPT: Final = (
    "rule",
    "input",
    "params",
    "record_format_version",
    "software_stack_hash",
    "input_checksums",
)
"""What is kept of a note: all that the triggers of profiles/default compare."""
_RESULT, _CUBE = "results:", "cube:"
_LONGEST: Final = 255
"""Letters of a file's name."""


class Places:
    """Where a plan has its files.

    Parameters
    ----------
    results : str
        The results folder, as the plan names it.
    cubes : mapping of str to str
        Path of each field's cube, where the cubes are a user's.
    """

    def __init__(self, results: str, cubes: Mapping[str, str] | None = None) -> None:
        self.results = results
        self.cubes = dict(cubes or {})
        self._fields = {path: name for name, path in self.cubes.items()}

    def kept(self, path: str) -> str:
        """A path as an inventory keeps it."""
        if path in self._fields:
            return f"{_CUBE}{self._fields[path]}"
        inside = path.startswith(f"{self.results}/")
        return f"{_RESULT}{path[len(self.results) + 1 :]}" if inside else path

    def here(self, kept: str) -> str:
        """The path that this plan has for what an inventory keeps."""
        if kept.startswith(_CUBE):
            return self.cubes.get(kept.removeprefix(_CUBE), kept)
        if kept.startswith(_RESULT):
            return f"{self.results}/{kept.removeprefix(_RESULT)}"
        return kept


def read_note(places: Places, name: str) -> str | None:
    """Snakemake's note of a file below the results folder, as an inventory keeps it; if any."""
    stored = _read(_note_path(f"{places.results}/{name}"))
    try:
        return None if stored is None else json.dumps(_renamed(stored, places.kept))
    except (KeyError, TypeError, AttributeError):
        return None


def write_note(places: Places, name: str, note: str) -> bool:
    """Write what an inventory keeps as Snakemake's note; whether its own was another or none."""
    values = _renamed(json.loads(note), places.here)
    path = _note_path(f"{places.results}/{name}")
    if {key: (_read(path) or {}).get(key) for key in values} == values:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return True


def make_folders() -> None:
    """Make the folders of Snakemake's notes; with one of them alone it would convert the other."""
    for name in ("metadata", "incomplete"):
        (FOLDER / name).mkdir(parents=True, exist_ok=True)


def _renamed(values: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """What is kept of a note, with other paths."""
    found = {key: values[key] for key in _KEPT}
    found["input"] = sorted(map(rename, found["input"]))
    sums = found["input_checksums"] or {}
    found["input_checksums"] = {rename(path): value for path, value in sums.items()}
    return found


def _read(path: Path) -> dict[str, Any] | None:
    try:
        stored = json.loads(path.read_text())
        return stored if isinstance(stored, dict) else None
    except (OSError, ValueError):  # none, or being written
        return None


def _note_path(name: str) -> Path:
    """Where Snakemake keeps its note of a file: a long name takes folders."""
    text = urlsafe_b64encode(name.encode()).decode()
    pieces = [text[i : i + _LONGEST - 1] for i in range(0, len(text), _LONGEST - 1)]
    return Path(FOLDER, "metadata", *(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
