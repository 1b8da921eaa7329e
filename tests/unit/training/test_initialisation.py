"""A new model, and the frequencies that its logits start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from astromodal.config.schema import ModelSettings
from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.vocab import MISSING_CODE, N_SPECIAL
from astromodal.models.layers import N_COSINES
from astromodal.models.transformer import N_FEATURES
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import Block, Range
from astromodal.sequences.store import pack_objects, write_sequences
from astromodal.training.initialisation import N_RESIDUALS, Unigram, fit_start
from astromodal.training.losses import TypedLoss
from astromodal.training.run import build_model
from astromodal.training.trainer import evaluate_loss
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
    """For uniform codes the baseline has about their entropy, log 16."""
    scalar = survey.codes["scalar"]
    uniform = np.random.default_rng(0).integers(0, 16, scalar.codes.shape).astype(np.uint16)
    sequences = packed(survey, tmp_path, {"scalar": replace(scalar, codes=uniform)})
    found = Unigram(sequences, np.arange(60)).cross_entropy(sequences, np.arange(60, 120))
    assert found["scalar"] == pytest.approx(np.log(16), abs=0.05)


def test_it_knows_the_slot(survey, tmp_path):
    """Codes that are certain given the slot cost little although the block holds them all."""
    image = survey.codes["image"]
    by_slot = np.broadcast_to(np.arange(9, dtype=np.uint16), image.codes.shape)
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


class Counted:
    """Stands for `Unigram`: counts of one range."""

    def __init__(self, counts):
        self._counts = counts

    def counts(self, ids):
        """The counts given."""
        return self._counts

    def log_pooled(self, ids):
        """Log frequencies of all slots together."""
        together = self._counts.sum(axis=0, keepdims=True) + 1.0
        return np.log(together / together.sum())


def block(stride=0, n_slots=2, size=3):
    """One range, its ids from 5 on."""
    return Block("image", 1, n_slots, (Range("image", 0, n_slots, 5, size, stride),))


def logits(unigram, kind, centroids):
    """Logits of the start in each slot of a block."""
    start = fit_start(unigram, [kind], centroids)
    return unigram.log_pooled(None) + start.coefficients["image"] @ start.features[5:].T


FEATURES = np.concatenate([np.zeros((5, 2)), np.eye(3)[:, :2]]).astype(np.float32)
NONE = np.zeros((5 + 3, 2), dtype=np.float32)


@pytest.mark.parametrize("centroids", [FEATURES, NONE], ids=["features", "residuals"])
def test_plenty_of_counts_are_fitted_exactly(centroids):
    """With two free odds for three codes, the fit is each slot's own frequencies.

    Without features of centroids, the residual features alone do it.
    """
    counts = np.array([[600_000, 300_000, 100_000], [100_000, 200_000, 700_000]])
    found = logits(Counted(counts), block(), centroids)
    probability = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probability, counts / 1e6, atol=1e-3)


def test_codes_at_an_edge_are_fitted_by_residual_features():
    """Slots at either end have codes of their own: no smooth function of a centroid fits them."""
    counts = np.full((40, 20), 1000)
    counts[[0, -1]], counts[1:-1, 7:9] = 1, 1
    counts[[0, -1], 7:9] = 10_000
    found = logits(Counted(counts), block(n_slots=40, size=20), np.zeros((25, 2), np.float32))
    probability = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probability[0, 7:9], 0.5, atol=0.01)
    np.testing.assert_allclose(probability[5, 7:9], 0.0, atol=0.01)


def test_few_counts_stay_near_the_whole_ranges_frequencies():
    """Two sightings of one code make it more likely, but by far not certain."""
    found = logits(Counted(np.array([[2, 0, 0], [0, 1, 1]])), block(), FEATURES)
    probability = np.exp(found[0]) / np.exp(found[0]).sum()
    assert 3 / 7 < probability[0] < 0.75


def test_residual_features_of_rare_codes_are_bounded():
    """A code that one slot took once has a feature of the size of the others'."""
    counts = np.full((30, 200), 500)
    counts[:, 0] = 0
    counts[3, 0] = 1
    start = fit_start(Counted(counts), [block(n_slots=30, size=200)], np.zeros((205, 2), "f4"))
    assert np.abs(start.features).max() <= 8


def test_slots_without_counts_have_no_prior():
    """A block that no training object has starts at nothing."""
    start = fit_start(Counted(np.zeros((2, 3), dtype=int)), [block()], FEATURES)
    np.testing.assert_allclose(start.coefficients["image"], 0, atol=1e-6)


def test_slots_with_ids_of_their_own_have_no_prior():
    """The biases hold the frequencies of scalars already."""
    start = fit_start(Counted(np.ones((2, 3), dtype=int)), [block(stride=3)], FEATURES)
    assert not start.coefficients["image"].any()
    np.testing.assert_array_equal(start.features[:, :2], FEATURES)


@pytest.mark.parametrize("modality", ["image", "scalar", "spectrum"])
def test_an_untrained_model_is_about_as_good_as_the_baseline(survey, modality):
    """Before its first step a model predicts as counting does, in every modality."""
    torch.manual_seed(0)
    sequences, train = survey.sequences(), np.flatnonzero(survey.split == 0)
    unigram = Unigram(sequences, train)
    settings = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32)
    model = build_model(settings, 56, survey.tables, unigram, survey.layout)
    loss = TypedLoss(survey.layout, survey.tables, MeaningfulLossSettings(), torch.device("cpu"))
    held_out = np.flatnonzero(survey.split == 1)
    found = evaluate_loss(model, loss, sequences, held_out, shuffled=True)
    baseline = unigram.cross_entropy(sequences, held_out)
    assert found[f"cross_entropy_{modality}"] < baseline[modality] + 0.05


def test_features_of_scalars_hold_their_values(survey):
    """Behind the cosines stand the features of values, where codebooks have residual features."""
    unigram = Unigram(survey.sequences(), np.arange(60))
    settings = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32)
    model = build_model(settings, 56, survey.tables, unigram, survey.layout)
    spec, values = survey.layout.spec, survey.tables.value_features()
    assert model.columns == (spec.scalar_offset, spec.n_columns, spec.n_bins)
    assert N_FEATURES - N_RESIDUALS == N_COSINES
    own = model.features[model.columns.first : model.columns.end, N_FEATURES - N_RESIDUALS :]
    np.testing.assert_array_equal(own[:, :3], values.reshape(-1, 3))
    assert not own[:, 3:].any()
