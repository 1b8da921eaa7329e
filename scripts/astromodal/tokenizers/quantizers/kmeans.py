"""Codebooks by k-means: greedy k-means++ seeds on a subsample, then Lloyd's steps on everything.

Distances are exact in float64, by lists of candidates in the plane and by a k-d tree elsewhere, and
a point's code depends on no other point: the same codes follow whatever the size or the order of a
batch, and whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from astromodal.core.progress import Progress, quiet
from astromodal.errors import DataError, must_be
from astromodal.storage.tempfiles import atomic_path
from astromodal.tokenizers.quantizers.nearest import Plane

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

N_SEEDING = 100_000
"""Points that the seeds are drawn from; Lloyd's steps see all of them."""

_SEED_BLOCK = 256  # points that lie together and are looked at together; of fours
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
    centroids = draw_seeds(chosen, generator.random((k, n_trials)))
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


def _tree(points: np.ndarray) -> cKDTree:
    """A k-d tree of points."""
    # Here: it takes a fifth of a second to import, and a job that encodes in the plane has none.
    from scipy.spatial import cKDTree

    return cKDTree(points)


class Finder:
    """Looks up nearest centroids; what the search needs is prepared once.

    Parameters
    ----------
    centroids : float (k, D)
        At least one centroid, finite.
    """

    def __init__(self, centroids: np.ndarray) -> None:
        points = np.asarray(centroids, dtype=np.float64)
        self._search = Plane(points) if points.shape[1] == 2 else _tree(points)

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


def draw_seeds(x: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Seeds by greedy k-means++ (Arthur & Vassilvitskii 2007).

    Each seed is the best of a few points drawn in proportion to their squared distance from the
    seeds so far, best meaning that it leaves the least total.

    Parameters
    ----------
    x : float64 (N, D)
        At least one point, finite.
    drawn : float64 (k, trials)
        Uniform numbers from 0 to below 1; row s draws seed s.

    Returns
    -------
    float64 (up to k, D)
        Distinct points: fewer than k where `x` has no more.
    """
    n = len(x)
    order = np.pad(_tree(x).indices, (0, -n % _SEED_BLOCK), mode="edge")  # neighbours together
    blocks = np.ascontiguousarray(x[order].reshape(-1, _SEED_BLOCK, x.shape[1]).swapaxes(1, 2))
    squared = np.full((len(blocks), _SEED_BLOCK), np.inf)
    squared.reshape(-1)[n:] = 0  # what fills the last block is a seed already: never drawn
    return _draw_from_blocks(blocks, blocks.min(axis=2), blocks.max(axis=2), squared, n, drawn)


@njit(cache=True, nogil=True)
def _draw_from_blocks(blocks, low, high, squared, n, drawn):  # type: ignore[no-untyped-def]
    """Seeds among `n` points in blocks (B, D, _SEED_BLOCK) that span `low` to `high` (B, D).

    A block that is farther from a new seed than its points are from theirs is passed over. The
    squared distances from the seeds (B, _SEED_BLOCK) come infinite, and leave updated.
    """
    seeds, trials = np.empty((len(drawn), low.shape[1])), np.empty((drawn.shape[1], low.shape[1]))
    sums, largest, left = np.empty(len(low)), np.full(len(low), np.inf), np.empty(_SEED_BLOCK)
    gains = np.empty(len(trials))
    for s in range(len(seeds)):
        if s == 0:
            first = min(int(drawn[0, 0] * n), n - 1)
            seeds[0] = blocks[first // _SEED_BLOCK, :, first % _SEED_BLOCK]
        else:
            reached = np.cumsum(sums)
            for trial in range(len(trials)):
                block, place = _draw(drawn[s, trial], reached, squared)
                trials[trial] = blocks[block, :, place]
            gains[:] = 0
            for b in range(len(blocks)):
                for trial in range(len(trials)):
                    if _beyond(low[b], high[b], trials[trial]) < largest[b]:
                        gains[trial] += sums[b] - _left_by(
                            blocks[b], trials[trial], squared[b], left
                        )
            seeds[s] = trials[gains.argmax()]
        for b in range(len(blocks)):
            if _beyond(low[b], high[b], seeds[s]) < largest[b]:
                sums[b] = _left_by(blocks[b], seeds[s], squared[b], left)
                squared[b], largest[b] = left, left.max()
        if not largest.any():
            return seeds[: s + 1]
    return seeds


@njit(cache=True, nogil=True)
def _draw(uniform, reached, squared):  # type: ignore[no-untyped-def]
    """Block and place of the point that a uniform number draws in proportion to `squared`.

    `reached` (B,) are cumulative sums of the blocks of `squared`.
    """
    target = uniform * reached[-1]
    block = min(np.searchsorted(reached, target, side="right"), len(reached) - 1)
    if block:
        target -= reached[block - 1]
    inside = np.cumsum(squared[block])
    place = min(np.searchsorted(inside, target, side="right"), len(inside) - 1)
    if squared[block, place] == 0:  # rounding hit a seed: the farthest takes its place
        block, place = divmod(squared.argmax(), squared.shape[1])
    return block, place


@njit(cache=True, nogil=True)
def _beyond(low, high, at):  # type: ignore[no-untyped-def]
    """Squared distance of a point `at` (D,) from a box."""
    total = 0.0
    for j in range(len(at)):
        total += max(low[j] - at[j], 0.0, at[j] - high[j]) ** 2
    return total


@njit(cache=True, nogil=True)
def _left_by(points, at, before, left):  # type: ignore[no-untyped-def]
    """Fill `left` with what a seed `at` (D,) leaves of the squared distances `before`; sum it.

    The sum runs four at a time: a single one would wait for each addition to end.
    """
    left[:] = 0
    for j in range(len(points)):
        column, c = points[j], at[j]
        for i in range(len(left)):
            left[i] += (column[i] - c) ** 2
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    for i in range(0, _SEED_BLOCK, 4):
        for place in range(i, i + 4):
            left[place] = min(left[place], before[place])
        t0 += left[i]
        t1 += left[i + 1]
        t2 += left[i + 2]
        t3 += left[i + 3]
    return t0 + t1 + t2 + t3


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
