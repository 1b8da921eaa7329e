"""The autoencoder of image cutouts: 4 × 4 pixels of all bands become a few latents, and back.

Shapes in comments: B batch, C bands, S side (pixel), G = S / 4 side of the latent grid, H hidden
channels, L latent channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

PATCH = 4
"""Side of the patch of pixels that one latent vector stands for."""


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions beside an identity; it starts as the identity.

    There is no normalisation over pixels: it would divide out how bright a cutout is.
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

    Pixels move into channels first, so that every convolution runs on the coarse grid, where it
    costs a sixteenth. Latents see, and are seen by, their neighbourhood: where a star's centre
    lies inside a patch, and what colour it has, is spread over the patches around it.

    Raw latents are not bounded, since a bound flattens the brightest stars; what keeps them small
    is the training. `encode` gives them standardised by the mean and the standard deviation of the
    training latents (`set_statistics`).

    Parameters
    ----------
    n_bands : int
        Bands of a cutout.
    latent_dim : int
        Latent channels.
    hidden : int
        Channels inside.
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
        # Beside each patch's pixels the encoder sees which fraction of them a band is missing.
        self.enter = nn.Conv2d(pixels + n_bands, hidden, 1)
        self.encoder = nn.Sequential(*(ResidualBlock(hidden) for _ in range(blocks)))
        self.squeeze = nn.Conv2d(hidden, latent_dim, 1)
        self.shortcut = nn.Conv2d(pixels + n_bands, latent_dim, 1)
        self.widen = nn.Conv2d(latent_dim, hidden, 5, padding=2)
        self.decoder = nn.Sequential(*(ResidualBlock(hidden) for _ in range(blocks)))
        self.leave = nn.Conv2d(hidden, pixels, 1)
        nn.init.zeros_(self.squeeze.weight)  # starts as the linear code of `shortcut`
        self.register_buffer("latent_mean", torch.zeros(latent_dim))
        self.register_buffer("latent_std", torch.ones(latent_dim))

    def set_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Set the mean and the standard deviation, (L,) each, that latents are standardised by."""
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std)

    def encoder_flops(self, size: int) -> int:
        """Floating-point operations of the encoder's convolutions on one cutout of side `size`.

        Two for each weight at each place of the coarse grid; biases, activations and sums are not
        counted.
        """
        return _flops([self.enter, self.encoder, self.squeeze, self.shortcut], size)

    def flops(self, size: int) -> int:
        """The same of encoder and decoder; training costs three times as many."""
        return _flops([self], size)

    def patches(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """What the encoder sees, (B, 17 C, G, G); arguments as in `encode`.

        Of each patch its pixels, band by band and row by row, and then the fraction of them that
        is not valid in each band.
        """
        known = valid.to(x.dtype)
        pixels = functional.pixel_unshuffle(x * known, PATCH)  # (B, 16 C, G, G)
        missing = 1 - functional.avg_pool2d(known, PATCH)  # (B, C, G, G)
        return torch.cat([pixels, missing], dim=1)

    def raw_latents(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Latents before they are standardised, (B, L, G, G); arguments as in `encode`."""
        return self.raw_of(self.patches(x, valid))

    def raw_of(self, seen: torch.Tensor) -> torch.Tensor:
        """Latents before they are standardised, (B, L, G, G), of `patches`."""
        deep = functional.gelu(self.encoder(self.enter(seen)))
        latents: torch.Tensor = self.squeeze(deep) + self.shortcut(seen)
        return latents

    def pixels_of(self, raw: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (B, C, S, S) of raw latents (B, L, G, G)."""
        deep = functional.gelu(self.decoder(self.widen(raw)))
        return functional.pixel_shuffle(self.leave(deep), PATCH)

    def encode(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Standardised latents.

        Parameters
        ----------
        x : float (B, C, S, S)
            Normalised pixels, finite; they count as 0 where they are not valid.
        valid : bool (B, C, S, S)
            Pixels that were measured.

        Returns
        -------
        float (B, L, G, G)
            Of mean 0 and standard deviation 1 a channel over the training cutouts.
        """
        return self.encode_patches(self.patches(x, valid))

    def encode_patches(self, seen: torch.Tensor) -> torch.Tensor:
        """Standardised latents, (B, L, G, G), of `patches`."""
        raw = self.raw_of(seen)
        return (raw - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (B, C, S, S) of standardised latents (B, L, G, G)."""
        return self.pixels_of(
            latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        )

    def forward(
        self, x: torch.Tensor, valid: torch.Tensor, noise: torch.Tensor | float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode what `encode` would keep of `x`, with `noise` (B, L, G, G) on the raw latents.

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
