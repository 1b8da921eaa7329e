"""Settings of the transformer: its sequences, its size, its loss and its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from astromodal.config.base import (
    SEEDS,
    FieldNames,
    NotNegative,
    Positive,
    Seed,
    Settings,
)
from astromodal.config.inputs import ModelPath


class SequenceSettings(Settings):
    """How an object's codes become one sequence."""

    max_seq_len: Positive = Field(
        2560, description="Longest sequence the model takes; checked against the config's longest."
    )
    block_order: Literal["fixed", "shuffled"] = Field(
        "shuffled", description="Order of an object's blocks in training."
    )
    hide_columns: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="Chance that scalar columns of an object, all or any part of them, are hidden "
        "in training, so that a column can be predicted from any others or from images alone.",
    )


class ModelSettings(Settings):
    """The causal transformer."""

    d_model: Positive = Field(768, description="Width.")
    n_layers: Positive = Field(12, description="Layers.")
    n_heads: Positive = Field(12, description="Attention heads; must divide d_model.")
    d_ff: Positive = Field(3072, description="Width of the feed-forward layer.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Dropout.")

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelSettings:
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 2:
            raise ValueError(
                f"d_model / n_heads must be an even integer, got {self.d_model} / {self.n_heads}"
            )
        return self


class MeaningfulLossSettings(Settings):
    """Cross-entropy, and reconstruction: squared error between expected and true centroids."""

    enabled: bool = Field(True, description="Add the reconstruction terms to the cross-entropy.")
    sample_k_per_modality: Positive = Field(
        64, description="Positions of a sequence, a modality, that the terms are computed on."
    )
    lambda_cross_entropy: NotNegative = Field(
        1.0,
        description="Weight of the cross-entropy; at 0 the model learns means and no chances, and "
        "the best validation is that of the reconstruction terms.",
    )
    lambda_image: NotNegative = Field(0.1, description="Weight of the image term.")
    lambda_scalar: NotNegative = Field(0.1, description="Weight of the scalar term.")
    lambda_spectrum: NotNegative = Field(0.1, description="Weight of the spectrum term.")

    @property
    def reconstructs(self) -> bool:
        """Whether any reconstruction term takes part."""
        weights = (self.lambda_image, self.lambda_scalar, self.lambda_spectrum)
        return self.enabled and any(weights)

    @model_validator(mode="after")
    def _teaches(self) -> MeaningfulLossSettings:
        if not self.lambda_cross_entropy and not self.reconstructs:
            raise ValueError("must have a weight above 0 that is in use: nothing would be learned")
        return self


class TrainingSettings(Settings):
    """How the transformer is trained."""

    fields: FieldNames = Field(
        None, description="Fields whose sequences train the transformer; null: tokenizers.fields."
    )
    batch_size: Positive = Field(
        16, description="Objects of a micro-batch of one process, when token_budget is null."
    )
    token_budget: Positive | None = Field(
        None,
        description="Tokens of a micro-batch of one process, what fits in its memory; replaces "
        "batch_size (most objects have 60, some 1,800).",
    )
    accumulate: Positive = Field(
        1, description="Micro-batches whose gradients a process adds up for one step."
    )
    gpus: Positive = Field(
        1,
        description="Processes a node, one a GPU; a step has that many times the tokens. "
        "Without GPUs they share the CPU.",
    )
    nodes: Positive = Field(1, description="Nodes; more than one only inside a Slurm job.")
    epochs: Positive = Field(5, description="Passes over the training objects.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-4, description="Peak learning rate.")
    weight_decay: NotNegative = Field(0.05, description="AdamW decay of matrices.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(2000, description="Steps of linear warm-up.")
    grad_clip: Annotated[float, Field(gt=0)] = Field(1.0, description="Largest gradient norm.")
    use_amp: bool = Field(True, description="bfloat16 autocast on a GPU; never on a CPU.")
    init_from: ModelPath | None = Field(
        None,
        description="A model file whose weights training starts from, or `last`, this run's last "
        "model before the change; it needs the same tokenizers and sizes.",
    )
    checkpoint_activations: bool = Field(
        False,
        description="Keep each layer's input alone and compute the rest again in the backward "
        "pass: a third more time, and far larger budgets.",
    )
    compile_layers: bool = Field(
        True,
        description="torch.compile on a GPU, which takes a minute at the start; never on a CPU.",
    )
    validate_every: Positive = Field(1000, description="Steps between validations.")
    patience: Positive | None = Field(
        None,
        description="Validations in a row without a better loss before training ends early; "
        "null: it never does.",
    )
    save_every: Positive = Field(
        5000, description="Steps between checkpoints; the best validation's is saved besides."
    )
    keep_checkpoints: Positive = Field(
        3, description="Last checkpoints kept; older are deleted, but not the best."
    )
    validation_objects: Positive = Field(
        4096, description="Objects of the validation split that are used at most."
    )
    log_every: Positive = Field(20, description="Steps between log lines.")
    seed: Annotated[Seed, Field(lt=SEEDS)] = Field(
        4, description="Seed of weights, dropout, batches and block orders."
    )
    meaningful_loss: MeaningfulLossSettings = Field(
        MeaningfulLossSettings(), description="What the loss is made of."
    )

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.gpus * self.nodes
