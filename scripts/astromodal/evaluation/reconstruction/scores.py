"""Objects that are asked about: which, what they are told from, and what was measured of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TRAIN
from astromodal.evaluation.held_out import EvaluatedField, check_ids, check_scalars, draw
from astromodal.evaluation.metrics import bootstrap_error
from astromodal.evaluation.report.section import Verdict, measured
from astromodal.inference.encode import Encoded
from astromodal.inference.model import AstroModel
from astromodal.inference.prompt import Sampling
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR

N_MEAN = 2000
"""Training objects that a baseline is the mean of at most."""


@dataclass(frozen=True)
class Bench:
    """A model, and the fields that it is asked about.

    Attributes
    ----------
    model : AstroModel
        The trained model.
    fields : sequence of EvaluatedField
        With the files ``cube`` and ``sequences``.
    columns, evaluation : settings
        How a cube is read; how many objects are asked about, and the seed of their draw.
    sequences, training : SequenceSet
        The evaluated fields' sequences, in the order of `fields`, and those that trained.
    eligible : int64 (n,)
        Numbers of the evaluated objects that nothing was trained on.
    """

    model: AstroModel
    fields: Sequence[EvaluatedField]
    columns: ColumnSettings
    evaluation: EvaluationSettings
    sequences: SequenceSet
    training: SequenceSet
    eligible: np.ndarray

    @property
    def sampling(self) -> Sampling:
        """Number of samples of a spectrum or cutout, and their seed."""
        return Sampling(self.evaluation.reconstruction.n_samples, self.evaluation.seed)

    def told_from(self, block: str) -> tuple[str, ...]:
        """Blocks that the model can tell a block from: the others, or the earlier ones."""
        request = self.model.request(block)
        return (*([SCALAR] if request.given_columns else []), *request.given_blocks)

    def having(self, block: str) -> Encoded:
        """Some of the eligible objects that have a block, and another one to tell it from."""
        has, others = self._bits([block]), self._bits(self.told_from(block))
        pattern = self.sequences.pattern[self.eligible]
        found = self.eligible[((pattern & has) > 0) & ((pattern & others) > 0)]
        most = self.evaluation.reconstruction.max_objects
        return Encoded(self.sequences, draw([found], most, self.evaluation.seed)[0])

    def trained_on(self, block: str) -> Encoded:
        """Some of the training objects that have a block."""
        has = (self.training.pattern & self._bits([block])) > 0
        found = np.flatnonzero(has & (self.training.split == TRAIN))
        return Encoded(self.training, draw([found], N_MEAN, self.evaluation.seed)[0])

    def by_field(self, objects: Encoded) -> Iterator[tuple[np.ndarray, Cube, np.ndarray]]:
        """Places of the objects of a field among all, its cube, and their rows in it, ascending.

        Raises
        ------
        FormatError
            Where the cube has other ids or scalars in those rows.
        """
        fields, rows = self.sequences.places(objects.numbers)
        for i in np.unique(fields).tolist():
            mine = np.flatnonzero(fields == i)
            mine = mine[np.argsort(rows[mine])]
            cube = self.fields[i].open(self.columns)
            path = self.fields[i].files["sequences"]
            check_ids(cube.ids(), rows[mine], objects.ids[mine], path)
            check_scalars(cube, objects[mine], self.model.tokenizers.scalar)
            yield mine, cube, rows[mine]

    def _bits(self, blocks: Sequence[str]) -> np.uint32:
        return np.uint32(sum(1 << self.sequences.layout[name].type for name in blocks))


TOKENIZER, MODEL, BASELINE = "tokenizer", "model", "baseline"
SHAPE, MEAN_SHAPE = "model, brightness told", "mean, brightness told"
"""The model's flux, and the training mean, at the brightness that fits what was measured best."""
MEAN = "mean"
"""The mean of training spectra or cutouts as it is."""
WAYS = (TOKENIZER, MODEL, MEAN, SHAPE, MEAN_SHAPE)
"""What stands side by side for spectra and cutouts."""


def compared(
    values: Mapping[str, np.ndarray],
    seed: int,
    pair: tuple[str, str] = (MODEL, BASELINE),
    *,
    lower_is_better: bool = False,
) -> dict[str, Any]:
    """Median of each way, and by how much one of them is better than another.

    Parameters
    ----------
    values : mapping of str to (n, B) float
        By way, B values of each object; only such count as are finite in every way.
    seed : int
        Seed of the bootstrap over objects, in whose draws all ways have the same objects.
    lower_is_better : bool
        Whether the values are errors.

    Returns
    -------
    dict
        ``n`` objects, `measured` medians by way, and ``gain``, `measured`; NaN without objects.
    """
    good = np.all([np.isfinite(v) for v in values.values()], axis=0)
    rows = good.any(axis=1)
    tables = {way: np.where(good, v, np.nan)[rows] for way, v in values.items()}
    sign = -1.0 if lower_is_better else 1.0
    n = int(rows.sum())

    def medians(index: np.ndarray) -> np.ndarray:
        found = {way: _median(table[index]) for way, table in tables.items()}
        return np.array([*found.values(), sign * (found[pair[0]] - found[pair[1]])])

    value = medians(np.arange(n))
    error = bootstrap_error(medians, n, seed) if n else np.full(len(value), np.nan)
    pairs = [measured(*pair) for pair in zip(value.tolist(), error.tolist(), strict=True)]
    return {"n": n, **dict(zip([*tables, "gain"], pairs, strict=True))}


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else np.nan


def brightness(factor: np.ndarray) -> np.ndarray:
    """|Δmag| that a factor of the flux stands for; NaN where the factor is not positive."""
    return np.abs(2.5 * np.log10(np.where(factor > 0, factor, np.nan)))


def scaled(
    shape: np.ndarray, values: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each row of a shape at the scale that fits best.

    Parameters
    ----------
    shape : (L,) or (n, L) float
        The shape.
    values, weight : (n, L) float
        What it is fitted to by weighted least squares, where all are finite and the weight is
        positive.

    Returns
    -------
    fitted : float64 (n, L)
        The shape times its factor.
    factor : float64 (n,)
        0 where there is nothing to fit.
    """
    shape = np.broadcast_to(shape, values.shape)
    good = np.isfinite(values) & np.isfinite(shape) & (weight > 0)
    w, v, s = (np.where(good, a, 0.0).astype(np.float64) for a in (weight, values, shape))
    square = (w * s * s).sum(1)
    factor = np.divide((w * s * v).sum(1), square, out=np.zeros(len(v)), where=square > 0)
    return factor[:, None] * shape, factor


def verdict(*gains: Mapping[str, float]) -> Verdict:
    """Good where every gain exceeds its error; none where one has no error."""
    if not np.isfinite([gain["error"] for gain in gains]).all():
        return "none"
    return "good" if all(gain["value"] > gain["error"] for gain in gains) else "bad"
