import threading

import pytest

from astromodal.core.threads import ahead


def test_items_in_order():
    """Everything comes, in order, however little may wait."""
    assert list(ahead(range(50), depth=1)) == list(range(50))
    assert list(ahead([])) == []


def test_the_next_item_is_made_while_this_one_is_used():
    """Before the second item is asked for, a thread has begun on it."""
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
    """What the iterable raises is raised after the items before it."""

    def items():
        yield 1
        raise ValueError("the second one")

    iterator = ahead(items())
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="the second one"):
        next(iterator)


def test_closing_early_ends_the_thread():
    """Who stops in the middle leaves no thread behind."""
    before = threading.active_count()
    iterator = ahead(iter(int, 1))  # endless
    next(iterator)
    iterator.close()
    assert threading.active_count() == before
