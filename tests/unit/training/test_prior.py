"""Where training starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.config.schema import ModelSettings
from astromodal.config.training import MeaningfulLossSettings
from astromodal.sequences.layout import Block, Range
from astromodal.training.initialisation import Unigram, fit_start
from astromodal.training.losses import TypedLoss
from astromodal.training.run import build_model
from astromodal.training.validation import evaluate_loss


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


@pytest.mark.parametrize("centroids", [FEATURES, NONE], ids=["features", "contrasts"])
def test_plenty_of_counts_are_fitted_exactly(centroids):
    """With two free odds for three codes, the fit is each slot's own frequencies.

    So it is where centroids tell nothing, by contrasts alone.
    """
    counts = np.array([[600_000, 300_000, 100_000], [100_000, 200_000, 700_000]])
    found = logits(Counted(counts), block(), centroids)
    chance = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chance, counts / 1e6, atol=1e-3)


def test_codes_at_an_edge_are_told_by_a_contrast():
    """Slots at either end have codes of their own, which no smooth function of a centroid tells."""
    counts = np.full((40, 20), 1000)
    counts[[0, -1]], counts[1:-1, 7:9] = 1, 1
    counts[[0, -1], 7:9] = 10_000
    found = logits(Counted(counts), block(n_slots=40, size=20), np.zeros((25, 2), np.float32))
    chance = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chance[0, 7:9], 0.5, atol=0.01)
    np.testing.assert_allclose(chance[5, 7:9], 0.0, atol=0.01)


def test_few_counts_stay_near_the_whole_ranges_frequencies():
    """Two sightings of one code make it more likely, but by far not certain."""
    found = logits(Counted(np.array([[2, 0, 0], [0, 1, 1]])), block(), FEATURES)
    chance = np.exp(found[0]) / np.exp(found[0]).sum()
    assert 3 / 7 < chance[0] < 0.75


def test_contrasts_of_rare_codes_are_bounded():
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
    model = build_model(settings, 40, survey.tables, unigram, survey.layout)
    loss = TypedLoss(survey.layout, survey.tables, MeaningfulLossSettings(), torch.device("cpu"))
    held_out = np.flatnonzero(survey.split == 1)
    found = evaluate_loss(model, loss, sequences, held_out, shuffled=True)
    baseline = unigram.cross_entropy(sequences, held_out)
    assert found[f"cross_entropy_{modality}"] < baseline[modality] + 0.05
