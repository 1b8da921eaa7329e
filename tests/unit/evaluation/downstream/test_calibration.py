"""Predicted distributions against the truth, and temperatures."""

import numpy as np
import pytest

from astromodal.evaluation.downstream.calibration import calibrate, nll, pit_histogram
from astromodal.inference.predict_scalars import ScalarPrediction

EDGES = np.linspace(0, 1, 11)


def _prediction(probabilities, edges=EDGES):
    n = len(probabilities)
    centers = (edges[:-1] + edges[1:]) / 2
    return ScalarPrediction("c", "", np.arange(n).astype(str), probabilities, centers, edges,
                            np.ones(n, np.int32))  # fmt: skip


def _even(n):
    return _prediction(np.full((n, 10), 0.1))


def test_the_right_distribution_is_calibrated():
    """Uniform truth, uniform predictions: nominal coverage, no gain over the constant."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(size=2000)
    found = calibrate(_even(2000), truth, rng.uniform(size=5000), 0)
    for level, cell in found.numbers.coverage.items():
        assert cell.value == pytest.approx(float(level), abs=4 * cell.error)
    assert not found.numbers.poor
    density, error = pit_histogram(found.pit)
    assert np.all(np.abs(density - 1) < 4 * error)
    assert found.numbers.crps_gain.value == pytest.approx(0, abs=0.002)


def test_too_narrow_a_distribution_is_poor():
    """Truth anywhere, predictions in one bin: too few objects inside, and a loss."""
    truth = np.random.default_rng(1).uniform(size=300)
    sure = np.zeros((300, 10))
    sure[:, 5] = 1
    found = calibrate(_prediction(sure), truth, truth, 0)
    assert found.numbers.poor
    assert found.numbers.coverage["0.68"].value < 0.2
    assert found.numbers.crps_gain.value < 0


def test_a_few_objects_prove_nothing_poor():
    """Two of three inside a 68 % interval is as good as three objects can show."""
    found = calibrate(_even(3), np.array([0.4, 0.5, 0.95]), np.array([0.5]), 0)
    assert not found.numbers.poor


def test_knowledge_gains():
    """Predictions in the right bin beat the constant in both scores."""
    truth = np.random.default_rng(1).uniform(size=100)
    right = np.eye(10)[(truth * 10).astype(int)] * 0.9 + 0.01
    numbers = calibrate(_prediction(right), truth, truth, 0).numbers
    assert numbers.crps_gain.value > 0
    assert numbers.nll.value == pytest.approx(-np.log(0.91))
    assert numbers.nll_gain.value > 1


def test_nll_is_that_of_the_true_bin():
    """A value on an edge belongs to the bin below; one beyond the last edge to the last bin."""
    probabilities = np.tile(np.arange(1, 11) / 55, (3, 1))
    found = nll(_prediction(probabilities), np.array([0.1, 0.15, 7.0]))
    assert found == pytest.approx(-np.log(np.array([1, 2, 10]) / 55))


def test_ties_are_spread_evenly():
    """Where a third of the probability lies on one value, its PIT fills that third."""
    edges = np.array([0.0, 1.0, 1.0, 2.0])
    found = calibrate(_prediction(np.full((4000, 3), 1 / 3), edges), np.ones(4000),
                      np.ones(10), 0)  # fmt: skip
    assert found.pit.min() == pytest.approx(1 / 3, abs=0.01)
    assert found.pit.max() == pytest.approx(2 / 3, abs=0.01)
    assert found.pit.mean() == pytest.approx(0.5, abs=0.01)
