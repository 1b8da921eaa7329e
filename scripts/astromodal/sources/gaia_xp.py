"""Gaia XP: continuous mean spectra of DR3, as the archive delivers them.

The table is ``gaiadr3.xp_continuous_mean_spectrum`` (Gaia DR3 documentation, 20.7.1), as DataLink
returns it (``XP_CONTINUOUS``: CSV, ECSV, FITS, VOTable) and as the bulk archive has it
(``XpContinuousMeanSpectrum_*.csv.gz``, which is ECSV). Correlations are the upper triangle without
the diagonal, column by column, as `astromodal.surveys.gaiaxp` reads it; GaiaXPy reads the same
order as the lower triangle, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import from_json

from astromodal.config.sources import SourceSettings
from astromodal.data.parquet import lists
from astromodal.sources.files import RawFile
from astromodal.sources.raw_table import RawTable
from astromodal.sources.rows import index_table, is_list, row_digests
from astromodal.sources.tables import open_table
from astromodal.surveys.gaiaxp import N_COEFFICIENTS, N_CORRELATIONS

_BANDS: Final = ("bp", "rp")
_ARRAYS: Final = {
    "coefficients": N_COEFFICIENTS,
    "coefficient_errors": N_COEFFICIENTS,
    "coefficient_correlations": N_CORRELATIONS,
}
_NUMBERS: Final = ("n_parameters", "standard_deviation")
_ID: Final = "source_id"
_COLUMNS: Final = (_ID, *(f"{band}_{part}" for band in _BANDS for part in (*_ARRAYS, *_NUMBERS)))
_ROWS: Final = 256
"""Spectra that are in memory at once: 60 kB of text each, and 26 kB of numbers."""


class GaiaXPReader:
    """A reader of Gaia XP spectra."""

    in_index: ClassVar[bool] = False

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self._name = name

    def schema(self) -> pa.Schema:
        """Return the columns of a cube: the source, and the coefficients of both spectra."""
        columns = [(f"gaiaxp_{_ID}", pa.int64())]
        for band in _BANDS:
            columns += [(f"gaiaxp_{band}_{part}", pa.string()) for part in _ARRAYS]
            columns += [(f"gaiaxp_{band}_{part}", pa.float64()) for part in _NUMBERS]
        return pa.schema(columns)

    def index(self, file: RawFile) -> Iterator[pa.Table]:
        """Yield one row per source. ``_key`` is the source_id; positions are not in the files.

        Digests are those of the numbers, whatever the format is.

        Raises
        ------
        DataError
            Where the file is damaged, or a spectrum has another number of values.
        """
        table, first = open_table(file.path, self._name), 0
        for batch in self._batches(table):
            rows = first + np.arange(len(batch), dtype=np.int64)
            first += len(batch)
            spectra = {band: _Spectra.of(batch, band, rows, table) for band in _BANDS}
            numbers = {_ID: batch[_ID].combine_chunks()}
            for band, own in spectra.items():
                numbers |= {f"{band}_{part}": values for part, values in own.columns().items()}
            some = spectra["bp"].present | spectra["rp"].present
            reason = [None if has else "no spectrum" for has in some.tolist()]
            yield index_table(rows, numbers[_ID], row_digests(numbers), reason=reason)

    def read(self, file: RawFile, rows: np.ndarray) -> pa.Table:
        """Return the columns of a cube of some sources; the file is read once, up to the last.

        Returns
        -------
        table
            Arrays are texts ``[a,b,…]``, from which each number is read back exactly. A spectrum
            that a source lacks is null.

        Raises
        ------
        DataError
            As `index` does, and where the file has no such row.
        """
        wanted, table = np.asarray(rows, np.int64), open_table(file.path, self._name)
        first, parts = 0, list[pa.Table]()
        for batch in self._batches(table) if len(wanted) else ():
            end = first + len(batch)
            own = wanted[(wanted >= first) & (wanted < end)]
            if len(own):
                parts.append(self._cube(batch.take(own - first), own, table))
            first = end
            if end > wanted[-1]:
                break
        if len(wanted) and wanted[-1] >= first:
            raise table.error(f"a table with a row {wanted[-1]}", f"{first} rows")
        return pa.concat_tables(parts) if parts else self.schema().empty_table()

    def _batches(self, table: RawTable) -> Iterator[pa.Table]:
        for batch in table.batches(_COLUMNS, _ROWS, {_ID: pa.int64()}):
            if batch[_ID].null_count:
                raise table.error(f"a table with a {_ID} in each row", "a row without")
            yield batch

    def _cube(self, batch: pa.Table, rows: np.ndarray, table: RawTable) -> pa.Table:
        columns = {f"gaiaxp_{_ID}": batch[_ID].combine_chunks()}
        for band in _BANDS:
            spectra = _Spectra.of(batch, band, rows, table)
            for part, values in spectra.columns().items():
                text = part in _ARRAYS
                columns[f"gaiaxp_{band}_{part}"] = texts(values) if text else values
        return pa.table([columns[name] for name in self.schema().names], schema=self.schema())


@dataclass(frozen=True)
class _Spectra:
    """The spectra of one band of some sources.

    Attributes
    ----------
    present : bool (n,)
        Which sources have one.
    arrays : dict
        Coefficients, errors and correlations, float64 (n, L); NaN where there is no spectrum.
    numbers : dict
        Number of parameters and standard deviation, float64 (n,), null where there is none.
    """

    present: np.ndarray
    arrays: dict[str, np.ndarray]
    numbers: dict[str, pa.Array]

    @classmethod
    def of(cls, batch: pa.Table, band: str, rows: np.ndarray, table: RawTable) -> _Spectra:
        """Return the spectra in a batch of a table; `rows` are its rows in the file.

        Raises
        ------
        DataError
            Where an array cannot be read or has another length, or a source has some of the arrays
            only.
        """
        arrays, has = {}, {}
        for part, length in _ARRAYS.items():
            name = f"{band}_{part}"
            arrays[part], fault = _numbers_of(batch[name].combine_chunks(), length)
            if fault is not None:
                at, got = fault
                must = f"a table of lists of {length} numbers in {name}"
                raise table.error(must, f"{got} in row {rows[at]}")
            has[part] = ~np.isnan(arrays[part]).all(axis=1)
        present = has["coefficients"]
        for part, there in has.items():
            if np.any(there != present):
                at = int(np.flatnonzero(there != present)[0])
                lacking = part if present[at] else "coefficients"
                must = f"a table with all arrays of a spectrum, {band}_{lacking} too"
                raise table.error(must, f"none in row {rows[at]}")
        mask = pa.array(present)
        numbers = {
            part: pc.if_else(mask, _doubles(batch[f"{band}_{part}"].combine_chunks()), None)
            for part in _NUMBERS
        }
        return cls(present, arrays, numbers)

    def columns(self) -> dict[str, pa.Array]:
        """Return arrays as lists and numbers, null where there is no spectrum."""
        kind = pa.list_(pa.float64())
        arrays = {part: lists(v, kind, self.present) for part, v in self.arrays.items()}
        return arrays | self.numbers


def texts(values: pa.Array) -> pa.Array:
    """Return lists of float64 as texts ``[a,b,…]``, with the fewest digits that are exact."""
    flat = values.flatten()
    text = flat.cast(pa.string())
    wrong = ~np.isfinite(flat.to_numpy(zero_copy_only=False))
    if wrong.any():  # as JSON has it, beyond its standard
        names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
        text = pa.array([names.get(each, each) for each in text.to_pylist()], pa.string())
    offsets = np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(values), 0))])
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), text), ",")
    bracketed = pc.binary_join_element_wise("[", joined, "]", "")
    return pc.if_else(values.is_valid(), bracketed, None)


def _numbers_of(column: pa.Array, length: int) -> tuple[np.ndarray, tuple[int, str] | None]:
    """Return the numbers of texts or lists, float64 (n, length), and the first that is wrong.

    Rows of NaN stand for a null or an empty list. What is wrong is its place, and what it is.
    """
    values = np.full((len(column), length), np.nan)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        for i, text in enumerate(column.to_pylist()):
            if text is None:
                continue
            numbers = _parsed(text)
            if numbers is None or len(numbers) not in (0, length):
                shown = f"{text!r:.40}" if numbers is None else f"{len(numbers)} numbers"
                return values, (i, shown)
            if len(numbers):
                values[i] = numbers
        return values, None
    if pa.types.is_null(column.type):
        return values, None
    if not is_list(column.type):
        return values, (0, f"a column of {column.type}")
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero((lengths != 0) & (lengths != length))
    if len(wrong):
        return values, (int(wrong[0]), f"{lengths[wrong[0]]} numbers")
    flat = _doubles(column.flatten()).to_numpy(zero_copy_only=False)
    values[lengths > 0] = flat.reshape(-1, length)
    return values, None


def _parsed(text: str) -> np.ndarray | None:
    """Return the numbers of a text ``(a, b, …)`` or ``[a,b,…]``, NaN for null; None for others."""
    text = text.strip()
    if (text[:1], text[-1:]) not in (("(", ")"), ("[", "]")):
        return None
    try:
        numbers = np.array(from_json(f"[{text[1:-1]}]"), np.float64)
    except (ValueError, TypeError):
        return None
    return numbers if numbers.ndim == 1 else None


def _doubles(column: pa.Array) -> pa.Array:
    """Return numbers, or texts of numbers, as float64.

    A float32 becomes the float64 of its shortest decimal form, which is what text files have: the
    same spectra are the same numbers in all formats.
    """
    if pa.types.is_float32(column.type):
        column = column.cast(pa.string())
    return column.cast(pa.float64())
