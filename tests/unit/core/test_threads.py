import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.threads import share


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
