"""What Gaia measures: astrometry, fluxes and stellar parameters."""

from __future__ import annotations

import numpy as np

from astromodal.simulate.light import BAND_NAMES, GAIA_AB_ZERO_POINT, Light, to_magnitude
from astromodal.simulate.sources import GALAXY, STAR, Sources

MATCHED = 0.71
"""Share of sources with a Gaia match."""

DUPLICATES = 0.006
"""Share of rows that carry the Gaia source of another row."""


def g_magnitude(light: Light) -> np.ndarray:
    """G magnitudes (AB), (n,)."""
    return to_magnitude(light.flux[:, BAND_NAMES.index("gaia_g")])


def match(sources: Sources, light: Light, at_least: float, rng: np.random.Generator) -> np.ndarray:
    """Row whose Gaia source each row carries, int64 (n,); -1 without a match.

    Gaia sees what is bright and compact. A few rows carry their neighbour's source: matches are
    many-to-one.

    Parameters
    ----------
    at_least : float
        Share that must be matched, for other surveys to draw from.
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
        # The brightest sources, which have XP spectra, are among those seen twice.
        owners = chosen[rng.permutation(min(n_matched, 10 * n_twice))[:n_twice]]
        source[rng.choice(free, n_twice, replace=False)] = owners
    return source


def identifiers(n: int, rng: np.random.Generator) -> np.ndarray:
    """Gaia source ids, int64 (n,), unique and of the size of real ones."""
    # As in real ids, a HEALPix cell leads and a counter follows.
    cells = rng.choice(2**27, n, replace=False).astype(np.int64)
    return (cells << 35) | (rng.integers(1, 2**20, n) << 7)


def gaia_columns(sources: Sources, light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Gaia's columns for every source, as if all were matched; float64 (n,), NaN where missing.

    Parallaxes keep DR3's mean zero point of -0.02 mas. A tenth of the sources has a position only.
    """
    n = len(sources)
    g = g_magnitude(light) + 0.12  # in Vega magnitudes, as the error model wants it
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
    return columns | _fluxes(sources, light, rng) | _parameters(sources, g, rng)


def _parallax_error(g: np.ndarray) -> np.ndarray:
    """Parallax error (mas) against G: the form of Gaia's science performance page, 0.78 of it.

    The factor brings it to the median error of the survey's rows.
    """
    z = np.maximum(10 ** (0.4 * (13 - 15.0)), 10 ** (0.4 * (g - 15.0)))
    return np.sqrt(40 + 800 * z + 30 * z**2) / 1000.0 * 0.78


def _tailed(n: int, rng: np.random.Generator) -> np.ndarray:
    """Unit noise with a tail: one in thirty is three times as wide, as with unseen companions."""
    return rng.standard_normal(n) * rng.choice([1.0, 3.0], n, p=(0.97, 0.03))


def window(sources: Sources) -> np.ndarray:
    """Share of the light that falls into Gaia's small windows, (n,): galaxies lose some."""
    return 1 / (1 + 0.25 * np.nan_to_num(sources.shape["radius"]) ** 1.5)


def _fluxes(sources: Sources, light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean fluxes and errors in electron/s: a floor, photon noise and a relative part."""
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
        if band != "g":  # faint sources near others have no colour
            measured = np.where(measured > 0.5 * error, measured, np.nan)
            measured = np.where(rng.uniform(size=n) < 0.012, np.nan, measured)
        columns[f"gaia_phot_{band}_mean_flux"] = np.maximum(measured, 1.0)
        columns[f"gaia_phot_{band}_mean_flux_error"] = np.where(np.isnan(measured), np.nan, error)
    return columns


def _parameters(sources: Sources, g: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """GSP-Phot's parameters for most stars brighter than G = 19, and for a few galaxies."""
    n = len(sources)
    bright = g + rng.normal(0, 0.4, n) < 19.1
    given = bright & (rng.uniform(size=n) < np.where(sources.kind == STAR, 0.9, 0.05))
    loose = 1 + np.clip(g - 15, 0, 4) * 0.5
    teff = np.where(sources.kind == STAR, sources.teff, rng.uniform(4500, 6500, n))
    logg = np.where(sources.kind == STAR, sources.logg, rng.uniform(3.5, 4.7, n))
    metallicity = np.where(sources.kind == STAR, sources.metallicity, rng.uniform(-1, 0, n))
    spread = rng.standard_normal((3, n)) * rng.choice([1.0, 4.0], (3, n), p=(0.96, 0.04))
    values = {
        "teff": np.clip(teff * np.exp(0.015 * loose * spread[0]), 2600, 40_000),
        "logg": np.clip(logg + 0.06 * loose * spread[1], 0, 5.3),  # its models end near 5
        "mh": np.clip(metallicity - 0.15 + 0.16 * loose * spread[2], -4.14, 0.8),
    }
    return {
        f"gaia_{name}_gspphot": np.where(given, value, np.nan) for name, value in values.items()
    }
