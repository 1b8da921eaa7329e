"""Hashes of rows; whole audits are tested on finished runs, in tests/workflow/test_audit.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from astromodal.audit.accounts import row_hash

ROWS = st.lists(st.tuples(st.integers(0, 99), st.text(max_size=3)), unique=True)


@given(ROWS, st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    """The sum of hashes is the same."""
    mixed = random.sample(rows, len(rows))
    assert row_hash(*_columns(rows)) == row_hash(*_columns(mixed))


@given(ROWS.filter(len))
def test_another_id_gives_another_hash(rows):
    """So does a row that is lost."""
    (row, name), *others = rows
    assert row_hash(*_columns(rows)) != row_hash(*_columns(others))
    assert row_hash(*_columns(rows)) != row_hash(*_columns([(row, f"{name}?"), *others]))


def test_parts_add_up():
    """The hash of a field is the sum over the files that hold its rows."""
    whole = row_hash([1, 2], ["a", "b"])
    assert whole == (row_hash([2], ["b"]) + row_hash([1], ["a"])) % 2**64


def _columns(rows):
    return [row for row, _ in rows], [name for _, name in rows]
