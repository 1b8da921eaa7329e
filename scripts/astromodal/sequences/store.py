"""Objects as blocks of token ids, in one memory-mapped file per field.

A file is a ``.safetensors`` (https://github.com/huggingface/safetensors) with
``tokens`` int32, all blocks of all objects with their SEPs, in the layout's order;
``block_ptr`` int64 (blocks + 1,), the start of each block in `tokens`, and the end;
``block_type`` uint8 (blocks,), the token types;
``object_ptr`` int64 (objects + 1,), the start of each object among the blocks, and the end;
``split`` uint8 (objects,); ``row`` int32 (objects,), the row in the cube;
``id_bytes`` uint8 and ``id_ptr`` int64 (objects + 1,), the ids in UTF-8.
The metadata of its header hold format, version, and the hashes of vocabulary, tokenizers, content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from astromodal.core.vocab import MISS, MISSING_CODE, SEP
from astromodal.data.splits import load_split
from astromodal.errors import FormatError, must_be
from astromodal.sequences.layout import IMAGE, SCALAR, SPECTRUM, Block, SequenceLayout
from astromodal.storage.arrays import ArrayFile, load_arrays, map_format, save_tensors
from astromodal.storage.formats import check_content, remake
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.surveys.registry import spectrum_group

FORMAT, VERSION = "sequences", "1"
_ARRAYS = (
    "tokens", "block_ptr", "block_type", "object_ptr", "split", "row", "id_bytes", "id_ptr",
)  # fmt: skip


@dataclass(frozen=True)
class BlockCodes:
    """The codes of one kind of block, for the objects that have it.

    Attributes
    ----------
    codes : uint16 (m, slots)
        Codes, slot by slot; 65535 where missing.
    row : int32 (m,)
        Row of each object in the cube, ascending.
    ids : unicode (m,)
        Their ids.
    source : str
        File that they were read from, for errors.
    """

    codes: np.ndarray
    row: np.ndarray
    ids: np.ndarray
    source: str


def pack_objects(
    layout: SequenceLayout, codes: Mapping[str, BlockCodes], split: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays of a sequence file.

    Parameters
    ----------
    layout : SequenceLayout
        The layout. A block without an entry in `codes` is absent from all objects.
    codes : mapping of str to BlockCodes
        Codes by block name. The rows of ``scalar`` are the objects; rows of other blocks that are
        not among them are left out.
    split : uint8 (rows of the cube,)
        Split of each row.

    Raises
    ------
    FormatError
        Where two files have different ids of a row, or a code is beyond its range.
    """
    objects = codes["scalar"]
    present = np.zeros((len(objects.row), len(layout.blocks)), dtype=bool)
    kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for i, block in enumerate(layout.blocks):
        if block.name in codes:
            place, source = _join(objects, codes[block.name])
            present[place, i] = True
            kept[block.name] = (place, _token_ids(block, codes[block.name], source))
    lengths = np.where(present, [1 + block.length for block in layout.blocks], 0)
    ends = np.cumsum(lengths, dtype=np.int64).reshape(present.shape)
    tokens = np.empty(int(ends[-1, -1]) if ends.size else 0, dtype=np.int32)
    for i, block in enumerate(layout.blocks):
        if block.name in kept:
            place, ids = kept[block.name]
            tokens[(ends[place, i] - lengths[place, i])[:, None] + np.arange(1 + block.length)] = (
                ids
            )
    types = np.array([block.type for block in layout.blocks], dtype=np.uint8)
    encoded = [text.encode() for text in objects.ids.tolist()]
    return {
        "tokens": tokens,
        "block_ptr": _pointers(lengths[present]),
        "block_type": np.broadcast_to(types, present.shape)[present],
        "object_ptr": _pointers(present.sum(axis=1)),
        "split": split[objects.row].astype(np.uint8),
        "row": objects.row.astype(np.int32),
        "id_bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "id_ptr": _pointers(np.array([len(text) for text in encoded], dtype=np.int64)),
    }


def _join(objects: BlockCodes, block: BlockCodes) -> tuple[np.ndarray, np.ndarray]:
    """Return the common rows of `objects` and `block`, as indices into each."""
    _, place, source = np.intersect1d(
        objects.row, block.row, assume_unique=True, return_indices=True
    )
    differ = np.flatnonzero(objects.ids[place] != block.ids[source])
    if len(differ):
        at = int(differ[0])
        row, ids = int(objects.row[place[at]]), (objects.ids[place[at]], block.ids[source[at]])
        what = f"id of row {row} in {block.source}"
        must = f"{str(ids[0])!r} as in {objects.source}"
        raise FormatError(must_be(what, must, repr(str(ids[1])), "encode both from the same cube"))
    return place, source


def _token_ids(block: Block, codes: BlockCodes, source: np.ndarray) -> np.ndarray:
    """Return token ids with SEP, int32 (m, 1 + slots), of the rows `source` of `codes`."""
    if codes.codes.shape[1] != block.length:
        what, must = f"{codes.source}: {block.name} codes", f"{block.length} per object"
        raise FormatError(must_be(what, must, str(codes.codes.shape[1]), "encode with this config"))
    out = np.full((len(source), 1 + block.length), SEP, dtype=np.int32)
    for ids in block.ranges:
        slots = slice(ids.first, ids.first + ids.n_slots)
        own = codes.codes[source, slots].astype(np.int32)
        missing = own == MISSING_CODE
        if (own[~missing] >= ids.size).any():
            what, got = f"{codes.source}: {block.name} codes", str(own[~missing].max())
            raise FormatError(must_be(what, f"below {ids.size}", got, "encode with this config"))
        offsets = ids.offset + ids.stride * np.arange(ids.n_slots, dtype=np.int32)
        out[:, 1 + ids.first : 1 + ids.first + ids.n_slots] = np.where(missing, MISS, own + offsets)
    return out


def _pointers(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def vocab_hash(layout: SequenceLayout) -> str:
    """Return the hash of the vocabulary and of the slots of all blocks."""
    blocks = [[block.name, block.type, block.length] for block in layout.blocks]
    return hash_values({"vocab": layout.spec.as_dict(), "blocks": blocks})


def write_sequences(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    layout: SequenceLayout,
    tokenizer_hashes: Mapping[str, str],
) -> None:
    """Write the arrays of a sequence file, atomically.

    Parameters
    ----------
    path : path
        The file.
    arrays : mapping
        The result of `pack_objects`.
    layout : SequenceLayout
        Their layout.
    tokenizer_hashes : mapping
        Hash of the tokenizer of each modality.
    """
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "vocab_hash": vocab_hash(layout),
        "tokenizer_hashes": json.dumps(dict(tokenizer_hashes), sort_keys=True),
        "content_hash": hash_arrays(arrays),
    }
    save_tensors(path, arrays, meta)


@dataclass(frozen=True)
class SequenceStore:
    """The sequences of one field, memory-mapped: arrays as the module's docstring lists them."""

    path: Path
    tokens: np.ndarray
    block_ptr: np.ndarray
    block_type: np.ndarray
    object_ptr: np.ndarray
    split: np.ndarray
    row: np.ndarray
    id_bytes: np.ndarray
    id_ptr: np.ndarray
    meta: dict[str, str]

    @classmethod
    def open(cls, path: str | Path) -> SequenceStore:
        """Map a file of `write_sequences`; arrays are read when they are used, or by `verify`.

        Raises
        ------
        FormatError
            Where the file is damaged or of another format or version.
        SkippedError
            Where the field was skipped.
        """
        arrays, meta = map_format(path, FORMAT, VERSION, _ARRAYS)
        return cls(path=Path(path), meta=meta, **arrays)

    def verify(self) -> None:
        """Read the whole file; raise `FormatError` where its content was changed."""
        content = hash_arrays({name: getattr(self, name) for name in _ARRAYS})
        check_content(self.path, self.meta.get("content_hash"), content, remake(FORMAT))

    def __len__(self) -> int:
        return len(self.row)

    @property
    def tokenizer_hashes(self) -> dict[str, str]:
        """Hash of the tokenizer of each modality."""
        return dict(json.loads(self.meta["tokenizer_hashes"]))

    @cached_property
    def pattern(self) -> np.ndarray:
        """Blocks of each object, uint32 (objects,): bit t is set where it has that of type t."""
        bits = np.left_shift(np.uint32(1), self.block_type.astype(np.uint32))
        if not len(self):
            return np.empty(0, dtype=np.uint32)
        return np.bitwise_or.reduceat(bits, self.object_ptr[:-1])

    def id(self, index: int) -> str:
        """Return the id of an object."""
        return self.id_bytes[self.id_ptr[index] : self.id_ptr[index + 1]].tobytes().decode()

    def ids(self) -> np.ndarray:
        """Return the ids of all objects, unicode (objects,)."""
        return np.array([self.id(i) for i in range(len(self))], dtype=np.str_)

    def blocks(self, objects: np.ndarray, block: Block) -> np.ndarray:
        """Return ids of a block with its SEP, int32 (m, 1 + slots), of objects that have it."""
        before = self.pattern[objects] & np.uint32((1 << block.type) - 1)
        number = self.object_ptr[objects] + np.bitwise_count(before)
        return self.tokens[self.block_ptr[number][:, None] + np.arange(1 + block.length)]


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
