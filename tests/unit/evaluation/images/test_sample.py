"""Which bands are hidden, and what is compared then."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.images.sample import choose_hidden, decode_without, passes


def test_passes_of_twelve_bands():
    """Every band alone, then 2, 3, 4 and 6 together."""
    assert passes(12).tolist() == [1] * 12 + [2, 3, 4, 6]


def test_passes_leave_a_band():
    """Of three bands at most two are hidden."""
    assert passes(3).tolist() == [1, 1, 1, 2]


@given(seed=st.integers(0, 1000), absent=st.sets(st.integers(0, 11), max_size=11))
def test_hidden_bands_are_present_ones(seed, absent):
    """The right number is hidden, of bands that are there, one at least stays, or none is."""
    present = np.ones((3, 12), bool)
    present[1, list(absent)] = False
    hidden = choose_hidden(present, np.random.default_rng(seed))
    assert not (hidden & ~present[:, None]).any()
    counts = hidden.sum(2)
    assert np.isin(counts, [0, 1, 2, 3, 4, 6]).all()
    assert (counts[0] == passes(12)).all()
    enough = present.sum(1)[:, None] > passes(12)
    many = passes(12) > 1
    assert (counts[:, many] == np.where(enough, passes(12), 0)[:, many]).all()


def test_larger_sets_hold_the_smaller_ones():
    """Three hidden bands are the two and another."""
    hidden = choose_hidden(np.ones((5, 12), bool), np.random.default_rng(0))
    two, three = hidden[:, 12], hidden[:, 13]
    assert (three | two == three).all()


def test_one_seed_hides_the_same_bands():
    """The draw is a function of its seed."""
    first, again = (choose_hidden(np.ones((5, 12), bool), np.random.default_rng(3)) for _ in "ab")
    assert (first == again).all()


def test_the_encoder_does_not_see_hidden_bands():
    """A tokenizer that gives back what it sees, and 0 elsewhere, loses all of the hidden band."""

    def encode(pixels, valid):
        return np.where(valid, pixels, 0.0), None

    tokenizer = SimpleNamespace(
        encode=encode, brightness=lambda *_: None, decode=lambda codes, _: codes
    )
    pixels = np.full((1, 2, 4, 4), 3.0)
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 1, 1:3] = True
    hidden = choose_hidden(np.ones((1, 2), bool), np.random.default_rng(0))
    residual = decode_without(tokenizer, pixels, pixels > 0, mask, hidden)
    assert residual[0].tolist() == [[2 * 9.0, 0.0], [0.0, 2 * 9.0]]


def test_cutout_of_one_band_is_left_alone():
    """Where nothing can be hidden nothing is encoded again, and the sums are NaN."""
    hidden = choose_hidden(np.array([[True, False]]), np.random.default_rng(0))
    pixels = np.ones((1, 2, 4, 4))
    residual = decode_without(None, pixels, pixels > 0, np.ones((1, 4, 4), bool), hidden)
    assert np.isnan(residual).all()
