"""What plans know of a user's cubes from their footers: read once, and again where a cube changed.

Names and kinds of the columns are kept beside the stamps. Cubes that have the same columns share
them, so that a survey of thousands of fields is looked at in no time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from astromodal.config.schema import Config
from astromodal.core.fields import RunFields, cube_template
from astromodal.core.files import read_json, write_json
from astromodal.core.hashing import hash_values
from astromodal.core.paths import Layout
from astromodal.core.version import FileVersion
from astromodal.data.check import Kinds, cube_errors, notices
from astromodal.errors import DataError, FormatError, machine_error

_THREADS = 8
"""Footers that are read at once: it is the disk that takes time."""
_MANY = 100
"""Cubes of which the plan says that it reads their footers."""
_SHOWN = 20
"""Errors that are shown."""


@dataclass(frozen=True)
class _Known:
    """What is known of a cube: its version, and its columns or why they cannot be read."""

    version: FileVersion
    kinds: Kinds = ()
    error: str | None = None


def check_cubes(
    config: Config, paths: Layout, fields: RunFields, say: Callable[[str], None]
) -> None:
    """Say what the footers of all cubes tell.

    Parameters
    ----------
    config : Config
        Names the cubes and the columns that are read of them.
    paths : Layout
        Where the columns are kept.
    fields : RunFields
        The fields.
    say : callable
        Takes a line for everything that is worth knowing; of the errors of cubes too, where
        ``on_bad_field`` is ``skip``.

    Raises
    ------
    DataError
        Where a job on some cube would end with an error, with the errors of all cubes.
    """
    template = cube_template(config)
    files = {field: Path(template.format(field=field)) for field in fields.used}
    known = _look(paths.cube_columns, files, say)
    cubes = {field: each.kinds for field, each in known.items() if each.error is None}
    errors = list(_errors(known, files, config))
    if errors and config.on_bad_field == "stop":
        more = f"\n… and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        raise DataError("\n".join(errors[:_SHOWN]) + more)
    for line in (*errors, *notices(cubes, config, fields.tokenizers)):
        say(line)


def _errors(
    known: Mapping[str, _Known], files: Mapping[str, Path], config: Config
) -> Iterator[str]:
    """Errors of all cubes, one line for those that have the same columns."""
    alike: dict[Kinds, list[str]] = defaultdict(list)
    for field, each in known.items():
        if each.error is not None:
            yield each.error
        else:
            alike[each.kinds].append(field)
    for kinds, fields in alike.items():
        others = f" (and in {len(fields) - 1} more fields)" if len(fields) > 1 else ""
        for error in cube_errors(fields[0], files[fields[0]].name, kinds, config):
            yield error + others


def _look(path: str, files: Mapping[str, Path], say: Callable[[str], None]) -> dict[str, _Known]:
    """Columns of all cubes: as they were where size and time stand, or read."""
    before = _read_known(path)
    versions = {field: FileVersion.of(file) for field, file in files.items()}
    new = [f for f, v in versions.items() if f not in before or before[f].version != v]
    if len(new) >= _MANY:
        say(f"reading the names of the columns of {len(new):,} cubes")
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(new, pool.map(lambda f: _footer(f, files[f]), new), strict=True))
    if found:
        _write_known(path, {**before, **found})
    return {field: found.get(field) or before[field] for field in files}


def _footer(field: str, file: Path) -> _Known:
    from astromodal.data.footer import Footer  # here: most plans read no parquet

    version = FileVersion.of(file)
    try:
        return _Known(version, tuple(Footer(file, field).kinds()))
    except (DataError, OSError) as error:
        return _Known(version, error=str(machine_error(error, file) or error))


def _read_known(path: str) -> dict[str, _Known]:
    """What is known of cubes; nothing where the file is lost or of an earlier release."""
    try:
        stored: dict[str, Any] = read_json(path)
        kinds = {
            key: tuple((str(name), str(kind)) for name, kind in columns)
            for key, columns in stored["columns"].items()
        }
        return {
            field: _Known(FileVersion(**each["version"]), kinds[each["columns"]])
            for field, each in stored["cubes"].items()
        }
    except (OSError, FormatError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _write_known(path: str, known: Mapping[str, _Known]) -> None:
    """Write down what is known; a cube that cannot be read is looked at again by the next plan."""
    readable = {field: each for field, each in known.items() if each.error is None}
    keys = {kinds: hash_values(kinds) for kinds in {each.kinds for each in readable.values()}}
    cubes = {
        field: {"version": asdict(each.version), "columns": keys[each.kinds]}
        for field, each in readable.items()
    }
    write_json(path, {"columns": {key: kinds for kinds, key in keys.items()}, "cubes": cubes})
