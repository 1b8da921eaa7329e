"""Training in processes of its own: killed, and interrupted as a cluster does."""

from __future__ import annotations

import random
import signal

import pytest

from astromodal.training.run import EXIT_INTERRUPTED
from helpers.training import (
    ALONE,
    SETTINGS,
    TOGETHER,
    differing,
    finish,
    signal_at,
    some_runs,
    start,
    trained_pair,
)

SEED_OF_KILLS = 20261126


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs on 120 objects."""
    return some_runs(tmp_path_factory.mktemp("processes"))


def test_killed_at_any_step_a_run_ends_as_one_that_was_not(runs):
    """After SIGKILL at three random steps, weights, moments and history are the same."""
    settings = {"dropout": 0.1, "token_budget": 200, **SETTINGS}
    task = runs.task("whole", **settings)
    whole = finish(start(ALONE, task), task)
    task = runs.task("killed", **settings)
    numbers = random.Random(SEED_OF_KILLS)
    steps = sorted(numbers.sample(range(3, whole["last_step"] - 10), 3))
    for step in steps:
        assert signal_at(start(ALONE, task), task, step, signal.SIGKILL) == -signal.SIGKILL
    assert differing(whole, finish(start(ALONE, task), task)) == []


def test_interrupted_processes_save_and_go_on(runs):
    """The launcher passes both signals on and ends with 75; all ends as without them."""
    pair = trained_pair(runs)
    task = runs.task("parts", dropout=0.1, gpus=2, token_budget=100, **SETTINGS)
    for step, number in ((10, signal.SIGUSR1), (50, signal.SIGTERM)):
        assert signal_at(start(TOGETHER, task), task, step, number) == EXIT_INTERRUPTED
    assert not (task.parent / "final_model.pt").exists()
    assert differing(pair, finish(start(TOGETHER, task), task)) == []
    assert "goes on from" in (task.parent / "train.log").read_text()
