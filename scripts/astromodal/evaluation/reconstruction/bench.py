"""Objects that are asked about: which, what they are told from, and what was measured of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TRAIN
from astromodal.evaluation.objects import EvaluatedField, check_ids, check_scalars, draw
from astromodal.inference.encoded import Encoded
from astromodal.inference.model import AstroModel
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import SCALAR

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
    def sampling(self) -> tuple[int, int]:
        """Continuations of a spectrum or cutout, and the seed that they are drawn from."""
        return self.evaluation.reconstruction.n_samples, self.evaluation.seed

    def told_from(self, block: str) -> tuple[str, ...]:
        """Blocks that the model can tell a block from: the others, or the earlier ones."""
        question = self.model.ask(block)
        return (*([SCALAR] if question.given_columns else []), *question.given_blocks)

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
