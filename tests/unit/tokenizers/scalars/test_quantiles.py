"""Quantile summaries, and the search of a value's bin."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.errors import FormatError
from astromodal.tokenizers.scalars.quantiles import (
    Bins,
    ColumnSummaries,
    coalesce,
    merge,
    summarise_column,
)

VALUES = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 8e-8]), max_size=60)


@given(VALUES, st.integers(1, 20))
def test_cells_account_for_every_value(values, n_cells):
    """Counts, sums and extremes of the cells are those of the values."""
    x = np.array(values)
    s = summarise_column(x, n_cells)
    assert s.total == len(values)
    assert np.isclose((s.count * s.mean).sum(), x.sum(), atol=1e-6 * max(1, np.abs(x).sum()))
    assert (s.low <= s.mean).all()
    assert (s.mean <= s.high).all()
    assert (s.high[:-1] < s.low[1:]).all()


@given(arrays(np.float64, st.integers(0, 50), elements=st.floats(width=64)))
def test_values_are_sorted_as_numpy_sorts_them(values):
    """By their bits: all exponents, both signs, denormals; one cell per value keeps them all."""
    finite = np.unique(values[np.isfinite(values)])
    np.testing.assert_array_equal(summarise_column(values, 10**6).low, finite)


def test_ties_are_never_cut_apart():
    """A spike of equal values is one cell, alone."""
    s = summarise_column(np.r_[np.zeros(500), np.arange(1, 501)], n_cells=10)
    assert (s.low[0], s.high[0], s.count[0]) == (0, 0, 500)


def test_what_is_not_finite_is_no_value():
    """NaN and infinity are missing."""
    assert summarise_column(np.array([np.nan, np.inf, 1.0])).total == 1


def test_a_summary_of_nothing_is_empty():
    """A column without values summarises and merges."""
    empty = summarise_column(np.array([np.nan]))
    assert merge([empty, empty]).total == 0


def test_few_values_are_kept_exactly():
    """With no more values than cells, each value is a cell."""
    s = summarise_column(np.array([3.0, 1.0, 2.0]), n_cells=8)
    assert s.mean.tolist() == [1, 2, 3]


def test_merging_is_blind_to_the_order_of_fields():
    """Fields merge to the same cells in any order."""
    rng = np.random.default_rng(0)
    a, b = (summarise_column(rng.normal(size=100), 10) for _ in range(2))
    for one, other in zip(vars(merge([a, b])).values(), vars(merge([b, a])).values(), strict=True):
        assert np.array_equal(one, other)


def test_summaries_come_back_from_disk(tmp_path):
    """Columns of different numbers of cells, one of none, survive the file."""
    values = np.array([[1.0, np.nan], [2.0, np.nan]])
    saved = ColumnSummaries.of(values, ["x", "y"])
    saved.save(tmp_path / "q.npz")
    loaded = ColumnSummaries.load(tmp_path / "q.npz")
    assert loaded["x"].mean.tolist() == [1, 2]
    assert loaded["y"].total == 0


def test_only_the_same_columns_merge():
    """Summaries of other columns are of another config."""
    x = np.ones((1, 1))
    with pytest.raises(FormatError, match="summaries must be of the same columns, got 1 and 1"):
        ColumnSummaries.merge([ColumnSummaries.of(x, ["a"]), ColumnSummaries.of(x, ["b"])])


@given(VALUES, st.integers(1, 9))
def test_joined_cells_account_for_every_value(values, n_cells):
    """Count and mean of all values stay; extremes too."""
    whole = summarise_column(np.array(values))
    joined = coalesce(whole, n_cells)
    assert joined.total == whole.total
    assert joined.count @ joined.mean == pytest.approx(whole.count @ whole.mean, abs=1e-6)
    if values:
        assert (joined.low.min(), joined.high.max()) == (min(values), max(values))


def test_a_spike_is_joined_with_nothing():
    """Half of the values are one: they stay a cell of their own among joined ones."""
    values = np.concatenate([np.arange(100.0), np.full(100, 50.5), np.arange(100.0) + 200])
    joined = coalesce(summarise_column(values), 10)
    spike = np.flatnonzero(joined.count == 100)
    assert (joined.low[spike], joined.high[spike]) == (50.5, 50.5)
    assert len(joined.count) < 20


def test_many_files_merge_to_the_ranks_of_all_values(tmp_path):
    """More files than merge at once: quantiles within a hundredth of all values' ranks."""
    generator = np.random.default_rng(0)
    values = generator.standard_cauchy((40, 300))
    paths = [tmp_path / f"{i}.npz" for i in range(len(values))]
    for path, part in zip(paths, values, strict=True):
        ColumnSummaries.of(part[:, None], ["a"]).save(path)
    merged = ColumnSummaries.merge_files(paths)["a"]
    ordered = np.sort(values, axis=None)
    assert merged.total == ordered.size
    rank = np.searchsorted(ordered, merged.high, side="right") / ordered.size
    np.testing.assert_allclose(rank, np.cumsum(merged.count) / ordered.size, atol=0.01)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODEST = st.floats(-50, 50) | st.integers(-3, 3).map(float)


def placed(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = np.empty(len(values), np.uint16)
    Bins(edges).place(values, out, 65535)
    return out


def check(edges: np.ndarray, values: np.ndarray) -> None:
    """The places are NumPy's, at the edges and just beside them too."""
    with np.errstate(over="ignore"):
        beside = [np.nextafter(edges, way) for way in (-np.inf, np.inf)]
    values = np.concatenate([values, edges, *beside, -edges, [0.0, -0.0]])
    values = values[np.isfinite(values)]
    np.testing.assert_array_equal(placed(edges, values), np.searchsorted(edges, values))


@given(
    arrays(np.float64, st.integers(0, 60), elements=FINITE), arrays(np.float64, 20, elements=FINITE)
)
@example(np.array([-1e308, 0.0, 1e-308, 1e308]), np.array([5e-324, -5e-324]))
@example(np.array([-1e300, 0.0, 1e-200, 2e-200, 1e300]), np.array([1.5e-200]))
def test_any_edges_and_values(edges, values):
    """As np.searchsorted, whatever the scale."""
    check(np.unique(edges), values)


@given(
    arrays(np.float64, st.integers(1, 99), elements=MODEST), arrays(np.float64, 99, elements=MODEST)
)
def test_edges_of_both_signs(edges, values):
    """As np.searchsorted, on both sides of zero and at zero."""
    check(np.unique(edges), values)


@pytest.mark.parametrize(
    "draw",
    [
        lambda g, n: g.uniform(14, 22, n),
        lambda g, n: 10 ** g.uniform(-3, 6, n),
        lambda g, n: g.standard_cauchy(n),
        lambda g, n: 180 * g.uniform(-1, 1, n),
        lambda g, n: g.integers(0, 300, n) / 7.0,
    ],
    ids=["magnitudes", "errors to 1e6", "parallaxes", "angles", "ties"],
)
def test_a_thousand_bins(draw):
    """Columns like the survey's, more values than go through a step at once."""
    generator = np.random.default_rng(0)
    edges = np.unique(np.quantile(draw(generator, 20_000), np.linspace(0, 1, 1024)))
    check(edges, draw(generator, 5000))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_missing(value):
    """Among other values, and where there are no edges."""
    assert placed(np.arange(5.0), np.array([2.5, value, -1.0])).tolist() == [3, 65535, 0]
    assert placed(np.empty(0), np.array([value, 1.0])).tolist() == [65535, 0]
