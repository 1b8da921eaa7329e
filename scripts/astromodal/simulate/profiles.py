"""Images of sources made in Fourier space: profile times point spread function times shift.

A product of transforms needs no oversampling of cuspy profiles, and all that lies in one cutout
costs one inverse transform a band.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import irfft2
from scipy.special import j0

CANVAS = 128
"""Side of the canvas (pixel): larger than a cutout, so that a source does not wrap onto itself."""

MOFFAT_BETA = 3.0
"""Index of the Moffat profile: typical of seeing."""

EXPONENTIAL_HALF_LIGHT = 1.678347
"""Half-light radius of an exponential disc over its scale length."""

_FACTOR = np.concatenate([[0.0], np.geomspace(1e-3, 300.0, 600)])
"""Wave numbers times a profile's radius, where radial transforms are tabulated."""


def moffat_scale(fwhm: float | np.ndarray) -> np.ndarray:
    """Scale radius of a Moffat profile of a full width at half maximum."""
    return np.asarray(fwhm) / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))


@lru_cache(maxsize=2)
def _transform(profile: str) -> np.ndarray:
    """Hankel transform of a circular profile of unit radius and flux, at `_FACTOR`."""
    radius = np.geomspace(1e-5, 60.0 if profile == "moffat" else 8.0, 6000)
    if profile == "moffat":
        light = (1 + radius**2) ** -MOFFAT_BETA
    else:
        light = np.exp(-7.669 * (radius**0.25 - 1))  # de Vaucouleurs, cut at 8 half-light radii
    shell = light * radius**2 * np.gradient(np.log(radius))
    values = np.array([(shell * j0(k * radius)).sum() for k in _FACTOR])
    return values / values[0]


def _tabulated(profile: str, argument: np.ndarray) -> np.ndarray:
    return np.interp(argument, _FACTOR, _transform(profile), right=0.0)


@lru_cache(maxsize=1)
def wave_numbers() -> tuple[np.ndarray, np.ndarray]:
    """Wave numbers (radian a pixel) along y, (CANVAS, 1), and x, (1, CANVAS // 2 + 1)."""
    ky = 2 * np.pi * np.fft.fftfreq(CANVAS)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(CANVAS)[None, :]
    return ky, kx


def psf_transforms(fwhm: np.ndarray) -> np.ndarray:
    """Transforms of Moffat profiles of given widths (pixel), float32 (bands, CANVAS, half)."""
    ky, kx = wave_numbers()
    k = np.hypot(ky, kx)
    # A soft end before the highest wave number keeps cuspy bulges from ringing.
    end = np.cos(np.clip((k / np.pi - 0.6) / 0.4, 0, 1) * np.pi / 2) ** 2
    return np.stack([end * _tabulated("moffat", k * moffat_scale(w)) for w in fwhm]).astype(
        np.float32
    )


def galaxy_transforms(
    radius: float, axis_ratio: float, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Transforms of a galaxy's bulge and disc, each of unit flux.

    Parameters
    ----------
    radius : float
        Half-light radius of the disc along its major axis (pixel); the bulge's is 0.45 of it.
    axis_ratio : float
        Minor over major axis of the disc; the bulge is rounder.
    angle : float
        Angle of the major axis from x to y (degree).
    """
    ky, kx = wave_numbers()
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    major, minor = kx * cos + ky * sin, -kx * sin + ky * cos
    scale = radius / EXPONENTIAL_HALF_LIGHT
    disc = (1 + scale**2 * (major**2 + (axis_ratio * minor) ** 2)) ** -1.5
    rounder = 1 - 0.6 * (1 - axis_ratio)
    bulge = _tabulated("bulge", 0.45 * radius * np.hypot(major, rounder * minor))
    return bulge.astype(np.float32), disc.astype(np.float32)


def points(x: float, y: float, fwhm: np.ndarray, size: int) -> np.ndarray:
    """Images of a point of unit flux at pixel (x, y), float32 (bands, size, size).

    A point is sampled where it stands, not transformed: its profile is too sharp for a transform,
    which would ring around bright stars.
    """
    place = np.arange(size, dtype=np.float32)
    squared = (place[:, None] - np.float32(y)) ** 2 + (place[None, :] - np.float32(x)) ** 2
    scale = moffat_scale(fwhm).astype(np.float32)[:, None, None]
    density = np.float32((MOFFAT_BETA - 1) / np.pi) / scale**2
    return density / (1 + squared / scale**2) ** np.float32(MOFFAT_BETA)


def shift(x: float, y: float) -> np.ndarray:
    """Transform of a point at pixel (x, y), complex64 (CANVAS, half)."""
    ky, kx = wave_numbers()
    return (np.exp(-1j * ky * y) * np.exp(-1j * kx * x)).astype(np.complex64)


def to_images(transforms: np.ndarray, size: int) -> np.ndarray:
    """Images, float32 (..., size, size), of transforms (..., CANVAS, half)."""
    images = irfft2(transforms, s=(CANVAS, CANVAS), workers=1)
    return images[..., :size, :size].astype(np.float32, copy=False)
