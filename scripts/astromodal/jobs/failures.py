"""Fields that were skipped, with one note per field and rule, and jobs that were killed."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from astromodal.config.inputs import is_address
from astromodal.config.schema import Config
from astromodal.core.fields import cube_template, layout
from astromodal.core.paths import WHOLE
from astromodal.core.stored import Files
from astromodal.errors import ConfigError, must_be
from astromodal.storage.formats import Skip, skip_at
from astromodal.storage.hashing import FileVersion
from astromodal.storage.json_files import read_json, write_json

VARIABLE: Final = "ASTROMODAL_SKIPPED"
"""Environment variable of jobs: as JSON, by results folder, the folder of notes.

No field is skipped where the name of the folder of notes is empty. The variable is no parameter of
a rule, because the results of good cubes do not depend on it.
"""
_KILLED: Final = re.compile(r"\.(\w+)\.py' died with <Signals\.SIGKILL: 9>")


@dataclass(frozen=True)
class Note:
    """A skipped field, the version of its cube, and the outputs that record the skip."""

    skip: Skip
    version: FileVersion
    outputs: tuple[str, ...]


def allow_skips(
    results: str, notes: str, allowed: bool, environment: MutableMapping[str, str]
) -> None:
    """Let the jobs of a results folder skip bad fields, or not.

    Parameters
    ----------
    results, notes : str
        The folders of the results and of the notes.
    allowed : bool
        Whether bad fields are skipped.
    environment : mapping
        ``os.environ``; jobs inherit it. A workflow with several modules has several results
        folders.
    """
    known = json.loads(environment.get(VARIABLE) or "{}")
    environment[VARIABLE] = json.dumps({**known, results: notes if allowed else ""})


def notes_of(outputs: Iterable[str], environment: Mapping[str, str]) -> str:
    """Return the folder of notes for a job with these outputs; empty where none is skipped."""
    known: dict[str, str] = json.loads(environment.get(VARIABLE) or "{}")
    if len(known) == 1:  # also where a storage plugin gives outputs another path
        return next(iter(known.values()))
    above = {str(folder) for output in outputs for folder in Path(output).parents}
    return known.get(max(above & known.keys(), key=len, default=""), "")


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


def check_skipped(
    config: Config, folder: str | Path, fields: Collection[str], files: Files | None = None
) -> None:
    """Refuse the outputs of skipped fields where ``on_bad_field`` is no longer ``skip``.

    A cube that has changed since is read again.

    Parameters
    ----------
    config : Config
        Its settings name the cubes.
    folder : path
        The folder of notes.
    fields : collection of str
        The fields of the run.
    files : Files, optional
        Returns when a cube on an object store was written.

    Raises
    ------
    ConfigError
        Where the cube of a skipped field is unchanged.
    """
    if config.on_bad_field == "skip":
        return
    for note in read_notes(folder, fields):
        if _unchanged(config, note, Path(folder), files or Files()):
            outputs = ", ".join(note.outputs)
            do = f"repair or move what it read; to read it again as it is, delete {outputs}"
            raise ConfigError(must_be("on_bad_field", "skip", f"stop, but {note.skip}", do))


def _unchanged(config: Config, note: Note, folder: Path, files: Files) -> bool:
    """Return whether the file whose version a note holds is still of that version.

    It is a cube, or the stamp of what a cube is built from. The note of a stored cube holds the
    version of a local copy: the cube is unchanged if it was written before the note.
    """
    field = note.skip.field
    cube = cube_template(config).format(field=field)
    if is_address(cube):
        written = note_path(folder, field, note.skip.rule).stat().st_mtime
        return (files.time(cube) or math.inf) <= written
    path = Path(layout(config).stamp(WHOLE, field) if cube in note.outputs else cube)
    return path.exists() and FileVersion.of(path) == note.version


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
