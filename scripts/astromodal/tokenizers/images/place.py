"""The place of the source in its cutout, and circular apertures around it.

A cutout is cut around the pixel in which its source lies, and the source stands anywhere within
that pixel. Apertures and widths are right only around the place of the source itself.
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
