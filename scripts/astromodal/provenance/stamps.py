"""Stamps: small files that change when what a modality reads of a user's cube changes.

Snakemake would redo a field's work whenever its cube is newer than what was made of it, be it only
touched or copied, and all of it where one column changed. So the rules take a stamp of each
modality that their job reads, and ignore the cube's time. Stamps are kept up to date when a plan is
made:

- While size and time of a cube stand, its stamps stand. That costs one look at each cube.
- A cube seen for the first time gets stamps and is not read.
- Where size or time changed, each column is read and compared to what it was when the field was
  summarised: that job has read it anyhow, and wrote the digests down with the cube's size and time.
  A modality's stamp changes only where one of its columns did, or where nothing is known of it.

Two processes that plan at once write the same stamps. A job that makes samples or codes of a cube
makes sure at its end that the cube is still the one that it began with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from astromodal.config.schema import Config
from astromodal.core.fields import cube_template
from astromodal.core.files import read_json, storing, write_json, write_text
from astromodal.core.paths import MODALITIES, Layout
from astromodal.core.version import FileVersion
from astromodal.errors import DataError, FormatError, must_be

_AHEAD = 60 * 10**9
"""How far ahead of this machine's clock a cube's time may be (ns): by the end of its jobs, past."""
_REMEMBERED = 4
"""Earlier states of a modality to which a cube may come back."""


@dataclass
class _Known:
    """What is known of a field's cube.

    Attributes
    ----------
    version : FileVersion
        The cube that the stamps are of.
    stamps : dict
        Text of each modality's stamp.
    digests : dict, optional
        Digest of each column, where the cube has been read for it.
    earlier : dict
        By modality, digests of earlier states and the texts of their stamps.
    """

    version: FileVersion
    stamps: dict[str, str]
    digests: dict[str, str] | None = None
    earlier: dict[str, dict[str, str]] = field(default_factory=dict)


def refresh_stamps(
    config: Config, paths: Layout, fields: Sequence[str], say: Callable[[str], None]
) -> None:
    """Bring the stamps of all fields up to date with their cubes.

    Parameters
    ----------
    config : Config
        Names the cubes and the columns that are read of them.
    paths : Layout
        Where stamps and summaries lie.
    fields : sequence of str
        The fields.
    say : callable
        Takes a line for every cube that has to be read.

    Raises
    ------
    DataError
        Where a cube is from the future.
    MachineError
        Where stamps cannot be written.
    """
    index, template = _read_index(paths.stamps), cube_template(config)
    there, found = _names(Path(paths.stamps).parent), dict[str, _Known]()
    for name in fields:
        cube = Path(template.format(field=name))
        version, known = FileVersion.of(cube), index.get(name)
        _require_past(name, cube, version)
        if known is None or known.version != version:
            known = found[name] = _next(config, paths, name, cube, version, known, say)
        for modality, text in known.stamps.items():
            path = Path(paths.stamp(modality, name))
            if path.name not in there:  # thousands of them at first: none waits for the disk
                with storing(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(f"{text}\n", encoding="utf-8")
            elif name in found and path.read_text(encoding="utf-8") != f"{text}\n":
                write_text(path, f"{text}\n")
    if found:
        merged = {**index, **found}
        write_json(paths.stamps, {name: asdict(known) for name, known in merged.items()})


def _require_past(name: str, cube: Path, version: FileVersion) -> None:
    """Refuse a cube of a time to come: Snakemake fails each job whose output is older than it."""
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
    """What is known of a cube that is new, or has another size or time than it had."""
    fresh = dict.fromkeys(MODALITIES, str(version))
    if known is None:
        return _Known(version, fresh)
    before = _summarised(paths.summary(name), known.version) or known.digests
    if before is None:
        say(f"field {name}: {cube.name} has changed, and was never summarised to compare it with")
        return _Known(version, fresh)
    say(f"field {name}: {cube.name} is newer; reading its {version.size / 1e6:,.0f} MB to compare")
    from astromodal.data.columns import modality_columns  # here: most plans read no parquet

    columns = modality_columns(config)
    try:
        now = _digests(cube, name, config, columns)
    except DataError as error:  # whichever job reads it will say so
        say(str(error))
        return _Known(version, fresh)
    found = _Known(version, fresh, now)
    for modality, names in columns.items():
        old, new = (_joined(digests, names) for digests in (before, now))
        earlier = {**known.earlier.get(modality, {}), old: known.stamps[modality]}
        found.stamps[modality] = earlier.get(new, str(version))
        found.earlier[modality] = dict(list(earlier.items())[-_REMEMBERED:])
    changed = [m for m in columns if found.stamps[m] != known.stamps[m]]
    say(f"field {name}: changed: {', '.join(changed) or 'nothing that is read of it'}")
    return found


def _digests(
    path: Path, name: str, config: Config, columns: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    from astromodal.data.content import column_digests
    from astromodal.data.cube import Cube

    wanted = [column for names in columns.values() for column in names]
    return column_digests(Cube(path, name, config.columns), wanted)


def _joined(digests: Mapping[str, str], names: Sequence[str]) -> str:
    """Digests of a modality's columns; unlike any other where one of them is unknown."""
    return " ".join(digests.get(name, f"{name}?") for name in names)


def _summarised(path: str, version: FileVersion) -> dict[str, str] | None:
    """Digests that the field's summary holds, if it is a summary of that very cube."""
    try:
        content = read_json(path)["content"]
        same = FileVersion(content["size"], content["mtime_ns"]) == version
        return dict(content["columns"]) if same else None
    except (OSError, FormatError, KeyError, TypeError):
        return None  # none, or of an earlier release: the field is then made again


def _read_index(path: str) -> dict[str, _Known]:
    """The index; empty where it is lost, which makes every cube one of the first time."""
    try:
        stored: dict[str, dict[str, Any]] = read_json(path)
        return {name: _read_known(known) for name, known in stored.items()}
    except (OSError, FormatError, KeyError, TypeError):
        return {}


def _read_known(stored: Mapping[str, Any]) -> _Known:
    """What the index tells of a cube; of an earlier release, without stamps of newer modalities."""
    version = FileVersion(**stored["version"])
    stamps = dict.fromkeys(MODALITIES, str(version)) | stored["stamps"]
    return _Known(**{**stored, "version": version, "stamps": stamps})


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
