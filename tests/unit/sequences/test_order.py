"""The order of objects, steps made of them, and which scalar columns are asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.sequences.order import Hiding, divide, plan_epoch

lengths = st.lists(st.integers(3, 40), min_size=1, max_size=60).map(np.array)


@given(lengths, st.integers(5, 100), st.integers(0, 5))
def test_an_epoch_visits_each_object_once(lengths, budget, epoch):
    """Steps divide the objects, whatever the budget."""
    plan = plan_epoch(np.arange(len(lengths)), lengths, (1, epoch), 4, budget)
    visited = np.concatenate([plan.step(i) for i in range(len(plan))])
    assert sorted(visited.tolist()) == list(range(len(lengths)))


@given(lengths, st.integers(5, 100))
def test_a_step_keeps_to_its_budget(lengths, budget):
    """A step exceeds the budget only with a single object, and no step could take one more."""
    plan = plan_epoch(np.arange(len(lengths)), lengths, (1, 0), 4, budget)
    for i in range(len(plan)):
        total = lengths[plan.step(i)].sum()
        assert total <= budget or len(plan.step(i)) == 1
        if i + 1 < len(plan):
            assert total + lengths[plan.step(i + 1)[0]] > budget


def test_without_a_budget_steps_count_objects():
    """``batch_size`` objects per step, the last one smaller."""
    plan = plan_epoch(np.arange(10), np.full(10, 7), None, 4, None)
    assert [len(plan.step(i)) for i in range(len(plan))] == [4, 4, 2]


@pytest.mark.parametrize("budget", [None, 100])
def test_no_objects_make_no_steps(budget):
    """An epoch over nothing is empty."""
    empty = np.empty(0, dtype=np.int64)
    assert len(plan_epoch(empty, empty, (0, 0), 4, budget)) == 0


def test_epochs_differ_and_repeat():
    """Each epoch has an order of its own, the same at every call."""
    objects, lengths = np.arange(100), np.full(100, 5)
    plans = [plan_epoch(objects, lengths, (1, epoch), 8, None).objects for epoch in (0, 1, 0)]
    assert (plans[0] != plans[1]).any()
    np.testing.assert_array_equal(plans[0], plans[2])


@given(lengths, st.integers(1, 6))
def test_parts_divide_a_step_evenly(lengths, parts):
    """Each object is in one part; no part exceeds the emptiest by more than an object's tokens."""
    divided = divide(np.arange(len(lengths)), lengths, parts)
    assert len(divided) == parts
    assert sorted(np.concatenate(divided).tolist()) == list(range(len(lengths)))
    tokens = [int(lengths[part].sum()) for part in divided]
    assert max(tokens) - min(tokens) <= lengths.max()


def test_parts_by_hand():
    """Longest first, to the emptiest of three: 9, 7, 5, then 5 to the 5, 4 to the 7, 2 to the 9."""
    lengths = np.array([4, 9, 5, 2, 7, 5])
    divided = divide(np.arange(6), lengths, 3)
    assert [part.tolist() for part in divided] == [[1, 3], [4, 0], [2, 5]]


def test_one_part_is_the_step_in_its_order():
    """A step that nobody shares is left as it is."""
    np.testing.assert_array_equal(divide(np.array([3, 1, 2]), np.full(4, 5), 1)[0], [3, 1, 2])


KEY = (3, 0, 1)


def asked(choice, objects, n_columns):
    """The asked columns of objects that know every column."""
    known = np.ones((len(objects), n_columns), dtype=bool)
    return choice(objects, known, np.ones((len(objects), 0), dtype=bool)).asked


def test_known_columns_are_shown_or_asked():
    """Each known column is one or the other; an unknown one is neither."""
    known = np.random.default_rng(0).random((500, 6)) < 0.7
    chosen = Hiding(KEY, 0.5, (1,), 0.8)(np.arange(500), known, np.ones((500, 0), dtype=bool))
    np.testing.assert_array_equal(chosen.shown ^ chosen.asked, known)
    assert not (chosen.shown & chosen.asked).any()


def test_nothing_is_asked_at_a_probability_of_zero():
    """Without labels, a probability of 0 shows every column."""
    assert not asked(Hiding(KEY, 0.0), np.arange(100), 5).any()


def test_every_part_of_the_columns_is_asked_and_often_all():
    """Of chosen objects half are asked all columns; of the others the number is spread evenly."""
    counts = asked(Hiding(KEY, 0.5), np.arange(40_000), 4).sum(axis=1)
    found = np.bincount(counts, minlength=5) / 40_000
    np.testing.assert_allclose(found, [0.55, 0.05, 0.05, 0.05, 0.3], atol=0.01)


def test_a_given_fraction_of_the_columns_is_asked():
    """Of every chosen object, one column at random as another."""
    found = asked(Hiding(KEY, 1.0, fraction=0.25), np.arange(20_000), 4)
    np.testing.assert_allclose(found.mean(axis=0), 0.25, atol=0.015)
    assert not asked(Hiding(KEY, 1.0, fraction=0.0), np.arange(50), 4).any()


def test_labels_are_asked_together():
    """With a probability of their own all labels of an object are asked, and no other column."""
    found = asked(Hiding(KEY, 0.0, (1, 3), 0.8), np.arange(10_000), 4)
    assert not found[:, [0, 2]].any()
    np.testing.assert_array_equal(found[:, 1], found[:, 3])
    assert abs(found[:, 1].mean() - 0.8) < 0.02


def test_what_is_asked_does_not_depend_on_the_batch():
    """It is a function of the key and the object alone."""
    choice = Hiding(KEY, 0.5, (2,), 0.5)
    several = asked(choice, np.array([4, 9, 2]), 6)
    np.testing.assert_array_equal(several[1:2], asked(choice, np.array([9]), 6))
    other = asked(Hiding((3, 1, 1), 0.5, (2,), 0.5), np.arange(50), 6)
    assert (asked(choice, np.arange(50), 6) != other).any()


def test_blocks_are_hidden_each_for_itself():
    """Those that may be, of those that an object has, with the probability of each."""
    present = np.random.default_rng(1).random((20_000, 3)) < 0.6
    choice = Hiding(KEY, 0.5, blocks=(0, 2), each_block=0.2)
    hidden = choice(np.arange(20_000), np.ones((20_000, 4), dtype=bool), present).hidden
    assert not hidden[:, 1].any()
    assert not (hidden & ~present).any()
    share = [hidden[present[:, i], i].mean() for i in (0, 2)]
    np.testing.assert_allclose(share, 0.2, atol=0.02)
    both = present[:, 0] & present[:, 2]
    assert abs(hidden[both][:, [0, 2]].all(axis=1).mean() - 0.04) < 0.01
