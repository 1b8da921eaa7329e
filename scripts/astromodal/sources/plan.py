"""The plan of cubes that are built: fields, raw files that changed, and stamps of what is stale.

Raw files are indexed while a plan is made, so that a dry run shows exactly the fields to rebuild.
While no raw file changes its size or time, nothing is read. Otherwise changed files are indexed
again, and the digests of each field's objects decide: a field is built again where the digest of
one of its sources changed, and jobs on one modality run again where a source that has columns of
this modality changed. Images are compared by their files' hashes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from astromodal.config.load import plain_settings
from astromodal.config.schema import Config
from astromodal.core.paths import MODALITIES, WHOLE, Layout
from astromodal.data.columns import modality_columns, planned_columns
from astromodal.errors import DataError, FormatError
from astromodal.sources.files import RawFile, list_files
from astromodal.sources.presets import load_preset
from astromodal.storage.hashing import hash_file, hash_values
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import write_text

if TYPE_CHECKING:
    from astromodal.sources.index import Cells, Part

_SHOWN: Final = 20  # errors
_LARGE: Final = 10**10  # byte, from which on a plan advises to index in jobs

_Versions = dict[str, dict[str, list[int]]]


@dataclass
class _Known:
    """What an earlier plan knew.

    Attributes
    ----------
    settings : str
        Hash of the settings.
    versions : dict
        Size and time of each raw file, by source.
    fields : list of str
        The fields.
    images : dict
        By image file, its token (see `_images`), size and time.
    left_out : list of str
        Errors of the raw files that are left out.
    """

    settings: str = ""
    versions: _Versions = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    images: dict[str, list[Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def maker(config: Config, source: str, code: object = None) -> str:
    """Return a hash of what the index of a source depends on, beside its files.

    Parameters
    ----------
    config : Config
        The configuration.
    source : str
        Name of the source.
    code : optional
        Digest of the code that makes the index; None where it does not count.
    """
    settings = config.sources[source]
    preset = None if settings.preset is None else load_preset(settings.preset).model_dump()
    fields = config.cubes.healpix_order if source == config.base else None
    return hash_values([settings.kind, preset, fields, code])


def only_indexes(command: Iterable[str]) -> bool:
    """Return whether a command asks for the index, which its jobs then make, and not the plan.

    Snakemake knows the targets only after it has read the rules, which depend on the fields. A
    workflow that imports the rules may put a prefix before their names.
    """
    return any(word.endswith("index_sources") for word in command)


def indexed_sources(config: Config) -> list[str]:
    """Return the names of the sources that have an index: all but images."""
    return [name for name, each in config.sources.items() if each.kind != "images"]


def raw_versions(config: Config, source: str) -> list[list[Any]]:
    """Return path, size and time of each raw file of a source."""
    files = list_files(source, config.sources[source])
    return [[str(file.path), *file.version()] for file in files]


def known_fields(paths: Layout) -> tuple[str, ...]:
    """Return the fields that the last plan found; none before the first one."""
    return tuple(_read(paths.source_plan).fields)


@cache
def builds_again(paths: Layout, field: str, modalities: tuple[str, ...]) -> bool:
    """Return whether a cube is missing, or older than the stamp of one of these modalities."""
    try:
        built = os.stat(paths.cube(field)).st_mtime_ns
    except FileNotFoundError:
        return True
    return any(_time(paths.stamp(modality, field)) > built for modality in modalities)


@cache
def _time(path: str) -> int:
    """Return the time of a stamp (ns); 0 where there is none."""
    return os.stat(path).st_mtime_ns if os.path.exists(path) else 0


def left_out(paths: Layout) -> list[str]:
    """Return one line per raw file that is damaged and left out of all cubes."""
    return [f"left out: {error}" for error in _read(paths.source_plan).left_out]


def plan_cubes(
    config: Config, paths: Layout, code: Mapping[str, str], say: Callable[[str], None]
) -> tuple[str, ...]:
    """Index raw files that changed, update the stamps of all fields, and return the fields.

    Parameters
    ----------
    config : Config
        Its settings name the sources.
    paths : Layout
        The paths of the index, of the stamps and of the cubes.
    code : mapping of str to str
        Digests of the code of the rules ``index_source`` and ``build_cube``.
    say : callable
        Receives one line per source that is read.

    Raises
    ------
    ConfigError
        Where a source has no files.
    DataError
        Where a raw file is damaged and ``on_bad_field`` is ``stop``; lists all errors.
    """
    files = {name: list_files(name, each) for name, each in config.sources.items()}
    versions: _Versions = {
        name: {str(file.path): file.version() for file in each} for name, each in files.items()
    }
    known, settings = _read(paths.source_plan), _settings(config, code)
    if known.versions == versions and known.settings == settings and _stamped(paths, known.fields):
        return tuple(known.fields)
    cells, errors = index_sources(config, paths, files, code["index_source"], say)
    if errors and config.on_bad_field == "stop":
        raise DataError(joined(errors))
    from astromodal.sources.index import parts_of  # here: most plans read no parquet

    by_field = parts_of(cells, config.base)
    images = _images(config, paths, files, known, say)
    of_images = _image_digests(config, files, images)
    given = _given(config, cells)
    for name, parts in by_field.items():
        every = {source: part.digest for source, part in parts.items()} | of_images.get(name, {})
        own = {
            source: hash_values([each, _own(config, source, code["build_cube"])])
            for source, each in every.items()
        }
        _write_files(paths.field_files(name), parts, files, cells)
        for modality, sources in given.items():
            text = hash_values({source: own.get(source) for source in sources})
            _write_stamp(paths.stamp(modality, name), text)
    found = _Known(settings, versions, list(by_field), images, errors)
    write_json(paths.source_plan, vars(found))
    return tuple(by_field)


def index_sources(
    config: Config,
    paths: Layout,
    files: Mapping[str, Iterable[RawFile]],
    code: object,
    say: Callable[[str], None],
    threads: int | None = None,
) -> tuple[dict[str, dict[RawFile, Cells]], list[str]]:
    """Index the raw files that are new or have changed.

    Images need no index and are left out.

    Parameters
    ----------
    config, paths, say
        Those of `plan_cubes`.
    code
        Digest of the code of ``index_source``.
    files : mapping of str to iterable of RawFile
        The raw files of the sources to index.
    threads : int, optional
        Files that are read at once; None for one per core.

    Returns
    -------
    cells : dict
        By source and file, the digests of its objects. Damaged files are left out.
    errors : list of str
        The errors of these.

    Raises
    ------
    DataError
        Where the base catalogue has no usable file.
    """
    from astromodal.sources.index import Fields, index_files, load_cells
    from astromodal.sources.readers import reader_of

    cells: dict[str, dict[RawFile, Cells]] = {}
    errors = []
    for name, own in files.items():
        if name not in indexed_sources(config):
            continue
        folder, made = paths.source_index(name), maker(config, name, code)
        held = {file: load_cells(folder, file, made) for file in own}
        stale = [file for file, digests in held.items() if digests is None]
        if stale:
            _announce(name, stale, say)
            reader = reader_of(name, config.sources[name])
            fields = Fields(config.cubes.healpix_order) if name == config.base else None
            workers = threads or os.cpu_count() or 1
            for file, error in index_files(reader, stale, folder, made, fields, workers):
                if error is not None:
                    errors.append(str(error))
                held[file] = None if error else load_cells(folder, file, made)
        cells[name] = {file: digests for file, digests in held.items() if digests is not None}
    if config.base in files and not cells[config.base]:
        raise DataError(joined(errors))
    return cells, errors


def joined(errors: list[str]) -> str:
    """Return the first errors of many, one per line."""
    more = f"\n… and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    return "\n".join(errors[:_SHOWN]) + more


def _announce(name: str, stale: list[RawFile], say: Callable[[str], None]) -> None:
    size = sum(file.path.stat().st_size for file in stale)
    line = f"source {name}: indexing {len(stale):,} new or changed files, {size / 1e6:,.0f} MB"
    if size > _LARGE:
        line += "; on a cluster, snakemake index_sources does so in jobs"
    say(line)


def _read(path: str) -> _Known:
    """Return what the last plan knew; nothing where its file is missing or damaged."""
    try:
        return _Known(**read_json(path))
    except (OSError, FormatError, TypeError):
        return _Known()


def _settings(config: Config, code: object) -> str:
    """Return a hash of all that stamps depend on beside the raw files."""
    read = {m: sorted(names) for m, names in modality_columns(planned_columns(config)).items()}
    makers = {name: maker(config, name, code) for name in config.sources}
    return hash_values([plain_settings("sources", config), plain_settings("cubes", config), read,
                        makers])  # fmt: skip


def _own(config: Config, source: str, code: object) -> list[Any]:
    """Return the settings and code that a source's columns of a cube depend on."""
    plain = {**plain_settings("sources", config)[source]}
    del plain["files"]
    return [plain, maker(config, source), code]


def _given(config: Config, cells: Mapping[str, Mapping[RawFile, Cells]]) -> dict[str, list[str]]:
    """Return by modality the sources that its columns depend on, and all for the whole cube."""
    read = modality_columns(planned_columns(config))
    columns: dict[str, set[str]] = {name: set() for name in config.sources}
    for name, own in cells.items():
        columns[name] = {column for each in own.values() for column in each.columns}
    for name, settings in config.sources.items():
        if settings.kind == "images":
            columns[name] = {f"splus_cut_{band}" for band in settings.bands}
    given = {WHOLE: list(config.sources)}
    for modality in MODALITIES:
        needed = {n for n, own in columns.items() if own & set(read[modality])} | {config.base}
        given[modality] = sorted(_closure(config, needed, columns))
    return given


def _closure(config: Config, needed: set[str], columns: Mapping[str, set[str]]) -> set[str]:
    """Add the sources that others are joined through, or whose matches get cutouts."""
    for name in list(needed):
        settings = config.sources[name]
        through = {n for n, own in columns.items() if settings.joined_by in own}
        more = {n for n in (*through, settings.matched) if n is not None} - needed
        if more:
            return _closure(config, needed | more, columns)
    return needed


def _images(
    config: Config,
    paths: Layout,
    files: Mapping[str, Iterable[RawFile]],
    known: _Known,
    say: Callable[[str], None],
) -> dict[str, list[Any]]:
    """Return token, size and time of each image file, by its path.

    The token of a file is its size and time when it was first seen. It stays where these changed
    but the content is that which the field's cube was built from.
    """
    images: dict[str, list[Any]] = {}
    for source, file in _image_files(config, files):
        path, now = str(file.path), file.version()
        token, *before = known.images.get(path, (str(now), *now))
        if before != now:
            say(f"source {source}: {path} is newer; reading it to compare")
            if hash_file(path) != _hash_in_cube(paths.cube(str(file.field)), source, path):
                token = str(now)
        images[path] = [token, *now]
    return images


def _image_digests(
    config: Config, files: Mapping[str, Iterable[RawFile]], images: Mapping[str, list[Any]]
) -> dict[str, dict[str, str]]:
    """Return a digest of the images of each field, by field and source."""
    tokens: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for source, file in _image_files(config, files):
        token = images[str(file.path)][0]
        tokens[str(file.field)][source].append(f"{file.path.name} {token}")
    return {
        name: {source: hash_values(sorted(each)) for source, each in own.items()}
        for name, own in tokens.items()
    }


def _image_files(
    config: Config, files: Mapping[str, Iterable[RawFile]]
) -> Iterator[tuple[str, RawFile]]:
    for source, own in files.items():
        if config.sources[source].kind == "images":
            yield from ((source, file) for file in own)


def _hash_in_cube(cube: str, source: str, path: str) -> str | None:
    """Return the hash of an image file that a cube was built from; None where it is not known."""
    from astromodal.data.provenance import read_provenance  # here: most plans read no parquet

    try:
        return read_provenance(cube)[source].files[path]
    except (OSError, ValueError, KeyError):
        return None


def _stamped(paths: Layout, fields: Iterable[str]) -> bool:
    folder = Path(paths.stamps).parent
    present = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    return all(Path(paths.stamp(WHOLE, name)).name in present for name in fields)


def _write_files(
    path: str,
    parts: Mapping[str, Part],
    files: Mapping[str, Iterable[RawFile]],
    cells: Mapping[str, Mapping[RawFile, Cells]],
) -> None:
    """Write which raw files a field is built from, and which of its own are damaged."""
    found = {
        source: {
            "files": [str(file.path) for file in part.files],
            "left_out": [str(file.path) for file in files[source] if file not in cells[source]],
        }
        for source, part in parts.items()
    }
    try:
        if read_json(path) == found:
            return
    except (OSError, FormatError):
        pass
    write_json(path, found)


def _write_stamp(path: str, text: str) -> None:
    """Write a stamp where its text is another one."""
    try:
        if Path(path).read_text(encoding="utf-8") == f"{text}\n":
            return
    except FileNotFoundError:
        pass
    write_text(path, f"{text}\n")
