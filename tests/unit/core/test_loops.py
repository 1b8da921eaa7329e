import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.loops import ahead, share


@given(st.integers(1, 9), st.integers(0, 50))
def test_every_item_is_worked_on_once(threads, n):
    """Parts are consecutive, at most as many as threads, and leave nothing out."""
    parts = []
    share(threads, n, lambda part: parts.append(range(n)[part]))
    assert sorted(i for part in parts for i in part) == list(range(n))
    assert len(parts) <= threads


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_thread_raises_is_raised(threads):
    """An error in any part is the caller's."""

    def fail(part):
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        share(threads, 4, fail)


def test_items_in_order():
    """All items come in order, for any depth."""
    assert list(ahead(range(50), depth=1)) == list(range(50))
    assert list(ahead([])) == []


def test_the_next_item_is_made_while_this_one_is_used():
    """A thread has begun the second item before it is requested."""
    begun = threading.Event()

    def items():
        yield 1
        begun.set()
        yield 2

    iterator = ahead(items())
    assert next(iterator) == 1
    assert begun.wait(5)
    assert list(iterator) == [2]


def test_an_error_comes_in_its_place():
    """An error of the iterable is raised after the items before it."""

    def items():
        yield 1
        raise ValueError("the second one")

    iterator = ahead(items())
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="the second one"):
        next(iterator)


def test_closing_early_ends_the_thread():
    """Closing the iterator early ends the thread."""
    before = threading.active_count()
    iterator = ahead(iter(int, 1))  # endless
    next(iterator)
    iterator.close()
    assert threading.active_count() == before
