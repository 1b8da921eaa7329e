"""Shapes of sources as SExtractor measures them on the detection image."""

from __future__ import annotations

import numpy as np

from astromodal.simulate.cutouts import PIXEL, Telescope
from astromodal.simulate.profiles import EXPONENTIAL_HALF_LIGHT
from astromodal.simulate.sources import Sources

TIE = 8e-8
"""Where ``fwhm_n_det`` has a spike: sources whose width could not be measured."""


def shape_columns(
    sources: Sources, optics: Telescope, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Shape columns, float32 (n,), consistent with the cutouts.

    Second moments of the source, widened by the point spread function; bright sources are followed
    further out. ``theta_det`` (degree) runs from x to y, as in the cutouts; ``fwhm_n_det`` is the
    width over that of a star.
    """
    n = len(sources)
    radius = np.nan_to_num(sources.shape["radius"]) / PIXEL
    ratio = np.nan_to_num(sources.shape["axis_ratio"], nan=1.0)
    blur = np.clip(0.012 * 10 ** (0.24 * (sources.r_mag - 17)), 0.012, 0.35)
    major, minor = _axes(sources.r_mag, radius, ratio, blur, optics, rng)
    columns = {
        "ellipticity_det": 1 - minor / major,
        "elongation_det": major / minor,
        "a_pixel_det": major,
        "b_pixel_det": minor,
        "theta_det": _angles(sources.shape["angle"], minor / major, blur, rng),
        "fwhm_n_det": _widths(radius * np.sqrt(ratio), blur, optics, rng),
    }
    lost = rng.uniform(size=n) < 0.004
    return {name: np.where(lost, np.nan, v).astype(np.float32) for name, v in columns.items()}


def _axes(
    r_mag: np.ndarray,
    radius: np.ndarray,
    ratio: np.ndarray,
    blur: np.ndarray,
    optics: Telescope,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Major and minor axis (pixel): noise makes round sources look elongated."""
    n = len(r_mag)
    psf = 1.12 * optics.detection / 2.3548  # wings widen a Moffat profile's moments
    # Within the isophote, moments are about half of those of the whole exponential disc.
    wide = 0.55 * np.sqrt(3.0) * radius / EXPONENTIAL_HALF_LIGHT
    reach = 1 + 0.07 * np.clip(18.5 - r_mag, 0, 5)
    reach *= np.clip(1 - 0.05 * (r_mag - 20), 0.85, 1.0)
    longer, shorter = np.abs(rng.standard_normal((2, n)))
    major = np.hypot(psf, wide) * reach * (1 + blur * longer)
    minor = np.hypot(psf, wide * ratio) * reach * (1 - 0.5 * blur * shorter)
    blended = rng.uniform(size=n) < 0.01
    major = np.where(blended, major * rng.uniform(1.5, 4.0, n), major)
    return major, np.clip(minor, 0.07, major)


def _angles(
    true: np.ndarray, ratio: np.ndarray, blur: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Position angles in -90 to 90 degree: any for a point, the less certain the rounder."""
    n = len(true)
    angle = np.where(np.isnan(true), rng.uniform(-90, 90, n), true)
    wobble = blur * 25 / np.maximum(1 - ratio, 0.05)
    return (angle + wobble * rng.standard_normal(n) + 90) % 180 - 90


def _widths(
    radius: np.ndarray, blur: np.ndarray, optics: Telescope, rng: np.random.Generator
) -> np.ndarray:
    """Full widths over a star's, with a spike of ties and a few wild values of either sign."""
    n = len(radius)
    widened = np.hypot(1.0, 0.5 * radius / (optics.detection / 2.3548))
    width = widened * (1 + 2 * blur * rng.standard_normal(n))
    width = np.where(rng.uniform(size=n) < 0.02, TIE, width)
    wild = rng.uniform(size=n) < 0.004
    return np.where(wild, rng.uniform(-19, 165, n), width)
