import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.light_curves import LightCurveBatch
from astromodal.tokenizers.light_curves.features import compress, expand, median_magnitude


def batch(curves, times=None):
    """A batch of curves of magnitudes, of error 0.1, an epoch a day or at the times given."""
    times = times or [np.arange(len(curve)) for curve in curves]
    mag = np.array([m for curve in curves for m in curve], dtype=float)
    indptr = np.cumsum([0, *(len(curve) for curve in curves)])
    time = np.array([t for own in times for t in own], dtype=float)
    row = np.arange(len(curves), dtype=np.int32)
    return LightCurveBatch(row, indptr, time, mag, np.full(len(mag), 0.1))


@given(st.lists(st.lists(st.floats(-30, 30), max_size=7), max_size=6))
def test_medians_are_those_of_each_curve(curves):
    """Of even and odd numbers of epochs, and NaN of none."""
    expected = [np.median(curve) if curve else np.nan for curve in curves]
    np.testing.assert_allclose(median_magnitude(batch(curves)), np.array(expected, float))


def test_features_by_hand():
    """0.05 mag off is arcsinh(1), an error of 0.1 ln(10), a step of a day ln(2); the first 0."""
    features = compress(batch([[18.0, 18.05], [15.0]], [[5.0, 6.0], [9.0]]), np.array([18.0, 15.0]))
    expected = [[0, 0], [np.arcsinh(1), np.log(2)], [0, 0]]
    np.testing.assert_allclose(features[:, [0, 2]], expected, atol=1e-12)
    np.testing.assert_allclose(features[:, 1], np.log(10))


@given(st.floats(-10, 30), st.floats(1e-4, 1e3), st.floats(0, 1e4))
def test_expanding_undoes_compressing(mag, error, step):
    """Magnitude, error and step come back."""
    curve = LightCurveBatch(
        np.zeros(1, np.int32), np.array([0, 2]), np.array([0.0, step]), np.array([18.0, mag]),
        np.array([0.1, error]),
    )  # fmt: skip
    found = expand(compress(curve, np.array([18.0])), np.array([18.0, 18.0]))
    assert [part[1] for part in found] == pytest.approx([mag, error, step], rel=1e-6, abs=1e-6)


def test_a_step_is_never_negative():
    """A centroid a little below 0 decodes to no step."""
    assert expand(np.array([[0.0, 1.0, -0.1]]), np.zeros(1))[2].tolist() == [0.0]
