"""Groups of spectra that are published as coefficients of basis functions."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from astromodal.surveys.group import GroupKind, GroupSettings, Quantity
from astromodal.surveys.spectra import GridGroup


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
