"""The unigram baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE, N_SPECIAL
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.store import pack_objects, write_sequences
from astromodal.training.initialisation import Unigram
from helpers.survey import HASHES


def packed(survey, tmp_path, codes):
    path = tmp_path / "packed.safetensors"
    write_sequences(path, pack_objects(survey.layout, codes, survey.split), survey.layout, HASHES)
    return SequenceSet([path], survey.layout)


def test_a_certain_code_costs_nothing(survey, tmp_path):
    """Where a slot always holds the same code, the baseline comes to know it."""
    scalar = survey.codes["scalar"]
    codes = {"scalar": replace(scalar, codes=np.full_like(scalar.codes, 7))}
    sequences = packed(survey, tmp_path, codes)
    found = Unigram(sequences, np.arange(100)).cross_entropy(sequences, np.arange(100, 120))
    assert found["scalar"] < 0.1


def test_uniform_codes_cost_their_entropy(survey, tmp_path):
    """Where codes are drawn evenly, the baseline does about as well as can be: log 16."""
    scalar = survey.codes["scalar"]
    drawn = np.random.default_rng(0).integers(0, 16, scalar.codes.shape).astype(np.uint16)
    sequences = packed(survey, tmp_path, {"scalar": replace(scalar, codes=drawn)})
    found = Unigram(sequences, np.arange(60)).cross_entropy(sequences, np.arange(60, 120))
    assert found["scalar"] == pytest.approx(np.log(16), abs=0.05)


def test_it_knows_the_slot(survey, tmp_path):
    """Codes that are certain given the slot cost little although the block holds them all."""
    image = survey.codes["image"]
    by_slot = np.broadcast_to(np.arange(4, dtype=np.uint16), image.codes.shape)
    codes = {"scalar": survey.codes["scalar"], "image": replace(image, codes=by_slot)}
    sequences = packed(survey, tmp_path, codes)
    found = Unigram(sequences, np.arange(100)).cross_entropy(sequences, np.arange(100, 120))
    assert found["image"] < 0.1


def test_missing_codes_are_neither_counted_nor_judged(survey, tmp_path):
    """A column that is always missing changes nothing."""
    scalar = survey.codes["scalar"]
    known = scalar.codes.copy()
    known[:, 2] = MISSING_CODE
    known[:, :2] = 3
    sequences = packed(survey, tmp_path, {"scalar": replace(scalar, codes=known)})
    assert (
        Unigram(sequences, np.arange(100)).cross_entropy(sequences, np.arange(120))["scalar"] < 0.1
    )


def test_a_modality_without_targets_is_nan(survey, tmp_path):
    """No images, no baseline for them."""
    sequences = packed(survey, tmp_path, {"scalar": survey.codes["scalar"]})
    assert np.isnan(
        Unigram(sequences, np.arange(9)).cross_entropy(sequences, np.arange(9))["image"]
    )


def test_biases_are_log_frequencies_of_each_range(survey):
    """Within each range of ids the biases are a distribution; special ids have none."""
    sequences = survey.sequences()
    bias = Unigram(sequences, np.arange(120)).bias()
    spec = survey.layout.spec
    assert (bias[:N_SPECIAL] == 0).all()
    np.testing.assert_allclose(np.exp(bias[spec.image_offset :][:16]).sum(), 1, rtol=1e-5)
    columns = np.exp(bias[spec.scalar_offset :][: spec.v_scalar]).reshape(-1, 16)
    np.testing.assert_allclose(columns.sum(axis=1), 1, rtol=1e-5)
