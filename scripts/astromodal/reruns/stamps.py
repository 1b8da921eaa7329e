"""Stamps of users' cubes, and the checks of their columns, both of which every plan makes.

A stamp is a small file that changes when the columns of one modality in a cube change. Snakemake
itself reruns all jobs of a field whose cube is newer than their outputs, even if the cube was only
copied, or only one column changed. The rules therefore take as inputs the stamps of the modalities
that their job reads, and ignore the time of the cube. A plan updates the stamps:

- While the size and time of a cube stay the same, so do its stamps, and the cube is not read.
- A new cube gets stamps and is not read.
- Where the size or time changed, the digest of each column is compared with the digest from the
  time when the field was summarised. The stamp of a modality changes only if one of its columns
  changed, or if no earlier digest is known.

Two plans at the same time write the same stamps. A job that makes samples or codes from a cube
checks at its end that the cube has not changed meanwhile.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from astromodal.config.schema import Config
from astromodal.core.fields import RunFields, cube_template
from astromodal.core.paths import MODALITIES, Layout
from astromodal.data.check import Kinds, cube_errors, notices
from astromodal.errors import DataError, FormatError, machine_error, must_be
from astromodal.storage.hashing import FileVersion, hash_values
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import storing, write_text

_AHEAD = 60 * 10**9
"""Time (ns) by which a cube's time may be ahead of this machine's clock."""
_REMEMBERED = 4
"""Number of earlier states of a modality whose stamps are restored with their columns."""


@dataclass
class _Known:
    """The stamps and column digests of a field's cube.

    Attributes
    ----------
    version : FileVersion
        Size and time of the cube that the stamps belong to.
    stamps : dict
        Text of each modality's stamp.
    digests : dict, optional
        Digest of each column; None if the cube was not read.
    earlier : dict
        By modality, texts of earlier stamps by the digests of their columns.
    """

    version: FileVersion
    stamps: dict[str, str]
    digests: dict[str, str] | None = None
    earlier: dict[str, dict[str, str]] = field(default_factory=dict)


def refresh_stamps(
    config: Config, paths: Layout, fields: Sequence[str], say: Callable[[str], None]
) -> None:
    """Update the stamps of all fields.

    Parameters
    ----------
    config : Config
        Its settings name the cubes and the columns that jobs read.
    paths : Layout
        The paths of stamps and summaries.
    fields : sequence of str
        The fields.
    say : callable
        Receives one line per cube that has to be read.

    Raises
    ------
    DataError
        Where the time of a cube lies in the future.
    MachineError
        Where stamps cannot be written.
    """
    index, template = _read_index(paths.stamps), cube_template(config)
    present, updated = _names(Path(paths.stamps).parent), dict[str, _Known]()
    for name in fields:
        cube = Path(template.format(field=name))
        version, known = FileVersion.of(cube), index.get(name)
        _require_past(name, cube, version)
        if known is None or known.version != version:
            known = updated[name] = _next(config, paths, name, cube, version, known, say)
        for modality, text in known.stamps.items():
            path = Path(paths.stamp(modality, name))
            if path.name not in present:  # thousands in a first plan: none is synced to disk
                with storing(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(f"{text}\n", encoding="utf-8")
            elif name in updated and path.read_text(encoding="utf-8") != f"{text}\n":
                write_text(path, f"{text}\n")
    if updated:
        merged = {**index, **updated}
        write_json(paths.stamps, {name: asdict(known) for name, known in merged.items()})


def _require_past(name: str, cube: Path, version: FileVersion) -> None:
    """Refuse a cube with a future time: Snakemake fails a job whose output is older than it."""
    ahead = version.mtime_ns - time.time_ns()
    if ahead > _AHEAD:
        got = f"a time that is {timedelta(seconds=ahead // 10**9)} ahead of this machine's clock"
        do = "set the clocks right, and touch it"
        raise DataError(must_be(f"field {name}: {cube}", "written in the past", got, do))


def _next(
    config: Config,
    paths: Layout,
    name: str,
    cube: Path,
    version: FileVersion,
    known: _Known | None,
    say: Callable[[str], None],
) -> _Known:
    """Return the stamps of a cube that is new, or whose size or time changed."""
    fresh = dict.fromkeys(MODALITIES, str(version))
    if known is None:
        return _Known(version, fresh)
    before = _summarised(paths.summary(name), known.version) or known.digests
    if before is None:
        say(f"field {name}: {cube.name} has changed, and there is no summary to compare it with")
        return _Known(version, fresh)
    say(f"field {name}: {cube.name} is newer; reading its {version.size / 1e6:,.0f} MB to compare")
    # Here: most plans read no parquet.
    from astromodal.data.columns import modality_columns, planned_columns

    columns = modality_columns(planned_columns(config))
    try:
        now = _digests(cube, name, config, columns)
    except DataError as error:  # the job that reads it reports the error
        say(str(error))
        return _Known(version, fresh)
    updated = _Known(version, fresh, now)
    for modality, names in columns.items():
        old, new = (_joined(digests, names) for digests in (before, now))
        earlier = {**known.earlier.get(modality, {}), old: known.stamps[modality]}
        updated.stamps[modality] = earlier.get(new, str(version))
        updated.earlier[modality] = dict(list(earlier.items())[-_REMEMBERED:])
    changed = [m for m in columns if updated.stamps[m] != known.stamps[m]]
    say(f"field {name}: changed: {', '.join(changed) or 'no column that a job reads'}")
    return updated


def _digests(
    path: Path, name: str, config: Config, columns: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    from astromodal.data.cube import Cube
    from astromodal.data.summary import column_digests

    wanted = [column for names in columns.values() for column in names]
    return column_digests(Cube(path, name, config.columns), wanted)


def _joined(digests: Mapping[str, str], names: Sequence[str]) -> str:
    """Join the digests of a modality's columns; an unknown digest equals no other."""
    return " ".join(digests.get(name, f"{name}?") for name in names)


def _summarised(path: str, version: FileVersion) -> dict[str, str] | None:
    """Return the column digests of the field's summary; None if it is of another cube."""
    try:
        content = read_json(path)["content"]
        same = FileVersion(content["size"], content["mtime_ns"]) == version
        return dict(content["columns"]) if same else None
    except (OSError, FormatError, KeyError, TypeError):
        return None  # missing, or of an earlier release: the jobs of the field rerun


def _read_index(path: str) -> dict[str, _Known]:
    """Return the index; empty where it is missing, so that every cube counts as new."""
    try:
        stored: dict[str, dict[str, Any]] = read_json(path)
        return {name: _read_known(known) for name, known in stored.items()}
    except (OSError, FormatError, KeyError, TypeError):
        return {}


def _read_known(stored: Mapping[str, Any]) -> _Known:
    """Return the index entry of a cube; an earlier release wrote fewer modalities."""
    version = FileVersion(**stored["version"])
    stamps = dict.fromkeys(MODALITIES, str(version)) | stored["stamps"]
    return _Known(**{**stored, "version": version, "stamps": stamps})


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()


_THREADS = 8
"""Footers read at once, since each read waits for the disk."""
_MANY = 100
"""Number of new cubes from which on the plan logs that it reads their footers."""
_SHOWN = 20
"""Errors shown, at most."""


@dataclass(frozen=True)
class _Cube:
    """Size and time of a cube, and its columns or the error that prevents reading them."""

    version: FileVersion
    kinds: Kinds = ()
    error: str | None = None


def check_cubes(
    config: Config, paths: Layout, fields: RunFields, say: Callable[[str], None]
) -> None:
    """Check the columns of all cubes, and log notices about them.

    Parameters
    ----------
    config : Config
        Its settings name the cubes and the columns that jobs read.
    paths : Layout
        The path of the index of columns.
    fields : RunFields
        The fields.
    say : callable
        Receives one line per notice, and per error where ``on_bad_field`` is ``skip``.

    Raises
    ------
    DataError
        Where a job would fail on a cube and ``on_bad_field`` is ``stop``; lists all errors.
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


def _errors(known: Mapping[str, _Cube], files: Mapping[str, Path], config: Config) -> Iterator[str]:
    """Yield the errors of all cubes, one line for all cubes with the same columns."""
    alike: dict[Kinds, list[str]] = defaultdict(list)
    for name, each in known.items():
        if each.error is not None:
            yield each.error
        else:
            alike[each.kinds].append(name)
    for kinds, fields in alike.items():
        others = f" (and in {len(fields) - 1} more fields)" if len(fields) > 1 else ""
        for error in cube_errors(fields[0], files[fields[0]].name, kinds, config):
            yield error + others


def _look(path: str, files: Mapping[str, Path], say: Callable[[str], None]) -> dict[str, _Cube]:
    """Return the columns of all cubes; read only those whose size or time changed."""
    before = _read_known_cubes(path)
    versions = {field: FileVersion.of(file) for field, file in files.items()}
    new = [f for f, v in versions.items() if f not in before or before[f].version != v]
    if len(new) >= _MANY:
        say(f"reading the names of the columns of {len(new):,} cubes")
    with ThreadPoolExecutor(_THREADS) as pool:
        new_cubes = dict(zip(new, pool.map(lambda f: _footer(f, files[f]), new), strict=True))
    if new_cubes:
        _write_known(path, {**before, **new_cubes})
    return {field: new_cubes.get(field) or before[field] for field in files}


def _footer(field: str, file: Path) -> _Cube:
    from astromodal.data.parquet import Footer  # here: most plans read no parquet

    version = FileVersion.of(file)
    try:
        return _Cube(version, tuple(Footer(file, field).kinds()))
    except (DataError, OSError) as error:
        return _Cube(version, error=str(machine_error(error, file) or error))


def _read_known_cubes(path: str) -> dict[str, _Cube]:
    """Return the index of columns; empty where it is missing or of an earlier release."""
    try:
        stored: dict[str, Any] = read_json(path)
        kinds = {
            key: tuple((str(name), str(kind)) for name, kind in columns)
            for key, columns in stored["columns"].items()
        }
        return {
            field: _Cube(FileVersion(**each["version"]), kinds[each["columns"]])
            for field, each in stored["cubes"].items()
        }
    except (OSError, FormatError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _write_known(path: str, known: Mapping[str, _Cube]) -> None:
    """Write the index of columns, without unreadable cubes, which the next plan reads again."""
    readable = {field: each for field, each in known.items() if each.error is None}
    keys = {kinds: hash_values(kinds) for kinds in {each.kinds for each in readable.values()}}
    cubes = {
        field: {"version": asdict(each.version), "columns": keys[each.kinds]}
        for field, each in readable.items()
    }
    write_json(path, {"columns": {key: kinds for kinds, key in keys.items()}, "cubes": cubes})
