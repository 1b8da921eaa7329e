"""Costs of a model, known before it trains: parameters, memory, floating-point operations.

``python -m astromodal.training.budget config/large.yaml`` prints it for a config; a training run
logs it before its first step.

Legend: N tokens, T tokens of a sequence, D model, F features of an id, S ids of a range.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from astromodal.config.load import load_config
from astromodal.config.schema import Config, ModelSettings, TrainingSettings
from astromodal.models.transformer import N_FEATURES, CausalTransformerLM
from astromodal.sequences.layout import SequenceLayout, sequence_layout
from astromodal.training.initialisation import new_model

_STATE_BYTES = 16  # a parameter's weight, gradient and AdamW's two moments in float32
_FORWARD_AND_BACKWARD = 3  # a backward pass costs two forward ones


@dataclass(frozen=True)
class Budget:
    """Sizes of a model that determine its costs.

    Attributes
    ----------
    parameters : int
        Trained parameters.
    matrices : int
        Parameters in the matrices of the layers, which multiply every token.
    d_model, n_layers, d_ff : int
        Width, layers and feed-forward width.
    n_bins : int
        Bins of all scalar columns, whose values are mapped once per batch.
    """

    parameters: int
    matrices: int
    d_model: int
    n_layers: int
    d_ff: int
    n_bins: int = 0

    @classmethod
    def of(cls, model: CausalTransformerLM, settings: ModelSettings) -> Budget:
        """Return the budget of a `CausalTransformerLM` that was made from `settings`."""
        layers = model.layers
        return cls(
            sum(p.numel() for p in model.parameters() if p.requires_grad),
            sum(p.numel() for p in layers.parameters() if p.dim() >= 2),
            settings.d_model,
            settings.n_layers,
            settings.d_ff,
            model.columns.n_columns * model.columns.n_bins,
        )

    def flops(self, shapes: Iterable[tuple[int, int]], heads: Iterable[tuple[int, int]]) -> float:
        """Return the floating-point operations of a forward and a backward pass.

        Two per token and weight of a matrix (Kaplan et al. 2020, arXiv:2001.08361, eq. 2.2), and
        half of 4 T² D per layer and sequence for causal attention (Chowdhery et al. 2022,
        arXiv:2204.02311, appendix B). Logits are those of legal ids only. A backward pass costs two
        forward passes; recomputed activations count once.

        Parameters
        ----------
        shapes : iterable of (int, int)
            Number of sequences, and tokens of each, for each run of sequences of equal length.
        heads : iterable of (int, int)
            Number of positions and of legal ids of each range that is predicted.
        """
        shapes = list(shapes)
        n_tokens = sum(count * length for count, length in shapes)
        forward = 2.0 * n_tokens * (self.matrices + N_FEATURES * self.d_model)
        forward += 2.0 * self.n_bins * N_FEATURES * 2 * self.d_model  # into tokens and sums
        squares = sum(count * length**2 for count, length in shapes)
        forward += 2.0 * squares * self.d_model * self.n_layers
        for positions, size in heads:
            states = size * (self.d_model + N_FEATURES) + N_FEATURES * self.d_model
            forward += 2.0 * positions * states
        return _FORWARD_AND_BACKWARD * forward

    def state_bytes(self) -> int:
        """Return the bytes of weights, gradients and AdamW's two moments, in float32."""
        return _STATE_BYTES * self.parameters

    def activation_bytes(
        self, n_tokens: int, mean_ids: float, half: bool, recompute: bool = False
    ) -> float:
        """Estimate the bytes that a batch keeps for its backward pass.

        A layer keeps the input of each of its operations, 10 D + 2 d_ff numbers per token, and the
        masks of dropout (after Korthikanti et al. 2022, arXiv:2205.05198, section 4.1, without
        attention matrices, which fused kernels do not keep, but with rotated queries and keys).
        Logits and their softmax take three numbers per id.

        Parameters
        ----------
        n_tokens : int
            Tokens of the batch.
        mean_ids : float
            Mean number of legal ids of a target.
        half : bool
            Whether layers compute with two bytes per number instead of four.
        recompute : bool
            Whether only the inputs of layers are kept, and all activations of one layer at a time.
        """
        layers, inputs = (1, self.n_layers) if recompute else (self.n_layers, 0)
        numbers = layers * (10 * self.d_model + 2 * self.d_ff) + inputs * self.d_model
        masks = layers * 2 * self.d_model
        return n_tokens * ((2 if half else 4) * numbers + masks + 4 * 3 * mean_ids)


def heads_of(layout: SequenceLayout) -> list[tuple[int, int]]:
    """Return the positions and legal ids of each range of an object that has every block."""
    return [(ids.n_slots, ids.size) for block in layout.blocks for ids in block.ranges]


def shape_of(config: Config) -> Budget:
    """Return the budget of a config's model, without allocating its weights."""
    sizes, layout = config.model, sequence_layout(config.tokenizers)
    with torch.device("meta"):
        model = new_model(sizes, layout, config.sequences.max_seq_len)
    return Budget.of(model, sizes)


def describe(budget: Budget, layout: SequenceLayout, training: TrainingSettings, half: bool) -> str:
    """Return one line with the costs of a model.

    Parameters
    ----------
    budget : Budget
        The model's sizes.
    layout : SequenceLayout
        Layout of its sequences.
    training : TrainingSettings
        Gives the tokens of a micro-batch: ``token_budget``, or ``batch_size`` of the longest
        sequences.
    half : bool
        Whether it computes in bfloat16.
    """
    heads, longest = heads_of(layout), layout.longest
    tokens = training.token_budget or training.batch_size * longest
    mean_ids = sum(n * size for n, size in heads) / max(1, sum(n for n, _ in heads))
    recompute = training.checkpoint_activations
    activations = budget.activation_bytes(tokens, mean_ids, half, recompute)
    per_token = budget.flops([(1, longest)], heads) / longest
    return (
        f"{budget.parameters / 1e6:.3g} M parameters, {budget.matrices / 1e6:.3g} M of them in the "
        f"layers' matrices; {budget.state_bytes() / 1e9:.3g} GB of weights, gradients and moments, "
        f"about {activations / 1e9:.2g} GB of activations for {tokens} tokens; "
        f"{per_token / 1e9:.3g} GFLOP a token of an object with every block"
    )


def describe_config(config: Config, half: bool) -> str:
    """Return the line of `describe` for the model of a config."""
    layout = sequence_layout(config.tokenizers)
    return describe(shape_of(config), layout, config.training, half)


def main(arguments: Sequence[str]) -> None:
    """Print the costs in bfloat16 of the model of a config file, or of the default model."""
    print(describe_config(load_config(*arguments[:1]), half=True))


if __name__ == "__main__":
    main(sys.argv[1:])
