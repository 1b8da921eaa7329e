"""Compiled computations on the pixels of cutouts: places of sources, apertures, arcsinh and sinh.

A cutout is cut around the pixel in which its source lies, and the source stands anywhere within
that pixel. Apertures and widths are right only around the place of the source itself.

arcsinh and sinh take one pass, band by band, without temporaries. A pixel is computed from itself
alone, by sums and products whose rounding IEEE 754 defines. Its bits therefore depend neither on
other pixels, nor on threads, nor on the machine. NumPy's functions are as fast only on processors
with AVX-512.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit

from astromodal.data.cutouts import middle_of

PIXEL_SCALE: Final = 0.55
"""Side of a pixel of the S-PLUS cutouts (arcsec)."""

FARTHEST = 1.5
"""Pixels from the middle, along each axis, beyond which no source is placed: there is another."""

_REACH = 4
"""Pixels from the middle, along each axis, that the place is measured in."""

_SIGMA = 1.5
"""Sigma (pixel) of the Gaussian window: that of a star under median seeing, 1.9 arcsec FWHM."""

_STEPS = 10
_SEEN = 5.0
"""Light in the window, in sigmas of the sky, above which a source has a place."""


def near(size: int, reach: int) -> slice:
    """Return the rows, and the columns, within `reach` pixels of the middle of a cutout."""
    middle = middle_of(size)
    return slice(max(0, middle - reach), min(size, middle + reach + 1))


def source_places(pixels: np.ndarray, valid: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Measure where the sources of cutouts stand, by a windowed centroid of all bands together.

    Bands are summed in units of their sky. The centroid is weighted with a Gaussian that is moved
    to twice the centroid's offset from it, ten times, as SExtractor's XWIN_IMAGE is. A band counts
    only where all pixels within 4 of the middle were measured.

    Parameters
    ----------
    pixels : float (m, B, S, S)
        counts/s; anything where `valid` is False.
    valid : bool (m, B, S, S)
        Pixels that were measured.
    sky : float64 (B,)
        Sigma of the sky in a pixel (counts/s).

    Returns
    -------
    float64 (m, 2)
        x (columns) and y (rows) from the middle (pixel). NaN where the window has no light above 5
        sigmas of the sky or no band counts, and where the light is that of another source, as its
        centroid lies beyond `FARTHEST`.
    """
    size = pixels.shape[-1]
    inside = near(size, _REACH)
    light = np.ascontiguousarray(pixels[..., inside, inside], dtype=np.float64)
    known = np.broadcast_to(valid, pixels.shape)[..., inside, inside].all((2, 3))
    out = np.full((len(pixels), 2), np.nan)
    _measure(light, known, np.asarray(sky, np.float64), middle_of(size) - inside.start, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _measure(light, known, sky, middle, out):  # type: ignore[no-untyped-def]
    """Fill `out` (m, 2); see `source_places`."""
    side = light.shape[2]
    for i in range(len(light)):
        pooled, n = np.zeros((side, side)), 0
        for j in range(len(sky)):
            if known[i, j]:
                pooled += light[i, j] / sky[j]
                n += 1
        x, y, seen = 0.0, 0.0, n > 0
        for _ in range(_STEPS):
            total, along_x, along_y, squares = 0.0, 0.0, 0.0, 0.0
            for v in range(side):
                for u in range(side):
                    dx, dy = u - middle - x, v - middle - y
                    weight = np.exp(-(dx**2 + dy**2) / (2 * _SIGMA**2))
                    total += weight * pooled[v, u]
                    along_x += weight * pooled[v, u] * dx
                    along_y += weight * pooled[v, u] * dy
                    squares += weight**2
            seen = seen and total > _SEEN * np.sqrt(n * squares)
            if not seen:
                break
            # A Gaussian times a window of its own width has half its offset from the window.
            x += 2 * along_x / total
            y += 2 * along_y / total
            seen = max(abs(x), abs(y)) <= FARTHEST
        if seen:
            out[i, 0], out[i, 1] = x, y


def circle_weights(
    size: int, diameters: Sequence[float], places: np.ndarray
) -> tuple[slice, np.ndarray]:
    """Return the area of each pixel that lies inside circles around places.

    The areas are those of photutils' "exact" circular aperture.

    Parameters
    ----------
    size : int
        Side of the cutouts (pixel).
    diameters : sequence of float
        Diameters of the D circles (arcsec).
    places : float64 (m, 2)
        x and y from the middle (pixel), as `source_places` returns them; the middle where NaN.

    Returns
    -------
    inside : slice
        The R rows, and columns, around the middle that hold any such circle.
    weights : float64 (m, D, R, R)
        0 outside a circle, 1 inside; the sum is the circle's area where it fits into the cutout.
    """
    # Here, not above: its import takes a second, and most of what needs this module needs no area.
    from photutils.geometry import circular_overlap_grid

    radii = [diameter / 2 / PIXEL_SCALE for diameter in diameters]
    inside = near(size, int(np.ceil(max(radii) + FARTHEST)))
    n = inside.stop - inside.start
    low, high = inside.start - middle_of(size) - 0.5, inside.stop - middle_of(size) - 0.5
    weights = np.empty((len(places), len(radii), n, n))
    for i, (x, y) in enumerate(np.nan_to_num(places).tolist()):
        for k, radius in enumerate(radii):
            edges = low - x, high - x, low - y, high - y
            weights[i, k] = circular_overlap_grid(*edges, n, n, radius, 1, 1)
    return inside, weights


_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2
_SQRT_HALF = np.int32(0x3F3504F3)  # bits of sqrt(1/2)
_HUGE = np.float32(1e19)  # its square is a float32 still


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _arcsinh(scaled):  # type: ignore[no-untyped-def]
    """Return the arcsinh of a float32.

    arcsinh t = log1p(t + t² / (1 + sqrt(1 + t²))), t ≥ 0, with log by the polynomial of `logf` in
    Moshier's Cephes library (https://www.netlib.org/cephes), corrected for the rounding of 1 + x.
    The result is arcsinh(1e19) beyond 1e19.
    """
    one, half = np.float32(1), np.float32(0.5)
    t = min(abs(scaled), _HUGE)
    r = t + t * t / (one + np.sqrt(one + t * t))
    u = one + r
    lost = (r - (u - one)) / u
    bits = np.float32(u).view(np.int32)
    exponent = np.int32((bits - _SQRT_HALF) >> np.int32(23))
    f = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - one
    p = np.float32(7.0376836292e-2)
    p = p * f - np.float32(1.1514610310e-1)
    p = p * f + np.float32(1.1676998740e-1)
    p = p * f - np.float32(1.2420140846e-1)
    p = p * f + np.float32(1.4249322787e-1)
    p = p * f - np.float32(1.6668057665e-1)
    p = p * f + np.float32(2.0000714765e-1)
    p = p * f - np.float32(2.4999993993e-1)
    p = p * f + np.float32(3.3333331174e-1)
    e = np.float32(exponent)
    tail = f * (f * f) * p + e * _LN2_LOW - half * (f * f)
    log = f + tail + e * _LN2_HIGH + lost
    return log if scaled >= 0 else -log


@njit(cache=True, nogil=True, error_model="numpy")
def arcsinh(pixels, valid, factor, out):  # type: ignore[no-untyped-def]
    """Fill `out` with arcsinh(pixels × factor), and with 0 where not valid.

    Parameters
    ----------
    pixels : float32 (m, B, P)
        Any value, also NaN, where not valid.
    valid : bool (m, B, P)
        Pixels that were measured.
    factor : float32 (B,)
        The inverse of each band's softening.
    out : float32 (m, B, P)
        Filled.
    """
    for i in range(pixels.shape[0]):
        for j in range(pixels.shape[1]):
            for k in range(pixels.shape[2]):
                known = valid[i, j, k]
                out[i, j, k] = _arcsinh(pixels[i, j, k] * factor[j] if known else np.float32(0))


@njit(cache=True, nogil=True, error_model="numpy")
def arcsinh_patches(pixels, valid, factor, side, out):  # type: ignore[no-untyped-def]
    """Fill `out` with normalised cutouts in patches: the input of the encoder.

    Parameters
    ----------
    pixels, valid, factor
        As in `arcsinh`, but (m, B, S, S).
    side : int
        Side of a patch (pixel).
    out : float32 (m, G, G, B × side² + B)
        Filled, for each patch, with its pixels band by band and row by row, and then with the
        fraction of them that is not valid in each band.
    """
    n_bands, area = pixels.shape[1], side * side
    size = pixels.shape[3]
    row = np.empty(size, np.float32)
    for i in range(pixels.shape[0]):
        for top in range(out.shape[1]):
            into = out[i, top]  # small enough for the cache
            into[:, n_bands * area :] = 0
            for j in range(n_bands):
                for y in range(side):
                    given, known = pixels[i, j, top * side + y], valid[i, j, top * side + y]
                    n_known = 0
                    for x in range(size):
                        row[x] = _arcsinh(given[x] * factor[j] if known[x] else np.float32(0))
                        n_known += known[x]
                    first = j * area + y * side
                    for patch in range(len(into)):
                        for x in range(side):
                            into[patch, first + x] = row[patch * side + x]
                    if n_known < size:
                        for x in range(size):
                            if not known[x]:
                                into[x // side, n_bands * area + j] += np.float32(1) / area


@njit(cache=True, nogil=True, error_model="numpy")
def sinh(x, softening, largest, out):  # type: ignore[no-untyped-def]
    """Fill `out` with sinh(x) × softening, where |x| is limited to `largest`.

    sinh t = (exp t - 1 / exp t) / 2, t ≥ 0; below t = 1 its Taylor series, to a relative 2e-10.
    exp t is 2^n times the Taylor series of exp on ± ln 2 / 2, to 1e-12.

    Parameters
    ----------
    x : float32 (m, B, P)
        Normalised pixels; NaN gives NaN.
    softening : float64 (B,)
        Counts/s at which each band's arcsinh bends.
    largest : float
        At most 80.
    out : float32 (m, B, P)
        Filled, in counts/s.
    """
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            for k in range(x.shape[2]):
                t = min(abs(np.float64(x[i, j, k])), largest)
                s = t * t
                near = t * (1 + s / 6 * (1 + s / 20 * (1 + s / 42 * (1 + s / 72 * (1 + s / 110)))))
                n = np.floor(t * 1.4426950408889634 + 0.5)
                f = t - n * 0.6931471805599453
                p = 1 + f / 8 * (1 + f / 9 * (1 + f / 10))
                p = 1 + f / 4 * (1 + f / 5 * (1 + f / 6 * (1 + f / 7 * p)))
                p = 1 + f * (1 + f / 2 * (1 + f / 3 * p))
                power = np.int64((np.int64(n) + np.int64(1023)) << np.int64(52)).view(np.float64)
                far = 0.5 * (p * power - 1 / (p * power))
                value = near if t < 1 else far
                signed = value if x[i, j, k] >= 0 else -value
                out[i, j, k] = np.float32(signed * softening[j])
