"""The order of objects, and steps made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.sequences.order import divide, plan_epoch

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
