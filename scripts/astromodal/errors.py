"""Errors, in one grammar: what must be what, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate spelt most like `name`, or None where none is close."""
    close = get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return close[0] if close else None


def suggestion(name: str, candidates: Iterable[str]) -> str:
    """``"; nearest: 'x'"`` for the candidate spelt most like `name`, or nothing."""
    close = nearest(name, candidates)
    return f"; nearest: {close!r}" if close else ""
