"""Methods are compared on the same objects."""

import numpy as np
import pytest

from astromodal.evaluation.reconstruction.measures import brightness, compare, judge
from astromodal.evaluation.report.section import Measurement


def test_medians_and_gain_by_hand():
    """Of errors, the gain is the baseline's median less the model's."""
    values = {"model": np.array([[1.0], [2.0], [9.0]]), "baseline": np.array([[3.0], [5.0], [4.0]])}
    comparison = compare(values, 0, lower_is_better=True)
    assert comparison.n == 3
    medians = [comparison.medians[method].value for method in ("model", "baseline")]
    assert medians == [2.0, 4.0]
    assert comparison.gain.value == 2.0
    assert compare(values, 0).gain.value == -2.0


def test_a_constant_difference_has_no_error():
    """Every resampling has the same objects for both methods, however much these differ."""
    model = np.random.default_rng(0).normal(0, 100, (40, 3))
    gain = compare({"model": model, "baseline": model - 1}, 0).gain
    assert gain.value == pytest.approx(1.0)
    assert gain.error == pytest.approx(0.0, abs=1e-9)


def test_a_value_counts_where_every_method_has_it():
    """A value that one method lacks does not count for the other."""
    values = {"model": np.array([[1.0], [np.nan]]), "baseline": np.array([[3.0], [100.0]])}
    comparison = compare(values, 0)
    assert (comparison.n, comparison.medians["baseline"].value) == (1, 3.0)
    assert np.isnan(comparison.gain.error)


def test_nothing_to_compare_is_nan():
    """Without objects everything is NaN."""
    comparison = compare({"model": np.empty((0, 2)), "baseline": np.empty((0, 2))}, 0)
    assert comparison.n == 0
    assert np.isnan(comparison.gain.value)


@pytest.mark.parametrize(
    ("value", "error", "expected"), [(2, 1, "good"), (1, 2, "bad"), (1, np.nan, "none")]
)
def test_good_is_a_gain_beyond_its_error(value, error, expected):
    """And a second gain must exceed its own."""
    gain = Measurement(value, error)
    assert judge(gain) == expected
    other = Measurement(0.0, 1.0)
    assert judge(gain, other) == ("bad" if expected == "good" else expected)


def test_brightness_is_in_magnitudes_either_way():
    """A tenth and ten times as bright are both 2.5 mag off; without light there is no magnitude."""
    np.testing.assert_allclose(brightness(np.array([0.1, 10.0, 0.0])), [2.5, 2.5, np.nan])
