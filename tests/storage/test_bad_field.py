"""A bad cube on S3, whose field is skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from astromodal.core.paths import Layout
from helpers.stores import CUBE, S3Store, require_s3, s3_store
from helpers.workflow import Workflow, tiny

SPLIT = Layout("results").split("T-1")
NAME = CUBE.format(field="T-1")


@pytest.fixture
def skipped(tmp_path) -> Iterator[tuple[Workflow, S3Store]]:
    """A run that skipped a field, and the store of its cube, which is no parquet."""
    require_s3()
    run = tiny(tmp_path, "cluster")
    run.simulate("cubes")
    (tmp_path / "bad").write_text("no parquet")
    with s3_store(tmp_path) as store:
        store.keep_cubes(run)
        store.put(tmp_path / "bad", NAME)
        run.config |= {"on_bad_field": "skip"}
        run.config["tokenizers"]["fields"] = None
        assert "field T-1 was skipped by split_field" in run.run(SPLIT).text
        yield run, store


def test_a_skipped_field_is_refused_until_its_cube_is_written_again(skipped):
    """As a cube on disk: the note of a skip counts while the cube is older than the note."""
    run, store = skipped
    run.config["on_bad_field"] = "stop"
    refused = run.call(SPLIT, "--dry-run")
    assert refused.returncode
    assert "on_bad_field must be skip, got stop, but field T-1 was skipped" in refused.text
    store.put(run.folder / "cubes/datacube_T-1.parquet", NAME)
    assert run.planned(SPLIT) == {"split_field": 1}
