"""Training of the image autoencoder.

The squared error is taken in the units of the normaliser's arcsinh: of the sky's noise where a
source is faint, of its own flux where it is bright. Noise on the latents stands for the rounding
that the codebook will add, so that the decoder learns to bear it.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from astromodal.config.schema import ImageSettings
from astromodal.core.prefetch import ahead
from astromodal.core.progress import Progress, quiet
from astromodal.models.autoencoder import PATCH, ImageAutoencoder
from astromodal.tokenizers.image_autoencoder import (
    TrainedAutoencoder,
    build_model,
    shape_settings,
)
from astromodal.tokenizers.normaliser import ImageNormaliser
from astromodal.training.cutout_batches import Batch, window_side, windows
from astromodal.training.cutout_store import CutoutStore
from astromodal.training.image_latents import TrainingLatents, sample_latents

LATENT_NOISE = 0.02
"""Sigma of the noise on raw latents, a tenth of what they come to vary by."""

LATENT_PENALTY = 1e-3
"""Weight of the latents' mean square. Without it they would grow until the noise is nothing."""

OUTSIDE_WEIGHT = 0.1
"""Weight of a pixel outside the mask: a cutout has some fifty times more of those."""

BRIGHT_POWER = 0.25
"""Power of a pixel's flux that its weight grows by. An error of the arcsinh is a relative one of a
bright pixel, whose noise is far smaller; weights of the inverse variance (a power of 1) would teach
the network nothing but the brightest stars."""

_WARM_UP = 0.03  # fraction of the steps


@dataclass(frozen=True)
class Epoch:
    """How a pass over the training cutouts went.

    Attributes
    ----------
    number : int
        From 0.
    loss : float
        Mean over its steps.
    windows_per_second : float
        Windows of cutouts trained on.
    flops_per_second : float
        Floating-point operations of the convolutions, forward and backward.
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
    """Fit the autoencoder, and sample latents for the codebook.

    Parameters
    ----------
    store : CutoutStore
        Training cutouts. Without any the network stays as it was initialised, and there are no
        latents.
    normaliser : ImageNormaliser
        The one that they went through.
    settings : ImageSettings
        Shape of the network, epochs, seed and the rest.
    device : torch.device
        Where to train; bfloat16 is used on a GPU only.
    progress : callable
        Shows the epochs.
    report : callable
        Told of every epoch at its end.

    Returns
    -------
    autoencoder : TrainedAutoencoder
        On the CPU. The same seed, device and number of threads give the same one.
    latents : TrainingLatents
        What the codebook is fitted on.
    """
    plain = shape_settings(settings)
    model = build_model(plain, settings.seed)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    history = []
    for epoch in _fit(model, store, settings, device, progress) if len(store) else ():
        report(epoch)
        history.append({"epoch": epoch.number, "loss": epoch.loss})
    points, inside = sample_latents(model, store, settings.seed, device)
    model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    trained = TrainedAutoencoder(model.eval(), normaliser, plain, len(store), tuple(history))
    return trained, TrainingLatents(points, inside, trained.hash)


def reconstruction_error(
    decoded: torch.Tensor, x: torch.Tensor, valid: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """Weighted mean squared error over valid pixels.

    Parameters
    ----------
    decoded, x : float (B, C, S, S)
        Normalised pixels, as decoded and as measured.
    valid : bool (B, C, S, S)
        Pixels that were measured; the others count for nothing.
    inside : bool (B, S, S)
        Pixels of the mask, which weigh 1; those outside weigh `OUTSIDE_WEIGHT`, so that the sky
        and the neighbours of the source are decoded to something sane. A bright pixel's squared
        error counts exp(`BRIGHT_POWER` |x|) times.

    Returns
    -------
    float, scalar
        0 where no pixel is valid.
    """
    weight = torch.where(inside, 1.0, OUTSIDE_WEIGHT)[:, None] * valid
    squared = (decoded.float() - x).square() * (BRIGHT_POWER * x.abs()).exp()
    return (squared * weight).sum() / weight.sum().clamp(min=1.0)


class _Trainer:
    """The network, its optimiser and its schedule."""

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
        """Take a step; return its loss."""
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
    """Train in place."""
    per_epoch = math.ceil(len(store) / settings.batch_size)
    trainer = _Trainer(model, settings, settings.epochs * per_epoch)
    numbers = np.random.default_rng(abs(settings.seed))
    drawn = windows(store, settings.epochs, settings.batch_size, numbers)
    batches = ahead((batch.to(device) for batch in drawn), depth=4)
    flops = 3 * model.flops(window_side(store.size))  # a backward pass costs two forward ones
    for number in progress(range(settings.epochs), settings.epochs, "epochs of the autoencoder"):
        start = time.perf_counter()
        losses = [trainer.step(batch) for batch in itertools.islice(batches, per_epoch)]
        loss = float(torch.stack(losses).mean())  # waits for the GPU, too
        speed = len(store) / (time.perf_counter() - start)
        yield Epoch(number, loss, speed, speed * flops)


def _rate(step: int, n_steps: int) -> float:
    """Fraction of the peak learning rate: a short warm-up, then half a cosine down to 0."""
    warm_up = max(1, round(_WARM_UP * n_steps))
    done = max(0.0, step - warm_up) / max(1, n_steps - warm_up)
    return min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def _shown(shape: torch.Size, dropout: float, generator: torch.Generator) -> torch.Tensor:
    """Which bands of which cutouts the encoder may see, bool (B, C, 1, 1)."""
    return (torch.rand(shape, generator=generator) >= dropout)[:, :, None, None]


def _noise(model: ImageAutoencoder, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    grid = x.shape[-1] // PATCH
    shape = (len(x), model.latent_dim, grid, grid)
    # Drawn on the CPU: the same numbers whatever the device.
    return LATENT_NOISE * torch.randn(shape, generator=generator).to(x.device)
