"""File formats, the rule that makes each, and errors for files that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from astromodal.errors import AstromodalError, FormatError, machine_error, must_be
from astromodal.storage.archives import is_whole
from astromodal.storage.skips import SkippedError, skip_at

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
"""The rule that makes the files of each format."""


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
