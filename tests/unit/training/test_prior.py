"""Where training starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.config.schema import MeaningfulLossSettings, ModelSettings
from astromodal.training.layout import Range
from astromodal.training.loss import TypedLoss
from astromodal.training.prior import fit_prior
from astromodal.training.run import build_model
from astromodal.training.unigram import Unigram
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


class OneRange:
    """Stands for `Block`: one range of two slots and three codes."""

    def __init__(self, stride=0):
        self.length = 2
        self.ranges = (Range("image", 0, 2, 5, 3, stride),)


FEATURES = np.concatenate([np.zeros((5, 2)), np.eye(3)[:, :2]]).astype(np.float32)


def test_plenty_of_counts_are_fitted_exactly():
    """With two free odds for three codes, the fit is each slot's own frequencies."""
    counts = np.array([[600_000, 300_000, 100_000], [100_000, 200_000, 700_000]])
    unigram = Counted(counts)
    logits = unigram.log_pooled(None) + fit_prior(unigram, OneRange(), FEATURES) @ FEATURES[5:].T
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chance, counts / 1e6, atol=1e-3)


def test_few_counts_stay_near_the_whole_ranges_frequencies():
    """Two sightings of one code make it more likely, but by far not certain."""
    fitted = fit_prior(Counted(np.array([[2, 0, 0], [0, 1, 1]])), OneRange(), FEATURES)
    assert 0 < fitted[0, 0] < 1


def test_slots_without_counts_have_no_prior():
    """A block that no training object has starts at nothing."""
    assert not fit_prior(Counted(np.zeros((2, 3), dtype=int)), OneRange(), FEATURES).any()


def test_slots_with_ids_of_their_own_have_no_prior():
    """The biases hold the frequencies of scalars already."""
    assert not fit_prior(Counted(np.ones((2, 3), dtype=int)), OneRange(3), FEATURES).any()


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
