"""ZTF light curves: quasars vary as damped random walks, some stars periodically.

The survey follows Bellm et al. 2019 (PASP 131, 018002) and Masci et al. 2019 (PASP 131, 018003) in
outline. Exposures are taken in g and r every few nights and in i less often, while the field is
visible at night. The 5 sigma limits in a median night are 20.8, 20.6 and 19.9 mag; errors range
from 0.01 to 0.2 mag. Curves hold detections only, so their lengths differ. Fields south of ZTF's
sky are observed too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.simulate.extragalactic import comoving_distance
from astromodal.simulate.sources import QUASAR, STAR, Sources

BANDS = ("g", "r", "i")
START, YEARS = 58_194.0, 5.0
"""MJD of the first night (2018 March 17), and years observed."""
LIMIT = {"g": 20.8, "r": 20.6, "i": 19.9}
"""Magnitude of a 5 sigma source in a median exposure of 30 s (Bellm et al. 2019)."""
CADENCE = {"g": 3.0, "r": 3.0, "i": 6.0}
"""Mean number of days between clear nights with an exposure."""
WAVE = {"g": 4806.0, "r": 6436.0, "i": 7968.0}
"""Mean wavelength of ZTF's filters (Angstrom)."""
FLOOR = 0.01
"""Error of a bright source (mag), due to calibration (Masci et al. 2019)."""
DETECTED = 5.0
"""Least signal-to-noise ratio of an epoch in a curve (Masci et al. 2019)."""
SATURATED = 12.5
"""Magnitude below which sources saturate."""
PERIODIC = 0.1
"""Share of periodic stars; larger than on the sky, so that small fields have some."""

_LOG = 2.5 / np.log(10.0)  # mag of a relative error of 1
_YEAR = 365.25
_SUN_AT_START = 356.0  # right ascension of the Sun on START (degree)


@dataclass(frozen=True)
class Exposures:
    """A field's exposures, in time order.

    Attributes
    ----------
    time : float64 (E,)
        Heliocentric MJD (day).
    band : int64 (E,)
        Positions in `BANDS`.
    limit : float64 (E,)
        Magnitude of a 5 sigma source.
    """

    time: np.ndarray
    band: np.ndarray
    limit: np.ndarray


def choose(n: int, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Choose the rows of sources with light curves, ascending, int64 (m,)."""
    return np.sort(rng.permutation(n)[: round(fraction * n)])


def expose(ra: float, rng: np.random.Generator) -> Exposures:
    """Sample the exposures of a field at right ascension `ra` (degree).

    The field is observed in nights when it is 60 degrees or more from the Sun's right ascension,
    which leaves a gap of four months each year.
    """
    times, bands, limits = [], [], []
    nights = np.arange(0.0, YEARS * _YEAR)
    sun = (_SUN_AT_START + nights * 360.0 / _YEAR) % 360.0
    up = np.abs((ra - sun + 180.0) % 360.0 - 180.0) > 60.0
    weather = rng.normal(0.0, 0.35, len(nights))
    for number, band in enumerate(BANDS):
        taken = nights[up & (rng.uniform(size=len(nights)) < 1.0 / CADENCE[band])]
        times.append(START + taken + rng.uniform(0.15, 0.5, len(taken)))
        bands.append(np.full(len(taken), number))
        limits.append(LIMIT[band] + weather[taken.astype(int)])
    time = np.concatenate(times)
    order = np.argsort(time)
    return Exposures(time[order], np.concatenate(bands)[order], np.concatenate(limits)[order])


def variation(
    sources: Sources, rows: np.ndarray, exposures: Exposures, rng: np.random.Generator
) -> np.ndarray:
    """Sample each source's offset from its mean magnitude in each exposure, float64 (m, E)."""
    out = np.zeros((len(rows), len(exposures.time)))
    kind = sources.kind[rows]
    quasar = np.flatnonzero(kind == QUASAR)
    out[quasar] = random_walk(
        sources.r_mag[rows[quasar]], sources.redshift[rows[quasar]], exposures, rng
    )
    star = np.flatnonzero((kind == STAR) & (rng.uniform(size=len(rows)) < PERIODIC))
    out[star] = periodic(len(star), exposures, rng)
    return out


def random_walk(
    r_mag: np.ndarray, redshift: np.ndarray, exposures: Exposures, rng: np.random.Generator
) -> np.ndarray:
    """Sample damped random walks of quasars (Kelly et al. 2009, ApJ 698, 895), float64 (m, E).

    All bands follow one walk. Its time scale and asymptotic structure function are those of
    MacLeod et al. 2010 (ApJ 721, 1014, equation 7 and table 1) for a black hole of 1e9 Suns, with
    a scatter of 0.2 dex; the absolute magnitude is taken without a K correction.
    """
    modulus = 5 * np.log10(comoving_distance(redshift) * (1 + redshift) * 1e5)
    bright = r_mag - modulus + 23.0
    rest = np.array([WAVE[band] for band in BANDS]) / (1 + redshift[:, None]) / 4000.0  # (m, 3)
    scatter = rng.normal(0.0, 0.2, (2, len(r_mag)))
    tau = 10 ** (2.4 + 0.17 * np.log10(rest[:, 1]) + 0.03 * bright + scatter[0]) * (1 + redshift)
    structure = 10 ** (-0.51 - 0.479 * np.log10(rest) + (0.131 * bright + scatter[1])[:, None])
    step = np.diff(exposures.time, prepend=exposures.time[:1])
    noise = rng.normal(size=(len(exposures.time), len(r_mag)))
    walk = np.empty_like(noise)
    state = rng.normal(size=len(r_mag))
    for k in range(len(step)):
        kept = np.exp(-step[k] / tau)
        state = kept * state + np.sqrt(1 - kept**2) * noise[k]
        walk[k] = state
    return walk.T * structure[:, exposures.band] / np.sqrt(2)


def periodic(n: int, exposures: Exposures, rng: np.random.Generator) -> np.ndarray:
    """Sample periodic stars, float64 (n, E): half are sawtooths as of RR Lyrae, half sinusoids."""
    sawtooth = rng.uniform(size=n) < 0.5
    period = np.where(sawtooth, rng.uniform(0.45, 0.8, n), 10 ** rng.uniform(-0.7, 2.0, n))
    height = np.where(sawtooth, rng.uniform(0.5, 1.1, n), 10 ** rng.uniform(-1.3, -0.3, n))
    colour = np.array([1.0, 0.7, 0.55])[exposures.band]  # amplitudes fall with the wavelength
    cycles = (exposures.time - START) / period[:, None] + rng.uniform(size=(n, 1))
    phase = cycles % 1.0
    rise = 0.15  # share of the period in which an RR Lyrae brightens
    falling = (phase - rise) / (1 - rise)
    tooth = np.where(phase < rise, 0.5 - phase / rise, falling - 0.5)
    wave = np.where(sawtooth[:, None], tooth, 0.5 * np.sin(2 * np.pi * phase))
    return height[:, None] * colour * wave


def measure(
    mean: np.ndarray, varied: np.ndarray, exposures: Exposures, rng: np.random.Generator
) -> dict[str, dict[str, np.ndarray]]:
    """Measure light curves by band.

    Parameters
    ----------
    mean : float64 (m, 3)
        Mean magnitude of each source in each of `BANDS`.
    varied : float64 (m, E)
        Differences from the mean magnitude, as returned by `variation`.
    exposures : Exposures
        The field's.
    rng : numpy.random.Generator
        Generator of the noise.

    Returns
    -------
    dict of str to dict
        By band: ``mag``, ``magerr``, ``hmjd`` (flat, one source after another) and ``length``
        (m,), the epochs of each source, 0 where it was never detected.
    """
    true = mean[:, exposures.band] + varied
    # In units of the sky's noise, as fluxes are measured; NaN, and so undetected, if mean is NaN.
    signal = DETECTED * 10 ** (-0.4 * (true - exposures.limit))
    signal += np.hypot(1.0, FLOOR / _LOG * signal) * rng.normal(size=true.shape)
    seen = (signal > DETECTED) & (true > SATURATED)
    signal = np.where(seen, signal, DETECTED)
    mag = exposures.limit - 2.5 * np.log10(signal / DETECTED)
    error = np.hypot(FLOOR, _LOG / signal)
    curves = {}
    for number, band in enumerate(BANDS):
        mine = exposures.band == number
        kept = seen[:, mine]
        time = np.broadcast_to(exposures.time[mine], kept.shape)
        curves[band] = {
            "mag": mag[:, mine][kept],
            "magerr": error[:, mine][kept],
            "hmjd": time[kept],
            "length": kept.sum(axis=1),
        }
    return curves
