"""Numbers by modality and by slot, compared with values by hand."""

import numpy as np
import pytest

from astromodal.evaluation.transformer.losses import RangeNll
from astromodal.evaluation.transformer.measures import measure_modality, measure_slots
from astromodal.sequences.layout import Range


def _range_nll(block, modality, model, unigram, first):
    ids = Range(modality, 0, model.shape[1], 5, 4, 0)
    return RangeNll(block, ids, np.asarray(model), np.asarray(unigram), np.asarray(first))


def test_modality_numbers_by_hand():
    """NLL 1 and 3 against 4 and 4, a code missing: means 2 and 4, every object gains."""
    model, unigram = np.array([[1.0], [3.0], [np.nan]]), np.array([[4.0], [4.0], [np.nan]])
    nll = _range_nll("image", "image", model, unigram, [True, False, True])
    objects = {"image": np.array([7, 3, 9])}
    numbers = measure_modality([nll], objects, "image", np.array([3, 7, 9, 11]), seed=0)
    assert (numbers.n_objects, numbers.n_codes, numbers.better) == (2, 2, 1.0)
    assert [numbers.model.value, numbers.unigram.value, numbers.gain.value] == [2, 4, 2]
    assert numbers.gain_bits.value == pytest.approx(2 / np.log(2))
    assert numbers.first.value == pytest.approx(1 / np.log(2))
    assert numbers.after_others.value == pytest.approx(3 / np.log(2))


def test_objects_that_were_not_sampled_do_not_count():
    """An object that was sampled for another modality is left out."""
    nll = _range_nll(
        "image", "image", np.array([[1.0], [9.0]]), np.array([[2.0], [2.0]]), [True, True]
    )
    objects, chosen = {"image": np.array([0, 1])}, {"image": np.array([0])}
    assert measure_modality([nll], objects, "image", chosen["image"], 0).model.value == 1
    slots = measure_slots(
        [nll], objects, {"image": chosen["image"], "spectrum": chosen["image"]}, 0
    )
    assert slots["image"].gain == pytest.approx([1 / np.log(2)])
