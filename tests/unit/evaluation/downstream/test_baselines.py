"""Probes and rivals learn what is there, and nothing that is not."""

import numpy as np
import pytest

from astromodal.config.evaluate import DownstreamSettings, EvaluationSettings
from astromodal.evaluation.downstream import baselines as ways
from astromodal.evaluation.downstream.baselines import (
    LEARNERS,
    Task,
    constant,
    neighbours,
    probe,
    trees,
)
from astromodal.evaluation.downstream.objects import Target
from astromodal.evaluation.downstream.predictions import label_curves
from astromodal.evaluation.downstream.tasks import Case

LEARNING = (probe, trees, neighbours)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """Grow few trees, for the time's sake."""
    monkeypatch.setattr(ways, "ITERATIONS", 30)


def _task(n_classes=0, gaps=False, seed=0, informed=True):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(150, 4))
    y = x[:, 0].copy() if informed else rng.normal(size=150)
    if n_classes:
        y = (y > 0).astype(float)
    if gaps:
        x[rng.random(x.shape) < 0.2] = np.nan
        x[:, 3] = np.nan
    fit, tune, scored = np.split(np.arange(150), [80, 110])
    return Task(x, y, fit, tune, scored, n_classes)


@pytest.mark.parametrize("way", LEARNING)
def test_a_number_that_follows_is_learned(way):
    """All explain most of what a feature says."""
    task = _task()
    told, _ = way(task)
    assert np.corrcoef(told, task.y[task.score])[0, 1] > 0.7


@pytest.mark.parametrize("way", LEARNING)
def test_a_class_that_follows_is_learned(way):
    """All tell two classes apart, by chances that add up to 1."""
    task = _task(2)
    told, _ = way(task)
    assert told.sum(axis=1) == pytest.approx(np.ones(len(told)))
    assert np.mean(told.argmax(axis=1) == task.y[task.score]) > 0.75


@pytest.mark.parametrize("way", [trees, neighbours])
def test_missing_values_are_taken(way):
    """Also a column that nobody has."""
    told, _ = way(_task(gaps=True))
    assert np.isfinite(told).all()


def test_wild_values_do_not_hide_the_others():
    """One error of 1e9 leaves the neighbours of all others as they are."""
    task = _task()
    before = neighbours(task)[0]
    task.x[0, 1] = 1e9
    assert np.corrcoef(before, neighbours(task)[0])[0, 1] > 0.98


def test_tuning_holds_back_where_there_is_nothing_to_learn():
    """Noise gets the strongest penalty of the grid, or nearly."""
    _, said = probe(_task(informed=False))
    assert said["alpha"] >= 100


def test_the_constant_is_the_median():
    """Whatever the features."""
    task = _task()
    assert constant(task)[0] == pytest.approx(np.full(40, np.median(task.y[task.fit])))


def test_the_constant_tells_how_often_classes_occur():
    """The chance of each class is its share among the labels."""
    task = _task(2)
    share = task.y[task.fit].mean()
    assert constant(task)[0] == pytest.approx(np.tile([1 - share, share], (40, 1)))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_class_without_a_label_gets_no_chance(name):
    """Of three classes the last occurs among the scored objects alone."""
    task = _task(3)
    told, _ = LEARNERS[name](task)
    assert told.shape == (40, 3)
    assert not told[:, 2].any()


@pytest.mark.parametrize("name", LEARNERS)
def test_scored_labels_are_not_looked_at(name):
    """What is told is the same where the labels of the scored objects are others."""
    task, other = _task(), _task()
    other.y[other.score] = 99
    assert np.array_equal(LEARNERS[name](task)[0], LEARNERS[name](other)[0])


def _curves(task, fractions, draws=3):
    classes = tuple("ABC"[: task.n_classes])
    target = Target("x", "class" if classes else "stellar", classes)
    case = Case(target, "scalar", task.y, task.fit, task.tune, task.score)
    asked = DownstreamSettings(label_fractions=fractions, label_draws=draws)
    tasks = {"probe_mean": task}
    told = {"probe_mean": probe(task)[0]}
    return label_curves(case, tasks, told, EvaluationSettings(downstream=asked))["probe_mean"]


def test_curves_have_errors_over_draws():
    """A quarter of the labels, three times, and then all of them once."""
    section, whole = _curves(_task(), (1.0, 0.25))
    assert (section.n, section.draws, whole.n, whole.draws) == (20, 3, 80, 1)
    assert section.error > 0
    assert np.isnan(whole.error)
    assert section.value > whole.value


def test_curves_leave_out_what_is_too_little():
    """One label of a hundred teaches nothing."""
    assert [point.n for point in _curves(_task(), (0.01, 1.0))] == [80]


def test_draws_of_one_class_teach_nothing():
    """They are left out; where all are of one class, the point is."""
    task = _task(2)
    task.y[task.fit] = 0
    task.y[task.fit[0]] = 1
    assert [point.n for point in _curves(task, (0.15, 1.0), draws=1)] == [80]
