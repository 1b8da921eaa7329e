"""k-means: greedy k-means++ seeds on a subsample, then Lloyd steps on all points.

Distances are exact in float64, and a code depends on its point alone: the batch size, the order of
a batch and the number of threads change no code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import njit

from astromodal.core.loops import Progress, quiet
from astromodal.storage.tempfiles import atomic_path
from astromodal.tokenizers.quantizers.base import (
    DEFAULT,
    QUANTIZERS,
    FittedQuantizer,
    Quantizer,
    check_fitted,
)
from astromodal.tokenizers.quantizers.nearest import NearestCentroid, check_points, tree_of

N_SEEDING = 100_000
"""Points that the seeds are chosen from; Lloyd steps see all of them."""

_SEED_BLOCK = 256  # points in a block of neighbours; a multiple of 4


@QUANTIZERS.register
class KMeans(NearestCentroid, Quantizer):
    """The codebook of a k-means clustering.

    Each centroid is the nearest one of at least one training point, and they are distinct.
    """

    name = DEFAULT

    @classmethod
    def fit(
        cls,
        points: np.ndarray,
        size: int,
        iterations: int,
        seed: int,
        progress: Progress = quiet,
        threads: int = 1,
    ) -> KMeans:
        """Cluster points.

        Parameters
        ----------
        points : float (N, D)
            Points, finite.
        size : int
            Largest number of centroids. There are fewer where there are fewer distinct points, and
            none without points.
        iterations : int
            Lloyd steps over all points. A centroid that loses its last point moves to one of the
            points that lie farthest from their centroids.
        seed : int
            Seed of the subsample and of k-means++: same points and seed, same codebook.
        progress : callable
            Shows the steps.
        threads : int
            Threads that search for the nearest centroids; they change no result.

        Raises
        ------
        DataError
            Where a coordinate is not finite, or so large that its square is not.
        """
        x = np.ascontiguousarray(points, dtype=np.float64)
        if not len(x):
            return cls(x.astype(np.float32), np.empty(0, np.int64), 0.0)
        check_points(x)
        generator = np.random.default_rng(seed)
        chosen = x
        if len(x) > N_SEEDING:
            chosen = x[np.sort(generator.choice(len(x), N_SEEDING, replace=False))]
        n_trials = 2 + int(np.log(size))
        centroids = choose_seeds(chosen, generator.random((size, n_trials)))
        for _ in progress(range(iterations), iterations, "k-means"):
            centroids = _step(x, centroids, size, threads)
        rounded = np.unique(centroids.astype(np.float32), axis=0)
        codes, squared = NearestCentroid(rounded).search(x, threads)
        counts = np.bincount(codes, minlength=len(rounded))
        # A centroid without a point could never be a code: it takes no place in the codebook.
        return cls(rounded[counts > 0], counts[counts > 0], float(squared.mean()))


def fit_quantizer(
    name: str,
    setting: str,
    points: np.ndarray,
    size: int,
    iterations: int,
    seed: int,
    progress: Progress = quiet,
    threads: int = 1,
) -> FittedQuantizer:
    """Fit the quantizer that a setting names.

    Parameters
    ----------
    name, setting : str
        The quantizer's name, and the dotted name of the setting that gives it.
    points, size, iterations, seed, progress, threads
        As `Quantizer.fit` takes them.

    Raises
    ------
    ConfigError
        Where no quantizer has this name, or its codebook is not what `check_fitted` wants.
    """
    # k-means is named in full: edits of it then redo the jobs that fit, and no others.
    kind: type[Quantizer] = KMeans if name == KMeans.name else QUANTIZERS.get(name, setting)
    fitted = kind.fit(points, size, iterations, seed, progress, threads)
    check_fitted(fitted, size, points.shape[1])
    return fitted


def write_joblib(path: str | Path, centroids: np.ndarray) -> None:
    """Write centroids (k, D) as a fitted scikit-learn ``KMeans``, for users of scikit-learn.

    The workflow never reads the file: loading a pickle can run code. Of another quantizer than
    k-means the file holds the centroids, and its predictions are the nearest of them.
    """
    import joblib  # here: only this needs scikit-learn, which takes seconds to import
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters=max(1, len(centroids)), n_init=1)
    model.cluster_centers_ = np.ascontiguousarray(centroids, dtype=np.float32)
    model.n_features_in_ = centroids.shape[1]
    model._n_threads = 1
    with atomic_path(path) as temporary:
        joblib.dump(model, temporary)


def choose_seeds(x: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Choose seeds by greedy k-means++ (Arthur & Vassilvitskii 2007).

    Each seed is the best of a few candidates. A candidate is sampled in proportion to its squared
    distance from the nearest seed so far; the best one leaves the smallest sum of squared
    distances.

    Parameters
    ----------
    x : float64 (N, D)
        At least one point, finite.
    uniform : float64 (k, trials)
        Uniform numbers from 0 to below 1; row s samples the candidates of seed s.

    Returns
    -------
    float64 (up to k, D)
        Distinct points: fewer than k where `x` has no more.
    """
    n = len(x)
    order = np.pad(tree_of(x).indices, (0, -n % _SEED_BLOCK), mode="edge")  # neighbours together
    blocks = np.ascontiguousarray(x[order].reshape(-1, _SEED_BLOCK, x.shape[1]).swapaxes(1, 2))
    squared = np.full((len(blocks), _SEED_BLOCK), np.inf)
    squared.reshape(-1)[n:] = 0  # the padding counts as seeds already: it is never sampled
    return _seeds_of_blocks(blocks, blocks.min(axis=2), blocks.max(axis=2), squared, n, uniform)


@njit(cache=True, nogil=True)
def _seeds_of_blocks(blocks, low, high, squared, n, uniform):  # type: ignore[no-untyped-def]
    """Choose seeds among `n` points in blocks (B, D, _SEED_BLOCK) that span `low` to `high` (B, D).

    A block is skipped where it lies farther from a new seed than its points lie from their nearest
    seeds. `squared` (B, _SEED_BLOCK) are squared distances from the nearest seed, infinite at
    first, and updated in place.
    """
    seeds, trials = (
        np.empty((len(uniform), low.shape[1])),
        np.empty((uniform.shape[1], low.shape[1])),
    )
    sums, largest, left = np.empty(len(low)), np.full(len(low), np.inf), np.empty(_SEED_BLOCK)
    gains = np.empty(len(trials))
    for s in range(len(seeds)):
        if s == 0:
            first = min(int(uniform[0, 0] * n), n - 1)
            seeds[0] = blocks[first // _SEED_BLOCK, :, first % _SEED_BLOCK]
        else:
            reached = np.cumsum(sums)
            for trial in range(len(trials)):
                block, place = _sample(uniform[s, trial], reached, squared)
                trials[trial] = blocks[block, :, place]
            gains[:] = 0
            for b in range(len(blocks)):
                for trial in range(len(trials)):
                    if _distance_to_box(low[b], high[b], trials[trial]) < largest[b]:
                        gains[trial] += sums[b] - _left_by(
                            blocks[b], trials[trial], squared[b], left
                        )
            seeds[s] = trials[gains.argmax()]
        for b in range(len(blocks)):
            if _distance_to_box(low[b], high[b], seeds[s]) < largest[b]:
                sums[b] = _left_by(blocks[b], seeds[s], squared[b], left)
                squared[b], largest[b] = left, left.max()
        if not largest.any():
            return seeds[: s + 1]
    return seeds


@njit(cache=True, nogil=True)
def _sample(uniform, reached, squared):  # type: ignore[no-untyped-def]
    """Return block and place of a point, sampled in proportion to `squared`.

    `uniform` is from 0 to below 1, `reached` (B,) the cumulative sums of the blocks of `squared`.
    """
    target = uniform * reached[-1]
    block = min(np.searchsorted(reached, target, side="right"), len(reached) - 1)
    if block:
        target -= reached[block - 1]
    inside = np.cumsum(squared[block])
    place = min(np.searchsorted(inside, target, side="right"), len(inside) - 1)
    if squared[block, place] == 0:  # rounding chose a seed: take the farthest point
        block, place = divmod(squared.argmax(), squared.shape[1])
    return block, place


@njit(cache=True, nogil=True)
def _distance_to_box(low, high, at):  # type: ignore[no-untyped-def]
    """Return the squared distance of a point `at` (D,) from a box."""
    total = 0.0
    for j in range(len(at)):
        total += max(low[j] - at[j], 0.0, at[j] - high[j]) ** 2
    return total


@njit(cache=True, nogil=True)
def _left_by(points, at, before, left):  # type: ignore[no-untyped-def]
    """Fill `left` with squared distances after a seed `at` (D,) is added; return their sum.

    `before` are those without it. Four sums run side by side: a single one would wait for each
    addition to end.
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
    """Take a Lloyd step: return the mean of each centroid's points."""
    codes, squared = NearestCentroid(centroids).search(x, threads)
    counts = np.bincount(codes, minlength=len(centroids))
    kept = counts > 0
    sums = [np.bincount(codes, weights=column, minlength=len(centroids)) for column in x.T]
    moved = np.stack(sums, axis=1)[kept] / counts[kept, None]
    free = min(k - len(moved), int(np.count_nonzero(squared)))
    if not free:
        return moved
    farthest = np.argpartition(squared, len(x) - free)[len(x) - free :]
    return np.concatenate([moved, np.unique(x[farthest], axis=0)])
