"""Codebooks by k-means: greedy k-means++ seeds on a subsample, then Lloyd's steps on everything.

Distances are exact, by a k-d tree in float64, and a point's code depends on no other point: the
same codes follow whatever the size or the order of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from astromodal.core.files import atomic_path
from astromodal.core.progress import Progress, quiet
from astromodal.errors import DataError, must_be

N_SEEDING = 20_000
"""Points that the seeds are drawn from; Lloyd's steps see all of them."""

_CHUNK = 1 << 20
_LARGEST = 1e100  # its square is still a float64


@dataclass(frozen=True)
class Codebook:
    """Centroids, and how the training points lie around them.

    Attributes
    ----------
    centroids : float32 (k, D)
        Distinct, each the nearest one of at least one training point.
    counts : int64 (k,)
        Training points whose nearest centroid it is.
    inertia : float
        Mean squared distance of a training point to its centroid; 0 without points.
    """

    centroids: np.ndarray
    counts: np.ndarray
    inertia: float


def fit_codebook(
    x: np.ndarray, k: int, iterations: int, seed: int, progress: Progress = quiet
) -> Codebook:
    """Cluster points.

    Parameters
    ----------
    x : float (N, D)
        Points, finite.
    k : int
        Centroids wanted. There are fewer where there are fewer distinct points, none for none.
    iterations : int
        Lloyd's steps over all points. A centroid that a step leaves without points moves to one of
        those that lie farthest from theirs.
    seed : int
        Seed of the subsample and of the k-means++ draws: same points and seed, same codebook.
    progress : callable
        Shows the steps.

    Raises
    ------
    DataError
        Where a coordinate is not finite, or so large that its square is not.
    """
    points = np.ascontiguousarray(x, dtype=np.float64)
    if not len(points):
        return Codebook(points.astype(np.float32), np.empty(0, np.int64), 0.0)
    _check(points)
    generator = np.random.default_rng(seed)
    chosen = points
    if len(points) > N_SEEDING:
        chosen = points[np.sort(generator.choice(len(points), N_SEEDING, replace=False))]
    centroids = _seeds(chosen, k, generator)
    for _ in progress(range(iterations), iterations, "k-means"):
        centroids = _step(points, centroids, k)
    rounded = np.unique(centroids.astype(np.float32), axis=0)
    codes, squared = _assign(points, rounded)
    counts = np.bincount(codes, minlength=len(rounded))
    # A centroid without a point could never be a code: it takes no place in the codebook.
    return Codebook(rounded[counts > 0], counts[counts > 0], float(squared.mean()))


def nearest(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Index of the nearest centroid of each point, exact in float64.

    Parameters
    ----------
    x : float (N, D)
        Points, finite.
    centroids : float (k, D)
        At least one centroid.

    Returns
    -------
    int64 (N,)

    Raises
    ------
    DataError
        Where a coordinate is not finite, or so large that its square is not.
    """
    _check(x)
    return _assign(x, centroids)[0]


def write_joblib(path: str | Path, centroids: np.ndarray) -> None:
    """Dump the centroids as a fitted scikit-learn ``KMeans``, for users of scikit-learn.

    The workflow never reads the file: loading a pickle can run code.
    """
    import joblib  # here: only this needs scikit-learn, which takes seconds to import
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters=max(1, len(centroids)), n_init=1)
    model.cluster_centers_ = np.ascontiguousarray(centroids, dtype=np.float32)
    model.n_features_in_ = centroids.shape[1]
    model._n_threads = 1
    with atomic_path(path) as temporary:
        joblib.dump(model, temporary)


def _assign(x: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes int64 (N,) and squared distances float64 (N,) of points."""
    tree = cKDTree(np.asarray(centroids, dtype=np.float64))
    codes = np.empty(len(x), dtype=np.int64)
    squared = np.empty(len(x))
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        distance, codes[part] = tree.query(np.asarray(x[part], dtype=np.float64))
        squared[part] = distance**2
    return codes, squared


def _check(x: np.ndarray) -> None:
    largest = float(np.abs(x).max(initial=0.0))  # NaN where there is one
    if not largest < _LARGEST:
        raise DataError(
            must_be("points to cluster", f"finite and below {_LARGEST:g}", f"{largest}")
        )


def _seeds(x: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007): up to `k` distinct points of `x`.

    Each seed is the best of a few points drawn in proportion to their squared distance from the
    seeds so far, best meaning that it leaves the least total.
    """
    n_trials = 2 + int(np.log(k))
    seeds = [x[generator.integers(len(x))]]
    squared = ((x - seeds[0]) ** 2).sum(axis=1)
    while len(seeds) < k and squared.any():
        reached = np.cumsum(squared)
        drawn = np.searchsorted(reached, generator.random(n_trials) * reached[-1], side="right")
        drawn = np.minimum(drawn, len(x) - 1)
        # Rounding may hit a point without weight, a seed already: the farthest takes its place.
        trials = x[np.where(squared[drawn] > 0, drawn, squared.argmax())]
        left = sum((x[:, j] - trials[:, j, None]) ** 2 for j in range(x.shape[1]))
        np.minimum(left, squared, out=left)
        best = left.sum(axis=1).argmin()
        seeds.append(trials[best])
        squared = left[best]
    return np.array(seeds)


def _step(x: np.ndarray, centroids: np.ndarray, k: int) -> np.ndarray:
    """One of Lloyd's steps: each centroid becomes the mean of its points."""
    codes, squared = _assign(x, centroids)
    counts = np.bincount(codes, minlength=len(centroids))
    kept = counts > 0
    sums = [np.bincount(codes, weights=column, minlength=len(centroids)) for column in x.T]
    moved = np.stack(sums, axis=1)[kept] / counts[kept, None]
    free = min(k - len(moved), int(np.count_nonzero(squared)))
    if not free:
        return moved
    farthest = np.argpartition(squared, len(x) - free)[len(x) - free :]
    return np.concatenate([moved, np.unique(x[farthest], axis=0)])
