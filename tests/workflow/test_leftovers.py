"""At its end a run clears away what killed writers left."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.storage.tempfiles import machine

pytestmark = pytest.mark.workflow


@pytest.fixture
def left(fresh):
    """A file of a writer that is no more, among the results."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    name = f".datacube_T-1_split.npz.{machine()}-{ended.pid}.abcd1234.npz"
    path = fresh.results / "splits" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    return path


def test_after_a_run_that_ended_well(fresh, left):
    """One job ran; the leftover is gone."""
    fresh.run("results/cubes/datacube_T-1.parquet")
    assert not left.exists()


def test_after_a_run_that_failed(fresh, left):
    """A cube without an id in a row stops the run; the leftover is gone all the same."""
    columns = {"id": ["a", None], "ra": [1.0] * 2, "dec": [1.0] * 2, "mag_pstotal_r": [15.0] * 2}
    pq.write_table(pa.table(columns), fresh.folder / "datacube_T-1.parquet")
    fresh.config["paths"]["datacube_template"] = str(fresh.folder / "datacube_{field}.parquet")
    del fresh.config["tokenizers"]["fields"]
    assert fresh.call("results/splits/datacube_T-1_split.npz").returncode != 0
    assert not left.exists()


def test_a_plan_clears_nothing(fresh, left):
    """A dry run only reads."""
    fresh.run("--dry-run")
    assert left.exists()
