"""The record of a run, and the measured peak of matrix products."""

from __future__ import annotations

import logging
import sys
import types

import numpy as np
import pytest
import torch

from astromodal.training.history import (
    SPEEDS,
    Recorder,
    matmul_peak,
    read_history,
    tensorboard_writer,
)
from astromodal.training.losses import Sums
from astromodal.training.step import Outcome

LOGGER = logging.getLogger("test")


class FakeWriter:
    """Stands for TensorBoard's writer, which need not be installed."""

    def __init__(self, log_dir=None, purge_step=None):
        self.log_dir, self.purge_step = log_dir, purge_step
        self.scalars, self.closed = {}, False

    def add_scalar(self, tag, scalar_value, global_step):
        """Keep it."""
        self.scalars[tag, global_step] = scalar_value

    def close(self):
        """Note it."""
        self.closed = True


def outcome(tokens=100, flops=1e6):
    """A step whose cross-entropy sums are 1, 2 and 3 over 4 targets each."""
    sums = np.array([[1.0, 4, 0, 0], [2.0, 4, 8, 2], [3.0, 4, 0, 0]])
    return Outcome(Sums(sums), tokens, flops, False)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = types.SimpleNamespace(time=0.0)
    monkeypatch.setattr("astromodal.training.history.time.monotonic", lambda: now.time)
    return now


def test_speeds_by_hand(clock, tmp_path):
    """Two steps in 4 s, of which a validation took 1 s: tokens per second, step time, FLOPs."""
    recorder = Recorder(tmp_path / "h.jsonl", LOGGER, 10, None, peak=1e7)
    recorder.begin([], Sums())
    recorder.add(outcome())
    recorder.validation(1, 0, {"loss": 1.0}, 1.0)
    recorder.add(outcome(tokens=200, flops=2e6))
    clock.time = 4.0
    recorder.train(2, 0, 0.1, 5.0)
    entry = recorder.entries[-1]
    assert [entry[name] for name in SPEEDS] == [100.0, 1.5, pytest.approx(0.1)]


def test_losses_are_means_over_the_window(clock, tmp_path):
    """Sums of all steps since the last entry over their targets; the next window starts at 0."""
    recorder = Recorder(tmp_path / "h.jsonl", LOGGER, 10)
    recorder.begin([], Sums())
    for _ in range(3):
        recorder.add(outcome())
    recorder.train(3, 0, 0.1, 5.0)
    assert recorder.entries[0]["cross_entropy_scalar"] == 0.5
    assert recorder.entries[0]["squared_error_scalar"] == 4.0
    assert recorder.entries[0]["squared_error_image"] is None
    assert not recorder.window.values.any()


def test_without_a_peak_there_is_no_utilisation(clock, tmp_path):
    """What cannot be compared is null."""
    recorder = Recorder(tmp_path / "h.jsonl", LOGGER, 10)
    recorder.begin([], Sums())
    recorder.add(outcome())
    clock.time = 1.0
    recorder.train(1, 0, 0.1, 5.0)
    assert recorder.entries[0]["flops_utilisation"] is None
    assert recorder.entries[0]["tokens_per_second"] == 100


def test_the_file_is_what_is_in_memory(tmp_path):
    """Lines of a run that was killed are dropped where it goes on from an earlier entry."""
    path = tmp_path / "h.jsonl"
    first = Recorder(path, LOGGER, 10)
    first.begin([], Sums())
    for step in (1, 2, 3):
        first.validation(step, 0, {"loss": float(step)}, 0.0)
    second = Recorder(path, LOGGER, 10)
    second.begin(first.entries[:1], Sums())
    second.validation(2, 0, {"loss": float("nan")}, 0.0)
    assert read_history(path) == {"train": [], "validation": second.entries}
    assert second.entries[1]["loss"] is None


def test_other_processes_write_no_file(tmp_path):
    """Without a path, entries are kept in memory alone."""
    recorder = Recorder(None, LOGGER, 10)
    recorder.begin([], Sums())
    recorder.validation(1, 0, {"loss": 1.0}, 0.0)
    assert recorder.entries[0]["loss"] == 1.0
    assert list(tmp_path.iterdir()) == []


def test_every_number_goes_to_tensorboard(tmp_path):
    """Each known number of an entry, named by its split, at its step; closed at the end."""
    writer = FakeWriter()
    recorder = Recorder(tmp_path / "h.jsonl", LOGGER, 10, writer)
    recorder.begin([], Sums())
    recorder.validation(7, 1, {"loss": 1.5, "cross_entropy_image": None}, 0.0)
    recorder.close()
    assert writer.scalars == {("validation/loss", 7): 1.5}
    assert writer.closed


def test_tensorboard_is_used_where_it_is_installed(tmp_path, monkeypatch):
    """Its writer gets the folder, and hides events of steps that are taken again."""
    module = types.SimpleNamespace(SummaryWriter=FakeWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    writer = tensorboard_writer(tmp_path, 8)
    assert (writer.log_dir, writer.purge_step) == (str(tmp_path), 8)


def test_tensorboard_need_not_be_installed(tmp_path, monkeypatch):
    """Without it there is no writer, and no error."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert tensorboard_writer(tmp_path, 1) is None


CPU = torch.device("cpu")


def test_a_peak_is_measured_once():
    """The rate is positive, and the same at the next call."""
    peak = matmul_peak(CPU, torch.float32, 0.01)
    assert peak > 1e6
    assert matmul_peak(CPU, torch.float32, 0.01) == peak


def test_measuring_draws_nothing():
    """Training's random numbers are what they would have been."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    matmul_peak(CPU, torch.float32, 0.02)
    assert torch.equal(torch.get_rng_state(), before)
