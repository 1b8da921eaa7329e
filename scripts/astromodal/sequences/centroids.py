"""What each token id means, as numbers: the centroids that the reconstruction terms compare.

All are standardised (no unit is left in them), so a loss does not change when a column's unit does.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astromodal.core.vocab import VocabSpec
from astromodal.errors import FormatError, must_be
from astromodal.sequences.layout import Range

if TYPE_CHECKING:
    import torch

    from astromodal.tokenizers.images.tokenizer import ImageTokenizer
    from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
    from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer


@dataclass(frozen=True)
class Tokenizers:
    """The three fitted tokenizers of a run."""

    scalar: ScalarTokenizer
    spectrum: SpectrumTokenizer
    image: ImageTokenizer

    def hashes(self) -> dict[str, str]:
        """Hash of each, by modality."""
        return {
            "image": self.image.hash,
            "scalar": self.scalar.hash,
            "spectrum": self.spectrum.hash,
        }

    def tables(self) -> CentroidTables:
        """Standardised centroids of every code."""
        scales, groups = self.spectrum.scales, self.spectrum.groups
        return CentroidTables(
            image=self.image.standardised(),
            scalar=np.concatenate([self.scalar.standardised(), scales.standardised()]),
            spectrum={name: self.spectrum.standardised(name) for name in groups},
            n_image=len(self.image.centroids),
            n_scalar=np.concatenate([self.scalar.n_codes, scales.n_codes]),
            n_spectrum={name: len(group.centroids) for name, group in groups.items()},
        )


def load_tokenizers(
    scalar: str | Path,
    spectrum: str | Path,
    autoencoder: str | Path,
    image_codebook: str | Path,
    device: torch.device | str = "cpu",
) -> Tokenizers:
    """Read a run's tokenizers from their files; the image tokenizer's network runs on `device`."""
    # Here, not above: what only needs the tables does not load PyTorch and SciPy.
    from astromodal.tokenizers.images.tokenizer import ImageTokenizer
    from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
    from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

    return Tokenizers(
        ScalarTokenizer.load(scalar),
        SpectrumTokenizer.load(spectrum),
        ImageTokenizer.load(autoencoder, image_codebook, device),
    )


@dataclass(frozen=True)
class CentroidTables:
    """Standardised centroids of every code, and how many of a table's rows are in use.

    Attributes
    ----------
    image : float32 (K, L)
        Latents of the image codes.
    scalar : float32 (columns, n_bins)
        Centers of the scalar columns' bins, the spectra's scales last.
    spectrum : dict of str to float32 (K, D)
        (flux_norm, precision) of each spectrum group's codes, (deviation, precision, time step) of
        each light-curve group's.
    n_image : int
    n_scalar : int64 (columns,)
    n_spectrum : dict of str to int
        Codes in use: rows beyond are never a target.
    """

    image: np.ndarray
    scalar: np.ndarray
    spectrum: Mapping[str, np.ndarray]
    n_image: int
    n_scalar: np.ndarray
    n_spectrum: Mapping[str, int]

    def check(self, spec: VocabSpec) -> None:
        """Raise `FormatError` where the tables do not have the vocabulary's sizes."""
        found = {"image": len(self.image), "scalar": self.scalar.size}
        want = {"image": spec.v_image, "scalar": spec.v_scalar}
        for group in spec.spectrum_groups:
            found[group] = len(self.spectrum[group]) if group in self.spectrum else 0
            want[group] = spec.v_spectra
        for name, size in want.items():
            if found[name] != size:
                what = f"{name} tokenizer: codes"
                raise FormatError(
                    must_be(what, str(size), str(found[name]), "fit it with this config")
                )

    def of_range(self, ids: Range, spec: VocabSpec) -> np.ndarray:
        """Centroids of a range's ids, float32 (C, size, L): C is 1 where all slots share them."""
        if ids.modality == "image":
            return self.image[None]
        if ids.modality == "spectrum":
            return self.spectrum[_group_of(ids, spec)][None]
        column = (ids.offset - spec.scalar_offset) // ids.size
        return self.scalar[column : column + ids.n_slots, :, None]

    def features(self, spec: VocabSpec, n_features: int) -> np.ndarray:
        """Features of every token id, float32 (V, n_features); 0 for special and unused ids.

        A code's centroid is replaced, dimension by dimension, by its rank among the codes in use,
        in [0, 1]: ranks spread evenly whatever the tails. The features are the cosine series in the
        ranks, the products of lowest total frequency first, each of unit variance. Any smooth
        function of the centroid is then close to linear in them.
        """
        table = np.zeros((spec.vocab_size, n_features), dtype=np.float32)

        def fill(offset: int, centroids: np.ndarray) -> None:
            table[offset : offset + len(centroids)] = cosine_features(centroids, n_features)

        fill(spec.image_offset, self.image[: self.n_image])
        for column, used in enumerate(self.n_scalar.tolist()):
            fill(spec.column_offset(column), self.scalar[column, :used, None])
        for group, used in self.n_spectrum.items():
            fill(spec.spectrum_offset(group), self.spectrum[group][:used])
        return table


def _group_of(ids: Range, spec: VocabSpec) -> str:
    return next(g for g in spec.spectrum_groups if spec.spectrum_offset(g) == ids.offset)


def cosine_features(centroids: np.ndarray, n_features: int) -> np.ndarray:
    """Cosine series in the ranks of `centroids` (K, L), float32 (K, n_features)."""
    count, dims = centroids.shape
    if not count or not dims:
        return np.zeros((count, n_features), dtype=np.float32)
    order = np.argsort(centroids, axis=0, kind="stable")
    ranks = np.empty((count, dims))
    np.put_along_axis(ranks, order, ((np.arange(count) + 0.5) / count)[:, None], axis=0)
    total = next(t for t in itertools.count(1) if len(_multi_indices(dims, t)) >= n_features)
    waves = np.array(_multi_indices(dims, total)[:n_features])  # (F, L)
    cosines = np.cos(np.pi * waves[None] * ranks[:, None])  # (K, F, L)
    return (cosines * np.where(waves > 0, np.sqrt(2), 1)).prod(axis=2).astype(np.float32)


def _multi_indices(dims: int, total: int) -> list[tuple[int, ...]]:
    """Tuples of `dims` frequencies that sum to 1, then to 2, up to `total`."""
    found: list[tuple[int, ...]] = []
    for degree in range(1, total + 1):
        found += _of_degree(dims, degree)
    return found


def _of_degree(dims: int, degree: int) -> list[tuple[int, ...]]:
    if dims == 1:
        return [(degree,)]
    return [(d, *rest) for d in range(degree, -1, -1) for rest in _of_degree(dims - 1, degree - d)]
