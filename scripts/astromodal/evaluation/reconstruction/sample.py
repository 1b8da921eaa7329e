"""Evaluated objects, and their scalars: measured, decoded, and predicted from other blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astromodal.data.cube import Cube
from astromodal.data.splits import TRAIN
from astromodal.evaluation.context import (
    ModelContext,
    check_ids,
    check_scalars,
    eligible_objects,
    sample_rows,
)
from astromodal.inference.encode import Encoded
from astromodal.inference.model import AstroModel
from astromodal.inference.predict_scalars import ScalarPrediction, distribution_of, predict_columns
from astromodal.inference.prompt import Sampling
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.tokenizers import check_hashes

TOKENIZER, MODEL, BASELINE = "tokenizer", "model", "baseline"
"""Methods that are compared: the block's own codes, decoded; the prediction from other blocks; and
a baseline that knows the training objects alone."""

N_MEAN = 2000
"""Most training objects whose mean is a baseline."""


@dataclass(frozen=True)
class ReconstructionInputs:
    """The trained model, and sequences of evaluated and of training objects.

    Attributes
    ----------
    context : ModelContext
        Its fields have the files ``cube`` and ``sequences``.
    sequences, training : SequenceSet
        Sequences of the evaluated fields, in their order, and those that the model was trained on.
    eligible : int64 (n,)
        Numbers of the evaluated objects that nothing was trained on.
    """

    context: ModelContext
    sequences: SequenceSet
    training: SequenceSet
    eligible: np.ndarray

    @classmethod
    def open(
        cls, context: ModelContext, training_sequences: Sequence[str | Path]
    ) -> ReconstructionInputs:
        """Open the sequences.

        Raises
        ------
        FormatError
            Where the model was trained with other tokenizers.
        """
        bundle = context.model.bundle
        sequences = SequenceSet([f.files["sequences"] for f in context.fields], bundle.layout)
        training = SequenceSet(training_sequences, bundle.layout)
        for store in (*sequences.stores, *training.stores):
            check_hashes(bundle.trained.vocabulary, store.tokenizer_hashes, str(store.path))
        return cls(context, sequences, training, eligible_objects(sequences, context.fields))

    @property
    def model(self) -> AstroModel:
        """The trained model."""
        return self.context.model

    @property
    def sampling(self) -> Sampling:
        """Number of samples of a spectrum or cutout, and their seed."""
        evaluation = self.context.settings.evaluation
        return Sampling(evaluation.reconstruction.n_samples, evaluation.seed)

    def given_blocks(self, block: str) -> tuple[str, ...]:
        """Return the blocks from which the model can predict a block."""
        request = self.model.request(block)
        return (*([SCALAR] if request.given_columns else []), *request.given_blocks)

    def with_block(self, block: str) -> Encoded:
        """Sample eligible objects that have a block, and another one to predict it from."""
        has, others = self._bits([block]), self._bits(self.given_blocks(block))
        pattern = self.sequences.pattern[self.eligible]
        candidates = self.eligible[((pattern & has) > 0) & ((pattern & others) > 0)]
        evaluation = self.context.settings.evaluation
        most = evaluation.reconstruction.max_objects
        return Encoded(self.sequences, sample_rows([candidates], most, evaluation.seed)[0])

    def trained_on(self, block: str) -> Encoded:
        """Sample training objects that have a block."""
        has = (self.training.pattern & self._bits([block])) > 0
        candidates = np.flatnonzero(has & (self.training.split == TRAIN))
        seed = self.context.settings.evaluation.seed
        return Encoded(self.training, sample_rows([candidates], N_MEAN, seed)[0])

    def by_field(self, objects: Encoded) -> Iterator[tuple[np.ndarray, Cube, np.ndarray]]:
        """Yield, per field, the places of its objects, its cube, and their rows, ascending.

        Raises
        ------
        FormatError
            Where the cube has other ids or scalars in those rows.
        """
        fields, rows = self.sequences.places(objects.numbers)
        for i in np.unique(fields).tolist():
            places = np.flatnonzero(fields == i)
            places = places[np.argsort(rows[places])]
            evaluated = self.context.fields[i]
            cube = evaluated.open(self.context.settings.columns)
            path = evaluated.files["sequences"]
            check_ids(cube.ids(), rows[places], objects.ids[places], path)
            check_scalars(cube, objects[places], self.model.tokenizers.scalar)
            yield places, cube, rows[places]

    def _bits(self, blocks: Sequence[str]) -> np.uint32:
        return np.uint32(sum(1 << self.sequences.layout[name].type for name in blocks))


@dataclass(frozen=True)
class PredictedScalars:
    """Errors of scalars, in the columns' units.

    Attributes
    ----------
    columns : tuple of str
        Columns that a training field measured.
    errors : dict of str to float64 (n, C)
        By method, estimate minus measured value; NaN where nothing was measured.
    spread : float64 (C,)
        Half of the 16 to 84 % range of the training values.
    inside : dict of str to bool (m,)
        By column, which measured values lie in the central 68 % of the predicted distribution.
    from_all : dict of str to float64 (n,)
        Errors of the columns that were also predicted from everything else, scalars included.
    """

    columns: tuple[str, ...]
    errors: dict[str, np.ndarray]
    spread: np.ndarray
    inside: dict[str, np.ndarray]
    from_all: dict[str, np.ndarray] = field(default_factory=dict)


def sample_scalars(inputs: ReconstructionInputs, objects: Encoded) -> PredictedScalars:
    """Predict every column from the other blocks, and a few from everything else."""
    model, every = inputs.model, inputs.model.columns
    truth = np.full((len(objects), len(every)), np.nan)
    for places, cube, rows in inputs.by_field(objects):
        truth[places] = cube.scalars(every)[rows]
    decoded = model.tokenizers.scalar.decode(objects.codes(SCALAR))
    truth[~np.isfinite(decoded)] = np.nan  # the model cannot predict a value without a code
    predicted = _predict_columns(inputs, objects, SCALAR)
    place = [every.index(name) for name in predicted]
    prior = [_training_distribution(inputs, i) for i in place]
    low, middle, high = (np.array([p.quantile(q)[0] for p in prior]) for q in (0.16, 0.5, 0.84))
    truth, decoded = truth[:, place], decoded[:, place]
    errors = {TOKENIZER: decoded - truth, MODEL: np.empty_like(truth), BASELINE: middle - truth}
    inside = {}
    for i, (name, p) in enumerate(predicted.items()):
        known = np.isfinite(truth[:, i])
        inside[name] = p.contains(truth[:, i], 0.16, 0.84)[known]
        errors[MODEL][:, i] = p.errors(truth[:, i])
        for each in (TOKENIZER, BASELINE):
            errors[each][:, i] = p.shortest(errors[each][:, i])
    evaluation = inputs.context.settings.evaluation
    # Labels are left out: columns that reveal them are among everything else.
    requested = set(evaluation.reconstruction.columns) - set(evaluation.labels.hidden)
    from_all = {
        name: _predict_columns(inputs, objects, name)[name].errors(truth[:, i])
        for i, name in enumerate(predicted)
        if name in requested and np.isfinite(truth[:, i]).any()
    }
    return PredictedScalars(tuple(predicted), errors, (high - low) / 2, inside, from_all)


def _predict_columns(
    inputs: ReconstructionInputs, objects: Encoded, target: str
) -> dict[str, ScalarPrediction]:
    """Predict a column, or all columns of the scalar block, except those without bins."""
    model = inputs.model
    request = model.request(target)
    by_column = predict_columns(model.bundle, objects, request, model.settings)
    return {model.columns[column]: predicted for column, predicted in by_column.items()}


def _training_distribution(inputs: ReconstructionInputs, column: int) -> ScalarPrediction:
    """Return the distribution of a column's training values, as a prediction of one object."""
    tokenizer = inputs.model.tokenizers.scalar
    weights = tokenizer.weights[None, column, : tokenizer.n_codes[column]]
    return distribution_of(
        inputs.model.bundle, column, weights, np.array([""]), np.zeros(1, np.int32)
    )
