"""Scores of parts of the objects."""

import numpy as np
import pytest

from astromodal.evaluation.downstream.measures import Estimates, Truth
from astromodal.evaluation.downstream.numbers import PartScores, score_bins, score_groups
from astromodal.evaluation.downstream.tasks import Target


def _truth(n):
    return Truth(Target("z", "redshift"), np.zeros(n), None, 0)


def _predicted(values):
    return {"model": Estimates(values, values, values)}


def test_a_part_is_scored_alone():
    """An outlier among the other objects does not count."""
    predicted = _predicted(np.array([0.0, 0.01, 9.0]))
    part = PartScores.of("bright", _truth(3), predicted, np.array([True, True, False]))
    assert (part.n, part.methods["model"]["outliers"].value) == (2, 0)


def test_bins_have_fixed_edges():
    """A value on an edge is in the bin below; bins with few objects, and NaN, are left out."""
    quantity = np.array([*[1.0] * 12, *[1.5] * 13, 2.5, np.nan])
    parts = score_bins(_truth(27), _predicted(np.zeros(27)), quantity, (0, 1, 2, 3))
    assert [(part.name, part.n, part.middle) for part in parts] == [
        ("0 to 1", 12, 1.0), ("1 to 2", 13, 1.5),
    ]  # fmt: skip


def test_groups_are_named():
    """Objects without a name are in none, and a group of few objects is left out."""
    names = np.array([*["QSO"] * 12, *["GALAXY"] * 20, *["STAR"] * 2, ""])
    parts = score_groups(_truth(35), _predicted(np.zeros(35)), names)
    assert [(part.name, part.n) for part in parts] == [("GALAXY", 20), ("QSO", 12)]


@pytest.mark.parametrize("n", [0, 20])
def test_a_single_group_is_no_part(n):
    """It would repeat the scores of all objects."""
    assert score_groups(_truth(n), _predicted(np.zeros(n)), np.full(n, "F")) == []
