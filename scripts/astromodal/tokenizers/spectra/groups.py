"""Features and tokenizer of one spectrum group: what all kinds share.

The kind of a group decides on the features of one code and on the meaning of an object's scale.
`FEATURES` in `astromodal.tokenizers.spectra.codebook` names the features of each kind, `KINDS` in
`astromodal.tokenizers.spectra.tokenizer` its tokenizer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import FormatError, must_be
from astromodal.surveys.group import GroupSettings
from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.quantizers.base import FittedQuantizer
from astromodal.tokenizers.quantizers.nearest import unpack_quantizer
from astromodal.tokenizers.spectra.bins import NoiseProfile

SCALE_LEEWAY = 4.0
"""Largest factor by which codes correct the scale; beyond it they keep the shape, not the level."""
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

    def width(self, group: str) -> int:
        """Return how many features one training sample of a group has: D."""
        return len(self.weights)

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
        features : float64 (n, width)
            Their training samples: compressed features of good bins or epochs, not standardised.
        """

    def standardisation(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the divisor, float64 (width,) each, of samples (n, width), n > 0.

        After division, the standard deviations are `weights`.
        """
        spread = features.std(axis=0, dtype=np.float64)
        mean = features.mean(axis=0, dtype=np.float64)
        return mean, np.where(spread > 0, spread, 1) / self.weights

    def standardise(self, features: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Return the points that are quantized, float64 (…, D), of features (…, width)."""
        return (features - mean) / std

    def restore(self, points: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Undo `standardise`."""
        return points * std + mean

    def levels(self, size: int) -> np.ndarray | None:
        """Return the centroids of `size` codes, float32 (size, D); None where they are fitted."""
        return None

    def to_fit(self, features: np.ndarray, seed: int) -> np.ndarray:
        """Return the samples that a codebook is fitted on; the training samples by default.

        Parameters
        ----------
        features : float32 (n, width)
            Training samples, n > 0.
        seed : int
            Seed of a choice among them.

        Returns
        -------
        float32 (m, width)
        """
        return features

    def scale_to_column(self, scale: np.ndarray) -> np.ndarray:
        """Return log10 of positive flux scales, float64 (m,); NaN stays NaN."""
        return np.log10(scale)

    def scale_from_column(self, values: np.ndarray) -> np.ndarray:
        """Undo `scale_to_column`."""
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
    mean, std : float64 (width,)
        Parameters with which `FeatureSpace.standardise` makes points of features.
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
    def parameters(
        cls, group: str, settings: GroupSettings, noise: NoiseProfile
    ) -> dict[str, np.ndarray | int]:
        """Return the attributes `stored` of a group, by name; none by default."""
        return {}

    @classmethod
    def fitted(
        cls,
        group: str,
        quantizer: FittedQuantizer,
        mean: np.ndarray,
        std: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> Self:
        """Return the tokenizer of a codebook."""
        return cls(group, quantizer, mean, std, **cls.parameters(group, settings, noise))

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
    def from_arrays(cls, group: str, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the tokenizer that `arrays` was called on."""
        quantizer = unpack_quantizer(arrays, f"spectrum tokenizer, group {group}")
        found = {name: arrays[name] for name in cls.stored}
        stored = {name: array if array.ndim else array.item() for name, array in found.items()}
        return cls(group, quantizer, arrays["mean"], arrays["std"], **stored)

    def nearest(self, features: np.ndarray) -> np.ndarray:
        """Return the codes of compressed features, uint16, one of each standardised point.

        A code is 65535 where a feature is not finite, and everywhere without a codebook.
        """
        points = self.space.standardise(features, self.mean, self.std)
        codes = np.full(points.shape[:-1], MISSING_CODE, dtype=np.uint16)
        # Feature by feature: many times as fast as `all` along so short an axis.
        known = np.logical_and.reduce(
            [np.isfinite(column) for column in np.moveaxis(points, -1, 0)]
        )
        if len(self.centroids) and known.any():
            codes[known] = self.quantizer.encode(points[known])
        return codes

    def features(self, codes: np.ndarray) -> np.ndarray:
        """Return the compressed features of codes, float64, as `nearest` takes; NaN where missing.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """
        known = codes != MISSING_CODE
        if known.any() and codes[known].max() >= len(self.centroids):
            must, got = f"below {len(self.centroids)}", int(codes[known].max())
            raise FormatError(must_be(f"codes of group {self.group}", must, got, "encode again"))
        points = np.full((*codes.shape, self.centroids.shape[1]), np.nan)
        points[known] = self.quantizer.decode(codes[known])
        return self.space.restore(points, self.mean, self.std)


@dataclass(frozen=True)
class GridTokenizer(GroupTokenizer):
    """The codebook of one group of spectra on a grid.

    Attributes
    ----------
    wave : float64 (L,)
        Where decoded spectra have their fluxes, in the unit of the group's axis.
    """

    wave: np.ndarray

    n_hashed: ClassVar[int] = 3

    @staticmethod
    def hashed(batch: SpectrumBatch) -> tuple[np.ndarray, ...]:
        """Return rows, fluxes and inverse variances."""
        return batch.row, batch.flux, batch.ivar

    @abstractmethod
    def observed(self, batch: SpectrumBatch) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and ivar at `wave`, float64 (m, L), of spectra that `read_spectra` yields.

        The inverse variance is 0 where there is no good pixel.
        """

    def measured(self, batch: SpectrumBatch) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and ivar at the pixels that were measured, float64 (m, n_pixels).

        By default these are the points `wave`. The inverse variance of a bad pixel is 0.
        """
        return self.observed(batch)

    def at_pixels(self, flux: np.ndarray) -> np.ndarray:
        """Return fluxes at the measured pixels, float64 (m, n_pixels), of those at `wave`."""
        return flux

    @abstractmethod
    def scale(self, batch: SpectrumBatch) -> np.ndarray:
        """Return the exact flux scale of each spectrum, float64 (m,); NaN without a good pixel."""

    @abstractmethod
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
        codes : uint16 (m, slots)
            65535 in a bin without a good pixel, and everywhere without a codebook.
        scale_codes : uint16 (m,)
            Codes of the scales; 65535 without a good pixel.
        """

    @abstractmethod
    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode spectra.

        Parameters
        ----------
        codes : uint16 (m, slots)
            Codes of the spectra.
        scale : float64 (m,)
            Flux scale of each spectrum.

        Returns
        -------
        flux, ivar : float64 (m, L)
            At `wave`; NaN where a code is missing.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """

    @abstractmethod
    def unit_values(self, slot: int) -> np.ndarray:
        """Return the values of each code in a slot, in units of the scale, float64 (k, values)."""

    @abstractmethod
    def moments(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the mean square of fluxes at `wave`, float64 (m, L) each.

        Parameters
        ----------
        first, second : float64 (m, slots, values)
            Mean and mean square of the values that `unit_values` gives, independent slot by slot.
        """

    def encode_batch(self, batch: SpectrumBatch, code_scale: ScaleCoder) -> EncodedBatch:
        """Encode spectra; every spectrum has as many codes as the group has slots."""
        codes, scale_codes = self.encode(batch.flux, batch.ivar, code_scale)
        lengths = np.full(len(codes), codes.shape[1], dtype=np.int64)
        return EncodedBatch(codes.ravel(), lengths, scale_codes)


def near_scales(exact: np.ndarray, code_scale: ScaleCoder) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of exact scales (m,), and the scales that spectra are coded relative to.

    These are the decoded scales, but no farther than `SCALE_LEEWAY` from the exact ones.
    """
    scale_codes, coded = code_scale(exact)
    return scale_codes, np.clip(coded, exact / SCALE_LEEWAY, exact * SCALE_LEEWAY)
