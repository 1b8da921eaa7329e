"""Labels of sources as surveys give them: stellar parameters and redshifts, with their noise.

The constants of this module are all the noise that labels have: no prediction of a label can be
better. Classes (``specz_class_spec``) have none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from astromodal.simulate.sources import STAR, Sources


class StellarNoise(NamedTuple):
    """Noise of one parameter of GSP-Phot.

    Attributes
    ----------
    scatter : float
        Standard deviation for stars brighter than G = 15; it grows by half of itself per magnitude
        and is three times as large from G = 19 on.
    offset : float
        Label minus truth, on average.
    lowest, highest : float
        Limits of the labels.
    """

    scatter: float
    offset: float
    lowest: float
    highest: float


STELLAR = {
    "teff": StellarNoise(0.015, 0.0, 2600.0, 40_000.0),
    "logg": StellarNoise(0.06, 0.0, 0.0, 5.3),
    "mh": StellarNoise(0.16, -0.15, -4.14, 0.8),
}
"""Noise of effective temperature (K, but relative scatter), gravity (dex) and [M/H] (dex)."""

WIDE, WIDER = 0.04, 4.0
"""Share of stellar parameters whose scatter is larger, and by what factor."""

GIVEN, GIVEN_BEYOND = 0.9, 0.05
"""Shares of stars, and of galaxies and quasars, with parameters; the latter's are random."""

FAINTEST = 19.1
"""G magnitude (Vega) at which half of the sources have stellar parameters, within 0.4 mag."""

REDSHIFT = (8e-6, 4e-5, 4e-4)
"""Median error of redshifts of stars, galaxies and quasars; errors scatter by a factor of 2.5."""

WRONG = 0.02
"""Share of redshifts of galaxies and quasars that are wrong: random in 0 to 3."""

ABSURD = 0.01
"""Share of reported errors of redshifts that are random in 0.1 to 300, whatever the redshift's."""


def stellar_parameters(
    sources: Sources, g_mag: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Measure GSP-Phot's parameters of most bright stars and of a few galaxies and quasars.

    Parameters
    ----------
    sources : Sources
        The n sources.
    g_mag : ndarray of shape (n,)
        G magnitudes (Vega).

    Returns
    -------
    dict of ndarray of shape (n,)
        ``gaia_{teff,logg,mh}_gspphot``; NaN where not given.
    """
    n = len(sources)
    bright = g_mag + rng.normal(0, 0.4, n) < FAINTEST
    given = bright & (rng.uniform(size=n) < np.where(sources.kind == STAR, GIVEN, GIVEN_BEYOND))
    loose = 1 + np.clip(g_mag - 15, 0, 4) * 0.5
    teff = np.where(sources.kind == STAR, sources.teff, rng.uniform(4500, 6500, n))
    logg = np.where(sources.kind == STAR, sources.logg, rng.uniform(3.5, 4.7, n))
    metallicity = np.where(sources.kind == STAR, sources.metallicity, rng.uniform(-1, 0, n))
    spread = rng.standard_normal((3, n)) * rng.choice([1.0, WIDER], (3, n), p=(1 - WIDE, WIDE))
    off = {name: STELLAR[name].scatter * loose * spread[k] for k, name in enumerate(STELLAR)}
    values = {"teff": teff * np.exp(off["teff"]), "logg": logg + off["logg"]}
    values["mh"] = metallicity + STELLAR["mh"].offset + off["mh"]
    return {
        f"gaia_{name}_gspphot": np.where(
            given, np.clip(value, STELLAR[name].lowest, STELLAR[name].highest), np.nan
        )
        for name, value in values.items()
    }


def redshift_columns(
    sources: Sources, rows: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Measure spectroscopic redshifts and errors of the sources in `rows`, float64 (m,)."""
    m = len(rows)
    kind = sources.kind[rows]
    error = np.array(REDSHIFT)[kind] * rng.lognormal(0, 0.9, m)
    redshift = sources.redshift[rows] + error * rng.standard_normal(m)
    wrong = (rng.uniform(size=m) < WRONG) & (kind != STAR)
    redshift = np.where(wrong, rng.uniform(0.0, 3.0, m), redshift)
    reported = np.where(rng.uniform(size=m) < ABSURD, 10 ** rng.uniform(-1, 2.5, m), error)
    return {"specz_z": redshift, "specz_e_z": reported}
