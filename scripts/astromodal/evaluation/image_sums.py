"""What a batch of cutouts is reduced to: sums over masks and circles, and widths of stars."""

from __future__ import annotations

import numpy as np

from astromodal.evaluation.apertures import (
    ARCSEC,
    aperture_sums,
    circle_overlap,
    complete,
    gaussian_widths,
)
from astromodal.evaluation.metrics import robust_sigma

APERTURES = (3.0, 6.0)
"""Diameters of the circular apertures (arcsec): S-PLUS's small one, and one that holds most of a
star's light under any seeing."""

STAR_COLUMNS = (
    "gaia_parallax", "gaia_parallax_error", "gaia_pmra", "gaia_pmra_error", "gaia_pmdec",
    "gaia_pmdec_error",
)  # fmt: skip
STAR_SIGNIFICANCE = 5.0
"""Sigmas of a parallax or of a proper motion that make a source a star."""


def reduce_cutouts(
    pixels: np.ndarray, valid: np.ndarray, mask: np.ndarray, ways: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sums over the valid pixels inside the mask.

    Parameters
    ----------
    pixels : (m, B, S, S) float
        Measured cutouts (counts/s).
    valid : (m, B, S, S) bool
        Pixels that were measured.
    mask : (m, S, S) bool
        The objects' elliptical masks.
    ways : dict of str to (m, B, S, S) float
        ``codes`` and ``latents``: what came back (counts/s).

    Returns
    -------
    dict of str to (m, B) float64
        The sums of `ImageSample`.
    """
    inside = valid & mask[:, None]
    truth = np.where(inside, pixels, 0.0).astype(np.float64)
    count = inside.sum((2, 3))
    flux = truth.sum((2, 3))
    mean = flux / np.maximum(count, 1)
    total = (np.where(inside, truth - mean[..., None, None], 0.0) ** 2).sum((2, 3))
    sums = {"n_pixels": count.astype(np.float64), "flux": flux, "total": total}
    for way, decoded in ways.items():
        back = np.where(inside, decoded, 0.0).astype(np.float64)
        sums[f"flux_{way}"] = back.sum((2, 3))
        sums[f"residual_{way}"] = ((truth - back) ** 2).sum((2, 3))
    sums["noise"] = sky_noise(pixels, valid & ~mask[:, None])
    return sums


def sky_noise(pixels: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Robust sigma of the sky pixels of each cutout and band, (m, B); 0 where there are none."""
    m, n_bands = pixels.shape[:2]
    out = np.zeros((m, n_bands))
    for i, j in np.ndindex(m, n_bands):
        sigma = robust_sigma(pixels[i, j][sky[i, j]])
        out[i, j] = sigma if np.isfinite(sigma) else 0.0
    return out


def overlaps(size: int) -> np.ndarray:
    """Overlaps of the pixels with each of `APERTURES`, float64 (A, S, S)."""
    return np.stack([circle_overlap(size, diameter / 2 / ARCSEC) for diameter in APERTURES])


def aperture_fluxes(
    pixels: np.ndarray, valid: np.ndarray, overlap: np.ndarray, ways: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Light inside each aperture.

    Parameters
    ----------
    pixels, valid, ways
        As for `reduce_cutouts`.
    overlap : (A, S, S) float
        As of `overlaps`.

    Returns
    -------
    dict of str to (m, B, A) float64
        ``circle``, ``circle_codes`` and ``circle_latents`` (counts/s); NaN in an aperture with a
        pixel that was not measured, for light would be missing from it.
    """
    whole = complete(valid, overlap)
    named = {"circle": pixels, **{f"circle_{way}": image for way, image in ways.items()}}
    return {
        name: np.where(whole, aperture_sums(image, overlap), np.nan)
        for name, image in named.items()
    }


def star_widths(
    pixels: np.ndarray, valid: np.ndarray, star: np.ndarray, ways: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Widths of the stars of a batch.

    Parameters
    ----------
    pixels, valid, ways
        As for `reduce_cutouts`.
    star : (m,) bool
        Which sources are stars.

    Returns
    -------
    dict of str to (m, B) float64
        ``fwhm``, ``fwhm_codes`` and ``fwhm_latents`` (arcsec), as of `gaussian_widths`; NaN where
        the source is no star or a pixel of the widest aperture was not measured.
    """
    whole = complete(valid, overlaps(pixels.shape[-1])[-1:])[..., 0]
    named = {"fwhm": pixels, **{f"fwhm_{way}": image for way, image in ways.items()}}
    out = {name: np.full(valid.shape[:2], np.nan) for name in named}
    for name, image in named.items():
        out[name][star] = np.where(whole[star], ARCSEC * gaussian_widths(image[star]), np.nan)
    return out


def are_stars(astrometry: np.ndarray) -> np.ndarray:
    """Sources whose parallax or proper motion is more than 5 sigmas from none.

    What moves is in the Galaxy, and a point source but for close binaries. Gaia is used since every
    cutout has a match there; classes of catalogues lean on the very images.

    Parameters
    ----------
    astrometry : (n, 6) float
        The `STAR_COLUMNS`; NaN where missing.

    Returns
    -------
    bool (n,)
        False where Gaia gives neither.
    """
    value, error = astrometry[:, ::2], astrometry[:, 1::2]
    known = np.isfinite(value) & np.isfinite(error) & (error > 0)
    significance = np.where(known, value, 0.0) / np.where(known, error, 1.0)
    moves = np.hypot(significance[:, 1], significance[:, 2])
    return (significance[:, 0] > STAR_SIGNIFICANCE) | (moves > STAR_SIGNIFICANCE)
