"""Digests of rows, and rows of an index."""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.sources.base import RESERVED
from astromodal.sources.rows import index_table, row_digests

TABLE = {
    "flux": pa.array([[1.0, 2.0], None, [1.0, 2.0], []], pa.list_(pa.float32())),
    "name": pa.array(["a", "b", "a", ""]),
    "z": pa.array([0.5, None, 0.5, 0.0]),
}


def test_equal_rows_have_equal_digests():
    """Rows 0 and 2 are equal, wherever they stand; the others differ."""
    found = row_digests(TABLE)
    assert found.dtype == np.uint64
    assert found[0] == found[2]
    assert len(set(found.tolist())) == 3


def test_a_digest_does_not_depend_on_chunks_or_other_rows():
    """A part of a table, in chunks, has the digests of the whole."""
    table = pa.table(TABLE)
    chunked = pa.concat_tables([table.slice(1, 1), table.slice(2, 2)])
    np.testing.assert_array_equal(row_digests(chunked), row_digests(table)[1:])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("flux", [[1.0, 2.5], None, [1.0, 2.0], []]),
        ("flux", [[1.0], None, [1.0, 2.0], []]),
        ("flux", [None, None, [1.0, 2.0], []]),
        ("flux", [[], None, [1.0, 2.0], []]),
        ("name", ["ab", "b", "a", ""]),
        ("name", [None, "b", "a", ""]),
        ("z", [0.5000001, None, 0.5, 0.0]),
        ("z", [None, None, 0.5, 0.0]),
    ],
)
def test_a_changed_value_changes_the_digest_of_its_row_only(name, values):
    """Another value, length or null of row 0."""
    changed = {**TABLE, name: pa.array(values, TABLE[name].type)}
    np.testing.assert_array_equal(row_digests(changed) != row_digests(TABLE), [1, 0, 0, 0])


def test_values_do_not_run_into_each_other():
    """Texts ab and c are not a and bc, and an empty text is no null."""
    pairs = [("ab", "c"), ("a", "bc"), ("", None), (None, "")]
    found = row_digests(
        {k: pa.array(v) for k, v in zip("xy", zip(*pairs, strict=True), strict=True)}
    )
    assert len(set(found.tolist())) == 4


def test_an_index_has_all_reserved_columns():
    """Those that are not given are null, the rank is 0, and what is not finite is null."""
    rows, key = np.arange(2), pa.array([7, 8])
    table = index_table(rows, key, np.array([1, 2], np.uint64), ra=[10.0, np.nan])
    assert table.drop_columns("_key").schema == RESERVED
    assert table["_ra"].to_pylist() == [10.0, None]
    assert table["_rank"].to_pylist() == [0.0, 0.0]
    assert table["_pmra"].null_count == table["_reason"].null_count == 2
