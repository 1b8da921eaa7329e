"""What spectroscopy gives of sources: DESI coadds and targets, redshifts and stellar parameters.

Coadds come in three arms with noise of sky, source and detector. The constants from `STELLAR` on
are all the noise that labels have: no prediction of a label can be better. Classes
(``specz_class_spec``) have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from astromodal.simulate.light import Light, spectra
from astromodal.simulate.sources import GALAXY, QUASAR, STAR, Sources
from astromodal.simulate.spectra import vacuum
from astromodal.surveys.desi import GRIDS

ARMS = tuple(group.removeprefix("desi_") for group in GRIDS)
SKY_LINES = vacuum(np.array(
    [5577.3, 5890.0, 5895.9, 6300.3, 6363.8, 6864.0, 7276.4, 7316.3, 7340.9, 7750.6, 7794.1, 7821.5,
     7913.7, 7993.3, 8344.6, 8399.2, 8430.2, 8465.4, 8504.6, 8778.3, 8827.1, 8885.9, 8919.6, 8958.1,
     9001.1, 9313.9, 9375.9, 9439.7, 9476.8, 9552.5, 9719.8, 9791.4]
))  # fmt: skip
"""Bright lines of the night sky (Angstrom, in vacuum): oxygen, sodium and hydroxyl.

The list is that of Osterbrock et al. 1996 (PASP 108, 277), whose wavelengths are in air.
"""

PHOTON_NOISE = 0.045
"""Photon noise of a source of flux 1 in 1000 s, in the unit of flux."""


@dataclass(frozen=True)
class Coadds:
    """Spectra of m targets, by arm: ``flux`` and ``ivar`` float32 (m, L)."""

    flux: dict[str, np.ndarray]
    ivar: dict[str, np.ndarray]


def choose(sources: Sources, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Choose rows that DESI observes, int64 (m,), ascending: galaxies, quasars, some stars."""
    n = len(sources)
    limit = np.array([19.6, 20.6, 22.2])[sources.kind]
    weight = np.array([0.5, 2.5, 6.0])[sources.kind] / (1 + np.exp(2.5 * (sources.r_mag - limit)))
    weight *= np.where(sources.r_mag > 15.5, 1.0, 0.05)
    key = rng.exponential(size=n) / np.maximum(weight, 1e-6)
    return np.sort(np.argsort(key, kind="stable")[: round(fraction * n)])


def noise_level(wave: np.ndarray, arm: str) -> np.ndarray:
    """Noise of one pixel (1e-17 erg/s/cm²/Angstrom) of a 1000 s exposure in the dark, (L,).

    Noise rises at the ends of the arms, where throughput falls, and at sky lines.
    """
    level = {"b": 0.24, "r": 0.125, "z": 0.105}[arm]
    first, last = wave[0], wave[-1]
    ends = 1 + 0.5 * np.exp(-(wave - first) / 60) + 0.4 * np.exp(-(last - wave) / 60)
    if arm == "b":
        ends += 2.2 * np.exp(-(wave - 3600) / 130)
    lines = np.zeros(len(wave))
    for line in SKY_LINES:
        lines += np.exp(-0.5 * ((wave - line) / 1.1) ** 2)
    return level * ends * np.sqrt(1 + 9 * lines)


def observe(sources: Sources, light: Light, rows: np.ndarray, rng: np.random.Generator) -> Coadds:
    """Observe the sources in `rows`; a few fibres are dead and a few pixels are bad.

    A fibre loses the same share of light at all wavelengths, so arms agree where they overlap.
    """
    m = len(rows)
    radius = np.nan_to_num(sources.shape["radius"][rows])
    throughput = rng.lognormal(0, 0.04, m) / (1 + 0.45 * radius)
    # Exposures in bright time are short: their noise is two to five times as large.
    short = 10 ** rng.uniform(-1.5, -0.5, m)
    exposure = np.where(rng.uniform(size=m) < 0.45, short, rng.uniform(0.7, 3.0, m))
    dead = rng.uniform(size=m) < 0.05
    if m >= 8:
        dead[rng.integers(m)] = True
    flux, ivar = {}, {}
    for arm in ARMS:
        wave = GRIDS[f"desi_{arm}"].points()
        true = spectra(sources, light, rows, wave) * throughput[:, None]
        variance = noise_level(wave, arm) ** 2 + PHOTON_NOISE**2 * true
        seen, inverse = _expose(true, variance / exposure[:, None], rng)
        bad = (rng.uniform(size=true.shape) < 0.002) | _bad_runs(true.shape, rng) | dead[:, None]
        flux[arm] = np.where(bad, 0.0, seen).astype(np.float32)
        ivar[arm] = np.where(bad, 0.0, inverse).astype(np.float32)
    return Coadds(flux, ivar)


def _expose(
    true: np.ndarray, variance: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Add noise; return flux and inverse variance, (m, L), with a few residual cosmic rays."""
    sigma = np.sqrt(variance) * (1 + 0.03 * rng.standard_normal(true.shape)).clip(0.8, 1.2)
    seen = true + sigma * rng.standard_normal(true.shape)
    hit = rng.uniform(size=true.shape) < 2e-4
    return np.where(hit, seen + rng.normal(0, 25, true.shape), seen), 1 / sigma**2


def _bad_runs(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Choose runs of bad pixels in some spectra, as from bad columns of a detector."""
    start = rng.integers(0, shape[1], (shape[0], 1))
    length = np.where(rng.uniform(size=(shape[0], 1)) < 0.15, rng.integers(3, 40, (shape[0], 1)), 0)
    pixel = np.arange(shape[1])[None, :]
    return (pixel >= start) & (pixel < start + length)


def choose_redshifts(
    sources: Sources, fraction: float, observed: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Choose rows with a catalogued redshift, ascending; DESI targets and bright galaxies first."""
    n = len(sources)
    limit = np.array([17.5, 19.0, 20.5])[sources.kind]
    weight = np.array([0.7, 3.0, 4.0])[sources.kind] / (1 + np.exp(1.5 * (sources.r_mag - limit)))
    weight[observed] += np.where(np.isin(sources.kind[observed], (GALAXY, QUASAR)), 8.0, 3.0)
    key = rng.exponential(size=n) / np.maximum(weight, 1e-6)
    return np.sort(np.argsort(key, kind="stable")[: round(fraction * n)])


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
