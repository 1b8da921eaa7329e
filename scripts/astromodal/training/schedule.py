"""The learning rate of each step, and the optimiser that it drives."""

from __future__ import annotations

import math

import torch
from torch import nn

MOST_WARMUP = 0.1
"""Largest fraction of the steps that warm up: a short run must not end before its peak."""


def learning_rate(step: int, total: int, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak`, then a half cosine that reaches 0 after the last of `total` steps.

    Parameters
    ----------
    step : int
        Step, from 0.
    total : int
        Steps of the run.
    peak : float
        Largest learning rate.
    warmup : int
        Steps of warm-up; no more than a tenth of `total` are taken.
    """
    warmup = min(warmup, int(MOST_WARMUP * total))
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def make_optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves biases and norms alone.

    Betas are those of GPT-2 and GPT-3 trainings: 0.9 and 0.95.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)
