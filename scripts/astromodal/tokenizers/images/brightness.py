"""Place and brightness of the source of a cutout, as scalar codes.

The codes are those of the place, and of three aperture fluxes a band around it. They are chosen
from the measured pixels, and a decoded cutout is brought to the place and the fluxes that its codes
stand for. Latents so need not hold a part of a pixel, nor the brightness exactly, nor the width of
a band's point spread function: core and light of the source are right in every band on their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit

from astromodal.core.loops import share
from astromodal.data.cutouts import middle_of
from astromodal.tokenizers.images.pixels import PIXEL_SCALE, circle_weights, near
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

PEAK, CORE, WHOLE = 0.7, 2.0, 3.0
"""Diameters of the apertures (arcsec): about the area of a pixel, the core of a star, and S-PLUS's
small aperture."""

_DIAMETERS: Final = (PEAK, CORE, WHOLE)

_REACH = 24
"""Pixels from the middle beyond which nothing is changed; the change fades from two thirds on."""

_OWN = 4.0
"""Pixels from the source within which all light is taken as its own."""

_INNER, _OUTER = 0.9, 1.8
"""Sigmas (pixel) of the Gaussians that separate the middle of the source from its core, and the
core from its outskirts."""

_FORMS: Final = 7
"""Parts of the light whose amounts are chosen: three for the fluxes, four for the place."""

_BEYOND = 0.05
"""Share of the range of the training values by which bins reach beyond it at each end."""

_POOLED = 0.3
"""Light of the other bands that stands in for a band without own light, in sigmas of the sky."""

_FAINT = 0.3
"""Light (sigma of the sky, all bands) that counts as like that of the opposite side."""

_POINT = 0.05
"""Light (sigma of the sky) of a point that stands in for a source without light in any band."""


def brightness_values(
    pixels: np.ndarray, valid: np.ndarray, places: np.ndarray, sky: np.ndarray
) -> np.ndarray:
    """Return the values that are coded.

    A flux in units of its sky noise is compressed by an arcsinh, so that negative ones live and
    bright ones are relative. The first value of a band is that of the flux in `WHOLE`. The others
    are those in `CORE` and in `PEAK` minus the first: for bright sources the logarithm of the
    concentration, which rounding of the first does not change.

    Parameters
    ----------
    pixels : float (m, B, S, S)
        counts/s; anything where `valid` is False.
    valid : bool (m, B, S, S)
        Pixels that were measured.
    places : float64 (m, 2)
        Centres of the apertures, as `source_places` or their codes give them; the middle where NaN.
    sky : float64 (B,)
        Sigma of the sky in a pixel (counts/s).

    Returns
    -------
    float64 (m, 2 + 3 B)
        `places`, and the values in the order of `ImageSettings.brightness_columns`; NaN where a
        pixel of the largest aperture was not measured.
    """
    inside, weights = circle_weights(pixels.shape[-1], _DIAMETERS, places)
    n_near = weights.shape[2] ** 2
    weights = weights.reshape(len(places), 1, len(_DIAMETERS), n_near)
    light = pixels[..., inside, inside].reshape(*pixels.shape[:2], 1, n_near)
    known = np.broadcast_to(valid, pixels.shape)[..., inside, inside].reshape(light.shape)
    complete = (known | (weights[:, :, -1:] == 0)).all(-1)  # (m, B, 1)
    # Sums pixel by pixel: those of a matrix product depend on the number of cutouts.
    fluxes = (np.where(known, light, 0).astype(np.float64) * weights).sum(-1)  # (m, B, 3)
    compressed = np.where(complete, np.arcsinh(fluxes / _noise(sky)), np.nan)
    peak, core, whole = np.moveaxis(compressed, 2, 0)
    return np.concatenate([places, whole, core - whole, peak - whole], axis=1)


def brightness_fluxes(values: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return the fluxes in `PEAK`, `CORE` and `WHOLE`, float64 (m, B, 3), in counts/s.

    The inverse of `brightness_values` (m, 2 + 3 B); NaN where one of a band's three values is.
    """
    whole, core, peak = np.split(values[:, 2:], 3, axis=1)
    compressed = np.stack([whole + peak, whole + core, whole + 0 * core + 0 * peak], axis=2)
    return np.sinh(compressed) * _noise(sky)


def flux_slots(n_bands: int) -> slice:
    """Return where the fluxes in `WHOLE` stand among the values of a cutout, behind its place."""
    return slice(2, 2 + n_bands)


def fit_brightness(values: np.ndarray, columns: Sequence[str], n_bins: int) -> ScalarTokenizer:
    """Divide the values of each column into bins of half equal mass, half equal width.

    A bin takes the same share of the mean of two measures: the number of values, and the length of
    their range, with 5 % more at each end for sharper and brighter sources than those of the
    training. It so holds at most 2 / `n_bins` of the values, and spans at most as much of the
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
    margin = _BEYOND * (high - low)
    points = np.concatenate([[low - margin], known, [high + margin]])
    rank = np.concatenate([[0], np.linspace(0, 1, len(known)), [1]])
    measure = (rank + (points - points[0]) / (points[-1] - points[0])) / 2
    edges = np.unique(np.interp(np.linspace(0, 1, n_bins + 1), measure, points))
    lower, upper = edges[:-1], edges[1:]
    place = np.searchsorted(upper[:-1], known)
    count = np.bincount(place, minlength=len(upper))
    mean = np.bincount(place, weights=known, minlength=len(upper)) / np.maximum(count, 1)
    centers = np.clip(np.where(count > 0, mean, (lower + upper) / 2), lower, upper)
    return edges, centers, count / len(known)


def _noise(sky: np.ndarray) -> np.ndarray:
    """Return the noise of as many pixels of sky as each aperture covers, float64 (B, 3)."""
    return sky[:, None] * np.sqrt(np.pi) * np.array(_DIAMETERS) / 2 / PIXEL_SCALE


def with_fluxes(
    images: np.ndarray, places: np.ndarray, fluxes: np.ndarray, sky: np.ndarray, threads: int = 1
) -> np.ndarray:
    """Bring the source of decoded cutouts to given places and fluxes.

    To each band are added seven images of the source: its middle, its core and all of it, and
    middle and core times the distance from the place in x and in y, which move it by a part of a
    pixel. Their amounts are those that give the three fluxes, and centroids of middle and core at
    the place. They are the band's own light, so that a bright source is scaled, and, where it has
    less than the noise, the light of all bands. Light that stands out against the light on the
    opposite side of the source is a neighbour's, and is not changed.

    Parameters
    ----------
    images : float32 (m, B, S, S)
        Decoded cutouts (counts/s).
    places : float64 (m, 2)
        x and y from the middle (pixel). Where NaN, the source is not moved, and its fluxes are
        those around the middle.
    fluxes : float64 (m, B, 3)
        Fluxes in `PEAK`, `CORE` and `WHOLE` around the place (counts/s); a band with a NaN is not
        changed.
    sky : float64 (B,)
        Sigma of the sky in a pixel (counts/s).
    threads : int
        Threads that share the cutouts; they change no result.

    Returns
    -------
    float32 (m, B, S, S)
        New cutouts with these places and fluxes.
    """
    size = images.shape[-1]
    inside = near(size, _REACH)
    box, weights = circle_weights(size, _DIAMETERS, places)
    middle, first = middle_of(size) - inside.start, box.start - inside.start
    out = np.array(images, dtype=np.float32)
    near_source = out[..., inside, inside]

    def bring(part: slice) -> None:
        own = near_source[part], places[part], fluxes[part], weights[part]
        _bring(*own, middle, first, sky)

    share(threads, len(out), bring)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _bring(images, places, fluxes, weights, middle, first, sky):  # type: ignore[no-untyped-def]
    """Change the surroundings (m, B, R, R) of sources in place; see `with_fluxes`.

    `middle` is their middle row and column, and `first` those where the weights (m, 3, Q, Q) of the
    apertures start.
    """
    side, box = images.shape[2], weights.shape[2]
    for i in range(len(images)):
        placed = not np.isnan(places[i, 0] + places[i, 1])
        n_forms = _FORMS if placed else 3
        centre = np.full(2, float(middle))
        if placed:
            centre += places[i]
        forms = _forms(side, centre)
        # What must come out right: sums in the apertures, and moments of middle and core, 0.
        sums = np.empty((_FORMS, box, box))
        for k in range(_FORMS):
            for v in range(box):
                for u in range(box):
                    moment = forms[k, first + v, first + u]
                    sums[k, v, u] = weights[i, k, v, u] if k < 3 else moment
        pooled = _pooled(images[i], sky)
        own, light = _own_share(pooled, centre), np.empty((side, side))
        for j in range(len(sky)):
            if np.isnan(fluxes[i, j, 0] + fluxes[i, j, 1] + fluxes[i, j, 2]):
                continue
            for y in range(side):
                for x in range(side):
                    stand_in = _POOLED * pooled[y, x] + _POINT * forms[1, y, x]
                    light[y, x] = own[y, x] * (max(images[i, j, y, x], 0) + sky[j] * stand_in)
            missing, matrix = np.zeros(n_forms), np.zeros((n_forms, n_forms))
            for k in range(3):
                missing[k] = fluxes[i, j, k]
            for v in range(box):
                for u in range(box):
                    y, x = first + v, first + u
                    for k in range(n_forms):
                        missing[k] -= sums[k, v, u] * images[i, j, y, x]
                        for n in range(n_forms):
                            matrix[k, n] += sums[k, v, u] * forms[n, y, x] * light[y, x]
            amounts = np.linalg.solve(matrix, missing)
            for y in range(side):
                for x in range(side):
                    added = 0.0
                    for n in range(n_forms):
                        added += amounts[n] * forms[n, y, x]
                    images[i, j, y, x] += np.float32(added * light[y, x])


@njit(cache=True, nogil=True, error_model="numpy")
def _forms(side, centre):  # type: ignore[no-untyped-def]
    """Return what light is multiplied by, float64 (7, R, R); see `with_fluxes`.

    Middle, core, and all of the light; middle times x, and times y; core times x, and times y.
    """
    forms = np.ones((_FORMS, side, side))
    for y in range(side):
        for x in range(side):
            dx, dy = x - centre[0], y - centre[1]
            middle = np.exp(-(dx**2 + dy**2) / (2 * _INNER**2))
            core = np.exp(-(dx**2 + dy**2) / (2 * _OUTER**2))
            forms[0, y, x], forms[1, y, x] = middle, core
            forms[3, y, x], forms[4, y, x] = middle * dx, middle * dy
            forms[5, y, x], forms[6, y, x] = core * dx, core * dy
    return forms


@njit(cache=True, nogil=True, error_model="numpy")
def _pooled(image, sky):  # type: ignore[no-untyped-def]
    """Return the positive light of all bands in units of their sky, float64 (R, R)."""
    out = np.zeros(image.shape[1:])
    for j in range(len(sky)):
        out += np.maximum(image[j], 0) / sky[j]
    return out / np.sqrt(len(sky))


@njit(cache=True, nogil=True, error_model="numpy")
def _own_share(pooled, centre):  # type: ignore[no-untyped-def]
    """Return the share of each pixel's light that is the source's, float64 (R, R).

    The square of the light on the opposite side, twice it, over the light itself, where that is
    below 1. Light is averaged over 3 × 3 pixels; `_FAINT` is added to both, so that what is alike
    but for noise is the source's. Towards `_REACH` the share fades to 0.
    """
    side = len(pooled)
    smooth = np.zeros((side, side))
    for y in range(side):
        for x in range(side):
            for v in range(max(0, y - 1), min(side, y + 2)):
                for u in range(max(0, x - 1), min(side, x + 2)):
                    smooth[y, x] += pooled[v, u] / 9
    out = np.ones((side, side))
    across, down = int(np.round(2 * centre[0])), int(np.round(2 * centre[1]))
    for y in range(side):
        for x in range(side):
            radius = np.hypot(x - centre[0], y - centre[1])
            if radius > _OWN:
                v, u = min(max(down - y, 0), side - 1), min(max(across - x, 0), side - 1)
                ratio = (2 * smooth[v, u] + _FAINT) / (smooth[y, x] + _FAINT)
                out[y, x] = min(1.0, ratio * ratio)
            out[y, x] *= min(max((_REACH - radius) / (_REACH / 3), 0), 1)
    return out
