"""Numbers of a distribution over bins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.inference.predict_scalars import ScalarPrediction


def prediction(probabilities, centers, edges) -> ScalarPrediction:
    probabilities = np.atleast_2d(np.array(probabilities, dtype=float))
    ids, n = np.array(["a"] * len(probabilities)), np.zeros(len(probabilities), np.int32)
    return ScalarPrediction("c", "mag", ids, probabilities, np.array(centers), np.array(edges), n)


def test_a_uniform_distribution():
    """Two even bins over [0, 2]: mean 1, variance 1/3, quantiles in proportion."""
    found = prediction([0.5, 0.5], [0.5, 1.5], [0.0, 1.0, 2.0])
    assert found.mean[0] == pytest.approx(1)
    assert found.std[0] == pytest.approx(np.sqrt(1 / 3))
    for level in (0.0, 0.16, 0.5, 0.84, 1.0):
        assert found.quantile(level)[0] == pytest.approx(2 * level)
    assert found.median[0] == pytest.approx(1)


def test_a_last_bin_without_end_does_no_harm():
    """The median of a bin from 30 to 1e6 with mean 100 is near 65, not at 5e5."""
    found = prediction([0.0, 1.0], [15.0, 100.0], [0.0, 30.0, 1e6])
    assert found.mean[0] == pytest.approx(100)
    assert 30 < found.median[0] < 100


def test_a_tie_has_no_width():
    """A bin that is one value gives that value, with no spread."""
    found = prediction([1.0, 0.0], [3.0, 4.0], [3.0, 3.0, 5.0])
    assert found.mean[0] == found.median[0] == found.quantile(0.84)[0] == 3
    assert found.std[0] == 0


@given(st.lists(st.floats(0.1, 1), min_size=4, max_size=4), st.floats(0.01, 0.99))
def test_moments_are_those_of_the_quantiles(weights, shift):
    """Mean and variance are those of the density whose quantiles are given."""
    probabilities = np.array(weights) / np.sum(weights)
    edges = np.array([0.0, 1.0, 1.5, 4.0, 6.0])
    found = prediction(probabilities, edges[:-1] + shift * np.diff(edges), edges)
    levels = (np.arange(20_000) + 0.5) / 20_000
    values = np.concatenate([found.quantile(level) for level in levels[::20]])
    assert (np.diff(values) >= 0).all()
    assert values.mean() == pytest.approx(found.mean[0], abs=0.02)
    assert values.std() == pytest.approx(found.std[0], abs=0.02)


def test_probability_up_to_a_value():
    """A quarter of [0, 2] lies below 0.5; nothing below it, all above its end."""
    found = prediction([[0.5, 0.5]] * 4, [0.5, 1.5], [0.0, 1.0, 2.0])
    below, upto = found.cdf(np.array([0.5, -1.0, 2.0, 9.0]))
    assert below == pytest.approx([0.25, 0, 1, 1])
    assert upto == pytest.approx(below)


def test_a_tie_has_a_probability_of_its_own():
    """For a bin of a single value, the probability is 0 below the value and 1 up to it."""
    found = prediction([0.6, 0.4], [3.0, 4.0], [3.0, 3.0, 5.0])
    below, upto = found.cdf(np.array([3.0]))
    assert (below[0], upto[0]) == pytest.approx((0, 0.6))


def test_all_probability_lies_up_to_values_above_the_last_bin():
    """Also where that bin is a single value."""
    found = prediction([0.5, 0.5], [0.5, 1.0], [0.0, 1.0, 1.0])
    below, upto = found.cdf(np.array([1.5]))
    assert (below[0], upto[0]) == (1, 1)
    np.testing.assert_allclose(found.cumulative(np.array([-1, 0.5, 1, 1.5]))[0], [0, 0.25, 1, 1])


@given(st.floats(0.01, 0.99), st.floats(0.05, 0.95))
def test_a_quantile_is_reached_at_its_level(level, shift):
    """Quantiles and cumulative probabilities are inverse."""
    edges = np.array([0.0, 1.0, 1.5, 4.0])
    found = prediction([0.2, 0.5, 0.3], edges[:-1] + shift * np.diff(edges), edges)
    assert found.cdf(found.quantile(level))[1][0] == pytest.approx(level)


@given(st.floats(-3, 8), st.floats(0.05, 0.95))
def test_crps_is_the_integral(value, shift):
    """The exact score agrees with a sum over a fine grid, inside and outside the edges."""
    edges = np.array([0.0, 1.0, 1.5, 4.0])
    found = prediction([0.2, 0.5, 0.3], edges[:-1] + shift * np.diff(edges), edges)
    x = np.linspace(-4, 9, 13_001)
    many = prediction([[0.2, 0.5, 0.3]] * len(x), found.centers, edges)
    summed = np.trapezoid((many.cdf(x)[1] - (x >= value)) ** 2, x)
    assert found.crps(np.array([value]))[0] == pytest.approx(summed, abs=2e-3)


def test_crps_of_one_value_is_the_absolute_error():
    """A forecast without spread, 2 away from the truth."""
    found = prediction([1.0, 0.0], [3.0, 4.0], [3.0, 3.0, 5.0])
    assert found.crps(np.array([5.0]))[0] == pytest.approx(2)


def test_some_of_the_objects():
    """A slice holds the predictions for some of the objects."""
    found = prediction([[0.5, 0.5], [1.0, 0.0]], [0.5, 1.5], [0.0, 1.0, 2.0])
    assert found[1:].mean == pytest.approx(found.mean[1:])


def test_a_condition_leaves_bins_out():
    """Given an absolute value over 0.5, the others' probabilities keep their proportions."""
    found = prediction([[0.5, 0.3, 0.2]], [0.1, 1.0, 2.0], [0.0, 0.4, 1.5, 2.5])
    assert found.given_beyond(0.5).probabilities[0] == pytest.approx([0, 0.6, 0.4])
    assert found.probabilities[0] == pytest.approx([0.5, 0.3, 0.2])


def test_an_impossible_condition_changes_nothing():
    """An object that is certainly within the limit keeps its distribution."""
    found = prediction([[1.0, 0.0], [0.5, 0.5]], [0.1, 1.0], [0.0, 0.4, 1.5]).given_beyond(0.5)
    assert found.probabilities.tolist() == [[1.0, 0.0], [0.0, 1.0]]


CENTERS = np.arange(-87.5, 90, 5)
"""Of 36 bins of a position angle."""


def angle(probabilities) -> ScalarPrediction:
    return replace(prediction(probabilities, CENTERS, np.linspace(-90, 90, 37)), period=180.0)


def test_an_angle_at_its_ends():
    """Half at -87.5 and half at 87.5 degrees: the mean is at the end, not at 0."""
    found = angle(np.where(np.abs(CENTERS) > 85, 0.5, 0.0))
    assert abs(found.mean[0]) == pytest.approx(90)
    assert abs(found.median[0]) == pytest.approx(90)
    assert found.std[0] == pytest.approx(np.sqrt(10**2 / 12), rel=0.01)
    assert found.quantile(0.25)[0] == pytest.approx(87.5)
    assert found.quantile(0.75)[0] == pytest.approx(-87.5)


@given(st.integers(0, 35), st.integers(0, 2**32 - 1))
def test_a_turned_distribution_is_turned(steps, seed):
    """Mean and quantiles turn with it, and the spread stays."""
    plain = np.random.default_rng(seed).dirichlet(np.ones(36)) + 5 * (np.abs(CENTERS) < 20)
    one, other = angle(plain / plain.sum()), angle(np.roll(plain / plain.sum(), steps))
    assert other.std == pytest.approx(one.std)
    for quantity in (lambda p: p.mean, lambda p: p.quantile(0.16), lambda p: p.quantile(0.9)):
        turned = quantity(other) - quantity(one) - 5 * steps
        assert one.shortest(turned) == pytest.approx(0, abs=1e-9)
        assert -90 <= quantity(other)[0] <= 90


def test_a_narrow_angle_is_like_another_column():
    """Far from the ends, its numbers are those of a line but for the circle's curvature."""
    weights = np.exp(-0.5 * ((CENTERS - 12) / 6) ** 2)
    turn = angle(weights / weights.sum())
    line = replace(turn, period=None)
    assert turn.mean == pytest.approx(line.mean, abs=0.01)
    assert turn.std == pytest.approx(line.std, rel=0.01)
    for level in (0.16, 0.5, 0.84):
        assert turn.quantile(level) == pytest.approx(line.quantile(level), abs=1e-6)


def test_errors_of_angles_take_the_shorter_way():
    """From 88 to -88 degrees are 4; an interval over the end contains both sides of it."""
    found = angle(np.where(CENTERS == 87.5, 1.0, 0.0))
    assert found.errors(np.array([-88.0]))[0] == pytest.approx(-4.5)
    wide = angle(np.where(np.abs(CENTERS) > 80, 0.25, 0.0))
    assert wide.contains(np.array([-89.0]), 0.16, 0.84)[0]
    assert not wide.contains(np.array([0.0]), 0.16, 0.84)[0]


def test_a_value_far_outside_of_a_narrow_interval():
    """Its position has no overflow: all probability lies above it."""
    found = prediction([1.0], [1.7e-310], [0.0, 0.015])
    below, upto = found.cdf(np.array([-0.05]))
    assert (below[0], upto[0]) == (0, 0)
