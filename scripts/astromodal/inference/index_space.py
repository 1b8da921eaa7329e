"""The space in which embeddings of objects are compared, and the lists that divide it.

Distances between embeddings by a query have a meaning. A dimension of other embeddings is divided
by its scatter, since a few large ones would dominate all distances. The leading principal
components are kept, in the order of their variance. k-means divides the space into lists of objects
near one centroid (inverted files: Jégou, Douze & Schmid 2011, IEEE TPAMI 33, 117). All of this is
learned from objects of the training split of training fields, so that other fields join or change
without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from astromodal.config.evaluate import QUERY, IndexSettings
from astromodal.core.loops import Progress, quiet
from astromodal.data.splits import SPLIT_NAMES, TRAIN
from astromodal.errors import DataError, FormatError, must_be
from astromodal.inference.tables import (
    embedding_vectors,
    read_meta,
    read_rows,
    sample_by_field,
)
from astromodal.storage.arrays import map_format, save_tensors
from astromodal.storage.formats import check_content, refuse_skipped, remake, usable
from astromodal.storage.hashing import hash_arrays
from astromodal.tokenizers.quantizers.kmeans import KMeans
from astromodal.tokenizers.quantizers.nearest import NearestCentroid

LEAST_PER_LIST = 32
"""Fewest objects per list that centroids are learned from."""
_STEPS = 10
_ROWS = 2048  # embeddings that are held in float64


@dataclass(frozen=True)
class IndexSpace:
    """The space of an index of similar objects.

    Attributes
    ----------
    mean : float64 (D,)
        Mean embedding.
    components : float64 (D, C)
        C principal components of embeddings, in the order of their variance; those of standardised
        ones are divided by the scatters of the dimensions.
    centroids : float32 (L, C)
        Centroids of the lists.
    model_hash, pooling : str
        Model and pooling of the embeddings.
    """

    mean: np.ndarray
    components: np.ndarray
    centroids: np.ndarray
    model_hash: str
    pooling: str

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        names = ("mean", "components", "centroids")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def hash(self) -> str:
        """Hash of the arrays."""
        return hash_arrays(self.arrays)

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Return embeddings (n, D) as points of the space, float32 (n, C)."""
        points = np.empty((len(vectors), self.components.shape[1]), np.float32)
        for part in _parts(len(vectors)):
            points[part] = (vectors[part] - self.mean) @ self.components
        return points

    def lists(self, points: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the number of each point's list, int32 (n,): that of the nearest centroid."""
        return NearestCentroid(self.centroids).encode(points, threads)

    def check_origin(self, path: str | Path) -> None:
        """Raise `FormatError` if a file of embeddings is of another model or pooling."""
        got, must = _origin(path), (self.model_hash, self.pooling)
        if got != must:
            what, do = f"model and pooling of {path}", "run embed_field and train_index again"
            raise FormatError(must_be(what, " and ".join(must), " and ".join(got), do))

    def save(self, path: str | Path) -> None:
        """Write the space to a file, atomically."""
        meta = {
            "format": "similarity_space",
            "version": "1",
            "model_hash": self.model_hash,
            "pooling": self.pooling,
            "content_hash": self.hash,
        }
        save_tensors(path, self.arrays, meta)

    @classmethod
    def load(cls, path: str | Path) -> IndexSpace:
        """Read a file of `save`.

        Raises
        ------
        FormatError
            If the file is damaged, or of another format or version.
        """
        names = ("mean", "components", "centroids")
        arrays, meta = map_format(path, "similarity_space", "1", names)
        found = hash_arrays(arrays)
        check_content(path, meta.get("content_hash"), found, remake("similarity_space"))
        return cls(**arrays, model_hash=meta["model_hash"], pooling=meta["pooling"])


def train_space(
    paths: Sequence[str | Path],
    settings: IndexSettings,
    progress: Progress = quiet,
    threads: int = 1,
) -> IndexSpace:
    """Learn a space from embeddings of training fields.

    Parameters
    ----------
    paths : sequence of path
        Files of `embed_field`. Fields that were skipped are left out.
    settings : IndexSettings
        Numbers of components, objects and lists, and the seed.
    progress : Progress
        Shows the steps of k-means.
    threads : int
        Threads of k-means; they change no result.

    Raises
    ------
    DataError
        If there are fewer than two objects in the training split.
    FormatError
        If the embeddings are of several models.
    """
    paths = usable(paths)
    sample = _sample(paths, settings)
    if len(sample) < 2:
        must, do = "at least two", "choose other training fields, or select more rows (selection)"
        raise DataError(must_be("embedded objects of the training split", must, len(sample), do))
    model_hash, pooling = _origin(paths[0])
    mean, components = principal_components(sample, settings.n_components, pooling)
    none = np.empty((0, 0), np.float32)
    unlisted = IndexSpace(mean, components, none, model_hash, pooling)
    for path in paths[1:]:
        unlisted.check_origin(path)
    points = unlisted.project(sample)
    n_lists = max(1, min(settings.n_lists, len(points) // LEAST_PER_LIST))
    fitted = KMeans.fit(points, n_lists, _STEPS, settings.seed, progress, threads)
    return replace(unlisted, centroids=fitted.centroids)


def _origin(path: str | Path) -> tuple[str, str]:
    """Return the hash of the model and the pooling of a file of embeddings."""
    refuse_skipped(path)
    meta = read_meta(path)
    return str(meta["model_hash"]), str(meta["pooling"])


def _sample(paths: Sequence[str | Path], settings: IndexSettings) -> np.ndarray:
    """Return embeddings of a sample of the training split, float32 (n, D)."""
    train = [_training_rows(path) for path in paths]
    chosen = sample_by_field([len(rows) for rows in train], settings.max_objects, settings.seed)
    tables = [
        read_rows(path, rows[places], ["embedding"])
        for path, rows, places in zip(paths, train, chosen, strict=True)
    ]
    return np.concatenate([embedding_vectors(table) for table in tables])


def _training_rows(path: str | Path) -> np.ndarray:
    """Return the rows of a file of embeddings that are in the training split, int64 (k,)."""
    split = pq.read_table(path, columns=["split"], page_checksum_verification=True)["split"]
    return np.flatnonzero(np.array(split.to_pylist(), dtype=np.str_) == SPLIT_NAMES[TRAIN])


def principal_components(
    sample: np.ndarray, most: int, pooling: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean, and the leading principal components of embeddings.

    Embeddings by a query are compared as they are. Others are standardised: their components are
    eigenvectors of the correlation matrix. Of each, the largest entry is positive, so that all
    linear algebra libraries give the same.

    Parameters
    ----------
    sample : float (n, D)
        Embeddings.
    most : int
        Largest number of components.
    pooling : str
        Pooling of the embeddings.

    Returns
    -------
    mean : float64 (D,)
        Mean embedding.
    components : float64 (D, C)
        Components in the order of their variance, divided by the scatters of the dimensions; C is
        `most`, or n or D where that is smaller.
    """
    mean = sample.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((len(mean), len(mean)))
    for part in _parts(len(sample)):
        centred = sample[part] - mean
        covariance += centred.T @ centred
    scatter = np.sqrt(covariance.diagonal() / len(sample))
    scatter = np.where((scatter > 0) & (pooling != QUERY), scatter, 1.0)
    _, vectors = np.linalg.eigh(covariance / np.outer(scatter, scatter))
    components = vectors[:, ::-1][:, : min(most, *sample.shape)]  # by decreasing variance
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(len(largest))])
    return mean, np.ascontiguousarray(components / scatter[:, None])


def _parts(n: int) -> Iterator[slice]:
    """Yield slices of n rows that bound the memory of float64 copies."""
    for start in range(0, n, _ROWS):
        yield slice(start, start + _ROWS)
