"""The fitted tokenizers of a run: their files, the vocabulary that names them, and centroids.

Standardised centroids have no unit, so that a loss does not depend on the unit of a column.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from astromodal.core.vocab import VocabSpec
from astromodal.errors import FormatError, must_be
from astromodal.sequences.layout import IMAGE, SCALAR, SPECTRUM, Range, SequenceLayout
from astromodal.storage.json_files import read_json, write_json

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
        """Return the hash of each tokenizer by modality."""
        return {
            "image": self.image.hash,
            "scalar": self.scalar.hash,
            "spectrum": self.spectrum.hash,
        }

    def tables(self) -> CentroidTables:
        """Return the standardised centroids of all codes."""
        groups = self.spectrum.groups
        scalars = (self.scalar, self.image.codebook.bins, self.spectrum.scales)
        return CentroidTables(
            image=self.image.standardised(),
            scalar=np.concatenate([bins.standardised() for bins in scalars]),
            spectrum={name: self.spectrum.standardised(name) for name in groups},
            n_image=len(self.image.centroids),
            n_scalar=np.concatenate([bins.n_codes for bins in scalars]),
            n_spectrum={name: len(group.centroids) for name, group in groups.items()},
            seen=self.spectrum.seen,
            phases=np.concatenate([bins.phases for bins in scalars]),
        )


class NamesTokenizers(Protocol):
    """An object whose attributes are the paths of a run's tokenizers."""

    @property
    def scalar_tokenizer(self) -> str:
        """Path of the scalar tokenizer."""

    @property
    def spectrum_tokenizer(self) -> str:
        """Path of the spectrum tokenizer."""

    @property
    def autoencoder(self) -> str:
        """Path of the autoencoder of the image tokenizer."""

    @property
    def image_codebook(self) -> str:
        """Path of the codebook of the image tokenizer."""


class TokenizerFiles(NamedTuple):
    """Paths of the files of a run's tokenizers."""

    scalar: str
    spectrum: str
    autoencoder: str
    image_codebook: str

    @classmethod
    def of(cls, source: NamesTokenizers) -> TokenizerFiles:
        """Return the paths that a layout of paths, or the input of a job, names."""
        return cls(
            scalar=source.scalar_tokenizer,
            spectrum=source.spectrum_tokenizer,
            autoencoder=source.autoencoder,
            image_codebook=source.image_codebook,
        )


def load_tokenizers(files: TokenizerFiles, device: torch.device | str = "cpu") -> Tokenizers:
    """Read a run's tokenizers; the network of the image tokenizer runs on `device`."""
    # Here, not above: code that needs the tables alone does not load PyTorch and SciPy.
    from astromodal.tokenizers.images.tokenizer import ImageTokenizer
    from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
    from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

    return Tokenizers(
        ScalarTokenizer.load(files.scalar),
        SpectrumTokenizer.load(files.spectrum),
        ImageTokenizer.load(files.autoencoder, files.image_codebook, device),
    )


@dataclass(frozen=True)
class CentroidTables:
    """Standardised centroids of all codes, and how many rows of each table are in use.

    Attributes
    ----------
    image : float32 (K, L)
        Latents of the image codes.
    scalar : float32 (columns, n_bins)
        Centers of the scalar columns' bins, brightness of cutouts and scales of spectra last.
    spectrum : dict of str to float32 (K, D)
        By group. Spectra: (mean, contrast). Light curves: (deviation, precision, time step).
    n_image : int
    n_scalar : int64 (columns,)
    n_spectrum : dict of str to int
        Number of codes in use, the first rows of a table. The others are never a target.
    seen : dict of str to bool (k,)
        Codes of a group that stand for training samples; all of a group that is not named.
    phases : float64 (columns, n_bins), optional
        Centers of angles as parts of a turn, NaN in other columns; no column is one where None.
    """

    image: np.ndarray
    scalar: np.ndarray
    spectrum: Mapping[str, np.ndarray]
    n_image: int
    n_scalar: np.ndarray
    n_spectrum: Mapping[str, int]
    seen: Mapping[str, np.ndarray] = field(default_factory=dict)
    phases: np.ndarray | None = None

    @property
    def are_angles(self) -> np.ndarray:
        """Which scalar columns are angles, bool (columns,)."""
        if self.phases is None:
            return np.zeros(len(self.scalar), dtype=bool)
        return np.isfinite(self.phases).any(axis=1)

    def check(self, spec: VocabSpec) -> None:
        """Raise `FormatError` where the tables do not have the vocabulary's sizes."""
        sizes = {"image": len(self.image), "scalar": self.scalar.size}
        want = {"image": spec.v_image, "scalar": spec.v_scalar}
        for group in spec.spectrum_groups:
            sizes[group] = len(self.spectrum[group]) if group in self.spectrum else 0
            want[group] = spec.v_spectra
        for name, size in want.items():
            if sizes[name] != size:
                what = f"{name} tokenizer: codes"
                raise FormatError(
                    must_be(what, str(size), str(sizes[name]), "fit it with this config")
                )

    def of_range(self, ids: Range, spec: VocabSpec) -> np.ndarray:
        """Return a range's centroids, float32 (C, size, L); C is 1 where slots share them.

        Those of angles are 0: the mean of an angle's values means nothing.
        """
        if ids.modality == "image":
            return self.image[None]
        if ids.modality == "spectrum":
            return self.spectrum[_group_of(ids, spec)][None]
        column = (ids.offset - spec.scalar_offset) // ids.size
        columns = slice(column, column + ids.n_slots)
        return np.where(self.are_angles[columns, None], 0, self.scalar[columns])[:, :, None]

    def features(self, spec: VocabSpec, n_features: int) -> np.ndarray:
        """Return features of all token ids, float32 (V, n_features); 0 for special and unused ids.

        Each dimension of a centroid is replaced by its rank among the codes that stand for training
        samples, in [0, 1]: ranks are spread evenly whatever the tails of a distribution, and
        however many codes there are for artificial lines. The features are the cosine
        series in the ranks, of unit variance each, products of lowest total frequency first. Any
        smooth function of the centroid is then close to linear in the features.
        """
        table = np.zeros((spec.vocab_size, n_features), dtype=np.float32)

        def fill(offset: int, centroids: np.ndarray, seen: np.ndarray | None = None) -> None:
            table[offset : offset + len(centroids)] = cosine_features(centroids, n_features, seen)

        fill(spec.image_offset, self.image[: self.n_image])
        for column, used in enumerate(self.n_scalar.tolist()):
            fill(spec.column_offset(column), self.scalar[column, :used, None])
        for group, used in self.n_spectrum.items():
            fill(spec.spectrum_offset(group), self.spectrum[group][:used], self.seen.get(group))
        return table

    def value_features(self) -> np.ndarray:
        """Return features of values of scalar columns, float32 (columns, n_bins, 3).

        They are the standardised center, compressed by arcsinh, within ±4; the same not compressed;
        and its square, divided by 3. They are 0 in bins that are not in use. Cosines are smooth in
        the rank of a value; these are smooth in the value. Those of an angle are its cosine, its
        sine, and the cosine of twice it, in turns of its period: its ends are neighbours.
        """
        compressed = np.clip(self.scalar, -_FARTHEST, _FARTHEST)
        linear = np.clip(np.sinh(compressed), -_FARTHEST, _FARTHEST)
        parts = [compressed, linear, linear**2 / 3]
        features = np.stack(parts, axis=2)
        if self.phases is not None:
            turn = 2 * np.pi * self.phases[self.are_angles]
            features[self.are_angles] = np.stack([np.cos(turn), np.sin(turn), np.cos(2 * turn)], 2)
        in_use = np.arange(self.scalar.shape[1]) < self.n_scalar[:, None]
        return np.where(in_use[..., None], features, 0).astype(np.float32)


_FARTHEST = 4.0
"""Largest value of a feature of a value, in half widths of the central 68 %."""


def _group_of(ids: Range, spec: VocabSpec) -> str:
    return next(g for g in spec.spectrum_groups if spec.spectrum_offset(g) == ids.offset)


def cosine_features(
    centroids: np.ndarray, n_features: int, seen: np.ndarray | None = None
) -> np.ndarray:
    """Return the cosine series in the ranks of `centroids` (K, L), float32 (K, n_features).

    Ranks are those among the centroids of a mask `seen`, bool (K,), or among all of them where it
    is None or empty. Frequencies of K and above repeat lower ones, or are constant, at K ranks:
    their products are 0.
    """
    count, dims = centroids.shape
    if not count or not dims:
        return np.zeros((count, n_features), dtype=np.float32)
    counted = np.ones(count) if seen is None or not seen.any() else seen.astype(np.float64)
    order = np.argsort(centroids, axis=0, kind="stable")
    own = counted[order]
    ranks = np.empty((count, dims))
    np.put_along_axis(ranks, order, (own.cumsum(axis=0) - own / 2) / counted.sum(), axis=0)
    total = next(t for t in itertools.count(1) if len(_multi_indices(dims, t)) >= n_features)
    waves = np.array(_multi_indices(dims, total)[:n_features])  # (F, L)
    cosines = np.cos(np.pi * waves[None] * ranks[:, None])  # (K, F, L)
    size = np.where(waves >= counted.sum(), 0, np.where(waves > 0, np.sqrt(2), 1))
    return (cosines * size).prod(axis=2).astype(np.float32)


def _multi_indices(dims: int, total: int) -> list[tuple[int, ...]]:
    """Return all tuples of `dims` frequencies whose sum is 1, then 2, and so on up to `total`."""
    tuples: list[tuple[int, ...]] = []
    for degree in range(1, total + 1):
        tuples += _of_degree(dims, degree)
    return tuples


def _of_degree(dims: int, degree: int) -> list[tuple[int, ...]]:
    if dims == 1:
        return [(degree,)]
    return [(d, *rest) for d in range(degree, -1, -1) for rest in _of_degree(dims - 1, degree - d)]


def write_vocabulary(
    path: str | Path, layout: SequenceLayout, columns: tuple[str, ...], tokenizers: Tokenizers
) -> dict[str, Any]:
    """Check that the tokenizers fit the config's vocabulary, and write it.

    Parameters
    ----------
    path : path
        The JSON file to write.
    layout : SequenceLayout
        The layout of sequences.
    columns : tuple of str
        The config's scalar columns.
    tokenizers : Tokenizers
        The fitted tokenizers.

    Returns
    -------
    dict
        The content of the file: `VocabSpec.as_dict`, the scalar ``columns`` in the order of their
        ids (brightness of cutouts and scales of spectra last), the slots of ``blocks`` and the
        ``tokenizer_hashes``.

    Raises
    ------
    FormatError
        Where a tokenizer was fitted with another config.
    """
    if tokenizers.scalar.columns != columns:
        what, got = "scalar tokenizer: columns", str(list(tokenizers.scalar.columns))
        raise FormatError(must_be(what, str(list(columns)), got, "fit it with this config"))
    tokenizers.tables().check(layout.spec)
    values = {
        **layout.spec.as_dict(),
        "columns": [
            *columns,
            *tokenizers.image.codebook.bins.columns,
            *tokenizers.spectrum.scales.columns,
        ],
        "blocks": {block.name: block.length for block in layout.blocks},
        "tokenizer_hashes": tokenizers.hashes(),
    }
    write_json(path, values)
    return values


def check_hashes(vocabulary: Mapping[str, Any], hashes: Mapping[str, str], source: str) -> None:
    """Raise `FormatError` where hashes are not those of the vocabulary's tokenizers.

    Parameters
    ----------
    vocabulary : mapping
        The result of `read_vocabulary`.
    hashes : mapping
        Tokenizer hash by modality.
    source : str
        The file or object with these hashes, for the error.
    """
    for modality in (IMAGE, SCALAR, SPECTRUM):
        want, got = vocabulary["tokenizer_hashes"][modality], hashes.get(modality)
        if want != got:
            what, must = f"{source}: {modality} tokenizer", f"of hash {want}, as in the vocabulary"
            raise FormatError(must_be(what, must, str(got), "run it again with these tokenizers"))


def read_vocabulary(path: str | Path, layout: SequenceLayout) -> dict[str, Any]:
    """Read a file of `write_vocabulary`; raise `FormatError` where it has another layout."""
    values = read_json(path)
    want = layout.spec.as_dict()
    stored = {key: values.get(key) for key in want}
    if stored != want:
        differ = next(key for key in want if want[key] != stored[key])
        what, got = f"{path}: {differ}", str(stored[differ])
        raise FormatError(must_be(what, f"{want[differ]}, as in the config", got, "build it again"))
    return dict(values)
