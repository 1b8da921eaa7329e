"""The start of several training processes: what is refused, and what failures come to."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace

import pytest
import torch

from astromodal.config.schema import TrainingSettings
from astromodal.errors import AstromodalError, ConfigError
from astromodal.training import launch as module
from astromodal.training.launch import launch, launch_node
from astromodal.training.run import EXIT_INTERRUPTED, TrainingInterrupted, TrainingTask


def task(tmp_path, **training) -> TrainingTask:
    plain = {"training": TrainingSettings(**training).model_dump(mode="json")}
    files = {"final_model": str(tmp_path / "final_model.pt")}
    return TrainingTask(["a"], {}, files, plain, 2, str(tmp_path / "log"))


def test_a_task_survives_its_file(tmp_path):
    """What is written is read back, settings included."""
    wanted = task(tmp_path, gpus=3, learning_rate=0.25)
    wanted.write(tmp_path / "task.json")
    found = TrainingTask.read(tmp_path / "task.json")
    assert found == wanted
    assert found.config.training == TrainingSettings(gpus=3, learning_rate=0.25)
    alone = replace(found, settings={"training.gpus": 1, "training.nodes": 1})
    assert alone.config.training.processes == 1


def test_several_nodes_need_a_slurm_job(tmp_path, monkeypatch):
    """Outside one there is nothing to start processes on other machines with."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ConfigError, match="training.nodes must be 1 outside a Slurm job, got 2"):
        launch(task(tmp_path, nodes=2))


def test_more_processes_than_gpus_are_refused(tmp_path, monkeypatch):
    """Two processes would share a GPU, and NCCL would fail later and less clearly."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    task(tmp_path, gpus=4).write(tmp_path / "task.json")
    match = "training.gpus must be at most 2, the GPUs of the node, got 4; request more GPUs"
    with pytest.raises(ConfigError, match=match):
        launch_node(tmp_path / "task.json", str(tmp_path / "agent"), "run")


def test_agents_bear_clocks_that_differ(monkeypatch, tmp_path):
    """A sign of life by a clock that is behind makes no node a dead one: PyTorch allows 15 s."""
    seen = []

    def elastic_launch(config, entrypoint):
        seen.append(config.rdzv_configs)
        return lambda *arguments: None

    monkeypatch.setattr(module, "elastic_launch", elastic_launch)
    task(tmp_path, nodes=2).write(tmp_path / "task.json")
    launch_node(tmp_path / "task.json", "localhost:1", "run", first=False)
    assert [config["keep_alive_max_attempt"] for config in seen] == ["720"]


def test_processes_that_are_told_to_stop_have_time_to_save(monkeypatch, tmp_path):
    """The agent waits for minutes, not for its half of one, before it kills them."""
    seen = []

    def elastic_launch(config, entrypoint):
        seen.append((config.shutdown_timeout, entrypoint))
        return lambda *arguments: seen.append(arguments)

    monkeypatch.setattr(module, "elastic_launch", elastic_launch)
    launch(task(tmp_path, gpus=2))
    assert seen[0] == (300, sys.executable)
    assert seen[1][:3] == ("-m", "astromodal.training.launch", "process")


@pytest.mark.parametrize(
    "statuses",
    [{EXIT_INTERRUPTED}, {EXIT_INTERRUPTED, -signal.SIGTERM}, {-signal.SIGTERM}],
)
def test_processes_that_saved_are_an_interruption(statuses):
    """All saved, or were ended by SIGTERM before they began: the workflow tries again."""
    assert isinstance(module._failure(statuses), TrainingInterrupted)


@pytest.mark.parametrize("statuses", [{1}, {1, EXIT_INTERRUPTED, -15}, {-signal.SIGKILL}])
def test_processes_that_failed_are_an_error(statuses):
    """Their statuses are named."""
    error = module._failure(statuses)
    assert isinstance(error, AstromodalError)
    with pytest.raises(AstromodalError, match="must be ended without error, got exit status"):
        raise error
