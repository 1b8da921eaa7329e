"""Measures by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.downstream.scores import (
    MEASURES,
    balanced_accuracy,
    by_magnitude,
    calibration_error,
    confusion,
    difference,
    explained,
    outliers,
    reliability,
    score,
    sigma_nmad,
    verdict,
)
from astromodal.evaluation.report.values import Measurement

NMAD = MEASURES["redshift"][0]


def test_nmad_by_hand():
    """Δz/(1+z) of 0, 0.1 and 0.3: median 0.1, deviations 0.1, 0, 0.2, whose median is 0.1."""
    truth = np.array([0.0, 1.0, 0.0])
    assert sigma_nmad(truth, truth + np.array([0, 0.2, 0.3])) == pytest.approx(0.14826, rel=1e-4)


@given(st.floats(-0.5, 0.5))
def test_nmad_does_not_see_a_common_shift(shift):
    """Which is why shares of outliers stand beside it."""
    truth = np.zeros(5)
    predicted = np.array([0.0, 0.01, 0.03, 0.02, -0.05])
    assert sigma_nmad(truth, predicted + shift) == pytest.approx(sigma_nmad(truth, predicted))


def test_outliers_by_hand():
    """One of four is beyond 0.15 (1 + z)."""
    truth = np.array([0.0, 1.0, 1.0, 0.0])
    assert outliers(truth, np.array([0.1, 1.29, 1.31, 0.0])) == 0.25


def test_no_outlier_has_an_error_still():
    """Ten objects without an outlier do not show that there are none."""
    measure = next(m for m in MEASURES["redshift"] if m.name == "outliers")
    found = score(measure, np.zeros(10), np.zeros(10), 0)
    assert found.value == 0
    assert found.error > 0.03


def test_explained_variance_by_hand():
    """Residuals 0.5 of a total of 2."""
    assert explained(np.array([0.0, 1, 2]), np.array([0.5, 1, 1.5])) == pytest.approx(0.75)


PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
TRUTH = np.array([0, 0, 1, 1])


def test_balanced_accuracy_by_hand():
    """Both of one class and one of two of the other: 0.75."""
    assert balanced_accuracy(TRUTH, PROBABILITIES) == 0.75


def test_a_class_without_labels_counts_as_missed():
    """Its objects are predicted to be something else: half of the classes is right."""
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert balanced_accuracy(np.array([0, 1]), probabilities) == 0.5


def test_confusion_by_hand():
    """Rows are true classes, columns predicted ones."""
    assert confusion(TRUTH, PROBABILITIES).tolist() == [[2, 0], [1, 1]]


def test_calibration_error_by_hand():
    """Confidence 0.9, 0.6, 0.7 right and 0.8 wrong: off by 0.1, 0.4, 0.3 and 0.8, mean 0.4."""
    assert calibration_error(TRUTH, PROBABILITIES) == pytest.approx(0.4)


def test_reliability_counts_every_object():
    """Objects of all bins together, and full confidence in the last one."""
    bins = reliability(np.array([0, 0]), np.array([[1.0, 0], [0.55, 0.45]]))
    assert [b.n for b in bins] == [1, 1]
    assert bins[-1].confidence == 1


def test_a_paired_difference_has_the_smaller_error():
    """An object that is hard for one method is hard for the other."""
    rng = np.random.default_rng(0)
    truth = np.zeros(200)
    one = rng.standard_cauchy(200)
    other = one + 0.01 * rng.normal(size=200)
    measure = MEASURES["stellar"][1]
    paired = difference(measure, truth, one, other, 0)
    assert paired.error < 0.1 * score(measure, truth, one, 0).error


@pytest.mark.parametrize(
    ("sigma", "share", "judged"),
    [
        (Measurement(-0.1, 0.05), Measurement(0.0, 0.1), "good"),
        (Measurement(-0.1, 0.05), Measurement(0.3, 0.1), "bad"),
        (Measurement(0.1, 0.05), Measurement(-0.3, 0.1), "bad"),
        (Measurement(-0.01, 0.05), Measurement(0.01, 0.1), "none"),
    ],
)
def test_a_verdict_looks_at_all_that_is_shown(sigma, share, judged):
    """One that is worse makes it bad, however good the other is."""
    assert verdict("redshift", {"sigma_nmad": sigma, "outliers": share}) == judged


def test_bins_of_magnitude_hold_equally_many():
    """Thirty objects in two bins of fifteen; those without a magnitude are in none."""
    magnitude = np.append(np.linspace(15, 20, 30), np.nan)
    predicted = {"model": np.full(31, 0.1)}
    bins = by_magnitude(NMAD, np.zeros(31), predicted, magnitude, 0)
    assert [b.n for b in bins] == [15, 15]
    assert bins[0].high < bins[1].low


def test_too_few_objects_make_no_bins():
    """Where not even two bins are full, none is made."""
    assert by_magnitude(NMAD, np.zeros(20), {}, np.linspace(15, 20, 20), 0) == []
