"""Mean losses, and the best of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from astromodal.training.losses import Term
from astromodal.training.validation import Best, Sums, sums_of


def test_means_by_hand():
    """Sums over counts by modality, and the cross-entropy of all targets together."""
    means = Sums(np.array([[2.0, 4, 3, 2], [6.0, 4, 0, 0], [0.0, 0, 0, 0]])).means()
    assert means["cross_entropy"] == 1.0
    assert means["cross_entropy_image"] == 0.5
    assert means["squared_error_image"] == 1.5
    assert means["squared_error_scalar"] is None
    assert means["cross_entropy_spectrum"] is None


def test_terms_of_batches_add_up():
    """Numbers and counts of every batch, by modality."""
    terms = {m: Term(1.5, 2, 0.5, 1) for m in ("image", "scalar", "spectrum")}
    np.testing.assert_array_equal(sums_of([terms, terms]).values, [[3.0, 4, 1.0, 2]] * 3)


def test_sums_survive_a_checkpoint():
    """Written as plain numbers and read back, nothing is rounded."""
    sums = Sums(np.random.default_rng(0).normal(size=(3, 4)))
    np.testing.assert_array_equal(Sums.from_list(sums.as_list()).values, sums.values)


@pytest.mark.parametrize("loss", [2.0, 3.0, None, math.nan])
def test_what_is_no_better_is_waited_for(loss):
    """An equal, higher, missing or undefined loss is no improvement."""
    best = Best().after(5, 2.0)
    assert best == Best(5, 2.0, 0)
    assert best.after(10, loss) == Best(5, 2.0, 1)


def test_a_lower_loss_is_the_best():
    """And the waiting begins anew."""
    assert Best(5, 2.0, 3).after(20, 1.5) == Best(20, 1.5, 0)
