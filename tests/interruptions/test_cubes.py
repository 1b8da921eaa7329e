"""Cubes that are built from raw files: plans and jobs killed anywhere, and full disks."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from astromodal.storage.tempfiles import is_temporary
from helpers.workflow import locked_folder
from interruptions.disks import filled, mounted
from interruptions.jobs import NOISE, remove, run_job
from interruptions.sky import Interrupted, contents, make_raw, raw_sky
from interruptions.test_disk import FULL

pytestmark = pytest.mark.workflow

SEED = 3
MADE = ("index/", "stamps/", "cubes/")
KILLS = {"index_source": 12, "build_cube": 12}
"""Kills of the jobs of each rule, one half before a write and the other at a time."""
PLANS = 6
"""Plans from scratch that are killed twice each."""
SHARES = (0.0, 0.2, 0.5, 0.8)
"""Room on a full disk, of what the outputs of a job take."""


@pytest.fixture(scope="module")
def raw_reference(tmp_path_factory) -> Interrupted:
    """Raw files and their cubes, built without an interruption; nobody changes them."""
    return raw_sky(locked_folder(tmp_path_factory, "raw_reference", make_raw))


def copied(reference: Interrupted, folder: Path, *names: str) -> Interrupted:
    """Folders of the reference in another folder, times of files included."""
    for name in names:
        shutil.copytree(reference.folder / name, folder / name, dirs_exist_ok=True)
    return raw_sky(folder)


def draw(run: Interrupted, rule: str, faults: list[dict[str, float]]) -> None:
    """Request kills of the first jobs of a rule, one each."""
    folder = run.notes / "faults" / rule
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, fault in enumerate(faults):
        (folder / f"{number:02d}.json").write_text(json.dumps(fault))


def temporary(results: Path) -> list[Path]:
    """Temporary files and folders below the results."""
    return [path for path in results.rglob(".*") if is_temporary(path.name)]


def made(results: Path) -> dict[str, str]:
    """Contents of the index, the stamps and the cubes, without temporary files."""
    found = contents(results).items()
    own = ((name, digest) for name, digest in found if name.startswith(MADE))
    return {n: digest for n, digest in own if not any(map(is_temporary, Path(n).parts))}


def others(results: Path, whole: dict[str, str]) -> list[str]:
    """Finished files that are not those of the whole run."""
    return [name for name, digest in made(results).items() if whole.get(name) != digest]


def test_jobs_killed_anywhere(raw_reference, tmp_path, tally):
    """Each run goes on, leaves no file that is not whole, and the last has the same cubes."""
    run, whole = copied(raw_reference, tmp_path, "raw"), made(raw_reference.results)
    generator, ended = np.random.default_rng(SEED), raw_reference.noted("ended.jsonl")
    for rule, number in KILLS.items():
        own = [line for line in ended if line["rule"] == rule]
        writes = 1 + max(line["writes"] for line in own)
        seconds = max(line["seconds"] for line in own)
        faults = [{"write": int(n)} for n in generator.integers(1, writes + 1, number // 2)]
        times = generator.uniform(0.2, 0.95, number - len(faults)) * seconds
        draw(run, rule, faults + [{"after": float(t)} for t in times])
    for target in ("index_sources", "cubes"):
        for _ in range(max(KILLS.values()) + 1):
            done = run.call(target, "--keep-going")
            assert temporary(run.results) == []
            assert others(run.results, whole) == []
            if done.returncode == 0:
                break
        assert done.returncode == 0, done.text[-4000:]
    killed = Counter(line["rule"] for line in run.noted("killed.jsonl"))
    print(f"seed {SEED}; hit: {dict(killed)}")
    assert all(killed[rule] >= number // 2 for rule, number in KILLS.items())
    assert made(run.results) == whole
    assert run.planned("cubes") == {}
    for line in run.noted("killed.jsonl"):
        kind = "at a time" if "after" in line else "at a write"
        tally(f"job on raw files killed {kind}", "same result")


def test_plans_killed_anywhere(raw_reference, tmp_path, tally):
    """A plan that is killed while it indexes is gone on with, and plans the same jobs."""
    run, whole = copied(raw_reference, tmp_path, "raw"), made(raw_reference.results)
    generator = np.random.default_rng(SEED)
    writes = raw_reference.noted("plans.jsonl")[0]["writes"]
    for _ in range(PLANS):
        shutil.rmtree(run.results, ignore_errors=True)
        draw(run, "plan", [{"write": int(n)} for n in generator.integers(1, writes + 1, 2)])
        for _ in range(2):
            assert run.call("cubes", "--dry-run").returncode == -9
            assert others(run.results, whole) == []
            tally("plan on raw files killed", "same result")
        assert run.planned("cubes") == {"cubes": 1, "build_cube": 2}
        assert others(run.results, whole) == []
    run.run("cubes")
    assert temporary(run.results) == []
    jobs = {f"index/{source}.json" for source in run.config["sources"]}  # of index_source
    assert made(run.results) == {name: whole[name] for name in whole.keys() - jobs}
    assert run.planned("cubes") == {}


@pytest.fixture
def on_small_disk(raw_reference, tmp_path):
    """A copy of the cubes and raw files whose results are a disk of their own."""
    size = sum(path.stat().st_size for path in raw_reference.results.rglob("*")) + (80 << 20)
    with mounted(tmp_path / "results", size):
        yield copied(raw_reference, tmp_path, "raw", "results", ".snakemake")


@pytest.mark.parametrize(
    "name", ["index_source.splus", "index_source.desi", "build_cube.T-1", "build_cube.T-2"]
)
def test_a_full_disk_in_each_job(name, raw_reference, on_small_disk, tally):
    """The job ends with the one error, and leaves neither a half file nor scratch."""
    run, whole = on_small_disk, made(raw_reference.results)
    rule, _, own = name.partition(".")
    ended = raw_reference.noted("ended.jsonl")
    (job,) = [line for line in ended if (line["rule"], line["job"]) == (rule, own)]
    for share in SHARES:
        size = remove(run, job)
        if rule == "index_source":
            index = run.results / "index" / own
            size = sum(path.stat().st_size for path in index.iterdir())
            shutil.rmtree(index)
        with filled(run.results, int(share * size)):
            done = run_job(run, raw_reference, name)
        assert done.returncode != 0
        assert done.stderr.count(FULL) == 1, done.stderr
        assert not [word for word in NOISE if word in done.stderr], done.stderr
        assert temporary(run.results) == []
        assert others(run.results, whole) == []
        done = run_job(run, raw_reference, name)
        assert done.returncode == 0, done.stderr
        assert made(run.results) == whole
        tally("disk full in a job on raw files", "named error")


def test_a_full_disk_in_a_plan(raw_reference, on_small_disk, tally):
    """A plan that cannot write its index says so in one line; with room it is made."""
    run, whole = on_small_disk, made(raw_reference.results)
    size = sum(path.stat().st_size for path in (run.results / "index").rglob("*.*"))
    for share in SHARES:
        shutil.rmtree(run.results / "index")
        with filled(run.results, int(share * size)):
            done = run.call("cubes", "--dry-run")
        assert done.returncode != 0
        assert done.text.count(FULL) == 1, done.text
        assert not [word for word in NOISE if word in done.text], done.text
        assert others(run.results, whole) == []
        run.run("cubes", "--dry-run")
        tally("disk full in a plan on raw files", "named error")
