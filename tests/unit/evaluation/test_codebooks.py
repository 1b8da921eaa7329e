"""How evenly a codebook is used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.codebooks import CodebookUse, codebook_table, count_codes, perplexity


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
