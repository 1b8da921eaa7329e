"""The reader of catalogues: positions, ids and columns of numbers or text, named by a preset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from astromodal.config.sources import ColumnRule, Preset, SourceSettings
from astromodal.errors import DataError, must_be, suggestion
from astromodal.sources.base import RESERVED
from astromodal.sources.files import RawFile, list_files, one_per_catalogue
from astromodal.sources.presets import load_preset
from astromodal.sources.raw_columns import (
    RawColumn,
    content_digest,
    group_of,
    numbers,
    texts,
    whole_numbers,
)
from astromodal.sources.tables import ROWS, RawTable, open_table

_TYPES: Final = {
    "float64": pa.float64(),
    "float32": pa.float32(),
    "int64": pa.int64(),
    "text": pa.string(),
}
_NO_POSITION: Final = "no position"
_BYTES = 32 << 20  # of the numbers that a batch holds


@dataclass(frozen=True)
class _Resolved:
    """The raw columns of one file that a preset's rules come to.

    Attributes
    ----------
    ra, dec : str
        Columns of the position.
    id : tuple of str
        Columns whose texts, joined by a hyphen, are the id; none where the file has no id.
    field : tuple of (str, str or None), optional
        Column of the field's name, and the pattern in it.
    pmra, pmdec, epoch : str, optional
        Columns of the motion that the file has.
    columns : dict of str to str
        Raw column by column of the cube.
    """

    ra: str
    dec: str
    id: tuple[str, ...]
    field: tuple[str, str | None] | None
    pmra: str | None
    pmdec: str | None
    epoch: str | None
    columns: dict[str, str]

    @property
    def raw(self) -> list[str]:
        """The raw columns that are read, each once."""
        named = [self.ra, self.dec, *self.id, self.pmra, self.pmdec, self.epoch]
        named += [None if self.field is None else self.field[0], *self.columns.values()]
        return list(dict.fromkeys(name for name in named if name is not None))


class CatalogueReader:
    """Reads catalogues in any format of `open_table`, with the column names of a preset.

    Of the names that a rule of the preset lists, the first that a file holds counts, in the same
    case; if the file holds none of them, the only column that has one of the names in another case.

    Parameters
    ----------
    name : str
        Name of the source.
    settings : SourceSettings
        Its settings.

    Raises
    ------
    ConfigError
        If the preset is invalid.
    """

    in_index: ClassVar[bool] = True

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self._name, self._settings = name, settings
        self._preset: Preset = load_preset(settings.preset or "")

    def schema(self) -> pa.Schema:
        """Return the columns of the cube that one of the files gives, in the preset's order.

        The header of each file is read; of a HATS catalogue, that of one leaf.
        """
        return self._schema

    @cached_property
    def _schema(self) -> pa.Schema:
        held = set[str]()
        for file in one_per_catalogue(list_files(self._name, self._settings)):
            held |= self._resolve(open_table(file.path, self._name)).columns.keys()
        rules = self._preset.columns
        return pa.schema([(name, _TYPES[rules[name].type]) for name in rules if name in held])

    def index(self, file: RawFile) -> Iterator[pa.Table]:
        """Yield one row per object of a file, in the file's order.

        Parameters
        ----------
        file : RawFile
            The file.

        Yields
        ------
        pyarrow.Table
            The reserved columns, ``_key`` and ``_field`` as text, and the columns of `schema`,
            which are null where this file lacks them. ``_ra`` is in [0, 360); both coordinates are
            null where one of them is missing or outside its range. Columns that the file does not
            have do not change ``_digest``.

        Raises
        ------
        DataError
            If the file is damaged, has no positions or no column of the preset, or a value is no
            number or cannot be kept exactly.
        """
        table = open_table(file.path, self._name)
        found = self._resolve(table)
        rows = max(1024, min(ROWS, _BYTES // (8 * max(1, len(found.raw)))))
        start = 0
        for batch in table.batches(found.raw, rows, self._types(table, found)):
            raw = {
                name: RawColumn(self._name, table, name, batch.column(name), start)
                for name in batch.column_names
            }
            yield self._indexed(found, raw, len(batch), start)
            start += len(batch)

    def read(self, file: RawFile, rows: np.ndarray) -> pa.Table:
        """Return the columns of `schema` of some rows, which the index holds as well.

        Parameters
        ----------
        file : RawFile
            The file.
        rows : int64 (k,)
            Values of ``_row``, ascending.
        """
        tables = []
        for table in self.index(file):
            first = table.column("_row")[0].as_py()
            inside = rows[(rows >= first) & (rows < first + len(table))]
            tables.append(table.select(self._schema.names).take(inside - first))
        return pa.concat_tables(tables)

    def _resolve(self, table: RawTable) -> _Resolved:
        """Return the raw columns of a file that the rules come to."""
        preset, names = self._preset, table.names
        motion, parts = preset.motion, [_held((part,), names) for part in preset.id_parts]
        one = _held(preset.id or (), names)
        by_parts = tuple(p for p in parts if p) if all(parts) else ()
        column = {cube: _held(rule.names, names) for cube, rule in preset.columns.items()}
        columns = {cube: raw for cube, raw in column.items() if raw is not None}
        if preset.columns and not columns:
            wanted = [rule.names[0] for rule in preset.columns.values()]
            raise self._lacks(table, "columns", wanted)
        epoch = motion.epoch if motion and isinstance(motion.epoch, str) else None
        fields = ((_held((rule.column,), names), rule.pattern) for rule in preset.field)
        return _Resolved(
            ra=self._needed(table, preset.ra, "right ascension"),
            dec=self._needed(table, preset.dec, "declination"),
            id=(one,) if one else by_parts,
            field=next(((raw, pattern) for raw, pattern in fields if raw), None),
            pmra=_held((motion.pmra,), names) if motion else None,
            pmdec=_held((motion.pmdec,), names) if motion else None,
            epoch=_held((epoch,), names) if epoch else None,
            columns=columns,
        )

    def _needed(self, table: RawTable, wanted: Sequence[str], what: str) -> str:
        found = _held(wanted, table.names)
        if found is None:
            raise self._lacks(table, what, wanted)
        return found

    def _lacks(self, table: RawTable, what: str, wanted: Sequence[str]) -> DataError:
        """Return the error of a file without a column, with the nearest of its columns."""
        shown = ", ".join(wanted[:3]) + (", …" if len(wanted) > 3 else "")
        near = next(filter(None, (suggestion(name, table.names) for name in wanted)), "")
        message = must_be(
            f"source {self._name}: {table.path}: {what}",
            f"in a column named as preset {self._settings.preset} says ({shown})",
            "no such column",
            "name another preset, or copy this one and write the file's names into it",
        )
        return DataError(message + near)

    def _types(self, table: RawTable, found: _Resolved) -> dict[str, pa.DataType]:
        """Return the types in which columns without a stated type are parsed."""
        if not table.is_text:
            return {}
        exact = {*found.id, found.field[0] if found.field else None}
        for cube, raw in found.columns.items():
            rule = self._preset.columns[cube]
            if rule.type in ("int64", "text") or rule.element is not None:
                exact.add(raw)
        unstated = (name for name in found.raw if name not in table.types)
        return {name: pa.string() if name in exact else pa.float64() for name in unstated}

    def _indexed(self, found: _Resolved, raw: dict[str, RawColumn], n: int, start: int) -> pa.Table:
        """Return the index of some rows of a file."""
        ra, dec = _position(numbers(raw[found.ra], "deg"), numbers(raw[found.dec], "deg"))
        lost = np.isnan(ra)
        columns = {name: self._cube_column(name, raw[col]) for name, col in found.columns.items()}
        own = {
            "_key": _joined([texts(raw[name]) for name in found.id], n),
            "_field": self._fields(found, raw, n),
            "_ra": pa.array(ra, mask=lost),
            "_dec": pa.array(dec, mask=lost),
            **self._motion(found, raw, n),
            "_row": pa.array(np.arange(start, start + n)),
            "_rank": pa.array(np.zeros(n)),
            "_reason": pa.array(np.where(lost, _NO_POSITION, ""), pa.string(), mask=~lost),
            "_digest": pa.array(content_digest(columns, n)),
        }
        for each in self._schema:
            own[each.name] = columns.get(each.name, pa.nulls(n, each.type))
        first = ("_key", "_field", *RESERVED.names)
        return pa.table({name: own[name] for name in (*first, *self._schema.names)})

    def _cube_column(self, name: str, raw: RawColumn) -> pa.Array:
        """Return a column of the cube."""
        rule = self._preset.columns[name]
        if rule.type == "text":
            return texts(raw, rule.prefix, rule.element)
        sentinels = self._sentinels(name, rule)
        if rule.type == "int64":
            return whole_numbers(raw, sentinels, rule.element)
        values = numbers(raw, rule.unit, name, sentinels, rule.element)
        with np.errstate(over="ignore"):  # a value beyond float32 is infinite, and so missing
            values = values.astype(rule.type)
        return pa.array(values, mask=~np.isfinite(values))

    def _sentinels(self, name: str, rule: ColumnRule) -> tuple[float, ...]:
        """Return the values that stand for a missing one in a column of the cube."""
        patterns = self._preset.sentinels
        named = [patterns[each] for each in patterns if fnmatchcase(name, each)]
        return (*rule.sentinels, *(value for group in named for value in group))

    def _fields(self, found: _Resolved, raw: dict[str, RawColumn], n: int) -> pa.Array:
        """Return the name of each row's field, text (n,); null where there is none."""
        if found.field is None:
            return pa.nulls(n, pa.string())
        column, pattern = found.field
        names = texts(raw[column])
        return names if pattern is None else group_of(names, pattern)

    def _motion(self, found: _Resolved, raw: dict[str, RawColumn], n: int) -> dict[str, pa.Array]:
        """Return epoch (Julian year) and proper motions (mas / yr)."""
        motion = self._preset.motion
        epoch = np.full(n, np.nan)
        if found.epoch is not None:
            epoch = numbers(raw[found.epoch], "yr")
        elif motion is not None and isinstance(motion.epoch, float):
            epoch = np.full(n, motion.epoch)
        values = {"_epoch": epoch}
        for name, column in (("_pmra", found.pmra), ("_pmdec", found.pmdec)):
            values[name] = np.full(n, np.nan)
            if column is not None:
                values[name] = numbers(raw[column], "mas / yr")
        return {name: pa.array(each, mask=np.isnan(each)) for name, each in values.items()}


def _held(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the first of some names that a file holds, or None.

    If it holds none of them, the case of letters does not count, where that leaves one column only.
    """
    for name in wanted:
        if name in names:
            return name
    for name in wanted:
        alike = [each for each in names if each.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0]
    return None


def _position(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ra in [0, 360) and dec, float64 (n,); both NaN where one is not valid."""
    valid = (np.abs(ra) <= 360) & (np.abs(dec) <= 90)
    turned = np.mod(np.where(valid, ra, np.nan), 360.0)
    turned[turned == 360.0] = 0.0  # the remainder of a tiny negative number
    return turned, np.where(valid, dec, np.nan)


def _joined(parts: Sequence[pa.Array], n: int) -> pa.Array:
    """Return ids of parts that are joined by a hyphen; null where a part is."""
    import pyarrow.compute as pc

    if not parts:
        return pa.nulls(n, pa.string())
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "-")
