"""The processes that train together; several of them are in test_processes.py."""

from __future__ import annotations

import numpy as np
import torch

from astromodal.training.distributed import ALONE, process_group


def test_one_process_sums_to_what_it_puts_in():
    """Without a process group nothing is sent anywhere."""
    np.testing.assert_array_equal(ALONE.sum(np.array([1.0, 2.0])), [1.0, 2.0])
    assert ALONE.gather(torch.tensor([1, 2])).tolist() == [[1, 2]]
    assert ALONE.first
    ALONE.wait()


def test_a_group_of_one_is_told_its_place(monkeypatch, tmp_path):
    """Rank and size are the launcher's; without a GPU the processes compute on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with process_group(tmp_path / "meeting") as group:
        assert (group.rank, group.size, group.device.type) == (0, 1, "cpu")
    assert not torch.distributed.is_initialized()
