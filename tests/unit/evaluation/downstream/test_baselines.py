"""Probes and baselines learn what the features contain, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from astromodal.evaluation.downstream import baselines, networks
from astromodal.evaluation.downstream.baselines import (
    components,
    fit_constant,
    fit_neighbours,
    fit_probe,
    fit_trees,
    log_loss,
    tabulate,
)
from astromodal.evaluation.downstream.networks import fit_network, fit_tabm
from astromodal.evaluation.downstream.predictions import LEARNERS

LEARNING = (fit_probe, fit_trees, fit_neighbours, fit_network, fit_tabm)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """Grow few trees and train TabM for a few epochs, to save time."""
    monkeypatch.setattr(baselines, "ITERATIONS", 30)
    monkeypatch.setattr(networks, "TABM_EPOCHS", 10)


@pytest.mark.parametrize("fit", LEARNING)
def test_a_number_that_depends_on_a_feature_is_learned(fit, examples):
    """Every method explains most of what a feature contains."""
    example = examples()
    predicted = fit(example).predicted
    assert np.corrcoef(predicted, example.y[example.score])[0, 1] > 0.7


@pytest.mark.parametrize("fit", LEARNING)
def test_a_class_that_depends_on_a_feature_is_learned(fit, examples):
    """Every method separates two classes, with probabilities that add up to 1."""
    example = examples(2)
    predicted = fit(example).predicted
    assert predicted.sum(axis=1) == pytest.approx(np.ones(len(predicted)))
    assert np.mean(predicted.argmax(axis=1) == example.y[example.score]) > 0.75


@pytest.mark.parametrize("fit", [fit_trees, fit_neighbours, fit_tabm])
def test_missing_values_are_accepted(fit, examples):
    """Also a feature that is missing in all objects."""
    assert np.isfinite(fit(examples(gaps=True)).predicted).all()


def test_an_outlier_does_not_change_the_neighbours(examples):
    """One value of 1e9 leaves the neighbours of all other objects as they are."""
    example = examples()
    before = fit_neighbours(example).predicted
    example.x[0, 1] = 1e9
    assert np.corrcoef(before, fit_neighbours(example).predicted)[0, 1] > 0.98


def test_tuning_chooses_a_strong_penalty_for_noise(examples):
    """Where there is nothing to learn, the penalty is nearly the strongest of the grid."""
    assert fit_probe(examples(informed=False)).chosen["alpha"] >= 100


def test_the_constant_is_the_median(examples):
    """It does not depend on the features."""
    example = examples()
    median = np.median(example.y[example.fit])
    assert fit_constant(example).predicted == pytest.approx(np.full(40, median))


def test_the_constant_is_the_frequency_of_classes(examples):
    """The probability of each class is its fraction of the labels."""
    example = examples(2)
    fraction = example.y[example.fit].mean()
    expected = np.tile([1 - fraction, fraction], (40, 1))
    assert fit_constant(example).predicted == pytest.approx(expected)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_class_without_a_label_has_probability_zero(name, examples):
    """Of three classes, the last occurs among the scored objects alone."""
    predicted = LEARNERS[name](examples(3)).predicted
    assert predicted.shape == (40, 3)
    assert not predicted[:, 2].any()


@pytest.mark.parametrize("name", LEARNERS)
def test_labels_of_scored_objects_are_not_used(name, examples):
    """Predictions are the same where the labels of the scored objects are others."""
    example, other = examples(), examples()
    other.y[other.score] = 99
    assert np.array_equal(LEARNERS[name](example).predicted, LEARNERS[name](other).predicted)


@pytest.mark.parametrize("fit", [fit_trees, fit_neighbours, fit_tabm])
def test_without_a_feature_nothing_is_learned(fit, examples):
    """Where all features are missing, every object has the same prediction."""
    example = examples()
    example.x[:] = np.nan
    assert np.ptp(fit(example).predicted) == pytest.approx(0, abs=1e-12)


def test_tabm_is_deterministic(examples):
    """Two fits give the same predictions, whatever random numbers were drawn before."""
    first = fit_tabm(examples()).predicted
    torch.rand(7)
    assert np.array_equal(first, fit_tabm(examples()).predicted)


def test_tabm_learns_a_product_better_than_a_constant(examples):
    """The error of a product of two features is less than half the constant's."""
    example = examples()
    example.y[:] = example.x[:, 0] * (example.x[:, 1] > 0)
    errors = [
        np.abs(fit(example).predicted - example.y[example.score]).mean()
        for fit in (fit_tabm, fit_constant)
    ]
    assert errors[0] < 0.5 * errors[1]


@pytest.fixture
def spectra():
    """Spectra of 150 objects, which are multiples of a line; every third has none."""
    rng = np.random.default_rng(3)
    line = np.exp(-0.5 * np.linspace(-3, 3, 40) ** 2)
    flux = rng.normal(size=(150, 1)) * line + 0.01 * rng.normal(size=(150, 40))
    flux[::3] = np.nan
    return flux


def test_components_are_fitted_to_no_scored_spectrum(spectra):
    """Other scored spectra change the components of no other object."""
    fit, changed = np.arange(80), spectra.copy()
    changed[80:] *= np.linspace(1, 50, 40)
    before, after = components(spectra, fit), components(changed, fit)
    assert np.array_equal(before[:80], after[:80], equal_nan=True)


def test_an_object_without_a_spectrum_has_no_components(spectra):
    """They are NaN there, and known for all others."""
    found = components(spectra, np.arange(80))
    assert np.array_equal(np.isnan(found).all(axis=1), np.arange(150) % 3 == 0)
    assert np.isfinite(found[1::3]).all()


def test_a_missing_bin_counts_as_its_mean(spectra):
    """A gap in one bin hardly changes the first component, which the line is."""
    gap = spectra.copy()
    gap[1, 0] = np.nan
    found = [components(each, np.arange(80))[1, 0] for each in (spectra, gap)]
    assert found[0] == pytest.approx(found[1], abs=0.05)


def test_one_spectrum_has_no_components(spectra):
    """Of a single spectrum nothing varies."""
    assert components(spectra, np.array([0, 1])).shape == (150, 0)


def test_spectra_become_features_of_a_table(examples, spectra):
    """Trees learn a label from spectra alone."""
    example = examples()
    strength = np.nan_to_num(spectra[:, 20])
    shown = replace(example, x=example.x[:, :0], y=strength, spectra={"desi_r": spectra})
    assert tabulate(shown).x.shape == (150, baselines.COMPONENTS)
    predicted = fit_trees(shown).predicted
    assert np.corrcoef(predicted, strength[example.score])[0, 1] > 0.9


def test_log_loss_by_hand():
    """Probabilities of 1/2 and 0, which counts as 1e-6."""
    loss = log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [1.0, 0.0]]))
    assert loss == pytest.approx(-(np.log(0.5) + np.log(1e-6)) / 2)
