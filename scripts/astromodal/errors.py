"""Errors, and their grammar: *what must be …, got …; do …*."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path


class AstromodalError(ValueError):
    """An error that the user can correct; its message says how."""


class ConfigError(AstromodalError):
    """A setting is invalid."""


class DataError(AstromodalError):
    """A datacube is invalid."""


class ChangedError(DataError):
    """A datacube was changed while it was read."""


class FormatError(AstromodalError):
    """A file of the workflow is damaged, or belongs to another run, tokenizer or version."""


class MachineError(AstromodalError):
    """Disk, memory or a limit of the operating system is insufficient."""


REPAIR = "repair the cube, or leave the field out of `fields`"
"""Advice for an invalid cube."""
_AGAIN = "and run the same command again"
_OWNED = ("yours to read and write", f"see whose it and its folder are (ls -l), {_AGAIN}")
_DISK = {
    errno.ENOSPC: ("on a disk with room for it", f"make room on that disk, {_AGAIN}"),
    errno.EDQUOT: ("within your quota", f"delete what is not needed or ask for more, {_AGAIN}"),
    errno.EFBIG: ("within the limit of a file's size", f"raise it (ulimit -f), {_AGAIN}"),
    errno.EROFS: (
        "on a disk that may be written",
        f"have it mounted so or choose another paths.results, {_AGAIN}",
    ),
    errno.EACCES: _OWNED,
    errno.EPERM: _OWNED,
    errno.EIO: ("on a disk that works", f"see what the system says of it (dmesg), {_AGAIN}"),
}
"""Requirement of a file, and advice, by error number of the operating system."""
_MEMORY = (
    "t allocate memory",
    "out of memory",
    "start new thread",
    "launch worker thread",
    "failed to map segment",
)
"""Parts of libraries' messages on a lack of memory."""
_FILES = (errno.EMFILE, errno.ENFILE)
_TOO_MANY = os.strerror(errno.EMFILE)


def machine_error(error: BaseException, path: str | Path | None = None) -> MachineError | None:
    """Return the `MachineError` for an error of disk, memory or system limits; None for any other.

    Parameters
    ----------
    error : exception
        The error; its causes are examined too, since libraries wrap errors in their own.
    path : path, optional
        The file that was written; if None, the file that the error names.
    """
    for each in _chain(error):
        if isinstance(each, MachineError):
            return each
        code = each.errno if isinstance(each, OSError) else None
        name = path or getattr(each, "filename", None)
        if code in _DISK and name is not None:
            must, do = _DISK[code]
            return MachineError(must_be(str(name), must, os.strerror(code), do))
        if code in _FILES or _TOO_MANY in str(each):
            do = "raise the limit (ulimit -n 4096) or run fewer jobs at once (--cores), "
            must = "fewer than the system allows"
            return MachineError(must_be("open files", must, _TOO_MANY, do + _AGAIN))
        if code == errno.ENOMEM or _lacks_memory(each):
            got = str(each).partition("\n")[0] or "no more"
            do = "run fewer jobs at once (--cores) or give the job more (mem_mb in the profile), "
            return MachineError(must_be("memory", "enough for the job", got, do + _AGAIN))
    return None


def _lacks_memory(error: BaseException) -> bool:
    """Return whether an exception is due to a lack of memory, by its type or message.

    A C library that fails without a message gives a `SystemError`. If the address space is limited,
    that is taken for a lack of memory.
    """
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    message = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or (limited and isinstance(error, SystemError))
        or any(words in message for words in _MEMORY)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def must_be(what: str, must: str, got: object, do: str | None = None) -> str:
    """Return the message *what must be must, got got; do*.

    Parameters
    ----------
    what : str
        The dotted name of a setting, or a field and file.
    must : str
        Valid values, without the words "must be".
    got : object
        The invalid value; shown with ``repr`` unless it is text.
    do : str, optional
        Advice.
    """
    shown = got if isinstance(got, str) else repr(got)
    return f"{what} must be {must}, got {shown}" + (f"; {do}" if do else "")


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the candidate that is spelt most like `name`, ignoring case, or None."""
    spelt = {candidate.casefold(): candidate for candidate in candidates}
    close = get_close_matches(name.casefold(), list(spelt), n=1, cutoff=cutoff)
    return spelt[close[0]] if close else None


def suggestion(name: str, candidates: Iterable[str]) -> str:
    """Return ``"; nearest: 'x'"`` for the candidate spelt most like `name`, or an empty text."""
    close = nearest(name, candidates)
    return f"; nearest: {close!r}" if close else ""


def missing_column(
    field: str, file: str, column: str, columns: Iterable[str], do: str | None = None
) -> str:
    """Return the message that a cube lacks a column, with the nearest column and advice."""
    near = suggestion(column, columns)
    remedy = do or (None if near else REPAIR)
    message = f"field {field}: column {column!r} is missing from {file}{near}"
    return f"{message}; {remedy}" if remedy else message
