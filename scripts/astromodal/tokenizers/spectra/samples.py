"""What the spectrum tokenizer learns from one training field: a sample of features, and scales."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import GROUPS, SpectrumSettings
from astromodal.data.cube import Cube
from astromodal.data.light_curves import read_light_curves
from astromodal.data.spectra import read_spectra, rebinned
from astromodal.errors import FormatError, must_be
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.surveys.grids import is_light_curve
from astromodal.tokenizers.light_curves import features as light_curve_features
from astromodal.tokenizers.spectra.features import N_FEATURES, compress, object_scale
from astromodal.tokenizers.spectra.groups import n_features

_FORMAT: dict[str, Any] = {"format": "spectrum_samples", "version": 1}


@dataclass(frozen=True)
class GroupSamples:
    """Samples of one group.

    Attributes
    ----------
    features : float32 (m, D)
        Compressed features of good bins (D = 2) or epochs (D = 3), not standardised.
    scale : float64 (objects,)
        Scale of every live spectrum, or median magnitude of every live light curve, among the
        rows to fit on.
    n_spectra, n_live : int
        Spectra of the whole field, and those with a good pixel.
    """

    features: np.ndarray
    scale: np.ndarray
    n_spectra: int
    n_live: int

    @property
    def n_objects(self) -> int:
        """Live spectra among the rows to fit on."""
        return len(self.scale)

    @classmethod
    def merge(cls, parts: Iterable[GroupSamples]) -> GroupSamples:
        """Samples of several fields together; of none for no field."""
        listed = list(parts)
        width = listed[0].features.shape[1] if listed else N_FEATURES
        nothing = np.empty((0, width), np.float32)
        return cls(
            np.concatenate([nothing, *(part.features for part in listed)]),
            np.concatenate([np.empty(0), *(part.scale for part in listed)]),
            sum(part.n_spectra for part in listed),
            sum(part.n_live for part in listed),
        )


@dataclass(frozen=True)
class SpectrumSamples:
    """Samples of every group, by name."""

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
            counts[group] = {"n_spectra": samples.n_spectra, "n_live": samples.n_live}
        save_arrays(path, arrays, counts=counts, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> SpectrumSamples:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_FORMAT)
        return cls(
            {
                group: GroupSamples(stored[f"{group}_features"], stored[f"{group}_scale"], **count)
                for group, count in stored.attributes["counts"].items()
            }
        )

    @classmethod
    def merge(cls, parts: Sequence[SpectrumSamples]) -> SpectrumSamples:
        """Samples of several fields together, at least one; all must have the same groups."""
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
    """Sample a field's spectra.

    Parameters
    ----------
    cube : Cube
        The field's datacube.
    settings : SpectrumSettings
        Groups, bins, and the most bins that a group may contribute (`samples_per_field`): beyond
        it they are thinned at random, all spectra alike.
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
    generator = np.random.default_rng([seed, GROUPS.index(group)])
    kept = _Thinned(settings.samples_per_field, n_features(group), generator)
    scales = []
    n_spectra = n_live = 0
    for live, scale, features in (
        _curves(cube, group, rows_fit)
        if is_light_curve(group)
        else _spectra(cube, group, settings, rows_fit)
    ):
        n_spectra += len(live)
        n_live += int(live.sum())
        scales.append(scale)
        kept.add(features.astype(np.float32))
    return GroupSamples(kept.features(), np.concatenate([np.empty(0), *scales]), n_spectra, n_live)


def _spectra(
    cube: Cube, group: str, settings: SpectrumSettings, rows_fit: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Which spectra of a batch are live; scales and features of those to fit on."""
    for batch in read_spectra(cube, group, settings):
        live = batch.live()
        chosen = live & rows_fit[batch.row]
        flux, ivar = (part[chosen] for part in rebinned(batch, group, settings))
        scale = object_scale(flux, ivar)
        yield live, scale, compress(flux, ivar, scale)[ivar > 0]


def _curves(
    cube: Cube, group: str, rows_fit: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Which light curves of a batch are live; median magnitudes and features of those to fit on."""
    for batch in read_light_curves(cube, group):
        live = batch.live()
        fitted = batch.take(live & rows_fit[batch.row])
        median = light_curve_features.median_magnitude(fitted)
        yield live, median, light_curve_features.compress(fitted, median)


class _Thinned:
    """At most `limit` of the rows that are added, each as likely as any other.

    Every row draws a number, and those with the smallest are kept: how the rows are split over
    calls changes nothing.
    """

    def __init__(self, limit: int, width: int, generator: np.random.Generator) -> None:
        self._limit = limit
        self._generator = generator
        self._drawn = np.empty(0)
        self._rows = np.empty((0, width), np.float32)

    def add(self, rows: np.ndarray) -> None:
        self._drawn = np.concatenate([self._drawn, self._generator.random(len(rows))])
        self._rows = np.concatenate([self._rows, rows])
        if len(self._rows) > 2 * self._limit:
            self._thin()

    def features(self) -> np.ndarray:
        self._thin()
        return self._rows

    def _thin(self) -> None:
        if len(self._rows) > self._limit:
            smallest = np.sort(np.argpartition(self._drawn, self._limit)[: self._limit])
            self._drawn, self._rows = self._drawn[smallest], self._rows[smallest]
