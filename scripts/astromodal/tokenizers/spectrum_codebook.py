"""One spectrum group's codebook, learned from the feature samples of the training fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.core.files import load_arrays, put_aside, save_arrays
from astromodal.core.progress import Progress, quiet
from astromodal.errors import FormatError, must_be
from astromodal.tokenizers.group_kinds import feature_weights, n_features, scale_to_column
from astromodal.tokenizers.kmeans import fit_codebook
from astromodal.tokenizers.quantiles import ColumnSummary, summarise_column
from astromodal.tokenizers.spectrum_samples import GroupSamples, SpectrumSamples

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
    centroids : float32 (k, D)
        Centroids of the standardised features, two of a spectrum and three of a light curve;
        (0, D) where no training field has any.
    counts : int64 (k,)
        Training samples of each centroid.
    mean, std : float64 (D,)
        A compressed feature x is standardised to (x - mean) / std.
    scale : ColumnSummary
        log10 of the training spectra's scales, or median magnitudes of the light curves.
    numbers : dict
        `inertia` (mean squared distance), `n_samples`, `n_objects` fitted on, and of the training
        fields `n_spectra` and `n_live`.
    """

    group: str
    centroids: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    scale: ColumnSummary
    numbers: dict[str, float]

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {name: getattr(self, name) for name in ("centroids", "counts", "mean", "std")}
        arrays |= {f"scale_{cell}": getattr(self.scale, cell) for cell in _SCALE_CELLS}
        save_arrays(path, arrays, group=self.group, numbers=self.numbers, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path, group: str) -> SpectrumCodebook:
        """Read what `save` wrote; raise `FormatError` where it is another group's."""
        stored = load_arrays(path, **_FORMAT)
        found = stored.attributes["group"]
        if found != group:
            what = f"{path}: spectrum codebook"
            do = put_aside(_FORMAT["format"])
            raise FormatError(must_be(what, f"of group {group}", found, do))
        arrays = {name: stored[name] for name in ("centroids", "counts", "mean", "std")}
        scale = ColumnSummary(*(stored[f"scale_{cell}"] for cell in _SCALE_CELLS))
        return cls(group, **arrays, scale=scale, numbers=stored.attributes["numbers"])


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
    """Standardise a group's features and cluster them.

    Parameters
    ----------
    samples : GroupSamples
        Samples of all training fields.
    group : str
        Spectrum group.
    settings : SpectrumSettings
        Size of the codebook, Lloyd's steps and seed.
    progress : callable
        Shows the steps.
    threads : int
        Threads that look for the nearest centroids; they change nothing else.
    """
    features = samples.features.reshape(-1, n_features(group))
    mean, std = standardisation(features, group)
    found = fit_codebook(
        (features - mean) / std,
        settings.codebook_size,
        settings.iterations,
        settings.seed,
        progress,
        threads,
    )
    numbers = {
        "inertia": found.inertia,
        "n_samples": len(features),
        "n_objects": samples.n_objects,
        "n_spectra": samples.n_spectra,
        "n_live": samples.n_live,
    }
    scale = summarise_column(scale_to_column(group, samples.scale))
    return SpectrumCodebook(group, found.centroids, found.counts, mean, std, scale, numbers)
