"""Features and tokenizer of one spectrum group: what both kinds share, and those of spectra.

The kind of a group decides on the features of one code and on the meaning of an object's scale.
`FEATURES` in `astromodal.tokenizers.spectra.codebook` names the features of each kind, `KINDS` in
`astromodal.tokenizers.spectra.tokenizer` its tokenizer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import DataError, FormatError, must_be
from astromodal.surveys.group import GroupSettings
from astromodal.surveys.registry import grid_group
from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.quantizers.base import FittedQuantizer
from astromodal.tokenizers.quantizers.nearest import unpack_quantizer
from astromodal.tokenizers.spectra.bins import NoiseProfile, rebin
from astromodal.tokenizers.spectra.features import (
    FEATURE_WEIGHTS,
    compress,
    expand,
    object_scale,
)

SCALE_LEEWAY = 4.0
"""Largest factor by which bins correct the scale; beyond it they keep the shape, not the level."""
ScaleCoder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Codes of some scales, uint16 (m,), and the scales that the codes decode to, float64 (m,)."""


class EncodedBatch(NamedTuple):
    """Codes of m objects of one group.

    Attributes
    ----------
    codes : uint16 (sum of lengths,)
        Codes of all objects, one object after another; 65535 where missing.
    lengths : int64 (m,)
        Number of codes of each object.
    scale : uint16 (m,)
        Codes of the scales; 65535 where missing.
    """

    codes: np.ndarray
    lengths: np.ndarray
    scale: np.ndarray


class FeatureSpace(ABC):
    """The features of one code, and the scale of an object, of one kind of group."""

    weights: ClassVar[np.ndarray]
    """Standard deviations of the standardised features, float64 (D,)."""

    def measure_noise(
        self, group: str, batches: Iterable[Any], rows_fit: np.ndarray, settings: GroupSettings
    ) -> NoiseProfile:
        """Measure the typical noise that the weights of pixels are made from; unknown by default.

        Parameters
        ----------
        group : str
            Name of the group.
        batches : iterable of SpectrumBatch or LightCurveBatch
            The first objects of the field.
        rows_fit : bool (n,)
            Rows of the cube to measure.
        settings : GroupSettings
            Settings that the bins depend on.
        """
        return NoiseProfile.unknown()

    @abstractmethod
    def sample(
        self,
        group: str,
        batch: Any,
        chosen: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the training data of some objects of a batch.

        Parameters
        ----------
        group : str
            Name of the group.
        batch : SpectrumBatch or LightCurveBatch
            m objects of the group.
        chosen : bool (m,)
            Live objects to fit on.
        settings : GroupSettings
            Settings that the bins depend on.
        noise : NoiseProfile
            Of `measure_noise`.

        Returns
        -------
        scale : float64 (objects,)
            Scale of each chosen object.
        features : float64 (n, D)
            Compressed features of their good bins or epochs, not standardised.
        """

    @abstractmethod
    def scale_to_column(self, scale: np.ndarray) -> np.ndarray:
        """Return scales, float64 (m,), as their scalar column holds them; NaN stays NaN."""

    @abstractmethod
    def scale_from_column(self, values: np.ndarray) -> np.ndarray:
        """Undo `scale_to_column`."""


class SpectrumFeatures(FeatureSpace):
    """Compressed flux and precision of a bin, and the flux scale of a spectrum."""

    weights: ClassVar[np.ndarray] = FEATURE_WEIGHTS

    def measure_noise(
        self,
        group: str,
        batches: Iterable[SpectrumBatch],
        rows_fit: np.ndarray,
        settings: GroupSettings,
    ) -> NoiseProfile:
        """Measure the typical noise of each pixel; unknown where a bin is a pixel."""
        if grid_group(group).bin_factor(settings) == 1:
            return NoiseProfile.unknown()
        chosen = [(batch, rows_fit[batch.row]) for batch in batches]
        if not chosen:
            return NoiseProfile.unknown()
        # In one piece: sums then do not depend on the batches.
        flux = np.concatenate([batch.flux[rows] for batch, rows in chosen])
        return NoiseProfile.measure(
            flux, np.concatenate([batch.ivar[rows] for batch, rows in chosen])
        )

    def sample(
        self,
        group: str,
        batch: SpectrumBatch,
        chosen: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the flux scales of the chosen spectra, and the features of their good bins."""
        weight = noise.weights(batch.flux.shape[1])
        factor = grid_group(group).bin_factor(settings)
        flux, ivar = rebin(batch.flux[chosen], batch.ivar[chosen], factor, weight)
        scale = object_scale(flux, ivar)
        return scale, compress(flux, ivar, scale)[ivar > 0]

    def scale_to_column(self, scale: np.ndarray) -> np.ndarray:
        """Return log10 of positive flux scales, float64 (m,); NaN stays NaN."""
        return np.log10(scale)

    def scale_from_column(self, values: np.ndarray) -> np.ndarray:
        """Return the flux scales of their logarithms, float64 (m,)."""
        return 10**values


@dataclass(frozen=True)
class GroupTokenizer(ABC):
    """The codebook of one group.

    Attributes
    ----------
    group : str
        Name of the group.
    quantizer : FittedQuantizer
        Quantizes the standardised features; without codes where the group has no training data.
    mean, std : float64 (D,)
        A compressed feature x is standardised to (x - mean) / std.
    """

    group: str
    quantizer: FittedQuantizer
    mean: np.ndarray
    std: np.ndarray

    space: ClassVar[FeatureSpace]
    """The features of its codes."""
    stored: ClassVar[tuple[str, ...]] = ()
    """Further attributes that a tokenizer's file holds."""
    n_hashed: ClassVar[int]
    """Number of arrays that `hashed` returns."""

    @classmethod
    @abstractmethod
    def fitted(
        cls,
        group: str,
        quantizer: FittedQuantizer,
        mean: np.ndarray,
        std: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> GroupTokenizer:
        """Return the tokenizer of a codebook."""

    @classmethod
    @abstractmethod
    def restored(
        cls,
        group: str,
        quantizer: FittedQuantizer,
        mean: np.ndarray,
        std: np.ndarray,
        stored: Mapping[str, np.ndarray],
    ) -> GroupTokenizer:
        """Return the tokenizer of a file, whose arrays `stored` hold the attributes `stored`."""

    @abstractmethod
    def encode_batch(self, batch: Any, code_scale: ScaleCoder) -> EncodedBatch:
        """Encode a batch of the group, relative to scales near those that their codes decode to."""

    @staticmethod
    @abstractmethod
    def hashed(batch: Any) -> tuple[np.ndarray, ...]:
        """Return the arrays of a batch that the hash of the input is made of."""

    @property
    def centroids(self) -> np.ndarray:
        """Centroids of the standardised features, float32 (k, D)."""
        return self.quantizer.centroids

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `from_arrays` makes the same tokenizer from."""
        own = {name: np.asarray(getattr(self, name)) for name in self.stored}
        return own | self.quantizer.packed() | {"mean": self.mean, "std": self.std}

    @classmethod
    def from_arrays(cls, group: str, arrays: Mapping[str, np.ndarray]) -> GroupTokenizer:
        """Return the tokenizer that `arrays` was called on."""
        quantizer = unpack_quantizer(arrays, f"spectrum tokenizer, group {group}")
        return cls.restored(group, quantizer, arrays["mean"], arrays["std"], arrays)

    def nearest(self, features: np.ndarray) -> np.ndarray:
        """Return the codes of compressed features (…, D), uint16 (…).

        A code is 65535 where a feature is not finite, and everywhere without a codebook.
        """
        codes = np.full(features.shape[:-1], MISSING_CODE, dtype=np.uint16)
        known = np.isfinite(features).all(axis=-1)
        if len(self.centroids) and known.any():
            codes[known] = self.quantizer.encode((features[known] - self.mean) / self.std)
        return codes

    def features(self, codes: np.ndarray) -> np.ndarray:
        """Return the compressed features of codes (…), float64 (…, D); NaN where missing.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """
        known = codes != MISSING_CODE
        if known.any() and codes[known].max() >= len(self.centroids):
            must, got = f"below {len(self.centroids)}", int(codes[known].max())
            raise FormatError(must_be(f"codes of group {self.group}", must, got, "encode again"))
        features = np.full((*codes.shape, len(self.mean)), np.nan)
        features[known] = self.quantizer.decode(codes[known]) * self.std + self.mean
        return features


@dataclass(frozen=True)
class SpectrumGroupTokenizer(GroupTokenizer):
    """The codebook of one group of spectra: one code per bin, relative to the flux scale.

    Attributes
    ----------
    wave : float64 (L,)
        Mean wavelength of each bin, in the unit of the group's axis.
    weight : float64 (n_pixels,)
        Weight of each pixel in the mean of its bin.
    factor : int
        Pixels per bin.
    """

    wave: np.ndarray
    weight: np.ndarray
    factor: int

    space: ClassVar[FeatureSpace] = SpectrumFeatures()
    stored: ClassVar[tuple[str, ...]] = ("wave", "weight", "factor")
    n_hashed: ClassVar[int] = 3

    @classmethod
    def fitted(
        cls,
        group: str,
        quantizer: FittedQuantizer,
        mean: np.ndarray,
        std: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> SpectrumGroupTokenizer:
        """Return the tokenizer of a codebook, with the group's bins."""
        kind = grid_group(group)
        weight = noise.weights(kind.grid(settings).length)
        bins = kind.bin_centres(settings), weight, kind.bin_factor(settings)
        return cls(group, quantizer, mean, std, *bins)

    @classmethod
    def restored(
        cls,
        group: str,
        quantizer: FittedQuantizer,
        mean: np.ndarray,
        std: np.ndarray,
        stored: Mapping[str, np.ndarray],
    ) -> SpectrumGroupTokenizer:
        """Return the tokenizer of a file."""
        factor = int(stored["factor"])
        return cls(group, quantizer, mean, std, stored["wave"], stored["weight"], factor)

    @staticmethod
    def hashed(batch: SpectrumBatch) -> tuple[np.ndarray, ...]:
        """Return rows, fluxes and inverse variances."""
        return batch.row, batch.flux, batch.ivar

    def rebin(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and inverse variance in the bins, float64 (m, L), of spectra (m, n_pixels).

        Raises
        ------
        DataError
            Where the spectra have another length.
        """
        if flux.shape != ivar.shape or flux.shape[1:] != self.weight.shape:
            must = f"of shape (m, {len(self.weight)})"
            raise DataError(
                must_be(f"{self.group} flux and ivar", must, f"{flux.shape}, {ivar.shape}")
            )
        return rebin(flux, ivar, self.factor, self.weight)

    def encode(
        self, flux: np.ndarray, ivar: np.ndarray, code_scale: ScaleCoder
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode spectra.

        Parameters
        ----------
        flux, ivar : float (m, n_pixels)
            Spectra as `data.spectra.read_spectra` yields them.
        code_scale : callable
            Encodes the flux scales, float64 (m,).

        Returns
        -------
        codes : uint16 (m, L)
            65535 in a bin without a good pixel, and everywhere without a codebook.
        scale_codes : uint16 (m,)
            Codes of the scales; 65535 without a good pixel.
        """
        binned = self.rebin(flux, ivar)
        exact = object_scale(*binned)
        scale_codes, coded = code_scale(exact)
        used = np.clip(coded, exact / SCALE_LEEWAY, exact * SCALE_LEEWAY)
        return self.encode_bins(*binned, used), scale_codes

    def encode_batch(self, batch: SpectrumBatch, code_scale: ScaleCoder) -> EncodedBatch:
        """Encode spectra; every spectrum has as many codes as the group has bins."""
        codes, scale_codes = self.encode(batch.flux, batch.ivar, code_scale)
        lengths = np.full(len(codes), codes.shape[1], dtype=np.int64)
        return EncodedBatch(codes.ravel(), lengths, scale_codes)

    def encode_bins(self, flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the codes, uint16 (m, L), of rebinned spectra (m, L) relative to scales (m,)."""
        return self.nearest(compress(flux, ivar, scale))

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode spectra.

        Parameters
        ----------
        codes : uint16 (m, L)
            Codes of the bins.
        scale : float64 (m,)
            Flux scale of each spectrum.

        Returns
        -------
        flux, ivar : float64 (m, L)
            NaN where a code is missing.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """
        return expand(self.features(codes), scale)
