"""Copies of a results folder, which are planned as the folder itself.

A copy has other file times, and often lacks Snakemake's metadata. The inventory that the last run
wrote holds both. Files of the same content get their times back, and Snakemake its metadata of
them. A file of another content becomes the newest, so that all jobs downstream of it rerun. A
folder is a copy where its inventory file has another time than the one written inside it.
"""

from __future__ import annotations

import json
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from astromodal.core.paths import Layout
from astromodal.errors import FormatError, MachineError
from astromodal.reruns.inventory import (
    TIMESTAMP,
    Entry,
    Inventory,
    read_inventory,
    take_stock,
    write_inventory,
)
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import storing

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
"""Entries of Snakemake's metadata that the rerun triggers of profiles/default compare."""
_RESULT, _CUBE = "results:", "cube:"
_LONGEST: Final = 255
"""Characters of a file name, at most."""


class Places:
    """The paths of a plan, and their names in an inventory.

    Parameters
    ----------
    results : str
        The results folder, as the plan names it.
    cubes : mapping of str to str
        Path of each field's cube; empty where cubes are simulated.
    """

    def __init__(self, results: str, cubes: Mapping[str, str] | None = None) -> None:
        self.results = results
        self.cubes = dict(cubes or {})
        self._fields = {path: name for name, path in self.cubes.items()}

    def kept(self, path: str) -> str:
        """Return the name of a path in an inventory."""
        if path in self._fields:
            return f"{_CUBE}{self._fields[path]}"
        inside = path.startswith(f"{self.results}/")
        return f"{_RESULT}{path[len(self.results) + 1 :]}" if inside else path

    def here(self, kept: str) -> str:
        """Return this plan's path of a name in an inventory."""
        if kept.startswith(_CUBE):
            return self.cubes.get(kept.removeprefix(_CUBE), kept)
        if kept.startswith(_RESULT):
            return f"{self.results}/{kept.removeprefix(_RESULT)}"
        return kept


def read_metadata(places: Places, name: str) -> str | None:
    """Return Snakemake's metadata of a result as an inventory keeps it; None without any."""
    stored = _read(_metadata_path(f"{places.results}/{name}"))
    try:
        return None if stored is None else json.dumps(_renamed(stored, places.kept))
    except (KeyError, TypeError, AttributeError):
        return None


def write_metadata(places: Places, name: str, metadata: str) -> bool:
    """Write metadata of an inventory as Snakemake's; return whether that changed it."""
    values = _renamed(json.loads(metadata), places.here)
    path = _metadata_path(f"{places.results}/{name}")
    if {key: (_read(path) or {}).get(key) for key in values} == values:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return True


def make_folders() -> None:
    """Make the folders of Snakemake's metadata, both since it converts a single one."""
    for name in ("metadata", "incomplete"):
        (FOLDER / name).mkdir(parents=True, exist_ok=True)


def _renamed(values: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """Return the kept entries of metadata, with other paths."""
    kept = {key: values[key] for key in _KEPT}
    kept["input"] = sorted(map(rename, kept["input"]))
    sums = kept["input_checksums"] or {}
    kept["input_checksums"] = {rename(path): value for path, value in sums.items()}
    return kept


def _read(path: Path) -> dict[str, Any] | None:
    try:
        stored = json.loads(path.read_text())
        return stored if isinstance(stored, dict) else None
    except (OSError, ValueError):  # missing, or being written
        return None


def _metadata_path(name: str) -> Path:
    """Return the path of Snakemake's metadata of a file; a long name becomes folders."""
    text = urlsafe_b64encode(name.encode()).decode()
    pieces = [text[i : i + _LONGEST - 1] for i in range(0, len(text), _LONGEST - 1)]
    return Path(FOLDER, "metadata", *(f"@{piece}" for piece in pieces[:-1]), pieces[-1])


_SEEN: Final = FOLDER / "astromodal.json"
"""By results folder, the time of the inventory that Snakemake's metadata here belongs to."""
_PAST: Final = 10**9
"""Age (ns) of the newest restored time, where the recorded time lies in the future."""

_NO_METADATA: Final = (
    "made elsewhere, without Snakemake's metadata (.snakemake) here: a changed setting or function "
    "reruns nothing; to rerun the jobs of a rule, type snakemake --forcerun RULE"
)


def update_inventory(paths: Layout, places: Places) -> None:
    """Update the inventory of a results folder.

    Parameters
    ----------
    paths : Layout
        The results folder.
    places : Places
        The same, and the cubes, as Snakemake names them.

    Raises
    ------
    MachineError
        Where the inventory cannot be written.
    """
    try:
        known = read_inventory(paths.inventory)
    except (OSError, FormatError):
        known = Inventory()
    with storing(paths.inventory):
        files = take_stock(paths, known.files)
        jobs = dict(_jobs(places, files, known))
        if (files, jobs) != (known.files, known.jobs):
            known = write_inventory(paths.inventory, files, jobs)
        _mark(paths.results, known.written)


def restore(paths: Layout, places: Places, say: Callable[[str], None]) -> None:
    """Restore the file times of a copied results folder, and Snakemake's metadata.

    Parameters
    ----------
    paths, places
        Those of `update_inventory`.
    say : callable
        Receives one line on what was restored, or why nothing was.

    Raises
    ------
    MachineError
        Where the times of a copy cannot be set.
    """
    try:
        mtime_ns = os.stat(paths.inventory).st_mtime_ns
        seen = _seen().get(paths.results)
        if seen == mtime_ns:
            return
        inventory = read_inventory(paths.inventory)
    except FileNotFoundError:
        if Path(paths.last_run).exists() and not (FOLDER / "metadata").exists():
            say(f"{paths.results}: {_NO_METADATA}")
        return
    except FormatError as error:
        say(f"{error}; until a run has ended, plans use file times and Snakemake's metadata here")
        return
    try:
        with storing(paths.results):
            now = take_stock(paths, inventory.files)
        if mtime_ns != inventory.written:
            say(f"{paths.results}: {_restore_times(paths, inventory, now)}")
        if seen != inventory.written:
            copied = mtime_ns != inventory.written
            number = _restore_metadata(places, inventory, now, copied)
            say(f"{paths.results}: restored Snakemake's metadata of {number:,} files")
        _mark(paths.results, inventory.written)
    except MachineError as error:
        why = f"{paths.results}: a copy whose file times must be restored: {error}"
        do = f"or delete {paths.inventory}, to plan by the present times"
        raise MachineError(f"{why}; {do}") from error


def _jobs(
    places: Places, files: Mapping[str, Entry], known: Inventory
) -> Iterator[tuple[str, str]]:
    """Yield Snakemake's metadata of each file; of an unchanged file, that of the inventory."""
    for name, entry in files.items():
        stands = known.files.get(name) == entry
        metadata = known.jobs.get(name) if stands else read_metadata(places, name.rstrip("/"))
        if metadata is not None:
            yield name, metadata


def _restore_times(paths: Layout, inventory: Inventory, now: Mapping[str, Entry]) -> str:
    """Restore the times of unchanged files, and make changed files the newest.

    Files that are not in the inventory keep their times, as do the targets of links.

    Returns
    -------
    str
        The numbers of unchanged, changed and missing files, as text.
    """
    had, clock = inventory.files, time.time_ns()
    newest = max((entry.version.mtime_ns for entry in had.values()), default=0)
    ahead = newest - clock + _PAST if newest >= clock else 0  # the writer's clock was ahead by this
    links = {
        name for name in now if _is_folder(name) and Path(paths.results, name[:-1]).is_symlink()
    }
    same, changed = dict[str, int](), dict[str, int]()
    for name in now.keys() & had.keys():
        if links and not links.isdisjoint((name, *_above(name))):
            continue
        if now[name].same_content(had[name]):
            same[name] = had[name].version.mtime_ns - ahead
        else:
            changed[name] = clock
    # Changed files first: if this is killed, none of them is older than the files made from it.
    for name, mtime_ns in (changed | same).items():
        if now[name].version.mtime_ns != mtime_ns:
            _set_time(Path(paths.results, name), mtime_ns, _is_folder(name))
    for name in _emptied(paths, had, now):
        _set_time(Path(paths.results, name), had[name].version.mtime_ns - ahead)
    _set_time(Path(paths.inventory), inventory.written)
    same_files, changed_files, gone = map(_files, (same, changed, had.keys() - now.keys()))
    return "".join([
        f"a copy; restored the times of {same_files:,} unchanged files",
        f"; {changed_files:,} have another content, and count as new" if changed_files else "",
        f"; {gone:,} are missing" if gone else "",
    ])  # fmt: skip


def _emptied(paths: Layout, had: Mapping[str, Entry], now: Mapping[str, Entry]) -> list[str]:
    """Make the missing folders that held no file, which git and object stores do not copy."""
    full = {above for name in had for above in _above(name.rstrip("/"))}
    lacking = [name for name in had.keys() - now.keys() - full if _is_folder(name)]
    # An inventory is a file of unknown origin: make no folder outside the results.
    paths_of = {name: PurePosixPath(name) for name in lacking}
    inside = [n for n, path in paths_of.items() if f"{path.parent}/" in now and path.name != ".."]
    for name in inside:
        with storing(Path(paths.results, name)):
            Path(paths.results, name).mkdir(exist_ok=True)
    return inside


def _files(names: Iterable[str]) -> int:
    """Return the number of files, folders left out."""
    return sum(not _is_folder(name) for name in names)


def _is_folder(name: str) -> bool:
    return name.endswith("/")


def _above(name: str) -> Iterator[str]:
    """Yield the folders that hold a file, as an inventory names them."""
    return (f"{folder}/" for folder in PurePosixPath(name).parents)


def _set_time(path: Path, mtime_ns: int, folder: bool = False) -> None:
    """Set the time of a file, a folder or a link itself, as Snakemake reads it.

    The access time becomes now, so that disks that delete unused files keep it.
    """
    times = (time.time_ns(), mtime_ns)
    with storing(path):
        os.utime(path, ns=times, follow_symlinks=False)
        if folder and (path / TIMESTAMP).exists():
            os.utime(path / TIMESTAMP, ns=times)


def _restore_metadata(
    places: Places, inventory: Inventory, now: Mapping[str, Entry], copied: bool
) -> int:
    """Write Snakemake's metadata of unchanged files; return how many it changed."""
    number = 0
    with storing(FOLDER):
        make_folders()
        for name, metadata in inventory.jobs.items():
            had, has = inventory.files.get(name), now.get(name)
            if has is not None and (has == had or (copied and has.same_content(had))):
                number += write_metadata(places, name.rstrip("/"), metadata)
    return number


def _seen() -> dict[str, int]:
    try:
        return dict(read_json(_SEEN))
    except (OSError, FormatError, TypeError, ValueError):
        return {}


def _mark(results: str, written: int) -> None:
    """Record that Snakemake's metadata here belongs to this inventory."""
    seen = _seen()
    if seen.get(results) != written:
        write_json(_SEEN, {**seen, results: written})
