"""Sequences of made-up codes, of objects with the survey's modalities, in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from astromodal.config.schema import TokenizerSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import Block, SequenceLayout, sequence_layout
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from astromodal.sequences.tokenizers import CentroidTables

DESI = ("desi_b", "desi_r", "desi_z")
SCALARS_ONLY: tuple[str, ...] = ("scalar",)
WITH_IMAGE = ("scalar", "image")
WITH_DESI = ("scalar", *DESI)
ALL = ("scalar", "image", *DESI)


def default_layout() -> SequenceLayout:
    """The layout of the default config."""
    return sequence_layout(TokenizerSettings())


def made_up_tables(layout: SequenceLayout) -> CentroidTables:
    """Centroids of a full vocabulary."""
    rng = np.random.default_rng(0)
    spec, groups = layout.spec, layout.spec.spectrum_groups
    scalar = np.sort(rng.normal(size=(spec.n_columns, spec.n_bins)), axis=1)
    return CentroidTables(
        image=rng.normal(size=(spec.v_image, 2)).astype(np.float32),
        scalar=scalar.astype(np.float32),
        spectrum={g: rng.normal(size=(spec.v_spectra, 2)).astype(np.float32) for g in groups},
        n_image=spec.v_image,
        n_scalar=np.full(spec.n_columns, spec.n_bins),
        n_spectrum=dict.fromkeys(groups, spec.v_spectra),
    )


def write_survey(
    path: Path, layout: SequenceLayout, kinds: Sequence[tuple[tuple[str, ...], int]], seed: int = 0
) -> SequenceSet:
    """Write objects with the blocks of each kind, as many as stand beside it, in random order."""
    rng = np.random.default_rng(seed)
    blocks = [names for names, count in kinds for _ in range(count)]
    order = rng.permutation(len(blocks))
    codes = {
        block.name: _codes(block, np.flatnonzero([block.name in blocks[i] for i in order]), rng)
        for block in layout.blocks
    }
    split = np.zeros(len(blocks), dtype=np.uint8)
    hashes: Mapping[str, str] = dict.fromkeys(("scalar", "spectrum", "image"), "made up")
    write_sequences(path, pack_objects(layout, codes, split), layout, hashes)
    return SequenceSet([path], layout)


def _codes(block: Block, rows: np.ndarray, rng: np.random.Generator) -> BlockCodes:
    """Codes drawn evenly; a fifth of the scalars are missing."""
    codes = np.empty((len(rows), block.length), dtype=np.uint16)
    for ids in block.ranges:
        slots = slice(ids.first, ids.first + ids.n_slots)
        codes[:, slots] = rng.integers(0, ids.size, (len(rows), ids.n_slots))
    if block.name == "scalar":
        codes[rng.random(codes.shape) < 0.2] = MISSING_CODE
    return BlockCodes(codes, rows.astype(np.int32), rows.astype(np.str_), block.name)
