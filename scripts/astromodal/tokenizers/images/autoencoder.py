"""A trained autoencoder with its normaliser, in one file without code, and its training batches.

A batch holds windows of cutouts at a random place, in a random orientation and at a random
brightness.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from astromodal.config.schema import ImageSettings
from astromodal.core.fields import NO_IMAGES
from astromodal.errors import FormatError, must_be
from astromodal.models.autoencoder import PATCH, ImageAutoencoder
from astromodal.storage.arrays import map_tensors, save_tensors
from astromodal.storage.formats import check_content, put_aside, remake
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.storage.tempfiles import atomic_path
from astromodal.storage.torch_files import filled, load_state
from astromodal.tokenizers.images.normaliser import LARGEST, ImageNormaliser
from astromodal.tokenizers.images.pixels import arcsinh, sinh
from astromodal.tokenizers.images.shards import CutoutStore

_FORMAT: dict[str, Any] = {"format": "image_autoencoder", "version": 1}
_SHAPE_SETTINGS = ("bands", "size", "latent_dim", "hidden", "blocks")
_SOFTENING = "normaliser.softening"
_REMAKE, _PUT_ASIDE = remake(_FORMAT["format"]), put_aside(_FORMAT["format"])


UNTRAINED = f"no object of the training split has a cutout: {NO_IMAGES}"
"""Text of logs and the report where there were no training cutouts."""


@dataclass(frozen=True)
class TrainedAutoencoder:
    """An autoencoder with the normaliser of its training cutouts.

    Attributes
    ----------
    model : ImageAutoencoder
        On the CPU, in evaluation mode; its parameters must not change.
    normaliser : ImageNormaliser
        The normaliser of its training cutouts.
    settings : dict
        Settings that determine its shape: bands, size, latent_dim, hidden, blocks.
    n_train : int
        Number of training cutouts; 0 where no training field has any.
    history : tuple of dict
        Loss of each epoch, in order.
    """

    model: ImageAutoencoder
    normaliser: ImageNormaliser
    settings: dict[str, Any]
    n_train: int
    history: tuple[dict[str, float], ...] = field(default=())

    @property
    def size(self) -> int:
        """Side of a cutout (pixel)."""
        return int(self.settings["size"])

    @cached_property
    def hash(self) -> str:
        """Hash of everything that determines latents and decoded pixels."""
        weights = {name: t.numpy() for name, t in self.model.state_dict().items()}
        arrays = {**weights, "softening": self.normaliser.softening}
        return hash_values([hash_arrays(arrays), self.settings, self.n_train])

    def save(self, path: str | Path) -> None:
        """Write tensors and plain values, atomically; the same content gives the same bytes."""
        stored = {
            **_FORMAT,
            "hash": self.hash,
            "settings": self.settings,
            "softening": torch.from_numpy(self.normaliser.softening),
            "state_dict": dict(self.model.state_dict()),
            "n_train": self.n_train,
            "history": list(self.history),
        }
        # Given a path, torch.save would write the temporary name into the file.
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(stored, stream)

    def save_tensors(self, path: str | Path) -> None:
        """Write the same content as ``.safetensors``, for an exported model."""
        plain = {"settings": self.settings, "n_train": self.n_train, "history": list(self.history)}
        meta = {name: json.dumps(value) for name, value in plain.items()}
        meta |= {"hash": self.hash, **{name: str(value) for name, value in _FORMAT.items()}}
        arrays = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        save_tensors(path, {**arrays, _SOFTENING: self.normaliser.softening}, meta)

    @classmethod
    def load(cls, path: str | Path) -> TrainedAutoencoder:
        """Read a file of `save` or `save_tensors`; no code in the file can run.

        Raises
        ------
        FormatError
            Where the file is damaged, of another format, or was changed since.
        """
        read = _read_tensors if Path(path).suffix == ".safetensors" else load_state
        stored = read(path, **_FORMAT)
        settings = stored["settings"]
        weights = stored["state_dict"]
        model = filled(
            lambda: build_model(settings), settings["blocks"], weights, str(path), _PUT_ASIDE
        )
        normaliser = ImageNormaliser(tuple(settings["bands"]), stored["softening"].numpy())
        history = tuple(stored["history"])
        loaded = cls(model.eval(), normaliser, settings, stored["n_train"], history)
        check_content(path, stored["hash"], loaded.hash, _REMAKE)
        return loaded


def shape_settings(settings: ImageSettings) -> dict[str, Any]:
    """Return the settings that determine an autoencoder's shape, as plain values."""
    return {name: _plain(getattr(settings, name)) for name in _SHAPE_SETTINGS}


def build_model(settings: Mapping[str, Any], seed: int = 0) -> ImageAutoencoder:
    """Return a new network of the shape of `shape_settings`; torch's seed is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ImageAutoencoder(
            len(settings["bands"]), settings["latent_dim"], settings["hidden"], settings["blocks"]
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _read_tensors(path: str | Path, format: str, version: int) -> dict[str, Any]:
    """Return the content of a file of `save_tensors` in the form of `load_state`."""
    try:
        arrays, meta = map_tensors(path, format)
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        plain = {name: json.loads(meta[name]) for name in ("settings", "n_train", "history")}
        softening = tensors.pop(_SOFTENING)
    except KeyError as error:
        got = f"no {error}"
        raise FormatError(must_be(str(path), "an autoencoder file", got, _PUT_ASIDE)) from error
    must = f"{format} version {version}"
    got = f"{meta.get('format')} version {meta.get('version')}"
    if got != must:
        raise FormatError(must_be(str(path), must, got, _PUT_ASIDE))
    return {**meta, **plain, "softening": softening, "state_dict": tensors}


_SMALLEST_WINDOW = 24  # pixel
_NEAR = 2  # patches between the centres of window and source, at most
_ANYWHERE = 0.1  # probability of a window anywhere in the cutout

BRIGHTENED = 0.3
"""Probability that a bright source is made brighter."""

_BRIGHTEST = 4.0  # times, 1.5 mag
_BRIGHT = 3.0  # normalised pixel: 80 sigma of the sky, far above its noise


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
        """Return the batch on a device; a copy to a GPU runs beside its computations."""
        if device.type == "cpu":
            return self
        return Batch(*(part.pin_memory().to(device, non_blocking=True) for part in self))


def window_side(size: int) -> int:
    """Return the side (pixel) of training windows: a third of that of a cutout.

    A window costs a ninth of the time of a cutout. In equal time, a network that is trained on nine
    times as many sources reconstructs them far better.
    """
    n_patches = size // PATCH
    return PATCH * min(n_patches, max(_SMALLEST_WINDOW // PATCH, n_patches // 3))


def windows(
    store: CutoutStore, epochs: int, batch_size: int, numbers: np.random.Generator
) -> Iterator[Batch]:
    """Yield batches of windows, one of each cutout per epoch, in random order.

    Each window has a random place and one of eight orientations, as the sky has no preferred
    direction. Most windows are near the source; some are anywhere in the cutout, so that the
    network also learns neighbours and borders.

    Parameters
    ----------
    store : CutoutStore
        At least one cutout.
    epochs, batch_size : int
        Passes, and cutouts of a batch; the last batch of a pass may be smaller.
    numbers : numpy Generator
        Source of all random numbers.
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
    store: CutoutStore, batch_size: int, numbers: np.random.Generator, probability: float = 0.0
) -> Iterator[Batch]:
    """Yield all cutouts, whole and in order; bright sources are brightened at a `probability`."""
    for start in range(0, len(store), batch_size):
        chosen = range(start, min(start + batch_size, len(store)))
        cutouts = [store.cutout(number) for number in chosen]
        x = np.stack([pixels for pixels, _ in cutouts]).astype(np.float32)
        inside = np.stack([mask for _, mask in cutouts])
        for pixels, mask in zip(x, inside, strict=True):
            brighten(pixels, mask, numbers, probability)
        yield _batch(x, inside)


def brighten(
    x: np.ndarray,
    inside: np.ndarray,
    numbers: np.random.Generator,
    probability: float = BRIGHTENED,
) -> None:
    """Multiply the counts of a bright source by 1 to 4 at a probability, in place.

    Tokenizers are fitted on the magnitudes of the selection but encode all sources. Without
    brightened sources, the brightest of a survey would get the codes of fainter ones.

    Parameters
    ----------
    x : float32 (B, S, S)
        Normalised pixels of one window, NaN where not valid.
    inside : bool (S, S)
        Its mask.
    numbers : numpy Generator
        Source of random numbers; two are always taken.
    probability : float
        Probability that a bright source is made brighter.
    """
    uniform, factor = numbers.random(), _BRIGHTEST ** numbers.random()
    if uniform >= probability or not (x[:, inside] > _BRIGHT).any():
        return
    n_bands = len(x)
    flat = x.reshape(1, n_bands, -1)
    counts, valid = np.empty_like(flat), np.isfinite(flat)
    sinh(flat, np.full(n_bands, factor), LARGEST, counts)
    arcsinh(counts, valid, np.ones(n_bands, np.float32), flat)
    flat[~valid] = np.nan


def _batch(x: np.ndarray, inside: np.ndarray) -> Batch:
    """Return a batch of pixels that are NaN where not valid; these become 0 in place."""
    valid = np.isfinite(x)
    x[~valid] = 0
    return Batch(torch.from_numpy(x), torch.from_numpy(valid), torch.from_numpy(inside))


def _place(size: int, side: int, numbers: np.random.Generator) -> tuple[int, int]:
    """Return top and left of a random window of `side` pixels, on the grid of patches."""
    room = (size - side) // PATCH
    near = min(_NEAR, room // 2)
    low, high = (0, room) if numbers.random() < _ANYWHERE else (room // 2 - near, room // 2 + near)
    top, left = numbers.integers(low, high + 1, 2).tolist()
    return top * PATCH, left * PATCH


def _turned(x: np.ndarray, inside: np.ndarray, orientation: int) -> tuple[np.ndarray, np.ndarray]:
    """Return views of a window in one of its eight orientations."""
    if orientation & 4:
        x, inside = x.swapaxes(1, 2), inside.T
    down, right = (-1 if orientation & bit else 1 for bit in (1, 2))
    return x[:, ::down, ::right], inside[::down, ::right]
