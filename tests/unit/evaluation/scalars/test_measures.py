"""Errors in bins and in ranks, by hand."""

import numpy as np
import pytest

from astromodal.evaluation.scalars.measures import (
    ScalarSample,
    bits_an_object,
    in_bins,
    ranks,
)
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer


def test_bin_errors_by_hand():
    """Half a width is half a bin; a bin of no width holds its value exactly or not at all."""
    found = in_bins(np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, 0.0]))
    assert found[:2].tolist() == [0.5, 0.0]
    assert np.isnan(found[2])


def test_ranks_by_hand():
    """Ranks run linearly from edge to edge by the bins' mass, and end at 0 and 1."""
    edges, centers = np.array([[0.0, 1.0, 3.0]]), np.array([[0.5, 2.0]])
    coder = ScalarTokenizer(("a",), edges, centers, np.array([[0.25, 0.75]]))
    assert ranks(coder, 0, np.array([-1.0, 0.5, 2.0, 9.0])) == pytest.approx([0, 0.125, 0.625, 1])


def test_bits_by_hand():
    """Four equal codes, known of all four objects, take two bits; two of half of them a half."""
    none = np.empty((0, 2))
    used = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    assert bits_an_object(ScalarSample(none, none, used, n_eligible=4)) == pytest.approx(2.5)
    assert bits_an_object(ScalarSample(none, none, 0 * used, n_eligible=0)) == 0
