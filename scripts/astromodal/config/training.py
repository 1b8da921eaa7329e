"""Settings of the transformer: its sequences, its size, its loss and its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from astromodal.config.base import (
    SEEDS,
    ColumnName,
    ColumnNames,
    FieldNames,
    NotNegative,
    Positive,
    Seed,
    Settings,
)
from astromodal.config.inputs import ModelPath, ScriptPath

Probability = Annotated[float, Field(ge=0, le=1)]
LABELS = (
    "specz_z",
    "gaia_teff_gspphot",
    "gaia_logg_gspphot",
    "gaia_mh_gspphot",
    "specz_e_z",
)
"""Columns of labels, with what reveals them."""


class SequenceSettings(Settings):
    """Arrangement of an object's codes in one sequence."""

    max_seq_len: Positive = Field(
        2560, description="Longest sequence of the model; checked against the longest possible one."
    )
    block_order: Literal["fixed", "shuffled"] = Field(
        "shuffled", description="Order of an object's blocks in training."
    )
    hide_columns: Probability = Field(
        0.5,
        description="Probability that some or all scalar columns of an object are hidden in "
        "training and asked at the end of its sequence, so that a column can be predicted from any "
        "others or from images alone.",
    )
    hide_blocks: Probability = Field(
        0.2,
        description="Probability that the codes of a cutout or of a spectrum are all hidden in "
        "training and predicted from what is shown, each independently of the others, as in "
        "prediction.",
    )
    labels: ColumnNames = Field(
        LABELS,
        description="Scalar columns that are mostly predicted and seldom given; columns that the "
        "run lacks are left out.",
    )
    hide_labels: Probability = Field(
        0.8, description="Probability that all labels of an object are hidden in training."
    )


class ModelSettings(Settings):
    """Size of the causal transformer."""

    d_model: Positive = Field(768, description="Width of the states.")
    n_layers: Positive = Field(12, description="Number of layers.")
    n_heads: Positive = Field(12, description="Number of attention heads, which divides d_model.")
    d_ff: Positive = Field(3072, description="Width of the feed-forward layer.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Probability of dropout.")

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelSettings:
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 2:
            raise ValueError(
                f"d_model / n_heads must be an even integer, got {self.d_model} / {self.n_heads}"
            )
        return self


class MeaningfulLossSettings(Settings):
    """Loss: cross-entropy, and squared error between expected and true centroids."""

    enabled: bool = Field(True, description="Add the reconstruction terms to the cross-entropy.")
    sample_k_per_modality: Positive = Field(
        64, description="Positions per sequence and modality on which the terms are computed."
    )
    lambda_cross_entropy: NotNegative = Field(
        1.0,
        description="Weight of the cross-entropy; at 0 the model learns means and no "
        "probabilities, and the best validation is that of the reconstruction terms.",
    )
    lambda_image: NotNegative = Field(0.1, description="Weight of the image term.")
    lambda_scalar: NotNegative = Field(0.1, description="Weight of the scalar term.")
    lambda_spectrum: NotNegative = Field(0.1, description="Weight of the spectrum term.")
    next_column: NotNegative = Field(
        0.5,
        description="Weight in the cross-entropy of scalars that are given, each predicted from "
        "those before it, relative to those that are asked.",
    )
    rarity: NotNegative = Field(
        0.75,
        description="Power of the rarity of a scalar column that its weight in the cross-entropy "
        "grows with, up to ten times: a survey knows few redshifts and many magnitudes.",
    )
    spread: Annotated[float, Field(ge=0, le=0.1)] = Field(
        1 / 128,
        description="Standard deviation of the Gaussian over neighbouring bins that the value of a "
        "scalar column is spread over in the cross-entropy of training, as a fraction of the "
        "column's bins; 0 for none.",
    )
    extra: dict[str, NotNegative] = Field(
        {},
        description="Weights of further terms by name; a Python file of `extensions` registers "
        "each of them.",
    )

    @property
    def reconstructs(self) -> bool:
        """Whether any reconstruction term has a weight above 0."""
        weights = (self.lambda_image, self.lambda_scalar, self.lambda_spectrum)
        return self.enabled and any(weights)

    @model_validator(mode="after")
    def _teaches(self) -> MeaningfulLossSettings:
        in_use = self.reconstructs or any(self.extra.values())
        if not self.lambda_cross_entropy and not in_use:
            raise ValueError("must have a weight above 0 that is in use: nothing would be learned")
        return self


class TrainingSettings(Settings):
    """Training of the transformer."""

    fields: FieldNames = Field(
        None, description="Fields that train the transformer; null for tokenizers.fields."
    )
    batch_size: Positive = Field(
        16, description="Objects per micro-batch of one process, if token_budget is null."
    )
    token_budget: Positive | None = Field(
        None,
        description="Tokens per micro-batch of one process, limited by its memory; replaces "
        "batch_size (most objects have 60 tokens, some 1,800).",
    )
    accumulate: Positive = Field(
        1, description="Micro-batches per step, whose gradients are summed."
    )
    gpus: Positive = Field(
        1,
        description="Processes per node, one per GPU; a step has that many times the tokens. "
        "Without GPUs they share the CPU.",
    )
    nodes: Positive = Field(1, description="Number of nodes; more than one only in a Slurm job.")
    epochs: Positive = Field(5, description="Passes over the training objects.")
    label_epochs: Annotated[int, Field(ge=0)] = Field(
        2,
        description="Further passes at the end over the training objects that have a label, in "
        "which all labels are hidden and asked; their learning rate begins anew, at half the peak.",
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-4, description="Peak learning rate.")
    weight_decay: NotNegative = Field(0.05, description="Weight decay of AdamW, for matrices.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(2000, description="Steps of linear warm-up.")
    grad_clip: Annotated[float, Field(gt=0)] = Field(1.0, description="Largest gradient norm.")
    use_amp: bool = Field(True, description="Use bfloat16 autocast on a GPU; a CPU never does.")
    init_from: ModelPath | None = Field(
        None,
        description="Model file whose weights training starts from, or `last` for this run's last "
        "model; it must have the same tokenizers and sizes.",
    )
    checkpoint_activations: bool = Field(
        False,
        description="Keep only the input of each layer and recompute the rest in the backward "
        "pass, which takes a third more time and far less memory.",
    )
    compile_layers: bool = Field(
        True,
        description="Use torch.compile on a GPU, which takes a minute at the start; a CPU never "
        "does.",
    )
    validate_every: Positive = Field(1000, description="Steps between validations.")
    patience: Positive | None = Field(
        None,
        description="Validations in a row without a better loss after which training ends, or goes "
        "on to the passes that ask all labels; null for never.",
    )
    save_every: Positive = Field(
        5000, description="Steps between checkpoints; that of the best validation is saved too."
    )
    keep_checkpoints: Positive = Field(
        3, description="Number of last checkpoints kept; older ones are deleted, except the best."
    )
    validation_objects: Positive = Field(
        4096, description="Largest number of objects for validation."
    )
    log_every: Positive = Field(20, description="Steps between log lines.")
    seed: Annotated[Seed, Field(lt=SEEDS)] = Field(
        4, description="Seed of weights, dropout, batches and orders of blocks."
    )
    meaningful_loss: MeaningfulLossSettings = Field(
        MeaningfulLossSettings(), description="The loss."
    )

    @property
    def processes(self) -> int:
        """Number of processes that train together."""
        return self.gpus * self.nodes


LabelName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,49}$")]


class LabelSource(Settings):
    """Where a label of one's own is found: in a column of the cubes, or in a table."""

    column: ColumnName | None = Field(
        None, description="Column of the cubes that holds it; text is a class."
    )
    table: ScriptPath | None = Field(
        None, description="Table that holds it, in place of a column: parquet, CSV, FITS, VOTable."
    )
    id: ColumnName = Field("id", description="Column of the table with the ids of the cubes.")
    value: ColumnName | None = Field(None, description="Column of the table with the values.")
    error: ColumnName | None = Field(
        None,
        description="Column, of the cubes or the table, with standard errors of numbers, which "
        "enter the likelihood.",
    )
    unit: str | None = Field(
        None, description="Unit of numbers, in the notation of astropy; null for none."
    )
    ignored: tuple[str, ...] = Field((), description="Classes that count as missing.")
    hidden: ColumnNames | None = Field(
        None,
        description="Scalar columns that reveal the label, which is never predicted from them; "
        "null for sequences.labels.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> LabelSource:
        if (self.column is None) == (self.table is None):
            raise ValueError("must have either a column or a table")
        if (self.table is None) != (self.value is None):
            raise ValueError("must have a value, the column of the table with the values")
        return self


class FinetuneSettings(Settings):
    """Fine-tuning of the trained model to labels of one's own."""

    labels: dict[LabelName, LabelSource] = Field(
        {},
        description="Labels by the name that they get, such as "
        "{kind: {column: specz_class_spec}}; the target finetune makes a model for each.",
    )
    given: ColumnNames | None = Field(
        None,
        description="Columns and blocks that the target finetune predicts labels from; null for "
        "everything but what reveals them.",
    )
    head_epochs: Positive = Field(
        30, description="Most passes over the labelled objects that fit the label's head alone."
    )
    epochs: Annotated[int, Field(ge=0)] = Field(
        10, description="Most passes after these that change the transformer too; 0 for none."
    )
    patience: Positive = Field(
        5, description="Passes in a row without a better likelihood of validation labels."
    )
    batch_size: Positive = Field(128, description="Labelled objects of a step.")
    head_rate: Annotated[float, Field(gt=0)] = Field(
        4e-3, description="Peak learning rate of the passes that fit the head alone."
    )
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Peak learning rate of the passes that change the transformer too; null for "
        "half of that of its training.",
    )
    weight_decay: NotNegative = Field(0.05, description="Weight decay of AdamW.")
    spread: Annotated[float, Field(ge=0, le=0.1)] = Field(
        1 / 128,
        description="Standard deviation of the Gaussian over neighbouring bins that a number is "
        "spread over in training, as a fraction of its bins.",
    )
    n_bins: Annotated[int, Field(ge=2, le=4096)] = Field(
        128, description="Most bins of a number; fewer where it has few labels."
    )
    seed: Annotated[Seed, Field(lt=2**32)] = Field(
        6, description="Seed of the head, of dropout, of batches and of what is hidden."
    )
