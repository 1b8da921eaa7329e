"""What is lost of a cutout's other bands when some of its bands are hidden from the encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.tokenizers.images.tokenizer import ImageTokenizer

N_CUTOUTS = 64
"""Cutouts that are encoded once more for each set of hidden bands: with twelve bands, 16 times."""

SEVERAL = (2, 3, 4, 6)
"""Numbers of bands that are hidden together; a single one is hidden band by band."""

_TOGETHER = 64


@dataclass
class HiddenBands:
    """Sums inside the mask of cutouts that were encoded without some of their bands.

    Attributes
    ----------
    n_hidden : int (P,)
        Bands hidden in each of the P passes.
    hidden : bool (n, P, B)
        Which; none where the cutout has too few bands to hide that many: it does not count then.
    residual : float64 (n, P, B)
        Sums of squares of measured minus decoded from codes (counts/s), hidden bands included.
    complete, total, noise : float64 (n, B)
        The same sum with no band hidden; the sum of squares about the mean; sky sigma a pixel.
    """

    n_hidden: np.ndarray
    hidden: np.ndarray
    residual: np.ndarray
    complete: np.ndarray
    total: np.ndarray
    noise: np.ndarray


def passes(n_bands: int) -> np.ndarray:
    """How many bands each pass hides, int (P,): one in every band's turn, then several."""
    return np.array([1] * n_bands + [k for k in SEVERAL if k < n_bands])


def draw_hidden(present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bands to hide from each cutout.

    First every band in turn; then `SEVERAL` at random, the smaller sets being part of the larger
    ones, so that the loss grows by adding bands and not by drawing others.

    Parameters
    ----------
    present : (m, B) bool
        Bands that a cutout has. At least one stays.
    rng : Generator
        Source of the order of the bands.

    Returns
    -------
    bool (m, P, B)
    """
    m, n_bands = present.shape
    order = np.where(present, rng.random((m, n_bands)), np.inf).argsort(1).argsort(1)
    single = np.eye(n_bands, dtype=bool)[None] & present[:, None]
    several = np.array([k for k in SEVERAL if k < n_bands])
    together = (order[:, None] < several[:, None]) & present[:, None]  # (m, passes, B)
    hidden = np.concatenate([single, together], axis=1)
    enough = present.sum(1)[:, None] > passes(n_bands)
    return hidden & enough[..., None]


def decode_without(
    tokenizer: ImageTokenizer,
    pixels: np.ndarray,
    valid: np.ndarray,
    mask: np.ndarray,
    hidden: np.ndarray,
) -> np.ndarray:
    """Encode cutouts without the hidden bands, decode the codes, and compare inside the mask.

    Parameters
    ----------
    tokenizer : ImageTokenizer
        With at least one centroid.
    pixels, valid : (m, B, S, S)
        Measured cutouts (counts/s), and which pixels were measured.
    mask : (m, S, S) bool
        The objects' elliptical masks.
    hidden : (m, P, B) bool
        As of `draw_hidden`.

    Returns
    -------
    float64 (m, P, B)
        Sums of squares of measured minus decoded; NaN where no band is hidden.
    """
    residual = np.full(hidden.shape, np.nan)
    places = np.argwhere(hidden.any(2))
    # Cutouts of all passes stand together, for the network takes them in chunks that it fills up.
    for start in range(0, len(places), _TOGETHER):
        i, p = places[start : start + _TOGETHER].T
        codes, _ = tokenizer.encode(pixels[i], valid[i] & ~hidden[i, p][..., None, None])
        inside = valid[i] & mask[i, None]
        difference = np.where(inside, tokenizer.decode(codes) - pixels[i], 0.0)
        residual[i, p] = (difference.astype(np.float64) ** 2).sum((2, 3))
    return residual
