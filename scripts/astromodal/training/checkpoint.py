"""Checkpoints: written whole or not at all, read without unpickling code, pruned.

A run's folder holds ``checkpoint_step_{n}.pt`` of one run alone, and ``checkpoints.json``, which
says of which (its settings and inputs) and whether it is finished, and by what code. Another run's
checkpoints are set aside in a folder of their own beneath, and taken up again when its settings
return. A finished run's are good only for the very code that made them: a job that runs again
because something before it did, and made the same, need not train again. Nothing is deleted but
what the run itself prunes.
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

CHECKPOINT_FORMAT, VERSION = "transformer", 2
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
    """Equal values in containers of their own, with one object for equal texts.

    A pickle refers back to an object that it has met: after a resumption, which reads some of them
    from a file, other objects are shared than in one go.
    """
    if isinstance(value, Mapping):
        return {_afresh(key): _afresh(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_afresh(item) for item in value)
    return sys.intern(value) if type(value) is str else value


def load_model(path: str | Path, remedy: str = "") -> dict[str, Any]:
    """Read a checkpoint, its tensors to the CPU; no code in it is run.

    Parameters
    ----------
    path : path
        The file.
    remedy : str
        What to do about one that is damaged or of another kind; to make it again where empty.

    Raises
    ------
    FormatError
        Where the file is damaged or no checkpoint of this version.
    """
    return load_state(path, CHECKPOINT_FORMAT, VERSION, remedy)


def open_folder(
    folder: str | Path, identity: Mapping[str, Any], logger: logging.Logger, code: str = ""
) -> Path | None:
    """Make a folder that of one run, and find the checkpoint that it goes on from.

    Parameters
    ----------
    folder : path
        The run's folder.
    identity : mapping
        Settings and hashes of inputs, nested: what the run is a run of.
    logger : logging.Logger
        Told what was set aside, with the dotted names of what differs, and what was taken up.
    code : str
        Digest of the code that trains; empty where it is not known.

    Returns
    -------
    path or None
        The last checkpoint of a run of the same identity: of an unfinished one, which the code may
        have changed since, or of one that the same code finished.
    """
    folder = Path(folder)
    known = folder / _RUN
    stored = read_json(known) if known.exists() else {"identity": None, "finished": False}
    differing = differences(stored["identity"], identity)
    found = _checkpoints(folder)
    if found and (differing or (stored["finished"] and not _made_by(code, stored))):
        aside = _set_aside(folder, stored)
        of = f"with another {', '.join(differing)}" if differing else "that is finished"
        logger.warning("checkpoints of a run %s are kept in %s", of, aside)
    # Said before any is moved here: killed in between, the next start finds each with its own.
    write_json(known, {"identity": dict(identity), "finished": False})
    _take_up(folder, identity, logger, code)
    return next(reversed(_checkpoints(folder)), None)


def finish(folder: str | Path, code: str = "") -> None:
    """Say that a folder's run is finished, and by code of which digest."""
    known = Path(folder) / _RUN
    write_json(known, {**read_json(known), "finished": True, "code": code})


def _made_by(code: str, stored: Mapping[str, Any]) -> bool:
    """Whether code of a digest finished a run."""
    return bool(code) and stored.get("code") == code


def _aside(folder: Path, identity: Any, finished: bool) -> Path:
    """Where checkpoints of an identity are set aside."""
    return folder / _ASIDE / (hash_values(identity) + ("_finished" if finished else ""))


def _set_aside(folder: Path, stored: Mapping[str, Any]) -> Path:
    """Move a folder's checkpoints to where others do not mix with them."""
    aside = _aside(folder, stored["identity"], stored["finished"])
    _move(folder, aside)
    write_json(aside / _RUN, dict(stored))
    return aside


def _take_up(folder: Path, identity: Mapping[str, Any], logger: logging.Logger, code: str) -> None:
    """Move checkpoints of this identity back: of an unfinished run, or of one of the same code."""
    unfinished, finished = (_aside(folder, identity, of_finished) for of_finished in (False, True))
    same_code = finished.is_dir() and _made_by(code, read_json(finished / _RUN))
    kept = unfinished if unfinished.is_dir() else finished if same_code else None
    if kept is not None:
        logger.info("takes up the checkpoints of these settings from %s", kept)
        _move(kept, folder)
        (kept / _RUN).unlink(missing_ok=True)
        kept.rmdir()


def last_aside(folder: str | Path) -> Path | None:
    """The checkpoint that was written last of all that are set aside; None without any."""
    found = (Path(folder) / _ASIDE).glob("*/checkpoint_step_*.pt")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, step_of(path)), default=None)


def _move(source: Path, target: Path) -> None:
    """Move the checkpoints of a folder; of equal names the moved one stays."""
    target.mkdir(parents=True, exist_ok=True)
    for path in _checkpoints(source):
        path.replace(target / path.name)


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, by step."""
    return sorted(folder.glob("checkpoint_step_*.pt"), key=step_of)


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Dotted names of what differs between two nests of dicts."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({*old, *new})
        inner = (differences(old.get(k), new.get(k), f"{name}.{k}".lstrip(".")) for k in keys)
        return [found for each in inner for found in each]
    same = list(old) == list(new) if _both_lists(old, new) else old == new
    return [] if same else [name or "identity"]


def _both_lists(old: Any, new: Any) -> bool:
    return isinstance(old, (list, tuple)) and isinstance(new, (list, tuple))


def prune(folder: str | Path, keep: int, best: int | None) -> None:
    """Delete all but the last `keep` checkpoints of a folder, and that of the step `best`."""
    for old in _checkpoints(Path(folder))[:-keep]:
        if step_of(old) != best:
            old.unlink(missing_ok=True)


def step_of(path: Path) -> int:
    """Step that a checkpoint's name tells; -1 for a name that tells none."""
    digits = path.stem.removeprefix("checkpoint_step_")
    return int(digits) if digits.isdigit() else -1
