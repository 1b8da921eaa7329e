"""Light curves: nested in one row per object, or with one row per measurement (long form).

Columns are those that a preset names. Nested columns are structs of lists or lists of structs, as
in HATS catalogues (parquet), or plain columns of lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.config.sources import LongRule, Preset, SourceSettings
from astromodal.data.values import is_sentinel
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.sources.files import RawFile
from astromodal.sources.presets import load_preset
from astromodal.sources.raw_table import RawTable
from astromodal.sources.rows import fields_of, index_table, is_list, row_digests, unpacked
from astromodal.sources.tables import open_table
from astromodal.surveys.ztf import GROUPS

_BANDS: Final = tuple(group.name.removeprefix("ztf_") for group in GROUPS)
_KINDS: Final = {"list<float32>": pa.float32(), "list<float64>": pa.float64()}
_ROWS: Final = 4096
"""Nested rows that are in memory at once."""
_MOST: Final = 10_000_000
"""Most measurements of a file in long form that are held until their objects are complete, some
400 MB. Where the measurements of an object follow each other, few are held."""
_JULIAN: Final = 2_400_000.0
"""Times above this one are Julian dates: MJD reaches it in the year 8429."""


class LightCurveReader:
    """A reader of light curves."""

    in_index: ClassVar[bool] = False

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self._name, self._preset = name, load_preset(settings.preset or "")
        if self._preset.curves is None:
            what, must = f"sources.{name}.preset", "a preset with curves"
            raise ConfigError(must_be(what, must, repr(settings.preset)))
        self._rule = self._preset.curves

    def schema(self) -> pa.Schema:
        """Return the columns of a cube: magnitudes, errors and times of the preset's bands."""
        return pa.schema(
            [
                (column.name, pa.list_(_KINDS[column.dtype]))
                for band, group in zip(_BANDS, GROUPS, strict=True)
                for column in group.columns
                if band in self._rule.bands.values()
            ]
        )

    def index(self, file: RawFile) -> Iterator[pa.Table]:
        """Yield one row per object.

        ``_row`` is the row of an object, in long form that of its first measurement, where its
        position is taken from. ``_rank`` is the number of good measurements. Objects of a file in
        long form come as they are complete.

        Raises
        ------
        DataError
            Where the file is damaged, lacks a column that the preset names, has times that are no
            MJD, or holds more measurements in no order than fit in memory.
        """
        for rows, about, curves in self._open(file).objects():
            columns = curves.columns(len(rows), self.schema())
            n = np.bincount(curves.owner, minlength=len(rows))
            placed = np.isfinite(about["ra"]) & np.isfinite(about["dec"])
            reason = np.where(placed, np.where(n > 0, "", "no good measurement"), "no position")
            yield index_table(
                rows, about["id"], row_digests(columns), ra=about["ra"], dec=about["dec"],
                rank=n, reason=[text or None for text in reason.tolist()],
            )  # fmt: skip

    def read(self, file: RawFile, rows: np.ndarray) -> pa.Table:
        """Return the light curves of some objects.

        Returns
        -------
        table
            Lists ascend in time. Measurements with a time, magnitude or error that is not finite or
            is a sentinel, an error that is not positive, another band, or a flag, are left out. A
            band without a measurement is null.

        Raises
        ------
        DataError
            As `index` does, and where the file has no such row.
        """
        wanted = np.asarray(rows, np.int64)
        if not len(wanted):
            return self.schema().empty_table()
        return self._open(file).chosen(wanted).columns(len(wanted), self.schema())

    def _open(self, file: RawFile) -> _Nested | _Long:
        table = open_table(file.path, self._name)
        nested = self._rule.nested
        if nested in table.names or is_list(table.types.get(self._rule.time)):
            return _Nested(table, self._preset, self._rule)
        if self._rule.time not in table.names and nested is not None:
            must = f"a table with a column {nested!r}, or {self._rule.time!r} in long form"
            near = suggestion(nested, table.names)
            raise table.error(must, f"{len(table.names)} others{near}")
        return _Long(table, self._preset, self._rule)


@dataclass(frozen=True)
class _Curves:
    """Good measurements of some objects.

    Attributes
    ----------
    owner : int64 (n,)
        Number of the object.
    band : int8 (n,)
        Number of the band.
    time, mag, error : float64 (n,)
        MJD (day), magnitude and its error.
    """

    owner: np.ndarray
    band: np.ndarray
    time: np.ndarray
    mag: np.ndarray
    error: np.ndarray

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, chosen: np.ndarray) -> _Curves:
        """Return measurements chosen by a mask or by number."""
        return _Curves(*(values[chosen] for values in vars(self).values()))

    @classmethod
    def join(cls, parts: list[_Curves]) -> _Curves:
        """Return the measurements of all parts."""
        every = [vars(part).values() for part in parts]
        return cls(*(np.concatenate(columns) for columns in zip(*every, strict=True)))

    def numbered(self, objects: np.ndarray) -> _Curves:
        """Return the measurements with the places of their owners among ascending numbers."""
        return _Curves(**{**vars(self), "owner": np.searchsorted(objects, self.owner)})

    def columns(self, n: int, schema: pa.Schema) -> pa.Table:
        """Return columns of lists of n objects, in the order of time."""
        ordered = self.take(np.lexsort((self.time, self.band, self.owner)))
        columns = {}
        for number, group in enumerate(GROUPS):
            own = ordered.take(ordered.band == number)
            lengths = np.bincount(own.owner, minlength=n)
            offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
            for name, values in zip(
                group.column_names, (own.mag, own.error, own.time), strict=True
            ):
                if name in schema.names:
                    flat = pa.array(values, schema.field(name).type.value_type)
                    empty = pa.array(lengths == 0)
                    columns[name] = pa.ListArray.from_arrays(offsets, flat, mask=empty)
        return pa.table([columns[name] for name in schema.names], schema=schema)


_About = dict[str, "pa.Array | np.ndarray"]
"""Ids, and positions (degree, float64), of some objects: ``id``, ``ra``, ``dec``."""


class _Columns:
    """The columns of a file that a preset names."""

    def __init__(self, table: RawTable, preset: Preset, rule: LongRule) -> None:
        self.table, self.rule, self.sentinels = table, rule, preset.sentinels
        self.ra, self.dec = self.first("ra", preset.ra), self.first("dec", preset.dec)
        self.id = None if preset.id is None else self.first("id", preset.id)
        self.measured = list(
            dict.fromkeys([rule.time, rule.mag, rule.error, rule.band, *rule.good])
        )

    def first(self, what: str, names: tuple[str, ...]) -> str:
        """Return the first of some names that the file has."""
        for name in names:
            if name in self.table.names:
                return name
        must = f"a table with a column {' or '.join(map(repr, names))} (preset: {what})"
        near = suggestion(names[0], self.table.names)
        raise self.table.error(must, f"{len(self.table.names)} others{near}")

    def require(self, names: list[str], held: list[str] | tuple[str, ...]) -> None:
        """Raise `DataError` where a column is missing."""
        for name in names:
            if name not in held:
                must = f"a table with a column {name!r} of measurements"
                raise self.table.error(must, f"{len(held)} others{suggestion(name, held)}")

    def about(self, batch: pa.Table) -> _About:
        """Return ids and positions of the rows of a batch."""
        ids = pa.nulls(len(batch), pa.string()) if self.id is None else self.ids(batch)
        return {"id": ids, "ra": self._floats(batch[self.ra]), "dec": self._floats(batch[self.dec])}

    def ids(self, batch: pa.Table) -> pa.Array:
        """Return the ids of a batch: int64 if the file states whole numbers, text if not."""
        column = batch[self.id].combine_chunks()
        with self.table.reading():
            return column.cast(pa.int64() if pa.types.is_integer(column.type) else pa.string())

    def good(self, owner: np.ndarray, columns: Mapping[str, pa.Array]) -> _Curves:
        """Return the good measurements of some, whose objects are `owner`, int64 (n,)."""
        rule = self.rule
        time, mag, error = (self._floats(columns[c]) for c in (rule.time, rule.mag, rule.error))
        with self.table.reading():
            named = columns[rule.band].cast(pa.string())
        known = pa.array(list(rule.bands), pa.string())
        at = pc.fill_null(pc.index_in(named, value_set=known), -1).to_numpy(zero_copy_only=False)
        numbers = np.array([*(_BANDS.index(band) for band in rule.bands.values()), -1], np.int8)
        band = numbers[at]
        keep = (band >= 0) & np.isfinite(time) & np.isfinite(mag) & np.isfinite(error) & (error > 0)
        for number, group in enumerate(GROUPS):
            for values, name in zip((mag, error), group.column_names[:2], strict=True):
                bad = is_sentinel(values, self._sentinels(name))
                keep &= ~(bad & (band == number))
        for name, accepted in rule.good.items():
            keep &= np.isin(self._floats(columns[name]), accepted)
        curves = _Curves(owner, band, time, mag, error).take(keep)
        if len(curves) and curves.time.max() > _JULIAN:
            must = f"a table with times in MJD in {rule.time!r}"
            raise self.table.error(must, f"{curves.time.max():.10g}", "subtract 2400000.5")
        return curves

    def _sentinels(self, name: str) -> np.ndarray:
        """Return the values that stand for a missing one in a column of the cube, float64."""
        own = [v for pattern, v in self.sentinels.items() if fnmatchcase(name, pattern)]
        return np.array([value for values in own for value in values])

    def _floats(self, column: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Return numbers, or texts of numbers, float64 (n,); NaN where null."""
        with self.table.reading():
            return pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()


class _Nested(_Columns):
    """A file with one row per object."""

    def __init__(self, table: RawTable, preset: Preset, rule: LongRule) -> None:
        super().__init__(table, preset, rule)
        self.column = rule.nested if rule.nested in table.names else None
        inside = [] if self.column is None else fields_of(table.types[self.column])
        self.inside = [name for name in self.measured if name in inside]
        self.outside = [name for name in self.measured if name not in inside]
        self.require(self.outside, [*inside, *table.names])

    def objects(self, rows: int = _ROWS) -> Iterator[tuple[np.ndarray, _About, _Curves]]:
        """Yield row, id, position and measurements of all objects, some at a time."""
        first = 0
        for batch in self._batches(rows):
            yield first + np.arange(len(batch)), self.about(batch), self._curves(batch)
            first += len(batch)

    def chosen(self, wanted: np.ndarray) -> _Curves:
        """Return the measurements of some rows."""
        first, parts = 0, []
        for batch in self._batches(_ROWS):
            own = np.flatnonzero((wanted >= first) & (wanted < first + len(batch)))
            if len(own):
                curves = self._curves(batch.take(wanted[own] - first))
                parts.append(_Curves(**{**vars(curves), "owner": own[curves.owner]}))
            first += len(batch)
            if first > wanted[-1]:
                return _Curves.join(parts)
        raise self.table.error(f"a table with a row {wanted[-1]}", f"{first} rows")

    def _batches(self, rows: int) -> Iterator[pa.Table]:
        names = [self.id, self.ra, self.dec, self.column, *self.outside]
        yield from self.table.batches(list(dict.fromkeys(n for n in names if n)), rows)

    def _curves(self, batch: pa.Table) -> _Curves:
        """Return the measurements of the rows of a batch."""
        cells = {name: batch[name].combine_chunks() for name in self.outside}
        if self.column is not None:
            cells |= unpacked(batch[self.column].combine_chunks(), self.inside)
        lengths: np.ndarray | None = None
        flat = {}
        for name, column in cells.items():
            if not is_list(column.type):
                continue
            own = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
            if lengths is not None and (lengths != own).any():
                at = int(np.flatnonzero(lengths != own)[0])
                must = f"a table with lists of one length in a row, {lengths[at]} in {name!r} too"
                raise self.table.error(must, f"{own[at]}")
            lengths, flat[name] = own, column.flatten()
        if lengths is None:
            raise self.table.error("a table with lists of measurements", "numbers")
        owner = np.repeat(np.arange(len(batch)), lengths)
        for name in cells.keys() - flat.keys():  # one value for all measurements of a row
            flat[name] = cells[name].take(pa.array(owner))
        return self.good(owner, flat)


class _Long(_Columns):
    """A file with one row per measurement."""

    def __init__(self, table: RawTable, preset: Preset, rule: LongRule) -> None:
        super().__init__(table, preset, rule)
        if self.id is None:
            do = "name the column of ids in the preset (id)"
            raise table.error("a table of measurements with ids", "no name of a column", do)
        self.require(self.measured, table.names)
        self._needed = list(dict.fromkeys([self.id, self.ra, self.dec, *self.measured]))

    def objects(self) -> Iterator[tuple[np.ndarray, _About, _Curves]]:
        """Yield first row, id, position and measurements of objects as they are complete."""
        known = self._known()
        ids, first, last = known["id"].combine_chunks(), known["first"], known["last"].to_numpy()
        start, n, end = first.to_numpy(), len(known), 0
        position = np.full((2, n), np.nan)
        held: list[_Curves] = []
        waiting = np.ones(n, bool)
        for batch in self.table.batches(self._needed):
            about, curves = self.about(batch), self._measured(batch, ids)
            begun = np.flatnonzero((start >= end) & (start < end + len(batch)))
            for values, name in zip(position, ("ra", "dec"), strict=True):
                values[begun] = np.asarray(about[name])[start[begun] - end]
            end += len(batch)
            held.append(curves)
            done = np.flatnonzero(waiting & (last < end))
            if len(done):
                waiting[done] = False
                every = _Curves.join(held)
                complete = ~waiting[every.owner]
                held = [every.take(~complete)]
                ra, dec = position[:, done]
                about = {"id": ids.take(pa.array(done)), "ra": ra, "dec": dec}
                yield start[done], about, every.take(complete).numbered(done)
            if sum(map(len, held)) > _MOST:
                do = f"sort it by {self.id!r}, or divide it"
                must = f"a table with at most {_MOST} measurements between those of an object"
                raise self.table.error(must, "more", do)

    def chosen(self, wanted: np.ndarray) -> _Curves:
        """Return the measurements of the objects whose first rows are given."""
        end, ids, parts = 0, list[pa.Array](), list[_Curves]()
        for batch in self.table.batches(self._needed):
            own = wanted[(wanted >= end) & (wanted < end + len(batch))] - end
            ids.append(self.ids(batch).take(pa.array(own)))
            end += len(batch)
            # An object's first measurement comes before all others of it.
            parts.append(self._measured(batch, pa.concat_arrays(ids)))
        if wanted[-1] >= end:
            raise self.table.error(f"a table with a row {wanted[-1]}", f"{end} rows")
        return _Curves.join(parts)

    def _known(self) -> pa.Table:
        """Return id, first and last row of all objects, in the order of their first rows."""
        end, parts = 0, []
        for batch in self.table.batches([self.id or ""]):
            ids = self.ids(batch)
            if ids.null_count:
                raise self.table.error(f"a table with {self.id!r} in each row", "a row without")
            rows = pa.array(end + np.arange(len(batch)))
            parts.append(_spans(pa.table({"id": ids, "first": rows, "last": rows})))
            end += len(batch)
        if not parts:
            raise self.table.error("a table with rows", "none")
        return _spans(pa.concat_tables(parts)).sort_by("first")

    def _measured(self, batch: pa.Table, ids: pa.Array) -> _Curves:
        """Return the measurements in a batch of the objects with some ids, in their order."""
        at = pc.index_in(self.ids(batch), value_set=ids)
        own = batch.filter(at.is_valid())
        owner = at.drop_null().to_numpy().astype(np.int64)
        return self.good(owner, {name: own[name].combine_chunks() for name in self.measured})


def _spans(table: pa.Table) -> pa.Table:
    """Return the first and the last row of each id."""
    found = table.group_by("id", use_threads=False).aggregate([("first", "min"), ("last", "max")])
    return found.select(["id", "first_min", "last_max"]).rename_columns(["id", "first", "last"])
