"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

# A kernel is compiled when it is first called: no call has a time that could be promised.
settings.register_profile("astromodal", deadline=None)
settings.load_profile("astromodal")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_cubes() -> Path:
    folder = Path(os.environ.get("ASTROMODAL_REAL_CUBES", ROOT.parent / "shared/data/cubes"))
    if not folder.is_dir():
        pytest.skip(f"no real cubes: {folder} does not exist; set ASTROMODAL_REAL_CUBES")
    return folder


@pytest.fixture
def write_cube(tmp_path):
    """Write columns (name to list or Arrow array) as a cube; return its path."""

    def write(columns: dict, field: str = "F1", **options) -> Path:
        path = tmp_path / f"datacube_{field}.parquet"
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write
