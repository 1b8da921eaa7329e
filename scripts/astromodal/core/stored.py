"""Files of a run that a storage plugin of Snakemake keeps elsewhere, as on an object store.

A plan asks the plugin which files there are and when they were written, and reads none of them.
Jobs read and write local copies, which Snakemake retrieves and stores.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from astromodal.config.inputs import FIELD
from astromodal.config.schema import Config
from astromodal.errors import ConfigError, must_be

VARIABLE: Final = "ASTROMODAL_COPIES"
"""Environment variable of jobs: the folder of local copies of stored results; empty without any."""


class Files:
    """What plans ask about files: their names and times.

    Parameters
    ----------
    stored : callable, optional
        Returns the storage plugin's object of a path, or None if the file is on this machine. By
        default all files are.
    """

    def __init__(self, stored: Callable[[str], Any] = lambda path: None) -> None:
        self._stored = stored

    def fields(self, template: str) -> set[str]:
        """Return what stands for ``{field}`` in the paths of existing files.

        Parameters
        ----------
        template : str
            A path that holds ``{field}`` once.
        """
        item = self._stored(template)
        if item is None:
            before, after = map(glob.escape, template.split(FIELD))
            return set(_between(template, glob.iglob(f"{before}*{after}")))
        names = self._listed(template.split(FIELD)[0].rpartition("/")[0])
        copies = _between(str(item.local_path()), names)
        return {*copies, *_between(item.query, names)}

    def _listed(self, folder: str) -> list[str]:
        """Return the files below a stored folder, as paths of local copies or as queries.

        Plugins list files by different calls. That of S3 finds all files of a folder when it is
        asked about one, that of `fs` lists the matches of a pattern.
        """
        import asyncio  # here: most plans, and all jobs, ask no plugin

        known: dict[str, bool] = {}
        unused: dict[str, dict[str, Any]] = {
            name: {} for name in ("exists_local", "mtime", "size", "checksum")
        }
        cache = SimpleNamespace(exists_in_storage=known, **unused)
        asyncio.run(self._stored(f"{folder}/{FIELD}").inventory(cache))
        if found := [name for name, exists in known.items() if exists]:
            return found
        whole = self._stored(folder)
        return [str(name) for name in whole.list_candidate_matches()] if whole.exists() else []

    def time(self, path: str) -> float | None:
        """Return when a file was written (s since 1970), or None if there is no such file."""
        item = self._stored(path)
        if item is None:
            return os.stat(path).st_mtime if Path(path).is_file() else None
        return float(item.mtime()) if item.exists() else None


def _between(pattern: str, names: Any) -> Iterator[str]:
    """Yield what names hold in place of the field of a pattern; a field's name has no slash."""
    before, after = map(re.escape, pattern.split(FIELD))
    matches = (re.fullmatch(f"{before}([^/]*){after}", name, re.DOTALL) for name in names)
    return (match[1] for match in matches if match)


def check_stored(config: Config) -> None:
    """Raise `ConfigError` where a setting needs results on this machine, and they are stored."""
    if config.sources:
        do = "build the cubes without storage, and name them in paths.datacube_template"
        must = "empty where results are on an object store"
        raise ConfigError(must_be("sources", must, ", ".join(config.sources), do))
    if config.on_bad_field == "skip":
        must = "stop where results are on an object store"
        raise ConfigError(must_be("on_bad_field", must, "skip", "leave bad fields out of fields"))


def hand_down_copies(copies: str | Path, environment: MutableMapping[str, str]) -> None:
    """Tell jobs where the local copies of stored results are.

    Parameters
    ----------
    copies : path
        Folder of the copies; empty where results are on this machine.
    environment : mapping
        ``os.environ``; jobs inherit it.
    """
    environment[VARIABLE] = str(copies)


def kept_folder(output: str | Path, environment: Mapping[str, str]) -> Path:
    """Return the folder of files that a job keeps beside an output, and no rule declares.

    Such files are checkpoints. Snakemake stores declared files alone, and local copies may be on a
    disk of one node. The folder is therefore that of the output in the working folder.
    """
    path, copies = Path(output), environment.get(VARIABLE)
    if copies and path.is_relative_to(copies):
        path = path.relative_to(copies)
    return path.parent
