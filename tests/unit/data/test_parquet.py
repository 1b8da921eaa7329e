import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.parquet import Footer, column_kind, flatten, is_list, list_lengths, lists


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.string(), "text"),
        (pa.binary(), "text"),
        (pa.dictionary(pa.int8(), pa.string()), "text"),
        (pa.int64(), "whole numbers"),
        (pa.uint8(), "whole numbers"),
        (pa.float32(), "numbers"),
        (pa.null(), "nothing"),
        (pa.list_(pa.float32()), "lists"),
        (pa.large_list(pa.int16()), "lists"),
        (pa.list_(pa.float64(), 4), "lists"),
        (pa.bool_(), "bool"),
        (pa.timestamp("ns"), "timestamp[ns]"),
        (pa.list_(pa.list_(pa.float32())), "list<item: list<item: float>>"),
    ],
)
def test_kinds_of_columns(kind, expected):
    """A type is text, numbers or lists to whoever reads it, or goes by its own name."""
    assert column_kind(kind) == expected


def test_lists_that_are_all_null_hold_nothing(write_cube):
    """The footer's statistics tell of a band that is null in the whole field."""
    lists = pa.list_(pa.float32())
    columns = {
        "id": ["a", "b"],
        "null": pa.array([None, None], lists),
        "some": pa.array([None, [1.0]], lists),
        "empty": pa.array([[], None], lists),
    }
    kinds = dict(Footer(write_cube(columns, row_group_size=1), "F1").kinds())
    assert kinds == {"id": "text", "null": "nothing", "some": "lists", "empty": "nothing"}


def test_without_statistics_lists_are_lists(write_cube):
    """Nothing says that they are null."""
    nulls = pa.array([None, None], pa.list_(pa.float32()))
    path = write_cube({"id": ["a", "b"], "null": nulls}, write_statistics=False)
    assert dict(Footer(path, "F1").kinds())["null"] == "lists"


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
    counts, valid = list_lengths(pa.array([None, []], pa.list_(pa.float32())))
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


def test_tables_become_lists():
    """A row that is not present is null, and takes no place."""
    found = lists(np.arange(6.0).reshape(3, 2), pa.list_(pa.float32()), np.array([1, 0, 1], bool))
    assert found.to_pylist() == [[0.0, 1.0], None, [4.0, 5.0]]
