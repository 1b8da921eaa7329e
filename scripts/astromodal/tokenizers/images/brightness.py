"""Brightness of the source in the middle of a cutout: two aperture fluxes a band, as scalar codes.

A code is chosen from the measured pixels, and a decoded cutout is brought to the fluxes that its
codes stand for. Latents so need not hold the brightness exactly, nor the width of a band's point
spread function: light and concentration of the source are right in every band on their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numba import njit

from astromodal.core.threads import share
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

PIXEL_SCALE: Final = 0.55
"""Side of a pixel of the S-PLUS cutouts (arcsec)."""

CORE, WHOLE = 2.0, 3.0
"""Diameters of the two apertures (arcsec): the core of a star, and S-PLUS's small aperture."""

_REACH = 24
"""Pixels from the middle beyond which nothing is changed; the change fades from two thirds on."""

_OWN = 4.0
"""Pixels from the middle within which all light is taken as the source's."""

_INNER = 1.2
"""Sigma (pixel) of the Gaussian that separates the core of the source from its outskirts."""

_POOLED = 0.3
"""Light of the other bands that stands in for a band without own light, in sigmas of the sky."""

_FAINT = 0.3
"""Light (sigma of the sky, all bands) that counts as like that of the opposite side."""

_POINT = 0.05
"""Light (sigma of the sky) of a point that stands in for a source without light in any band."""


def circle_weights(size: int, radius: float) -> np.ndarray:
    """Return the area of each pixel that lies inside a circle around the middle of an image.

    The areas are those of photutils' "exact" circular aperture.

    Parameters
    ----------
    size : int
        Side of the image (pixel); its middle is at (size - 1) / 2.
    radius : float
        Radius of the circle (pixel), above 0.

    Returns
    -------
    float64 (S, S)
        0 outside, 1 inside; the sum is pi radius² where the circle fits into the image.
    """
    # Here, not above: its import takes a second, and most of what needs this module needs no area.
    from photutils.aperture import CircularAperture

    middle = (size - 1) / 2
    mask = CircularAperture((middle, middle), radius).to_mask(method="exact")
    return np.asarray(mask.to_image((size, size)), dtype=np.float64)


@cache
def _apertures(size: int) -> np.ndarray:
    """Return the weights of the pixels in `CORE` and `WHOLE`, float64 (2, S, S)."""
    weights = np.stack([circle_weights(size, d / 2 / PIXEL_SCALE) for d in (CORE, WHOLE)])
    weights.flags.writeable = False
    return weights


def brightness_values(pixels: np.ndarray, valid: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return the values that are coded.

    A flux in units of its sky noise is compressed by an arcsinh, so that negative ones live and
    bright ones are relative. The first value of a band is that of the flux in `WHOLE`. The second
    is that in `CORE` minus the first: for bright sources the logarithm of the concentration, which
    rounding of the first does not change.

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
    float64 (m, 2 B)
        In the order of `ImageSettings.brightness_columns`; NaN where a pixel of the aperture was
        not measured.
    """
    weights = _apertures(pixels.shape[-1])
    touched = weights[1] > 0
    known = np.asarray(np.broadcast_to(valid, pixels.shape)[..., touched].all(-1))  # (m, B)
    light = np.where(known[..., None], pixels[..., touched], np.nan).astype(np.float64)
    # Sums pixel by pixel: those of a matrix product depend on the number of cutouts.
    fluxes = (light[..., None, :] * weights[:, touched]).sum(-1)  # (m, B, 2)
    core, whole = np.moveaxis(np.arcsinh(fluxes / _noise(sky, weights)), 2, 0)
    return np.concatenate([whole, core - whole], axis=1)


def brightness_fluxes(values: np.ndarray, sky: np.ndarray, size: int) -> np.ndarray:
    """Return the fluxes in `CORE` and `WHOLE` of `values` (m, 2 B), float64 (m, B, 2), counts/s.

    The inverse of `brightness_values`; NaN where one of the two values is.
    """
    whole, concentration = values[:, : len(sky)], values[:, len(sky) :]
    compressed = np.stack([whole + concentration, whole + 0 * concentration], axis=2)
    return np.sinh(compressed) * _noise(sky, _apertures(size))


def fit_brightness(values: np.ndarray, columns: Sequence[str], n_bins: int) -> ScalarTokenizer:
    """Divide the values of each column into bins of half equal mass, half equal width.

    A bin takes the same share of the mean of two measures: the number of values, and the length of
    their range. It so holds at most 2 / `n_bins` of the values, and spans at most as much of the
    range: rounding is small where most sources are, and for the few brightest.

    Parameters
    ----------
    values : float (m, C)
        Training values; NaN where missing.
    columns : sequence of str
        Names of the C columns.
    n_bins : int
        Bins of a column; ties reduce their number.
    """
    edges = np.full((len(columns), n_bins + 1), np.nan)
    centers, weights = np.full((len(columns), n_bins), np.nan), np.zeros((len(columns), n_bins))
    for i, column in enumerate(np.asarray(values, dtype=np.float64).T):
        known = np.sort(column[np.isfinite(column)])
        if known.size:
            own_edges, own_centers, own_weights = _fit_column(known, n_bins)
            used = len(own_centers)
            edges[i, : used + 1] = own_edges
            centers[i, :used], weights[i, :used] = own_centers, own_weights
    return ScalarTokenizer(tuple(columns), edges, centers, weights)


def _fit_column(known: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return edges (used + 1,), centers (used,) and weights (used,) of ascending values."""
    low, high = known[0], known[-1]
    if low == high:
        return np.array([low, high]), np.array([low]), np.ones(1)
    measure = (np.linspace(0, 1, len(known)) + (known - low) / (high - low)) / 2
    edges = np.unique(np.interp(np.linspace(0, 1, n_bins + 1), measure, known))
    lower, upper = edges[:-1], edges[1:]
    place = np.searchsorted(upper[:-1], known)
    count = np.bincount(place, minlength=len(upper))
    mean = np.bincount(place, weights=known, minlength=len(upper)) / np.maximum(count, 1)
    centers = np.clip(np.where(count > 0, mean, (lower + upper) / 2), lower, upper)
    return edges, centers, count / len(known)


def _noise(sky: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sky noise of each band in each aperture, float64 (B, 2)."""
    return sky[:, None] * np.sqrt((weights**2).sum((1, 2)))


def with_fluxes(
    images: np.ndarray, fluxes: np.ndarray, sky: np.ndarray, threads: int = 1
) -> np.ndarray:
    """Bring the source in the middle of decoded cutouts to given fluxes.

    To each band are added two images of the source, its core and its outskirts, in the amounts
    that give both fluxes. They are the band's own light, so that a bright source is scaled, and,
    where it has less than the noise, the light of all bands. Light that stands out against the
    light on the opposite side of the middle is a neighbour's, and is not changed.

    Parameters
    ----------
    images : float32 (m, B, S, S)
        Decoded cutouts (counts/s).
    fluxes : float64 (m, B, 2)
        Fluxes in `CORE` and `WHOLE` (counts/s); a band with a NaN is not changed.
    sky : float64 (B,)
        Sigma of the sky in a pixel (counts/s).
    threads : int
        Threads that share the cutouts; they change no result.

    Returns
    -------
    float32 (m, B, S, S)
        New cutouts with these fluxes.
    """
    size = images.shape[-1]
    first = max(0, size // 2 - _REACH)
    inside = slice(first, size - first)
    out = np.array(images, dtype=np.float32)
    weights = np.ascontiguousarray(_apertures(size)[:, inside, inside])
    offset = np.arange(size)[inside] - (size - 1) / 2
    radius = np.hypot(offset[:, None], offset)
    middle = out[..., inside, inside]
    share(threads, len(out), lambda s: _bring(middle[s], fluxes[s], weights, radius, sky))
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _bring(images, fluxes, weights, radius, sky):  # type: ignore[no-untyped-def]
    """Change the middle (m, B, R, R) of cutouts in place; see `with_fluxes`."""
    side = images.shape[2]
    core = np.exp(-(radius**2) / (2 * _INNER**2))
    fades = np.minimum(np.maximum((_REACH - radius) / (_REACH / 3), 0), 1)
    for i in range(images.shape[0]):
        pooled = _pooled(images[i], sky)
        share = _own_share(pooled, radius) * fades
        for j in range(images.shape[1]):
            if np.isnan(fluxes[i, j, 0] + fluxes[i, j, 1]):
                continue
            light = np.empty((side, side))
            missing, total, inner = fluxes[i, j].copy(), np.zeros(2), np.zeros(2)
            for y in range(side):
                for x in range(side):
                    pixel = np.float64(images[i, j, y, x])
                    stand_in = _POOLED * pooled[y, x] + _POINT * core[y, x]
                    light[y, x] = share[y, x] * (max(pixel, 0) + sky[j] * stand_in)
                    for k in range(2):
                        weight = weights[k, y, x]
                        missing[k] -= weight * pixel
                        total[k] += weight * light[y, x]
                        inner[k] += weight * light[y, x] * core[y, x]
            outer = total - inner
            # The core is more concentrated than the outskirts: the determinant is positive.
            determinant = inner[0] * outer[1] - inner[1] * outer[0]
            a = (missing[0] * outer[1] - missing[1] * outer[0]) / determinant
            b = (inner[0] * missing[1] - inner[1] * missing[0]) / determinant
            for y in range(side):
                for x in range(side):
                    added = (b + (a - b) * core[y, x]) * light[y, x]
                    images[i, j, y, x] = np.float32(images[i, j, y, x] + added)


@njit(cache=True, nogil=True, error_model="numpy")
def _pooled(image, sky):  # type: ignore[no-untyped-def]
    """Return the positive light of all bands in units of their sky, float64 (R, R)."""
    n_bands, side = image.shape[0], image.shape[1]
    out = np.zeros((side, side))
    for j in range(n_bands):
        for y in range(side):
            for x in range(side):
                out[y, x] += max(np.float64(image[j, y, x]), 0) / sky[j]
    return out / np.sqrt(n_bands)


@njit(cache=True, nogil=True, error_model="numpy")
def _own_share(pooled, radius):  # type: ignore[no-untyped-def]
    """Return the share of each pixel's light that is the central source's, float64 (R, R).

    The square of the light on the opposite side, twice it, over the light itself, where that is
    below 1. Light is averaged over 3 × 3 pixels; `_FAINT` is added to both, so that what is alike
    but for noise is the source's.
    """
    side = len(pooled)
    smooth = np.zeros((side, side))
    for y in range(side):
        for x in range(side):
            for v in range(max(0, y - 1), min(side, y + 2)):
                for u in range(max(0, x - 1), min(side, x + 2)):
                    smooth[y, x] += pooled[v, u] / 9
    out = np.ones((side, side))
    for y in range(side):
        for x in range(side):
            if radius[y, x] > _OWN:
                opposite = smooth[side - 1 - y, side - 1 - x]
                ratio = (2 * opposite + _FAINT) / (smooth[y, x] + _FAINT)
                out[y, x] = min(1.0, ratio * ratio)
    return out
