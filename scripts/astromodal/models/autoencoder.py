"""The autoencoder of image cutouts: 4 × 4 pixels of all bands to a few latents, and back.

Shapes in comments: B batch, C bands, S side (pixel), G = S / 4 side of the latent grid, H hidden
channels, L latent channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

PATCH = 4
"""Side (pixel) of the patch that one latent vector stands for."""


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with a skip connection, initialised as the identity.

    There is no normalisation over pixels: it would remove the brightness of a cutout.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, hidden, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, G, G) to (B, H, G, G)."""
        inner: torch.Tensor = self.second(functional.gelu(self.first(functional.gelu(x))))
        return x + inner


class ImageAutoencoder(nn.Module):
    """Normalised cutouts to latents on a 4 times coarser grid, and back.

    Pixels are moved into channels first, so that all convolutions run on the coarse grid, at a
    sixteenth of the cost. Convolutions connect a latent with its neighbourhood, since a star covers
    several patches.

    Raw latents are not bounded, as a bound would saturate the brightest stars; a penalty in
    training keeps them small. `encode` returns latents standardised by the mean and the standard
    deviation of the training latents (`set_statistics`).

    Parameters
    ----------
    n_bands : int
        Bands of a cutout.
    latent_dim : int
        Latent channels.
    hidden : int
        Hidden channels.
    blocks : int
        Residual blocks in the encoder, and in the decoder.
    """

    latent_mean: torch.Tensor
    latent_std: torch.Tensor

    def __init__(
        self, n_bands: int, latent_dim: int = 2, hidden: int = 64, blocks: int = 2
    ) -> None:
        super().__init__()
        pixels = n_bands * PATCH**2
        self.n_bands, self.latent_dim = n_bands, latent_dim
        # The input of a patch is its pixels, and the fraction of missing pixels in each band.
        self.enter = nn.Conv2d(pixels + n_bands, hidden, 1)
        self.encoder = nn.Sequential(*(ResidualBlock(hidden) for _ in range(blocks)))
        self.squeeze = nn.Conv2d(hidden, latent_dim, 1)
        self.shortcut = nn.Conv2d(pixels + n_bands, latent_dim, 1)
        self.widen = nn.Conv2d(latent_dim, hidden, 5, padding=2)
        self.decoder = nn.Sequential(*(ResidualBlock(hidden) for _ in range(blocks)))
        self.leave = nn.Conv2d(hidden, pixels, 1)
        nn.init.zeros_(self.squeeze.weight)  # the initial encoder is the linear `shortcut`
        self.register_buffer("latent_mean", torch.zeros(latent_dim))
        self.register_buffer("latent_std", torch.ones(latent_dim))

    def set_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Set the mean and the standard deviation, (L,) each, that latents are standardised by."""
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std)

    def encoder_flops(self, size: int) -> int:
        """Return the floating-point operations of the encoder on one cutout of side `size`.

        Two per weight of a convolution and place of the coarse grid; biases, activations and sums
        are not counted.
        """
        return _flops([self.enter, self.encoder, self.squeeze, self.shortcut], size)

    def flops(self, size: int) -> int:
        """Return those of encoder and decoder; training costs three times as many."""
        return _flops([self], size)

    def patches(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Return the encoder's input, (B, 17 C, G, G); arguments as in `encode`.

        For each patch its pixels, band by band and row by row, and then the fraction of them that
        is not valid in each band.
        """
        known = valid.to(x.dtype)
        pixels = functional.pixel_unshuffle(x * known, PATCH)  # (B, 16 C, G, G)
        missing = 1 - functional.avg_pool2d(known, PATCH)  # (B, C, G, G)
        return torch.cat([pixels, missing], dim=1)

    def raw_latents(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Return latents before standardisation, (B, L, G, G); arguments as in `encode`."""
        return self.raw_of(self.patches(x, valid))

    def raw_of(self, seen: torch.Tensor) -> torch.Tensor:
        """Return latents before standardisation, (B, L, G, G), of the result of `patches`."""
        deep = functional.gelu(self.encoder(self.enter(seen)))
        latents: torch.Tensor = self.squeeze(deep) + self.shortcut(seen)
        return latents

    def pixels_of(self, raw: torch.Tensor) -> torch.Tensor:
        """Return normalised pixels (B, C, S, S) of raw latents (B, L, G, G)."""
        deep = functional.gelu(self.decoder(self.widen(raw)))
        return functional.pixel_shuffle(self.leave(deep), PATCH)

    def encode(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Return standardised latents.

        Parameters
        ----------
        x : float (B, C, S, S)
            Normalised pixels, finite; taken as 0 where not valid.
        valid : bool (B, C, S, S)
            Pixels that were measured.

        Returns
        -------
        float (B, L, G, G)
            Of mean 0 and standard deviation 1 per channel over the training cutouts.
        """
        return self.encode_patches(self.patches(x, valid))

    def encode_patches(self, seen: torch.Tensor) -> torch.Tensor:
        """Return standardised latents, (B, L, G, G), of the result of `patches`."""
        raw = self.raw_of(seen)
        return (raw - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return normalised pixels (B, C, S, S) of standardised latents (B, L, G, G)."""
        return self.pixels_of(
            latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        )

    def forward(
        self, x: torch.Tensor, valid: torch.Tensor, noise: torch.Tensor | float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode and decode `x`, with `noise` (B, L, G, G) added to the raw latents.

        Returns
        -------
        decoded : float (B, C, S, S)
            Normalised pixels.
        raw : float (B, L, G, G)
            Raw latents, without the noise.
        """
        raw = self.raw_latents(x, valid)
        return self.pixels_of(raw + noise), raw


def _flops(parts: Sequence[nn.Module], size: int) -> int:
    layers = [m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d)]
    return 2 * sum(layer.weight.numel() for layer in layers) * (size // PATCH) ** 2
