"""How fast the device can be, and how near to that training comes.

The yardstick is measured, not read from a data sheet: the rate of a large matrix product in the
number format of the training. Model-FLOPs utilisation is the model's floating-point operations a
second over it (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
"""

from __future__ import annotations

import time
from functools import cache

import torch

SPEEDS = ("tokens_per_second", "seconds_per_step", "flops_utilisation")
"""Entries of a history that tell how fast training went, which no two runs have in common."""
_SIDE = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices: large enough to keep the device busy, small enough for its memory."""
_WARM_UP = 3


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Floating-point operations a second of a matrix product, measured once a process.

    Parameters
    ----------
    device : torch.device
        Where the product runs; on a CPU on as many threads as PyTorch has.
    dtype : torch.dtype
        Format of the numbers.
    seconds : float
        How long to measure (s).

    Returns
    -------
    float
        Operations a second, a product and a sum being two; the best of the products, for what
        disturbs a measurement makes it slower.
    """
    side = _SIDE.get(device.type, 1024)
    numbers = torch.Generator().manual_seed(0)  # of its own: training's draws are left alone
    matrix = torch.randn(side, side, generator=numbers).to(device, dtype)
    out = torch.empty_like(matrix)
    best, spent, done = 0.0, 0.0, 0
    while spent < seconds or done <= _WARM_UP:
        took = _time_product(matrix, out)
        spent, done = spent + took, done + 1
        best = max(best, 2 * side**3 / took)
    return best


def _time_product(matrix: torch.Tensor, out: torch.Tensor) -> float:
    """Time of one product (s)."""
    wait = torch.cuda.synchronize if matrix.is_cuda else lambda: None
    wait()
    began = time.perf_counter()
    torch.mm(matrix, matrix, out=out)
    wait()
    return time.perf_counter() - began
