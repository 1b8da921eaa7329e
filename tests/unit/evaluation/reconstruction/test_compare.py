"""Ways are compared on the same objects."""

import numpy as np
import pytest

from astromodal.evaluation.reconstruction.scores import brightness, compared, scaled, verdict


def test_medians_and_gain_by_hand():
    """Of errors, the gain is the baseline's median less the model's."""
    values = {"model": np.array([[1.0], [2.0], [9.0]]), "baseline": np.array([[3.0], [5.0], [4.0]])}
    found = compared(values, 0, lower_is_better=True)
    assert found["n"] == 3
    assert (found["model"]["value"], found["baseline"]["value"]) == (2.0, 4.0)
    assert found["gain"]["value"] == 2.0
    assert compared(values, 0)["gain"]["value"] == -2.0


def test_a_constant_difference_has_no_error():
    """Both ways see the same objects in every draw, however much these differ."""
    model = np.random.default_rng(0).normal(0, 100, (40, 3))
    gain = compared({"model": model, "baseline": model - 1}, 0)["gain"]
    assert gain["value"] == pytest.approx(1.0)
    assert gain["error"] == pytest.approx(0.0, abs=1e-9)


def test_a_value_counts_where_every_way_has_it():
    """What one way lacks is no other's advantage."""
    values = {"model": np.array([[1.0], [np.nan]]), "baseline": np.array([[3.0], [100.0]])}
    found = compared(values, 0)
    assert (found["n"], found["baseline"]["value"]) == (1, 3.0)
    assert np.isnan(found["gain"]["error"])


def test_nothing_to_compare_is_no_number():
    """Without objects everything is NaN."""
    found = compared({"model": np.empty((0, 2)), "baseline": np.empty((0, 2))}, 0)
    assert found["n"] == 0
    assert np.isnan(found["gain"]["value"])


@pytest.mark.parametrize(
    ("value", "error", "expected"), [(2, 1, "good"), (1, 2, "bad"), (1, np.nan, "none")]
)
def test_good_is_a_gain_beyond_its_error(value, error, expected):
    """And a second gain must exceed its own."""
    gain = {"value": value, "error": error}
    assert verdict(gain) == expected
    other = {"value": 0.0, "error": 1.0}
    assert verdict(gain, other) == ("bad" if expected == "good" else expected)


def test_a_shape_is_fitted_where_it_counts():
    """The factor is that of least squares; what has no weight has no say."""
    values = np.array([[2.0, 4.0, 100.0], [np.nan, 1.0, 1.0]])
    weight = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    fitted, factor = scaled(np.array([1.0, 2.0, 3.0]), values, weight)
    np.testing.assert_allclose(factor, [2.0, 0.0])
    np.testing.assert_allclose(fitted[0], [2.0, 4.0, 6.0])


def test_brightness_is_in_magnitudes_either_way():
    """A tenth and ten times as bright are both 2.5 mag off; no light has no magnitude."""
    np.testing.assert_allclose(brightness(np.array([0.1, 10.0, 0.0])), [2.5, 2.5, np.nan])
