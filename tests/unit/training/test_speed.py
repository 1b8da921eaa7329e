"""The machine's own speed."""

from __future__ import annotations

import torch

from astromodal.training.history import matmul_peak

CPU = torch.device("cpu")


def test_a_peak_is_measured_once():
    """The rate is positive, and the same when it is asked for again."""
    peak = matmul_peak(CPU, torch.float32, 0.01)
    assert peak > 1e6
    assert matmul_peak(CPU, torch.float32, 0.01) == peak


def test_measuring_draws_nothing():
    """Training's random numbers are what they would have been."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    matmul_peak(CPU, torch.float32, 0.02)
    assert torch.equal(torch.get_rng_state(), before)
