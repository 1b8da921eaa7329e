"""Checks of the names and types of a cube's columns, made before any job reads the cube.

They take the result of `Footer.kinds`, which plans store. No parquet library is imported here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from astromodal.config.schema import Config
from astromodal.core.fields import NO_IMAGES
from astromodal.data.columns import (
    ACCEPTED,
    NAME_CUT,
    NAME_IDS,
    Column,
    cutout_column,
    planned_columns,
)
from astromodal.errors import REPAIR, missing_column, must_be, nearest
from astromodal.surveys.registry import spectrum_group

Kinds = Sequence[tuple[str, str]]
"""Name of each column of a cube and what it holds, as `Footer.kinds` returns them."""
_CLOSE = 0.8
"""Similarity of two names above which one may be the other misspelt."""
ALMOST: Final = 0.95
"""Similarity above which one name is the other misspelt, and not the name of another band."""
_SHOWN = 5
"""Most columns that one line names."""


class ColumnError(NamedTuple):
    """What stops the jobs on a cube.

    Attributes
    ----------
    column : str
        The column; empty where the error is about the whole cube.
    line : str
        What is wrong, with the advice.
    do : str
        The advice.
    """

    column: str
    line: str
    do: str


def cube_errors(field: str, file: str, kinds: Kinds, config: Config) -> list[str]:
    """Return the lines of `column_errors`."""
    return [error.line for error in column_errors(field, file, kinds, config)]


def column_errors(field: str, file: str, kinds: Kinds, config: Config) -> list[ColumnError]:
    """Return the errors that would stop the jobs on a cube.

    Parameters
    ----------
    field, file : str
        Names of the field and of its file, for the errors.
    kinds : sequence of (str, str)
        The columns of the cube.
    config : Config
        The configuration, which names the columns that are read.

    Returns
    -------
    list of ColumnError
        In the order of the columns' purposes.
    """
    held, named = dict(kinds), f"field {field}: column"
    if error := repeated_names(field, file, [name for name, _ in kinds]):
        return [ColumnError("", error, REPAIR)]
    read, cut = read_columns(config), config.selection.column
    errors = [
        ColumnError(name, missing_column(field, file, name, held, do), do)
        for name, do in ((config.columns.id, NAME_IDS), (cut, NAME_CUT))
        if name is not None and name not in held
    ]
    for column in read.values():
        must, accepted = ACCEPTED[column.kind]
        if column.name in held and held[column.name] not in accepted:
            what, got = f"{named} {column.name!r} of {file}", held[column.name]
            errors.append(ColumnError(column.name, must_be(what, must, got, REPAIR), REPAIR))
    for group in map(spectrum_group, config.tokenizers.spectrum.groups):
        lacking = group.lacking(held)
        if lacking and not group.partial:
            line = missing_column(field, file, lacking[0], held)
            do = f"add it, or leave all columns of the group {group.name} out"
            errors.append(ColumnError(lacking[0], line, do))
    if not errors and held.keys().isdisjoint(read.keys() - {config.columns.id}):
        must = f"some of those that are read, such as {', '.join(list(read)[1:_SHOWN])}"
        got = f"none of them, but {_listed(list(held))}"
        line = must_be(f"field {field}: columns of {file}", must, got, REPAIR)
        errors.append(ColumnError("", line, REPAIR))
    return errors


def repeated_names(field: str, file: str, names: Sequence[str]) -> str | None:
    """Return the error of a cube with two columns of one name; None where names are unique."""
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    what = f"field {field}: column names of {file}"
    return must_be(what, "unique", f"{twice[:3]} twice", REPAIR) if twice else None


def unread_lists(kinds: Kinds, read: Collection[str]) -> list[str]:
    """Return the columns of lists that are not read, each with the nearest name that is read.

    Spectra, light curves and cutouts are the only lists of a cube. A list that is not read likely
    is one of them by another name, or belongs to a group or band that the configuration leaves
    out.
    """
    return [_beside(name, close) for name, close in nearest_of_unread(kinds, read).items()]


def nearest_of_unread(kinds: Kinds, read: Collection[str]) -> dict[str, str | None]:
    """Return the columns of `unread_lists`, and for each the nearest that is read and absent."""
    held = {name for name, _ in kinds}
    wanted = [name for name in read if name not in held]
    unread = [name for name, kind in kinds if kind == "lists" and name not in read]
    return {name: nearest(name, wanted, _CLOSE) for name in unread}


def misspelt(kinds: Kinds, wanted: Iterable[str]) -> list[str]:
    """Return the wanted columns that a cube lacks while it has one of almost the same name."""
    return [_beside(name, close) for name, close in nearest_of_absent(kinds, wanted).items()]


def nearest_of_absent(kinds: Kinds, wanted: Iterable[str]) -> dict[str, str]:
    """Return the columns of `misspelt`, and for each the column of almost the same name."""
    wanted = list(wanted)
    others = [name for name, _ in kinds if name not in wanted]
    absent = [name for name in wanted if name not in dict(kinds)]
    return {name: close for name in absent if (close := nearest(name, others, ALMOST))}


def notices(cubes: Mapping[str, Kinds], config: Config, fitted: Collection[str]) -> list[str]:
    """Return notices on columns: configured but in no cube, or present but not read.

    Parameters
    ----------
    cubes : mapping of str to kinds
        Columns of the cubes, by field.
    config : Config
        The configuration, which names the columns that are read.
    fitted : collection of str
        Fields that tokenizers are fitted on.

    Returns
    -------
    list of str
        One line per notice.
    """
    read = read_columns(config)
    held = {name for kinds in cubes.values() for name, _ in kinds}
    lines = [*_nowhere(read, held), *_not_read(cubes, read)]
    cutouts = {cutout_column(band) for band in config.tokenizers.image.bands}
    filled = {name for field in fitted for name, kind in cubes.get(field, ()) if kind != "nothing"}
    if fitted and cutouts.isdisjoint(filled):
        lines.append(f"no cube of tokenizers.fields has cutouts: {NO_IMAGES}")
    if held.isdisjoint((config.columns.ra, config.columns.dec)):
        lines.append(
            "no cube has positions: objects are split by their ids, and neighbours on the sky may "
            "stand in different splits"
        )
    return lines


def read_columns(config: Config) -> dict[str, Column]:
    """Return every column that is read, by name; its first purpose where it has several."""
    read: dict[str, Column] = {}
    for column in chain.from_iterable(planned_columns(config).values()):
        read.setdefault(column.name, column)
    return read


def _nowhere(read: Mapping[str, Column], held: Collection[str]) -> list[str]:
    """Return one line per setting of which some columns are in no cube."""
    absent = defaultdict(list)
    for name, column in read.items():
        if name not in held and column.setting and column.kind != "flag":
            absent[column.setting].append(name)
    lines = []
    for setting, names in absent.items():
        spare = sorted(n for n in held if n not in read or read[n].setting != setting)
        shown = sorted((_with_nearest(name, spare) for name in names), key=lambda s: "(" not in s)
        lines.append(f"in no cube, of {setting}: {_listed(shown)}")
    return lines


def _not_read(cubes: Mapping[str, Kinds], read: Mapping[str, Column]) -> list[str]:
    """Return one line on all columns of lists that some cube has and that are not read."""
    unread: dict[str, list[str]] = defaultdict(list)
    for field, kinds in cubes.items():
        for name in unread_lists(kinds, read):
            unread[name].append(field)
    if not unread:
        return []
    fields = list(dict.fromkeys(field for having in unread.values() for field in having))
    where = f" (in {_listed(fields, 3)})" if len(fields) < len(cubes) else ""
    return [f"lists that are not read{where}: {_listed(list(unread), 2 * _SHOWN)}"]


def _with_nearest(name: str, candidates: Iterable[str]) -> str:
    return _beside(name, nearest(name, candidates, _CLOSE))


def _beside(name: str, close: str | None) -> str:
    return f"{name!r} (nearest: {close!r})" if close else repr(name)


def _listed(names: Sequence[str], most: int = _SHOWN) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
