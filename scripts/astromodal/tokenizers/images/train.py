"""Training of the image autoencoder.

The squared error is in the units of the normaliser's arcsinh: relative to the noise of the sky for
faint pixels, and to the flux for bright ones. Noise on the latents simulates the quantization error
of the codebook, so that the decoder becomes robust to it.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.schema import ImageSettings
from astromodal.core.loops import Progress, ahead, quiet
from astromodal.models.autoencoder import PATCH, ImageAutoencoder
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.tokenizers.images.autoencoder import (
    Batch,
    TrainedAutoencoder,
    build_model,
    shape_settings,
    whole_cutouts,
    window_side,
    windows,
)
from astromodal.tokenizers.images.brightness import brightness_values, fit_brightness
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.pixels import source_places
from astromodal.tokenizers.images.shards import CutoutStore
from astromodal.tokenizers.images.tokenizer import ImageCodebook
from astromodal.tokenizers.quantizers.kmeans import fit_quantizer

LATENT_NOISE = 0.02
"""Sigma of the noise on raw latents, a tenth of their spread after training."""

LATENT_PENALTY = 1e-3
"""Weight of the mean square of latents. Without it they would grow until noise is negligible."""

OUTSIDE_WEIGHT = 0.1
"""Weight of a pixel outside the mask; a cutout has some fifty times more of those."""

BRIGHT_POWER = 0.25
"""Exponent of a bright pixel's weight, flux to this power. An error of the arcsinh is relative to
the flux, and the noise of bright pixels is smaller than that. Weights by inverse variance (a power
of 1) would train the network on the brightest stars alone."""

_WARM_UP = 0.03  # fraction of the steps


@dataclass(frozen=True)
class Epoch:
    """The result of a pass over the training cutouts.

    Attributes
    ----------
    number : int
        Number of the pass, from 0.
    loss : float
        Mean loss over its steps.
    windows_per_second : float
        Windows of cutouts per second.
    flops_per_second : float
        Floating-point operations of the convolutions per second, forward and backward.
    """

    number: int
    loss: float
    windows_per_second: float
    flops_per_second: float


def train_autoencoder(
    store: CutoutStore,
    normaliser: ImageNormaliser,
    settings: ImageSettings,
    device: torch.device,
    progress: Progress = quiet,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[TrainedAutoencoder, TrainingLatents]:
    """Train the autoencoder, and sample latents for the codebook.

    Parameters
    ----------
    store : CutoutStore
        Training cutouts. Without any, the network keeps its initial weights, and there are no
        latents.
    normaliser : ImageNormaliser
        The normaliser of the cutouts.
    settings : ImageSettings
        Shape of the network and settings of its training.
    device : torch.device
        Device of the training; bfloat16 is used on a GPU only.
    progress : callable
        Shows the epochs.
    report : callable
        Called with each epoch at its end.

    Returns
    -------
    autoencoder : TrainedAutoencoder
        On the CPU. The same seed, device and number of threads give the same weights.
    latents : TrainingLatents
        The sample that the codebook is fitted on.
    """
    plain = shape_settings(settings)
    model = build_model(plain, settings.seed)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    history = []
    for epoch in _fit(model, store, settings, device, progress) if len(store) else ():
        report(epoch)
        history.append({"epoch": epoch.number, "loss": epoch.loss})
    sample = sample_latents(model, store, normaliser, settings.seed, device)
    model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    trained = TrainedAutoencoder(model.eval(), normaliser, plain, len(store), tuple(history))
    return trained, TrainingLatents(*sample, trained.hash)


def reconstruction_error(
    decoded: torch.Tensor, x: torch.Tensor, valid: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """Return the weighted mean squared error over valid pixels.

    Parameters
    ----------
    decoded, x : float (B, C, S, S)
        Normalised pixels, as decoded and as measured.
    valid : bool (B, C, S, S)
        Pixels that were measured; the others have no weight.
    inside : bool (B, S, S)
        Pixels of the mask, of weight 1. The others have the weight `OUTSIDE_WEIGHT`, so that sky
        and neighbours of the source are decoded too. A squared error is further multiplied by
        exp(`BRIGHT_POWER` |x|).

    Returns
    -------
    float, scalar
        0 where no pixel is valid.
    """
    weight = torch.where(inside, 1.0, OUTSIDE_WEIGHT)[:, None] * valid
    squared = (decoded.float() - x).square() * (BRIGHT_POWER * x.abs()).exp()
    return (squared * weight).sum() / weight.sum().clamp(min=1.0)


class _Trainer:
    """The network with its optimiser and learning-rate schedule."""

    def __init__(self, model: ImageAutoencoder, settings: ImageSettings, n_steps: int) -> None:
        self.model, self.dropout = model, settings.band_dropout
        self.noises = torch.Generator().manual_seed(settings.seed)
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=1e-4,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: _rate(step, n_steps)
        )

    def step(self, batch: Batch) -> torch.Tensor:
        """Take a step, and return its loss."""
        x, valid, inside = batch
        device = x.device
        shown = valid & _shown(valid.shape[:2], self.dropout, self.noises).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            decoded, raw = self.model(x, shown, _noise(self.model, x, self.noises))
        penalty = LATENT_PENALTY * raw.float().square().mean()
        loss = reconstruction_error(decoded, x, valid, inside) + penalty
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()


def _fit(
    model: ImageAutoencoder,
    store: CutoutStore,
    settings: ImageSettings,
    device: torch.device,
    progress: Progress,
) -> Iterator[Epoch]:
    """Train the model in place, and yield the result of each epoch."""
    per_epoch = math.ceil(len(store) / settings.batch_size)
    trainer = _Trainer(model, settings, settings.epochs * per_epoch)
    numbers = np.random.default_rng(abs(settings.seed))
    sampled = windows(store, settings.epochs, settings.batch_size, numbers)
    batches = ahead((batch.to(device) for batch in sampled), depth=4)
    flops = 3 * model.flops(window_side(store.size))  # a backward pass costs two forward ones
    for number in progress(range(settings.epochs), settings.epochs, "epochs of the autoencoder"):
        start = time.perf_counter()
        losses = [trainer.step(batch) for batch in itertools.islice(batches, per_epoch)]
        loss = float(torch.stack(losses).mean())  # waits for the GPU, too
        speed = len(store) / (time.perf_counter() - start)
        yield Epoch(number, loss, speed, speed * flops)


def _rate(step: int, n_steps: int) -> float:
    """Return the learning rate over its peak: a short warm-up, then half a cosine down to 0."""
    warm_up = max(1, round(_WARM_UP * n_steps))
    done = max(0.0, step - warm_up) / max(1, n_steps - warm_up)
    return min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def _shown(shape: torch.Size, dropout: float, generator: torch.Generator) -> torch.Tensor:
    """Return which bands of each cutout are input to the encoder, bool (B, C, 1, 1)."""
    return (torch.rand(shape, generator=generator) >= dropout)[:, :, None, None]


def _noise(model: ImageAutoencoder, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    grid = x.shape[-1] // PATCH
    shape = (len(x), model.latent_dim, grid, grid)
    # Sampled on the CPU: the same numbers on any device.
    return LATENT_NOISE * torch.randn(shape, generator=generator).to(x.device)


_FORMAT: dict[str, Any] = {"format": "image_training_latents", "version": 3}

INSIDE_SHARE = 0.75
"""Fraction of the points that lie on patches of the mask of a source."""

_MAX_POINTS = 1_000_000
_BATCH = 32


@dataclass(frozen=True)
class TrainingLatents:
    """A sample of standardised latents, and the brightness of the cutouts.

    Attributes
    ----------
    points : float32 (N, L)
        Latents; (0, L) where there is no training cutout.
    inside : bool (N,)
        Whether the patch of a point overlaps the mask of its source.
    brightness : float32 (m, 2 + 3 B)
        Values of `brightness_values` of all cutouts, as they are and brightened.
    autoencoder_hash : str
        Hash of the autoencoder.
    """

    points: np.ndarray
    inside: np.ndarray
    brightness: np.ndarray
    autoencoder_hash: str

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {"points": self.points, "inside": self.inside, "brightness": self.brightness}
        save_arrays(path, arrays, **_FORMAT, autoencoder_hash=self.autoencoder_hash)

    @classmethod
    def load(cls, path: str | Path) -> TrainingLatents:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_FORMAT)
        points, inside, brightness = (stored[n] for n in ("points", "inside", "brightness"))
        return cls(points, inside, brightness, stored.attributes["autoencoder_hash"])


def sample_latents(
    model: ImageAutoencoder,
    store: CutoutStore,
    normaliser: ImageNormaliser,
    seed: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Set the model's latent statistics, and sample what the codes are fitted to.

    Most points of a cutout are sampled, with replacement, from the patches of its source's mask,
    the others from the remaining patches. In a uniform sample the sky, 97 % of the patches, would
    take most of the codes, and quantization would cost the sources three times as much of their
    variance. Half of the sample is from the cutouts as they are. In the other half all bright
    sources are brightened as in training, so that codes reach beyond the brightest of them.

    Parameters
    ----------
    model : ImageAutoencoder
        Trained, on `device`; its statistics are set in place.
    store : CutoutStore
        Training cutouts.
    normaliser : ImageNormaliser
        The normaliser of the cutouts.
    seed : int
        Seed of the sample.
    device : torch.device
        Device of the model.

    Returns
    -------
    points : float32 (N, L)
        At most a million; (0, L) without cutouts.
    inside : bool (N,)
        Whether the patch of a point overlaps the mask.
    brightness : float32 (m, 2 + 3 B)
        Place and brightness of every cutout, as it is and brightened.
    """
    n_dim = model.latent_dim
    if not len(store):
        none = np.empty((0, 2 + 3 * len(normaliser.bands)), np.float32)
        return np.empty((0, n_dim), np.float32), np.empty(0, bool), none
    generator = np.random.default_rng(abs(seed))
    total, squares, count = np.zeros(n_dim), np.zeros(n_dim), 0
    points, sides, values = [], [], []
    share = max(2, min((store.size // PATCH) ** 2, _MAX_POINTS // len(store)) // 2)
    own = generator.spawn(1)[0]
    passes = [whole_cutouts(store, _BATCH, own, probability) for probability in (0.0, 1.0)]
    for batch in ahead(itertools.chain(*passes)):
        pixels, known = normaliser.inverse(batch.x.numpy()), batch.valid.numpy()
        places = source_places(pixels, known, normaliser.sky)
        values.append(brightness_values(pixels, known, places, normaliser.sky))
        x, valid, _ = batch.to(device)
        with torch.inference_mode():
            raw = model.raw_latents(x, valid)
        latents = raw.permute(0, 2, 3, 1).flatten(1, 2).cpu().numpy()  # (m, G², L)
        total += latents.sum((0, 1), dtype=np.float64)
        squares += np.square(latents, dtype=np.float64).sum((0, 1))
        count += latents.shape[0] * latents.shape[1]
        for latent, within in zip(latents, _patches_inside(batch.inside.numpy()), strict=True):
            chosen = _sample_patches(within, share, generator)
            points.append(latent[chosen])
            sides.append(within[chosen])
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std[std == 0] = 1.0  # a constant channel
    mean, std = mean.astype(np.float32), std.astype(np.float32)
    model.set_statistics(torch.from_numpy(mean), torch.from_numpy(std))
    brightness = np.concatenate(values).astype(np.float32)
    return (np.concatenate(points) - mean) / std, np.concatenate(sides), brightness


def train_image_codebook(
    latents: TrainingLatents,
    settings: ImageSettings,
    n_bins: int,
    progress: Progress = quiet,
    threads: int = 1,
) -> ImageCodebook:
    """Fit the quantizer of ``tokenizers.image.quantizer`` and the bins of place and brightness.

    Parameters
    ----------
    latents : TrainingLatents
        Latents and brightness of the training cutouts.
    settings : ImageSettings
        Bands, and settings of the quantizer.
    n_bins : int
        Bins of a column, ``tokenizers.scalar.n_bins``.
    progress : callable
        Shows the passes.
    threads : int
        Threads; they change no result.
    """
    quantizer = fit_quantizer(
        settings.quantizer,
        "tokenizers.image.quantizer",
        latents.points,
        settings.codebook_size,
        settings.iterations,
        settings.seed,
        progress,
        threads,
    )
    bins = fit_brightness(latents.brightness, settings.brightness_columns, n_bins)
    return ImageCodebook(quantizer, settings.codebook_size, latents.autoencoder_hash, bins)


def _patches_inside(mask: np.ndarray) -> np.ndarray:
    """Return which patches overlap the mask (m, S, S), bool (m, G²)."""
    m, size, _ = mask.shape
    grid = size // PATCH
    return mask.reshape(m, grid, PATCH, grid, PATCH).any((2, 4)).reshape(m, grid**2)


def _sample_patches(within: np.ndarray, share: int, generator: np.random.Generator) -> np.ndarray:
    """Return a sample of `share` patches, int (share,), most of them `within` the mask."""
    near, far = np.flatnonzero(within), np.flatnonzero(~within)
    n_near = share if not far.size else round(INSIDE_SHARE * share) if near.size else 0
    return np.concatenate(
        [
            part[generator.integers(len(part), size=n)] if n else part[:0]
            for part, n in ((near, n_near), (far, share - n_near))
        ]
    )
