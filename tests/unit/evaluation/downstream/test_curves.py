"""Curves of label efficiency."""

import numpy as np
import pytest

from astromodal.config.evaluate import DownstreamSettings, EvaluationSettings
from astromodal.evaluation.downstream import baselines
from astromodal.evaluation.downstream.baselines import fit_probe
from astromodal.evaluation.downstream.curves import label_curves
from astromodal.evaluation.downstream.measures import Estimates
from astromodal.evaluation.downstream.tasks import Target, Task


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """Grow few trees, to save time."""
    monkeypatch.setattr(baselines, "ITERATIONS", 30)


def _curve(example, fractions, draws=3):
    """The curve of the mean probe."""
    classes = tuple("ABC"[: example.n_classes])
    target = Target("x", "class" if classes else "stellar", classes)
    task = Task(target, "scalar", example.y, example.fit, example.tune, example.score)
    settings = DownstreamSettings(label_fractions=fractions, label_draws=draws)
    evaluation = EvaluationSettings(downstream=settings)
    predicted = {"probe": Estimates.of_fit(target, fit_probe(example))}
    return label_curves(task, {"probe": example}, predicted, evaluation)["probe"]


def test_curves_have_errors_over_subsets(examples):
    """A quarter of the labels three times, and then all of them once."""
    quarter, whole = _curve(examples(), (1.0, 0.25))
    assert (quarter.n, quarter.draws, whole.n, whole.draws) == (20, 3, 80, 1)
    assert quarter.error > 0
    assert np.isnan(whole.error)
    assert quarter.value > whole.value


def test_curves_leave_out_too_small_subsets(examples):
    """One label of a hundred is not enough for a fit."""
    assert [point.n for point in _curve(examples(), (0.01, 1.0))] == [80]


def test_subsets_of_one_class_are_left_out(examples):
    """Where all subsets are of one class, the point is left out."""
    example = examples(2)
    example.y[example.fit] = 0
    example.y[example.fit[0]] = 1
    assert [point.n for point in _curve(example, (0.15, 1.0), draws=1)] == [80]
