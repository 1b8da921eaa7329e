"""Search for similar objects: the nearest ones in the space of an index.

A search compares with all objects of all fields, or with those in the lists whose centroids are
nearest (Jégou, Douze & Schmid 2011, IEEE TPAMI 33, 117). Components are in the order of their
variance: most objects are farther than the nearest ones in the first eight alone, and the others
are then not computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from astromodal.core.loops import share
from astromodal.errors import ConfigError, DataError, must_be
from astromodal.inference.index_files import FieldVectors, SimilarityIndex

_ROWS = 4096  # points compared with all queries while they are in the processor's cache
_QUERIES = 4096  # queries that are searched for at once
_FIRST = 8  # components that are computed of every point


@dataclass(frozen=True)
class Similar:
    """The k most similar objects of each of n objects, nearest first.

    Where an index has fewer than k, the last ones have an empty field and id, row -1 and distance
    NaN.

    Attributes
    ----------
    objects : unicode (n,)
        Ids of the objects; empty where they are unknown.
    field, id : unicode (n, k)
        Field and id of the similar objects.
    row : int64 (n, k)
        Their rows in the cubes of their fields.
    distance : float64 (n, k)
        Euclidean distances between principal components of embeddings, without a unit, rounded as
        float32 is.
    """

    objects: np.ndarray
    field: np.ndarray
    id: np.ndarray
    row: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.objects)

    def table(self) -> pd.DataFrame:
        """Return one row per similar object: object, its number, rank, field, id, row, distance."""
        number, rank = np.nonzero(self.row >= 0)
        columns = {"object": self.objects[number], "number": number, "rank": rank + 1}
        names = ("field", "id", "row", "distance")
        return pd.DataFrame(columns | {name: getattr(self, name)[number, rank] for name in names})


def check_search(
    vectors: np.ndarray, width: int, k: int, n_probe: int | None, ids: np.ndarray | None
) -> None:
    """Raise an error if embeddings, or the numbers of a search, are invalid.

    Raises
    ------
    ConfigError
        If `k` or `n_probe` is below 1.
    DataError
        If the embeddings are not finite numbers of shape (n, width), or there are not n ids.
    """
    for name, number in (("k", k), ("n_probe", n_probe)):
        if number is not None and number < 1:
            raise ConfigError(must_be(name, "at least 1", number))
    if vectors.ndim != 2 or vectors.shape[1] != width:
        must = f"of shape (n, {width}), as the model's"
        raise DataError(must_be("embeddings", must, str(vectors.shape)))
    if not np.isfinite(vectors).all():
        raise DataError(must_be("embeddings", "finite", "NaN or infinity"))
    if ids is not None and ids.shape != (len(vectors),):
        raise DataError(must_be("ids", f"{len(vectors)}, one per object", str(ids.shape)))


def find_similar(
    index: SimilarityIndex,
    vectors: np.ndarray,
    k: int,
    n_probe: int | None,
    ids: np.ndarray | None = None,
    left_out: bool = True,
    threads: int = 1,
) -> Similar:
    """Search for the most similar objects.

    Parameters
    ----------
    index : SimilarityIndex
        The index.
    vectors : float (n, D)
        Embeddings, finite.
    k : int
        Objects to find for each embedding.
    n_probe : int, optional
        Lists to look through, the nearest ones; None compares with all objects. With lists, there
        are fewer than k where these lists hold fewer.
    ids : unicode (n,), optional
        Ids of the objects.
    left_out : bool
        Whether objects of the index that have an object's own id are left out.
    threads : int
        Threads that share the embeddings; they change no result.
    """
    points = index.space.project(vectors)
    own = np.full(len(points), "", dtype=np.str_) if ids is None else ids
    left_out = left_out and ids is not None
    wanted = k + 1 if left_out else k
    while True:
        near, squared = search(index, points, wanted, n_probe, threads)
        field, name, row = _objects(index, near)
        kept = near >= 0
        if left_out:
            kept &= name != own[:, None]
        # An id that is in many fields takes many places.
        if not ((kept.sum(axis=1) < k) & (near[:, -1] >= 0)).any():
            break
        wanted *= 2
    first = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    held = np.take_along_axis(kept, first, axis=1)
    field, name, row, squared = (
        np.take_along_axis(values, first, axis=1) for values in (field, name, row, squared)
    )
    distance = np.where(held, np.sqrt(squared, dtype=np.float64), np.nan)
    field, name = np.where(held, field, ""), np.where(held, name, "")
    return Similar(own, field, name, np.where(held, row, -1), distance)


def search(
    index: SimilarityIndex, points: np.ndarray, k: int, n_probe: int | None, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest objects of points in the space of an index.

    Parameters
    ----------
    index, k, n_probe, threads
        As for `find_similar`.
    points : float32 (n, C)
        The points.

    Returns
    -------
    near : int64 (n, k)
        Numbers of the objects, counted through all fields, nearest first, of equally near ones the
        first; -1 where there are fewer.
    squared : float32 (n, k)
        Squared distances.
    """
    near = np.full((len(points), k), -1, np.int64)
    squared = np.full((len(points), k), np.inf, np.float32)
    for start in range(0, len(points), _QUERIES):
        part = slice(start, start + _QUERIES)
        lists = None if n_probe is None else _nearest_lists(index, points[part], n_probe, threads)
        first = 0
        for vectors in index.fields.values():
            for begin, end in _ranges(vectors, lists, len(points[part])):
                found = near[part], squared[part]
                _compare(points[part], vectors.points, (begin, end), first, found, threads)
            first += len(vectors)
    return near, squared


def _nearest_lists(
    index: SimilarityIndex, points: np.ndarray, n_probe: int, threads: int
) -> np.ndarray:
    """Return the lists whose centroids are nearest to points, int64 (n, p), nearest first."""
    centroids, n = index.space.centroids, len(points)
    near = np.full((n, min(n_probe, len(centroids))), -1, np.int64)
    squared = np.full(near.shape, np.inf, np.float32)
    every = np.zeros((n, 1), np.int64), np.full((n, 1), len(centroids))
    _compare(points, centroids, every, 0, (near, squared), threads)
    return near


def _ranges(
    vectors: FieldVectors, lists: np.ndarray | None, n: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield begins and ends, int64 (n, p) each, of the points of a field to compare n with."""
    if lists is not None:
        yield vectors.list_ptr[lists], vectors.list_ptr[lists + 1]
        return
    for start in range(0, len(vectors), _ROWS):
        end = min(start + _ROWS, len(vectors))
        yield np.full((n, 1), start), np.full((n, 1), end)


def _compare(
    points: np.ndarray,
    others: np.ndarray,
    ranges: tuple[np.ndarray, np.ndarray],
    first: int,
    found: tuple[np.ndarray, np.ndarray],
    threads: int,
) -> None:
    """Update the nearest objects that are `found` by ranges of others, numbered from `first`."""
    (begin, end), (near, squared) = ranges, found

    def work(part: slice) -> None:
        _scan(points[part], others, begin[part], end[part], first, near[part], squared[part])

    share(threads, len(points), work)


# Sums may be computed in any order: eight at once.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _scan(points, others, begin, end, first, near, squared):  # type: ignore[no-untyped-def]
    """Insert those of `others` into `near` (n, k) that are nearer than what it holds."""
    width, last = points.shape[1], near.shape[1] - 1
    head = min(_FIRST, width)
    for i in range(len(points)):
        for p in range(begin.shape[1]):
            for r in range(begin[i, p], end[i, p]):
                total = np.float32(0)
                for c in range(head):
                    step = points[i, c] - others[r, c]
                    total += step * step
                if total > squared[i, last]:
                    continue
                for c in range(head, width):
                    step = points[i, c] - others[r, c]
                    total += step * step
                j, number = last, first + r
                if total > squared[i, j] or (total == squared[i, j] and number > near[i, j]):
                    continue
                while j > 0 and (
                    total < squared[i, j - 1]
                    or (total == squared[i, j - 1] and number < near[i, j - 1])
                ):
                    squared[i, j], near[i, j] = squared[i, j - 1], near[i, j - 1]
                    j -= 1
                squared[i, j], near[i, j] = total, number


def _objects(index: SimilarityIndex, near: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return fields and ids, unicode, and rows, int64, of objects by their numbers (n, k)."""
    starts = np.cumsum([0, *map(len, index.fields.values())])
    which = np.searchsorted(starts, near, side="right") - 1
    field, name = (np.full(near.shape, "", dtype=object) for _ in range(2))
    row = np.full(near.shape, -1, np.int64)
    for number in np.unique(which[near >= 0]).tolist():
        label, vectors = list(index.fields.items())[number]
        own = (which == number) & (near >= 0)
        places = near[own] - starts[number]
        field[own], row[own] = label, vectors.row[places]
        name[own] = [vectors.id(i) for i in places.tolist()]
    return field.astype(np.str_), name.astype(np.str_), row
