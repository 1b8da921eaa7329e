"""Gaia XP spectra: texts of a cube to sampled fluxes and errors, through GaiaXPy.

A continuous XP spectrum is a sum of 55 basis functions. GaiaXPy evaluates the functions (its
``convert`` applied to unit vectors, once a process), and linear algebra does the rest for a whole
batch: flux = c B and error² = diag(Bᵀ E R E B), with coefficients c, their errors E on a diagonal
and their correlations R. It is what ``convert`` computes one source at a time, about five times
faster. No source id passes through it, so none can be rounded.
"""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import from_json
from threadpoolctl import ThreadpoolController

from astromodal.data.columns import N_COEFFICIENTS, XP_PARTS, group_columns
from astromodal.data.cube import Cube, Slice
from astromodal.data.footer import is_text
from astromodal.data.lists import is_list, lengths

N_CORRELATIONS = XP_PARTS["coefficient_correlations"]


def read_xp(
    cube: Cube, piece: Slice, group: str, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample the Gaia XP spectra of a slice of rows.

    Parameters
    ----------
    cube : Cube
        The cube, for its name in errors.
    piece : Slice
        Rows with the columns of `group_columns`.
    group : str
        ``gaiaxp_bp`` or ``gaiaxp_rp``.
    grid : float64 (L,)
        Pseudo-wavelengths to sample at.

    Returns
    -------
    has : bool (rows,)
        Rows that have a spectrum.
    flux, ivar : float32 (m, L)
        Internally calibrated flux (electron/s) and its inverse variance, of those m rows. A
        spectrum with a number that is not finite is all bad pixels (ivar 0).

    Raises
    ------
    DataError
        Where a column holds no lists or texts of the right count of numbers.
    """
    has = np.any([_present(piece.table.column(name)) for name in group_columns(group)], axis=0)
    coefficients, errors, correlations = (
        _parse(cube, piece, name, np.flatnonzero(has), length)
        for name, length in zip(group_columns(group), XP_PARTS.values(), strict=True)
    )
    # What overflows on the way is a bad pixel in the end.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        flux, error = sample_xp(coefficients, errors, correlations, basis(group, tuple(grid)))
        flux, ivar = flux.astype(np.float32), (1 / error**2).astype(np.float32)
    return has, flux, np.where(np.isfinite(flux) & np.isfinite(ivar), ivar, 0)


def sample_xp(
    coefficients: np.ndarray, errors: np.ndarray, correlations: np.ndarray, functions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors of XP spectra at the points of a sampling.

    Parameters
    ----------
    coefficients, errors : float64 (m, 55)
        Coefficients and their errors (electron/s).
    correlations : float64 (m, 1485)
        Their correlations: the upper triangle without the diagonal, in column-major order.
    functions : float64 (55, L)
        What `basis` returns.

    Returns
    -------
    flux, error : float64 (m, L)
        electron/s; NaN where an input is not finite, or the variance is negative.
    """
    m = len(coefficients)
    matrix = np.ones((m, N_COEFFICIENTS, N_COEFFICIENTS))
    # Column by column above the diagonal is row by row below it.
    below = np.tril_indices(N_COEFFICIENTS, k=-1)
    matrix[:, below[0], below[1]] = correlations
    matrix[:, below[1], below[0]] = correlations
    scaled = errors[:, :, None] * functions  # (m, 55, L)
    # One product a source: its sum is the same whatever the batch. One thread: the products are
    # far too small to share, and waiting threads cost a factor of ten on a loaded machine.
    with _libraries().limit(limits=1, user_api="blas"):
        flux = (coefficients[:, None, :] @ functions)[:, 0]
        variance = (scaled * (matrix @ scaled)).sum(axis=1)
    return flux, np.sqrt(np.where(variance > 0, variance, np.nan))


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """The process's BLAS libraries; finding them takes longer than a product of a small batch."""
    return ThreadpoolController()


@lru_cache(maxsize=8)
def basis(group: str, grid: tuple[float, ...]) -> np.ndarray:
    """Basis functions of BP or RP at the points of `grid` (pseudo-wavelength), float64 (55, L)."""
    bands = ("bp", "rp")
    table: dict[str, object] = {"source_id": np.arange(N_COEFFICIENTS)}
    for band in bands:
        table[f"{band}_n_parameters"] = N_COEFFICIENTS
        table[f"{band}_standard_deviation"] = 1.0
        table[f"{band}_coefficients"] = list(np.eye(N_COEFFICIENTS))
        table[f"{band}_coefficient_errors"] = [np.ones(N_COEFFICIENTS)] * N_COEFFICIENTS
        table[f"{band}_coefficient_correlations"] = [np.zeros(N_CORRELATIONS)] * N_COEFFICIENTS
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        # GaiaXPy warns of pandas' future and prints its progress; neither is the user's concern.
        # Importing it sends all of matplotlib's text through LaTeX: rc_context undoes that.
        warnings.simplefilter("ignore")
        import pandas as pd
        from gaiaxpy import convert

        sampled, _ = convert(pd.DataFrame(table), sampling=np.array(grid), save_file=False)
    functions = np.stack(sampled.loc[sampled["xp"] == group[-2:].upper(), "flux"].to_list())
    functions.flags.writeable = False
    return functions


def _present(column: pa.Array) -> np.ndarray:
    """Rows that hold a list or a text that is not empty, bool (rows,)."""
    if is_list(column.type):
        return lengths(column)[0] > 0
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not is_text(column.type):  # numbers, say, which `_parse` refuses
        return pc.is_valid(column).to_numpy(zero_copy_only=False)
    length = pc.fill_null(pc.binary_length(column.cast(pa.large_binary())), 0)
    return length.to_numpy(zero_copy_only=False) > 0


def _parse(cube: Cube, piece: Slice, name: str, rows: np.ndarray, length: int) -> np.ndarray:
    """Numbers in column `name`, texts or lists, at `rows` of a slice, float64 (m, length)."""
    column = piece.table.column(name).take(pa.array(rows))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())  # damaged, it may be no UTF-8
    values = np.empty((len(rows), length))
    for i, text in enumerate(column.to_pylist()):
        numbers = _numbers(text)
        if numbers is None or numbers.shape != (length,):
            shown = f"{text!r:.40}" if numbers is None else f"{numbers.size} numbers"
            got = f"{shown} in row {piece.start + rows[i]}"
            raise cube.error(name, f"a list or a text '[a,b,…]' of {length} numbers", got)
        values[i] = numbers
    return values


def _numbers(text: object) -> np.ndarray | None:
    """Numbers of a list, or of a text of one, float64; None where it is none.

    A text is JSON, be it quoted once more, or in round brackets as the Gaia archive's CSV has it.
    pydantic's JSON parser reads floats four times as fast as the standard library's.
    """
    try:
        for _ in range(2):
            if isinstance(text, bytes | str):
                text = from_json(_in_square_brackets(text))
        # A null among the numbers becomes NaN.
        return np.array(text, dtype=np.float64) if isinstance(text, list) else None
    except (ValueError, TypeError):
        return None


def _in_square_brackets(text: bytes | str) -> bytes:
    """``(a, b)`` as ``[a, b]``; any other text as it is."""
    text = (text.encode() if isinstance(text, str) else text).strip()
    return b"[" + text[1:-1] + b"]" if text[:1] == b"(" and text[-1:] == b")" else text
