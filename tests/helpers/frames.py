"""The same rows in every form that a user may hold them in."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow as pa
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from helpers.cutouts import BANDS
from helpers.model import COLUMNS, cube_table
from helpers.spectra import xp_columns_of, xp_spectrum

CUTOUTS = tuple(f"splus_cut_{band}" for band in BANDS)
DESI = ("desi_flux_r", "desi_ivar_r", "desi_wave_r")
NUMBERS = ("ra", "dec", *COLUMNS)
SIDE = 32


class Stream:
    """What another package's frame is: a stream of Arrow batches, and no more."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(schema)


def plain_table(n: int = 12) -> pa.Table:
    """Rows of a cube, with texts of Gaia XP in every fourth."""
    xp = [xp_spectrum(i) if i % 4 == 0 else None for i in range(n)]
    table = cube_table(n)
    for name, texts in xp_columns_of(xp).items():
        table = table.append_column(name, pa.array(texts, pa.string()))
    return table


def columns(table: pa.Table) -> dict[str, Any]:
    """Numbers as float64 arrays; ids, texts and lists (float32 arrays or None) as lists."""
    found: dict[str, Any] = {}
    for name in table.column_names:
        if name in (*CUTOUTS, *DESI):
            cells = table[name].to_pylist()
            found[name] = [None if c is None else np.array(c, np.float32) for c in cells]
        else:
            values = table[name].to_pylist()
            found[name] = values if isinstance(values[0], str) else np.array(values, np.float64)
    return found


def blocks(table: pa.Table, side: bool = False) -> dict[str, Any]:
    """The same, lists as arrays of two or three dimensions whose missing rows are NaN."""
    found = columns(table)
    for name in (*CUTOUTS, *DESI):
        size = next(len(cell) for cell in found[name] if cell is not None)
        rows = [np.full(size, np.nan, np.float32) if c is None else c for c in found[name]]
        found[name] = np.stack(rows)
        if side and name in CUTOUTS:
            found[name] = found[name].reshape(-1, SIDE, SIDE)
    return found


def _pandas(table: pa.Table, change: Callable[[str, Any], Any]) -> pd.DataFrame:
    """A frame of cells, each column changed."""
    return pd.DataFrame({name: change(name, values) for name, values in columns(table).items()})


def _big(name: str, values: Any) -> Any:
    if name in (*CUTOUTS, *DESI):
        return pd.Series([None if c is None else c.astype(">f4") for c in values], dtype=object)
    return values.astype(">f8") if isinstance(values, np.ndarray) else values


def _objects(name: str, values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return pd.Series([None if np.isnan(v) else v for v in values.tolist()], dtype=object)
    if name == "id":
        return pd.Series([value.encode() for value in values], dtype=object)
    return pd.Series([np.nan if v is None else v for v in values], dtype=object)


def _nullable(name: str, values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return pd.array([None if np.isnan(v) else v for v in values.tolist()], dtype="Float64")
    if name in (*CUTOUTS, *DESI):
        return values
    return pd.array(values, dtype="string")


def _square(name: str, values: Any) -> Any:
    if name not in CUTOUTS:
        return pd.Categorical(values) if name == "id" else values
    return pd.Series([None if c is None else c.reshape(SIDE, SIDE) for c in values], dtype=object)


def _nested(table: pa.Table) -> dict[str, Any]:
    found = columns(table)
    for name in (*CUTOUTS, *DESI):
        found[name] = [None if c is None else c.tolist() for c in found[name]]
    for name in CUTOUTS:
        squares = [None if c is None else np.reshape(c, (SIDE, SIDE)) for c in found[name]]
        found[name] = [None if c is None else c.tolist() for c in squares]
    return found


def _structured(table: pa.Table) -> np.ndarray:
    """Big-endian, texts padded with blanks, as FITS has them."""
    found = blocks(table, side=True)
    kinds = []
    for name, values in found.items():
        if isinstance(values, np.ndarray):
            order = values.dtype.newbyteorder(">")
            kinds.append((name, order, values.shape[1:]))
        else:
            found[name] = np.array([(v or "").encode() for v in values])
            width = found[name].dtype.itemsize + 4
            found[name] = np.array([v.ljust(width) for v in found[name].tolist()])
            kinds.append((name, found[name].dtype, ()))
    array = np.empty(table.num_rows, dtype=kinds)
    for name, values in found.items():
        array[name] = values
    return array


def _masked_structured(table: pa.Table) -> np.ma.MaskedArray:
    """What is missing is masked, and its filler is a value like others."""
    plain = _structured(table)
    masked = np.ma.array(plain, mask=np.zeros(len(plain), np.ma.make_mask_descr(plain.dtype)))
    for name in (*NUMBERS, *CUTOUTS, *DESI):
        gaps = np.isnan(plain[name])
        masked.mask[name] = gaps
        masked.data[name] = np.where(gaps, 20.0, plain[name])
    return masked


def _masked_table(table: pa.Table) -> Table:
    array = _masked_structured(table)
    names = array.dtype.names
    return Table({name: MaskedColumn(array.data[name], mask=array.mask[name]) for name in names})


def _fits(table: pa.Table) -> bytes:
    file = io.BytesIO()
    Table(_structured(table)).write(file, format="fits")
    return file.getvalue()


UNITS = {
    **dict.fromkeys(("ra", "dec", "theta_det"), u.deg),
    **dict.fromkeys(("mag_pstotal_r", "mag_pstotal_i"), u.ABmag),
    "vista_japermag6": u.mag, "gaia_teff_gspphot": u.K,
    **dict.fromkeys(CUTOUTS, u.ct / u.s),
    "desi_flux_r": 1e-17 * u.erg / (u.s * u.cm**2 * u.AA),
    "desi_ivar_r": (1e-17 * u.erg / (u.s * u.cm**2 * u.AA)) ** -2,
    "desi_wave_r": u.AA,
}  # fmt: skip


def _units(table: pa.Table) -> Table:
    plain = Table(_structured(table))
    for name, unit in UNITS.items():
        plain[name].unit = unit
    return plain


def _masked_quantities(table: pa.Table) -> dict[str, Any]:
    array = _masked_structured(table)
    found: dict[str, Any] = {name: array[name] for name in array.dtype.names}
    for name in ("ra", "gaia_teff_gspphot", *CUTOUTS):
        found[name] = Masked(array.data[name] * u.Unit(UNITS[name]), array.mask[name])
    return found


def _arrow(table: pa.Table) -> pa.Table:
    """Views, dictionaries, lists of lists, decimals of no value."""
    for name in CUTOUTS:
        cells = _nested(table)[name]
        kind = pa.list_(pa.list_(pa.float32(), SIDE)) if name == CUTOUTS[0] else None
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(cells, kind))
    views = table["id"].cast(pa.string_view())
    table = table.set_column(table.column_names.index("id"), "id", views)
    place = table.column_names.index("dec")
    return table.set_column(place, "dec", table["dec"].combine_chunks().dictionary_encode())


FORMS: dict[str, Callable[[pa.Table], Any]] = {
    "record batch": lambda t: t.combine_chunks().to_batches()[0],
    "arrow types": _arrow,
    "stream": Stream,
    "pandas": lambda t: t.to_pandas(),
    "pandas of Arrow": lambda t: t.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas, big-endian": lambda t: _pandas(t, _big),
    "pandas, objects": lambda t: _pandas(t, _objects),
    "pandas, nullable": lambda t: _pandas(t, _nullable),
    "pandas, squares in cells": lambda t: _pandas(t, _square),
    "lists": lambda t: t.to_pydict(),
    "nested lists": _nested,
    "arrays": lambda t: blocks(t),
    "arrays of three dimensions": lambda t: blocks(t, side=True),
    "structured": _structured,
    "records": lambda t: _structured(t).view(np.recarray),
    "masked structured": _masked_structured,
    "FITS": lambda t: fits.open(io.BytesIO(_fits(t)))[1].data,
    "Table of FITS": lambda t: Table.read(io.BytesIO(_fits(t)), format="fits"),
    "QTable of FITS": lambda t: QTable.read(io.BytesIO(_fits(t)), format="fits"),
    "masked Table": _masked_table,
    "Table with units": _units,
    "QTable with units": lambda t: QTable(_units(t)),
    "masked quantities": _masked_quantities,
    "masked quantities in a QTable": lambda t: QTable(_masked_quantities(t)),
}  # fmt: skip
