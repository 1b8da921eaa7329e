"""Training in several processes: on one node, on two, and where one of them fails."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time

import psutil
import pytest
import torch

from astromodal.extensions import VARIABLE
from astromodal.storage.json_files import read_json, write_json
from helpers.training import (
    ALONE,
    SETTINGS,
    TOGETHER,
    differing,
    finish,
    some_runs,
    start,
    trained_pair,
)

SRUN = """
import os, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith("--")]
assert options == ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1"], options
command = sys.argv[1 + len(options):]
started = [subprocess.Popen(command, env={**os.environ, "SLURM_NODEID": n}) for n in "01"]
sys.exit(max(process.wait() for process in started))
"""
"""Stands for Slurm's srun: both of its nodes are this machine."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs on 120 objects."""
    return some_runs(tmp_path_factory.mktemp("processes"))


@pytest.fixture(scope="module")
def watched(runs):
    """The final model of two processes, with dropout, and the addresses that they listened at."""
    heard = set()

    def watch(started):
        while started.poll() is None:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found = process.net_connections("inet")
                    heard.update(c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN)
            time.sleep(0.05)

    return trained_pair(runs, watch), heard


@pytest.fixture(scope="module")
def pair(watched):
    """The final model of two processes, with dropout, that nothing interrupted."""
    return watched[0]


def test_two_processes_take_the_steps_of_one(runs):
    """With half of the budget each, and no dropout, losses and weights agree to rounding.

    AdamW divides by the size of gradients: where those are rounding alone, so are its steps, which
    is why a weight in a thousand may differ. The biases of keys are left out: attention hardly
    depends on what all keys have in common, so that few of their gradients are more than rounding.
    """
    one = runs.task("one", token_budget=200, **{**SETTINGS, "epochs": 2})
    two = runs.task("two", token_budget=100, gpus=2, **{**SETTINGS, "epochs": 2})
    alone, together = finish(start(ALONE, one), one), finish(start(TOGETHER, two), two)
    assert alone["last_step"] == together["last_step"]
    for a, b in zip(alone["loss_history"], together["loss_history"], strict=True):
        assert a["step"] == b["step"]
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    for name, value in alone["model_state_dict"].items():
        away = (value - together["model_state_dict"][name]).abs()
        if name.endswith("qkv.bias"):
            away = torch.cat(away.chunk(3)[::2])
        assert (away > 1e-5).float().mean() <= 1e-3, name


def test_processes_of_a_node_listen_to_that_node_alone(watched):
    """No port of theirs can be reached from another machine."""
    assert watched[1] <= {"127.0.0.1", "::1"}
    assert watched[1]


def test_two_nodes_are_two_processes(runs, pair, tmp_path):
    """Inside a Slurm job srun starts a node's processes on each; they meet, and train as a pair."""
    srun = tmp_path / "srun"
    srun.write_text(f"#!{sys.executable}\n{SRUN}")
    srun.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "4242", "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1"}
    slurm["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    task = runs.task("nodes", dropout=0.1, nodes=2, token_budget=100, **SETTINGS)
    found = finish(start(TOGETHER, task, slurm), task)
    assert differing(pair, found) == []
    assert not list(task.parent.glob(".task*"))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("vocab_spec.json", "process 0: .*vocab_spec.json: v_image must be 16"),
        ("missing.safetensors", "process 1 failed\nTraceback"),
    ],
)
def test_a_process_that_fails_ends_them_all(runs, file, said):
    """The error stands in the job's log, and the launcher says how the processes ended."""
    task = runs.task("failing", gpus=2, token_budget=100, **SETTINGS)
    if file == "vocab_spec.json":
        (task.parent / file).write_text("{}")
    else:
        write_json(task, {**read_json(task), "sequences": [str(task.parent / file)]})
    assert start(TOGETHER, task).wait(timeout=120) == 1
    log = (task.parent / "train.log").read_text()
    assert re.search(said, log) or re.search(said.replace("0", "1"), log)
    ended = (task.parent / "stderr").read_text()
    assert "must be ended without error, got exit status 1" in ended


EXTENSION = """
import torch
from astromodal.training.terms import LOSS_TERMS, LossTerm

@LOSS_TERMS.register
class Confidence(LossTerm):
    name = "confidence"

    def __call__(self, predictions):
        return predictions.logits.float().softmax(dim=1).max(dim=1).values.sum()
"""
"""A user's file with a loss term."""


def test_every_process_loads_the_users_files(runs, tmp_path, monkeypatch):
    """A registered term is trained and validated by two processes, and in the history."""
    (tmp_path / "confidence.py").write_text(EXTENSION)
    loss = {"extra": {"confidence": 0.5}}
    settings = {**SETTINGS, "epochs": 1, "meaningful_loss": loss}
    task = runs.task("extended", gpus=2, token_budget=200, **settings)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "confidence.py"))
    history = finish(start(TOGETHER, task), task)["loss_history"]
    assert {entry["split"] for entry in history} == {"train", "validation"}
    assert all(0 < entry["confidence"] < 1 for entry in history)
