"""Predicted distributions and class probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from astromodal.evaluation.downstream.calibration import (
    bin_nll,
    calibrate,
    calibration_error,
    pit_histogram,
    reliability,
)
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.training.calibration import even_levels, with_levels

EDGES = np.linspace(0, 1, 11)


def _prediction(probabilities, edges=EDGES):
    n = len(probabilities)
    centers = (edges[:-1] + edges[1:]) / 2
    return ScalarPrediction("c", "", np.arange(n).astype(str), probabilities, centers, edges,
                            np.ones(n, np.int32))  # fmt: skip


def _uniform(n):
    return _prediction(np.full((n, 10), 0.1))


def test_the_right_distribution_is_calibrated():
    """Uniform truth and predictions: nominal coverage, no gain over the constant."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(size=2000)
    calibration = calibrate(_uniform(2000), truth, rng.uniform(size=5000), 0)
    numbers = calibration.numbers
    for level, coverage in numbers.coverage.items():
        assert coverage.value == pytest.approx(float(level), abs=4 * coverage.error)
    assert not numbers.poor
    density, error = pit_histogram(calibration.pit)
    assert np.all(np.abs(density - 1) < 4 * error)
    assert numbers.crps_gain.value == pytest.approx(0, abs=0.002)


def test_too_narrow_a_distribution_is_poor():
    """Uniform truth, predictions in one bin: too few objects inside, and a loss."""
    truth = np.random.default_rng(1).uniform(size=300)
    narrow = np.zeros((300, 10))
    narrow[:, 5] = 1
    numbers = calibrate(_prediction(narrow), truth, truth, 0).numbers
    assert numbers.poor
    assert numbers.checked.value < 0.2
    assert numbers.crps_gain.value < 0


def test_a_few_objects_are_not_called_poor():
    """Two of three objects inside a 68 % interval are as good as three objects can show."""
    calibration = calibrate(_uniform(3), np.array([0.4, 0.5, 0.95]), np.array([0.5]), 0)
    assert not calibration.numbers.poor


def test_good_predictions_gain():
    """Predictions in the right bin are better than the constant in both scores."""
    truth = np.random.default_rng(1).uniform(size=100)
    right = np.eye(10)[(truth * 10).astype(int)] * 0.9 + 0.01
    numbers = calibrate(_prediction(right), truth, truth, 0).numbers
    assert numbers.crps_gain.value > 0
    assert numbers.nll.value == pytest.approx(-np.log(0.91))
    assert numbers.nll_gain.value > 1


def test_numbers_at_a_temperature_of_one_are_those_of_the_plain_distributions():
    """Distributions that were divided by a temperature give the same numbers once it is undone."""
    rng = np.random.default_rng(3)
    plain = rng.dirichlet(np.ones(10), size=200)
    truth, temperature = rng.uniform(size=200), 1.7
    powers = plain ** (1 / temperature)
    hot = _prediction(powers / powers.sum(axis=1, keepdims=True))
    found = calibrate(replace(hot, temperature=temperature), truth, truth, 0).numbers
    wanted = calibrate(_prediction(plain), truth, truth, 0).numbers
    assert found.temperature == temperature
    assert found.uncalibrated["coverage"] == wanted.checked
    assert found.uncalibrated["crps"].value == pytest.approx(wanted.crps.value)
    assert found.uncalibrated["nll"].value == pytest.approx(wanted.nll.value)
    assert found.nll.value != pytest.approx(wanted.nll.value, abs=1e-3)


def test_nll_is_that_of_the_true_bin():
    """A value on an edge belongs to the bin below; one beyond the last edge to the last bin."""
    probabilities = np.tile(np.arange(1, 11) / 55, (3, 1))
    nll = bin_nll(_prediction(probabilities), np.array([0.1, 0.15, 7.0]))
    assert nll == pytest.approx(-np.log(np.array([1, 2, 10]) / 55))


def test_ties_are_sampled_uniformly():
    """Where a third of the probability lies on one value, its PIT fills that third."""
    edges = np.array([0.0, 1.0, 1.0, 2.0])
    pit = calibrate(_prediction(np.full((4000, 3), 1 / 3), edges), np.ones(4000),
                    np.ones(10), 0).pit  # fmt: skip
    assert pit.min() == pytest.approx(1 / 3, abs=0.01)
    assert pit.max() == pytest.approx(2 / 3, abs=0.01)
    assert pit.mean() == pytest.approx(0.5, abs=0.01)


def test_calibration_error_by_hand():
    """Confidence 0.9, 0.6, 0.7 correct and 0.8 wrong: off by 0.1, 0.4, 0.3 and 0.8, mean 0.4."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    assert calibration_error(np.array([0, 0, 1, 1]), probabilities) == pytest.approx(0.4)


def test_reliability_counts_every_object():
    """All bins together hold all objects, and full confidence is in the last bin."""
    bins = reliability(np.array([0, 0]), np.array([[1.0, 0], [0.55, 0.45]]))
    assert [b.n for b in bins] == [1, 1]
    assert bins[-1].confidence == 1


def test_numbers_without_levels_are_those_of_the_plain_distributions():
    """Distributions whose levels were replaced give the same numbers once that is undone."""
    rng = np.random.default_rng(0)
    plain = rng.dirichlet(np.ones(10), 200)
    truth, levels = rng.uniform(size=200), even_levels() ** rng.uniform(1.3, 1.7, (200, 1))
    changed = replace(_prediction(with_levels(plain, levels)), levels=levels)
    found = calibrate(changed, truth, truth, 0).numbers
    wanted = calibrate(_prediction(plain), truth, truth, 0).numbers
    assert found.uncalibrated["nll"].value == pytest.approx(wanted.nll.value, rel=0.01)
    assert found.uncalibrated["crps"].value == pytest.approx(wanted.crps.value, rel=0.01)
    assert found.nll.value != pytest.approx(wanted.nll.value, rel=0.01)


def test_stars_are_left_out_before_and_after_calibration():
    """Given a value beyond a limit, both have the numbers of distributions without the others."""
    rng = np.random.default_rng(5)
    plain, truth = rng.dirichlet(np.ones(10), size=200), rng.uniform(0.3, 1, size=200)
    without = np.where(EDGES[:-1] > 0.25, plain, 0)
    without = _prediction(without / without.sum(axis=1, keepdims=True))
    powers = plain ** (1 / 1.7)
    hot = replace(_prediction(powers / powers.sum(axis=1, keepdims=True)), temperature=1.7)
    found = calibrate(hot, truth, truth, 0, limit=0.3).numbers
    wanted = calibrate(without, truth, truth, 0).numbers
    assert found.uncalibrated["coverage"] == wanted.checked
    assert found.uncalibrated["nll"].value == pytest.approx(wanted.nll.value)
    assert found.nll.value == pytest.approx(
        calibrate(hot.given_beyond(0.3), truth, truth, 0).numbers.nll.value
    )
