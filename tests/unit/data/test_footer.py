import pyarrow as pa
import pytest

from astromodal.data.footer import Footer, column_kind


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
