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
SHARED_RUN = {"finished", "finished_checkout", "used", "tuned"}
"""Fixtures of one run of the workflow that many modules look at."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put workflow tests first: those that share a run, and from the middle on the others.

    Each of two processes of xdist begins with one half. Neither then waits for the run that the
    other makes, and at the end both divide tests that take milliseconds.
    """
    workflow = [item for item in items if item.get_closest_marker("workflow")]
    sharing = {
        item.path for item in workflow if SHARED_RUN.intersection(getattr(item, "fixturenames", ()))
    }
    sharing.add(ROOT / "tests/workflow/test_console_lines.py")  # it asks for its place by name
    first = [item for item in workflow if item.path in sharing]
    second = [item for item in workflow if item.path not in sharing]
    others = [item for item in items if item not in set(workflow)]
    half = max(0, len(items) // 2 - len(first))
    items[:] = [*first, *others[:half], *second, *others[half:]]


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

    def write(columns: dict, field: str = "F1", metadata: dict | None = None, **options) -> Path:
        path = tmp_path / f"datacube_{field}.parquet"
        pq.write_table(pa.table(columns, metadata=metadata), path, **options)
        return path

    return write
