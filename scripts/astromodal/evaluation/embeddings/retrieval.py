"""Sources and their nearest neighbours among the embeddings, as cutouts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.data.cutouts import read_cutouts
from astromodal.evaluation.embeddings.neighbours import nearest
from astromodal.evaluation.embeddings.sample import Sample
from astromodal.tokenizers.image import ImageTokenizer
from astromodal.training.layout import IMAGE

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
    chosen = draw_in_turns(sample.kind[pool], n_queries, seed)
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


def draw_in_turns(kind: np.ndarray, n: int, seed: int) -> np.ndarray:
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
