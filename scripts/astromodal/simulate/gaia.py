"""What Gaia measures: astrometry, fluxes, stellar parameters and XP continuous spectra.

XP spectra are coefficients that GaiaXPy turns back into the source's spectrum. GaiaXPy's instrument
model says what a set of coefficients means. With the photon rate per nm
``e = F R A wavelength / (h c)`` (flux, response, pupil), it calibrates spectra by

    e(wavelength) = c . T I phi(u(wavelength))

where phi are Hermite functions of the pseudo-wavelength u, I the inverse bases that take out the
line spread function, and T a rotation. The coefficients are the least-squares solution of this
equation, so ``calibrate`` returns the flux and ``convert`` the dispersed, smoothed photon rate.
"""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from astromodal.data.splits import healpix_cells
from astromodal.errors import AstromodalError, must_be
from astromodal.simulate.light import (
    BAND_NAMES,
    FLUX_UNIT,
    GAIA_AB_ZERO_POINT,
    GAIA_VEGA_ZERO_POINT,
    Light,
    to_magnitude,
)
from astromodal.simulate.sources import GALAXY, STAR, Sources
from astromodal.simulate.spectroscopy import stellar_parameters
from astromodal.surveys.gaiaxp import N_COEFFICIENTS

MATCHED = 0.71
"""Share of sources with a Gaia match."""

DUPLICATES = 0.006
"""Share of rows that are matched to the Gaia source of another row."""


def g_magnitude(light: Light) -> np.ndarray:
    """Return G magnitudes (AB), (n,)."""
    return to_magnitude(light.flux[:, BAND_NAMES.index("gaia_g")])


def match(sources: Sources, light: Light, at_least: float, rng: np.random.Generator) -> np.ndarray:
    """Return the row of the Gaia source that each row is matched to, int64 (n,); -1 for none.

    Gaia detects bright and compact sources. A few rows are matched to the source of another row:
    matches are many-to-one.

    Parameters
    ----------
    at_least : float
        Share of rows that must be matched, so that other surveys can be sampled from them.
    """
    n = len(sources)
    compact = np.where(
        sources.kind == GALAXY, 1.6 + 0.9 * np.nan_to_num(sources.shape["radius"]), 0.0
    )
    score = g_magnitude(light) + compact + rng.logistic(0, 0.25, n)
    n_matched = min(n, round(n * max(MATCHED, at_least)))
    chosen = np.argsort(score, kind="stable")[:n_matched]
    source = np.full(n, -1)
    source[chosen] = chosen
    free = np.flatnonzero(source < 0)
    n_twice = min(len(free), n_matched, max(round(DUPLICATES * n), int(n >= 50)))
    if n_twice:
        # Duplicates are among the brightest sources, which have XP spectra.
        owners = chosen[rng.permutation(min(n_matched, 10 * n_twice))[:n_twice]]
        source[rng.choice(free, n_twice, replace=False)] = owners
    return source


def identifiers(ra: np.ndarray, dec: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the Gaia source ids of some positions (degree), int64 (n,), each another one.

    As in real ids, the high bits are the HEALPix cell of order 12 (NESTED) and the low ones a
    counter (Gaia DR3 documentation, section 20.1.1).
    """
    cells = healpix_cells(ra, dec, 2**12)
    return (cells << 35) | (rng.choice(2**20, len(ra), replace=False) << 7)


def gaia_columns(sources: Sources, light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Measure Gaia's columns for every source, as if all were matched; float64 (n,), may be NaN.

    Parallaxes have DR3's mean zero point of -0.02 mas. A tenth of the sources has positions only.
    """
    n = len(sources)
    to_vega = GAIA_VEGA_ZERO_POINT["g"] - GAIA_AB_ZERO_POINT["g"]
    g = g_magnitude(light) + to_vega  # as the error model takes
    parallax_error = _parallax_error(g) * rng.lognormal(0, 0.2, n)
    ratio = {"pmra": 1.02, "pmdec": 0.92}
    galactic = sources.kind == STAR
    parallax = np.where(galactic, 1000.0 / sources.distance, 0.0)
    solved = (rng.uniform(size=n) < 0.905) | (g < 18)
    columns = {"gaia_ra": sources.ra, "gaia_dec": sources.dec}
    columns["gaia_parallax"] = parallax - 0.02 + parallax_error * _tailed(n, rng)
    columns["gaia_parallax_error"] = parallax_error
    for name, factor in ratio.items():
        error = parallax_error * factor * rng.lognormal(0, 0.1, n)
        columns[f"gaia_{name}"] = getattr(sources, name) + error * _tailed(n, rng)
        columns[f"gaia_{name}_error"] = error
    for name in ("parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error"):
        columns[f"gaia_{name}"] = np.where(solved, columns[f"gaia_{name}"], np.nan)
    return columns | _fluxes(sources, light, rng) | stellar_parameters(sources, g, rng)


def _parallax_error(g: np.ndarray) -> np.ndarray:
    """Parallax error (mas) at G: the form of Gaia's science performance page, times 0.87.

    With the factor, the median error is that of the survey's rows.
    """
    z = np.maximum(10 ** (0.4 * (13 - 15.0)), 10 ** (0.4 * (g - 15.0)))
    return np.sqrt(40 + 800 * z + 30 * z**2) / 1000.0 * 0.87


def _tailed(n: int, rng: np.random.Generator) -> np.ndarray:
    """Sample unit noise with a tail: one in thirty is three times as wide, as for binaries."""
    return rng.standard_normal(n) * rng.choice([1.0, 3.0], n, p=(0.97, 0.03))


def window(sources: Sources) -> np.ndarray:
    """Return the share of the light inside Gaia's windows, (n,); extended sources lose some."""
    return 1 / (1 + 0.25 * np.nan_to_num(sources.shape["radius"]) ** 1.5)


def _fluxes(sources: Sources, light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Measure mean fluxes and errors in electron/s: a floor, photon noise and a relative part."""
    n = len(sources)
    floor = {"g": 0.45, "bp": 6.5, "rp": 6.3}
    photon = {"g": 0.04, "bp": 0.2, "rp": 0.16}
    relative = {"g": 3e-4, "bp": 6e-4, "rp": 5e-4}
    columns = {}
    for band in ("bp", "rp", "g"):
        zero = 10 ** (0.4 * GAIA_AB_ZERO_POINT[band])
        true = light.flux[:, BAND_NAMES.index(f"gaia_{band}")] * zero * window(sources)
        variance = floor[band] ** 2 + photon[band] ** 2 * true + (relative[band] * true) ** 2
        tail = rng.choice([1.0, 8.0], n, p=(0.985, 0.015))
        error = np.sqrt(variance) * tail * rng.lognormal(0, 0.2, n)
        measured = true + error * rng.standard_normal(n)
        if band != "g":  # BP and RP of faint, blended sources are missing
            measured = np.where(measured > 0.5 * error, measured, np.nan)
            measured = np.where(rng.uniform(size=n) < 0.012, np.nan, measured)
        columns[f"gaia_phot_{band}_mean_flux"] = np.maximum(measured, 1.0)
        columns[f"gaia_phot_{band}_mean_flux_error"] = np.where(np.isnan(measured), np.nan, error)
    return columns


XP_MODELS = {"bp": "bpC03_v375wi", "rp": "rpC03_v142r"}
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
        Electrons per photon.
    project : ndarray of shape (55, L)
        Matrix that maps a photon rate (electron/s/nm) to coefficients.
    dispersion : ndarray of shape (L,)
        Absolute change of pseudo-wavelength per nm.
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
    """Return the instrument model of "bp" or "rp".

    Raises
    ------
    AstromodalError
        If GaiaXPy is not installed.
    """
    # GaiaXPy is not imported: that takes seconds.
    found = importlib.util.find_spec("gaiaxpy")
    if found is None or not found.submodule_search_locations:
        raise AstromodalError(must_be("gaiaxpy", "installed", "nothing", "pip install gaiaxpy"))
    stem = Path(found.submodule_search_locations[0]) / "config" / XP_MODELS[band]
    nodes, pseudo = _rows(f"{stem}_dispersion.csv")
    at, response = _rows(f"{stem}_response.csv")
    place = CubicSpline(nodes, pseudo)
    wave = np.arange(nodes[0], nodes[-1], STEP)
    # The fit covers the whole detector, including its dark ends: coefficients stay bounded there.
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
    """Return the calibrated bases at pseudo-wavelengths (L,), an array (L, 55)."""
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
    """Return the first `n` normalised Hermite functions at `x` (L,), an array (n, L)."""
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
        Standard deviation of the least-squares fit; the errors include it.
    """

    values: np.ndarray
    errors: np.ndarray
    correlations: np.ndarray
    standard_deviation: np.ndarray


def measure_xp(band: str, flux: np.ndarray, rng: np.random.Generator) -> Coefficients:
    """Observe spectra, given as flux densities (m, L) on the `wave` of the band's instrument.

    The photon rate of each 2 nm has photon noise of source and sky, over about 600 s of transits.
    The projection propagates it into errors and correlations of the coefficients.
    """
    model = instrument(band)
    rate = model.rate(flux)
    exposure = 600.0 * rng.lognormal(0, 0.15, len(flux))
    # The sky collected per nm is proportional to the dispersion.
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


def choose_xp(
    g_mag: np.ndarray, candidates: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Choose rows with XP spectra, ascending: bright `candidates` (n,), with a soft limit."""
    faint = np.where(candidates, g_mag + rng.gumbel(0, 0.6, len(g_mag)), np.inf)
    n_chosen = min(round(fraction * len(g_mag)), int(candidates.sum()))
    return np.sort(np.argsort(faint, kind="stable")[:n_chosen])


def without_bp(n: int, rng: np.random.Generator) -> np.ndarray:
    """Choose spectra without BP, bool (n,): one in sixteen, and at least one if there are six."""
    lost = rng.uniform(size=n) < 0.06
    if n >= 6:
        lost[rng.integers(n)] = True
    return lost


def as_text(numbers: np.ndarray, digits: int, quoted: bool) -> str:
    """Return numbers as the text ``[a,b,…]``, within JSON quotes where `quoted`."""
    text = "[" + ",".join([f"{number:.{digits}g}" for number in numbers.tolist()]) + "]"
    return f'"{text}"' if quoted else text


def xp_columns(
    band: str, measured: Coefficients, quoted: np.ndarray, rng: np.random.Generator
) -> dict[str, list[float] | list[str]]:
    """Return the columns ``gaiaxp_{band}_*`` of m spectra; the three arrays are text."""
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
