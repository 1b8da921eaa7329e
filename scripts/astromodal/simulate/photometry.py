"""Magnitudes and errors as S-PLUS and VISTA measure them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from astromodal.simulate.light import BAND_NAMES, SPLUS, VISTA, VISTA_AB_MINUS_VEGA, Light

POGSON = 2.5 / np.log(10)
"""Magnitudes of a relative error of one."""


class Imaging(NamedTuple):
    """Magnitude of 1 count/s, sky noise of a pixel (counts/s) and share of sources tried."""

    zero_point: float
    sky: float
    measured: float


IMAGING = {
    "u": Imaging(21.0, 0.013, 0.89),
    "j0378": Imaging(20.3, 0.011, 0.88),
    "j0395": Imaging(20.3, 0.017, 0.86),
    "j0410": Imaging(21.2, 0.032, 0.88),
    "j0430": Imaging(21.3, 0.034, 0.90),
    "g": Imaging(23.6, 0.151, 0.99),
    "j0515": Imaging(21.6, 0.052, 0.99),
    "r": Imaging(23.6, 0.161, 1.0),
    "j0660": Imaging(21.1, 0.018, 0.99),
    "i": Imaging(23.4, 0.203, 0.995),
    "j0861": Imaging(21.6, 0.091, 0.99),
    "z": Imaging(22.9, 0.231, 0.99),
}
"""Sky noise as measured on S-PLUS images. Zero points, to a tenth, are those with which the cutout
of a bright star sums to its catalogue magnitude; a real field's own differ by some tenths."""

GAIN = 700.0
"""Electrons a count/s: exposure time times gain."""

APERTURE_NOISE = 7.5
"""Noise of a total magnitude over the sky noise of one pixel: an aperture of some 56 pixels.

Chosen so that errors at a magnitude are those of the survey."""

VISTA_DEPTH = {"y": (20.4, 0.38), "j": (20.1, 0.74), "h": (19.4, 0.22), "ks": (18.4, 0.66)}
"""Five-sigma depth (Vega mag) like the VISTA Hemisphere Survey's, and share of sources with it."""


def counts(light: Light) -> np.ndarray:
    """Counts/s of every source in the twelve bands of `SPLUS`, (n, 12), without noise."""
    columns = [BAND_NAMES.index(band) for band in SPLUS]
    return light.flux[:, columns] * _zero_flux()


def extended_counts(light: Light) -> np.ndarray:
    """The part of `counts` that the discs of galaxies give, (n, 12)."""
    columns = [BAND_NAMES.index(band) for band in SPLUS]
    return light.extended[:, columns] * _zero_flux()


def _zero_flux() -> np.ndarray:
    return 10 ** (0.4 * np.array([IMAGING[band].zero_point for band in SPLUS]))


def splus_columns(light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Total magnitudes ``mag_pstotal_*`` (float64) and errors ``err_mag_pstotal_*`` (float32).

    A flux that comes out negative has no magnitude; one that comes out barely positive has an
    absurd one, with an error that can reach millions. Errors are misjudged by a tenth, and one
    source in eighty is blended with something. The catalogue is detected in r: it has no gap there.
    """
    true = counts(light)  # (n, 12)
    n = len(true)
    blend = np.where(rng.uniform(size=n) < 0.012, rng.normal(0, 0.35, n), 0.0)
    quality = rng.lognormal(0, 0.18, n)  # the same in all bands: crowding, size of the aperture
    out: dict[str, np.ndarray] = {}
    for column, (band, imaging) in enumerate(IMAGING.items()):
        sigma = _count_errors(true[:, column], imaging.sky * quality * rng.lognormal(0, 0.08, n))
        tail = rng.choice([1.0, 3.0], n, p=(0.97, 0.03))
        measured = true[:, column] + sigma * tail * rng.standard_normal(n)
        measured *= 10 ** (0.4 * blend * rng.normal(1, 0.2, n))
        hardly = (true[:, column] < 3 * sigma) & (rng.uniform(size=n) < 0.02)
        measured = np.where(hardly, sigma * 10 ** rng.uniform(-6.5, -1, n), measured)
        if band == "r":
            measured = np.where(measured < 0.5 * sigma, 2 * sigma, measured)
        missing = (measured <= 0) | (rng.uniform(size=n) > imaging.measured)
        measured = np.where(missing, np.nan, measured)
        error = POGSON * sigma / measured * rng.lognormal(0, 0.1, n)
        out[f"mag_pstotal_{band}"] = imaging.zero_point - 2.5 * np.log10(measured)
        out[f"err_mag_pstotal_{band}"] = error.astype(np.float32)
    return out


def _count_errors(true: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Error of total counts/s: sky in the aperture, photons, and 0.2 % of flat field."""
    return np.sqrt((APERTURE_NOISE * sky) ** 2 + true / GAIN + (0.0022 * true) ** 2)


def vista_columns(light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Aperture magnitudes (Vega) and errors, ``vista_*apermag6`` and ``…err``, float64 (n,)."""
    out: dict[str, np.ndarray] = {}
    n = len(light.flux)
    place = rng.uniform(size=n)  # bands cover nested parts of a field
    for band in VISTA:
        depth, share = VISTA_DEPTH[band]
        zero = VISTA_AB_MINUS_VEGA[band]
        true = light.flux[:, BAND_NAMES.index(f"vista_{band}")] * 10 ** (0.4 * zero)
        sigma = 10 ** (-0.4 * depth) / 5 * rng.lognormal(0, 0.15, n)
        sigma = np.hypot(sigma, 0.001 * true)
        tail = rng.choice([1.0, 6.0], n, p=(0.98, 0.02))
        measured = true + sigma * tail * rng.standard_normal(n)
        seen = (place < share * 1.02) & (measured > 0) & (rng.uniform(size=n) > 0.02)
        barely = seen & (measured < 2 * sigma) & (rng.uniform(size=n) < 0.05)
        measured = np.where(barely, sigma * 10 ** rng.uniform(-3, -1, n), measured)
        measured = np.where(seen, measured, np.nan)
        out[f"vista_{band}apermag6"] = -2.5 * np.log10(measured)
        out[f"vista_{band}apermag6err"] = POGSON * sigma / measured
    return out
