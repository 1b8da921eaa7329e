"""Temperatures of scalar columns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.config.training import ModelSettings
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.order import Chosen
from astromodal.training import temperatures
from astromodal.training.initialisation import new_model
from astromodal.training.targets import NO_TARGET, RangeTargets
from astromodal.training.temperatures import fit_columns


@pytest.fixture
def model(survey):
    torch.manual_seed(0)
    sizes = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32, dropout=0.0)
    return new_model(sizes, survey.layout, survey.layout.longest)


def ask_all(numbers, known, present):
    """Ask every known column."""
    return Chosen(np.zeros_like(known), known, np.zeros_like(present))


def fit(model, survey):
    objects = np.arange(120)
    return fit_columns(model, survey.sequences(), objects, None, ask_all, 500)


def test_logits_that_are_too_large_get_their_factor(survey, model, monkeypatch):
    """Each column has its own; values that are shown and missing values do not count."""
    rng, factors = np.random.default_rng(0), np.array([1.5, 0.7, 1.0])
    logits = rng.normal(size=(3, 4000, 8))
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    codes = (p.cumsum(axis=2) < rng.random((3, 4000, 1))).sum(axis=2)
    codes[:, ::7], asked = NO_TARGET, rng.random((3, 4000)) < 0.9
    codes[~asked] = 0  # as if all were in the first bin
    ids = survey.layout[SCALAR].ranges[0]
    targets = RangeTargets(ids, np.zeros((3, 4000), int), codes, np.arange(4000), asked)

    def once(*arguments):
        yield targets, torch.from_numpy(factors[:, None, None] * logits), torch.from_numpy(codes)

    monkeypatch.setattr(temperatures, "target_logits", once)
    found = fit_columns(model, survey.sequences(), np.arange(4), None, ask_all, 10_000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, factors, rtol=0.05)


def test_too_few_values_fit_nothing(survey, model, monkeypatch):
    """The temperature of a column that is known of few objects is 1."""
    monkeypatch.setattr(temperatures, "_FEWEST", 1000)
    assert (fit(model, survey) == 1).all()


def test_the_mode_of_the_model_is_restored(survey, model):
    """A model in training is so afterwards."""
    model.train()
    fit(model, survey)
    assert model.training
