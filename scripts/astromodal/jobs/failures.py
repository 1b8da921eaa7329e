"""Fields that were skipped, with one note per field and rule, and jobs that were killed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from astromodal.config.schema import Config
from astromodal.core.fields import cube_template, layout
from astromodal.core.paths import WHOLE
from astromodal.errors import ConfigError, must_be
from astromodal.storage.formats import Skip, skip_at
from astromodal.storage.hashing import FileVersion
from astromodal.storage.json_files import read_json, write_json

FOLDER: Final = "ASTROMODAL_SKIPPED"
"""Environment variable of jobs: the folder of notes. No field is skipped where it is empty.

It is no parameter of a rule, because the results of good cubes do not depend on it.
"""
_BUILDS: Final = "build_cube"
"""The rule that builds a cube, from what a stamp stands for."""
_KILLED: Final = re.compile(r"\.(\w+)\.py' died with <Signals\.SIGKILL: 9>")


@dataclass(frozen=True)
class Note:
    """A skipped field, the version of its cube, and the outputs that record the skip."""

    skip: Skip
    version: FileVersion
    outputs: tuple[str, ...]


def note_path(folder: str | Path, field: str, rule: str) -> Path:
    """Return the path of the note that a rule skipped a field."""
    return Path(folder) / f"{field}.{rule}.json"


def write_note(folder: str | Path, note: Note) -> None:
    """Write the note of a skipped field."""
    write_json(note_path(folder, note.skip.field, note.skip.rule), asdict(note))


def read_notes(folder: str | Path, fields: Collection[str]) -> list[Note]:
    """Return the notes of these fields, sorted by name.

    A note whose outputs were deleted or made since does not count.
    """
    notes = []
    for path in sorted(Path(folder).glob("*.json")):
        stored = read_json(path)
        skip, version = Skip(**stored["skip"]), FileVersion(**stored["version"])
        if skip.field in fields and all(map(skip_at, stored["outputs"])):
            notes.append(Note(skip, version, tuple(stored["outputs"])))
    return notes


def skipped(folder: str | Path, fields: Collection[str]) -> Iterator[str]:
    """Yield one line per skipped field and error, with the rules that met the error."""
    met: dict[tuple[str, str], list[str]] = {}
    for note in read_notes(folder, fields):
        met.setdefault((note.skip.field, note.skip.error), []).append(note.skip.rule)
    for (field, error), rules in met.items():
        yield str(Skip(field, ", ".join(rules), error))


def check_skipped(config: Config, folder: str | Path, fields: Collection[str]) -> None:
    """Refuse the outputs of skipped fields where ``on_bad_field`` is no longer ``skip``.

    A cube that has changed since is read again.

    Raises
    ------
    ConfigError
        Where the cube of a skipped field is unchanged.
    """
    if config.on_bad_field == "skip":
        return
    for note in read_notes(folder, fields):
        cube = _judged(config, note.skip)
        if cube.exists() and FileVersion.of(cube) == note.version:
            outputs = ", ".join(note.outputs)
            do = f"repair or move what it read; to read it again as it is, delete {outputs}"
            raise ConfigError(must_be("on_bad_field", "skip", f"stop, but {note.skip}", do))


def _judged(config: Config, skip: Skip) -> Path:
    """Return the file whose version a note holds: a cube, or the stamp of what it is built from."""
    if skip.rule == _BUILDS:
        return Path(layout(config).stamp(WHOLE, skip.field))
    return Path(cube_template(config).format(field=skip.field))


def killed(logs: Iterable[str | Path]) -> Iterator[str]:
    """Yield one line per rule whose jobs were killed, with the likely reason.

    Parameters
    ----------
    logs : iterable of path
        Snakemake's logs of the run. They do not name killed jobs of a cluster, whose executor
        reports why a job ended.
    """
    texts = [Path(log).read_text(errors="replace") for log in logs]
    for rule, number in Counter(_KILLED.findall("".join(texts))).items():
        times = f" {number} times" if number > 1 else ""
        yield (
            f"rule {rule}: killed (SIGKILL){times}, as the kernel does where memory runs "
            "out; if so, run again with fewer --cores or on a machine with more memory"
        )
