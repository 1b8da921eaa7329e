"""Checkpoints, written atomically, read without unpickling and pruned; the model that one holds.

A run's folder holds the ``checkpoint_step_{n}.pt`` of one run only. ``checkpoints.json`` holds the
identity of that run (its settings and inputs), whether it is finished, and the digest of the code
that finished it. Checkpoints of another run are moved to a subfolder, and moved back when its
settings return. Those of a finished run are reused only by the same code: a job that is repeated
with unchanged inputs then need not train again. Only pruning deletes checkpoints.

A trained model is read with its settings from a run's ``final_model.pt``, the last checkpoint, or
from an exported folder, which holds no pickle.
"""

from __future__ import annotations

import json
import logging
import sys
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
from astromodal.storage.arrays import map_tensors, save_tensors
from astromodal.storage.formats import check_content, put_aside, remake
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import atomic_path, make_folder, sync_folder
from astromodal.storage.torch_files import filled, load_state
from astromodal.training.initialisation import new_model

CHECKPOINT_FORMAT, VERSION = "transformer", 6
_RUN, _ASIDE = "checkpoints.json", "set_aside"


def save_model(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, atomically; the same state gives the same bytes.

    Parameters
    ----------
    path : path
        The file.
    state : mapping
        Tensors, numbers, text, and dicts and lists of them.
    """
    # To a stream: given a path, PyTorch writes its random name into the file.
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        torch.save(_afresh({"format": CHECKPOINT_FORMAT, "version": VERSION, **state}), stream)


def _afresh(value: Any) -> Any:
    """Return equal values in new containers, with one object for equal strings.

    A pickle refers back to an object that it has already written. A resumed run has read some
    objects from a file and shares others than an uninterrupted run; its bytes must not differ.
    """
    if isinstance(value, Mapping):
        return {_afresh(key): _afresh(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_afresh(item) for item in value)
    return sys.intern(value) if type(value) is str else value


def load_model(path: str | Path, remedy: str = "") -> dict[str, Any]:
    """Read a checkpoint with its tensors on the CPU; no code in the file is run.

    Parameters
    ----------
    path : path
        The file.
    remedy : str
        Advice in the error about a damaged or unknown file; to make it again where empty.

    Raises
    ------
    FormatError
        Where the file is damaged or no checkpoint of this version.
    """
    return load_state(path, CHECKPOINT_FORMAT, VERSION, remedy)


def open_folder(
    folder: str | Path, identity: Mapping[str, Any], logger: logging.Logger, code: str = ""
) -> Path | None:
    """Prepare a folder for a run, and return its last checkpoint.

    Parameters
    ----------
    folder : path
        The run's folder.
    identity : mapping
        The settings of the run and the hashes of its inputs, nested.
    logger : logging.Logger
        Logs which checkpoints are moved, and the dotted names of the settings that differ.
    code : str
        Digest of the code that trains; empty where it is not known.

    Returns
    -------
    path or None
        The last checkpoint of a run of this identity: an unfinished one, or one that the same code
        finished.
    """
    folder = Path(folder)
    known = folder / _RUN
    stored = read_json(known) if known.exists() else {"identity": None, "finished": False}
    differing = differences(stored["identity"], identity)
    if _checkpoints(folder) and (differing or (stored["finished"] and not _made_by(code, stored))):
        aside = _set_aside(folder, stored)
        of = f"with another {', '.join(differing)}" if differing else "that is finished"
        logger.warning("checkpoints of a run %s are kept in %s", of, aside)
    # Written before any file is moved here, so that a run killed in between mixes no checkpoints.
    write_json(known, {"identity": dict(identity), "finished": False})
    _take_up(folder, identity, logger, code)
    return next(reversed(_checkpoints(folder)), None)


def finish(folder: str | Path, code: str = "") -> None:
    """Record that a folder's run is finished, with the digest of the code."""
    known = Path(folder) / _RUN
    write_json(known, {**read_json(known), "finished": True, "code": code})


def _made_by(code: str, stored: Mapping[str, Any]) -> bool:
    """Return whether code of this digest finished a run."""
    return bool(code) and stored.get("code") == code


def _aside(folder: Path, identity: Any, finished: bool) -> Path:
    """Return the subfolder for checkpoints of an identity."""
    return folder / _ASIDE / (hash_values(identity) + ("_finished" if finished else ""))


def _set_aside(folder: Path, stored: Mapping[str, Any]) -> Path:
    """Move a folder's checkpoints to a subfolder of their own; return it."""
    aside = _aside(folder, stored["identity"], stored["finished"])
    _move(folder, aside)
    write_json(aside / _RUN, dict(stored))
    return aside


def _take_up(folder: Path, identity: Mapping[str, Any], logger: logging.Logger, code: str) -> None:
    """Move back checkpoints of this identity, of an unfinished run or one of the same code."""
    unfinished, finished = (_aside(folder, identity, of_finished) for of_finished in (False, True))
    same_code = finished.is_dir() and _made_by(code, read_json(finished / _RUN))
    kept = unfinished if unfinished.is_dir() else finished if same_code else None
    if kept is not None:
        logger.info("takes up the checkpoints of these settings from %s", kept)
        _move(kept, folder)
        (kept / _RUN).unlink(missing_ok=True)
        kept.rmdir()


def last_aside(folder: str | Path) -> Path | None:
    """Return the checkpoint in subfolders that was written last; None without any."""
    paths = (Path(folder) / _ASIDE).glob("*/checkpoint_step_*.pt")
    return max(paths, key=lambda path: (path.stat().st_mtime_ns, step_of(path)), default=None)


def _move(source: Path, target: Path) -> None:
    """Move the checkpoints of a folder, over those of equal names."""
    make_folder(target)
    for path in _checkpoints(source):
        path.replace(target / path.name)
    sync_folder(target)


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder in the order of steps."""
    return sorted(folder.glob("checkpoint_step_*.pt"), key=step_of)


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Return the dotted names of the entries that differ between two nested dicts."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({*old, *new})
        inner = (differences(old.get(k), new.get(k), f"{name}.{k}".lstrip(".")) for k in keys)
        return [name for names in inner for name in names]
    same = list(old) == list(new) if _both_lists(old, new) else old == new
    return [] if same else [name or "identity"]


def _both_lists(old: Any, new: Any) -> bool:
    return isinstance(old, (list, tuple)) and isinstance(new, (list, tuple))


def prune(folder: str | Path, keep: int, best: int | None) -> None:
    """Delete the checkpoints of a folder except the last `keep` and that of step `best`."""
    for old in _checkpoints(Path(folder))[:-keep]:
        if step_of(old) != best:
            old.unlink(missing_ok=True)


def step_of(path: Path) -> int:
    """Return the step in the name of a checkpoint; -1 where there is none."""
    digits = path.stem.removeprefix("checkpoint_step_")
    return int(digits) if digits.isdigit() else -1


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


EXPORT_FORMAT = {"format": "exported_transformer", "version": "5"}


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
        **EXPORT_FORMAT,
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
    aside = put_aside(EXPORT_FORMAT["format"])
    trained = restore(weights, config, vocabulary, reached, device, paths.weights, aside)
    check_content(paths.weights, meta["hash"], trained.hash, remake(EXPORT_FORMAT["format"]))
    check_hashes(vocabulary, json.loads(meta["tokenizer_hashes"]), paths.weights)
    return trained


def _read_weights(path: str) -> tuple[Mapping[str, Any], dict[str, str]]:
    arrays, meta = map_tensors(path, EXPORT_FORMAT["format"])
    must = "{format} version {version}".format(**EXPORT_FORMAT)
    found = f"{meta.get('format')} version {meta.get('version')}"
    if found != must:
        raise FormatError(must_be(path, must, found, put_aside(EXPORT_FORMAT["format"])))
    return arrays, meta
