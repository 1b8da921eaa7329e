"""Notes of the fields that were skipped, one a field and rule, and what a plan makes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from astromodal.config.schema import Config
from astromodal.core.fields import cube_template
from astromodal.errors import ConfigError, must_be
from astromodal.storage.hashing import FileVersion
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.skips import Skip, skip_at

FOLDER: Final = "ASTROMODAL_SKIPPED"
"""Variable of a job's environment: the folder of notes. Where it is empty, nothing is skipped.

Not a parameter of jobs: what good cubes become does not depend on what is done about bad ones.
"""


@dataclass(frozen=True)
class Note:
    """A skip, the version of the cube that it is of, and the outputs that stand for it."""

    skip: Skip
    version: FileVersion
    outputs: tuple[str, ...]


def note_path(folder: str | Path, field: str, rule: str) -> Path:
    """Where a rule notes that it skipped a field."""
    return Path(folder) / f"{field}.{rule}.json"


def write_note(folder: str | Path, note: Note) -> None:
    """Note down a skip."""
    write_json(note_path(folder, note.skip.field, note.skip.rule), asdict(note))


def read_notes(folder: str | Path, fields: Collection[str]) -> list[Note]:
    """Notes of these fields, sorted by name; not of what has been made since, or deleted."""
    found = []
    for path in sorted(Path(folder).glob("*.json")):
        stored = read_json(path)
        skip, version = Skip(**stored["skip"]), FileVersion(**stored["version"])
        if skip.field in fields and all(map(skip_at, stored["outputs"])):
            found.append(Note(skip, version, tuple(stored["outputs"])))
    return found


def skipped(folder: str | Path, fields: Collection[str]) -> Iterator[str]:
    """A line for each field that was skipped and each error, with the rules that met it."""
    met: dict[tuple[str, str], list[str]] = {}
    for note in read_notes(folder, fields):
        met.setdefault((note.skip.field, note.skip.error), []).append(note.skip.rule)
    for (field, error), rules in met.items():
        yield str(Skip(field, ", ".join(rules), error))


def check_skipped(config: Config, folder: str | Path, fields: Collection[str]) -> None:
    """Raise `ConfigError` where fields were skipped, none may be now, and their cubes still stand.

    A cube that is another by now is read again.
    """
    if config.on_bad_field == "skip":
        return
    for note in read_notes(folder, fields):
        cube = Path(cube_template(config).format(field=note.skip.field))
        if cube.exists() and FileVersion.of(cube) == note.version:
            outputs = ", ".join(note.outputs)
            do = f"mend or move the cube; to read it again as it is, delete {outputs}"
            raise ConfigError(must_be("on_bad_field", "skip", f"stop, but {note.skip}", do))
