"""A copy of a results folder, which is planned as the folder itself would be.

A copy has other times than the folder, and often none of Snakemake's notes. By the inventory that
the last run wrote, files whose content stands get the order of their times back, and Snakemake its
notes of them; a file of another content is newer than all of them, so that what follows from it is
redone. That a folder is no copy is seen from the time of the inventory itself.
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


_SEEN: Final = FOLDER / "astromodal.json"
"""By results folder the time of the inventory that Snakemake's notes here go with."""
_PAST: Final = 10**9
"""How long ago (ns) the newest time is given back as, where it lies in the future."""

_NO_NOTES: Final = (
    "made elsewhere, and what Snakemake noted of it (.snakemake) is not here: a changed setting or "
    "function redoes nothing; to redo what it should, type snakemake --forcerun RULE"
)


def update_inventory(paths: Layout, places: Places) -> None:
    """Bring the inventory of a results folder up to date.

    Parameters
    ----------
    paths : Layout
        The results folder.
    places : Places
        The same, and the cubes, as Snakemake names them.

    Raises
    ------
    MachineError
        Where it cannot be written.
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
    """Give a copied results folder its times back, and Snakemake its notes.

    Parameters
    ----------
    paths, places
        As those of `update_inventory`.
    say : callable
        Takes a line of what was done, or of why nothing was.

    Raises
    ------
    MachineError
        Where the times of a copy cannot be set.
    """
    try:
        found = os.stat(paths.inventory).st_mtime_ns
        seen = _seen().get(paths.results)
        if seen == found:
            return
        inventory = read_inventory(paths.inventory)
    except FileNotFoundError:
        if Path(paths.last_run).exists() and not (FOLDER / "metadata").exists():
            say(f"{paths.results}: {_NO_NOTES}")
        return
    except FormatError as error:
        say(f"{error}; until a run has ended, a plan goes by times and what Snakemake noted here")
        return
    try:
        with storing(paths.results):
            now = take_stock(paths, inventory.files)
        if found != inventory.written:
            say(f"{paths.results}: {_restore_times(paths, inventory, now)}")
        if seen != inventory.written:
            copied = found != inventory.written
            number = _restore_notes(places, inventory, now, copied)
            say(f"{paths.results}: put back what Snakemake had noted of {number:,} files")
        _mark(paths.results, inventory.written)
    except MachineError as error:
        why = f"{paths.results}: a copy, whose files must get back their times: {error}"
        do = f"or delete {paths.inventory}, to plan by the times that they have now"
        raise MachineError(f"{why}; {do}") from error


def _jobs(
    places: Places, files: Mapping[str, Entry], known: Inventory
) -> Iterator[tuple[str, str]]:
    """What Snakemake notes of each file that is new, and noted of all others."""
    for name, entry in files.items():
        stands = known.files.get(name) == entry
        note = known.jobs.get(name) if stands else read_note(places, name.rstrip("/"))
        if note is not None:
            yield name, note


def _restore_times(paths: Layout, inventory: Inventory, now: Mapping[str, Entry]) -> str:
    """Give files of the content that they had their times, and make changed ones the newest.

    Files that no run has seen keep their times. What a link points to is left alone.
    """
    had, clock = inventory.files, time.time_ns()
    newest = max((entry.version.mtime_ns for entry in had.values()), default=0)
    ahead = newest - clock + _PAST if newest >= clock else 0  # so far was the clock that wrote them
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
    # Changed files first: should this be killed, none of them is older than what follows from it.
    for name, mtime_ns in (changed | same).items():
        if now[name].version.mtime_ns != mtime_ns:
            _set_time(Path(paths.results, name), mtime_ns, _is_folder(name))
    for name in _emptied(paths, had, now):
        _set_time(Path(paths.results, name), had[name].version.mtime_ns - ahead)
    _set_time(Path(paths.inventory), inventory.written)
    same_files, changed_files, gone = map(_files, (same, changed, had.keys() - now.keys()))
    return "".join([
        f"a copy, whose {same_files:,} unchanged files got back the times that they had",
        f"; {changed_files:,} have another content, and count as new" if changed_files else "",
        f"; {gone:,} are missing" if gone else "",
    ])  # fmt: skip


def _emptied(paths: Layout, had: Mapping[str, Entry], now: Mapping[str, Entry]) -> list[str]:
    """Make folders again that held no file: git and stores of objects copy none of them."""
    full = {above for name in had for above in _above(name.rstrip("/"))}
    lacking = [name for name in had.keys() - now.keys() - full if _is_folder(name)]
    # Whatever an inventory names: none outside of the results.
    paths_of = {name: PurePosixPath(name) for name in lacking}
    found = [n for n, path in paths_of.items() if f"{path.parent}/" in now and path.name != ".."]
    for name in found:
        with storing(Path(paths.results, name)):
            Path(paths.results, name).mkdir(exist_ok=True)
    return found


def _files(names: Iterable[str]) -> int:
    """How many of these are files, not folders."""
    return sum(not _is_folder(name) for name in names)


def _is_folder(name: str) -> bool:
    return name.endswith("/")


def _above(name: str) -> Iterator[str]:
    """The folders that a file lies in, as an inventory names them."""
    return (f"{folder}/" for folder in PurePosixPath(name).parents)


def _set_time(path: Path, mtime_ns: int, folder: bool = False) -> None:
    """Set the time that Snakemake goes by, of a file, a folder or a link itself.

    It counts as used now: a disk that clears away what nobody used for long leaves it.
    """
    times = (time.time_ns(), mtime_ns)
    with storing(path):
        os.utime(path, ns=times, follow_symlinks=False)
        if folder and (path / TIMESTAMP).exists():
            os.utime(path / TIMESTAMP, ns=times)


def _restore_notes(
    places: Places, inventory: Inventory, now: Mapping[str, Entry], copied: bool
) -> int:
    """Write what Snakemake noted of files that are as they were then; of how many it lacked it."""
    number = 0
    with storing(FOLDER):
        make_folders()
        for name, note in inventory.jobs.items():
            had, has = inventory.files.get(name), now.get(name)
            if has is not None and (has == had or (copied and has.same_content(had))):
                number += write_note(places, name.rstrip("/"), note)
    return number


def _seen() -> dict[str, int]:
    try:
        return dict(read_json(_SEEN))
    except (OSError, FormatError, TypeError, ValueError):
        return {}


def _mark(results: str, written: int) -> None:
    """Note down that Snakemake's notes here go with this inventory."""
    seen = _seen()
    if seen.get(results) != written:
        write_json(_SEEN, {**seen, results: written})
