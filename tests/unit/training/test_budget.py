"""What a model costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.config import load_config
from astromodal.config.schema import ModelSettings, TrainingSettings
from astromodal.config.training import MeaningfulLossSettings
from astromodal.models.transformer import N_FEATURES
from astromodal.sequences.layout import longest_sequence
from astromodal.training.budget import (
    Budget,
    describe,
    describe_config,
    heads_of,
    main,
    shape_of,
)
from astromodal.training.initialisation import new_model
from astromodal.training.losses import TypedLoss

SIZES = ModelSettings(d_model=32, n_layers=3, n_heads=2, d_ff=48, dropout=0.0)


@pytest.fixture
def model(survey):
    torch.manual_seed(0)
    return new_model(SIZES, survey.layout, survey.layout.longest)


def test_every_token_meets_the_layers_matrices(model):
    """4 D² of attention and 2 D d_ff of the feed-forward branch a layer."""
    budget = Budget.of(model, SIZES)
    assert budget.matrices == 3 * (4 * 32**2 + 2 * 32 * 48)
    assert budget.parameters == sum(p.numel() for p in model.parameters())
    assert budget.state_bytes() == 16 * budget.parameters


def test_operations_by_hand():
    """Two sequences of 5 tokens and one of 10, three positions with 16 legal ids, 7 bins."""
    budget = Budget(parameters=0, matrices=1000, d_model=8, n_layers=2, d_ff=16, n_bins=7)
    products = 2 * 20 * (1000 + N_FEATURES * 8)
    attention = 2 * (2 * 25 + 100) * 8 * 2
    values = 2 * 7 * N_FEATURES * 2 * 8
    head = 2 * 3 * (16 * (8 + N_FEATURES) + N_FEATURES * 8)
    assert budget.flops([(2, 5), (1, 10)], [(3, 16)]) == 3 * (products + attention + head + values)


def test_a_short_sequence_costs_six_operations_a_weight():
    """The rule of Kaplan et al., where attention and logits are small beside the layers."""
    budget = shape_of(load_config({"model": {"d_model": 1024, "n_layers": 24, "n_heads": 16}}))
    assert budget.flops([(100_000, 10)], []) / 1e6 == pytest.approx(6 * budget.matrices, rel=0.01)


def test_a_configs_budget_is_that_of_its_model():
    """Counted without making a weight, parameters are those of the model itself."""
    config = load_config({"model": {"d_model": 32, "n_layers": 1, "n_heads": 2, "d_ff": 64}})
    budget = shape_of(config)
    assert (budget.d_model, budget.n_layers, budget.d_ff) == (32, 1, 64)
    assert budget.parameters > config.vocab.scalar * 32


def test_what_is_computed_again_is_not_kept():
    """Of 10 layers, the inputs of 8 numbers a token and all that one layer keeps."""
    budget = Budget(parameters=0, matrices=0, d_model=8, n_layers=10, d_ff=16)
    one = 4 * (10 * 8 + 2 * 16) + 2 * 8
    assert budget.activation_bytes(5, 0, False) == 5 * 10 * one
    assert budget.activation_bytes(5, 0, False, recompute=True) == 5 * (one + 4 * 10 * 8)


def test_activations_are_estimated_within_a_factor_of_two(survey, model):
    """Beside the bytes that PyTorch really keeps for a backward pass."""
    loss = TypedLoss(
        survey.layout, survey.tables, MeaningfulLossSettings(enabled=False), torch.device("cpu")
    )
    batch = survey.sequences().batch(np.arange(120))
    prepared = loss.prepare(batch, None)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    weights |= {b.untyped_storage().data_ptr() for b in model.buffers()}
    kept: dict[int, int] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        total = loss.total(loss.prepared_sums(model, prepared))
    assert total.requires_grad
    heads = [(each.of.positions.size, each.of.ids.size) for each in prepared.targets]
    mean_ids = sum(n * size for n, size in heads) / sum(n for n, _ in heads)
    estimate = Budget.of(model, SIZES).activation_bytes(len(batch.tokens), mean_ids, False)
    assert 0.5 < sum(kept.values()) / estimate < 2


def test_the_description_tells_parameters_memory_and_operations(survey, model):
    """One line with units."""
    text = describe(
        Budget.of(model, SIZES), survey.layout, TrainingSettings(token_budget=300), half=False
    )
    for unit in ("M parameters", "GB of weights", "activations for 300 tokens", "GFLOP a token"):
        assert unit in text
    assert len(heads_of(survey.layout)) == 7


def test_batches_of_objects_are_counted_at_their_longest():
    """Without a token budget, 16 objects that have every block."""
    config = load_config()
    tokens = 16 * longest_sequence(config.tokenizers)
    assert f"for {tokens} tokens" in describe_config(config, half=True)


def test_the_command_prints_a_configs_costs(tmp_path, capsys):
    """``python -m astromodal.training.budget my.yaml``."""
    path = tmp_path / "my.yaml"
    path.write_text("training: {token_budget: 1234}")
    main([str(path)])
    assert "activations for 1234 tokens" in capsys.readouterr().out
