"""Which objects are predicted, and the scalars that they are compared with."""

import numpy as np

from astromodal.evaluation.reconstruction.sample import TOKENIZER, sample_scalars
from helpers.model import COLUMNS, cube_table


def test_objects_have_the_block_and_another_one(inputs):
    """Scalars are predicted for objects with a cutout or spectrum, up to the limit."""
    objects = inputs.with_block("scalar")
    assert len(objects) == 4
    assert (objects.has("image") | objects.has("desi_r")).all()


def test_truth_is_the_cube_s_own(inputs):
    """Errors are estimates less the measured values of the very rows, in every field."""
    objects = inputs.with_block("scalar")
    sample = sample_scalars(inputs, objects)
    decoded = inputs.model.tokenizers.scalar.decode(objects.codes("scalar"))[:, 0]
    truth = decoded - sample.errors[TOKENIZER][:, 0]
    fields, rows = inputs.sequences.places(objects.numbers)
    table = [cube_table(seed=2 + i)[COLUMNS[0]].to_numpy() for i in range(2)]
    np.testing.assert_allclose(truth, [table[f][r] for f, r in zip(fields, rows, strict=True)])
