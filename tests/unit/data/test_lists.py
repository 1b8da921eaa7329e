import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.lists import flatten, gather, is_list, lengths

ROWS = st.lists(st.none() | st.lists(st.none() | st.floats(width=32, allow_nan=False)))


@given(ROWS, st.integers(0, 3))
def test_flatten_keeps_every_value_in_order(rows, skip):
    """Concatenated lists equal the flat values, also in a slice of a column; nulls are NaN."""
    column = pa.array(rows, pa.list_(pa.float32()))[skip:]
    values, counts, valid = flatten(column)
    expected = [np.nan if v is None else v for row in rows[skip:] for v in row or []]
    assert np.array_equal(values, np.array(expected, np.float32), equal_nan=True)
    assert counts.tolist() == [len(row or []) for row in rows[skip:]]
    assert valid.tolist() == [row is not None for row in rows[skip:]]


def test_a_null_list_is_not_an_empty_one():
    """Both have length 0; only one is valid."""
    counts, valid = lengths(pa.array([None, []], pa.list_(pa.float32())))
    assert (counts.tolist(), valid.tolist()) == ([0, 0], [False, True])


def test_a_column_of_nulls_has_no_lists():
    """A band whose file was missing may have type null."""
    values, counts, valid = flatten(pa.nulls(2))
    assert (values.size, counts.tolist(), valid.tolist()) == (0, [0, 0], [False, False])


@pytest.mark.parametrize("column", [pa.array([1.0]), pa.array([["a"]])])
def test_what_holds_no_lists_of_numbers_is_refused(column):
    """Scalars, or lists of text, are a type error."""
    with pytest.raises(TypeError, match="lists of numbers"):
        flatten(column)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)]
)
def test_every_kind_of_list_counts(kind):
    """Lists of any offset width, and of fixed size, are lists."""
    assert is_list(kind)
    assert flatten(pa.array([[1, 2, 3]], kind))[0].tolist() == [1, 2, 3]


def test_flatten_gives_the_dtype_asked_for():
    """A double keeps its digits, with or without a value."""
    column = pa.array([[58_000.123456789]], pa.list_(pa.float64()))
    assert flatten(column, np.float64)[0].tolist() == [58_000.123456789]
    assert flatten(pa.nulls(2), np.float64)[0].dtype == np.float64


@given(st.lists(st.integers(0, 4), min_size=1), st.data())
def test_gather_finds_the_values_of_the_lists_chosen(sizes, data):
    """As joining the slices of the chosen lists does."""
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    chosen = data.draw(st.lists(st.integers(0, len(sizes) - 1)))
    places, ends = gather(indptr, np.array(chosen, dtype=np.int64))
    expected = [list(range(indptr[i], indptr[i + 1])) for i in chosen]
    assert places.tolist() == [place for own in expected for place in own]
    assert np.diff(ends).tolist() == [len(own) for own in expected]
