"""The image tokenizer: cutouts to codes of a codebook of latents, and back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import FormatError, must_be
from astromodal.models.autoencoder import PATCH
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.quantizers.kmeans import Finder

_FORMAT: dict[str, Any] = {"format": "image_codebook", "version": 1}

_CHUNK, _CHUNK_OF_GPU = 16, 64
"""Cutouts that pass the network together, on a CPU and on a GPU. The last chunk is filled up, so
that the shapes of all sums are the same and a cutout's code does not depend on how many others came
with it."""


@dataclass(frozen=True)
class ImageCodebook:
    """Centroids of the latents of one autoencoder.

    Attributes
    ----------
    centroids : float32 (K, L)
        Standardised latents; K is 0 where no training field has cutouts.
    size : int
        Codes of the vocabulary; K is at most as large.
    autoencoder_hash : str
        Hash of the autoencoder whose latents these are.
    """

    centroids: np.ndarray
    size: int
    autoencoder_hash: str

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays, of = {"centroids": self.centroids}, self.autoencoder_hash
        save_arrays(path, arrays, **_FORMAT, size=self.size, autoencoder_hash=of)

    @classmethod
    def load(cls, path: str | Path) -> ImageCodebook:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_FORMAT)
        return cls(stored["centroids"], **stored.attributes)


class ImageTokenizer:
    """Encodes cutouts, and decodes codes to counts/s.

    Parameters
    ----------
    autoencoder : TrainedAutoencoder
        Network and normaliser.
    codebook : ImageCodebook
        Centroids of its latents. Without any, every code is missing.
    device : torch.device, optional
        Where the network runs; the CPU by default.

    Raises
    ------
    FormatError
        Where the codebook was made from another autoencoder's latents.
    """

    def __init__(
        self,
        autoencoder: TrainedAutoencoder,
        codebook: ImageCodebook,
        device: torch.device | str = "cpu",
    ) -> None:
        if codebook.autoencoder_hash != autoencoder.hash:
            must = f"of the autoencoder of hash {autoencoder.hash}"
            do = "run train_image_codebook again"
            raise FormatError(must_be("image codebook", must, codebook.autoencoder_hash, do))
        self.autoencoder, self.codebook = autoencoder, codebook
        self._device = torch.device(device)
        self._chunk = _CHUNK if self._device.type == "cpu" else _CHUNK_OF_GPU
        copied = copy.deepcopy(autoencoder.model)  # the one that was given stays on the CPU
        order = torch.channels_last
        self._model = copied.to(self._device, memory_format=order)  # type: ignore[call-overload]

    @classmethod
    def load(
        cls, autoencoder: str | Path, codebook: str | Path, device: torch.device | str = "cpu"
    ) -> ImageTokenizer:
        """Read the files of an autoencoder and of its codebook."""
        return cls(TrainedAutoencoder.load(autoencoder), ImageCodebook.load(codebook), device)

    @property
    def centroids(self) -> np.ndarray:
        """Standardised latents of the codes, float32 (K, L)."""
        return self.codebook.centroids

    @property
    def normaliser(self) -> ImageNormaliser:
        """The arcsinh of each band."""
        return self.autoencoder.normaliser

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands in channel order."""
        return self.normaliser.bands

    @property
    def grid(self) -> int:
        """Side of the grid of latents."""
        return self.autoencoder.size // PATCH

    @cached_property
    def hash(self) -> str:
        """Hash of everything that decides on a code or on what it decodes to."""
        parts = {"centroids": self.centroids, "size": np.array(self.codebook.size)}
        return hash_values([self.autoencoder.hash, hash_arrays(parts)])

    def encode(self, pixels: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes and latents of cutouts.

        Parameters
        ----------
        pixels : float32 (m, B, S, S)
            counts/s; anything where `valid` is False.
        valid : bool (m, B, S, S)
            Pixels that were measured.

        Returns
        -------
        codes : uint16 (m, (S / 4)²)
            Row by row of the grid; 65535 throughout where the codebook has no centroids. They do
            not depend on the other cutouts, nor on how many there are.
        latents : float32 (m, L, S / 4, S / 4)
            Standardised latents before they are rounded to a centroid.
        """
        return self.encode_patches(self.patches(pixels, valid))

    def patches(self, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The first half of `encode`, which needs no network: normalised pixels by patch.

        Returns
        -------
        float32 (m, S / 4, S / 4, 17 B)
            As `ImageNormaliser.patches` gives them.
        """
        return self.normaliser.patches(pixels, valid, PATCH, torch.get_num_threads())

    def encode_patches(self, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The second half of `encode`: codes and latents of what `patches` gave."""
        latents = self._latents(patches)
        n, n_dim = latents.shape[:2]
        if not len(self.centroids):
            return np.full((n, self.grid**2), MISSING_CODE, np.uint16), latents
        points = latents.transpose(0, 2, 3, 1).reshape(-1, n_dim)
        codes = self._finder.nearest(points, torch.get_num_threads())
        return codes.reshape(n, self.grid**2).astype(np.uint16), latents

    @cached_property
    def _finder(self) -> Finder:
        """Prepared once, for every batch of every field."""
        return Finder(self.centroids)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Cutouts of codes (m, (S / 4)²), float32 (m, B, S, S) in counts/s.

        A cutout with a missing code is NaN throughout.

        Raises
        ------
        FormatError
            Where a code has no centroid: the codes belong to another tokenizer.
        """
        missing = codes == MISSING_CODE
        if (~missing & (codes >= len(self.centroids))).any():
            got = int(codes[~missing].max())
            must = f"below {len(self.centroids)}"
            raise FormatError(must_be("image codes", must, got, "run encode_images again"))
        grid, n_dim = self.grid, self.centroids.shape[1]
        latents = np.zeros((*codes.shape, n_dim), np.float32)
        latents[~missing] = self.centroids[codes[~missing]]
        shaped = latents.reshape(len(codes), grid, grid, n_dim).transpose(0, 3, 1, 2)
        pixels = self.decode_latents(shaped)
        pixels[missing.any(axis=1)] = np.nan
        return pixels

    def decode_latents(self, latents: np.ndarray) -> np.ndarray:
        """Cutouts of standardised latents (m, L, S / 4, S / 4), float32 (m, B, S, S) counts/s."""
        side = self.grid * PATCH
        x = np.empty((len(latents), len(self.bands), side, side), np.float32)
        for part, chunk in _chunks(np.ascontiguousarray(latents, dtype=np.float32), self._chunk):
            with torch.inference_mode():
                decoded = self._model.decode(self._moved(chunk))
            x[part] = decoded.float().cpu().numpy()[: part.stop - part.start]
        return self.normaliser.inverse(x, torch.get_num_threads())

    def standardised(self) -> np.ndarray:
        """Centroids in units of the latents' own spread, float32 (codebook_size, L).

        Codes that are not in use are 0.
        """
        table = np.zeros((self.codebook.size, self.centroids.shape[1]), np.float32)
        table[: len(self.centroids)] = self.centroids
        return table

    def _latents(self, patches: np.ndarray) -> np.ndarray:
        out = np.empty((len(patches), self._model.latent_dim, self.grid, self.grid), np.float32)
        done: list[tuple[slice, torch.Tensor]] = []
        with torch.inference_mode():
            for part, chunk in _chunks(patches, self._chunk):
                # Channels come last in memory already, as the convolutions want them.
                seen = self._moved(chunk).permute(0, 3, 1, 2)
                done.append((part, self._model.encode_patches(seen)))
        for part, latents in done:
            out[part] = latents.float().cpu().numpy()[: part.stop - part.start]
        return out

    def _moved(self, chunk: np.ndarray) -> torch.Tensor:
        """A chunk on the device; to a GPU it is copied while the GPU works on the one before.

        There the job lets convolutions use TF32, which keeps ten bits of a number where bfloat16
        keeps seven: too few for the flux of a bright star.
        """
        tensor = torch.from_numpy(chunk)
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)


def _chunks(array: np.ndarray, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Places of `array` and what stands there, filled up with zeros to `size`."""
    for start in range(0, len(array), size):
        part = slice(start, min(start + size, len(array)))
        chunk = array[part]
        if len(chunk) < size:
            filling = np.zeros((size - len(chunk), *array.shape[1:]), array.dtype)
            chunk = np.concatenate([chunk, filling])
        yield part, chunk
