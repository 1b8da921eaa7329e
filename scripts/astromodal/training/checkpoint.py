"""Checkpoints: written atomically, read without unpickling code, and pruned.

A run's folder holds the ``checkpoint_step_{n}.pt`` of one run only. ``checkpoints.json`` holds the
identity of that run (its settings and inputs), whether it is finished, and the digest of the code
that finished it. Checkpoints of another run are moved to a subfolder, and moved back when its
settings return. Those of a finished run are reused only by the same code: a job that is repeated
with unchanged inputs then need not train again. Only pruning deletes checkpoints.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from astromodal.storage.hashing import hash_values
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import atomic_path
from astromodal.storage.torch_files import load_state

CHECKPOINT_FORMAT, VERSION = "transformer", 5
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
    target.mkdir(parents=True, exist_ok=True)
    for path in _checkpoints(source):
        path.replace(target / path.name)


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
