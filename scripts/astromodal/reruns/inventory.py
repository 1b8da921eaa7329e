"""The inventory of a results folder: size, time and content digest of each file that plans use.

Snakemake compares file times, which most copies do not keep. A run records them, with a digest of
each file's content and Snakemake's metadata of the job that made it. `astromodal.reruns.copies`
restores both in a copy.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from astromodal.core.paths import Layout
from astromodal.errors import FormatError, must_be
from astromodal.storage.formats import DAMAGE
from astromodal.storage.hashing import HASH_LENGTH, FileVersion, hash_file, hash_values
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import is_temporary

SMALL: Final = 1 << 18
"""Size (byte) up to which the digest is of the whole file."""
_END: Final = 1 << 16  # byte
_LENGTH: Final = 8  # bytes at the start of a .safetensors file, with the length of its header


def content_digest(path: str | Path, whole: bool = False) -> str:
    """Return a digest of a file's content, to compare files of the same size.

    Parameters
    ----------
    path : path
        The file.
    whole : bool
        Read the whole file, whatever its format.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256. Of a large ``.npz`` or ``.pt`` it is over the names,
        sizes and CRCs of the members; of a ``.safetensors`` over the header; of a ``.npy`` or
        ``.parquet`` over the first and last 64 kB (with the shape, or the footer with statistics of
        every column). Of any other file it is over all bytes.
    """
    path = Path(path)
    reader = None if whole else _READERS.get(path.suffix)
    if reader is None or path.stat().st_size <= SMALL:
        return hash_file(path)
    with path.open("rb") as stream:
        read = reader(stream)
    return hash_file(path) if read is None else hashlib.sha256(read).hexdigest()[:HASH_LENGTH]


def _members(stream: IO[bytes]) -> bytes | None:
    """Return a hash of the members that an archive lists; None where the file is no archive."""
    try:
        with zipfile.ZipFile(stream) as archive:
            members = [(each.filename, each.file_size, each.CRC) for each in archive.infolist()]
    except DAMAGE:
        return None
    return hash_values(members).encode()


def _header(stream: IO[bytes]) -> bytes | None:
    """Return the header of a file of tensors; None where the file has none."""
    length = int.from_bytes(stream.read(_LENGTH), "little")
    return stream.read(length) if length <= os.fstat(stream.fileno()).st_size else None


def _ends(stream: IO[bytes]) -> bytes:
    begin = stream.read(_END)
    stream.seek(-_END, os.SEEK_END)
    return begin + stream.read()


_READERS: Final[dict[str, Callable[[IO[bytes]], bytes | None]]] = {
    ".npz": _members,
    ".pt": _members,
    ".safetensors": _header,
    ".npy": _ends,
    ".parquet": _ends,
}
"""Readers of a large file's digested bytes, by suffix."""


TIMESTAMP: Final = ".snakemake_timestamp"
"""File that ``snakemake --touch`` makes, and whose time Snakemake uses as its folder's."""
_CUBES: Final = "cubes/"
"""Folder of simulated cubes, which are read whole: a footer does not cover all values."""
_NOT_LOOKED_AT: Final = ("checkpoint_step_", "checkpoints.json", "events.out.tfevents.")
"""Prefixes of the files that a training writes for itself."""
_TEXT_READERS: Final = 8  # files read at once, since each read waits for a network disk
_TICK: Final = 2 * 10**9  # ns; times are at least this fine on every file system


@dataclass(frozen=True)
class Entry:
    """A file or folder: its size and time, and the digest of its content."""

    version: FileVersion
    digest: str

    def same_content(self, other: Entry | None) -> bool:
        """Whether another entry has the same size and digest."""
        return other is not None and (self.version.size, self.digest) == (
            other.version.size,
            other.digest,
        )

    def __str__(self) -> str:
        return f"{self.version.size} {self.version.mtime_ns} {self.digest}"

    @classmethod
    def read(cls, text: str) -> Entry:
        """Return the entry of a text that `str` made."""
        size, mtime_ns, digest = text.split(" ")
        return cls(FileVersion(int(size), int(mtime_ns)), digest)


@dataclass(frozen=True)
class Inventory:
    """The files of a results folder at the end of a run.

    Attributes
    ----------
    written : int
        Time (ns) of the inventory file, unless it was copied.
    files : dict
        Entries by path below the results folder. The path of a folder ends in ``/``.
    jobs : dict
        By such a path, Snakemake's metadata of the job that made it.
    """

    written: int = 0
    files: dict[str, Entry] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)


def read_inventory(path: str | Path) -> Inventory:
    """Read an inventory.

    Raises
    ------
    FormatError
        Where the file is damaged.
    FileNotFoundError
        Where the file does not exist.
    """
    stored = read_json(path)
    try:
        files = {name: Entry.read(text) for name, text in stored["files"].items()}
        return Inventory(int(stored["written"]), files, dict(stored["jobs"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(must_be(str(path), "an inventory", str(error), "delete it")) from error


def write_inventory(
    path: str | Path, files: Mapping[str, Entry], jobs: Mapping[str, str]
) -> Inventory:
    """Write an inventory, and set the time of its file to the time inside it."""
    written = time.time_ns() // _TICK * _TICK  # file systems keep it unrounded
    texts = {name: str(entry) for name, entry in files.items()}
    write_json(path, {"written": written, "files": texts, "jobs": jobs})
    os.utime(path, ns=(written, written))
    return Inventory(written, dict(files), dict(jobs))


def take_stock(paths: Layout, known: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries of all files and folders of a results folder.

    Parameters
    ----------
    paths : Layout
        The results folder. It may be a link, and links to folders inside it are followed.
    known : mapping
        Earlier entries. A file of the same size and time is not read again.

    Returns
    -------
    dict
        Entries by path, in alphabetical order, without logs, checkpoints, temporary files, results
        of other runs below this folder, and files that are being written.
    """
    folder = Path(paths.results)
    versions = dict(_walk(folder, {_identity(folder)})) if folder.is_dir() else {}
    with ThreadPoolExecutor(_TEXT_READERS) as pool:
        entries = pool.map(
            lambda name: _entry(folder, name, versions[name], known.get(name)),
            [name for name in versions if not name.endswith("/")],
        )
        files = {name: entry for name, entry in entries if entry is not None}
    inside: dict[str, list[str]] = {name: [] for name in versions if name.endswith("/")}
    for name, entry in sorted(files.items()):
        above, _, own = name.rpartition("/")
        if above:
            inside[f"{above}/"].append(f"{own} {entry.version.size} {entry.digest}")
    for name, texts in inside.items():
        files[name] = Entry(FileVersion(len(texts), versions[name].mtime_ns), hash_values(texts))
    return dict(sorted(files.items()))


def _walk(
    folder: Path, above: set[tuple[int, int]], before: str = ""
) -> Iterator[tuple[str, FileVersion]]:
    """Yield paths below a folder with sizes and times; a folder inside itself (by a link) once."""
    with os.scandir(folder) as listed:
        entries = [each for each in listed if _is_looked_at(each.name, before)]
    for each in entries:
        name = f"{before}{each.name}"
        with suppress(OSError):  # deleted meanwhile, a broken link, or no permission
            if not each.is_dir():
                yield name, _version(each)
                continue
            inner = _identity(Path(each.path))
            if inner in above or _is_a_run(Path(each.path)) or each.name.startswith("."):
                continue
            yield f"{name}/", FileVersion(0, _folder_time(each.path))
            yield from _walk(Path(each.path), above | {inner}, f"{name}/")


def _is_looked_at(name: str, before: str) -> bool:
    if not before and name in ("logs", "inventory.json", "last_run.json"):
        return False
    apart = name in (TIMESTAMP, "set_aside") or name.startswith(_NOT_LOOKED_AT)
    return not apart and not is_temporary(name)


def _is_a_run(folder: Path) -> bool:
    """Whether a folder holds the results of another run."""
    nested = Layout(str(folder))
    return Path(nested.inventory).exists() or Path(nested.last_run).exists()


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _version(entry: os.DirEntry[str]) -> FileVersion:
    """Return the size and time of a file; of a link, the time of the link itself."""
    return FileVersion(entry.stat().st_size, entry.stat(follow_symlinks=False).st_mtime_ns)


def _folder_time(path: str) -> int:
    """Return the time (ns) that Snakemake uses for a folder."""
    try:
        return os.stat(f"{path}/{TIMESTAMP}").st_mtime_ns
    except FileNotFoundError:
        return os.lstat(path).st_mtime_ns


def _entry(
    folder: Path, name: str, version: FileVersion, known: Entry | None
) -> tuple[str, Entry | None]:
    """Return a file's entry; None where it cannot be read, or changes while it is read."""
    if known is not None and known.version == version:
        return name, known
    path = folder / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return name, None
        digest = content_digest(path, whole=name.startswith(_CUBES))
        stands = path.stat().st_size == version.size
        stands &= path.lstat().st_mtime_ns == version.mtime_ns
    except OSError:
        return name, None
    return name, Entry(version, digest) if stands else None
