"""A trained transformer with its settings: from a run's file, and in an exported folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.core.paths import ExportLayout
from astromodal.errors import FormatError, must_be
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.layout import SequenceLayout, sequence_layout
from astromodal.sequences.order import Hiding, hiding, label_numbers
from astromodal.sequences.tokenizers import Tokenizers, check_hashes
from astromodal.storage.formats import check_content, put_aside, remake
from astromodal.storage.hashing import hash_arrays
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.safetensors import map_tensors, save_tensors
from astromodal.storage.torch_files import filled
from astromodal.training.checkpoint import CHECKPOINT_FORMAT, load_model
from astromodal.training.initialisation import new_model

DECIDING = ("tokenizers", "sequences", "model")
"""Groups of settings that determine a model's shape and use."""


@dataclass(frozen=True)
class Trained:
    """A trained model, its settings and its vocabulary.

    Attributes
    ----------
    model : CausalTransformerLM
        The transformer in evaluation mode.
    config : Config
        Its settings of ``tokenizers``, ``sequences`` and ``model``; no others can be read.
    training : dict
        Settings of its training as they were stored. Those of another version may differ. Only
        fine-tuning reads one, the learning rate.
    layout : SequenceLayout
        Layout of its sequences.
    vocabulary : dict
        Its vocabulary as `read_vocabulary` returns it.
    step, epoch : int
        Step and epoch at which training ended.
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

    def hiding(self, seed: int) -> Hiding:
        """Return a choice of what is hidden of objects, with training's probabilities."""
        settings = self.config.sequences
        labels = label_numbers(self.config.tokenizers.scalar.columns, settings.labels)
        return hiding(settings, self.layout, labels, (seed, 0, 1))

    @cached_property
    def hash(self) -> str:
        """Hash of the weights."""
        state = self.model.state_dict()
        return hash_arrays({name: tensor.cpu().numpy() for name, tensor in state.items()})


def load_trained(path: str | Path, device: torch.device) -> Trained:
    """Load the model of a ``final_model.pt`` with the settings that it was trained with."""
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
    remedy: str = put_aside(CHECKPOINT_FORMAT),
) -> Trained:
    """Build the model that a config describes and load its weights.

    Parameters
    ----------
    weights : mapping of str to tensor
        A state dict.
    config, vocabulary : mapping
        Settings and vocabulary of the training, as plain values.
    reached : (int, int)
        Step and epoch at which training ended.
    device : torch.device
        Device of the model.
    source, remedy : str
        Origin of the weights, and advice, for the error message.

    Raises
    ------
    FormatError
        If the shapes of the weights are not those of the config.
    """
    settings = partial_config({name: config[name] for name in DECIDING})
    layout = sequence_layout(settings.tokenizers)
    shape, longest = settings.model, settings.sequences.max_seq_len
    model = filled(
        lambda: new_model(shape, layout, longest), shape.n_layers, weights, source, remedy
    )
    training = dict(config.get("training", {}))
    return Trained(model.to(device).eval(), settings, training, layout, vocabulary, *reached)


FORMAT = {"format": "exported_transformer", "version": "4"}


def save_exported(trained: Trained, tokenizers: Tokenizers, paths: ExportLayout) -> None:
    """Write a model and its tokenizers into one folder, without pickles.

    Parameters
    ----------
    trained : Trained
        The model.
    tokenizers : Tokenizers
        The tokenizers that it was trained with.
    paths : ExportLayout
        Paths of the files; their folder is made.
    """
    Path(paths.weights).parent.mkdir(parents=True, exist_ok=True)
    tokenizers.scalar.save(paths.scalar_tokenizer)
    tokenizers.spectrum.save(paths.spectrum_tokenizer)
    tokenizers.image.autoencoder.save_tensors(paths.autoencoder)
    tokenizers.image.codebook.save(paths.image_codebook)
    write_json(paths.vocab_spec, trained.vocabulary)
    config = trained.config.model_dump(mode="json")
    kept = {name: config[name] for name in DECIDING}
    write_json(paths.config, {**kept, "training": trained.training})
    meta = {
        **FORMAT,
        "hash": trained.hash,
        "step": json.dumps(trained.step),
        "epoch": json.dumps(trained.epoch),
        "tokenizer_hashes": json.dumps(tokenizers.hashes(), sort_keys=True),
    }
    state = trained.model.state_dict()
    save_tensors(paths.weights, {name: t.cpu().numpy() for name, t in state.items()}, meta)


def load_exported(paths: ExportLayout, device: torch.device) -> Trained:
    """Load the model of an exported folder, without unpickling any file."""
    arrays, meta = _read_weights(paths.weights)
    vocabulary, config = read_json(paths.vocab_spec), read_json(paths.config)
    weights = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    reached = json.loads(meta["step"]), json.loads(meta["epoch"])
    aside = put_aside(FORMAT["format"])
    trained = restore(weights, config, vocabulary, reached, device, paths.weights, aside)
    check_content(paths.weights, meta["hash"], trained.hash, remake(FORMAT["format"]))
    check_hashes(vocabulary, json.loads(meta["tokenizer_hashes"]), paths.weights)
    return trained


def _read_weights(path: str) -> tuple[Mapping[str, Any], dict[str, str]]:
    arrays, meta = map_tensors(path, FORMAT["format"])
    must = "{format} version {version}".format(**FORMAT)
    found = f"{meta.get('format')} version {meta.get('version')}"
    if found != must:
        raise FormatError(must_be(path, must, found, put_aside(FORMAT["format"])))
    return arrays, meta
