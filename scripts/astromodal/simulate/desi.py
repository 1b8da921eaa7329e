"""DESI coadds in three arms with noise of sky, source and detector, and their targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.simulate.light import Light, spectra
from astromodal.simulate.sources import GALAXY, QUASAR, Sources
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
