"""Packing: a field's token files become its sequence file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.splits import load_split
from astromodal.errors import FormatError, must_be
from astromodal.sequences.layout import IMAGE, SCALAR, SPECTRUM, Block, SequenceLayout
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from astromodal.storage.arrays import ArrayFile, load_arrays
from astromodal.surveys.registry import spectrum_group


def pack_field(
    scalar_tokens: str | Path,
    spectrum_tokens: str | Path,
    image_tokens: str | Path,
    split: str | Path,
    layout: SequenceLayout,
    path: str | Path,
) -> dict[str, int]:
    """Join a field's tokens by row and write its sequences.

    Parameters
    ----------
    scalar_tokens, spectrum_tokens, image_tokens : path
        The field's token files; the rows of the first are the objects.
    split : path
        The field's split file.
    layout : SequenceLayout
        The layout of sequences.
    path : path
        The file to write.

    Returns
    -------
    dict
        Number of ``objects``, of ``tokens``, of objects with each block, and, for each group of
        light curves (``ztf_r cut``), of light curves with more epochs than a block has slots.

    Raises
    ------
    FormatError
        Where a file is damaged, the files disagree on a row's id, or codes do not fit the layout.
    """
    rows = load_split(split)
    stored = {
        SCALAR: load_arrays(scalar_tokens, format="scalar_tokens", version=1),
        SPECTRUM: load_arrays(spectrum_tokens, format="spectrum_tokens", version=1),
        IMAGE: load_arrays(image_tokens, format="image_tokens", version=3),
    }
    codes = {
        SCALAR: _rows_of(stored[SCALAR], stored[SCALAR]["codes"], str(scalar_tokens)),
        IMAGE: _cutouts(stored[IMAGE], str(image_tokens)),
        **{
            block.name: (_curves if spectrum_group(block.name).ragged else _spectra)(
                stored[SPECTRUM], block, str(spectrum_tokens)
            )
            for block in layout.groups()
        },
    }
    _check_split(codes[SCALAR], rows.ids, str(split))
    arrays = pack_objects(layout, codes, rows.split)
    hashes = {name: file.attributes["tokenizer_hash"] for name, file in stored.items()}
    write_sequences(path, arrays, layout, hashes)
    counts = {
        block.name: int((arrays["block_type"] == block.type).sum()) for block in layout.blocks
    }
    for block in layout.groups():
        if spectrum_group(block.name).ragged:
            counts[f"{block.name} cut"] = _count_cut(stored[SPECTRUM], block, arrays["row"])
    return {"objects": len(arrays["row"]), "tokens": len(arrays["tokens"]), **counts}


def _rows_of(file: ArrayFile, codes: np.ndarray, source: str) -> BlockCodes:
    return BlockCodes(codes, file["row"], file["ids"], source)


def _known(block: BlockCodes, first: int = 0) -> BlockCodes:
    """Return the objects with a known code from slot `first` on; the others have no measurement."""
    known = (block.codes[:, first:] != MISSING_CODE).any(axis=1)
    return BlockCodes(block.codes[known], block.row[known], block.ids[known], block.source)


def _cutouts(file: ArrayFile, source: str) -> BlockCodes:
    """Return brightness and image codes of the objects with a cutout that has image codes."""
    codes = np.concatenate([file["brightness"], file["codes"]], axis=1)
    return _known(_rows_of(file, codes, source), first=file["brightness"].shape[1])


def _spectra(file: ArrayFile, block: Block, source: str) -> BlockCodes:
    """Return scale code and bins of the objects with a spectrum of a group."""
    indptr = file[f"{block.name}_indptr"]
    lengths = np.diff(indptr)
    has = lengths > 0
    bins = block.length - 1
    if (lengths[has] != bins).any():
        what, must = f"{source}: {block.name} spectra", f"of {bins} bins"
        got = str(int(lengths[has & (lengths != bins)][0]))
        raise FormatError(must_be(what, must, got, "encode with this config"))
    flat = file[f"{block.name}_codes"]
    codes = np.empty((int(has.sum()), block.length), dtype=np.uint16)
    codes[:, 0] = file[f"{block.name}_scale"][has]
    codes[:, 1:] = flat[indptr[:-1][has][:, None] + np.arange(bins)]
    return _known(BlockCodes(codes, file["row"][has], file["ids"][has], source), first=1)


def _curves(file: ArrayFile, block: Block, source: str) -> BlockCodes:
    """Return scale code and first epochs of the objects with a light curve; others are missing."""
    indptr = file[f"{block.name}_indptr"]
    lengths = np.diff(indptr)
    has = lengths > 0
    kept = np.minimum(lengths[has], block.length - 1)
    inside = np.arange(block.length - 1) < kept[:, None]
    codes = np.full((len(kept), block.length), MISSING_CODE, dtype=np.uint16)
    codes[:, 0] = file[f"{block.name}_scale"][has]
    places = indptr[:-1][has][:, None] + np.arange(block.length - 1)
    codes[:, 1:][inside] = file[f"{block.name}_codes"][places[inside]]
    return BlockCodes(codes, file["row"][has], file["ids"][has], source)


def _count_cut(file: ArrayFile, block: Block, rows: np.ndarray) -> int:
    """Return the number of light curves at `rows` that are longer than their block."""
    longer = np.diff(file[f"{block.name}_indptr"]) > block.length - 1
    return int((longer & np.isin(file["row"], rows)).sum())


def _check_split(objects: BlockCodes, ids: np.ndarray, source: str) -> None:
    """Raise `FormatError` where the split file has other ids at the rows of the objects."""
    inside = objects.row < len(ids)
    wrong = np.flatnonzero(~inside | (ids[np.where(inside, objects.row, 0)] != objects.ids))
    if len(wrong):
        row, must = int(objects.row[wrong[0]]), repr(str(objects.ids[wrong[0]]))
        got = repr(str(ids[row])) if row < len(ids) else f"{len(ids)} rows"
        what = f"id of row {row} in {source}"
        raise FormatError(
            must_be(what, f"{must} as in {objects.source}", got, "split the cube again")
        )
