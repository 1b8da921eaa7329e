"""The fixed, invertible arcsinh per band between counts/s and the autoencoder's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.core.loops import share
from astromodal.data.cube import Cube
from astromodal.data.cutouts import read_cutouts
from astromodal.errors import DataError, FormatError, must_be
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.formats import check_content, remake
from astromodal.storage.hashing import hash_arrays
from astromodal.tokenizers.images.pixels import arcsinh, arcsinh_patches, sinh

_FORMAT: dict[str, Any] = {"format": "image_normaliser", "version": 1}
_REMAKE = remake(_FORMAT["format"])

SOFTENING = 8.0
"""Sigmas of the sky at which the arcsinh turns from linear to logarithmic. Noise lies in the linear
part, so that the mean that the autoencoder learns is a mean in counts/s."""

_MAD_TO_SIGMA = 1.4826  # of a normal distribution
LARGEST = 60.0
"""Largest normalised pixel that is inverted: its sinh, 6e25, is brighter than any star, and still a
float32."""


@dataclass(frozen=True)
class ImageNormaliser:
    """Maps counts/s to arcsinh(counts/s / softening), with one softening per band.

    It is fitted once. No cutout is scaled by its own brightness: absolute fluxes and colours are
    preserved.

    Attributes
    ----------
    bands : tuple of str
        Bands in channel order.
    softening : float64 (B,)
        counts/s of a pixel at which the arcsinh bends.
    """

    bands: tuple[str, ...]
    softening: np.ndarray

    @classmethod
    def fit(cls, bands: tuple[str, ...], sky: np.ndarray) -> ImageNormaliser:
        """Fit the softenings to the noise of the sky in training cutouts.

        Parameters
        ----------
        bands : tuple of str
            Bands in channel order.
        sky : float (n, B)
            Sigma of the sky in each cutout (counts/s), the result of `sky_sigma`; NaN in bands that
            a cutout lacks. A band that all cutouts lack gets the median of the others. Without any
            cutout the sigma is 1.
        """
        sigma = np.full(len(bands), np.nan)
        for channel in range(len(bands)):
            known = sky[np.isfinite(sky[:, channel]) & (sky[:, channel] > 0), channel]
            sigma[channel] = np.median(known) if known.size else np.nan
        missing = np.isnan(sigma)
        sigma[missing] = 1.0 if missing.all() else np.median(sigma[~missing])
        return cls(bands, SOFTENING * sigma)

    def forward(self, pixels: np.ndarray, valid: np.ndarray, threads: int = 1) -> np.ndarray:
        """Normalise cutouts.

        Parameters
        ----------
        pixels : float (m, B, S, S)
            counts/s; anything where `valid` is False.
        valid : bool (m, B, S, S)
            Pixels that were measured.
        threads : int
            Threads that share the cutouts; they change no result.

        Returns
        -------
        float32 (m, B, S, S)
            0 where not valid; within 1e-6 of the exact arcsinh up to 1e19 softenings.
        """
        self._check(pixels)
        flat = _flat(pixels, np.float32)
        known = _flat(np.broadcast_to(valid, pixels.shape), np.bool_)
        factor, out = (1 / self.softening).astype(np.float32), np.empty_like(flat)
        share(threads, len(flat), lambda s: arcsinh(flat[s], known[s], factor, out[s]))
        return out.reshape(pixels.shape)

    def patches(
        self, pixels: np.ndarray, valid: np.ndarray, side: int, threads: int = 1
    ) -> np.ndarray:
        """Normalise cutouts and divide them into patches, in one pass.

        Parameters
        ----------
        pixels, valid, threads
            As in `forward`.
        side : int
            Side of a patch (pixel), which divides that of a cutout.

        Returns
        -------
        float32 (m, S / side, S / side, B × side² + B)
            For each patch its normalised pixels, band by band and row by row, and then the fraction
            of them that is not valid in each band.
        """
        self._check(pixels)
        given = np.ascontiguousarray(pixels, dtype=np.float32)
        known = np.ascontiguousarray(np.broadcast_to(valid, pixels.shape), dtype=np.bool_)
        factor, grid = (1 / self.softening).astype(np.float32), pixels.shape[-1] // side
        n_channels = len(self.bands) * (side**2 + 1)
        out = np.empty((len(given), grid, grid, n_channels), np.float32)
        share(
            threads,
            len(given),
            lambda s: arcsinh_patches(given[s], known[s], factor, side, out[s]),
        )
        return out

    def inverse(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return pixels in counts/s, float32 (m, B, S, S), of normalised pixels `x`."""
        self._check(x)
        flat = _flat(x, np.float32)
        out = np.empty_like(flat)
        share(
            threads,
            len(flat),
            lambda s: sinh(flat[s], self.softening, LARGEST, out[s]),
        )
        return out.reshape(x.shape)

    @property
    def sky(self) -> np.ndarray:
        """Sigma of the sky in a pixel of each band (counts/s), float64 (B,)."""
        return self.softening / SOFTENING

    @cached_property
    def hash(self) -> str:
        """Hash of the bands and their softenings."""
        return hash_arrays(self.arrays())

    def save(self, path: str | Path) -> None:
        """Write an array file with the normaliser's hash."""
        save_arrays(path, self.arrays(), **_FORMAT, hash=self.hash)

    @classmethod
    def load(cls, path: str | Path) -> ImageNormaliser:
        """Read what `save` wrote.

        Raises
        ------
        FormatError
            Where the file is damaged, of another format, or was changed since.
        """
        stored = load_arrays(path, **_FORMAT)
        loaded = cls.from_arrays(stored.arrays)
        check_content(path, stored.attributes["hash"], loaded.hash, _REMAKE)
        return loaded

    def arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays, from which `from_arrays` makes the same normaliser."""
        return {"bands": np.array(self.bands, dtype=np.str_), "softening": self.softening}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ImageNormaliser:
        """Return the normaliser that `arrays` was called on."""
        return cls(tuple(arrays["bands"].tolist()), arrays["softening"])

    def _check(self, cutouts: np.ndarray) -> None:
        if cutouts.ndim != 4 or cutouts.shape[1] != len(self.bands):
            must = f"of shape (m, {len(self.bands)}, S, S), bands {' '.join(self.bands)}"
            raise DataError(must_be("cutouts", must, str(cutouts.shape)))


def _flat(cutouts: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """Return cutouts as (m, B, S²), copied only where dtype or strides need it."""
    plain = np.ascontiguousarray(cutouts, dtype=dtype)
    return plain.reshape(*plain.shape[:2], plain.shape[2] * plain.shape[3])


def sky_sigma(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the robust sigma of the sky in each band of each cutout.

    It is 1.4826 times the median absolute deviation of all pixels, most of which are sky: right
    within a few per cent.

    Parameters
    ----------
    pixels : float (m, B, S, S)
        counts/s.
    valid : bool (m, B, S, S)
        Pixels that were measured.

    Returns
    -------
    float64 (m, B)
        counts/s; NaN in a band without a valid pixel.
    """
    sigma = np.full(pixels.shape[:2], np.nan)
    for i, j in np.ndindex(*pixels.shape[:2]):
        known = pixels[i, j][valid[i, j]]
        if known.size:
            sigma[i, j] = _MAD_TO_SIGMA * np.median(np.abs(known - np.median(known)))
    return sigma


_SKY_FORMAT: dict[str, Any] = {"format": "sky_sample", "version": 1}
_CUTOUTS = 2000  # of all fields; the median of so many sigmas is good to a per cent
_OF_FIELD = 64  # of one field, which has one depth


@dataclass(frozen=True)
class SkySample:
    """A sample of sigmas of the sky.

    Attributes
    ----------
    bands : tuple of str
        Bands in channel order.
    sigma : float64 (n, B)
        counts/s in each band of each cutout, in row order; NaN where a cutout lacks the band.
    """

    bands: tuple[str, ...]
    sigma: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {"bands": np.array(self.bands, np.str_), "sigma": self.sigma}
        save_arrays(path, arrays, **_SKY_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> SkySample:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_SKY_FORMAT)
        return cls(tuple(stored["bands"].tolist()), stored["sigma"])


def sample_sky(cube: Cube, rows: np.ndarray, settings: ImageSettings) -> SkySample:
    """Measure the sky in the first 64 whole cutouts among `rows`, bool (n,)."""
    sky = [np.empty((0, len(settings.bands)))]
    left = _OF_FIELD
    for batch in read_cutouts(cube, settings, keep=rows):
        sky.append(sky_sigma(batch.pixels[:left], batch.valid[:left]))
        left -= len(sky[-1])
        if not left:
            break
    return SkySample(settings.bands, np.concatenate(sky))


def fit_normaliser(samples: Sequence[SkySample], bands: tuple[str, ...]) -> ImageNormaliser:
    """Fit the normaliser to the samples of all fields, about 2000 cutouts in all.

    Raises
    ------
    FormatError
        Where a sample is of other bands.
    """
    share = max(1, min(_OF_FIELD, _CUTOUTS // max(1, len(samples))))
    sky = [np.empty((0, len(bands)))]
    for sample in samples:
        if sample.bands != bands:
            must = f"of bands {' '.join(bands)}"
            do = "run sample_images again"
            raise FormatError(must_be("sky sample", must, " ".join(sample.bands), do))
        sky.append(sample.sigma[:share])
    return ImageNormaliser.fit(bands, np.concatenate(sky))
