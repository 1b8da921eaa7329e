"""Image codes and latents of a field, on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.core.loops import Progress, ahead, quiet
from astromodal.data.cube import Cube
from astromodal.data.cutouts import CutoutBatch, CutoutCounts, read_cutouts
from astromodal.errors import FormatError, must_be
from astromodal.storage.arrays import check_maker, load_arrays, save_arrays
from astromodal.storage.hashing import hash_values
from astromodal.tokenizers.images.tokenizer import ImageTokenizer

_TOKENS: dict[str, Any] = {"format": "image_tokens", "version": 3}
_LATENTS: dict[str, Any] = {"format": "image_latents", "version": 1}


@dataclass(frozen=True)
class ImageTokens:
    """The codes of a field's whole cutouts.

    Attributes
    ----------
    ids : unicode (n,)
        Identifiers.
    row : int32 (n,)
        Rows in the cube, ascending.
    codes : uint16 (n, (S / 4)²)
        All 65535 where the tokenizer has no codes.
    brightness : uint16 (n, 2 + 3 B)
        Codes of place and brightness, in the order of `ImageSettings.brightness_columns`; 65535
        where missing.
    tokenizer_hash, input_hash : str
        Hashes of the tokenizer, and of the cutouts that were encoded.
    n_whole, n_short : int
        Number of whole cutouts, which are those encoded, and of short ones, which are missing.
    """

    ids: np.ndarray
    row: np.ndarray
    codes: np.ndarray
    brightness: np.ndarray
    tokenizer_hash: str
    input_hash: str
    n_whole: int
    n_short: int

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        _save(path, vars(self), _TOKENS)


@dataclass(frozen=True)
class ImageLatents:
    """The latents of a field's whole cutouts, before they are quantized.

    Attributes
    ----------
    ids, row, tokenizer_hash, input_hash
        As in `ImageTokens`.
    latents : float32 (n, L, S / 4, S / 4)
        Standardised latents.
    """

    ids: np.ndarray
    row: np.ndarray
    latents: np.ndarray
    tokenizer_hash: str
    input_hash: str

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        _save(path, vars(self), _LATENTS)


def encode_field_images(
    cube: Cube, tokenizer: ImageTokenizer, settings: ImageSettings, progress: Progress = quiet
) -> tuple[ImageTokens, ImageLatents]:
    """Encode every whole cutout of a cube, a slice of rows at a time.

    Codes and latents of the field are held in memory: 6 kB per cutout, 1 % of its pixels.

    Raises
    ------
    FormatError
        Where the settings have other bands or another size than the tokenizer.
    """
    _check_shape(tokenizer, settings)
    digests = [hashlib.sha256() for _ in range(2)]
    counts = CutoutCounts()
    n_dim, grid = tokenizer.autoencoder.model.latent_dim, tokenizer.grid
    # Room for all rows of the cube; memory is used only where it is written.
    rows = np.empty(cube.n_rows, np.int32)
    codes = np.empty((cube.n_rows, grid**2), np.uint16)
    bright = np.empty((cube.n_rows, len(tokenizer.codebook.bins.columns)), np.uint16)
    latents = np.empty((cube.n_rows, n_dim, grid, grid), np.float32)
    n = 0

    def prepared() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield rows, their brightness codes, and the network's input for them."""
        for batch in read_cutouts(cube, settings, counts=counts):
            _update(digests, batch)
            brightness = tokenizer.brightness(batch.pixels, batch.valid)
            yield batch.row, brightness, tokenizer.patches(batch.pixels, batch.valid)

    slices = ahead(prepared())  # a thread reads and normalises while the network runs
    for row, brightness, patches in progress(
        slices, None, f"slices of cutouts of field {cube.field}"
    ):
        part = slice(n, n + len(row))
        rows[part], bright[part] = row, brightness
        codes[part], latents[part] = tokenizer.encode_patches(patches)
        n += len(row)
    rows, codes, bright, latents = rows[:n], codes[:n], bright[:n], latents[:n]
    ids = cube.ids()[rows]
    made_of = tokenizer.hash, hash_values([digest.hexdigest() for digest in digests])
    n_whole, n_short = counts.n_whole, counts.n_short
    return (
        ImageTokens(ids, rows, codes, bright, *made_of, n_whole, n_short),
        ImageLatents(ids, rows, latents, *made_of),
    )


def load_image_tokens(path: str | Path, tokenizer_hash: str | None = None) -> ImageTokens:
    """Read image codes.

    Raises
    ------
    FormatError
        Where the tokenizer that made them does not have the hash `tokenizer_hash`.
    """
    stored = load_arrays(path, **_TOKENS)
    check_maker(path, stored, tokenizer_hash, "image codes", "encode_images")
    content: dict[str, Any] = {**stored.arrays, **stored.attributes}
    return ImageTokens(**content)


def load_image_latents(path: str | Path, tokenizer_hash: str | None = None) -> ImageLatents:
    """Read image latents.

    Raises
    ------
    FormatError
        Where the tokenizer that made them does not have the hash `tokenizer_hash`.
    """
    stored = load_arrays(path, **_LATENTS)
    check_maker(path, stored, tokenizer_hash, "image latents", "encode_images")
    content: dict[str, Any] = {**stored.arrays, **stored.attributes}
    return ImageLatents(**content)


def _check_shape(tokenizer: ImageTokenizer, settings: ImageSettings) -> None:
    made_for = {"bands": list(tokenizer.bands), "size": tokenizer.autoencoder.size}
    for name, wanted in {"bands": list(settings.bands), "size": settings.size}.items():
        if made_for[name] != wanted:
            must = f"the tokenizer's, {made_for[name]}"
            do = "train the tokenizer again"
            raise FormatError(must_be(f"tokenizers.image.{name}", must, wanted, do))


def _save(path: str | Path, values: dict[str, Any], form: dict[str, Any]) -> None:
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    attributes = {name: value for name, value in values.items() if name not in arrays}
    save_arrays(path, arrays, **form, **attributes)


def _update(digests: list[hashlib._Hash], batch: CutoutBatch) -> None:
    """Add a batch to the digests of rows and pixels, in which invalid pixels are 0."""
    for digest, array in zip(digests, (batch.row, batch.pixels), strict=True):
        digest.update(np.ascontiguousarray(array).data)
