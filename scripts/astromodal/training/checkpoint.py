"""Checkpoints: written whole or not at all, read without unpickling code, pruned.

A run's folder holds ``checkpoint_step_{n}.pt`` and, while the run is unfinished, ``resume.json``,
which names the last checkpoint and what the run was a run of. A finished run has none, so that
training asked for again (after a change of the code, say) begins anew.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from astromodal.core.files import atomic_path, read_json, write_json
from astromodal.errors import FormatError, must_be

FORMAT, VERSION = "transformer", 1
_POINTER = "resume.json"


def save_model(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, atomically.

    Parameters
    ----------
    path : path
        The file.
    state : mapping
        Tensors, numbers, text, and dicts and lists of them.
    """
    with atomic_path(path) as temporary:
        torch.save({"format": FORMAT, "version": VERSION, **state}, temporary)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; no code in it is run.

    Raises
    ------
    FormatError
        Where the file is damaged or no checkpoint of this version.
    """
    must = f"{FORMAT} version {VERSION}"
    try:
        # PyTorch takes what is no archive for a bare pickle, and fails at it in many ways.
        if not zipfile.is_zipfile(path):
            raise RuntimeError("no archive")
        state = torch.load(path, map_location=device, weights_only=True)
        found = f"{state['format']} version {state['version']}"
    except (RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        found = f"a file that cannot be read ({type(error).__name__})"
    if found != must:
        raise FormatError(must_be(str(path), must, found, "delete it and train again"))
    return dict(state)


def point_to(checkpoint: str | Path, identity: Mapping[str, Any]) -> None:
    """Say which checkpoint an unfinished run goes on from, and what it is a run of."""
    checkpoint = Path(checkpoint)
    write_json(
        checkpoint.parent / _POINTER, {"checkpoint": checkpoint.name, "identity": dict(identity)}
    )


def find_resumable(
    folder: str | Path, identity: Mapping[str, Any]
) -> tuple[Path | None, list[str]]:
    """The checkpoint that a run goes on from.

    Parameters
    ----------
    folder : path
        The run's folder.
    identity : mapping
        Settings and hashes of inputs, nested.

    Returns
    -------
    path or None
        The last checkpoint of an unfinished run of the same identity.
    list of str
        Dotted names of what differs, where there is an unfinished run of another identity.
    """
    pointer = Path(folder) / _POINTER
    if not pointer.exists():
        return None, []
    stored = read_json(pointer)
    differing = differences(stored["identity"], identity)
    checkpoint = pointer.parent / stored["checkpoint"]
    return (None if differing or not checkpoint.exists() else checkpoint), differing


def finish(folder: str | Path) -> None:
    """Say that a run is finished."""
    (Path(folder) / _POINTER).unlink(missing_ok=True)


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Dotted names of what differs between two nests of dicts."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({*old, *new})
        inner = (differences(old.get(k), new.get(k), f"{name}.{k}".lstrip(".")) for k in keys)
        return [found for each in inner for found in each]
    same = list(old) == list(new) if _both_lists(old, new) else old == new
    return [] if same else [name]


def _both_lists(old: Any, new: Any) -> bool:
    return isinstance(old, (list, tuple)) and isinstance(new, (list, tuple))


def prune(folder: str | Path, keep: int) -> None:
    """Delete all but the last `keep` checkpoints of a folder."""
    found = sorted(Path(folder).glob("checkpoint_step_*.pt"), key=step_of)
    for old in found[:-keep]:
        old.unlink(missing_ok=True)


def step_of(path: Path) -> int:
    """Step that a checkpoint's name tells; -1 for a name that tells none."""
    digits = path.stem.removeprefix("checkpoint_step_")
    return int(digits) if digits.isdigit() else -1
