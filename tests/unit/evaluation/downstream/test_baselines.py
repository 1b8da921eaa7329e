"""Probes and baselines learn what the features contain, and nothing else."""

import numpy as np
import pytest

from astromodal.evaluation.downstream import baselines
from astromodal.evaluation.downstream.baselines import (
    LEARNERS,
    fit_constant,
    fit_neighbours,
    fit_network,
    fit_probe,
    fit_trees,
    log_loss,
)

LEARNING = (fit_probe, fit_trees, fit_neighbours, fit_network)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """Grow few trees, to save time."""
    monkeypatch.setattr(baselines, "ITERATIONS", 30)


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


@pytest.mark.parametrize("fit", [fit_trees, fit_neighbours])
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


def test_log_loss_by_hand():
    """Probabilities of 1/2 and 0, which counts as 1e-6."""
    loss = log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [1.0, 0.0]]))
    assert loss == pytest.approx(-(np.log(0.5) + np.log(1e-6)) / 2)
