"""Calibration of scalar columns: temperatures, and levels of quantiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from astromodal.config.training import ModelSettings
from astromodal.models.layers import SHOWN
from astromodal.sequences.order import Hiding
from astromodal.training import calibration
from astromodal.training.calibration import (
    AskedColumns,
    ValidationObjects,
    even_levels,
    fit_columns,
    fractions_below,
    levels_at,
    with_levels,
    without_levels,
)
from astromodal.training.initialisation import new_model
from astromodal.training.targets import NO_TARGET


@pytest.fixture
def model(survey):
    torch.manual_seed(0)
    sizes = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32, dropout=0.0)
    return new_model(sizes, survey.layout, survey.layout.longest)


ASKED = Hiding((0,), columns=1.0, labels=(2,), all_labels=1.0)
"""What training hides: some columns of every object, and always the label, the third column."""


def fit(model, survey, hiding=ASKED):
    objects = ValidationObjects(survey.sequences(), np.arange(120), None, 500)
    return fit_columns(model, objects, hiding)


def test_logits_that_are_too_large_get_their_factor(survey, model, monkeypatch):
    """Each column has its own; values that are shown and missing values do not count."""
    rng, factors = np.random.default_rng(0), np.array([1.5, 0.7, 1.0])
    logits = rng.normal(size=(3, 4000, 8))
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    codes = (p.cumsum(axis=2) < rng.random((3, 4000, 1))).sum(axis=2)
    codes[:, ::7], asked = NO_TARGET, rng.random((3, 4000)) < 0.9
    codes[~asked] = 0  # as if all were in the first bin
    own = AskedColumns(
        asked & (codes != NO_TARGET),
        torch.from_numpy(factors[:, None, None] * logits),
        torch.from_numpy(codes),
        np.full(4000, 0.25),
    )
    monkeypatch.setattr(ValidationObjects, "asked", lambda *_: iter([own]))
    found = fit(model, survey)
    assert found.temperatures.dtype == found.levels.dtype == found.shown.dtype == np.float32
    np.testing.assert_allclose(found.temperatures, factors, rtol=0.05)
    np.testing.assert_allclose(found.levels, np.tile(even_levels(), (3, 4, 1)), atol=0.04)
    assert (found.shown == 0.25).all()


def test_too_few_values_fit_nothing(survey, model, monkeypatch):
    """The temperature of a column that is known of few objects is 1, its levels are even."""
    monkeypatch.setattr(calibration, "_FEWEST", 1000)
    found = fit(model, survey)
    assert (found.temperatures == 1).all()
    np.testing.assert_allclose(found.levels, np.tile(even_levels(), (3, 4, 1)), rtol=1e-6)


def test_the_mode_of_the_model_is_restored(survey, model):
    """A model in training is so afterwards."""
    model.train()
    fit(model, survey)
    assert model.training


def test_levels_are_fractions_of_values():
    """Of a value whose bin a level divides, the part of the bin below it."""
    found = fractions_below(np.array([0.25, 0.5]), np.array([0.75, 0.5 + 1e-15]))
    level = even_levels()
    np.testing.assert_allclose(found[0], np.clip((level - 0.25) / 0.5, 0, 1))
    assert set(found[1][level != 0.5]) == {0.0, 1.0}


@pytest.mark.parametrize("bias", [0.3, -0.4])
def test_shifted_predictions_are_calibrated(bias):
    """Of values that lie above or below the predicted median too often, as many lie below it."""
    rng = np.random.default_rng(0)
    edges = np.linspace(-4, 4, 65)
    centers = rng.normal(size=4000)
    probabilities = np.diff(ndtr(edges - centers[:, None]), axis=1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    bins = np.clip(np.searchsorted(edges, centers + bias + rng.normal(size=4000)) - 1, 0, 63)

    def around(p):
        upto = p.cumsum(axis=1)[np.arange(len(p)), bins]
        return upto - p[np.arange(len(p)), bins], upto

    half = slice(0, 2000), slice(2000, 4000)
    low, high = around(probabilities)
    levels = fractions_below(low[half[0]], high[half[0]]).mean(axis=0)
    low, high = around(with_levels(probabilities, np.tile(levels, (4000, 1))))
    for before, after in ((0.16, 0.16), (0.5, 0.5), (0.84, 0.84)):
        share = np.clip((before - low) / (high - low), 0, 1)[half[1]].mean()
        assert share == pytest.approx(after, abs=0.03)


def test_even_levels_change_nothing():
    """Rows still sum to 1."""
    p = np.random.default_rng(0).dirichlet(np.ones(12), 50)
    np.testing.assert_allclose(with_levels(p, np.tile(even_levels(), (50, 1))), p, atol=1e-12)


def test_levels_are_undone():
    """Each row by its own levels."""
    rng = np.random.default_rng(0)
    p, levels = rng.dirichlet(np.ones(40), 50), even_levels() ** rng.uniform(0.8, 1.2, (50, 1))
    np.testing.assert_allclose(without_levels(with_levels(p, levels), levels), p, atol=2e-3)


def test_levels_between_parts_by_hand():
    """A third of the way between two parts, and at the ends beyond them; equal parts are one."""
    levels, shown = np.array([[0.0, 0.1], [0.0, 0.4], [0.0, 0.4]]), np.array([0.2, 0.5, 0.5])
    found = levels_at(levels, shown, np.array([0.0, 0.3, 0.5, 0.9]))
    np.testing.assert_allclose(found[:, 1], [0.1, 0.2, 0.4, 0.4])


def test_more_columns_are_shown_part_by_part(survey, model, monkeypatch):
    """A label is fitted at every part, other columns up to the last one at which any is asked."""
    monkeypatch.setattr(calibration, "_FEWEST", 5)
    found = fit(model, survey)
    label, other = found.shown[2], found.shown[0]
    assert (np.diff(label) > 0).all()
    assert label[-1] <= 2 / 3
    assert other[-1] == other[-2] < label[-1]
    np.testing.assert_array_equal(found.levels[0, -1], found.levels[0, -2])
    assert len(SHOWN) == found.levels.shape[1]
