"""The learning rate and the optimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from astromodal.training.batches import ALONE, Group
from astromodal.training.step import StepMessage, learning_rate, make_optimizer


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.2), (3, 0.8), (4, 1.0), (22, 0.5), (40, 0.0)],
)
def test_rates_by_hand(step, rate):
    """4 of 40 steps warm up to 1, and a half cosine falls to 0 over the other 36."""
    assert learning_rate(step, 40, 1.0, 4) == pytest.approx(rate)


def test_warm_up_is_at_most_a_tenth_of_the_run():
    """2000 steps of warm-up in a run of 40 become 4."""
    assert [learning_rate(s, 40, 1.0, 2000) for s in range(40)] == [
        learning_rate(s, 40, 1.0, 4) for s in range(40)
    ]


def test_no_warm_up_starts_at_the_peak():
    """A run without warm-up begins at its largest rate."""
    assert learning_rate(0, 40, 3.0, 0) == 3.0


def test_only_matrices_decay():
    """Biases and norms are left alone; embeddings and weights decay."""
    model = nn.ModuleDict({"e": nn.Embedding(3, 2), "l": nn.Linear(2, 2), "n": nn.LayerNorm(2)})
    decayed, kept = make_optimizer(model, 1e-3, 0.1).param_groups
    assert [p.dim() for p in decayed["params"]] == [2, 2]
    assert [p.dim() for p in kept["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)


def test_frozen_parameters_are_not_optimised():
    """What needs no gradient gets no state."""
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    assert [len(g["params"]) for g in make_optimizer(layer, 1e-3, 0.1).param_groups] == [1, 0]
    assert torch.is_tensor(layer.bias)


class Doubled(Group):
    """Two processes with equal messages."""

    def sum(self, values):
        """Return twice the values."""
        return 2.0 * np.asarray(values)


def message():
    """A message of numbers that all differ."""
    return StepMessage(1.5, 1.0, 30.0, 2e9, np.arange(12.0).reshape(3, 4), np.array([0.5, 0.25]))


def test_a_message_of_one_process_is_what_is_shared():
    """Every number comes back under its own name, and in its own shape."""
    own, shared = message(), message().shared(ALONE)
    assert vars(shared).keys() == vars(own).keys()
    for name, value in vars(own).items():
        np.testing.assert_array_equal(getattr(shared, name), value)


def test_messages_are_added_number_by_number():
    """Sums of sums, of losses, of tokens and of requests to stop."""
    shared = message().shared(Doubled())
    assert (shared.norm, shared.stop, shared.tokens, shared.flops) == (3.0, 2.0, 60.0, 4e9)
    np.testing.assert_array_equal(shared.sums, 2 * message().sums)
    np.testing.assert_array_equal(shared.losses, [1.0, 0.5])
