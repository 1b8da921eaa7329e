"""File formats, the rule that makes each, checks of archives, and files that are of no use.

``.npz`` and ``.pt`` files are zip archives, which the workflow writes without compression, and
which are not trusted. The members of such an archive together are no larger than the file, so none
can inflate. Each has a CRC-32, which reveals flipped bits; PyTorch does not check it, nor does
NumPy if an array is smaller than its member. An array header is refused, before any array is
allocated, if NumPy would not write it for plain numbers or text, or if it states another size than
the member's.

Skip notes are files that stand in for the outputs of a job whose cube is bad: a short JSON text
that names the field, the rule and the error. Reading one as the output raises a `SkippedError`. A
later job on the same field then writes skip notes too; a job on many fields leaves the field out.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

import numpy as np

from astromodal.errors import AstromodalError, DataError, FormatError, machine_error, must_be

SKIPPED: Final = "skipped"
"""Format of a skip note, with which the file begins."""
_HEAD = f'{{\n  "format": "{SKIPPED}"'.encode()
_LONGEST = 1 << 20  # byte


@dataclass(frozen=True)
class Skip:
    """A skipped field, the rule that failed on it, and the error message."""

    field: str
    rule: str
    error: str

    def __str__(self) -> str:
        return f"field {self.field} was skipped by {self.rule}: {self.error.rstrip('.')}"


class SkippedError(DataError):
    """An output of a field does not exist because its cube is bad."""

    def __init__(self, skip: Skip) -> None:
        super().__init__(str(skip))
        self.skip = skip


def skip_at(path: str | Path) -> Skip | None:
    """Read the skip note at a path; return None if the file is another one or does not exist."""
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as stream:
        if stream.read(len(_HEAD)) != _HEAD:
            return None
        stream.seek(0)
        try:
            note = json.loads(stream.read(_LONGEST))
            return Skip(*(str(note[name]) for name in ("field", "rule", "error")))
        except (ValueError, KeyError, RecursionError):
            return None  # damaged; readers of the file raise an error


def refuse_skipped(path: str | Path) -> None:
    """Raise `SkippedError` if the file at a path is a skip note."""
    if skip := skip_at(path):
        raise SkippedError(skip)


def usable(paths: Sequence[str | Path]) -> list[str]:
    """Return those files of several fields that are not skip notes.

    Raises
    ------
    DataError
        If all of the files are skip notes.
    """
    skips = list(map(skip_at, paths))
    left = [str(path) for path, skip in zip(paths, skips, strict=True) if skip is None]
    if paths and not left:
        must = "at least one field that was not skipped"
        raise DataError(must_be("what this job reads", must, str(skips[0]), "repair the cubes"))
    return left


DAMAGE = (
    zipfile.BadZipFile,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    RuntimeError,
)
"""Errors raised on reading a damaged archive, or a file that is not one."""

_CHUNK = 1 << 18  # byte
_NPY = re.compile(
    rb"\{'descr': '([<|][biufU][0-9]{1,10})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\), \} *\n"
)


def check_archive(path: str | Path) -> None:
    """Read all of an archive and check its CRCs; raise one of `DAMAGE` if it is damaged."""
    with zipfile.ZipFile(path) as archive:
        for member in members(archive):
            with archive.open(member) as stream:
                while stream.read(_CHUNK):
                    pass  # the last piece is checked against the CRC


def is_whole(path: str | Path) -> bool:
    """Return whether a file is an archive whose members all match their CRCs."""
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in listed):
                return True  # not written by the workflow; its members may be too large to read
        check_archive(path)
    except DAMAGE:
        return False
    return True


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members of an archive; raise `ValueError` if they are compressed or too large.

    The sum of their sizes is compared with the file: overlapping members of a crafted archive would
    exceed it.
    """
    listed = archive.infolist()
    for member in listed:
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError(f"its member {member.filename!r:.80} is compressed")
    size, room = (
        sum(member.file_size for member in listed),
        Path(str(archive.filename)).stat().st_size,
    )
    if size > room:
        raise ValueError(f"its members claim {size} byte of {room}")
    return listed


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a ``.npz`` by name; raise one of `DAMAGE` if it is damaged."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in members(archive):
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = _read(stream, member.file_size)
    return arrays


def read_array(path: str | Path, name: str) -> np.ndarray:
    """Read one array of a ``.npz``; raise one of `DAMAGE` if it is damaged or missing."""
    with zipfile.ZipFile(path) as archive:
        found = {member.filename: member for member in members(archive)}
        member = found[f"{name}.npy"]
        with archive.open(member) as stream:
            return _read(stream, member.file_size)


class NpyHeader(NamedTuple):
    """Shape, memory order and dtype of the array in a ``.npy`` file."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype


def npy_header(stream: IO[bytes], size: int) -> NpyHeader:
    """Read the header of a ``.npy`` file.

    Parameters
    ----------
    stream : binary file
        Stream at the file's start; it is left at the first number.
    size : int
        Size of the whole file (byte).

    Raises
    ------
    ValueError
        If the file does not hold plain numbers or text, or its size is not that of the array.
    """
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not a .npy file of version 1.0")
    length = int.from_bytes(stream.read(2), "little")
    match = _NPY.fullmatch(stream.read(length))
    if match is None:
        raise ValueError("not a .npy file of plain numbers or text")
    shape = tuple(int(part) for part in match[3].decode().split(",") if part.strip())
    dtype = np.dtype(match[1].decode())
    claimed, size = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if claimed != size:
        raise ValueError(f"an array of shape {shape} and {dtype} takes {claimed} byte, not {size}")
    return NpyHeader(shape, match[2] == b"True", dtype)


def _read(stream: IO[bytes], size: int) -> np.ndarray:
    """Read the array of a member piece by piece, without a second copy in memory."""
    shape, fortran, dtype = npy_header(stream, size)
    flat = np.empty(math.prod(shape), dtype)
    if dtype.itemsize:
        room = flat.view(np.uint8)
        for start in range(0, len(room), _CHUNK):
            piece = stream.read(min(_CHUNK, len(room) - start))
            room[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
    return flat.reshape(shape, order="F" if fortran else "C")


MAKERS: Final = {
    "source_index": "index_source",
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
    "similarity_space": "train_index",
    "similarity_vectors": "index_field",
    "similarity_index": "assemble_index",
    "transformer": "train_transformer",
    "exported_transformer": "export_model",
    "ablation_losses": "evaluate_ablation",
    "finetuning": "finetune_label",
    "label_head": "finetune_label",
    "photoz": "export_photoz",
    "audit": "audit",
    "run_lock": "audit",
}
"""The rule that makes the files of each format."""

VERSIONS: Final = {
    "source_index": 1,
    "split": 1,
    "quantile_summaries": 1,
    "spectrum_samples": 5,
    "sky_sample": 1,
    "training_cutouts": 2,
    "scalar_tokenizer": 1,
    "spectrum_codebook": 5,
    "spectrum_tokenizer": 5,
    "image_normaliser": 1,
    "image_autoencoder": 1,
    "image_training_latents": 3,
    "image_codebook": 3,
    "scalar_tokens": 1,
    "spectrum_tokens": 1,
    "image_tokens": 3,
    "image_latents": 1,
    "sequences": 1,
    "similarity_space": 1,
    "similarity_vectors": 1,
    "similarity_index": 1,
    "transformer": 6,
    "exported_transformer": 5,
    "ablation_losses": 2,
    "finetuning": 1,
    "label_head": 1,
    "photoz": 1,
    "audit": 1,
    "run_lock": 1,
}
"""The present version of each format, for checks of files that are not loaded."""


def remake(format: str) -> str:
    """Return advice for a damaged file of a format, whose checksum does not match."""
    return f"delete it and {_run(format)}"


def put_aside(format: str) -> str:
    """Return advice for an intact file of another format, version or shape."""
    return f"use the astromodal that wrote it, or move it away and {_run(format)}"


def _run(format: str) -> str:
    rule = MAKERS.get(format)
    return f"run {rule} again" if rule else "run again"


def unreadable(
    error: Exception, path: str | Path, must: str, format: str, found: str = "", remedy: str = ""
) -> AstromodalError:
    """Return the error to raise for an archive that cannot be read.

    Parameters
    ----------
    error : exception
        The error raised on reading, one of `DAMAGE`.
    path : path
        The archive.
    must, format : str
        What the archive must be, and the name of its format.
    found : str
        What it is instead; the message of `error` if empty.
    remedy : str
        Advice; if empty, to make the file again.

    Returns
    -------
    AstromodalError
        A `MachineError` if disk or memory failed, a `SkippedError` if the field was skipped, else a
        `FormatError`, which advises to delete the file only if its checksums do not match.
    """
    if machine := machine_error(error, path):
        return machine
    if skip := skip_at(path):
        return SkippedError(skip)
    remedy = remedy or (put_aside(format) if is_whole(path) else remake(format))
    return FormatError(must_be(str(path), must, found or str(error), remedy))


def check_content(
    path: str | Path, stored_hash: str | None, content_hash: str | None, remedy: str
) -> None:
    """Raise `FormatError` if the hash of a file's content is not the one stored in it."""
    if content_hash != stored_hash:
        raise FormatError(must_be(str(path), f"of hash {stored_hash}", content_hash, remedy))
