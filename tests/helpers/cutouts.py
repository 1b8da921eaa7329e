"""Small cutouts for tests: Gaussian sources on a noisy sky, as columns of a cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from astromodal.config.schema import ImageSettings
from astromodal.data.cube import Cube
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder, build_model, shape_settings
from astromodal.tokenizers.images.brightness import fit_brightness
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.shards import CutoutShard, CutoutStore, write_shard
from astromodal.tokenizers.images.tokenizer import ImageCodebook, ImageTokenizer
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

BANDS = ("U", "R", "Z")
SKY = np.array([0.01, 0.2, 0.1])
SETTINGS = ImageSettings(
    bands=BANDS, size=32, hidden=16, blocks=1, epochs=4, batch_size=8, codebook_size=32
)


def cutouts(n: int, seed: int = 0, size: int = 32) -> np.ndarray:
    """Cutouts of `n` sources, float32 (n, 3, size, size) in counts/s."""
    rng = np.random.default_rng(seed)
    offset = np.arange(size) - size // 2
    profile = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    flux = SKY * 10 ** rng.uniform(0.5, 2.5, (n, 1)) * rng.uniform(0.5, 2, (n, 3))
    sky = rng.normal(size=(n, 3, size, size)) * SKY[:, None, None]
    return (flux[..., None, None] * profile + sky).astype(np.float32)


def cutout_columns(pixels: np.ndarray) -> dict[str, list]:
    """Columns of a cube: identifiers, flat lists of pixels, and shapes of the sources."""
    n = len(pixels)
    lists = {
        f"splus_cut_{band}": [row.ravel() for row in pixels[:, channel]]
        for channel, band in enumerate(BANDS)
    }
    shapes = {"a_pixel_det": [1.5] * n, "b_pixel_det": [1.5] * n, "theta_det": [0.0] * n}
    return {"id": [f"o{i}" for i in range(n)], **lists, **shapes}


NORMALISER = ImageNormaliser(BANDS, 8 * SKY)


def shard_of(
    folder: Path, cube: Cube, rows: np.ndarray | None = None, share: int = 1000, **changes: object
) -> CutoutShard:
    """The shard of a cube's cutouts, of all its rows by default, under changed settings."""
    settings = SETTINGS.model_copy(update=changes)
    files = folder / f"{cube.field}.npy", folder / f"{cube.field}.npz"
    kept = np.ones(cube.n_rows, bool) if rows is None else rows
    write_shard(*files, cube, kept, share, NORMALISER, settings)
    return CutoutShard.open(*files)


def store_of(*shards: CutoutShard) -> CutoutStore:
    """The store of shards."""
    return CutoutStore(shards, NORMALISER, SETTINGS.size)


def untrained_autoencoder(seed: int = 1, **changes: object) -> TrainedAutoencoder:
    """An autoencoder as it is initialised, with a deep branch that does something."""
    chosen = SETTINGS.model_copy(update=changes)
    settings = shape_settings(chosen)
    model = build_model(settings, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.squeeze.weight.normal_(std=0.1, generator=generator)
    softening = np.resize(8 * SKY, len(chosen.bands))
    return TrainedAutoencoder(model.eval(), ImageNormaliser(chosen.bands, softening), settings, 5)


def brightness_bins(bands: tuple[str, ...] = BANDS, n_bins: int = 64) -> ScalarTokenizer:
    """Bins of places within a pixel, fluxes of -3 to 30,000 sigmas, concentrations within 2."""
    columns = ImageSettings(bands=bands).brightness_columns
    place, flux, concentration = (np.linspace(*ends, 1000) for ends in ((-1, 1), (-2, 11), (-2, 2)))
    n = len(bands)
    values = np.stack([place] * 2 + [flux] * n + [concentration] * 2 * n, axis=1)
    return fit_brightness(values, columns, n_bins)


def image_tokenizer(n_codes: int = 20, seed: int = 1, n_bins: int = 6) -> ImageTokenizer:
    """A tokenizer of random weights and centroids."""
    autoencoder = untrained_autoencoder(seed)
    centroids = np.random.default_rng(seed).normal(size=(n_codes, 2)).astype(np.float32)
    return ImageTokenizer(
        autoencoder,
        ImageCodebook(
            NearestCentroid(centroids), 32, autoencoder.hash, brightness_bins(n_bins=n_bins)
        ),
    )
