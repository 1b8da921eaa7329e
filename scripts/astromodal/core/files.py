"""Files written whole or not at all, and read without ever unpickling.

An array file is a ``.npz`` whose member ``meta`` holds, as JSON text, its format name, its version
and whatever else identifies it (the hash of the tokenizer that made it, of its input columns).
A JSON file of a mapping ends with the hash of the rest. Damage to either is noticed on reading.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from astromodal.core.archives import DAMAGE, is_whole, read_arrays
from astromodal.core.hashing import hash_values
from astromodal.core.leftovers import temporary_prefix
from astromodal.core.skips import SkippedError, skip_at
from astromodal.errors import AstromodalError, FormatError, MachineError, machine_error, must_be

MAKERS: Final = {
    "split": "split_field",
    "quantile_summaries": "sample_scalars",
    "spectrum_samples": "sample_spectra",
    "sky_sample": "sample_images",
    "training_cutouts": "prepare_cutouts",
    "scalar_tokenizer": "train_scalar_tokenizer",
    "spectrum_codebook": "train_spectrum_codebook",
    "spectrum_tokenizer": "assemble_spectrum_tokenizer",
    "image_normaliser": "train_image_normaliser",
    "image_autoencoder": "train_image_autoencoder",
    "image_training_latents": "train_image_autoencoder",
    "image_codebook": "train_image_codebook",
    "scalar_tokens": "encode_scalars",
    "spectrum_tokens": "encode_spectra",
    "image_tokens": "encode_images",
    "image_latents": "encode_images",
    "sequences": "pack_sequences",
    "transformer": "train_transformer",
    "exported_transformer": "export_model",
    "ablation_losses": "evaluate_ablation",
}
"""The rule that makes a file of each format."""
_HASH = "content_hash"
"""Key of a JSON file's hash of everything else in it."""


def remake(format: str) -> str:
    """What to do about a file of a format that is damaged: its own checksum fails."""
    return f"delete it and {_run(format)}"


def put_aside(format: str) -> str:
    """What to do about a file that is whole, but of another format, version or shape."""
    return f"use the astromodal that wrote it, or move it away and {_run(format)}"


def _run(format: str) -> str:
    rule = MAKERS.get(format)
    return f"run {rule} again" if rule else "run again"


def unreadable(
    error: Exception, path: str | Path, must: str, format: str, found: str = "", remedy: str = ""
) -> AstromodalError:
    """What an error in reading an archive comes to.

    Parameters
    ----------
    error : exception
        One of `DAMAGE`.
    path : path
        The archive.
    must, format : str
        What it must be, and its format's name.
    found : str
        What it was found to be; what `error` says where empty.
    remedy : str
        What to do about it; to make it again where empty.

    Returns
    -------
    AstromodalError
        The machine's, where that could not read it; that of a skipped field; else one of the file,
        which advises to delete it only where the checksums of the archive fail.
    """
    if machine := machine_error(error, path):
        return machine
    if skip := skip_at(path):
        return SkippedError(skip)
    remedy = remedy or (put_aside(format) if is_whole(path) else remake(format))
    return FormatError(must_be(str(path), must, found or str(error), remedy))


@contextmanager
def storing(path: str | Path) -> Iterator[None]:
    """Inside, a full, read-only or broken disk is an error that names `path` and what to do."""
    try:
        yield
    except Exception as error:
        told = machine_error(error, path)
        if told is None or told is error:
            raise
        raise told from error


def check_writable(folder: str | Path) -> None:
    """Raise `MachineError` where no file can be made in a folder, which is made where it is not."""
    folder = _linked(folder)
    with storing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def _linked(path: str | Path) -> Path:
    """The folder that a symbolic link leads to; a link itself cannot be made a folder.

    Any other path is given back as it is.

    Raises
    ------
    MachineError
        Where not even the folder that it should be in is there: a disk is not mounted.
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        must, do = "a link into a folder that is there", "mount that disk, or mend the link"
        raise MachineError(must_be(str(path), must, f"one to {target}", do))
    return target


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it to `path` at the end.

    The file appears whole or not at all: after an error nothing is left, and an older file stands.
    Where `path` is a symbolic link, the file takes its place, and what it leads to stays as it is.
    What a killed process leaves, `clear_leftovers` finds by its name.

    Raises
    ------
    MachineError
        Where the disk is full, read-only or broken.
    """
    path = Path(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(path.suffix, temporary_prefix(path), path.parent)
        os.fchmod(handle, 0o600)  # whatever the mask says, which may take the owner's own rights
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask | 0o600)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, values: object) -> None:
    """Write `values` as indented JSON, atomically; NaN and infinity are refused.

    A mapping is given the hash of its content under ``content_hash``, which `read_json` takes away.
    """
    if isinstance(values, Mapping):
        plain = json.loads(json.dumps(values, allow_nan=False))  # as it will be read
        values = {**plain, _HASH: hash_values(plain)}
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    FormatError
        Where it is none, or its content is not that of the hash in it. One without a hash, which
        somebody else wrote, is taken as it is.
    """
    remedy = remake("")
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        stored = values.pop(_HASH, None) if isinstance(values, dict) else None
        found = hash_values(values) if stored is not None else None
    except (ValueError, RecursionError) as error:
        raise FormatError(must_be(str(path), "a JSON file", str(error), remedy)) from error
    check_content(path, stored, found, remedy)
    return values


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of a file by name, and the `attributes` that it carries."""

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


def check_content(
    path: str | Path, stored_hash: str | None, content_hash: str | None, remedy: str
) -> None:
    """Raise `FormatError` where a file's content is not what it was hashed as when written."""
    if content_hash != stored_hash:
        raise FormatError(must_be(str(path), f"of hash {stored_hash}", content_hash, remedy))


def check_maker(
    path: str | Path, file: ArrayFile, tokenizer_hash: str | None, what: str, rule: str
) -> None:
    """Raise `FormatError` where codes were made by another tokenizer than that of a hash.

    Parameters
    ----------
    path, file
        The file, and what was read from it; its attribute ``tokenizer_hash`` tells the maker.
    tokenizer_hash : str, optional
        Hash of the tokenizer that it should be; nothing is checked where None.
    what, rule : str
        What the file holds, and the rule that makes it, for the message.
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
    """Write `arrays` to a ``.npz`` file, atomically; the same arrays give the same bytes.

    Parameters
    ----------
    path : path
        The file, ending in ``.npz``.
    arrays : mapping
        Arrays of numbers, booleans or text by name; objects are refused. ``meta`` is reserved.
    format, version
        What kind of file this is; `load_arrays` refuses another.
    **attributes
        Values that JSON can hold, for example ``tokenizer_hash`` and ``input_hash``.
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
    """Read a file of `save_arrays`; never unpickle, nor make an array that is larger than the file.

    Raises
    ------
    FormatError
        Where the file is damaged, or of another format or version.
    SkippedError
        Where the field was skipped.
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
