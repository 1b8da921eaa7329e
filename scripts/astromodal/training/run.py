"""A training run: reads sequences and tokenizers, writes the files of the run's folder."""

from __future__ import annotations

import hashlib
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from astromodal.config.inputs import LAST
from astromodal.config.load import partial_config
from astromodal.config.schema import Config, ModelSettings
from astromodal.data.splits import TRAIN
from astromodal.errors import ConfigError, must_be
from astromodal.models.transformer import N_FEATURES, CausalTransformerLM
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR, SequenceLayout, sequence_layout
from astromodal.sequences.store import vocab_hash
from astromodal.sequences.tokenizers import (
    CentroidTables,
    TokenizerFiles,
    Tokenizers,
    check_hashes,
    load_tokenizers,
    read_vocabulary,
)
from astromodal.storage.hashing import hash_values
from astromodal.storage.json_files import read_json, write_json
from astromodal.training import checkpoint
from astromodal.training.batches import ColumnRoles, Group, Steps
from astromodal.training.budget import Budget, describe
from astromodal.training.history import Recorder, matmul_peak, tensorboard_writer
from astromodal.training.initialisation import N_RESIDUALS, Unigram, fit_start, new_model
from astromodal.training.losses import TypedLoss
from astromodal.training.step import Optimisation
from astromodal.training.trainer import Place, Trainer, validation_objects

IMPLEMENTATION = ("checkpoint_activations", "compile_layers")
"""Training settings of how layers compute: they change no result but for rounding."""
EXIT_INTERRUPTED = 75
"""Exit status of a run that saved and stopped on a signal: EX_TEMPFAIL of sysexits.h."""


class TrainingInterrupted(SystemExit):
    """A run has saved and stopped on a signal; started again, it continues."""

    def __init__(self) -> None:
        super().__init__(EXIT_INTERRUPTED)


@dataclass(frozen=True)
class RunFiles:
    """Paths of the files of a run, and of the folder of its checkpoints.

    Checkpoints are beside the final model where `checkpoints` is None.
    """

    vocab_spec: Path
    config: Path
    history: Path
    final_model: Path
    checkpoints: Path | None = None


def train_transformer(
    sequence_files: Sequence[str | Path],
    tokenizers: Tokenizers,
    files: RunFiles,
    settings: Config,
    group: Group,
    logger: logging.Logger,
    code: str = "",
) -> Path:
    """Train the transformer, from the run's last checkpoint where there is one.

    Parameters
    ----------
    sequence_files : sequence of path
        Sequences of the training fields.
    tokenizers : Tokenizers
        The tokenizers that they were encoded with.
    files : RunFiles
        The vocabulary to read; the config, history and final model to write; the folder of
        checkpoints.
    settings : Config
        ``model``, ``training``, ``sequences`` and the settings of ``tokenizers`` that the layout of
        sequences depends on are read. All settings given are written to the run's config.
    group : Group
        The processes that train together, with the device of this one. Each calls this function;
        the first writes the files.
    logger : logging.Logger
        Logs the progress.
    code : str
        Digest of the code that trains. A run that the same code finished with these settings on
        these sequences is not trained again. An empty digest equals no other.

    Returns
    -------
    path
        The final model: the weights of the best validation.

    Raises
    ------
    TrainingInterrupted
        After SIGTERM or SIGUSR1, once a checkpoint is written.
    FormatError
        Where sequences, tokenizers and vocabulary do not belong together.
    ConfigError
        Where the model to start from does not exist, or has other tokenizers or sizes.
    """
    layout = sequence_layout(settings.tokenizers)
    vocabulary = read_vocabulary(files.vocab_spec, layout)
    check_hashes(vocabulary, tokenizers.hashes(), "tokenizers")
    sequences = SequenceSet(sequence_files, layout, slice(group.rank, None, group.size))
    for store in sequences.stores:
        check_hashes(vocabulary, store.tokenizer_hashes, str(store.path))
    config = settings.model_dump(mode="json")
    identity = {
        "config": _deciding(config),
        "vocab": vocab_hash(layout),
        "tokenizers": tokenizers.hashes(),
        "sequences": hash_values([store.meta["content_hash"] for store in sequences.stores]),
        "model": "causal transformer 4",
        **_start_identity(settings.training.init_from),
    }
    folder = files.checkpoints or files.final_model.parent
    place = Place(folder, {"config": config, "vocab_spec": vocabulary})
    with stop_on_signals() as stop:
        trainer = _trainer(sequences, tokenizers.tables(), settings, place, group, stop, logger)
        if group.first:
            write_json(files.config, config)
        if not _resume(trainer, identity, logger, code):
            _warm_start(trainer, settings.training.init_from, logger)
        with closing(_recorder(trainer, files.history, logger)) as recorder:
            finished = trainer.run(recorder)
        if not finished:
            logger.info("interrupted and saved: started again, the run continues")
            raise TrainingInterrupted
    if group.first:
        checkpoint.save_model(files.final_model, trainer.calibrated_state())
        checkpoint.finish(place.folder, code)
    group.wait()
    return files.final_model


@dataclass(frozen=True)
class TrainingTask:
    """A training run as plain values, for processes of their own.

    Attributes
    ----------
    sequences : sequence of str
        Sequence files.
    tokenizers : mapping of str to str
        Files by the fields of `TokenizerFiles`.
    files : mapping of str to str
        Files by the attributes of `RunFiles`.
    settings : mapping of str to plain values
        Settings of `train_transformer` by dotted name.
    threads : int
        Cores of a node, shared by its processes.
    log : str
        File to which the first process adds its messages.
    code : str
        Digest of the code that trains.
    """

    sequences: Sequence[str]
    tokenizers: Mapping[str, str]
    files: Mapping[str, str]
    settings: Mapping[str, Any]
    threads: int
    log: str
    code: str = ""

    @property
    def config(self) -> Config:
        """The settings, without those that are not given."""
        return partial_config(self.settings)

    def write(self, path: Path) -> None:
        """Write the task as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> TrainingTask:
        """Read what `write` wrote."""
        return cls(**read_json(path))

    def run(self, group: Group, logger: logging.Logger) -> Path:
        """Train as one process of `group`; see `train_transformer`."""
        return train_transformer(
            list(self.sequences),
            load_tokenizers(TokenizerFiles(**self.tokenizers)),
            RunFiles(**{name: Path(path) for name, path in self.files.items()}),
            self.config,
            group,
            logger,
            self.code,
        )


def build_model(
    model: ModelSettings,
    max_seq_len: int,
    tables: CentroidTables,
    unigram: Unigram,
    layout: SequenceLayout,
) -> CausalTransformerLM:
    """Return a model before its first step, initialised with features and frequencies of codes.

    Its logits start at the frequencies of codes given the slot in the training sequences. Training
    need not learn these, and a run of a minute beats the unigram baseline.
    """
    built = new_model(model, layout, max_seq_len)
    centroids = tables.features(layout.spec, N_FEATURES - N_RESIDUALS)
    start = fit_start(unigram, layout.blocks, centroids)
    values, scalars = tables.value_features(), slice(built.columns.first, built.columns.end)
    beside = slice(centroids.shape[1], centroids.shape[1] + values.shape[2])  # columns share no ids
    start.features[scalars, beside] = values.reshape(-1, values.shape[2])
    with torch.no_grad():
        built.features.copy_(torch.from_numpy(start.features))
        built.bias.copy_(torch.from_numpy(unigram.bias()))
        for block in layout.blocks:
            first = block.type * max_seq_len  # row of slot 0: SEP, from where slot 1 is predicted
            fitted = torch.from_numpy(start.coefficients[block.name]) / built.scale
            built.prior.weight[first : first + block.length] = fitted
    return built


def _trainer(
    sequences: SequenceSet,
    tables: CentroidTables,
    settings: Config,
    place: Place,
    group: Group,
    stop: Callable[[], bool],
    logger: logging.Logger,
) -> Trainer:
    """Return a trainer at its first step."""
    training, order, layout = settings.training, settings.sequences, sequences.layout
    tables.check(layout.spec)
    unigram = Unigram(sequences, np.flatnonzero(sequences.split == TRAIN))
    baseline = unigram.cross_entropy(sequences, validation_objects(sequences, training))
    model = build_model(settings.model, order.max_seq_len, tables, unigram, layout)
    model.recompute = training.checkpoint_activations
    if training.compile_layers and group.device.type == "cuda":
        model.compile_layers()
    if group.rank:  # the same initial weights in all processes, but different dropout
        stream = np.random.SeedSequence((training.seed, group.rank)).generate_state(1)
        torch.manual_seed(int(stream[0]))
    loss = TypedLoss(layout, tables, training.meaningful_loss, group.device)
    budget = Budget.of(model, settings.model)
    scalars = layout[SCALAR].ranges[0]
    columns = ColumnRoles.of(
        settings.tokenizers.scalar.columns,
        order.labels,
        unigram.counts(scalars).sum(axis=1),
        training.meaningful_loss,
    )
    steps = Steps(sequences, loss, training, order, columns, group, budget)
    optimisation = Optimisation(model.to(group.device), loss, training, group)
    shown = {name: round(value, 3) for name, value in baseline.items()}
    n_tokens = int(sequences.lengths.sum())
    logger.info("%d objects, %d tokens; unigram baseline %s", len(sequences), n_tokens, shown)
    logger.info("model: %s", describe(budget, layout, training, optimisation.half))
    return Trainer(optimisation, steps, place, baseline, stop, logger)


def _recorder(trainer: Trainer, history: Path, logger: logging.Logger) -> Recorder:
    """Return the recorder of a trainer; the first process alone writes files."""
    group, device = trainer.group, trainer.group.device
    dtype = torch.bfloat16 if trainer.optimisation.half else torch.float32
    peak = group.size * matmul_peak(device, dtype)
    logger.info("a matrix product runs at %.3g FLOP/s on %d device(s)", peak, group.size)
    if not group.first:
        return Recorder(None, logger, trainer.total, None, peak)
    first_step = trainer.step + 1 if trainer.step else 0
    writer = tensorboard_writer(trainer.place.folder / "tensorboard", first_step)
    return Recorder(history, logger, trainer.total, writer, peak)


def _start_identity(init_from: str | None) -> dict[str, str]:
    """Return the digest of the model that a run starts from, where a path is given."""
    if init_from is None or init_from == LAST or not Path(init_from).is_file():
        return {}
    with Path(init_from).open("rb") as stream:
        return {"init_from": hashlib.file_digest(stream, "sha256").hexdigest()}


def _warm_start(trainer: Trainer, init_from: str | None, logger: logging.Logger) -> None:
    """Load the weights of an earlier model, where the settings name one."""
    if init_from is None:
        return
    path = checkpoint.last_aside(trainer.place.folder) if init_from == LAST else Path(init_from)
    must = "a model of the same tokenizers and sizes"
    if path is None or not path.is_file():
        raise ConfigError(
            must_be("training.init_from", must, f"{init_from!r}, which does not exist")
        )
    do = "set training.init_from to another model"  # this run cannot make it again
    state, model = checkpoint.load_model(path, do), trainer.model
    if state["vocab_spec"] != trainer.place.extras["vocab_spec"]:
        raise ConfigError(must_be("training.init_from", must, f"{path}, of other tokenizers", do))
    try:
        model.load_state_dict(state["model_state_dict"])
    except RuntimeError as error:
        raise ConfigError(must_be("training.init_from", must, f"{path}: {error}")) from error
    logger.info("starts from the weights of %s, step %d", path, state["step"])


def _resume(
    trainer: Trainer, identity: Mapping[str, Any], logger: logging.Logger, code: str
) -> bool:
    """Restore the folder's last checkpoint if it is of this run; return whether there was one."""
    group, folder = trainer.group, trainer.place.folder
    last = checkpoint.open_folder(folder, identity, logger, code) if group.first else None
    step = 0 if last is None else checkpoint.step_of(last)
    step = int(group.sum(np.array([step]))[0])  # the step that the first process found
    if step:
        path = trainer.checkpoint(step)
        trainer.restore(path)
        logger.info("goes on from %s", path.name)
    return step > 0


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide what a run learns, without those of saving and logging."""
    idle = ("save_every", "keep_checkpoints", "log_every", *IMPLEMENTATION)
    training = {key: value for key, value in config["training"].items() if key not in idle}
    loss = dict(training["meaningful_loss"])
    if not loss["extra"]:  # as of runs from before there were further terms
        del loss["extra"]
    return {**config, "training": {**training, "meaningful_loss": loss}}


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and SIGUSR1 end nothing; the function returns whether one was received."""
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
