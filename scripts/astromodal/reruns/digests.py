"""Code digests of all rules, computed once per run and inherited by its jobs.

Snakemake's main process records the parameters of a job, the digest of its rule's code among them,
and compares them when it plans. A job on a cluster reads the rules again, in a process of its own.
It inherits the digests of the plan in an environment variable, with a hash of the sizes and times
of all source files. Where a source file has changed since, the job computes the digests itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import astuple
from pathlib import Path
from typing import Final

from astromodal.reruns.code_graph import Code, code_digests
from astromodal.reruns.definitions import PACKAGE
from astromodal.storage.hashing import FileVersion, hash_values

VARIABLE: Final = "ASTROMODAL_CODE"
"""Environment variable of jobs: a hash of the sources, then lines ``rule=digest``."""


def digest(code: Mapping[str, str]) -> str:
    """Return one digest of all definitions that a rule's script reaches.

    The names of the extension files among them follow: ``0123456789abcdef/my_survey.py``.
    """
    return "/".join([hash_values(dict(code)), *(name for name in code if name.endswith(".py"))])


def plan_digests(
    scripts: Path, extensions: Iterable[str | Path], environment: MutableMapping[str, str]
) -> Code:
    """Compute the digests of all rules, and hand them down to jobs.

    Parameters
    ----------
    scripts : path
        The folder of the entry scripts and of the package.
    extensions : iterable of path
        Python files of a user, as in `code_digests`.
    environment : mapping
        ``os.environ``; jobs inherit it.

    Returns
    -------
    mapping
        The digests of definitions by rule.
    """
    extensions = tuple(extensions)
    # Before the files are read, so that an edit meanwhile makes the hash differ from the job's.
    sources = _hash_sources(scripts, extensions)
    code = {path.stem: code_digests(path, scripts, extensions) for path in _entry_scripts(scripts)}
    items = (f"{rule}={digest(table)}" for rule, table in code.items())
    environment[VARIABLE] = "\n".join([sources, *items])
    return code


def job_digests(
    scripts: Path, extensions: Iterable[str | Path], environment: MutableMapping[str, str]
) -> dict[str, str]:
    """Return one digest per rule: the plan's while the sources are the same, else new ones.

    Parameters are those of `plan_digests`.
    """
    extensions = tuple(extensions)
    sources, *items = environment.get(VARIABLE, "").split("\n")
    if sources == _hash_sources(scripts, extensions):
        return dict(item.split("=", 1) for item in items)
    code = plan_digests(scripts, extensions, environment)
    return {rule: digest(table) for rule, table in code.items()}


def _entry_scripts(scripts: Path) -> list[Path]:
    return sorted(scripts.glob("*.py"))


def _hash_sources(scripts: Path, extensions: Iterable[str | Path]) -> str:
    """Return a hash of the paths, sizes and times of all files that digests are made from."""
    folder = scripts.resolve()
    files = [*map(str, _entry_scripts(folder)), *_files_below(folder / PACKAGE)]
    files += [str(Path(path).resolve()) for path in extensions]
    return hash_values([[path, *_version(path)] for path in sorted(files)])


def _version(path: str) -> tuple[int, ...]:
    """Return the size and time of a file; nothing of an editor's link to no file."""
    try:
        return astuple(FileVersion.of(path))
    except FileNotFoundError:
        return ()


def _files_below(folder: Path) -> Iterator[str]:
    """Yield the files of a package, compiled ones left out."""
    for above, _, names in os.walk(folder):
        if os.path.basename(above) != "__pycache__":
            yield from (os.path.join(above, name) for name in names)
