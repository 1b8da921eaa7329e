"""One group's codebook, learned from samples of its features in the training fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.core.loops import Progress, quiet
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_group
from astromodal.errors import FormatError, must_be
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.formats import put_aside
from astromodal.surveys.group import Batch, GroupKind
from astromodal.surveys.registry import GROUPS, spectrum_group
from astromodal.tokenizers.light_curves import LightCurveFeatures
from astromodal.tokenizers.quantizers.base import FittedQuantizer, usage, usage_of
from astromodal.tokenizers.quantizers.kmeans import fit_quantizer
from astromodal.tokenizers.quantizers.nearest import NearestCentroid, load_quantizer
from astromodal.tokenizers.scalars.quantiles import ColumnSummary, summarise_column
from astromodal.tokenizers.spectra.bins import NoiseProfile
from astromodal.tokenizers.spectra.coefficients import CoefficientFeatures
from astromodal.tokenizers.spectra.grids import SpectrumFeatures
from astromodal.tokenizers.spectra.groups import FeatureSpace

FEATURES: Final[dict[GroupKind, FeatureSpace]] = {
    "spectrum": SpectrumFeatures(),
    "coefficients": CoefficientFeatures(),
    "light_curve": LightCurveFeatures(),
}
"""The features of each kind of group."""
_SAMPLES: dict[str, Any] = {"format": "spectrum_samples", "version": 5}
_FORMAT: dict[str, Any] = {"format": "spectrum_codebook", "version": 5}
_SCALE_CELLS = ("low", "high", "count", "mean")
MAX_SAMPLES = 20_000_000
"""Most samples that a codebook is fitted on: 10,000 per centroid of the default 2048."""
NOISE_OBJECTS = 1024
"""A field's first objects, among which the typical noise is measured: they are held in memory."""


def feature_space(group: str) -> FeatureSpace:
    """Return the features of a group."""
    return FEATURES[spectrum_group(group).kind]


@dataclass(frozen=True)
class GroupSamples:
    """Training data of one group.

    Attributes
    ----------
    features : float32 (m, width)
        Compressed features, not standardised: of pairs of bins, with their precision (3), of epochs
        (3), or of a spectrum's coefficients (one each, and one of their noise).
    scale : float64 (objects,)
        Flux scale of every live spectrum, or median magnitude of every live light curve, among
        the rows to fit on.
    n_spectra, n_live : int
        Spectra or light curves of the whole field, and those with a good pixel or epoch.
    noise : NoiseProfile
        Typical noise of spectra among the rows to fit on.
    """

    features: np.ndarray
    scale: np.ndarray
    n_spectra: int
    n_live: int
    noise: NoiseProfile = field(default_factory=NoiseProfile.unknown)

    @property
    def n_objects(self) -> int:
        """Live objects among the rows to fit on."""
        return len(self.scale)

    @classmethod
    def merge(cls, parts: Iterable[GroupSamples]) -> GroupSamples:
        """Return the samples of several fields together; empty ones for no field."""
        listed = list(parts)
        width = listed[0].features.shape[1] if listed else 0
        nothing = np.empty((0, width), np.float32)
        return cls(
            np.concatenate([nothing, *(part.features for part in listed)]),
            np.concatenate([np.empty(0), *(part.scale for part in listed)]),
            sum(part.n_spectra for part in listed),
            sum(part.n_live for part in listed),
            NoiseProfile.add(part.noise for part in listed),
        )


@dataclass(frozen=True)
class SpectrumSamples:
    """Training data of every group, by name."""

    groups: dict[str, GroupSamples]

    def __getitem__(self, group: str) -> GroupSamples:
        return self.groups[group]

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays: dict[str, np.ndarray] = {}
        counts = {}
        for group, samples in self.groups.items():
            arrays[f"{group}_features"] = samples.features
            arrays[f"{group}_scale"] = samples.scale
            arrays[f"{group}_noise"] = samples.noise.total
            arrays[f"{group}_noise_count"] = samples.noise.count
            counts[group] = {"n_spectra": samples.n_spectra, "n_live": samples.n_live}
        save_arrays(path, arrays, counts=counts, **_SAMPLES)

    @classmethod
    def load(cls, path: str | Path) -> SpectrumSamples:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_SAMPLES)
        groups = {}
        for group, count in stored.attributes["counts"].items():
            noise = NoiseProfile(stored[f"{group}_noise"], stored[f"{group}_noise_count"])
            features, scale = stored[f"{group}_features"], stored[f"{group}_scale"]
            groups[group] = GroupSamples(features, scale, **count, noise=noise)
        return cls(groups)

    @classmethod
    def merge(cls, parts: Sequence[SpectrumSamples]) -> SpectrumSamples:
        """Return the samples of several fields together; all must have the same groups."""
        groups = list(parts[0].groups)
        for part in parts[1:]:
            if list(part.groups) != groups:
                got = f"{groups} and {list(part.groups)}"
                raise FormatError(
                    must_be("spectrum samples", "of the same groups", got, "remake them")
                )
        return cls({group: GroupSamples.merge(part[group] for part in parts) for group in groups})


def sample_features(
    cube: Cube, settings: SpectrumSettings, rows_fit: np.ndarray, seed: int
) -> SpectrumSamples:
    """Sample the features of a field's spectra and light curves.

    Parameters
    ----------
    cube : Cube
        The field's datacube.
    settings : SpectrumSettings
        Groups, bins, and the most samples that a group of one field contributes
        (`samples_per_field`): more are thinned at random, all objects alike.
    rows_fit : bool (n,)
        Rows of the cube that tokenizers may be fitted on.
    seed : int
        Seed of the thinning.
    """
    return SpectrumSamples(
        {group: _sample_group(cube, group, settings, rows_fit, seed) for group in settings.groups}
    )


def _sample_group(
    cube: Cube, group: str, settings: SpectrumSettings, rows_fit: np.ndarray, seed: int
) -> GroupSamples:
    space = feature_space(group)
    generator = np.random.default_rng([seed, GROUPS.names.index(group)])
    kept = _Thinned(settings.samples_per_field, space.width(group), generator)
    scales = []
    n_spectra = n_live = 0
    batches = read_group(cube, group)
    first = list(_first(batches, NOISE_OBJECTS))
    rows = np.concatenate([np.empty(0, np.int64), *(batch.row for batch in first)])
    among = np.zeros_like(rows_fit)
    among[rows[:NOISE_OBJECTS]] = True
    noise = space.measure_noise(group, first, rows_fit & among, settings)
    for batch in chain(first, batches):
        live = batch.live()
        n_spectra += len(live)
        n_live += int(live.sum())
        chosen = live & rows_fit[batch.row]
        scale, features = space.sample(group, batch, chosen, settings, noise)
        scales.append(scale)
        kept.add(features.astype(np.float32))
    scale = np.concatenate([np.empty(0), *scales])
    return GroupSamples(kept.features(), scale, n_spectra, n_live, noise)


def _first(batches: Iterator[Batch], n: int) -> Iterator[Batch]:
    """Yield batches until they hold `n` objects; the iterator goes on behind them."""
    while n > 0 and (batch := next(batches, None)) is not None:
        n -= len(batch.row)
        yield batch


class _Thinned:
    """At most `limit` of the rows that are added, all of them equally likely.

    Every row gets a random number, and the rows with the smallest numbers are kept. So the result
    does not depend on how the rows are split over calls.
    """

    def __init__(self, limit: int, width: int, generator: np.random.Generator) -> None:
        self._limit = limit
        self._generator = generator
        self._numbers = np.empty(0)
        self._rows = np.empty((0, width), np.float32)

    def add(self, rows: np.ndarray) -> None:
        self._numbers = np.concatenate([self._numbers, self._generator.random(len(rows))])
        self._rows = np.concatenate([self._rows, rows])
        if len(self._rows) > 2 * self._limit:
            self._thin()

    def features(self) -> np.ndarray:
        self._thin()
        return self._rows

    def _thin(self) -> None:
        if len(self._rows) > self._limit:
            smallest = np.sort(np.argpartition(self._numbers, self._limit)[: self._limit])
            self._numbers, self._rows = self._numbers[smallest], self._rows[smallest]


@dataclass(frozen=True)
class SpectrumCodebook:
    """The codebook of one group, and the distribution of its scales.

    Attributes
    ----------
    group : str
        Name of the group.
    quantizer : FittedQuantizer
        Quantizes the standardised features (D = 2 for spectra, 3 for light curves, 1 for
        coefficients); without codes where no training field has any.
    counts : int64 (k,)
        Training samples of each code; 0 where only `FeatureSpace.to_fit` has such a sample.
    mean, std : float64 (width,)
        Parameters with which `FeatureSpace.standardise` makes points of features.
    scale : ColumnSummary
        Distribution of log10 of the spectra's flux scales, or of the median magnitudes.
    numbers : dict
        `inertia` (mean squared distance of the training samples), `n_samples` and `n_objects` that
        were fitted, and `n_spectra` and `n_live` of the training fields.
    noise : NoiseProfile
        Typical noise of the training spectra.
    """

    group: str
    quantizer: FittedQuantizer
    counts: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    scale: ColumnSummary
    numbers: dict[str, float]
    noise: NoiseProfile

    @property
    def centroids(self) -> np.ndarray:
        """Centroids of the standardised features, float32 (k, D)."""
        return self.quantizer.centroids

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {name: getattr(self, name) for name in ("counts", "mean", "std")}
        arrays |= {f"scale_{cell}": getattr(self.scale, cell) for cell in _SCALE_CELLS}
        arrays |= {"noise": self.noise.total, "noise_count": self.noise.count}
        self.quantizer.save(path, arrays, group=self.group, numbers=self.numbers, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path, group: str) -> SpectrumCodebook:
        """Read what `save` wrote; raise `FormatError` where it belongs to another group."""
        quantizer, stored = load_quantizer(path, **_FORMAT)
        written = stored.attributes["group"]
        if written != group:
            what = f"{path}: spectrum codebook"
            do = put_aside(_FORMAT["format"])
            raise FormatError(must_be(what, f"of group {group}", written, do))
        arrays = {name: stored[name] for name in ("counts", "mean", "std")}
        scale = ColumnSummary(*(stored[f"scale_{cell}"] for cell in _SCALE_CELLS))
        noise = NoiseProfile(stored["noise"], stored["noise_count"])
        numbers = stored.attributes["numbers"]
        return cls(group, quantizer, **arrays, scale=scale, numbers=numbers, noise=noise)


def read_samples(paths: Sequence[str | Path], group: str, limit: int = MAX_SAMPLES) -> GroupSamples:
    """Return one group's samples of several fields, at most `limit` in all.

    Every field contributes an equal number of samples at most.
    """
    share = max(1, limit // max(1, len(paths)))
    parts = []
    for number, path in enumerate(paths):
        part = SpectrumSamples.load(path)[group]
        features = part.features
        if len(features) > share:
            chosen = np.random.default_rng(number).choice(len(features), share, replace=False)
            features = features[np.sort(chosen)]
        parts.append(replace(part, features=features))
    return GroupSamples.merge(parts)


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
        Name of the group.
    settings : SpectrumSettings
        The quantizer, the size of the codebook, the number of Lloyd steps, and the seed.
    progress : callable
        Shows the progress of the steps.
    threads : int
        Threads of the fit; they do not change the result.
    """
    space = feature_space(group)
    width = space.width(group)
    features = samples.features.reshape(-1, width)
    mean, std, fitted = np.zeros(width), np.ones(width), features
    if len(features):
        mean, std = space.standardisation(features)
        fitted = space.to_fit(features, settings.seed)
    points = _points(space, fitted, mean, std)
    quantizer = _quantizer(points, space, settings, progress, threads)
    if fitted is features:
        counts, inertia = usage(quantizer, points, threads)
    else:
        counts, inertia = usage_of(quantizer, _points(space, features, mean, std), threads)
    numbers = {
        "inertia": inertia,
        "n_samples": len(features),
        "n_objects": samples.n_objects,
        "n_spectra": samples.n_spectra,
        "n_live": samples.n_live,
    }
    scale = summarise_column(space.scale_to_column(samples.scale))
    return SpectrumCodebook(group, quantizer, counts, mean, std, scale, numbers, samples.noise)


def _points(
    space: FeatureSpace, features: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Return the points that are quantized, float64 (N, D), of features (n, width)."""
    return space.standardise(features, mean, std).reshape(-1, len(space.weights))


def _quantizer(
    points: np.ndarray,
    space: FeatureSpace,
    settings: SpectrumSettings,
    progress: Progress,
    threads: int,
) -> FittedQuantizer:
    """Return a quantizer of standardised features (N, D): fitted, or with fixed codes."""
    levels = space.levels(settings.codebook_size)
    if levels is not None:
        return NearestCentroid(levels if len(points) else levels[:0])
    return fit_quantizer(
        settings.quantizer,
        "tokenizers.spectrum.quantizer",
        points,
        settings.codebook_size,
        settings.iterations,
        settings.seed,
        progress,
        threads,
    )
