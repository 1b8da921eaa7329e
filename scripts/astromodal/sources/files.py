"""The raw files of a source: patterns of paths, fields and bands in them, and HATS catalogues.

The Snakefile imports this module: it needs neither astropy nor pyarrow.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from astromodal.config.base import FIELD_NAME
from astromodal.config.sources import SourceSettings
from astromodal.errors import ConfigError, must_be
from astromodal.storage.hashing import FileVersion

_PART: Final = re.compile(r"\{field\}|\{band\}|\*+|\?")
_MARKS: Final = ("hats.properties", "properties", "catalog_info.json")
"""Files of which a HATS catalogue has one beside its folder ``dataset``."""
_COLLECTION: Final = "collection.properties"
_LEAVES: Final = ("Norder=*/Dir=*/Npix=*.parquet", "Norder=*/Dir=*/Npix=*/*.parquet")
"""Paths of the leaves below ``dataset`` (HATS note 1.0, IVOA): a file or a folder per cell."""


@dataclass(frozen=True)
class RawFile:
    """A raw file of a source.

    Attributes
    ----------
    path : Path
        The file.
    field, band : str, optional
        Field and band that stand in its path; None where the source's pattern has no placeholder.
    beside : Path, optional
        A file that is read with it, such as the redshifts of a coadd; it need not exist.
    """

    path: Path
    field: str | None = None
    band: str | None = None
    beside: Path | None = None

    def version(self) -> list[int]:
        """Return size and time of the file, and of the file beside it where there is one."""
        version = FileVersion.of(self.path)
        found = [version.size, version.mtime_ns]
        if self.beside is not None and self.beside.is_file():
            version = FileVersion.of(self.beside)
            found += [version.size, version.mtime_ns]
        return found


def list_files(name: str, settings: SourceSettings) -> list[RawFile]:
    """Return the raw files of a source, sorted by path.

    In the pattern, ``*`` and ``?`` stand for characters as in a shell, ``{field}`` for the name of
    a field (the shortest that the text around it allows) and ``{band}`` for one of the source's
    bands. A folder that is a HATS catalogue, or a collection of one, stands for its leaves. Hidden
    files do not count.

    Parameters
    ----------
    name : str
        Name of the source, for errors.
    settings : SourceSettings
        Its settings.

    Raises
    ------
    ConfigError
        If there is no such file, or a folder is no HATS catalogue.
    """
    setting, pattern = f"sources.{name}.files", settings.files
    expression = re.compile(_expression(pattern, settings.bands))
    found = []
    for path in sorted(glob.glob(_shell_pattern(pattern))):
        match = expression.fullmatch(path)
        if match is None:
            continue
        parts = match.groupdict()
        field, band = parts.get("field"), parts.get("band")
        found += [RawFile(each, field, band) for each in _leaves(Path(path), setting)]
    if not found:
        do = _hint(pattern)
        raise ConfigError(must_be(setting, "the path of a file or more", repr(pattern), do))
    if settings.kind == "desi_coadd":
        return [replace(file, beside=redrock_path(file.path)) for file in found]
    return found


def redrock_path(coadd: Path) -> Path | None:
    """Return the file with a DESI coadd's redshifts; None where its name has no ``coadd-``."""
    name = coadd.name
    if not name.startswith("coadd-"):
        return None
    return coadd.with_name("redrock-" + name.removeprefix("coadd-"))


def hats_root(path: Path) -> Path | None:
    """Return the folder of the HATS catalogue that a folder is; None where it is none.

    Of a collection (a folder with ``collection.properties``) it is the folder of its primary table.
    """
    if (path / "dataset").is_dir() and any((path / mark).is_file() for mark in _MARKS):
        return path
    try:
        lines = (path / _COLLECTION).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        key, _, value = line.partition("=")
        inside = Path(value.strip())
        if key.strip() == "hats_primary_table_url" and len(inside.parts) == 1:
            return hats_root(path / inside) if inside.name else None
    return None


def one_per_catalogue(files: Sequence[RawFile]) -> Iterator[RawFile]:
    """Yield one leaf of each HATS catalogue, whose leaves all have the same columns; other files.

    All files that stand in no ``Norder=…`` folder are yielded.
    """
    seen = set[Path]()
    for file in files:
        above = [folder for folder in file.path.parents if folder.name.startswith("Norder=")]
        if above:
            if above[0].parent in seen:
                continue
            seen.add(above[0].parent)
        yield file


def _leaves(path: Path, setting: str) -> list[Path]:
    """Return a file, or the leaves of a folder that is a HATS catalogue."""
    if not path.is_dir():
        return [path]
    root = hats_root(path)
    if root is None:
        got, do = f"the folder {path}", f"write {path}/*.csv for the CSV files in it"
        raise ConfigError(must_be(setting, "files, or a HATS catalogue", got, do))
    found = sorted(leaf for leaves in _LEAVES for leaf in (root / "dataset").glob(leaves))
    found = [leaf for leaf in found if leaf.is_file()]
    if not found:
        must, got = "a HATS catalogue with leaves", f"{root} without dataset/{_LEAVES[0]}"
        raise ConfigError(must_be(setting, must, got, "copy the catalogue again"))
    return found


def _shell_pattern(pattern: str) -> str:
    """Return the pattern for `glob`, in which brackets are no pattern."""
    bare = pattern.replace("{field}", "*").replace("{band}", "*").replace("[", "[[]")
    return re.sub(r"\*+", "*", bare)


def _expression(pattern: str, bands: Sequence[str]) -> str:
    """Return the regular expression of paths that a pattern stands for."""
    meaning = {
        "{field}": f"(?P<field>{FIELD_NAME}?)",
        "{band}": f"(?P<band>{'|'.join(map(re.escape, bands))})",
        "?": "[^/]",
    }
    parts, end = [], 0
    for match in _PART.finditer(pattern):
        parts += [re.escape(pattern[end : match.start()]), meaning.get(match[0], "[^/]*")]
        end = match.end()
    return "".join(parts) + re.escape(pattern[end:])


def _hint(pattern: str) -> str:
    """Return what to do where no file matches a pattern."""
    shell = _shell_pattern(pattern)
    folder = Path(shell).parent
    if not glob.glob(str(folder)):
        return f"there is no folder {folder}; correct the path"
    stem = Path(shell).name.split(".")[0]
    near = sorted(glob.glob(str(folder / f"{stem}.*"))) or sorted(glob.glob(str(folder / "*")))
    if not near:
        return f"put the files into {folder}, or correct the path"
    return f"correct the path; nearest: {near[0]!r}"
