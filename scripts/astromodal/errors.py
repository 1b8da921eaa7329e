"""Errors, in one grammar: what must be what, what was found, and what to do about it."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path


class AstromodalError(ValueError):
    """An error that a user can mend; its message says how."""


class ConfigError(AstromodalError):
    """A setting is not what it must be."""


class DataError(AstromodalError):
    """A datacube is not what it must be."""


class ChangedError(DataError):
    """A datacube was written to while it was read."""


class FormatError(AstromodalError):
    """A file that astromodal wrote is damaged, or belongs to something else."""


class MachineError(AstromodalError):
    """The disk, the memory or a limit of the system is not what the work takes."""


MEND = "mend the cube, or leave the field out of `fields`"
"""What to do about a bad cube."""
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
"""What a file must be and what to do, by what the operating system says of it."""
_MEMORY = ("t allocate memory", "out of memory", "start new thread", "failed to map segment")
"""What libraries say that have an error of their own for it."""
_FILES = (errno.EMFILE, errno.ENFILE)
_TOO_MANY = os.strerror(errno.EMFILE)


def machine_error(error: BaseException, path: str | Path | None = None) -> MachineError | None:
    """What an error comes to that is the disk's, the memory's or the system's; None for any other.

    Parameters
    ----------
    error : exception
        Which may have another one as its cause, as that of a library has.
    path : path, optional
        The file that was being written; without it, the one that the error names.
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
    """Whether an exception is that of a lack of memory, by its kind or by what it says.

    Python's own is a `SystemError` where a library in C forgets to say why it failed: with a limit
    of the address space, that is why.
    """
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    said = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or (limited and isinstance(error, SystemError))
        or any(words in said for words in _MEMORY)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def must_be(what: str, must: str, got: object, do: str | None = None) -> str:
    """Say *what must be must, got got; do do*.

    Parameters
    ----------
    what : str
        The dotted name of a setting, or a field and file.
    must : str
        What it must be, without the words "must be".
    got : object
        What was found instead; shown with ``repr`` unless it is text.
    do : str, optional
        What the reader can do.
    """
    shown = got if isinstance(got, str) else repr(got)
    return f"{what} must be {must}, got {shown}" + (f"; {do}" if do else "")


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The candidate spelt most like `name`, in whatever case, or None where none is close."""
    spelt = {candidate.casefold(): candidate for candidate in candidates}
    close = get_close_matches(name.casefold(), list(spelt), n=1, cutoff=cutoff)
    return spelt[close[0]] if close else None


def suggestion(name: str, candidates: Iterable[str]) -> str:
    """``"; nearest: 'x'"`` for the candidate spelt most like `name`, or nothing."""
    close = nearest(name, candidates)
    return f"; nearest: {close!r}" if close else ""


def missing_column(
    field: str, file: str, column: str, columns: Iterable[str], do: str | None = None
) -> str:
    """Say that a cube lacks a column, which one is spelt most like it, and what to do."""
    near = suggestion(column, columns)
    remedy = do or (None if near else MEND)
    said = f"field {field}: column {column!r} is missing from {file}{near}"
    return f"{said}; {remedy}" if remedy else said
