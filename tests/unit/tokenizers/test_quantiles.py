import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.errors import FormatError
from astromodal.tokenizers.quantiles import ColumnSummaries, merge, summarise_column

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
