"""What neighbours have in common."""

import numpy as np
import pytest

from astromodal.evaluation.embeddings.retrieval import (
    K,
    class_agreement,
    nearest,
    others_of,
    value_agreement,
)

LINE = np.arange(60.0)[:, None]
ONE = np.zeros(60, np.uint32)


def test_the_nearest_are_the_nearest_others():
    """On a line of whole numbers the ends have their one neighbour, and nobody is its own."""
    found = nearest(LINE, 1)[:, 0]
    assert (found[0], found[59]) == (1, 58)
    assert np.all(np.abs(found - np.arange(60)) == 1)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_random_others_are_others(n):
    """Every draw is of another object."""
    found = others_of(n, np.random.default_rng(0))
    assert not (found == np.arange(n)[:, None]).any()
    assert set(found.ravel()) <= set(range(n))


def test_classes_that_lie_apart():
    """Of ten neighbours, five objects a side have 5, 4, 3, 2 and 1 beyond the border."""
    kind = np.where(LINE[:, 0] < 30, "A", "B")
    found = class_agreement(LINE, kind, ONE, seed=1).numbers(1)
    assert found["near"][0] == pytest.approx(1 - 30 / 600)
    assert found["random"][0] == pytest.approx(29 / 59, abs=0.03)
    assert found["gain"][0] > 10 * found["gain"][1]


def test_differences_by_hand():
    """In the middle of the line the ten nearest are 1 to 5 away on both sides: the median is 3."""
    found = value_agreement(LINE, LINE[:, 0], ONE, seed=1)
    assert found.near[30] == 3
    assert len(found) == 60


def test_redshifts_count_relative():
    """The difference is divided by one plus the object's own."""
    found = value_agreement(LINE, LINE[:, 0], ONE, seed=1, redshift=True)
    assert found.near[30] == pytest.approx(3 / 31)


def test_comparison_within_a_group():
    """An object is compared with its group alone, where that has enough objects."""
    group = np.repeat([0, 1], [40, 20]).astype(np.uint32)
    group[59] = 2
    found = value_agreement(LINE, LINE[:, 0], group, seed=1)
    assert np.isfinite(found.near[:40]).all()
    assert np.isnan(found.near[40:]).all()  # 19 of one group, one of another
    assert found.near[39] == 5.5  # ten to its left


def test_unknown_values_are_left_out():
    """Neither compared nor compared with; too few known leave nothing."""
    values = np.where(np.arange(60) % 2, np.nan, LINE[:, 0])
    assert len(value_agreement(LINE, values, ONE, seed=1)) == 30
    few = np.where(np.arange(60) < 2 * K - 1, 1.0, np.nan)
    assert len(value_agreement(LINE, few, ONE, seed=1)) == 0
    assert np.isnan(value_agreement(LINE, few, ONE, seed=1).numbers(1)["gain"]).all()
