"""Gaia XP continuous spectra: coefficients that GaiaXPy turns back into the source's spectrum.

GaiaXPy's instrument model says what a set of coefficients means. With the photon rate per nm
``e = F R A wavelength / (h c)`` (flux, response, pupil), it calibrates spectra by

    e(wavelength) = c . T I phi(u(wavelength))

where phi are Hermite functions of the pseudo-wavelength u, I the inverse bases that take out the
line spread function, and T a rotation. Coefficients are the least-squares solution of just this,
so ``calibrate`` returns the flux and ``convert`` the dispersed, smoothed photon rate.
"""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from astromodal.errors import AstromodalError, must_be
from astromodal.simulate.light import FLUX_UNIT

N_COEFFICIENTS = 55
MODELS = {"bp": "bpC03_v375wi", "rp": "rpC03_v142r"}
"""Instrument files of Gaia DR3 in GaiaXPy's wheel, by band."""

BASIS_ID = {"bp": 56.0, "rp": 57.0}
PUPIL = 0.7278
"""Area of Gaia's telescope (m²)."""

HC = 6.62607015e-34 * 2.99792458e8 * 1e9
"""Planck's constant times the speed of light (J nm)."""

STEP = 2.0
"""Step of the wavelength grid that coefficients are fitted on (nm)."""

_RIDGE = 1e-3


@dataclass(frozen=True)
class Instrument:
    """One photometer's instrument model on a wavelength grid.

    Attributes
    ----------
    wave : ndarray of shape (L,)
        Wavelength (nm).
    response : ndarray of shape (L,)
        Electrons a photon.
    project : ndarray of shape (55, L)
        Takes a photon rate (electron/s/nm) to coefficients.
    dispersion : ndarray of shape (L,)
        Pseudo-wavelength a nm, without its sign.
    """

    wave: np.ndarray
    response: np.ndarray
    project: np.ndarray
    dispersion: np.ndarray

    def rate(self, flux: np.ndarray) -> np.ndarray:
        """Photon rate (electron/s/nm) of flux densities (m, L) in 1e-17 erg/s/cm²/Angstrom."""
        watts = flux * FLUX_UNIT * 1e-7 * 1e4 * 10.0  # W/m²/nm
        return watts * self.response * self.wave * PUPIL / HC


@lru_cache(maxsize=2)
def instrument(band: str) -> Instrument:
    """Instrument model of "bp" or "rp".

    Raises
    ------
    AstromodalError
        Where GaiaXPy is not installed.
    """
    # Found without importing GaiaXPy, whose import takes seconds.
    found = importlib.util.find_spec("gaiaxpy")
    if found is None or not found.submodule_search_locations:
        raise AstromodalError(must_be("gaiaxpy", "installed", "nothing", "pip install gaiaxpy"))
    stem = Path(found.submodule_search_locations[0]) / "config" / MODELS[band]
    nodes, pseudo = _rows(f"{stem}_dispersion.csv")
    at, response = _rows(f"{stem}_response.csv")
    place = CubicSpline(nodes, pseudo)
    wave = np.arange(nodes[0], nodes[-1], STEP)
    # All of the detector is fitted, where there is no light too: nothing is left to swing.
    wave = wave[(place(wave) > -3.0) & (place(wave) < 63.0)]
    design = _design(f"{stem}_bases.csv", place(wave))  # (L, 55)
    ridge = _RIDGE * np.linalg.norm(design, 2)
    normal = design.T @ design + ridge**2 * np.eye(N_COEFFICIENTS)
    passed = np.interp(wave, at, response, left=0.0, right=0.0)
    return Instrument(wave, passed, np.linalg.solve(normal, design.T), np.abs(place(wave, 1)))


def _rows(path: str) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.loadtxt(path, delimiter=",", ndmin=2)
    return first, second


def _design(path: str, pseudo: np.ndarray) -> np.ndarray:
    """Calibrated bases at pseudo-wavelengths (L,): an array (L, 55)."""
    csv.field_size_limit(10_000_000)
    with Path(path).open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    n_inverse = int(row["nInverseBasesCoefficients"])
    inverse = _numbers(row["inverseBasesCoefficients"]).reshape(N_COEFFICIENTS, n_inverse)
    rotation = _numbers(row["transformationMatrix"]).reshape(N_COEFFICIENTS, -1)
    low, high = float(row["pwlRangeMin"]), float(row["pwlRangeMax"])
    start, stop = float(row["normRangeMin"]), float(row["normRangeMax"])
    x = start + (pseudo - low) * (stop - start) / (high - low)
    return (rotation @ inverse @ hermite_functions(n_inverse, x)).T


def _numbers(text: str) -> np.ndarray:
    return np.array(text.strip("()").split(","), dtype=np.float64)


def hermite_functions(n: int, x: np.ndarray) -> np.ndarray:
    """The first `n` normalised Hermite functions at `x` (L,), an array (n, L)."""
    out = np.zeros((max(n, 2), len(x)))
    out[0] = np.pi**-0.25 * np.exp(-0.5 * x**2)
    out[1] = np.sqrt(2.0) * x * out[0]
    for k in range(2, n):
        out[k] = np.sqrt(2 / k) * x * out[k - 1] - np.sqrt((k - 1) / k) * out[k - 2]
    return out[:n]


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of m spectra in one band.

    Attributes
    ----------
    values, errors : ndarray of shape (m, 55)
        Coefficients (electron/s) and their errors.
    correlations : ndarray of shape (m, 1485)
        Upper triangle of the correlation matrix, column by column.
    standard_deviation : ndarray of shape (m,)
        Of the least-squares fit that Gaia made; errors include it.
    """

    values: np.ndarray
    errors: np.ndarray
    correlations: np.ndarray
    standard_deviation: np.ndarray


def measure(band: str, flux: np.ndarray, rng: np.random.Generator) -> Coefficients:
    """Observe spectra, given as flux densities (m, L) on the `wave` of the band's instrument.

    The photon rate of each 2 nm is known to its photon noise over some 600 s of transits and the
    sky's, which the projection carries into errors and correlations of coefficients.
    """
    model = instrument(band)
    rate = model.rate(flux)
    exposure = 600.0 * rng.lognormal(0, 0.15, len(flux))
    # A nm that spreads over little of the detector collects less sky.
    sky = 6.0 * model.dispersion
    variance = (np.maximum(rate, 0) + sky) / exposure[:, None] / STEP + (0.004 * rate) ** 2
    weighted = model.project[None] * np.sqrt(variance)[:, None, :]  # (m, 55, L)
    covariance = weighted @ weighted.transpose(0, 2, 1)
    diagonal = np.einsum("mii->mi", covariance)
    diagonal += 1e-3 * diagonal.mean(axis=1, keepdims=True)  # keep every matrix positive definite
    errors = np.sqrt(diagonal)
    noise = np.linalg.cholesky(covariance) @ rng.standard_normal((len(flux), N_COEFFICIENTS, 1))
    values = rate @ model.project.T + noise[:, :, 0]
    correlation = covariance / errors[:, :, None] / errors[:, None, :]
    column, row = np.tril_indices(N_COEFFICIENTS, -1)  # column by column of the upper triangle
    return Coefficients(
        values, errors, correlation[:, row, column], rng.uniform(0.95, 1.35, len(flux))
    )


def choose(
    g_mag: np.ndarray, candidates: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Rows with XP spectra, ascending: the bright ones of `candidates` (n,), with a soft limit."""
    faint = np.where(candidates, g_mag + rng.gumbel(0, 0.6, len(g_mag)), np.inf)
    n_chosen = min(round(fraction * len(g_mag)), int(candidates.sum()))
    return np.sort(np.argsort(faint, kind="stable")[:n_chosen])


def without_bp(n: int, rng: np.random.Generator) -> np.ndarray:
    """Which of n spectra lack BP, bool (n,): one in sixteen, and at least one of six."""
    lost = rng.uniform(size=n) < 0.06
    if n >= 6:
        lost[rng.integers(n)] = True
    return lost


def as_text(numbers: np.ndarray, digits: int, quoted: bool) -> str:
    """Numbers as the text ``[a,b,…]``, once more in JSON quotes where `quoted`."""
    text = "[" + ",".join([f"{number:.{digits}g}" for number in numbers.tolist()]) + "]"
    return f'"{text}"' if quoted else text


def xp_columns(
    band: str, measured: Coefficients, quoted: np.ndarray, rng: np.random.Generator
) -> dict[str, list[float] | list[str]]:
    """Columns ``gaiaxp_{band}_*`` of m spectra; the three arrays as text."""
    m = len(measured.values)
    arrays = {
        "coefficients": (measured.values, 16),
        "coefficient_errors": (measured.errors, 8),
        "coefficient_correlations": (measured.correlations, 8),
    }
    numbers = {
        "basis_function_id": np.full(m, BASIS_ID[band]),
        "n_parameters": np.full(m, float(N_COEFFICIENTS)),
        "standard_deviation": measured.standard_deviation,
        "n_relevant_bases": rng.integers(5, N_COEFFICIENTS + 1, m).astype(np.float64),
        "relative_shrinking": rng.uniform(0.98, 1.0, m),
    }
    columns: dict[str, list[float] | list[str]] = {n: v.tolist() for n, v in numbers.items()}
    for name, (values, digits) in arrays.items():
        columns[name] = [
            as_text(v, digits, q) for v, q in zip(values, quoted.tolist(), strict=True)
        ]
    return {f"gaiaxp_{band}_{name}": values for name, values in columns.items()}
