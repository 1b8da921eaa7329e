"""A trained model with its vocabulary and tokenizers, as read from a folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from astromodal.core.paths import ExportLayout, Layout, every_name
from astromodal.errors import ConfigError, DataError, FormatError, must_be, suggestion
from astromodal.inference.request import Request
from astromodal.models.decoding import Decoder
from astromodal.sequences.dataset import Batch
from astromodal.sequences.layout import (
    IMAGE,
    MODALITIES,
    SCALAR,
    SPECTRUM,
    Range,
    SequenceLayout,
)
from astromodal.sequences.tokenizers import (
    TokenizerFiles,
    Tokenizers,
    check_hashes,
    load_tokenizers,
)
from astromodal.training.calibration import levels_at
from astromodal.training.checkpoint import Trained, load_exported, load_trained
from astromodal.training.targets import FittedLabel


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
        Divisors of the logits by column or modality, 1 for what is absent; the model's own
        calibration, by column, where None.
    label : FittedLabel, optional
        The label that the model was fine-tuned to.
    """

    trained: Trained
    tokenizers: Tokenizers
    device: torch.device
    temperatures: Mapping[str, float] | None = None
    label: FittedLabel | None = None

    @property
    def fitted_label(self) -> FittedLabel:
        """The label that the model was fine-tuned to; `ConfigError` where there is none."""
        if self.label is None:
            raise ConfigError(must_be("model", "fine-tuned to a label", "one that is not"))
        return self.label

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

    def calibrated(self, temperatures: Mapping[str, float]) -> Bundle:
        """Return the same model with other temperatures; see `AstroModel.calibrated`."""
        known = (*MODALITIES, *self.columns)
        for name, value in temperatures.items():
            if name not in known:
                must = f"by scalar columns or {', '.join(MODALITIES)}"
                message = must_be("temperatures", must, name)
                raise ConfigError(message + suggestion(name, known))
            if not 0 < value < math.inf:
                raise ConfigError(must_be(f"temperature of {name}", "above 0 and finite", value))
        return replace(self, temperatures=dict(temperatures))

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

    def levels(self, column: int, shown: np.ndarray) -> np.ndarray | None:
        """Return the levels of a column, by number, float64 (n, L); None for other temperatures.

        These are what even levels of its cumulative distribution become in the calibration, where
        parts of all columns are shown, float64 (n,).
        """
        if self.temperatures is not None:
            return None
        maps = self.trained.model.values
        levels, parts = (each[column].cpu().numpy() for each in (maps.levels, maps.shown))
        return levels_at(levels, parts, shown)

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
        ``runs_tokens_transformer`` of a results folder, which holds the tokenizers beside it; or
        a folder written by the rule export_model or finetune_label, or by `AstroModel.save`, which
        holds everything; or a link to one.
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
        trained = load_exported(exported, device)
        bundle = join_bundle(trained, TokenizerFiles.of(exported), device)
        if not Path(exported.label).is_file():
            return bundle
        return replace(bundle, label=FittedLabel.load(exported.label, trained.hash).to(device))
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
