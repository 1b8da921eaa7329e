"""Latents of the training cutouts, and the codebook that is fitted on them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.schema import ImageSettings
from astromodal.core.files import load_arrays, save_arrays
from astromodal.core.prefetch import ahead
from astromodal.core.progress import Progress, quiet
from astromodal.models.autoencoder import PATCH, ImageAutoencoder
from astromodal.tokenizers.image import ImageCodebook
from astromodal.tokenizers.kmeans import fit_codebook
from astromodal.training.cutout_batches import whole_cutouts
from astromodal.training.cutout_store import CutoutStore

_FORMAT: dict[str, Any] = {"format": "image_training_latents", "version": 1}

INSIDE_SHARE = 0.75
"""Part of the points that lie on the patches of a source's mask."""

_MAX_POINTS = 1_000_000
_BATCH = 32


@dataclass(frozen=True)
class TrainingLatents:
    """A sample of standardised latents.

    Attributes
    ----------
    points : float32 (N, L)
        Latents; (0, L) where there is no training cutout.
    inside : bool (N,)
        Whether a point's patch touches the mask of its cutout's source.
    autoencoder_hash : str
        Hash of the autoencoder.
    """

    points: np.ndarray
    inside: np.ndarray
    autoencoder_hash: str

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {"points": self.points, "inside": self.inside}
        save_arrays(path, arrays, **_FORMAT, autoencoder_hash=self.autoencoder_hash)

    @classmethod
    def load(cls, path: str | Path) -> TrainingLatents:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_FORMAT)
        return cls(stored["points"], stored["inside"], stored.attributes["autoencoder_hash"])


def sample_latents(
    model: ImageAutoencoder, store: CutoutStore, seed: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Set the model's latent statistics, and sample standardised latents for the codebook.

    Most of a cutout's points are drawn from the patches of its source's mask, the others from the
    rest, each patch as often as chance has it. Without that the sky, 97 % of the patches, would
    take most of the codes, and rounding would cost the sources three times as much of their
    variance. Half of the sample is of the cutouts as they are, half with every bright source
    brightened as in training, so that the codes reach beyond the brightest training source.

    Parameters
    ----------
    model : ImageAutoencoder
        Trained, on `device`; its statistics are set in place.
    store : CutoutStore
        Training cutouts.
    seed : int
        Seed of the draw.
    device : torch.device
        Where the model is.

    Returns
    -------
    points : float32 (N, L)
        At most a million; (0, L) without cutouts.
    inside : bool (N,)
        Whether a point's patch touches the mask.
    """
    n_dim = model.latent_dim
    if not len(store):
        return np.empty((0, n_dim), np.float32), np.empty(0, bool)
    generator = np.random.default_rng(abs(seed))
    total, squares, count = np.zeros(n_dim), np.zeros(n_dim), 0
    points, sides = [], []
    share = max(2, min((store.size // PATCH) ** 2, _MAX_POINTS // len(store)) // 2)
    own = generator.spawn(1)[0]
    passes = [whole_cutouts(store, _BATCH, own, chance) for chance in (0.0, 1.0)]
    for batch in ahead(itertools.chain(*passes)):
        x, valid, _ = batch.to(device)
        with torch.inference_mode():
            raw = model.raw_latents(x, valid)
        latents = raw.permute(0, 2, 3, 1).flatten(1, 2).cpu().numpy()  # (m, G², L)
        total += latents.sum((0, 1), dtype=np.float64)
        squares += np.square(latents, dtype=np.float64).sum((0, 1))
        count += latents.shape[0] * latents.shape[1]
        for latent, within in zip(latents, _patches_inside(batch.inside.numpy()), strict=True):
            chosen = _draw(within, share, generator)
            points.append(latent[chosen])
            sides.append(within[chosen])
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std[std == 0] = 1.0  # a channel that never changes
    mean, std = mean.astype(np.float32), std.astype(np.float32)
    model.set_statistics(torch.from_numpy(mean), torch.from_numpy(std))
    return (np.concatenate(points) - mean) / std, np.concatenate(sides)


def train_image_codebook(
    latents: TrainingLatents, settings: ImageSettings, progress: Progress = quiet, threads: int = 1
) -> ImageCodebook:
    """Cluster the latents of training cutouts into at most ``codebook_size`` centroids."""
    size = settings.codebook_size
    seed, steps = settings.seed, settings.iterations
    codebook = fit_codebook(latents.points, size, steps, seed, progress, threads)
    return ImageCodebook(codebook.centroids, size, latents.autoencoder_hash)


def _patches_inside(mask: np.ndarray) -> np.ndarray:
    """Which patches touch the mask (m, S, S): bool (m, G²)."""
    m, size, _ = mask.shape
    grid = size // PATCH
    return mask.reshape(m, grid, PATCH, grid, PATCH).any((2, 4)).reshape(m, grid**2)


def _draw(within: np.ndarray, share: int, generator: np.random.Generator) -> np.ndarray:
    """Places of `share` patches (G²,), most of them `within` the mask, drawn with replacement."""
    near, far = np.flatnonzero(within), np.flatnonzero(~within)
    n_near = share if not far.size else round(INSIDE_SHARE * share) if near.size else 0
    return np.concatenate(
        [
            part[generator.integers(len(part), size=n)] if n else part[:0]
            for part, n in ((near, n_near), (far, share - n_near))
        ]
    )
