"""Probes and baselines learn what the features contain, and nothing else."""

import numpy as np
import pytest

from astromodal.config.evaluate import DownstreamSettings, EvaluationSettings
from astromodal.evaluation.downstream import baselines as methods
from astromodal.evaluation.downstream.baselines import (
    LEARNERS,
    Examples,
    constant,
    neighbours,
    probe,
    trees,
)
from astromodal.evaluation.downstream.objects import Target
from astromodal.evaluation.downstream.predictions import label_curves
from astromodal.evaluation.downstream.tasks import Task

LEARNING = (probe, trees, neighbours)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """Grow few trees, for the time's sake."""
    monkeypatch.setattr(methods, "ITERATIONS", 30)


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
    return Examples(x, y, fit, tune, scored, n_classes)


@pytest.mark.parametrize("method", LEARNING)
def test_a_number_that_follows_is_learned(method):
    """All explain most of what a feature contains."""
    examples = _task()
    predicted, _ = method(examples)
    assert np.corrcoef(predicted, examples.y[examples.score])[0, 1] > 0.7


@pytest.mark.parametrize("method", LEARNING)
def test_a_class_that_follows_is_learned(method):
    """All separate two classes, with probabilities that add up to 1."""
    examples = _task(2)
    predicted, _ = method(examples)
    assert predicted.sum(axis=1) == pytest.approx(np.ones(len(predicted)))
    assert np.mean(predicted.argmax(axis=1) == examples.y[examples.score]) > 0.75


@pytest.mark.parametrize("method", [trees, neighbours])
def test_missing_values_are_taken(method):
    """Also a column that nobody has."""
    predicted, _ = method(_task(gaps=True))
    assert np.isfinite(predicted).all()


def test_wild_values_do_not_hide_the_others():
    """One error of 1e9 leaves the neighbours of all others as they are."""
    examples = _task()
    before = neighbours(examples)[0]
    examples.x[0, 1] = 1e9
    assert np.corrcoef(before, neighbours(examples)[0])[0, 1] > 0.98


def test_tuning_holds_back_where_there_is_nothing_to_learn():
    """Noise gets the strongest penalty of the grid, or nearly."""
    _, chosen = probe(_task(informed=False))
    assert chosen["alpha"] >= 100


def test_the_constant_is_the_median():
    """Whatever the features."""
    examples = _task()
    assert constant(examples)[0] == pytest.approx(np.full(40, np.median(examples.y[examples.fit])))


def test_the_constant_is_the_frequency_of_classes():
    """The probability of each class is its fraction of the labels."""
    examples = _task(2)
    share = examples.y[examples.fit].mean()
    assert constant(examples)[0] == pytest.approx(np.tile([1 - share, share], (40, 1)))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_class_without_a_label_gets_no_probability(name):
    """Of three classes the last occurs among the scored objects alone."""
    examples = _task(3)
    predicted, _ = LEARNERS[name](examples)
    assert predicted.shape == (40, 3)
    assert not predicted[:, 2].any()


@pytest.mark.parametrize("name", LEARNERS)
def test_scored_labels_are_not_looked_at(name):
    """Other labels of the scored objects change no prediction."""
    examples, other = _task(), _task()
    other.y[other.score] = 99
    assert np.array_equal(LEARNERS[name](examples)[0], LEARNERS[name](other)[0])


def _curves(examples, fractions, samples=3):
    classes = tuple("ABC"[: examples.n_classes])
    target = Target("x", "class" if classes else "stellar", classes)
    task = Task(target, "scalar", examples.y, examples.fit, examples.tune, examples.score)
    requested = DownstreamSettings(label_fractions=fractions, label_draws=samples)
    predicted = {"probe_mean": probe(examples)[0]}
    evaluation = EvaluationSettings(downstream=requested)
    return label_curves(task, {"probe_mean": examples}, predicted, evaluation)["probe_mean"]


def test_curves_have_errors_over_samples():
    """A quarter of the labels, three times, and then all of them once."""
    part, whole = _curves(_task(), (1.0, 0.25))
    assert (part.n, part.samples, whole.n, whole.samples) == (20, 3, 80, 1)
    assert part.score.error > 0
    assert np.isnan(whole.score.error)
    assert part.score.value > whole.score.value


def test_curves_leave_out_what_is_too_little():
    """One label of a hundred teaches nothing."""
    assert [point.n for point in _curves(_task(), (0.01, 1.0))] == [80]


def test_samples_of_one_class_teach_nothing():
    """They are left out; where all are of one class, the point is."""
    examples = _task(2)
    examples.y[examples.fit] = 0
    examples.y[examples.fit[0]] = 1
    assert [point.n for point in _curves(examples, (0.15, 1.0), samples=1)] == [80]
