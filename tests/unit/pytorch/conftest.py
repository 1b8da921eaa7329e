"""Sequences and cubes of two fields, and configs that name what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.config.schema import Config
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.store import pack_objects, write_sequences
from helpers.model import CONFIG, cube_table
from helpers.survey import HASHES, TOKENIZERS, make_codes

N_OBJECTS, N_ROWS = (70, 31), (200, 90)
"""Objects of the fields' sequences, and rows of their cubes."""
SIZES = (32, 50)
"""Rows of a row group of each cube."""


@dataclass(frozen=True)
class Files:
    """A folder of files, and the config of what they hold."""

    folder: Path
    config: Config


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> Files:
    """Sequence files of the fields A and B, in whose cells every fifth object validates."""
    folder, layout = tmp_path_factory.mktemp("sequences"), sequence_layout(TOKENIZERS)
    for seed, (field, n) in enumerate(zip("AB", N_OBJECTS, strict=True)):
        split = np.where(np.arange(n) % 5 == 0, 1, 0).astype(np.uint8)
        arrays = pack_objects(layout, make_codes(layout, n, seed), split)
        path = folder / f"datacube_{field}_sequences.safetensors"
        write_sequences(path, arrays, layout, HASHES)
    return Files(folder, Config(tokenizers=TOKENIZERS))


@pytest.fixture(scope="session")
def cubes(tmp_path_factory) -> Files:
    """Cubes of the fields A and B: every second row has cutouts, every third a DESI spectrum."""
    folder = tmp_path_factory.mktemp("cubes")
    for seed, (field, n, size) in enumerate(zip("AB", N_ROWS, SIZES, strict=True)):
        path = folder / f"datacube_{field}.parquet"
        pq.write_table(cube_table(n, seed), path, row_group_size=size)
    return Files(folder, CONFIG)
