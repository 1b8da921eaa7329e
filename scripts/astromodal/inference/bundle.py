"""A trained model with its vocabulary and tokenizers, as read from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.core.paths import ExportLayout, Layout, every_name
from astromodal.errors import ConfigError, DataError, FormatError, must_be
from astromodal.inference.request import Request
from astromodal.models.decoding import Decoder
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch
from astromodal.sequences.layout import (
    IMAGE,
    SCALAR,
    SPECTRUM,
    Range,
    SequenceLayout,
    sequence_layout,
)
from astromodal.sequences.order import Hiding, hiding, label_numbers
from astromodal.sequences.tokenizers import (
    TokenizerFiles,
    Tokenizers,
    check_hashes,
    load_tokenizers,
)
from astromodal.storage.formats import check_content, put_aside, remake
from astromodal.storage.hashing import hash_arrays
from astromodal.storage.json_files import read_json
from astromodal.storage.safetensors import map_tensors
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
        Settings of its training as they were stored. Those of another version may differ; nothing
        that uses the model reads them.
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


FORMAT = {"format": "exported_transformer", "version": "2"}
_REMAKE = remake(FORMAT["format"])


class LegalIds(NamedTuple):
    """Token ids that are legal in one slot of a block.

    Attributes
    ----------
    first : int
        Id of the first code.
    size : int
        Number of ids that the vocabulary reserves for the slot.
    used : int
        Number of codes in use, from the first on; only these can be predicted.
    """

    first: int
    size: int
    used: int


@dataclass(frozen=True)
class Bundle:
    """A trained model and the tokenizers of its vocabulary.

    Attributes
    ----------
    trained : Trained
        Model, config, layout of sequences and vocabulary.
    tokenizers : Tokenizers
        The tokenizers that the model was trained with.
    device : torch.device
        Device of the model.
    temperatures : mapping of str to float, optional
        Divisors of the logits by column or modality, 1 for what is absent; the model's own, by
        column, where None.
    """

    trained: Trained
    tokenizers: Tokenizers
    device: torch.device
    temperatures: Mapping[str, float] | None = None

    @property
    def layout(self) -> SequenceLayout:
        """Layout of the sequences."""
        return self.trained.layout

    @property
    def columns(self) -> tuple[str, ...]:
        """Scalar columns, in the order of their slots."""
        return self.tokenizers.scalar.columns

    @cached_property
    def decoder(self) -> Decoder:
        """Runs the model step by step."""
        return Decoder(self.trained.model)

    @cached_property
    def _used(self) -> dict[int, int]:
        """Codes in use by the first id of the ids of a slot."""
        spec, tables = self.layout.spec, self.tokenizers.tables()
        used = {spec.spectrum_offset(group): n for group, n in tables.n_spectrum.items()}
        used[spec.image_offset] = tables.n_image
        columns = enumerate(tables.n_scalar.tolist())
        return used | {spec.column_offset(column): n for column, n in columns}

    @cached_property
    def _unseen(self) -> dict[int, torch.Tensor]:
        """Codes of groups that stand for no training sample, bool (k,), by the first id."""
        spec, seen = self.layout.spec, self.tokenizers.spectrum.seen
        return {
            spec.spectrum_offset(group): torch.from_numpy(~mask).to(self.device)
            for group, mask in seen.items()
            if not mask.all()
        }

    def check_known(self, request: Request) -> None:
        """Raise `DataError` if a target has no codes: no training field measured it."""
        tables = self.tokenizers.tables()
        used = {name: int(tables.n_scalar[i]) for i, name in enumerate(self.columns)}
        used |= {IMAGE: tables.n_image, **tables.n_spectrum}
        targets = request.blocks
        if len(request.columns) < len(self.columns):
            targets += tuple(self.columns[i] for i in request.columns)
        empty = [name for name in targets if not used[name]]
        if empty:
            must = "measured in a training field"
            raise DataError(must_be(f"target {empty[0]}", must, "no training value"))

    @torch.no_grad()
    def states(self, batch: Batch) -> torch.Tensor:
        """Return the states of all tokens of a batch, (N, D + F)."""
        arrays = (batch.tokens, batch.types, batch.slots)
        tokens, types, slots = (torch.from_numpy(a).to(self.device) for a in arrays)
        return self.trained.model.flat_hidden(tokens, types, slots, batch.shapes)

    def legal(self, ids: Range, slot: int) -> LegalIds:
        """Return the legal ids of a block's slot, which lies in a range of the layout."""
        first = ids.offset + ids.stride * (slot - ids.first)
        return LegalIds(first, ids.size, self._used[first])

    @torch.no_grad()
    def log_probabilities(self, states: torch.Tensor, legal: LegalIds) -> torch.Tensor:
        """Return log probabilities of the codes in use, (..., used), after states (..., D + F).

        Codes that stand for no training sample have a probability of 0.
        """
        flat = states.reshape(1, -1, states.shape[-1])
        span = (legal.first, 1, legal.size)
        logits = self.trained.model.range_logits([flat], [span])[0][0, :, : legal.used]
        logits = logits.float() / self._temperature(legal.first)
        if (unseen := self._unseen.get(legal.first)) is not None:
            logits = logits.masked_fill(unseen, -torch.inf)
        return logits.log_softmax(dim=-1).view(*states.shape[:-1], legal.used)

    def _temperature(self, first: int) -> float:
        """Return the divisor of the logits of the ids of a slot, by the first of them."""
        spec, name = self.layout.spec, SPECTRUM
        column = -1
        if first < spec.scalar_offset:
            name = IMAGE
        elif first < spec.scalar_offset + spec.v_scalar:
            column, name = (first - spec.scalar_offset) // self._n_bins, SCALAR
        if self.temperatures is None:
            return 1.0 if column < 0 else self._own_temperatures[column]
        other = self.temperatures.get(name, 1.0)
        named = 0 <= column < len(self.columns)
        return self.temperatures.get(self.columns[column], other) if named else other

    def column_temperature(self, column: str) -> float:
        """Return the divisor of the logits of a scalar column, by name."""
        ids = self.layout[SCALAR].ranges[0]
        return self._temperature(ids.offset + ids.stride * self.columns.index(column))

    @cached_property
    def _n_bins(self) -> int:
        """Number of ids of a scalar column."""
        return self.layout[SCALAR].ranges[0].size

    @cached_property
    def _own_temperatures(self) -> list[float]:
        """Return the model's temperatures of all scalar columns."""
        temperatures: list[float] = self.trained.model.values.temperatures.tolist()
        return temperatures


def load_bundle(folder: str | Path, device: torch.device | str = "cpu") -> Bundle:
    """Load a model and its tokenizers from the folder of a run, or from an exported one.

    Parameters
    ----------
    folder : path
        ``runs_tokens_transformer`` of a results folder, which holds the tokenizers beside it, or
        a folder written by the rule export_model, which holds everything; or a link to one.
    device : torch.device
        Device of the model.

    Raises
    ------
    FormatError
        If the folder is neither, a file is damaged, or the tokenizers are not those of the
        vocabulary.
    ConfigError
        If PyTorch cannot use the device.
    """
    folder, device = Path(folder), _usable(device)
    run, exported = Layout(str(folder.parent)), ExportLayout(str(folder))
    final_model = folder / Path(run.final_model).name
    if final_model.is_file():
        trained = load_trained(final_model, device)
        return join_bundle(trained, _beside(folder, trained), device)
    if Path(exported.weights).is_file():
        files = TokenizerFiles.of(exported)
        return join_bundle(_load_exported(exported, device), files, device)
    names = f"{final_model.name} or {Path(exported.weights).name}"
    got = "a folder" if folder.is_dir() else "no folder"
    do = "give the folder runs_tokens_transformer of a run, or one of the rule export_model"
    raise FormatError(must_be(str(folder), f"a folder that holds {names}", got, do))


def _usable(device: torch.device | str) -> torch.device:
    """Return a device by its name; raise `ConfigError` if PyTorch cannot use it."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        got = f"{device} ({str(error).partition(chr(10))[0]:.120})"
        do = "leave it out to use the CPU"
        raise ConfigError(must_be("device", "one that PyTorch can use", got, do)) from error


def _beside(folder: Path, trained: Trained) -> TokenizerFiles:
    """Return the files of a run's tokenizers, beside its folder or beside a link to it."""
    size, found = trained.config.tokenizers.image.codebook_size, []
    for name in every_name(folder):
        run = Layout(str(name.parent), size)
        files = TokenizerFiles.of(run)
        if all(Path(path).is_file() for path in files):
            return files
        found.append(files)
    return found[0]


def join_bundle(trained: Trained, files: TokenizerFiles, device: torch.device) -> Bundle:
    """Load the tokenizers of a model and join them to it.

    Parameters
    ----------
    trained : Trained
        The model.
    files : TokenizerFiles
        Files of its tokenizers.
    device : torch.device
        Device of the image tokenizer's network.

    Raises
    ------
    FormatError
        If a file is missing, or a tokenizer is not the one that the model was trained with.
    """
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        do = "keep the run's folder, or a link to it, in its results"
        raise FormatError(must_be(f"tokenizer {missing[0]}", "a file", "none", do))
    tokenizers = load_tokenizers(files, device)
    source = ", ".join(sorted({str(Path(path).parent) for path in files}))
    check_hashes(trained.vocabulary, tokenizers.hashes(), source)
    return Bundle(trained, tokenizers, device)


def _load_exported(paths: ExportLayout, device: torch.device) -> Trained:
    """Load the model of an exported folder, without unpickling any file."""
    arrays, meta = _read_weights(paths.weights)
    vocabulary, config = read_json(paths.vocab_spec), read_json(paths.config)
    weights = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    reached = json.loads(meta["step"]), json.loads(meta["epoch"])
    aside = put_aside(FORMAT["format"])
    trained = restore(weights, config, vocabulary, reached, device, paths.weights, aside)
    check_content(paths.weights, meta["hash"], trained.hash, _REMAKE)
    check_hashes(vocabulary, json.loads(meta["tokenizer_hashes"]), paths.weights)
    return trained


def _read_weights(path: str) -> tuple[Mapping[str, Any], dict[str, str]]:
    arrays, meta = map_tensors(path, FORMAT["format"])
    must = "{format} version {version}".format(**FORMAT)
    found = f"{meta.get('format')} version {meta.get('version')}"
    if found != must:
        raise FormatError(must_be(path, must, found, put_aside(FORMAT["format"])))
    return arrays, meta
