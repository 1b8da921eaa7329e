"""A training run: from sequences and tokenizers to the files of the run's folder."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from astromodal.config.schema import ModelSettings, Settings
from astromodal.core.files import write_json
from astromodal.core.hashing import hash_values
from astromodal.data.splits import TRAIN
from astromodal.models.transformer import N_FEATURES, CausalTransformerLM
from astromodal.training import checkpoint
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import SequenceLayout, sequence_layout
from astromodal.training.loop import Place, Trainer, validation_objects
from astromodal.training.loss import TypedLoss
from astromodal.training.prior import fit_prior
from astromodal.training.sequences import vocab_hash
from astromodal.training.targets import CentroidTables, Tokenizers
from astromodal.training.unigram import Unigram
from astromodal.training.vocabulary import check_hashes, read_vocabulary

EXIT_INTERRUPTED = 75
"""Exit status of a run that saved and stopped on a signal: EX_TEMPFAIL, "try again"."""


class TrainingInterrupted(SystemExit):
    """A run that was asked to stop: it has saved, and goes on where it is started again."""

    def __init__(self) -> None:
        super().__init__(EXIT_INTERRUPTED)


@dataclass(frozen=True)
class RunFiles:
    """Files of a run's folder."""

    vocab_spec: Path
    config: Path
    history: Path
    final_model: Path


def train_transformer(
    sequence_files: Sequence[str | Path],
    tokenizers: Tokenizers,
    files: RunFiles,
    settings: Mapping[str, Any],
    device: torch.device,
    logger: logging.Logger,
) -> Path:
    """Train the transformer, going on from the run's last checkpoint where there is one.

    Parameters
    ----------
    sequence_files : sequence of path
        Sequences of the training fields.
    tokenizers : Tokenizers
        The tokenizers that they were encoded with.
    files : RunFiles
        The vocabulary to read; the config, history and final model to write. Checkpoints go beside
        the final model.
    settings : mapping of str to Settings
        By dotted name:
        ``model``, ``training``, ``sequences``, ``tokenizers.scalar``, ``tokenizers.spectrum`` and
        ``tokenizers.image``.
    device : torch.device
        Where to train.
    logger : logging.Logger
        Takes the progress.

    Returns
    -------
    path
        The final model.

    Raises
    ------
    TrainingInterrupted
        After SIGTERM or SIGUSR1, once a checkpoint is written.
    FormatError
        Where sequences, tokenizers and vocabulary do not belong together.
    """
    parts = [settings[f"tokenizers.{name}"] for name in ("scalar", "spectrum", "image")]
    layout = sequence_layout(*parts)
    vocabulary = read_vocabulary(files.vocab_spec, layout)
    check_hashes(vocabulary, tokenizers.hashes(), "tokenizers")
    sequences = SequenceSet(sequence_files, layout)
    for store in sequences.stores:
        check_hashes(vocabulary, store.tokenizer_hashes, str(store.path))
    config = nested_config(settings)
    write_json(files.config, config)
    identity = {
        "config": _deciding(config),
        "vocab": vocab_hash(layout),
        "tokenizers": tokenizers.hashes(),
        "sequences": hash_values([store.meta["content_hash"] for store in sequences.stores]),
        "model": "causal transformer 1",
    }
    place = Place(files.final_model.parent, files.history, identity)
    extras = {"config": config, "vocab_spec": vocabulary}
    with stop_on_signals() as stop:
        trainer = _trainer(
            sequences, tokenizers.tables(), settings, place, extras, device, stop, logger
        )
        _resume(trainer, place, logger)
        if not trainer.run():
            logger.info("interrupted: saved, and goes on where it is started again")
            raise TrainingInterrupted
    checkpoint.save_model(files.final_model, trainer.state())
    checkpoint.finish(place.folder)
    return files.final_model


def build_model(
    model: ModelSettings,
    max_seq_len: int,
    tables: CentroidTables,
    unigram: Unigram,
    layout: SequenceLayout,
) -> CausalTransformerLM:
    """A model before its first step, which knows what codes mean and how frequent they are.

    Its logits start at the training sequences' frequencies given the slot: training need not find
    those first, and a run of a minute already beats the unigram baseline.
    """
    spec = layout.spec
    built = CausalTransformerLM(
        vocab_size=spec.vocab_size,
        d_model=model.d_model,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        d_ff=model.d_ff,
        dropout=model.dropout,
        max_seq_len=max_seq_len,
    )
    features = tables.features(spec, N_FEATURES)
    with torch.no_grad():
        built.features.copy_(torch.from_numpy(features))
        built.bias.copy_(torch.from_numpy(unigram.bias()))
        for block in layout.blocks:
            first = block.type * max_seq_len  # row of slot 0: SEP, from where slot 1 is predicted
            fitted = torch.from_numpy(fit_prior(unigram, block, features)) / built.scale
            built.prior.weight[first : first + block.length] = fitted
    return built


def _trainer(
    sequences: SequenceSet,
    tables: CentroidTables,
    settings: Mapping[str, Any],
    place: Place,
    extras: Mapping[str, Any],
    device: torch.device,
    stop: Callable[[], bool],
    logger: logging.Logger,
) -> Trainer:
    """A trainer at its first step."""
    training, order = settings["training"], settings["sequences"]
    layout = sequences.layout
    tables.check(layout.spec)
    unigram = Unigram(sequences, np.flatnonzero(sequences.split == TRAIN))
    baseline = unigram.cross_entropy(sequences, validation_objects(sequences, training))
    model = build_model(settings["model"], order.max_seq_len, tables, unigram, layout).to(device)
    loss = TypedLoss(layout, tables, training.meaningful_loss, device)
    logger.info(
        "%d objects, %d tokens; model of %d parameters; unigram baseline %s",
        len(sequences),
        int(sequences.lengths.sum()),
        sum(p.numel() for p in model.parameters()),
        {name: round(value, 3) for name, value in baseline.items()},
    )
    return Trainer(model, sequences, loss, training, order, place, baseline, extras, stop, logger)


def _resume(trainer: Trainer, place: Place, logger: logging.Logger) -> None:
    """Go on from the folder's last checkpoint, if it is of this very run."""
    found, differing = checkpoint.find_resumable(place.folder, place.identity)
    if differing:
        logger.warning(
            "checkpoints are of a run with another %s: starting anew", ", ".join(differing)
        )
    if found is not None:
        trainer.restore(found)
        logger.info("goes on from %s", found.name)


def nested_config(settings: Mapping[str, Settings]) -> dict[str, Any]:
    """Settings by dotted name as one nest of plain values."""
    config: dict[str, Any] = {}
    for name, value in settings.items():
        *parents, last = name.split(".")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value.model_dump(mode="json") if isinstance(value, Settings) else value
    return config


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the config that decides what a run learns: not how often it saves."""
    idle = ("save_every", "keep_checkpoints")
    training = {key: value for key, value in config["training"].items() if key not in idle}
    return {**config, "training": training}


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and SIGUSR1 end nothing: the function given tells whether one came."""
    caught: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    before = {
        number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
