"""One spectrum group's codebook, learned from the feature samples of the training fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.core.progress import Progress, quiet
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.spectra import rebin
from astromodal.errors import DataError, FormatError, must_be
from astromodal.storage.formats import put_aside
from astromodal.tokenizers.quantizers.base import FittedQuantizer, usage
from astromodal.tokenizers.quantizers.kmeans import fit_quantizer
from astromodal.tokenizers.quantizers.nearest import load_quantizer
from astromodal.tokenizers.scalars.quantiles import ColumnSummary, summarise_column
from astromodal.tokenizers.spectra.features import N_FEATURES, compress, expand, object_scale
from astromodal.tokenizers.spectra.groups import feature_weights, n_features, scale_to_column
from astromodal.tokenizers.spectra.samples import GroupSamples, SpectrumSamples

_FORMAT: dict[str, Any] = {"format": "spectrum_codebook", "version": 1}
_SCALE_CELLS = ("low", "high", "count", "mean")
MAX_SAMPLES = 20_000_000
"""Bins that a codebook is fitted on at most: 10,000 a centroid of the default 2048."""


@dataclass(frozen=True)
class SpectrumCodebook:
    """What one group's tokenizer is made of.

    Attributes
    ----------
    group : str
        Spectrum group.
    quantizer : FittedQuantizer
        Its centroids are of the standardised features, two of a spectrum and three of a light
        curve; there are none where no training field has any.
    counts : int64 (k,)
        Training samples of each code.
    mean, std : float64 (D,)
        A compressed feature x is standardised to (x - mean) / std.
    scale : ColumnSummary
        log10 of the training spectra's scales, or median magnitudes of the light curves.
    numbers : dict
        `inertia` (mean squared distance), `n_samples`, `n_objects` fitted on, and of the training
        fields `n_spectra` and `n_live`.
    """

    group: str
    quantizer: FittedQuantizer
    counts: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    scale: ColumnSummary
    numbers: dict[str, float]

    @property
    def centroids(self) -> np.ndarray:
        """Centroids of the standardised features, float32 (k, D)."""
        return self.quantizer.centroids

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {name: getattr(self, name) for name in ("counts", "mean", "std")}
        arrays |= {f"scale_{cell}": getattr(self.scale, cell) for cell in _SCALE_CELLS}
        self.quantizer.save(path, arrays, group=self.group, numbers=self.numbers, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path, group: str) -> SpectrumCodebook:
        """Read what `save` wrote; raise `FormatError` where it is another group's."""
        quantizer, stored = load_quantizer(path, **_FORMAT)
        found = stored.attributes["group"]
        if found != group:
            what = f"{path}: spectrum codebook"
            do = put_aside(_FORMAT["format"])
            raise FormatError(must_be(what, f"of group {group}", found, do))
        arrays = {name: stored[name] for name in ("counts", "mean", "std")}
        scale = ColumnSummary(*(stored[f"scale_{cell}"] for cell in _SCALE_CELLS))
        return cls(group, quantizer, **arrays, scale=scale, numbers=stored.attributes["numbers"])


def read_samples(paths: Sequence[str | Path], group: str, limit: int = MAX_SAMPLES) -> GroupSamples:
    """Merge one group's samples of several fields, of each at most its share of `limit` bins."""
    share = max(1, limit // max(1, len(paths)))
    parts = []
    for number, path in enumerate(paths):
        part = SpectrumSamples.load(path)[group]
        features = part.features
        if len(features) > share:
            chosen = np.random.default_rng(number).choice(len(features), share, replace=False)
            features = features[np.sort(chosen)]
        parts.append(GroupSamples(features, part.scale, part.n_spectra, part.n_live))
    return GroupSamples.merge(parts)


def standardisation(features: np.ndarray, group: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and divisor, float64 (D,) each, that standardise a group's features (n, D).

    Divided by it, a feature's spread is its `feature_weights`.
    """
    weights = feature_weights(group)
    if not len(features):
        return np.zeros(len(weights)), np.ones(len(weights))
    spread = features.std(axis=0, dtype=np.float64)
    return features.mean(axis=0, dtype=np.float64), np.where(spread > 0, spread, 1) / weights


def train_codebook(
    samples: GroupSamples,
    group: str,
    settings: SpectrumSettings,
    progress: Progress = quiet,
    threads: int = 1,
) -> SpectrumCodebook:
    """Standardise a group's features and fit its quantizer.

    Parameters
    ----------
    samples : GroupSamples
        Samples of all training fields.
    group : str
        Spectrum group.
    settings : SpectrumSettings
        The quantizer, the size of the codebook, the Lloyd steps and the seed.
    progress : callable
        Shows the steps.
    threads : int
        Threads of the fit; they change no result.
    """
    features = samples.features.reshape(-1, n_features(group))
    mean, std = standardisation(features, group)
    points = (features - mean) / std
    quantizer = fit_quantizer(
        settings.quantizer,
        "tokenizers.spectrum.quantizer",
        points,
        settings.codebook_size,
        settings.iterations,
        settings.seed,
        progress,
        threads,
    )
    counts, inertia = usage(quantizer, points, threads)
    numbers = {
        "inertia": inertia,
        "n_samples": len(features),
        "n_objects": samples.n_objects,
        "n_spectra": samples.n_spectra,
        "n_live": samples.n_live,
    }
    scale = summarise_column(scale_to_column(group, samples.scale))
    return SpectrumCodebook(group, quantizer, counts, mean, std, scale, numbers)


@dataclass(frozen=True)
class GroupTokenizer:
    """The codebook of one group.

    Attributes
    ----------
    group : str
        Spectrum group.
    wave : float64 (L,)
        Mean wavelength of each bin: Angstrom (DESI) or pseudo-wavelength (Gaia XP).
    n_pixels, factor : int
        Pixels of a spectrum as it is read, and of a bin.
    quantizer : FittedQuantizer
        Quantizes the standardised features; without codes where the group has no training data.
    mean, std : float64 (2,)
        A compressed feature x is standardised to (x - mean) / std.
    """

    group: str
    wave: np.ndarray
    n_pixels: int
    factor: int
    quantizer: FittedQuantizer
    mean: np.ndarray
    std: np.ndarray

    @property
    def centroids(self) -> np.ndarray:
        """Centroids of the standardised features, float32 (k, 2)."""
        return self.quantizer.centroids

    def rebin(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rebinned flux and ivar, float64 (m, L), of spectra (m, n_pixels).

        Raises
        ------
        DataError
            Where the spectra have another length.
        """
        if flux.shape != ivar.shape or flux.shape[1:] != (self.n_pixels,):
            must = f"of shape (m, {self.n_pixels})"
            raise DataError(
                must_be(f"{self.group} flux and ivar", must, f"{flux.shape}, {ivar.shape}")
            )
        return rebin(flux, ivar, self.factor)

    def encode(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode spectra relative to their own exact scale.

        Parameters
        ----------
        flux, ivar : float (m, n_pixels)
            Spectra as `data.spectra.read_spectra` yields them.

        Returns
        -------
        codes : uint16 (m, L)
            65535 in a bin without a good pixel, and everywhere without a codebook.
        scale : float64 (m,)
            Positive, in the unit of flux; NaN without a good pixel.
        """
        binned = self.rebin(flux, ivar)
        scale = object_scale(*binned)
        return self.encode_bins(*binned, scale), scale

    def encode_bins(self, flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Codes, uint16 (m, L), of rebinned spectra (m, L) relative to the scales (m,) given."""
        codes = np.full(flux.shape, MISSING_CODE, dtype=np.uint16)
        features = compress(flux, ivar, scale)
        known = np.isfinite(features).all(axis=-1)
        if len(self.centroids) and known.any():
            codes[known] = self.quantizer.encode((features[known] - self.mean) / self.std)
        return codes

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode spectra.

        Parameters
        ----------
        codes : uint16 (m, L)
            Codes of the bins.
        scale : float64 (m,)
            Scale of each spectrum.

        Returns
        -------
        flux, ivar : float64 (m, L)
            NaN where a code is missing.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """
        known = codes != MISSING_CODE
        if known.any() and codes[known].max() >= len(self.centroids):
            must, got = f"below {len(self.centroids)}", int(codes[known].max())
            raise FormatError(must_be(f"codes of group {self.group}", must, got, "encode again"))
        features = np.full((*codes.shape, N_FEATURES), np.nan)
        features[known] = self.quantizer.decode(codes[known]) * self.std + self.mean
        return expand(features, scale)
