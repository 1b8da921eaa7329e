"""Which scalar columns are shown and which are asked."""

from __future__ import annotations

import numpy as np

from astromodal.sequences.columns import AskedColumns

KEY = (3, 0, 1)


def asked(choice, objects, n_columns):
    """The asked columns of objects that know every column."""
    return choice(objects, np.ones((len(objects), n_columns), dtype=bool))[1]


def test_known_columns_are_shown_or_asked():
    """Each known column is one or the other; an unknown one is neither."""
    known = np.random.default_rng(0).random((500, 6)) < 0.7
    shown, wanted = AskedColumns(0.5, KEY, (1,), 0.8)(np.arange(500), known)
    np.testing.assert_array_equal(shown ^ wanted, known)
    assert not (shown & wanted).any()


def test_nothing_is_asked_at_a_probability_of_zero():
    """Without labels, a probability of 0 shows every column."""
    assert not asked(AskedColumns(0.0, KEY), np.arange(100), 5).any()


def test_every_part_of_the_columns_is_asked_and_often_all():
    """Of chosen objects half are asked all columns; of the others the number is spread evenly."""
    counts = asked(AskedColumns(0.5, KEY), np.arange(40_000), 4).sum(axis=1)
    found = np.bincount(counts, minlength=5) / 40_000
    np.testing.assert_allclose(found, [0.55, 0.05, 0.05, 0.05, 0.3], atol=0.01)


def test_labels_are_asked_together():
    """With a probability of their own all labels of an object are asked, and no other column."""
    found = asked(AskedColumns(0.0, KEY, (1, 3), 0.8), np.arange(10_000), 4)
    assert not found[:, [0, 2]].any()
    np.testing.assert_array_equal(found[:, 1], found[:, 3])
    assert abs(found[:, 1].mean() - 0.8) < 0.02


def test_what_is_asked_does_not_depend_on_the_batch():
    """It is a function of the key and the object alone."""
    choice = AskedColumns(0.5, KEY, (2,), 0.5)
    several = asked(choice, np.array([4, 9, 2]), 6)
    np.testing.assert_array_equal(several[1:2], asked(choice, np.array([9]), 6))
    other = asked(AskedColumns(0.5, (3, 1, 1), (2,), 0.5), np.arange(50), 6)
    assert (asked(choice, np.arange(50), 6) != other).any()
