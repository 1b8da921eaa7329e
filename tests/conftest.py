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


def _real(variable: str, folder: str) -> Path:
    """A folder of real files, which stands beside some checkouts."""
    path = Path(os.environ.get(variable, ROOT.parent / folder))
    if not path.is_dir():
        pytest.skip(f"no real files: {path} does not exist; set {variable}")
    return path


@pytest.fixture(scope="session")
def real_cubes() -> Path:
    """Cubes of real rows."""
    return _real("ASTROMODAL_REAL_CUBES", "shared/data/cubes")


@pytest.fixture(scope="session")
def real_raw() -> Path:
    """Files as survey archives deliver them."""
    return _real("ASTROMODAL_REAL_RAW", "shared/data/raw")


@pytest.fixture
def write_cube(tmp_path):
    """Write columns (name to list or Arrow array) as a cube; return its path."""

    def write(columns: dict, field: str = "F1", **options) -> Path:
        path = tmp_path / f"datacube_{field}.parquet"
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write
