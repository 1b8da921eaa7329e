"""Trainings on a throw-away Slurm that stand still in the middle, and what became of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from helpers.cluster import ClusterWorkflow, Started
from helpers.slurm import Job, wait_for

RUN = "runs_tokens_transformer"


@contextmanager
def held(workflow: ClusterWorkflow, *options: str) -> Iterator[tuple[Started, Job]]:
    """Train anew; inside, the training stands still in the middle of its steps.

    So the test does not depend on how fast this machine trains. Slurm lets a process go on before
    it sends SIGTERM. On several nodes, all of the processes that train stand still.
    """
    nodes = workflow.config["training"].get("nodes", 1)
    run = workflow.results / RUN
    for made in ("final_model.pt", "checkpoints.json", "checkpoint_step_*.pt"):
        workflow.remove(*(path.relative_to(workflow.results) for path in run.glob(made)))

    def trainers() -> list[psutil.Process]:
        if nodes > 1:
            return workflow.cluster.trainers(job.number)
        return [script] if (script := workflow.cluster.script_of(job.number)) else []

    with workflow.started("train", *options) as started:
        job = started.running("train_transformer")
        wait_for(lambda: len(trainers()) == nodes, "the training", 120)
        found = trainers()
        saved = run / "checkpoint_step_5.pt"
        wait_for(saved.exists, "a checkpoint", seconds=300, every=0.02)
        for each in found:
            each.suspend()
        assert not (run / "final_model.pt").exists()
        yield started, job


def weights(workflow) -> dict[str, torch.Tensor]:
    path = workflow.results / RUN / "final_model.pt"
    return torch.load(path, weights_only=True)["model_state_dict"]


def assert_same_weights(workflow, uninterrupted) -> None:
    expected, found = weights(uninterrupted), weights(workflow)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def resumed_at(workflow) -> int:
    """The step of the checkpoint from which the last attempt went on."""
    text = workflow.log("train_transformer").read_text()
    return int(re.search(r"goes on from checkpoint_step_(\d+)\.pt", text).group(1))
