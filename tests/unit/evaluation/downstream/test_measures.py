"""Measures, compared with values by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.downstream.measures import (
    MEASURES,
    balanced_accuracy,
    confusion,
    outlier_fraction,
    r2,
    score,
    score_bright,
    score_by_magnitude,
    score_difference,
    sigma_nmad,
    verdict,
)
from astromodal.evaluation.report.section import Measurement

NMAD, OUTLIERS = MEASURES["redshift"][:2]


def test_nmad_by_hand():
    """Δz/(1+z) of 0, 0.1 and 0.3: median 0.1, deviations 0.1, 0, 0.2, whose median is 0.1."""
    truth = np.array([0.0, 1.0, 0.0])
    assert sigma_nmad(truth, truth + np.array([0, 0.2, 0.3])) == pytest.approx(0.14826, rel=1e-4)


@given(st.floats(-0.5, 0.5))
def test_nmad_does_not_change_with_a_common_shift(shift):
    """It does not see one, so the fraction of outliers is measured beside it."""
    truth = np.zeros(5)
    predicted = np.array([0.0, 0.01, 0.03, 0.02, -0.05])
    assert sigma_nmad(truth, predicted + shift) == pytest.approx(sigma_nmad(truth, predicted))


def test_outliers_by_hand():
    """One of four is beyond 0.15 (1 + z)."""
    truth = np.array([0.0, 1.0, 1.0, 0.0])
    assert outlier_fraction(truth, np.array([0.1, 1.29, 1.31, 0.0])) == 0.25


def test_no_outlier_still_has_an_error():
    """Ten objects without an outlier do not show that there are none."""
    fraction = score(OUTLIERS, np.zeros(10), np.zeros(10), 0)
    assert fraction.value == 0
    assert fraction.error > 0.03


def test_r2_by_hand():
    """Residuals of 0.5 and a total of 2."""
    assert r2(np.array([0.0, 1, 2]), np.array([0.5, 1, 1.5])) == pytest.approx(0.75)


PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
TRUTH = np.array([0, 0, 1, 1])


def test_balanced_accuracy_by_hand():
    """Both objects of one class and one of two of the other: 0.75."""
    assert balanced_accuracy(TRUTH, PROBABILITIES) == 0.75


def test_a_class_without_labels_counts_as_missed():
    """Its objects are predicted to be of another class: half of the classes is correct."""
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert balanced_accuracy(np.array([0, 1]), probabilities) == 0.5


def test_confusion_by_hand():
    """Rows are classes, columns are predicted classes."""
    assert confusion(TRUTH, PROBABILITIES).tolist() == [[2, 0], [1, 1]]


def test_confusion_has_every_class():
    """Also a class that neither occurs nor is predicted."""
    assert confusion(np.array([0]), np.array([[0.8, 0.1, 0.1]])).shape == (3, 3)


def test_a_paired_difference_has_the_smaller_error():
    """An object that is hard to predict is hard for both methods."""
    rng = np.random.default_rng(0)
    truth = np.zeros(200)
    one = rng.standard_cauchy(200)
    other = one + 0.01 * rng.normal(size=200)
    measure = MEASURES["stellar"][1]
    paired = score_difference(measure, truth, one, other, 0)
    assert paired.error < 0.1 * score(measure, truth, one, 0).error


@pytest.mark.parametrize(
    ("sigma", "outliers", "expected"),
    [
        (Measurement(-0.1, 0.05), Measurement(0.0, 0.1), "good"),
        (Measurement(-0.1, 0.05), Measurement(0.3, 0.1), "bad"),
        (Measurement(0.1, 0.05), Measurement(-0.3, 0.1), "bad"),
        (Measurement(-0.01, 0.05), Measurement(0.01, 0.1), "none"),
    ],
)
def test_a_verdict_depends_on_all_shown_measures(sigma, outliers, expected):
    """One measure that is worse makes it bad, however good the other is."""
    assert verdict("redshift", {"sigma_nmad": sigma, "outliers": outliers}) == expected


def test_bright_objects_are_scored_alone():
    """An outlier among the faint objects does not count; one bright object is not enough."""
    truth, predicted = np.zeros(3), {"model": np.array([0.0, 0.01, 9.0])}
    numbers = score_bright(truth, predicted, np.array([True, True, False]), 0)
    assert (numbers.n, numbers.methods["model"].outliers.value) == (2, 0)
    assert score_bright(truth, predicted, np.array([True, False, False]), 0).methods == {}


def test_bins_of_magnitude_hold_equally_many_objects():
    """Thirty objects in two bins of fifteen; objects without a magnitude are in none."""
    magnitude = np.append(np.linspace(15, 20, 30), np.nan)
    predicted = {"model": np.full(31, 0.1)}
    bins = score_by_magnitude(NMAD, np.zeros(31), predicted, magnitude, 0)
    assert [b.n for b in bins] == [15, 15]
    assert bins[0].high < bins[1].low


def test_too_few_objects_make_no_bins():
    """Where fewer than two bins would be full, there are none."""
    assert score_by_magnitude(NMAD, np.zeros(20), {}, np.linspace(15, 20, 20), 0) == []
