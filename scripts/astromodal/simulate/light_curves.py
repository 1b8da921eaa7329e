"""Light curves as ZTF measures them: quasars vary at random, some stars with a period.

The survey is that of Bellm et al. 2019 (PASP 131, 018002) and Masci et al. 2019 (PASP 131, 018003)
in outline: g and r every few nights and i less often, as long as the field is up at night; 5 sigma
at 20.8, 20.6 and 19.9 mag in a median night; errors from 0.01 to 0.2 mag. A source is in a curve
only where it was detected, so curves are ragged. What lies south of ZTF's sky is observed all the
same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.simulate.cosmology import comoving_distance
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
"""Error of a bright source (mag): what calibration leaves (Masci et al. 2019)."""
DETECTED = 5.0
"""Signal-to-noise from which on an epoch is part of a curve (Masci et al. 2019)."""
SATURATED = 12.5
"""Brighter sources saturate (mag)."""
PERIODIC = 0.1
"""Share of periodic stars: many more than on the sky, for there to be some in a small field."""

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
        Numbers of `BANDS`.
    limit : float64 (E,)
        Magnitude of a 5 sigma source.
    """

    time: np.ndarray
    band: np.ndarray
    limit: np.ndarray


def choose(n: int, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Rows of the sources that have light curves, ascending, int64 (m,)."""
    return np.sort(rng.permutation(n)[: round(fraction * n)])


def expose(ra: float, rng: np.random.Generator) -> Exposures:
    """Draw the exposures of a field at right ascension `ra` (degree).

    A night counts where the field is 60 degrees or more from the Sun's right ascension, which
    leaves a gap of four months each year.
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
    """Magnitude of each source above its mean in each exposure, float64 (m, E)."""
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
    """Damped random walks of quasars (Kelly et al. 2009, ApJ 698, 895), float64 (m, E).

    One walk drives all bands. Its time and its structure function at long times are those of
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
    """Periodic stars, float64 (n, E): half of them rise like an RR Lyrae, half are sinusoids."""
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
    """Measured light curves by band.

    Parameters
    ----------
    mean : float64 (m, 3)
        Mean magnitude of each source in each of `BANDS`.
    varied : float64 (m, E)
        What `variation` returns.
    exposures : Exposures
        The field's.
    rng : numpy.random.Generator
        Draws the noise.

    Returns
    -------
    dict of str to dict
        By band: ``mag``, ``magerr``, ``hmjd`` (flat, one source after another) and ``length``
        (m,), the epochs of each source, 0 where it was never detected.
    """
    true = mean[:, exposures.band] + varied
    # In units of the sky's noise, as fluxes are measured; NaN, and so unseen, without a magnitude.
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
