"""Gaia XP: the BP and RP spectra, as the coefficients that Gaia publishes.

A continuous XP spectrum is a sum of 55 basis functions (De Angeli et al. 2023, A&A 674, A2). Codes
stand for its coefficients. GaiaXPy evaluates the functions, where spectra are shown or compared:
its ``convert`` is applied to unit vectors, once per process, and linear algebra does the rest for
a whole batch. ``convert`` computes the same one source at a time, about five times slower. Source
ids never pass through GaiaXPy, so none can be rounded.
"""

from __future__ import annotations

import io
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
from pydantic_core import from_json

from astromodal.surveys.group import (
    CubeSlice,
    Family,
    GroupColumn,
    GroupKind,
    GroupSettings,
    Quantity,
)
from astromodal.surveys.spectra import Grid, GridGroup, SpectrumBatch


class CoefficientGroup(GridGroup):
    """A group of spectra whose pixels are coefficients: its codes stand for coefficients.

    `grid` gives the points at which the spectra are shown and compared.
    """

    kind: ClassVar[GroupKind] = "coefficients"
    n_coefficients: ClassVar[int]
    """Number of coefficients of every spectrum."""

    @abstractmethod
    def functions(self, settings: GroupSettings) -> np.ndarray:
        """Return the basis functions at the points of `grid`, float64 (n_coefficients, L)."""

    def n_slots(self, settings: GroupSettings) -> int:
        """Return the number of codes: one for each coefficient, and one for their noise."""
        return self.n_coefficients + 1

    @property
    def slot_axis(self) -> Quantity:
        """Return the number of the coefficient, counted from 1; the last slot is the noise."""
        return Quantity("number of the coefficient; the last one is the noise")

    def slot_points(self, settings: GroupSettings) -> np.ndarray:
        """Return the numbers of the slots, float64 (n_slots,)."""
        return np.arange(1.0, 1 + self.n_slots(settings))

    def bin_factor(self, settings: GroupSettings) -> int:
        """Return 1: the points at which a spectrum is shown are not rebinned."""
        return 1


def evaluate_functions(
    coefficients: np.ndarray,
    ivar: np.ndarray,
    functions: np.ndarray,
    correlation: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the fluxes of spectra at the points of basis functions, and their errors.

    Flux is c B, and its variance the diagonal of Bᵀ E R E B, with coefficients c, their errors E on
    a diagonal, their correlations R, and the functions B.

    Parameters
    ----------
    coefficients, ivar : float (m, n)
        Coefficients and the inverse variances of their errors.
    functions : float64 (n, L)
        Basis functions.
    correlation : float64 (m, n (n - 1) / 2), optional
        Correlations, as in `SpectrumBatch`; None for independent errors.

    Returns
    -------
    flux, ivar : float64 (m, L)
        Flux in the unit of the coefficients, and its inverse variance: 0 where an input is not
        finite, where its inverse variance is not positive, or where the variance of the flux is
        not.
    """
    # What overflows on the way becomes a bad pixel.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        errors = 1 / np.sqrt(ivar, dtype=np.float64)
        # One product for each spectrum: its sum does not depend on the batch. One thread: the
        # products are too small to share, and waiting threads cost a factor of ten on a loaded
        # machine.
        with _libraries().limit(limits=1, user_api="blas"):
            flux = (coefficients.astype(np.float64)[:, None, :] @ functions)[:, 0]
            if correlation is None:
                variance = ((errors**2)[:, None, :] @ functions**2)[:, 0]
            else:
                scaled = errors[:, :, None] * functions  # (m, n, L)
                variance = (scaled * (_matrices(correlation, len(functions)) @ scaled)).sum(axis=1)
        inverse = 1 / variance
    good = np.isfinite(flux) & np.isfinite(inverse) & (inverse > 0)
    return flux, np.where(good, inverse, 0)


def _matrices(triangle: np.ndarray, n: int) -> np.ndarray:
    """Return correlation matrices (m, n, n) of upper triangles in column-major order."""
    matrix = np.ones((len(triangle), n, n))
    # Column by column above the diagonal is row by row below it.
    below = np.tril_indices(n, k=-1)
    matrix[:, below[0], below[1]] = triangle
    matrix[:, below[1], below[0]] = triangle
    return matrix


@lru_cache(maxsize=1)
def _libraries() -> Any:
    """Return the BLAS libraries of the process; to find them takes longer than a small product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


N_COEFFICIENTS: Final = 55
N_CORRELATIONS: Final = N_COEFFICIENTS * (N_COEFFICIENTS - 1) // 2
RANGE: Final = (0.0, 60.0)
"""Pseudo-wavelengths of a spectrum, the range that GaiaXPy samples by default."""
_FAMILY: Final = Family("gaiaxp", "Gaia XP")
_FLUX: Final = Quantity("flux", "electron / s", "electron/s")
_PSEUDO_WAVELENGTH: Final = Quantity("pseudo-wavelength")


class XPGroup(CoefficientGroup):
    """A group of Gaia XP spectra in three columns: coefficients, errors and correlations."""

    n_columns: ClassVar[int | None] = 3
    n_coefficients: ClassVar[int] = N_COEFFICIENTS

    @property
    def coded_columns(self) -> list[str]:
        """Names of the columns of coefficients and errors; codes do not hold correlations."""
        return self.column_names[:2]

    def grid(self, settings: GroupSettings) -> Grid:
        """Return `xp_samples` pseudo-wavelengths over the whole range."""
        first, last = RANGE
        return Grid(first, (last - first) / (settings.xp_samples - 1), settings.xp_samples)

    def functions(self, settings: GroupSettings) -> np.ndarray:
        """Return the basis functions at the points of `grid`, float64 (55, L)."""
        return basis(self.name, tuple(self.grid(settings).points()))

    def read(self, piece: CubeSlice) -> SpectrumBatch:
        """Return the coefficients of some rows of a cube (electron/s) as pixels.

        Returns
        -------
        SpectrumBatch
            The inverse variance of a coefficient is that of its error. A spectrum with a number
            that is not finite in float32, or with an error that is not positive or so large that
            its inverse variance is 0, has bad pixels only.

        Raises
        ------
        DataError
            Where a column holds no lists or texts of the right number of values.
        """
        return _batch(piece, self.columns[:2])

    def read_observed(self, piece: CubeSlice) -> SpectrumBatch:
        """Return coefficients as `read` does, with the correlations of their errors."""
        return _batch(piece, self.columns)


def _batch(piece: CubeSlice, columns: Sequence[GroupColumn]) -> SpectrumBatch:
    """Return the spectra of the rows that have coefficients or errors, the first two columns."""
    cells = {column.name: piece.objects(column.name) for column in columns}
    filled = [[_is_filled(cell) for cell in cells[column.name]] for column in columns[:2]]
    rows = piece.rows()[np.any(filled, axis=0)]
    numbers = [_parsed(piece, column, cells[column.name], rows) for column in columns]
    coefficients, errors = numbers[:2]
    # What overflows on the way becomes a bad pixel.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        flux, ivar = coefficients.astype(np.float32), (1 / errors**2).astype(np.float32)
    finite = [np.isfinite(table).all(axis=1) for table in (flux, ivar, *numbers[2:])]
    good = np.all([*finite, ((errors > 0) & (ivar > 0)).all(axis=1)], axis=0)
    return SpectrumBatch(rows, flux, np.where(good[:, None], ivar, 0), *numbers[2:])


@lru_cache(maxsize=8)
def basis(group: str, grid: tuple[float, ...]) -> np.ndarray:
    """Return the basis functions of BP or RP at some pseudo-wavelengths, float64 (55, L).

    Parameters
    ----------
    group : str
        ``gaiaxp_bp`` or ``gaiaxp_rp``.
    grid : tuple of float, of length L
        Pseudo-wavelengths.
    """
    table: dict[str, object] = {"source_id": np.arange(N_COEFFICIENTS)}
    for band in ("bp", "rp"):
        table[f"{band}_n_parameters"] = N_COEFFICIENTS
        table[f"{band}_standard_deviation"] = 1.0
        table[f"{band}_coefficients"] = list(np.eye(N_COEFFICIENTS))
        table[f"{band}_coefficient_errors"] = [np.ones(N_COEFFICIENTS)] * N_COEFFICIENTS
        table[f"{band}_coefficient_correlations"] = [np.zeros(N_CORRELATIONS)] * N_COEFFICIENTS
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        # GaiaXPy warns of pandas' future and prints its progress; neither concerns the user.
        # Importing it sends all of matplotlib's text through LaTeX; rc_context undoes that.
        warnings.simplefilter("ignore")
        import pandas as pd
        from gaiaxpy import convert

        sampled, _ = convert(pd.DataFrame(table), sampling=np.array(grid), save_file=False)
    functions = np.stack(sampled.loc[sampled["xp"] == group[-2:].upper(), "flux"].to_list())
    functions.flags.writeable = False
    return functions


def _is_filled(cell: object) -> bool:
    """Return whether a cell holds anything but null, an empty list or an empty text."""
    return cell is not None and not (isinstance(cell, bytes | str | list) and not len(cell))


def _parsed(
    piece: CubeSlice, column: GroupColumn, cells: list[Any], rows: np.ndarray
) -> np.ndarray:
    """Return the numbers of a column, texts or lists, at some rows of a slice, float64 (m, n)."""
    values = np.empty((len(rows), column.length or 0))
    first = piece.rows()[0] if len(rows) else 0
    for i, row in enumerate(rows):
        cell = cells[row - first]
        numbers = _numbers(cell)
        if numbers is None or numbers.shape != values.shape[1:]:
            shown = f"{cell!r:.40}" if numbers is None else f"{numbers.size} numbers"
            must = f"a list or a text '[a,b,…]' of {column.length} numbers"
            raise piece.error(column.name, must, f"{shown} in row {row}")
        values[i] = numbers
    return values


def _numbers(cell: object) -> np.ndarray | None:
    """Return the numbers of a list, or of a text of one, float64; None for anything else.

    A text is JSON, which may be quoted once more, or has round brackets as in the CSV files of the
    Gaia archive. The JSON parser of pydantic reads floats four times as fast as the standard one.
    """
    try:
        for _ in range(2):
            if isinstance(cell, bytes | str):
                cell = from_json(_in_square_brackets(cell))
        # A null among the numbers becomes NaN.
        return np.array(cell, dtype=np.float64) if isinstance(cell, list) else None
    except (ValueError, TypeError):
        return None


def _in_square_brackets(text: bytes | str) -> bytes:
    """Return ``(a, b)`` as ``[a, b]``, and any other text as it is."""
    text = (text.encode() if isinstance(text, str) else text).strip()
    return b"[" + text[1:-1] + b"]" if text[:1] == b"(" and text[-1:] == b")" else text


def _spectrum(name: str, colour: str) -> XPGroup:
    triangle = "the upper triangle without the diagonal, in column-major order"
    parts = (
        ("coefficients", "coefficients of basis functions", _FLUX.unit, N_COEFFICIENTS),
        ("coefficient_errors", "their errors", _FLUX.unit, N_COEFFICIENTS),
        ("coefficient_correlations", f"correlations: {triangle}", "", N_CORRELATIONS),
    )
    columns = tuple(
        GroupColumn(f"{name}_{part}", meaning, unit, "list or text", "string", length)
        for part, meaning, unit, length in parts
    )
    return XPGroup(
        name=name, family=_FAMILY, columns=columns, values=_FLUX, axis=_PSEUDO_WAVELENGTH,
        colour=colour,
    )  # fmt: skip


GROUPS: Final = (_spectrum("gaiaxp_bp", "#cc79a7"), _spectrum("gaiaxp_rp", "#e69f00"))
"""The groups of this survey."""
