"""A trained transformer, from a checkpoint or from an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.core.files import put_aside
from astromodal.core.hashing import hash_arrays
from astromodal.core.states import filled
from astromodal.models.transformer import CausalTransformerLM
from astromodal.training.checkpoint import FORMAT, load_model
from astromodal.training.layout import SequenceLayout, sequence_layout
from astromodal.training.shape import new_model

DECIDING = ("tokenizers", "sequences", "model")
"""Groups of settings that decide on a model's shape and on its use."""


@dataclass(frozen=True)
class Trained:
    """A trained model and what it was trained with.

    Attributes
    ----------
    model : CausalTransformerLM
        In evaluation mode.
    config : Config
        What training was given of ``tokenizers``, ``sequences`` and ``model``, and nothing else.
    training : dict
        Settings of its training as they were written down: those of another version may differ,
        and nothing that uses the model reads them.
    layout : SequenceLayout
        Layout of its sequences.
    vocabulary : dict
        What `read_vocabulary` gives.
    step, epoch : int
        Where its training ended.
    """

    model: CausalTransformerLM
    config: Config
    training: dict[str, Any]
    layout: SequenceLayout
    vocabulary: dict[str, Any]
    step: int
    epoch: int

    @property
    def shuffled(self) -> bool:
        """Whether blocks were shuffled in training."""
        return self.config.sequences.block_order == "shuffled"

    @cached_property
    def hash(self) -> str:
        """Hash of the weights."""
        state = self.model.state_dict()
        return hash_arrays({name: tensor.cpu().numpy() for name, tensor in state.items()})


def load_trained(path: str | Path, device: torch.device) -> Trained:
    """The model of a ``final_model.pt``, ready to predict, and the config it was trained with."""
    state = load_model(path)
    return restore(
        state["model_state_dict"],
        state["config"],
        state["vocab_spec"],
        (state["step"], state["epoch"]),
        device,
        str(path),
    )


def restore(
    weights: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    vocabulary: dict[str, Any],
    reached: tuple[int, int],
    device: torch.device,
    source: str = "model",
    remedy: str = put_aside(FORMAT),
) -> Trained:
    """A model of the shape that a config tells, with the weights given.

    Parameters
    ----------
    weights : mapping of str to tensor
        A state dict.
    config, vocabulary : mapping
        What the run was trained with, as plain values.
    reached : (int, int)
        Step and epoch that training ended at.
    device : torch.device
        Where the model is to be.
    source, remedy : str
        What the weights are from, and what to do about it, for the error.

    Raises
    ------
    FormatError
        Where the weights are not of that shape.
    """
    settings = partial_config({name: config[name] for name in DECIDING})
    layout = sequence_layout(settings.tokenizers)
    shape, longest = settings.model, settings.sequences.max_seq_len
    model = filled(
        lambda: new_model(shape, layout, longest), shape.n_layers, weights, source, remedy
    )
    training = dict(config.get("training", {}))
    return Trained(model.to(device).eval(), settings, training, layout, vocabulary, *reached)
