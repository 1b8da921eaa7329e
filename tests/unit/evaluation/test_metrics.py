"""Statistics with their errors, and the use of codes, against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.metrics import (
    CodebookUse,
    bin_label,
    bootstrap_error,
    codebook_table,
    column_medians,
    count_codes,
    measure_fraction,
    measure_mean,
    measure_median,
    measure_pooled,
    measure_pooled_r2,
    measure_quantile,
    measure_scatter,
    measure_statistic,
    perplexity,
    r2,
    r2_of,
    reduced_chi2,
    robust_sigma,
    squares,
)


def test_r2_by_hand():
    """Truth 1 2 3 varies by 2 about its mean; errors of 1, 0, 0 leave half of it explained."""
    assert r2(np.array([[1.0, 2, 3]]), np.array([[2.0, 2, 3]])) == pytest.approx([0.5])


def test_r2_weighted_by_hand():
    """With weights 1 1 2 the mean is 9/4, the total 11/4, an error of 1 at weight 2 leaves 3/11."""
    found = r2(np.array([[1.0, 2, 3]]), np.array([[1.0, 2, 4]]), np.array([[1.0, 1, 2]]))
    assert found == pytest.approx([1 - 2 / (11 / 4)])


def test_r2_leaves_bad_values_out():
    """What is NaN on either side, or has no weight, changes nothing."""
    truth = np.array([[1.0, 2, 3, np.nan, 7, 100]])
    estimate = np.array([[2.0, 2, 3, 5, np.nan, -100]])
    weight = np.array([[1.0, 1, 1, 1, 1, 0]])
    assert r2(truth, estimate, weight) == pytest.approx([0.5])
    assert squares(truth, estimate, weight)[2].tolist() == [3]


def test_r2_of_constant_is_nan():
    """Nothing can be explained of a truth that does not vary."""
    assert np.isnan(r2(np.ones((1, 3)), np.zeros((1, 3)))).all()


def test_r2_of_nothing_is_nan():
    """An object without a good value has no R²."""
    assert np.isnan(r2_of(np.zeros(1), np.zeros(1))).all()


def test_reduced_chi2_by_hand():
    """Differences of 1 and 2 with ivar 4 and 1 give (4 + 4) / 2; ivar 0 does not count."""
    found = reduced_chi2(np.array([[1.0, 2, 9]]), np.array([[0.0, 4, 0]]), np.array([[4.0, 1, 0]]))
    assert found == pytest.approx([4.0])


def test_reduced_chi2_without_good_value_is_nan():
    """A dead spectrum has no chi²."""
    assert np.isnan(reduced_chi2(np.ones((1, 2)), np.ones((1, 2)), np.zeros((1, 2)))).all()


def test_bootstrap_error_of_a_mean():
    """The error of the mean of n Gaussian values is close to sigma / sqrt(n)."""
    values = np.random.default_rng(1).normal(0, 2, 400)
    error = bootstrap_error(lambda i: values[i].mean(), 400, seed=3, resamples=500)
    assert error == pytest.approx(2 / 20, rel=0.15)


def test_bootstrap_error_is_deterministic():
    """The same seed gives the same error."""
    values = np.arange(10.0)
    first, second = (bootstrap_error(lambda i: values[i].mean(), 10, seed=7) for _ in range(2))
    assert first == second


def test_bootstrap_error_needs_two_objects():
    """One object has no error, and neither has none."""
    assert np.isnan(bootstrap_error(lambda i: np.zeros(3), 1, seed=0)).shape == (3,)
    assert np.isnan(bootstrap_error(lambda i: 0.0, 0, seed=0))


def test_bootstrap_error_skips_draws_without_a_value():
    """Draws in which the statistic is not finite do not spoil the error."""
    values = np.array([1.0, 2.0, 3.0])
    error = bootstrap_error(lambda i: values[i].mean() if 0 in i else np.nan, 3, seed=0)
    assert 0 < error < 1


def test_bootstrap_of_clusters_resamples_them_whole():
    """Every sample holds all objects of a cluster, as often as the cluster is drawn."""
    clusters, seen = np.array([7, 3, 7, 3, 3]), []
    bootstrap_error(lambda index: seen.append(sorted(index)) or 0.0, 5, 0, 20, clusters)
    possible = ([0, 0, 2, 2], [0, 1, 2, 3, 4], [1, 1, 3, 3, 4, 4])
    assert all(each in possible for each in seen)
    assert len({len(each) for each in seen}) == 3


def test_clusters_of_one_object_are_objects():
    """The error is that of a mean."""
    values = np.random.default_rng(0).normal(size=400)
    error = bootstrap_error(lambda index: values[index].mean(), 400, 0, clusters=np.arange(400))
    assert error == pytest.approx(values.std() / 20, rel=0.2)


def test_medians_of_nothing_are_nan():
    """No finite value gives NaN, not an error."""
    assert not measure_median(np.array([np.nan, np.inf]), 0).known


def test_quantile_by_hand():
    """The 90th percentile of 0 to 10 is 9."""
    assert measure_quantile(np.arange(11.0), 0.9, 0).value == pytest.approx(9.0)


def test_quantile_error_is_that_of_resampling():
    """The direct draw of order statistics agrees with drawing objects with replacement."""
    values = np.random.default_rng(2).normal(size=301)
    drawn = bootstrap_error(lambda i: np.median(values[i]), 301, seed=1, resamples=2000)
    assert measure_median(values, 1).error == pytest.approx(drawn, rel=0.25)


def test_quantile_of_one_value_has_no_error():
    """A single value is its own median, of unknown error."""
    median = measure_median(np.array([4.0]), 0)
    assert median.value == 4.0
    assert np.isnan(median.error)


def test_mean_error_weighs_values_not_objects():
    """Sums 3 and 1 over 1 and 3 values have the mean 1."""
    assert measure_mean(np.array([3.0, 1.0]), np.array([1, 3]), 0).value == pytest.approx(1.0)


def test_mean_error_of_nothing():
    """Objects without values have no mean."""
    assert not measure_mean(np.zeros(2), np.zeros(2), 0).known


def test_pooled_r2_by_hand():
    """Residuals 1 and 1 of totals 3 and 1 leave half of it."""
    assert measure_pooled_r2(np.array([1.0, 1]), np.array([3.0, 1]), 0).value == pytest.approx(0.5)


def test_pooled_r2_of_nothing():
    """No variance, no R²."""
    assert not measure_pooled_r2(np.zeros(0), np.zeros(0), 0).known


def test_robust_sigma_ignores_outliers():
    """One wild value in a thousand hardly changes sigma."""
    values = np.random.default_rng(0).normal(0, 3, 1000)
    values[0] = 1e9
    assert robust_sigma(values) == pytest.approx(3, rel=0.1)


def test_robust_sigma_of_nothing():
    """No finite value has no sigma."""
    assert np.isnan(robust_sigma(np.array([np.nan])))


def test_fraction_by_hand():
    """Three of four: 0.75, and Wilson's sqrt(0.1875 / 4 + 1 / 64) / (5 / 4) = 0.2."""
    fraction = measure_fraction(np.array([True, True, True, False]))
    assert (fraction.value, fraction.error) == pytest.approx((0.75, 0.2))


def test_fraction_of_all_has_an_error():
    """Four of four leave room for an exception: sqrt(1 / 64) / (5 / 4) = 0.1."""
    fraction = measure_fraction(np.ones(4, bool))
    assert (fraction.value, fraction.error) == pytest.approx((1.0, 0.1))


def test_fraction_of_nothing_is_nan():
    """Without objects there is no share."""
    assert not measure_fraction(np.empty(0, bool)).known


def test_scatter_leaves_nan_out():
    """What is not finite has no part in a scatter or its error; one value has no error."""
    values = np.array([0.0, np.nan, 100.0])
    scatter = measure_scatter(values, 0)
    assert scatter.value == pytest.approx(34)  # half of 84 - 16
    assert scatter.error > 0
    assert scatter.n == 2
    assert np.isnan(measure_scatter(np.ones(1), 0).error)


def test_pooled_by_hand():
    """The median of 1 2 3 is 2, whatever is NaN beside them."""
    values = np.array([[1.0, np.nan], [3.0, 2.0], [np.nan, np.nan]])
    assert measure_pooled(np.median, values, 0).value == 2


def test_values_of_one_object_do_not_shrink_the_error():
    """Ten copies of each object's value carry no more information than one: the error stays."""
    values = np.random.default_rng(0).normal(size=(50, 1))
    once, ten_times = (measure_pooled(np.mean, np.repeat(values, k, axis=1), 0) for k in (1, 10))
    assert ten_times.error == pytest.approx(once.error)


def test_pooled_of_nothing_is_nan():
    """Without a finite value there is no statistic."""
    assert not measure_pooled(np.median, np.full((3, 2), np.nan), 0).known


def test_statistic_by_hand():
    """The sum of three objects is 6, with an error and the number of objects."""
    values = np.array([1.0, 2.0, 3.0])
    total = measure_statistic(lambda index: values[index].sum(), 3, 0)
    assert (total.value, total.n) == (6, 3)
    assert total.error > 0


def test_statistic_of_nothing_is_nan():
    """Without objects the statistic is not computed."""
    assert not measure_statistic(lambda index: 1.0, 0, 0).known


def test_measurements_count_their_objects():
    """Values that are not finite and objects without a value are not counted."""
    assert measure_median(np.array([1.0, np.nan, 3.0]), 0).n == 2
    assert measure_mean(np.array([3.0, 0.0]), np.array([2, 0]), 0).n == 1


def test_medians_of_columns_are_those_of_numpy():
    """Of odd and even numbers of finite values; NaN and infinities do not count."""
    values = np.random.default_rng(0).normal(size=(7, 50))
    values[np.random.default_rng(1).random(values.shape) < 0.4] = np.nan
    values[0, :5] = np.inf
    kept = [column[np.isfinite(column)] for column in values.T]
    expected = [np.median(column) if column.size else np.nan for column in kept]
    np.testing.assert_array_equal(column_medians(values), expected)


def test_medians_of_no_rows_are_nan():
    """As many as there are columns."""
    assert np.isnan(column_medians(np.empty((0, 3)))).tolist() == [True] * 3


def test_labels_of_bins():
    """Both edges, or the lower one alone."""
    assert (bin_label(1.0, 3.0), bin_label(30.0, np.inf)) == ("1 to 3", "over 30")


def test_counts_leave_missing_codes_out():
    """Codes 0 and 2 of three, and a missing one."""
    codes = np.array([0, 2, 2, MISSING_CODE], np.uint16)
    assert count_codes(codes, 3).tolist() == [1, 0, 2]


def test_counts_of_an_empty_codebook():
    """A codebook without centroids has nothing to count."""
    assert count_codes(np.array([MISSING_CODE], np.uint16), 0).tolist() == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 5, 5, 5], 4.0), ([7, 0, 0], 1.0), ([1, 1, 2], 2**1.5), ([0, 0], 0.0), ([], 0.0)],
)
def test_perplexity_by_hand(counts, expected):
    """Four equal codes count as 4, one as 1; 1/4 1/4 1/2 has 1.5 bits; nothing counts as 0."""
    assert perplexity(np.array(counts)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50).filter(any))
def test_perplexity_lies_between_one_and_the_codes_used(counts):
    """No code use is worth more than the number of codes in use."""
    used = sum(c > 0 for c in counts)
    assert 1 - 1e-9 <= perplexity(np.array(counts)) <= used * (1 + 1e-9)


def test_numbers_by_hand():
    """Two of four codes, equally frequent: perplexity 2, one bit, two dead."""
    assert CodebookUse.of(np.array([3, 0, 3, 0])) == CodebookUse(
        size=4, tokens=6, used=2, dead=2, dead_expected=1,
        perplexity=pytest.approx(2), bits=pytest.approx(1),
    )  # fmt: skip


def test_empty_codebook_has_a_row():
    """A codebook without centroids is in the table, with zeros."""
    rows = codebook_table({"desi_b": CodebookUse.of(np.zeros(0, int))}).rows
    assert rows == [["desi_b", 0, 0, 0, 0, 0, 0.0, 0.0]]
