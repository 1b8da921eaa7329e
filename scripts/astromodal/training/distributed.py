"""The processes that train together, and the sums over them.

A single process needs no process group: `Group()` stands for it, and its sums are its own values.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import distributed


@dataclass(frozen=True)
class Group:
    """The processes of a training run, seen from one of them.

    Attributes
    ----------
    rank : int
        Number of this process; 0 writes the files.
    size : int
        Number of processes.
    device : torch.device
        Device of this process, on which sums are exchanged.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of `values` over all processes, float64, the same bits in each."""
        if self.size == 1:
            return np.asarray(values, dtype=np.float64)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.cpu().numpy()

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Return the `values` (n,) of every process in the order of ranks, (size, n) on the CPU."""
        if self.size == 1:
            return values.cpu()[None]
        parts = [torch.empty_like(values, device=self.device) for _ in range(self.size)]
        distributed.all_gather(parts, values.to(self.device))
        return torch.stack(parts).cpu()

    def wait(self) -> None:
        """Return when all processes have called this."""
        self.sum(np.zeros(1))


ALONE = Group()
"""A single process."""


@contextmanager
def process_group(meeting: Path | None) -> Iterator[Group]:
    """Join the processes that the launcher started; inside, sums are over all of them.

    Each process uses the GPU of its number on its node; without GPUs, processes share the CPU.

    Parameters
    ----------
    meeting : path, optional
        A new file at which processes of one node meet; the launcher's host and port where None.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device, backend = torch.device("cpu"), "gloo"
    if torch.cuda.is_available():
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), "nccl"
        torch.cuda.set_device(device)
    where = "env://" if meeting is None else meeting.absolute().as_uri()
    distributed.init_process_group(backend, where, rank=rank, world_size=size)
    # Not destroyed after an error: others may never answer, and the launcher ends them.
    try:
        yield Group(rank, size, device)
    except SystemExit:
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()
