"""Labels of one's own: values from a column of the cubes, or from a table by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.config.training import LabelSource
from astromodal.data.cube import Cube
from astromodal.data.parquet import is_text
from astromodal.data.values import base_class
from astromodal.errors import DataError, must_be, suggestion

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True)
class LabelValues:
    """Known values of a label of n objects.

    Attributes
    ----------
    name, unit : str
        Name of the label, and its unit in the notation of astropy; empty for none.
    values : float64 or unicode (n,)
        Numbers, NaN where missing; or classes, empty where missing.
    errors : float64 (n,), optional
        Standard errors of numbers; one that is not positive is unknown.
    hidden : tuple of str
        Scalar columns that the label is never predicted from, because they reveal it.
    """

    name: str
    unit: str
    values: np.ndarray
    errors: np.ndarray | None = None
    hidden: tuple[str, ...] = ()

    @property
    def are_classes(self) -> bool:
        """Whether the values are classes, and not numbers."""
        return self.values.dtype.kind == "U"

    @property
    def known(self) -> np.ndarray:
        """Which objects have the label, bool (n,)."""
        return self.values != "" if self.are_classes else np.isfinite(self.values)

    def __getitem__(self, which: np.ndarray) -> LabelValues:
        errors = None if self.errors is None else self.errors[which]
        return replace(self, values=self.values[which], errors=errors)

    @classmethod
    def joined(cls, fields: Sequence[LabelValues]) -> LabelValues:
        """Return the values of a label of the objects of several fields, one after the other.

        Raises
        ------
        DataError
            If they are classes in some fields and numbers in others.
        """
        first = fields[0]
        if len({field.are_classes for field in fields}) > 1:
            must = "numbers in every field, or text in every field"
            raise DataError(must_be(f"labels of {first.name}", must, "both"))
        errors = [field.errors for field in fields if field.errors is not None]
        return replace(
            first,
            values=np.concatenate([field.values for field in fields]),
            errors=np.concatenate(errors) if errors else None,
        )


def label_values(
    name: str,
    values: Any,
    errors: Any,
    unit: str,
    hidden: Sequence[str],
    ids: np.ndarray,
) -> LabelValues:
    """Return values of a label as they are given in Python.

    Parameters
    ----------
    name, unit : str
        Name and unit of the label.
    values, errors : sequence or mapping
        One value per object, in their order; or values by id (a dict, or a pandas Series with the
        ids as its index), in which objects may be missing. None, NaN and empty text are missing.
    hidden : sequence of str
        Columns that reveal the label.
    ids : unicode (n,)
        Ids of the objects.

    Raises
    ------
    DataError
        If there is not one value per object, or values are neither numbers nor text.
    """
    listed = _listed(f"labels of {name}", values, ids)
    kinds = {str if isinstance(v, str) else float for v in listed if not _is_missing(v)}
    if kinds == {str}:
        texts = np.array(["" if _is_missing(v) else v.strip() for v in listed], dtype=np.str_)
        return LabelValues(name, "", texts, None, tuple(hidden))
    numbers = _numbers(f"labels of {name}", listed)
    known = (
        None if errors is None else _numbers(f"errors of {name}", _listed("errors", errors, ids))
    )
    return LabelValues(name, unit, numbers, known, tuple(hidden))


def _listed(what: str, values: Any, ids: np.ndarray) -> list[Any]:
    """Return one value per object, None where there is none."""
    index = getattr(values, "index", None)
    if index is not None and not callable(index) and not isinstance(values, Mapping):
        positions = [int(i) if not isinstance(i, str) else i for i in index.tolist()]
        if positions != list(range(len(ids))):
            values = dict(zip(map(str, index.tolist()), values.tolist(), strict=True))
    if isinstance(values, Mapping):
        by_id = {str(key): value for key, value in values.items()}
        return [by_id.get(each) for each in ids.tolist()]
    listed = np.asarray(values).tolist() if not isinstance(values, list) else values
    if len(listed) != len(ids):
        raise DataError(must_be(what, f"{len(ids)}, one per object", len(listed)))
    return listed


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or value != value  # NaN differs from itself


def _numbers(what: str, listed: Sequence[Any]) -> np.ndarray:
    """Return values as numbers, float64 (n,); NaN where missing or not finite."""
    try:
        numbers = np.array([np.nan if _is_missing(v) else float(v) for v in listed])
    except (TypeError, ValueError) as error:
        raise DataError(must_be(what, "numbers, or text in every row", str(error))) from error
    return np.where(np.isfinite(numbers), numbers, np.nan)


_FORMATS = {
    ".parquet": "parquet",
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".fits.gz": "fits",
    ".vot": "votable",
    ".xml": "votable",
}
"""Formats of tables, as astropy names them, by the ends of file names."""


@dataclass(frozen=True)
class LabelReader:
    """Reads the values of a label.

    Attributes
    ----------
    name : str
        Name of the label.
    source : LabelSource
        Where it is found.
    """

    name: str
    source: LabelSource

    def read(self, cube: Cube, rows: np.ndarray) -> LabelValues:
        """Return the values of some rows of a cube; no column hides them.

        Parameters
        ----------
        cube : Cube
            The cube.
        rows : int (n,)
            Its rows.

        Raises
        ------
        DataError
            If the column is absent, or holds neither numbers nor text.
        """
        if self.source.table is None:
            return self._of_column(cube, rows)
        ids, label = self._table
        place = {each: i for i, each in enumerate(ids.tolist())}
        found = np.array([place.get(each, -1) for each in cube.ids()[rows].tolist()], np.int64)
        errors = None if label.errors is None else _taken(label.errors, found)
        return replace(label, values=_taken(label.values, found), errors=errors)

    def _of_column(self, cube: Cube, rows: np.ndarray) -> LabelValues:
        name = str(self.source.column)
        cube.require(name, f"name another column in finetune.labels.{self.name}")
        if is_text(cube.dtype(name)):
            return self._classes(cube.text(name)[rows])
        errors = None if self.source.error is None else cube.scalar(self.source.error)[rows]
        return self._numbers(cube.scalar(name)[rows], errors)

    def _classes(self, texts: np.ndarray) -> LabelValues:
        """Return classes without brackets; empty for those that are ignored."""
        kinds = base_class(texts)
        kept = np.where(np.isin(kinds, self.source.ignored), "", kinds)
        return LabelValues(self.name, "", kept)

    def _numbers(self, values: np.ndarray, errors: np.ndarray | None) -> LabelValues:
        return LabelValues(self.name, self.source.unit or "", values, errors)

    @cached_property
    def _table(self) -> tuple[np.ndarray, LabelValues]:
        """Ids and values of all rows of the table."""
        source, path = self.source, Path(str(self.source.table))
        columns = _read_columns(path)
        what = f"finetune.labels.{self.name}: table {path.name}"
        wanted = [name for name in (source.id, source.value, source.error) if name is not None]
        for name in wanted:
            if name not in columns:
                got = f"without {name!r}{suggestion(name, columns)}"
                raise DataError(must_be(what, f"with the columns {', '.join(wanted)}", got))
        ids = _ids(columns[source.id], f"{what}: column {source.id}")
        if len(np.unique(ids)) < len(ids):
            twice, counts = np.unique(ids, return_counts=True)
            got = f"{twice[counts.argmax()]} twice"
            raise DataError(must_be(f"{what}: ids", "unique", got, "leave all but one row out"))
        values = columns[str(source.value)]
        if values.dtype.kind == "U":
            return ids, self._classes(np.char.strip(values))
        errors = None if source.error is None else columns[source.error].astype(np.float64)
        return ids, self._numbers(values.astype(np.float64), errors)


def _taken(values: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return values by position; missing where a position is -1."""
    missing: Any = "" if values.dtype.kind == "U" else np.nan
    return np.where(found < 0, missing, values[found.clip(min=0)])


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a table that hold numbers or text; missing numbers are NaN."""
    if not path.is_file():
        raise DataError(must_be(f"table {path}", "a file", "none"))
    form = next((form for end, form in _FORMATS.items() if path.name.endswith(end)), None)
    if form is None:
        raise DataError(must_be(f"table {path}", f"a file in {', '.join(_FORMATS)}", path.suffix))
    try:
        if form == "parquet":
            return _of_arrow(pq.read_table(path))
        from astropy.table import Table  # here: it takes half a second to import

        return _of_astropy(Table.read(path, format=form))
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        must = "a table as parquet, CSV, ECSV, FITS or VOTable"
        first = str(error).strip().partition("\n")[0]
        raise DataError(must_be(f"table {path}", must, f"{first:.160}")) from error


def _of_arrow(table: pa.Table) -> dict[str, np.ndarray]:
    out = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_integer(kind) and not column.null_count:
            out[name] = column.to_numpy()
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            out[name] = column.cast(pa.float64(), safe=False).to_numpy()
        elif is_text(kind):
            texts = [_decoded(text) for text in column.to_pylist()]
            out[name] = np.asarray(texts, dtype=np.str_)
    return out


def _of_astropy(table: Table) -> dict[str, np.ndarray]:
    out = {}
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind in "SUO":
            filled = column.filled("") if hasattr(column, "filled") else column
            texts = [_decoded(text) for text in filled.tolist()]
            out[name] = np.asarray(texts, dtype=np.str_)
        elif column.dtype.kind in "iu" and not getattr(column, "mask", np.False_).any():
            out[name] = np.asarray(column)
        elif column.dtype.kind in "iuf" and column.ndim == 1:
            numbers = np.ma.asarray(column, dtype=np.float64)
            out[name] = np.asarray(np.ma.filled(numbers, np.nan), dtype=np.float64)
    return out


def _decoded(text: Any) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text or "")


def _ids(column: np.ndarray, what: str) -> np.ndarray:
    """Return ids as text, unicode (n,), without blanks around them."""
    if column.dtype.kind == "f":
        do = "write them as whole numbers or text: 64-bit ids do not fit into real numbers"
        raise DataError(must_be(what, "ids", "real numbers, or missing ones", do))
    return np.char.strip(column.astype(np.str_))
