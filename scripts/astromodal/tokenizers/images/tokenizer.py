"""The image tokenizer: cutouts to codes of a codebook of latents and of brightness, and back.

The codes of latents say where light is, those of brightness where exactly the source stands, and
how much light it has in each band. A decoded cutout is brought to the place and the fluxes of its
brightness codes.
"""

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
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder
from astromodal.tokenizers.images.brightness import (
    brightness_fluxes,
    brightness_values,
    with_fluxes,
)
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.pixels import source_places
from astromodal.tokenizers.quantizers.base import FittedQuantizer
from astromodal.tokenizers.quantizers.nearest import load_quantizer
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

_FORMAT: dict[str, Any] = {"format": "image_codebook", "version": 3}
_BINS = "brightness_"

_CHUNK, _CHUNK_OF_GPU = 16, 64
"""Cutouts that pass the network together, on a CPU and on a GPU. The last chunk is padded, so that
all sums have the same shapes and a cutout's code does not depend on the number of cutouts."""


@dataclass(frozen=True)
class ImageCodebook:
    """The quantizer of one autoencoder's latents, and the bins of the brightness.

    Attributes
    ----------
    quantizer : FittedQuantizer
        Quantizes standardised latents; without codes where no training field has cutouts.
    size : int
        Codes of the vocabulary; the quantizer has at most as many.
    autoencoder_hash : str
        Hash of the autoencoder.
    bins : ScalarTokenizer
        Bins of the columns of `ImageSettings.brightness_columns`.
    """

    quantizer: FittedQuantizer
    size: int
    autoencoder_hash: str
    bins: ScalarTokenizer

    @property
    def centroids(self) -> np.ndarray:
        """Standardised latents of the codes, float32 (K, L)."""
        return self.quantizer.centroids

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        bins = {f"{_BINS}{name}": array for name, array in self.bins.arrays().items()}
        of = self.autoencoder_hash
        self.quantizer.save(path, bins, **_FORMAT, size=self.size, autoencoder_hash=of)

    @classmethod
    def load(cls, path: str | Path) -> ImageCodebook:
        """Read what `save` wrote."""
        quantizer, stored = load_quantizer(path, **_FORMAT)
        own = {n.removeprefix(_BINS): a for n, a in stored.arrays.items() if n.startswith(_BINS)}
        return cls(quantizer, bins=ScalarTokenizer.from_arrays(own), **stored.attributes)


class ImageTokenizer:
    """Encodes cutouts, and decodes codes to counts/s.

    Parameters
    ----------
    autoencoder : TrainedAutoencoder
        Network and normaliser.
    codebook : ImageCodebook
        Quantizer of its latents. Where it has no codes, every code is missing.
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
        copied = copy.deepcopy(autoencoder.model)  # the argument stays on the CPU
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
        parts = {**self.codebook.quantizer.packed(), "size": np.array(self.codebook.size)}
        return hash_values([self.autoencoder.hash, hash_arrays(parts), self.codebook.bins.hash])

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
            Row by row of the grid; all 65535 where the codebook has no codes. A cutout's codes do
            not depend on the other cutouts, nor on their number.
        latents : float32 (m, L, S / 4, S / 4)
            Standardised latents before they are quantized.
        """
        return self.encode_patches(self.patches(pixels, valid))

    def brightness(self, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return the codes of place and brightness of cutouts; arguments as in `encode`.

        Returns
        -------
        uint16 (m, 2 + 3 B)
            Codes of the columns of `ImageSettings.brightness_columns`. Those of the place are 65535
            where the source has no measurable light, those of a band where a pixel of its largest
            aperture was not measured.
        """
        sky, bins = self.normaliser.sky, self.codebook.bins
        values = np.full((len(pixels), len(bins.columns)), np.nan)
        values[:, :2] = source_places(pixels, valid, sky)
        # Apertures stand where they will stand around the decoded source.
        coded = bins.decode(bins.encode(values))[:, :2]
        values[:, 2:] = brightness_values(pixels, valid, coded, sky)[:, 2:]
        return bins.encode(values)

    def has_brightness(self, brightness: np.ndarray) -> np.ndarray:
        """Return in which bands codes of `brightness` (m, 2 + 3 B) are known, bool (m, B)."""
        by_band = brightness[:, 2:].reshape(len(brightness), 3, len(self.bands))
        return np.asarray((by_band != MISSING_CODE).all(axis=1))

    def patches(self, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return normalised pixels by patch: the first half of `encode`, which needs no network.

        Returns
        -------
        float32 (m, S / 4, S / 4, 17 B)
            As `ImageNormaliser.patches` gives them.
        """
        return self.normaliser.patches(pixels, valid, PATCH, torch.get_num_threads())

    def encode_patches(self, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and latents of the result of `patches`: the second half of `encode`."""
        latents = self._latents(patches)
        n, n_dim = latents.shape[:2]
        if not len(self.centroids):
            return np.full((n, self.grid**2), MISSING_CODE, np.uint16), latents
        points = latents.transpose(0, 2, 3, 1).reshape(-1, n_dim)
        codes = self.codebook.quantizer.encode(points, torch.get_num_threads())
        return codes.reshape(n, self.grid**2).astype(np.uint16), latents

    def decode(self, codes: np.ndarray, brightness: np.ndarray) -> np.ndarray:
        """Return cutouts in counts/s.

        Parameters
        ----------
        codes : uint16 (m, (S / 4)²)
            Codes of `encode`.
        brightness : uint16 (m, 2 + 3 B)
            Codes of `brightness`. A band whose codes are missing is as bright as the latents say;
            a source whose place is missing stands in the middle.

        Returns
        -------
        float32 (m, B, S, S)
            All pixels of a cutout with a missing code of a latent are NaN.

        Raises
        ------
        FormatError
            Where a code is not in the codebook: the codes belong to another tokenizer.
        """
        missing = codes == MISSING_CODE
        if (~missing & (codes >= len(self.centroids))).any():
            got = int(codes[~missing].max())
            must = f"below {len(self.centroids)}"
            raise FormatError(must_be("image codes", must, got, "run encode_images again"))
        grid, n_dim = self.grid, self.centroids.shape[1]
        latents = np.zeros((*codes.shape, n_dim), np.float32)
        latents[~missing] = self.codebook.quantizer.decode(codes[~missing])
        shaped = latents.reshape(len(codes), grid, grid, n_dim).transpose(0, 3, 1, 2)
        pixels = self.decode_latents(shaped, brightness)
        pixels[missing.any(axis=1)] = np.nan
        return pixels

    def decode_latents(
        self, latents: np.ndarray, brightness: np.ndarray | None = None
    ) -> np.ndarray:
        """Return cutouts of latents (m, L, S / 4, S / 4).

        Without brightness codes they are as bright as the latents say; the rest as in `decode`.
        """
        side = self.grid * PATCH
        x = np.empty((len(latents), len(self.bands), side, side), np.float32)
        for part, chunk in _chunks(np.ascontiguousarray(latents, dtype=np.float32), self._chunk):
            with torch.inference_mode():
                decoded = self._model.decode(self._moved(chunk))
            x[part] = decoded.float().cpu().numpy()[: part.stop - part.start]
        threads, sky = torch.get_num_threads(), self.normaliser.sky
        pixels = self.normaliser.inverse(x, threads)
        if brightness is None:
            return pixels
        values = self.codebook.bins.decode(brightness)
        return with_fluxes(pixels, values[:, :2], brightness_fluxes(values, sky), sky, threads)

    def standardised(self) -> np.ndarray:
        """Return centroids in units of the latents' spread, float32 (codebook_size, L).

        Rows of codes that are not in use are 0.
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
        """Return a chunk on the device; a GPU copies it while it computes the chunk before.

        Convolutions on a GPU use TF32, which keeps ten bits of a number. bfloat16 keeps seven: too
        few for the flux of a bright star.
        """
        tensor = torch.from_numpy(chunk)
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)


def _chunks(array: np.ndarray, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of `array`, and their content padded with zeros to `size`."""
    for start in range(0, len(array), size):
        part = slice(start, min(start + size, len(array)))
        chunk = array[part]
        if len(chunk) < size:
            padding = np.zeros((size - len(chunk), *array.shape[1:]), array.dtype)
            chunk = np.concatenate([chunk, padding])
        yield part, chunk
