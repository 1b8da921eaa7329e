"""Roles of objects."""

import numpy as np

from astromodal.data.splits import TEST, TRAIN
from astromodal.evaluation.downstream.sample import FIT, SCORE, assign_roles
from astromodal.sequences.dataset import SequenceSet


def test_a_field_may_give_labels_and_be_scored_on(survey):
    """Its test split is scored, the others are fitted and tuned; a held-out field is all scored."""
    sequences = SequenceSet(survey.sequences, survey.model.bundle.layout)
    split = sequences.split.copy()
    roles = assign_roles(survey.fields, sequences, ["T", "H"], ["T"])
    assert set(roles[80:]) == {SCORE}
    assert np.array_equal(roles[:80] == FIT, split[:80] == TRAIN)
    assert np.array_equal(roles[:80] == SCORE, split[:80] == TEST)
