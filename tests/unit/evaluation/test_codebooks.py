"""How evenly a codebook is used."""

import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.metrics import codebook_numbers, codebook_table, count_codes


def test_counts_leave_missing_codes_out():
    """Codes 0 and 2 of three, and a missing one."""
    codes = np.array([0, 2, 2, MISSING_CODE], np.uint16)
    assert count_codes(codes, 3).tolist() == [1, 0, 2]


def test_counts_of_an_empty_codebook():
    """A codebook without centroids has nothing to count."""
    assert count_codes(np.array([MISSING_CODE], np.uint16), 0).tolist() == []


def test_numbers_by_hand():
    """Two of four codes, used alike: perplexity 2, one bit, two dead."""
    numbers = codebook_numbers(np.array([3, 0, 3, 0]))
    assert numbers == {
        "size": 4, "tokens": 6, "used": 2, "dead": 2, "dead_expected": 1,
        "perplexity": pytest.approx(2), "bits": pytest.approx(1),
    }  # fmt: skip


def test_empty_codebook_has_a_row():
    """A codebook without centroids is in the table, with zeros."""
    rows = codebook_table({"desi_b": codebook_numbers(np.zeros(0, int))})["rows"]
    assert rows == [["desi_b", 0, 0, 0, 0, 0, 0.0, 0.0]]
