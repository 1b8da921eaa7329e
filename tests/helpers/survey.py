"""A tiny survey in tokens: codes with structure, their sequences on disk, their centroids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from astromodal.config.schema import (
    ImageSettings,
    ScalarSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.vocab import MISSING_CODE
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SequenceLayout, sequence_layout
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from astromodal.sequences.tokenizers import CentroidTables

SCALAR = ScalarSettings(columns=("a", "b", "c"), n_bins=16)
SPECTRUM = SpectrumSettings(
    groups=("desi_b", "desi_r"), codebook_size=16, max_spec_tokens_per_group=16
)
IMAGE = ImageSettings(bands=("R",), size=8, codebook_size=16, latent_dim=2)
TOKENIZERS = TokenizerSettings(scalar=SCALAR, spectrum=SPECTRUM, image=IMAGE)
HASHES = {"scalar": "s", "spectrum": "p", "image": "i"}


@dataclass(frozen=True)
class Survey:
    layout: SequenceLayout
    codes: dict[str, BlockCodes]
    split: np.ndarray
    tables: CentroidTables
    path: Path

    def sequences(self) -> SequenceSet:
        return SequenceSet([self.path], self.layout)


def make_codes(layout: SequenceLayout, n: int, seed: int) -> dict[str, BlockCodes]:
    """Codes that all follow one hidden brightness, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 16, n)
    rows = np.arange(n, dtype=np.int32)
    ids = np.array([f"F{seed}-{i}é" for i in rows], dtype=np.str_)
    codes = {}
    for block in layout.blocks:
        has = np.ones(n, bool) if block.name == "scalar" else rng.random(n) < 0.5
        noise = rng.integers(-1, 2, (n, block.length))
        found = np.clip(level[:, None] + noise, 0, 15).astype(np.uint16)
        if block.name != "image":
            found[rng.random(found.shape) < 0.2] = MISSING_CODE
        codes[block.name] = BlockCodes(found[has], rows[has], ids[has], f"{block.name}.npz")
    return codes


def make_tables(layout: SequenceLayout) -> CentroidTables:
    line = np.linspace(-1, 1, 16, dtype=np.float32)
    pair = np.stack([line, line[::-1] ** 2], axis=1)
    groups = layout.spec.spectrum_groups
    columns = layout.spec.n_columns
    return CentroidTables(
        image=pair,
        scalar=np.tile(line, (columns, 1)),
        spectrum={g: pair + i for i, g in enumerate(groups)},
        n_image=16,
        n_scalar=np.full(columns, 16),
        n_spectrum=dict.fromkeys(groups, 16),
    )


def legal_ids(layout, type, slot):
    """First id and number of ids that are legal in a slot (0 the first after SEP)."""
    for ids in layout.of_type(type).ranges:
        if ids.first <= slot < ids.first + ids.n_slots:
            return ids.offset + ids.stride * (slot - ids.first), ids.size
    raise LookupError


@pytest.fixture
def layout() -> SequenceLayout:
    return sequence_layout(TOKENIZERS)


@pytest.fixture
def survey(tmp_path, layout) -> Survey:
    codes = make_codes(layout, 120, seed=1)
    split = np.where(np.arange(120) % 5 == 0, 1, 0).astype(np.uint8)
    path = tmp_path / "datacube_F1_sequences.safetensors"
    write_sequences(path, pack_objects(layout, codes, split), layout, HASHES)
    return Survey(layout, codes, split, make_tables(layout), path)
