"""Training of the image autoencoder.

The squared error is taken in the units of the normaliser's arcsinh: of the sky's noise where a
source is faint, of its own flux where it is bright. Noise on the latents stands for the rounding
that the codebook will add, so that the decoder learns to bear it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from astromodal.config.schema import ImageSettings
from astromodal.core.progress import Progress, quiet
from astromodal.models.autoencoder import PATCH, ImageAutoencoder
from astromodal.tokenizers.image_autoencoder import (
    TrainedAutoencoder,
    build_model,
    shape_settings,
)
from astromodal.training.cutout_store import (
    CutoutStore,
    TrainingField,
    draw_cutouts,
    fit_normaliser,
)
from astromodal.training.image_latents import TrainingLatents, sample_latents

LATENT_NOISE = 0.02
"""Sigma of the noise on raw latents, a tenth of what they come to vary by."""

LATENT_PENALTY = 1e-3
"""Weight of the latents' mean square. Without it they would grow until the noise is nothing."""

OUTSIDE_WEIGHT = 0.1
"""Weight of a pixel outside the mask: a cutout has some fifty times more of those."""

_WARM_UP = 0.03  # fraction of the steps
_SMALLEST_WINDOW = 24  # pixel
_NEAR = 2  # patches that a window's middle may lie off the source's
_ANYWHERE = 0.1  # chance of a window anywhere in the cutout


def train_autoencoder(
    fields: Sequence[TrainingField],
    settings: ImageSettings,
    device: torch.device,
    progress: Progress = quiet,
) -> tuple[TrainedAutoencoder, TrainingLatents]:
    """Fit the normaliser and the autoencoder, and sample latents for the codebook.

    Parameters
    ----------
    fields : sequence of TrainingField
        Cubes of the training fields, and the rows that may be fitted on. Without any whole cutout
        among them the network stays as it was initialised, and there are no latents.
    settings : ImageSettings
        Shape of the network, number of cutouts, epochs, seed and the rest.
    device : torch.device
        Where to train; bfloat16 is used on a GPU only.
    progress : callable
        Shows the fields and the epochs.

    Returns
    -------
    autoencoder : TrainedAutoencoder
        On the CPU. The same seed, device and number of threads give the same one.
    latents : TrainingLatents
        What the codebook is fitted on.
    """
    normaliser = fit_normaliser(fields, settings)
    model = build_model(shape_settings(settings), settings.seed)
    with tempfile.TemporaryDirectory(prefix="astromodal_cutouts_") as folder:
        store = draw_cutouts(fields, settings, normaliser, folder, progress)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        history = tuple(_fit(model, store, settings, device, progress))
        points, inside = sample_latents(model, store, settings.seed, device)
        n_train = len(store)
        del store  # unmaps the file before its folder goes
    model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    plain = shape_settings(settings)
    trained = TrainedAutoencoder(model.eval(), normaliser, plain, n_train, history)
    return trained, TrainingLatents(points, inside, trained.hash)


def reconstruction_error(
    decoded: torch.Tensor, x: torch.Tensor, valid: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """Mean squared error over valid pixels.

    Parameters
    ----------
    decoded, x : float (B, C, S, S)
        Normalised pixels, as decoded and as measured.
    valid : bool (B, C, S, S)
        Pixels that were measured; the others count for nothing.
    inside : bool (B, S, S)
        Pixels of the mask, which weigh 1; those outside weigh `OUTSIDE_WEIGHT`, so that the sky
        and the neighbours of the source are decoded to something sane.

    Returns
    -------
    float, scalar
        0 where no pixel is valid.
    """
    weight = torch.where(inside, 1.0, OUTSIDE_WEIGHT)[:, None] * valid
    squared = (decoded.float() - x) ** 2
    return (squared * weight).sum() / weight.sum().clamp(min=1.0)


def _fit(
    model: ImageAutoencoder,
    store: CutoutStore,
    settings: ImageSettings,
    device: torch.device,
    progress: Progress,
) -> Iterator[dict[str, float]]:
    """Train in place; yield each epoch's number and mean loss."""
    if not len(store):
        return
    numbers = np.random.default_rng(abs(settings.seed))
    noises = torch.Generator().manual_seed(settings.seed)
    n_steps = settings.epochs * math.ceil(len(store) / settings.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, n_steps))
    for epoch in progress(range(settings.epochs), settings.epochs, "epochs of the autoencoder"):
        losses = []
        order = numbers.permutation(len(store))
        for start in range(0, len(order), settings.batch_size):
            chosen = np.sort(order[start : start + settings.batch_size])
            window = store.window(chosen, *_window(store.x.shape[-1], numbers))
            x, valid, inside = (torch.from_numpy(part).to(device) for part in window)
            shown = valid & _shown(valid.shape[:2], settings.band_dropout, noises).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                decoded, raw = model(x, shown, _noise(model, x, noises))
            penalty = LATENT_PENALTY * raw.float().square().mean()
            loss = reconstruction_error(decoded, x, valid, inside) + penalty
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        yield {"epoch": epoch, "loss": float(torch.stack(losses).mean())}


def _rate(step: int, n_steps: int) -> float:
    """Fraction of the peak learning rate: a short warm-up, then half a cosine down to 0."""
    warm_up = max(1, round(_WARM_UP * n_steps))
    done = max(0.0, step - warm_up) / max(1, n_steps - warm_up)
    return min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def _window(size: int, numbers: np.random.Generator) -> tuple[int, int, int]:
    """Top, left and side of a window of a third of the cutout's side, on the grid of patches.

    A window has a ninth of the pixels, hence of the work; for the same time a network that sees
    nine times as many sources explains far more of them. Most windows are about the source, which
    is what counts; some lie anywhere, so that neighbours and borders are learned too.
    """
    n_patches = size // PATCH
    side = min(n_patches, max(_SMALLEST_WINDOW // PATCH, n_patches // 3))
    room = n_patches - side
    near = min(_NEAR, room // 2)
    low, high = (0, room) if numbers.random() < _ANYWHERE else (room // 2 - near, room // 2 + near)
    top, left = numbers.integers(low, high + 1, 2).tolist()
    return top * PATCH, left * PATCH, side * PATCH


def _shown(shape: torch.Size, dropout: float, generator: torch.Generator) -> torch.Tensor:
    """Which bands of which cutouts the encoder may see, bool (B, C, 1, 1)."""
    return (torch.rand(shape, generator=generator) >= dropout)[:, :, None, None]


def _noise(model: ImageAutoencoder, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    grid = x.shape[-1] // PATCH
    shape = (len(x), model.latent_dim, grid, grid)
    # Drawn on the CPU: the same numbers whatever the device.
    return LATENT_NOISE * torch.randn(shape, generator=generator).to(x.device)
