"""The strongest lines of spectra: what codes keep of their flux and equivalent width.

A line is found in the measured spectrum: the continuum, a running median, is subtracted, and what
is left is summed over windows of `WINDOW` pixels. The window of the highest S/N holds the strongest
line. The decoded spectrum is summed over the same window, above a continuum of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from astromodal.evaluation.metrics import (
    column_medians,
    measure_fraction,
    measure_median,
    robust_sigma,
)
from astromodal.evaluation.report.values import Measurement
from astromodal.evaluation.spectra.sample import Fluxes

WINDOW = 25
"""Pixels over which a line is summed: 20 Angstrom in DESI's spectra."""
DETECTED = 10.0
"""S/N of a line's flux from which it is measured."""
WIDE = 3.0
"""Equivalent width (Angstrom) from which a line is measured, in absolute value."""
CLOSE = 0.05
"""Relative error of a flux that counts as close."""
_BLOCK, _BLOCKS = 16, 9
"""The continuum is the median of medians of so many pixels, over so many blocks."""


@dataclass(frozen=True)
class Lines:
    """The strongest line of each of n spectra, float64 (n,) each.

    Attributes
    ----------
    spectrum : int64 (n,)
        Number of the spectrum.
    wave : float64 (n,)
        Middle of the window.
    flux, error, decoded : float64 (n,)
        Measured flux of the line, its error, and its flux in the decoded spectrum; negative for
        an absorption line.
    width, decoded_width : float64 (n,)
        Equivalent width in the measured and in the decoded spectrum, of the sign of the flux.
    """

    spectrum: np.ndarray
    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    decoded: np.ndarray
    width: np.ndarray
    decoded_width: np.ndarray


@dataclass(frozen=True)
class LineNumbers:
    """What codes keep of the lines of one kind.

    Attributes
    ----------
    flux, width : Measurement
        Median ratio of decoded to measured flux, and equivalent width.
    flux_scatter, width_scatter : float
        Half the 16 to 84 % range of these ratios; NaN without a line.
    noise : Measurement
        Median relative error of the measured fluxes.
    close : Measurement
        Fraction of the lines whose decoded flux is within `CLOSE` of the measured one.
    """

    flux: Measurement
    flux_scatter: float
    width: Measurement
    width_scatter: float
    noise: Measurement
    close: Measurement

    @classmethod
    def of(cls, lines: Lines, seed: int) -> LineNumbers:
        """Measure lines; `seed` is that of the bootstrap errors."""
        flux, width = lines.decoded / lines.flux, lines.decoded_width / lines.width
        return cls(
            flux=measure_median(flux, seed),
            flux_scatter=robust_sigma(flux) if len(flux) else np.nan,
            width=measure_median(width, seed),
            width_scatter=robust_sigma(width) if len(width) else np.nan,
            noise=measure_median(np.abs(lines.error / lines.flux), seed),
            close=measure_fraction(np.abs(flux - 1) <= CLOSE),
        )


def continuum(flux: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Return a running median of spectra, float64 (n, L), over some 140 pixels.

    Parameters
    ----------
    flux : float64 (n, L)
        Spectra.
    good : bool (n, L)
        Pixels that count; a spectrum without any has a continuum of 0.
    """
    n, length = flux.shape
    starts = np.arange(0, length - _BLOCK + 1, _BLOCK)
    pieces = np.where(good, flux, np.nan)[:, : len(starts) * _BLOCK].reshape(-1, _BLOCK)
    medians = column_medians(pieces.T).reshape(n, len(starts))
    out, pixels = np.zeros((n, length)), np.arange(length)
    for i, row in enumerate(medians):
        known = np.isfinite(row)
        if known.any():
            smooth = median_filter(row[known], _BLOCKS, mode="nearest")
            out[i] = np.interp(pixels, starts[known] + (_BLOCK - 1) / 2, smooth)
    return out


def strongest_lines(fluxes: Fluxes, sign: int) -> Lines:
    """Return the strongest line of each spectrum that has one.

    Parameters
    ----------
    fluxes : Fluxes
        Measured and decoded spectra at the pixels that were measured.
    sign : int
        1 for emission lines, -1 for absorption lines.

    Returns
    -------
    Lines
        Those of a S/N of at least `DETECTED` and an equivalent width of at least `WIDE`, in a
        window without a bad pixel, above a continuum that is positive in both spectra.
    """
    good, step = fluxes.good, np.gradient(fluxes.wave)
    floors = [continuum(flux, good) for flux in (fluxes.flux, fluxes.decoded)]
    pairs = zip((fluxes.flux, fluxes.decoded), floors, strict=True)
    measured, decoded = (_windows(np.where(good, f - c, 0) * step) for f, c in pairs)
    variance = _windows(np.divide(step**2, fluxes.ivar, out=np.zeros(good.shape), where=good))
    whole = _windows(good) == WINDOW
    error = np.sqrt(variance, out=np.full(variance.shape, np.inf), where=whole)
    strength = np.where(whole, sign * measured / error, -np.inf)
    if not strength.size:
        return Lines(np.empty(0, np.int64), *np.empty((6, 0)))
    every = np.arange(len(strength))
    place = strength.argmax(axis=1)
    middle = place + WINDOW // 2
    levels = [floor[every, middle] for floor in floors]
    positive = (levels[0] > 0) & (levels[1] > 0)
    widths = [
        np.divide(line[every, place], level, out=np.zeros(len(every)), where=positive)
        for line, level in zip((measured, decoded), levels, strict=True)
    ]
    clear = (strength[every, place] >= DETECTED) & (sign * widths[0] >= WIDE)
    i, j = every[clear], place[clear]
    return Lines(
        i, fluxes.wave[middle[clear]], measured[i, j], error[i, j], decoded[i, j],
        widths[0][clear], widths[1][clear],
    )  # fmt: skip


def _windows(values: np.ndarray) -> np.ndarray:
    """Return sums over windows of `WINDOW` points, float64 (n, L + 1 - WINDOW)."""
    total = np.cumsum(values, axis=1, dtype=np.float64)
    before = np.concatenate([np.zeros((len(values), 1)), total[:, :-WINDOW]], axis=1)
    return total[:, WINDOW - 1 :] - before
