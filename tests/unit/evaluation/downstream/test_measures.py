"""Measures, compared with values by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.splits import NO_CELL
from astromodal.evaluation.downstream.baselines import Fit
from astromodal.evaluation.downstream.measures import (
    MEASURES,
    Estimates,
    Truth,
    balanced_accuracy,
    clusters_of,
    confusion,
    outlier_fraction,
    r2,
    score,
    score_difference,
    sigma_nmad,
    verdict,
)
from astromodal.evaluation.downstream.tasks import Target
from astromodal.evaluation.report.section import Measurement
from astromodal.inference.predict_scalars import ScalarPrediction

OUTLIERS = MEASURES["redshift"][1]


def _truth(values, clusters=None, role="stellar"):
    return Truth(Target("x", role), values, clusters, 0)


def _estimates(values):
    return Estimates(values, values, values)


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
    fraction = score(OUTLIERS, _truth(np.zeros(10), role="redshift"), _estimates(np.zeros(10)))
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
    measure, truth, first = MEASURES["stellar"][1], _truth(truth), _estimates(one)
    paired = score_difference(measure, truth, first, _estimates(other))
    assert paired.error < 0.1 * score(measure, truth, first).error


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


def test_errors_are_over_cells_where_there_are_enough():
    """Objects of a cell that are all alike count as one: errors are larger than over objects."""
    rng = np.random.default_rng(0)
    cells = np.repeat(np.arange(40), 25)
    error = rng.normal(size=40)[cells]
    measure, estimates = MEASURES["stellar"][1], _estimates(error)
    by_cell = score(measure, _truth(np.zeros(1000), clusters_of(cells)), estimates)
    alone = score(measure, _truth(np.zeros(1000)), estimates)
    assert by_cell.value == alone.value
    assert by_cell.error > 3 * alone.error


def test_few_cells_are_not_resampled():
    """Nine cells have no error of their own; ten have."""
    assert clusters_of(np.arange(9)) is None
    assert clusters_of(np.arange(10)) is not None


def test_objects_without_a_position_are_alone():
    """Each is a cluster of its own, in a part of the objects, too."""
    cells = np.array([5, 5, *[NO_CELL] * 12])
    truth = _truth(np.zeros(14), clusters_of(cells))
    assert len(np.unique(truth.clusters)) == 13
    assert len(np.unique(truth[np.arange(14) > 0].clusters)) == 13
    assert len(np.unique(truth[np.arange(14) > 1].clusters)) == 12


def test_squares_are_of_means_and_scatters_of_medians():
    """Each measure gets the estimate that it is least for."""
    truth, zero, one = _truth(np.zeros(20)), np.zeros(20), np.ones(20)
    by_name = {m.name: m for m in MEASURES["stellar"]}
    predicted = Estimates(median=one, mean=zero, scaled=zero)
    assert by_name["rmse"].value(truth, predicted) == 0
    assert by_name["bias"].value(truth, predicted) == 1


def test_temperatures_are_compared_in_logarithms_first():
    """A factor of ten everywhere is an error of 1 dex."""
    target = Target("t", "temperature", unit="K")
    truth = Truth(target, np.array([4000.0, 40000.0]), None, 0)
    predicted = Estimates.of_fit(target, Fit(np.log10(truth.values) + 1, {}))
    first = MEASURES["temperature"][0]
    assert first.value(truth, predicted) == pytest.approx(1)
    assert first.unit_of(target) == "dex"
    assert predicted.mean == pytest.approx(10 * truth.values)


def test_a_distribution_has_three_estimates():
    """Median and mean in the unit, and the mean of the logarithm."""
    target = Target("t", "temperature", unit="K")
    predicted = ScalarPrediction(
        "t", "K", np.array(["a"]), np.array([[0.75, 0.25]]), np.array([1000.0, 10000.0]),
        np.array([500.0, 1500.0, 18500.0]), np.ones(1, np.int32),
    )  # fmt: skip
    estimates = Estimates.of_distributions(target, predicted)
    assert estimates.mean == pytest.approx([3250])
    assert estimates.scaled == pytest.approx([3.25])
    assert estimates.median[0] < 1500
