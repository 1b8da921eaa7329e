"""Array files: ``.npz`` files with a format, a version and attributes; never unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.errors import FormatError, must_be
from astromodal.storage.formats import DAMAGE, put_aside, read_arrays, unreadable
from astromodal.storage.tempfiles import atomic_path


@dataclass(frozen=True)
class ArrayFile:
    """Arrays of a file by name, its attributes and its path."""

    arrays: dict[str, np.ndarray]
    attributes: dict[str, Any]
    path: str = ""

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            held = ", ".join(sorted(self.arrays))
            raise FormatError(
                must_be(self.path, f"a file with an array {name!r}", held, put_aside(""))
            )
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays


def check_maker(
    path: str | Path, file: ArrayFile, tokenizer_hash: str | None, what: str, rule: str
) -> None:
    """Raise `FormatError` if a file was made by another tokenizer than that of a hash.

    Parameters
    ----------
    path, file
        The file and its content, whose attribute ``tokenizer_hash`` is checked.
    tokenizer_hash : str, optional
        Expected hash; nothing is checked if None.
    what, rule : str
        Content of the file and the rule that makes it, for the message.
    """
    made_by = file.attributes["tokenizer_hash"]
    if tokenizer_hash is not None and made_by != tokenizer_hash:
        must = f"made by the tokenizer of hash {tokenizer_hash}"
        raise FormatError(must_be(f"{path}: {what}", must, made_by, f"run {rule} again"))


def save_arrays(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    *,
    format: str,
    version: int,
    **attributes: Any,
) -> None:
    """Write arrays to a ``.npz`` file atomically; the same arrays give the same bytes.

    Parameters
    ----------
    path : path
        The file, ending in ``.npz``.
    arrays : mapping
        Arrays of numbers, booleans or text by name; objects are refused. ``meta`` is reserved.
    format, version
        Format and version of the file, which `load_arrays` checks.
    **attributes
        Values that can be stored as JSON, for example ``tokenizer_hash`` and ``input_hash``.
    """
    for name, array in arrays.items():
        if name == "meta" or array.dtype.hasobject:
            raise FormatError(
                must_be(f"{path}: array {name!r}", "of plain numbers or text", array.dtype)
            )
    meta = json.dumps(
        {"format": format, "version": version, **attributes}, sort_keys=True, allow_nan=False
    )
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **{**arrays, "meta": np.array(meta)})


def load_arrays(path: str | Path, *, format: str, version: int) -> ArrayFile:
    """Read a file written by `save_arrays`, without unpickling; no array exceeds the file's size.

    Raises
    ------
    FormatError
        If the file is damaged, or of another format or version.
    SkippedError
        If the field was skipped.
    """
    try:
        arrays = read_arrays(path)
        meta = dict(json.loads(str(arrays.pop("meta"))))
    except (FileNotFoundError, IsADirectoryError):
        raise
    except DAMAGE as error:
        must = f"an array file of astromodal, {format}"
        raise unreadable(error, path, must, format) from error
    found = f"{meta.pop('format', None)} version {meta.pop('version', None)}"
    if found != f"{format} version {version}":
        must = f"{format} version {version}"
        raise FormatError(must_be(str(path), must, found, put_aside(format)))
    return ArrayFile(arrays, meta, str(path))
