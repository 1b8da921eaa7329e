"""Settings that are paths: what a shell makes of them, and what Snakemake can use."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import Annotated, Final

from pydantic import AfterValidator, Field

FIELD: Final = "{field}"
"""Stands for a field's name in ``paths.datacube_template``."""
LAST: Final = "last"
"""Stands in ``training.init_from`` for the run's own last model."""
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}|)", re.ASCII)
_REPLACED = re.compile(r"[{}]|<[a-z][a-z0-9_]*>")
"""What Snakemake replaces in a path: wildcards, and path variables of its own."""


def expanded(path: str) -> str:
    """Replace ``~``, ``~user``, ``$VAR`` and ``${VAR}`` in a path, as a shell does.

    A path that is expanded already stays the same: jobs are given those, and validate them again.

    Raises
    ------
    ValueError
        Where a variable is not set or empty, there is no such user, or the path holds a character
        that cannot be printed, or a part that Snakemake would replace.
    """
    home = os.path.expanduser(path)
    if home.startswith("~"):
        raise _wrong("begin with the home folder of a user", path, "write ./~ for a folder's name")
    found = _VARIABLE.sub(lambda match: _value(match[1] or match[2], path), home)
    if not found.isprintable():
        raise _wrong("hold printable characters only", found)
    if found.startswith("~") or "$" in found:
        raise _wrong("hold no ~ or $ once variables are replaced", found)
    if replaced := _REPLACED.search(found.replace(FIELD, "")):
        what = f"hold no {replaced[0]}, which Snakemake would replace"
        raise _wrong(what, found, "rename the folder")
    return found


def folder(path: str) -> str:
    """Expand a path that is no pattern; ``./x//y/`` becomes x/y, which is Snakemake's form."""
    return _plain(_of_one(expanded(path)))


def template(path: str) -> str:
    """Expand a path that holds ``{field}`` once."""
    found = expanded(path)
    if found.count(FIELD) != 1:
        raise _wrong(f"hold {FIELD} exactly once", found)
    return _plain(found)


def model_file(path: str) -> str:
    """Expand the path of one model; `LAST` stays."""
    return path if path == LAST else _of_one(expanded(path))


FolderPath = Annotated[str, Field(min_length=1), AfterValidator(folder)]
TemplatePath = Annotated[str, Field(min_length=1), AfterValidator(template)]
ModelPath = Annotated[str, Field(min_length=1), AfterValidator(model_file)]


def _plain(path: str) -> str:
    """A path without ``.`` and empty parts; one that begins with ``~`` keeps what quotes that."""
    found = str(PurePosixPath(path))
    return f"./{found}" if found.startswith("~") else found


def _value(name: str | None, path: str) -> str:
    """What a variable stands for."""
    if name is None:
        raise _wrong("hold the name of a variable after $", path)
    value = os.environ.get(name)
    if not value:
        must = f"hold variables that are set, and {name} is not"
        raise _wrong(must, path, f"export {name}, or write what it stands for")
    return value


def _of_one(path: str) -> str:
    if FIELD in path:
        raise _wrong(f"hold no {FIELD}", path, "name one for all fields")
    return path


def _wrong(must: str, got: str, do: str | None = None) -> ValueError:
    """The error in the grammar of `must_be`; what reports it puts the setting's name before it."""
    return ValueError(f"must {must}, got {got!r}" + (f"; {do}" if do else ""))
