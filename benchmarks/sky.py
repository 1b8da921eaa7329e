"""Fields of the survey's size for the benchmarks, with its own heavy tails; all made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.config.schema import BANDS, SCALAR_COLUMNS, SpectrumSettings
from astromodal.data.columns import cutout_column, group_columns
from astromodal.surveys.desi import GRIDS

N_ROWS = 68_000
"""Rows of a field of the survey, on average."""
N_COLUMNS = 748
"""Columns of one, lists not counted."""
SIDE = 96
ONE_GROUP = 1 << 30
"""Rows of a row group, so that a file has a single one, as pandas writes it."""


def scalar_values(n: int, seed: int) -> np.ndarray:
    """Scalars float64 (n, 55): a fifth missing, errors to 1e6, columns of both signs, ties."""
    rng = np.random.default_rng(seed)
    values = np.empty((n, len(SCALAR_COLUMNS)), order="F")
    for i, name in enumerate(SCALAR_COLUMNS):
        if name.startswith("mag_"):
            drawn = 22 - rng.exponential(1.5, n)
        elif name.startswith("err_mag"):
            drawn = np.exp(rng.normal(-3, 1.5, n)) * np.where(rng.random(n) < 1e-3, 1e6, 1)
        elif name.startswith("gaia_p") and "flux" not in name and "error" not in name:
            drawn = 3 * rng.standard_t(1.5, n)
        elif name == "fwhm_n_det":
            drawn = np.where(rng.random(n) < 0.1, 8e-8, rng.normal(3, 5, n))
        else:
            drawn = np.exp(rng.normal(0, 1, n))
        values[:, i] = np.where(rng.random(n) < 0.2, np.nan, drawn)
    return values


def write_scalars(
    path: Path, values: np.ndarray, row_group: int = ONE_GROUP, n_columns: int = N_COLUMNS
) -> None:
    """Write scalars among as many other columns as a real cube has."""
    n = len(values)
    columns = {"id": ids(n)}
    columns |= {
        name: pa.array(values[:, i], from_pandas=True) for i, name in enumerate(SCALAR_COLUMNS)
    }
    nothing = pa.nulls(n, pa.float64())
    columns |= {f"other_{i}": nothing for i in range(n_columns - len(columns))}
    pq.write_table(pa.table(columns), path, row_group_size=row_group)


def write_cutouts(path: Path, n_rows: int, n_cutouts: int, row_group: int = ONE_GROUP) -> None:
    """Write a field with cutouts on 70 % of its first rows; noise, which nothing compresses."""
    rng = np.random.default_rng(1)
    some = np.sort(rng.choice(min(n_rows, round(n_cutouts / 0.7)), n_cutouts, replace=False))
    has = np.zeros(n_rows, bool)
    has[some] = True
    # Bands share one array of pixels here: memory is for the writer, the file has them all.
    pixels = rng.standard_normal(n_cutouts * SIDE**2, dtype=np.float32)
    lists = list_column(pixels, has)
    columns = {"id": ids(n_rows), **{cutout_column(band): lists for band in BANDS}}
    columns |= {
        name: pa.array(np.full(n_rows, value))
        for name, value in (("a_pixel_det", 2.0), ("b_pixel_det", 2.0), ("theta_det", 0.0))
    }
    pq.write_table(pa.table(columns), path, row_group_size=row_group)


def desi_spectra(n: int, group: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Continua with a line and noise, S/N a pixel from 0.3 to 30: flux and ivar, float32 (n, L)."""
    rng = np.random.default_rng([seed, *group.encode()])
    x = np.linspace(0, 1, GRIDS[group].length, dtype=np.float32)
    place, strength, slope = rng.random((3, n, 1), dtype=np.float32)
    level = 10 ** rng.uniform(-1, 2, (n, 1)).astype(np.float32)
    error = level * 10 ** rng.uniform(-1.5, 0.5, (n, 1)).astype(np.float32) * (1 + x)
    shape = 1 + (slope - 0.5) * x + 5 * strength * np.exp(-0.5 * ((x - place) / 0.02) ** 2)
    flux = level * shape + error * rng.standard_normal((n, len(x)), dtype=np.float32)
    return flux, error**-2


def write_spectra(path: Path, n_spectra: int) -> None:
    """Write a field that has DESI spectra of all arms on a few of its rows."""
    rng = np.random.default_rng(2)
    has = np.zeros(N_ROWS, bool)
    has[rng.choice(N_ROWS, n_spectra, replace=False)] = True
    columns = {"id": ids(N_ROWS)}
    for group, grid in GRIDS.items():
        wave = np.tile(grid.points().astype(np.float32), n_spectra)
        parts = (*desi_spectra(n_spectra, group, 3), wave)
        for name, values in zip(group_columns(group), parts, strict=True):
            columns[name] = list_column(values.ravel(), has)
    pq.write_table(pa.table(columns), path, row_group_size=ONE_GROUP)


def n_pixels(groups: Sequence[str], n_spectra: int) -> int:
    """Native pixels of the spectra of DESI groups."""
    return n_spectra * sum(GRIDS[group].length for group in groups)


def ids(n: int) -> pa.Array:
    """Identifiers in binary form, as in real cubes."""
    return pa.array([b"i06S%07d" % i for i in range(n)], pa.binary())


def list_column(flat: np.ndarray, has: np.ndarray) -> pa.ListArray:
    """Lists of equal length in the rows where `has`, null elsewhere."""
    length = len(flat) // max(1, int(has.sum()))
    offsets = np.concatenate([[0], np.cumsum(has * length)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), mask=pa.array(~has))


SPECTRA = SpectrumSettings()
"""The survey's settings: codebooks of 2048, at most 512 bins."""
