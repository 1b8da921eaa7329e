"""Cubes and results that Snakemake's storage plugins keep: in a folder, and on S3 at loopback."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from astromodal.core.paths import Layout
from helpers.stores import (
    BUCKET,
    CUBE,
    FolderStore,
    S3Store,
    require_fs,
    require_s3,
    s3_store,
)
from helpers.workflow import Workflow, tiny

pytestmark = pytest.mark.workflow

PATHS = Layout("results")
TARGETS = {field: PATHS.scalar_tokens(field) for field in ("T-1", "T-2", "T-3")}
OWN = {"split_field T-3", "encode_scalars T-3"}
"""What the third field needs once tokenizers exist."""


@dataclass
class Story:
    """Two fields are encoded, a third is added, then replaced; requests of S3 by step."""

    store: FolderStore | S3Store
    run: Workflow
    planned: dict[str, int]
    plan_requests: list[tuple[str, str]]
    first: set[str]
    run_requests: list[tuple[str, str]]
    added: set[str]
    said: str
    replaced: dict[str, int]


def _tell(store: FolderStore | S3Store, run: Workflow, cubes: Path, options: list[str]) -> Story:
    """Plan with cubes that cannot be read, then run with those that can."""
    run.config["tokenizers"]["fields"] = None
    unreadable = run.folder / "unreadable"
    unreadable.write_text("no parquet")

    def put(field: str, path: Path | None = None) -> None:
        store.put(path or cubes / f"datacube_{field}.parquet", CUBE.format(field=field))

    put("T-1", unreadable)
    put("T-2", unreadable)
    wanted, seen = [TARGETS["T-1"], TARGETS["T-2"], *options], len(store.requests())
    planned = run.planned(*wanted)
    plan_requests = store.requests()[seen:]
    put("T-1")
    put("T-2")
    seen = len(store.requests())
    first = run.ran(*wanted)
    run_requests = store.requests()[seen:]
    put("T-3")
    added = run.ran(*TARGETS.values(), *options)
    said = run.run(*TARGETS.values(), *options, "--dry-run").text
    put("T-3", cubes / "datacube_T-1.parquet")
    replaced = run.planned(*TARGETS.values(), *options)
    return Story(
        store, run, planned, plan_requests, first, run_requests, added, said, replaced
    )  # fmt: skip


@pytest.fixture(scope="module")
def cubes(tmp_path_factory) -> Path:
    """Cubes of the tiny sky, each small enough that S3's client reads it in one request."""
    run = tiny(tmp_path_factory.mktemp("sky"))
    run.config["simulate"]["n_sources"] = 24
    run.simulate("cubes")
    return run.folder / "cubes"


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory, cubes) -> Story:
    """The story with cubes and results in a folder behind the plugin `fs`."""
    require_fs()
    run = tiny(tmp_path_factory.mktemp("fs"))
    store = FolderStore(run.folder / "store")
    return _tell(store, run, cubes, store.keep_all(run))


@pytest.fixture(scope="module")
def on_s3(tmp_path_factory, cubes):
    """The story with cubes on S3, and results on this machine."""
    require_s3()
    run = tiny(tmp_path_factory.mktemp("s3"))
    with s3_store(run.folder) as store:
        yield _tell(store, run, cubes, store.keep_cubes(run))


@pytest.fixture(params=["in_folder", "on_s3"])
def story(request) -> Story:
    return request.getfixturevalue(request.param)


def test_a_plan_reads_no_cube(story):
    """Cubes whose content is no parquet are planned as others are."""
    assert story.planned == {
        "split_field": 2, "sample_scalars": 2, "train_scalar_tokenizer": 1, "encode_scalars": 2
    }  # fmt: skip


def test_a_plan_asks_for_no_content(on_s3):
    """It makes at most twelve requests for two cubes: the list, and perhaps their heads."""
    asked = on_s3.plan_requests
    assert 0 < len(asked) <= 12
    of_cubes = {method for method, path in asked if path.startswith(f"/{BUCKET}/cubes/")}
    assert of_cubes <= {"HEAD"}


def test_jobs_read_stored_cubes(story):
    """All planned jobs run on what the plugin retrieves."""
    assert Counter(job.split()[0] for job in story.first) == story.planned


def test_a_cube_is_downloaded_once(on_s3):
    """The jobs of a field on one machine share the local copy of its cube, deleted after them."""
    read = Counter(path for method, path in on_s3.run_requests if method == "GET")
    assert read[f"/{BUCKET}/cubes/datacube_T-1.parquet"] == 1
    assert not list((on_s3.run.folder / ".snakemake/storage").rglob("*.parquet"))


def test_results_are_stored(in_folder):
    """With a default provider, all results, logs and records of time are in the store."""
    names = in_folder.store.names()
    assert {*TARGETS.values(), PATHS.scalar_tokenizer, PATHS.log("split_field", "T-1")} <= names
    assert not Path(in_folder.run.folder, PATHS.scalar_tokenizer).exists()


def test_results_stay_here_where_cubes_alone_are_stored(on_s3):
    """Without a default provider, nothing is written to the store."""
    assert on_s3.store.names() == {CUBE.format(field=field) for field in TARGETS}
    assert all(Path(on_s3.run.folder, path).exists() for path in TARGETS.values())


def test_a_new_cube_is_encoded_with_the_tokenizers_that_exist(story):
    """Nothing is trained again for a third field, also where tokenizers are in the store."""
    assert story.added == OWN


def test_nothing_is_planned_after_a_run(story):
    """Times in the store are compared with those of results."""
    assert "Nothing to be done" in story.said


def test_a_replaced_cube_redoes_its_field(story):
    """And no other."""
    assert story.replaced == {"split_field": 1, "encode_scalars": 1}


@pytest.fixture
def stored(tmp_path) -> tuple[Workflow, list[str]]:
    """A run with results in a folder behind the plugin `fs`, and the options for it."""
    require_fs()
    run = tiny(tmp_path)
    return run, FolderStore(tmp_path / "store").keep_all(run)


@pytest.mark.parametrize(
    ("settings", "target", "error"),
    [
        ({"on_bad_field": "skip"}, "encode", "on_bad_field must be stop where results are on an"),
        ({"freeze": ["tokenizers"]}, "encode", "freeze: tokenizers must be made before it is"),
        ({}, "audit", "audit must have cubes and results on this machine, got some on an object"),
    ],
)
def test_what_needs_results_here_is_refused(stored, cubes, settings, target, error):
    """Before any job starts; frozen files are looked for in the store."""
    run, options = stored
    FolderStore(run.folder / "store").put(cubes / "datacube_T-1.parquet", CUBE.format(field="T-1"))
    run.config |= settings
    run.config["tokenizers"]["fields"] = None
    done = run.call(target, *options)
    assert done.returncode
    assert error in done.text


def test_an_address_without_cubes_is_an_error(tmp_path):
    """The error names what to check: the plugin of S3 says nothing where it cannot connect."""
    require_s3()
    run = tiny(tmp_path)
    with s3_store(tmp_path) as store:
        options = store.keep_cubes(run)
        text = run.call("encode", *options, "--dry-run").text
    assert f"paths.datacube_template must be the address of some cube, got s3://{BUCKET}/" in text
    assert "check its spelling, the storage plugin's endpoint, and your credentials" in text
