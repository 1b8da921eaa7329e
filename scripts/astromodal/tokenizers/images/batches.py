"""Batches of windows of training cutouts: drawn, turned and sometimes brightened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from astromodal.models.autoencoder import PATCH
from astromodal.tokenizers.images import arcsinh
from astromodal.tokenizers.images.normaliser import LARGEST
from astromodal.tokenizers.images.shards import CutoutStore

_SMALLEST_WINDOW = 24  # pixel
_NEAR = 2  # patches that a window's middle may lie off the source's
_ANYWHERE = 0.1  # chance of a window anywhere in the cutout

BRIGHTENED = 0.3
"""Chance that a bright source is made brighter."""

_BRIGHTEST = 4.0  # times, 1.5 mag
_BRIGHT = 3.0  # normalised pixel: 80 sigma of the sky, whose own noise is small beside it


class Batch(NamedTuple):
    """Windows of m cutouts.

    Attributes
    ----------
    x : float32 (m, B, S, S)
        Normalised pixels, 0 where not valid.
    valid : bool (m, B, S, S)
        Pixels that were measured.
    inside : bool (m, S, S)
        Pixels of the elliptical masks.
    """

    x: torch.Tensor
    valid: torch.Tensor
    inside: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device; to a GPU the copy runs beside what the GPU is doing."""
        if device.type == "cpu":
            return self
        return Batch(*(part.pin_memory().to(device, non_blocking=True) for part in self))


def window_side(size: int) -> int:
    """Side (pixel) of the windows that a network is trained on: a third of the cutout's.

    A window has a ninth of the pixels, hence of the work; for the same time a network that sees
    nine times as many sources explains far more of them.
    """
    n_patches = size // PATCH
    return PATCH * min(n_patches, max(_SMALLEST_WINDOW // PATCH, n_patches // 3))


def windows(
    store: CutoutStore, epochs: int, batch_size: int, numbers: np.random.Generator
) -> Iterator[Batch]:
    """Every cutout once an epoch, in a new order, in batches of windows.

    Each window is placed, mirrored and turned on its own: nothing in the sky has a preferred
    direction. Most lie about the source, which is what counts; some anywhere, so that neighbours
    and borders are learned too.

    Parameters
    ----------
    store : CutoutStore
        At least one cutout.
    epochs, batch_size : int
        Passes, and cutouts a batch; the last batch of a pass may be smaller.
    numbers : numpy Generator
        All draws come from it.
    """
    side = window_side(store.size)
    for _ in range(epochs):
        order = numbers.permutation(len(store))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            x = np.empty((len(chosen), store.n_bands, side, side), np.float32)
            inside = np.empty((len(chosen), side, side), bool)
            for place, number in enumerate(chosen.tolist()):
                window = store.cutout(number, *_place(store.size, side, numbers), side)
                pixels, inside[place] = _turned(*window, int(numbers.integers(8)))
                x[place] = pixels
                brighten(x[place], inside[place], numbers, BRIGHTENED)
            yield _batch(x, inside)


def whole_cutouts(
    store: CutoutStore, batch_size: int, numbers: np.random.Generator, chance: float = 0.0
) -> Iterator[Batch]:
    """All cutouts, whole and in order; bright sources are brightened with a `chance`."""
    for start in range(0, len(store), batch_size):
        chosen = range(start, min(start + batch_size, len(store)))
        cutouts = [store.cutout(number) for number in chosen]
        x = np.stack([pixels for pixels, _ in cutouts]).astype(np.float32)
        inside = np.stack([mask for _, mask in cutouts])
        for pixels, mask in zip(x, inside, strict=True):
            brighten(pixels, mask, numbers, chance)
        yield _batch(x, inside)


def brighten(
    x: np.ndarray, inside: np.ndarray, numbers: np.random.Generator, chance: float = BRIGHTENED
) -> None:
    """Now and then multiply a bright source's counts by up to 4, in place.

    Tokenizers are fitted on the magnitudes that the selection keeps, and encode all. Without
    brighter sources than those the few brightest of a survey would get the codes of fainter ones.

    Parameters
    ----------
    x : float32 (B, S, S)
        Normalised pixels of one window, NaN where not valid.
    inside : bool (S, S)
        Its mask.
    numbers : numpy Generator
        Two draws are taken, whatever comes of them.
    chance : float
        Chance that a bright source is made brighter.
    """
    drawn, factor = numbers.random(), _BRIGHTEST ** numbers.random()
    if drawn >= chance or not (x[:, inside] > _BRIGHT).any():
        return
    n_bands = len(x)
    flat = x.reshape(1, n_bands, -1)
    counts, valid = np.empty_like(flat), np.isfinite(flat)
    arcsinh.inverse(flat, np.full(n_bands, factor), LARGEST, counts)
    arcsinh.forward(counts, valid, np.ones(n_bands, np.float32), flat)
    flat[~valid] = np.nan


def _batch(x: np.ndarray, inside: np.ndarray) -> Batch:
    """Make a batch of pixels that are NaN where not valid, which become 0 in place."""
    valid = np.isfinite(x)
    x[~valid] = 0
    return Batch(torch.from_numpy(x), torch.from_numpy(valid), torch.from_numpy(inside))


def _place(size: int, side: int, numbers: np.random.Generator) -> tuple[int, int]:
    """Top and left of a window of `side` pixels, on the grid of patches."""
    room = (size - side) // PATCH
    near = min(_NEAR, room // 2)
    low, high = (0, room) if numbers.random() < _ANYWHERE else (room // 2 - near, room // 2 + near)
    top, left = numbers.integers(low, high + 1, 2).tolist()
    return top * PATCH, left * PATCH


def _turned(x: np.ndarray, inside: np.ndarray, way: int) -> tuple[np.ndarray, np.ndarray]:
    """One of the eight ways to mirror and turn a square, as views."""
    if way & 4:
        x, inside = x.swapaxes(1, 2), inside.T
    down, right = (-1 if way & bit else 1 for bit in (1, 2))
    return x[:, ::down, ::right], inside[::down, ::right]
