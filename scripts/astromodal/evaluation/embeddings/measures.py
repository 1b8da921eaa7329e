"""Measures of embeddings: their space and map, agreement of neighbours, and retrieval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.data.cutouts import read_cutouts
from astromodal.evaluation.embeddings.recognition import Recognition
from astromodal.evaluation.embeddings.sample import Offsets, Sample
from astromodal.evaluation.metrics import bootstrap_error
from astromodal.evaluation.report.section import Measurement
from astromodal.inference.index_space import principal_components
from astromodal.sequences.layout import IMAGE
from astromodal.tokenizers.images.tokenizer import ImageTokenizer

K = 10
"""Neighbours of an object that are compared with it."""
N_NEAREST = 5
"""Neighbours of a query object whose cutouts are shown."""
LEAST_KNOWN = 2 * K
"""Fewest objects among which nearest neighbours are compared."""
_PARTNERS = 50
N_COMPONENTS = 30
"""Largest number of principal components."""
LEAST_TSNE = 60
"""Fewest objects for t-SNE; the map of fewer objects is that of PCA."""
_PERPLEXITY = 30.0


def embedding_space(vectors: np.ndarray, pooling: str) -> np.ndarray:
    """Return the leading principal components of embeddings, as an index of them has.

    Parameters
    ----------
    vectors : float (n, D)
        Embeddings, not all of them equal.
    pooling : str
        Their pooling.

    Returns
    -------
    float64 (n, C)
        C is 30, or n or D where that is smaller.
    """
    mean, components = principal_components(vectors, N_COMPONENTS, pooling)
    return (vectors - mean) @ components


def project_to_plane(space: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Project objects to a plane in which neighbours stay near each other.

    Parameters
    ----------
    space : float64 (n, C)
        Objects in the space of `embedding_space`.
    seed : int
        Seed of t-SNE.

    Returns
    -------
    places : float64 (n, 2)
        Places without a unit.
    method : str
        ``t-SNE`` (van der Maaten & Hinton 2008, JMLR 9, 2579), or ``PCA`` for few objects.
    """
    if len(space) < LEAST_TSNE:
        places = np.zeros((len(space), 2))
        places[:, : min(2, space.shape[1])] = space[:, :2]
        return places, "PCA"
    perplexity = min(_PERPLEXITY, len(space) / 4)
    places = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(space)
    return places.astype(np.float64), "t-SNE"


@dataclass(frozen=True)
class MapNumbers:
    """The map of the embeddings.

    Attributes
    ----------
    method : str
        ``t-SNE`` or ``PCA``.
    id, field : unicode (n,)
        Object and its field.
    x, y : float64 (n,)
        Place in the map, without a unit.
    """

    method: str
    id: np.ndarray
    field: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class AgreementNumbers:
    """Agreement of objects with their neighbours in one quantity.

    Attributes
    ----------
    quantity, among : str
        What is compared, and among which objects.
    near, random, difference : Measurement
        Statistic of the neighbours, of random objects, and the paired difference; ``n`` counts
        the objects.
    """

    quantity: str
    among: str
    near: Measurement
    random: Measurement
    difference: Measurement


@dataclass(frozen=True)
class EmbeddingNumbers:
    """All numbers of the section.

    Attributes
    ----------
    n_objects : int
        Objects that were embedded.
    pooling : str
        How states become one embedding.
    map : MapNumbers, optional
        The map; None where nothing could be evaluated.
    fields : dict of str to Offsets
        Offsets between fields, by choice of objects.
    neighbours : tuple of AgreementNumbers
        Agreement of neighbours.
    recognition : Recognition, optional
        Whether objects are recognised by their scalars alone.
    """

    n_objects: int
    pooling: str
    map: MapNumbers | None = None
    fields: dict[str, Offsets] = field(default_factory=dict)
    neighbours: tuple[AgreementNumbers, ...] = ()
    recognition: Recognition | None = None


@dataclass(frozen=True)
class Agreement:
    """Comparison of objects with their neighbours and with random objects, in one quantity.

    Attributes
    ----------
    near, random : float64 (n,)
        Fraction of an object's neighbours that have its class, or the median difference to them,
        and the same for random objects. NaN where an object has too few to be compared with.
    statistic : callable
        Combines the numbers of many objects: their mean or their median.
    """

    near: np.ndarray
    random: np.ndarray
    statistic: Callable[[np.ndarray], float]

    def __len__(self) -> int:
        return int(np.isfinite(self.near).sum())

    def __getitem__(self, which: np.ndarray) -> Agreement:
        """Return the comparison of some of the objects, given by a mask (n,)."""
        return Agreement(self.near[which], self.random[which], self.statistic)

    def measure(self, seed: int) -> tuple[Measurement, Measurement, Measurement]:
        """Measure the statistic of neighbours and of random objects, and their difference.

        Errors are those of a bootstrap over objects, which are paired in the difference. NaN
        without an object.
        """
        known = np.isfinite(self.near)
        if not known.any():
            nothing = Measurement(np.nan, np.nan, 0)
            return nothing, nothing, nothing
        near, random = self.near[known], self.random[known]

        def statistics(index: np.ndarray) -> np.ndarray:
            both = self.statistic(near[index]), self.statistic(random[index])
            return np.array([*both, both[0] - both[1]])

        values = statistics(np.arange(len(near)))
        errors = bootstrap_error(statistics, len(near), seed)
        first, second, third = (
            Measurement(v, e, len(near))
            for v, e in zip(values.tolist(), errors.tolist(), strict=True)
        )
        return first, second, third


def class_agreement(space: np.ndarray, kind: np.ndarray, group: np.ndarray, seed: int) -> Agreement:
    """Compare the classes of objects.

    Parameters
    ----------
    space : float64 (n, C)
        Objects in the space of `embedding_space`.
    kind : unicode (n,)
        Class; empty where unknown.
    group : int (n,)
        An object is compared with others of its group, if `LEAST_KNOWN` of them have a class.
    seed : int
        Seed of the random objects.
    """

    def same(objects: np.ndarray, others: np.ndarray) -> np.ndarray:
        return (kind[others] == kind[objects, None]).mean(axis=1)

    return _compare(space, kind != "", group, same, np.mean, seed)


def value_agreement(
    space: np.ndarray, values: np.ndarray, group: np.ndarray, seed: int, *, redshift: bool = False
) -> Agreement:
    """Compare the values of a quantity.

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
        medians = np.median(np.abs(values[others] - values[objects, None]), axis=1)
        return medians / (1 + values[objects]) if redshift else medians

    return _compare(space, np.isfinite(values), group, differences, np.median, seed)


def nearest_neighbours(space: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest other objects of each object, int64 (n, k), nearest first."""
    return NearestNeighbors(n_neighbors=k).fit(space).kneighbors(return_distance=False)


def _compare(
    space: np.ndarray,
    known: np.ndarray,
    group: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    statistic: Callable[[np.ndarray], float],
    seed: int,
) -> Agreement:
    """Compare known objects with others of their group."""
    rng = np.random.default_rng(seed)
    near, random = np.full((2, len(space)), np.nan)
    for each in np.unique(group[known]):
        members = np.flatnonzero(known & (group == each))
        if len(members) >= LEAST_KNOWN:
            near[members] = measure(members, members[nearest_neighbours(space[members], K)])
            random[members] = measure(members, members[sample_others(len(members), rng)])
    return Agreement(near, random, statistic)


def sample_others(n: int, rng: np.random.Generator) -> np.ndarray:
    """Sample 50 other objects for each of n objects, int64 (n, 50)."""
    return (np.arange(n)[:, None] + rng.integers(1, n, (n, _PARTNERS))) % n


@dataclass(frozen=True)
class Retrieval:
    """Query objects and their nearest neighbours.

    Attributes
    ----------
    objects : int64 (q, 1 + k)
        Numbers in the sample: the query, then its neighbours, nearest first.
    distance : float64 (q, 1 + k)
        Distance from the query, in units of the median distance of two random objects.
    band : str
        The band of the cutouts.
    cutouts : dict of int to float32 (S, S)
        Cutouts by the object's number (counts/s), NaN where invalid; objects without the band are
        left out.
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
    """Sample query objects that have a cutout, and return their nearest neighbours that have one.

    Parameters
    ----------
    sample : Sample
        The objects.
    space : float64 (n, C)
        Objects in the space of `embedding_space`.
    tokenizer : ImageTokenizer
        Tokenizer of the cutouts. The band is R, or the middle one where there is no R.
    columns : ColumnSettings
        Names of a cube's identifying columns.
    n_queries, seed : int
        Number of queries, and the seed of their sample. Classes take turns, so that rare ones
        occur.

    Returns
    -------
    Retrieval or None
        None where too few objects have a cutout.
    """
    pool = np.flatnonzero(sample.has(IMAGE))
    if len(pool) <= N_NEAREST:
        return None
    near = nearest_neighbours(space[pool], N_NEAREST)
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
    """Sample at most n objects, one of each class, then another of each, int64 (n,)."""
    order = np.random.default_rng(seed).permutation(len(kind))
    shuffled, turn = kind[order], np.zeros(len(kind), np.int64)
    for name in np.unique(kind):
        turn[shuffled == name] = np.arange((shuffled == name).sum())
    return order[np.argsort(turn, kind="stable")[:n]]


def _cutouts(
    sample: Sample, objects: np.ndarray, image: ImageSettings, columns: ColumnSettings
) -> dict[int, np.ndarray]:
    """Read the cutouts of a few objects; only the row groups with them are read."""
    cutouts: dict[int, np.ndarray] = {}
    for number in np.unique(sample.field[objects]):
        mine = objects[sample.field[objects] == number]
        place = dict(zip(sample.row[mine].tolist(), mine.tolist(), strict=True))
        cube = sample.fields[number].open(columns)
        keep = np.zeros(cube.n_rows, dtype=bool)
        keep[sample.row[mine]] = True
        for batch in read_cutouts(cube, image, keep=keep):
            pixels = np.where(batch.valid[:, 0], batch.pixels[:, 0], np.float32(np.nan))
            cutouts |= {
                place[row]: cut for row, cut in zip(batch.row.tolist(), pixels, strict=True)
            }
    return cutouts
