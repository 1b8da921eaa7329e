"""arcsinh and sinh of cutouts in one pass, band by band, without temporaries.

A pixel is computed from itself alone, by sums and products whose rounding IEEE 754 defines. Its
bits therefore depend neither on other pixels, nor on threads, nor on the machine. NumPy's functions
are as fast only on processors with AVX-512.
"""

from __future__ import annotations

import numpy as np
from numba import njit

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
def forward(pixels, valid, factor, out):  # type: ignore[no-untyped-def]
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
def patches(pixels, valid, factor, side, out):  # type: ignore[no-untyped-def]
    """Fill `out` with normalised cutouts in patches: the input of the encoder.

    Parameters
    ----------
    pixels, valid, factor
        As in `forward`, but (m, B, S, S).
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
def inverse(x, softening, largest, out):  # type: ignore[no-untyped-def]
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
