"""Codebooks by k-means: greedy k-means++ seeds on a subsample, then Lloyd's steps on everything.

Distances are exact in float64, by lists of candidates in the plane and by a k-d tree elsewhere, and
a point's code depends on no other point: the same codes follow whatever the size or the order of a
batch, and whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from astromodal.core.files import atomic_path
from astromodal.core.progress import Progress, quiet
from astromodal.errors import DataError, must_be
from astromodal.tokenizers.neighbours import Plane

N_SEEDING = 100_000
"""Points that the seeds are drawn from; Lloyd's steps see all of them."""

_SEED_BLOCK = 2048
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
    x: np.ndarray,
    k: int,
    iterations: int,
    seed: int,
    progress: Progress = quiet,
    threads: int = 1,
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
    threads : int
        Threads that look for the nearest centroids; they change nothing else.

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
    n_trials = 2 + int(np.log(k))
    centroids = _seeds(chosen, k, generator.random((k, n_trials)))
    for _ in progress(range(iterations), iterations, "k-means"):
        centroids = _step(points, centroids, k, threads)
    rounded = np.unique(centroids.astype(np.float32), axis=0)
    codes, squared = _assign(points, rounded, threads)
    counts = np.bincount(codes, minlength=len(rounded))
    # A centroid without a point could never be a code: it takes no place in the codebook.
    return Codebook(rounded[counts > 0], counts[counts > 0], float(squared.mean()))


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


class Finder:
    """Looks up nearest centroids; what the search needs is prepared once.

    Parameters
    ----------
    centroids : float (k, D)
        At least one centroid, finite.
    """

    def __init__(self, centroids: np.ndarray) -> None:
        points = np.asarray(centroids, dtype=np.float64)
        self._search = Plane(points) if points.shape[1] == 2 else cKDTree(points)

    def nearest(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """Index of the nearest centroid of each point, exact in float64.

        Parameters
        ----------
        x : float (N, D)
            Points, finite.
        threads : int
            Threads that share the points; they change nothing else.

        Returns
        -------
        int32 (N,)
            Of equally near centroids the first, where D is 2.

        Raises
        ------
        DataError
            Where a coordinate is not finite, or so large that its square is not.
        """
        _check(x)
        return self.find(np.asarray(x, dtype=np.float64), threads)[0]

    def find(self, x: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices int32 (N,) and squared distances float64 (N,) of finite float64 points."""
        if isinstance(self._search, Plane):
            return self._search.nearest(x, threads)
        distance, codes = self._search.query(x, workers=threads)
        return codes.astype(np.int32), distance**2


def _assign(x: np.ndarray, centroids: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes int32 (N,) and squared distances float64 (N,) of points."""
    return Finder(centroids).find(x, threads)


def _check(x: np.ndarray) -> None:
    largest = float(np.abs(x).max(initial=0.0))  # NaN where there is one
    if not largest < _LARGEST:
        raise DataError(
            must_be("points to cluster", f"finite and below {_LARGEST:g}", f"{largest}")
        )


@njit(cache=True, nogil=True)
def _left_by(columns, start, at, squared, left):  # type: ignore[no-untyped-def]
    """Fill `left` with what a point `at` (D,) leaves of the squared distances from `start` on."""
    left[:] = 0
    for j in range(len(columns)):
        column, c = columns[j][start : start + len(left)], at[j]
        for i in range(len(left)):
            left[i] += (column[i] - c) ** 2
    before = squared[start : start + len(left)]
    for i in range(len(left)):
        left[i] = min(left[i], before[i])


@njit(cache=True, nogil=True)
def _sum(values):  # type: ignore[no-untyped-def]
    """Sum, four at a time: a single sum would wait for each addition to end."""
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    whole = len(values) // 4 * 4
    for i in range(0, whole, 4):
        t0 += values[i]
        t1 += values[i + 1]
        t2 += values[i + 2]
        t3 += values[i + 3]
    return t0 + t1 + t2 + t3 + values[whole:].sum()


@njit(cache=True, nogil=True)
def _seeds(x, k, drawn):  # type: ignore[no-untyped-def]
    """Greedy k-means++ (Arthur & Vassilvitskii 2007): up to `k` distinct points of `x`.

    Each seed is the best of a few points drawn in proportion to their squared distance from the
    seeds so far, best meaning that it leaves the least total. Row s of `drawn` (k, trials), uniform
    numbers, draws seed s.
    """
    n, n_dim = x.shape
    columns = np.ascontiguousarray(x.T)
    seeds, trials = np.empty((k, n_dim)), np.empty((drawn.shape[1], n_dim))
    squared, left, total = np.full(n, np.inf), np.empty(_SEED_BLOCK), np.empty(len(trials))
    reached = np.arange(1.0, n + 1)  # the first seed: each point as likely as any other
    for s in range(k):
        if s:
            reached = np.cumsum(squared)
            if reached[-1] == 0:
                return seeds[:s]
        for trial in range(len(trials)):
            at = min(np.searchsorted(reached, drawn[s, trial] * reached[-1], side="right"), n - 1)
            if squared[at] == 0:  # rounding hit a seed: the farthest takes its place
                at = squared.argmax()
            trials[trial] = x[at]
        # Block by block, so that points are fetched once for all trials.
        total[:] = 0
        for start in range(0, n if s else 0, _SEED_BLOCK):
            few = left[: min(_SEED_BLOCK, n - start)]
            for trial in range(len(trials)):
                _left_by(columns, start, trials[trial], squared, few)
                total[trial] += _sum(few)
        seeds[s] = trials[total.argmin()]
        for start in range(0, n, _SEED_BLOCK):
            few = left[: min(_SEED_BLOCK, n - start)]
            _left_by(columns, start, seeds[s], squared, few)
            squared[start : start + len(few)] = few
    return seeds


def _step(x: np.ndarray, centroids: np.ndarray, k: int, threads: int) -> np.ndarray:
    """One of Lloyd's steps: each centroid becomes the mean of its points."""
    codes, squared = _assign(x, centroids, threads)
    counts = np.bincount(codes, minlength=len(centroids))
    kept = counts > 0
    sums = [np.bincount(codes, weights=column, minlength=len(centroids)) for column in x.T]
    moved = np.stack(sums, axis=1)[kept] / counts[kept, None]
    free = min(k - len(moved), int(np.count_nonzero(squared)))
    if not free:
        return moved
    farthest = np.argpartition(squared, len(x) - free)[len(x) - free :]
    return np.concatenate([moved, np.unique(x[farthest], axis=0)])
