"""How well neighbours among the embeddings agree in what they were not given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.data.cutouts import read_cutouts
from astromodal.evaluation.embeddings.sample import Sample
from astromodal.evaluation.metrics import bootstrap_error
from astromodal.sequences.layout import IMAGE
from astromodal.tokenizers.images.tokenizer import ImageTokenizer

K = 10
"""Neighbours of an object that are compared with it."""
LEAST_KNOWN = 2 * K
"""Objects below which the nearest neighbours are no neighbours."""
_PARTNERS = 50


@dataclass(frozen=True)
class Agreement:
    """Of one quantity, each object compared with its neighbours and with random objects.

    Attributes
    ----------
    near, random : float64 (n,)
        Share of an object's neighbours that are of its class, or the median difference to them;
        and the same of random objects. NaN of an object that has too few to be compared with.
    statistic : callable
        What makes one number of many objects': their mean or their median.
    """

    near: np.ndarray
    random: np.ndarray
    statistic: Callable[[np.ndarray], float]

    def __len__(self) -> int:
        return int(np.isfinite(self.near).sum())

    def __getitem__(self, which: np.ndarray) -> Agreement:
        """Of some of the objects, by a mask (n,)."""
        return Agreement(self.near[which], self.random[which], self.statistic)

    def numbers(self, seed: int) -> dict[str, tuple[float, float]]:
        """The statistic ``near`` and ``random``, and their difference ``gain``, with errors.

        Errors are those of a bootstrap over objects, the gain's of pairs; NaN without an object.
        """
        known = np.isfinite(self.near)
        if not known.any():
            return dict.fromkeys(("near", "random", "gain"), (np.nan, np.nan))
        near, random = self.near[known], self.random[known]

        def found(index: np.ndarray) -> np.ndarray:
            both = self.statistic(near[index]), self.statistic(random[index])
            return np.array([*both, both[0] - both[1]])

        values, errors = found(np.arange(len(near))), bootstrap_error(found, len(near), seed)
        pairs = zip(values.tolist(), errors.tolist(), strict=True)
        return dict(zip(("near", "random", "gain"), pairs, strict=True))


def class_agreement(space: np.ndarray, kind: np.ndarray, group: np.ndarray, seed: int) -> Agreement:
    """Compare the class of objects.

    Parameters
    ----------
    space : float64 (n, C)
        What ``embedding_space`` gave.
    kind : unicode (n,)
        Class; empty where unknown.
    group : int (n,)
        An object is compared with others of its group, where its class is known in `LEAST_KNOWN`.
    seed : int
        Seed of the draw of random objects.
    """

    def same(objects: np.ndarray, others: np.ndarray) -> np.ndarray:
        return (kind[others] == kind[objects, None]).mean(axis=1)

    return _compare(space, kind != "", group, same, np.mean, seed)


def value_agreement(
    space: np.ndarray, values: np.ndarray, group: np.ndarray, seed: int, *, redshift: bool = False
) -> Agreement:
    """Compare a quantity.

    Parameters
    ----------
    space, group, seed
        As for `class_agreement`.
    values : float64 (n,)
        The quantity; NaN where unknown.
    redshift : bool
        Whether a difference is divided by 1 + the object's own value.
    """

    def differences(objects: np.ndarray, others: np.ndarray) -> np.ndarray:
        found = np.median(np.abs(values[others] - values[objects, None]), axis=1)
        return found / (1 + values[objects]) if redshift else found

    return _compare(space, np.isfinite(values), group, differences, np.median, seed)


def nearest(space: np.ndarray, k: int) -> np.ndarray:
    """The k nearest others of each object, int64 (n, k), nearest first."""
    return NearestNeighbors(n_neighbors=k).fit(space).kneighbors(return_distance=False)


def _compare(
    space: np.ndarray,
    known: np.ndarray,
    group: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    statistic: Callable[[np.ndarray], float],
    seed: int,
) -> Agreement:
    rng = np.random.default_rng(seed)
    near, random = np.full((2, len(space)), np.nan)
    for each in np.unique(group[known]):
        members = np.flatnonzero(known & (group == each))
        if len(members) >= LEAST_KNOWN:
            near[members] = measure(members, members[nearest(space[members], K)])
            random[members] = measure(members, members[others_of(len(members), rng)])
    return Agreement(near, random, statistic)


def others_of(n: int, rng: np.random.Generator) -> np.ndarray:
    """For each of n objects 50 of the others, drawn by chance, int64 (n, 50)."""
    return (np.arange(n)[:, None] + rng.integers(1, n, (n, _PARTNERS))) % n


N_NEAREST = 5


@dataclass(frozen=True)
class Retrieval:
    """Queries and what is nearest to them.

    Attributes
    ----------
    objects : int64 (q, 1 + k)
        Places in the sample: the query, then its neighbours, nearest first.
    distance : float64 (q, 1 + k)
        Distance from the query, in units of the median distance of two random objects.
    band : str
        The band of the cutouts.
    cutouts : dict of int to float32 (S, S)
        Cutouts by the object's place, counts/s, NaN where invalid; without those whose band is
        missing.
    """

    objects: np.ndarray
    distance: np.ndarray
    band: str
    cutouts: dict[int, np.ndarray]


def retrieve(
    sample: Sample,
    space: np.ndarray,
    tokenizer: ImageTokenizer,
    columns: ColumnSettings,
    n_queries: int,
    seed: int,
) -> Retrieval | None:
    """Draw queries among the objects that have a cutout, and find the nearest others that have one.

    Parameters
    ----------
    sample : Sample
        The objects.
    space : float64 (n, C)
        What ``embedding_space`` gave.
    tokenizer : ImageTokenizer
        Knows bands and size of the cutouts; the R band is shown, or else the middle one.
    columns : ColumnSettings
        Names of a cube's identifying columns.
    n_queries, seed : int
        How many, and the seed of their draw; classes take turns, so that rare ones are seen.

    Returns
    -------
    Retrieval or None
        None where fewer objects have a cutout than one and its neighbours.
    """
    pool = np.flatnonzero(sample.has(IMAGE))
    if len(pool) <= N_NEAREST:
        return None
    near = nearest(space[pool], N_NEAREST)
    chosen = sample_in_turns(sample.kind[pool], n_queries, seed)
    objects = pool[np.column_stack([chosen, near[chosen]])]
    steps = np.linalg.norm(space[objects] - space[objects[:, :1]], axis=2)
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, len(pool), (2, 1000))
    pairs = pool[pairs[:, pairs[0] != pairs[1]]]
    typical = np.median(np.linalg.norm(space[pairs[0]] - space[pairs[1]], axis=1))
    bands = tokenizer.bands
    band = "R" if "R" in bands else bands[len(bands) // 2]
    image = ImageSettings(bands=(band,), size=tokenizer.autoencoder.size)
    return Retrieval(
        objects, steps / typical, band, _cutouts(sample, np.unique(objects), image, columns)
    )


def sample_in_turns(kind: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw n of the objects at most, one of each class, then another of each, int64 (n,)."""
    order = np.random.default_rng(seed).permutation(len(kind))
    shuffled, turn = kind[order], np.zeros(len(kind), np.int64)
    for name in np.unique(kind):
        turn[shuffled == name] = np.arange((shuffled == name).sum())
    return order[np.argsort(turn, kind="stable")[:n]]


def _cutouts(
    sample: Sample, objects: np.ndarray, image: ImageSettings, columns: ColumnSettings
) -> dict[int, np.ndarray]:
    """Cutouts of a few objects; of each cube, just the row groups that hold them are read."""
    found: dict[int, np.ndarray] = {}
    for number in np.unique(sample.field[objects]):
        mine = objects[sample.field[objects] == number]
        place = dict(zip(sample.row[mine].tolist(), mine.tolist(), strict=True))
        cube = sample.fields[number].open(columns)
        keep = np.zeros(cube.n_rows, dtype=bool)
        keep[sample.row[mine]] = True
        for batch in read_cutouts(cube, image, keep=keep):
            pixels = np.where(batch.valid[:, 0], batch.pixels[:, 0], np.float32(np.nan))
            found |= {place[row]: cut for row, cut in zip(batch.row.tolist(), pixels, strict=True)}
    return found
