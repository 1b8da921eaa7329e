"""Folders that several machines and several processes share: late files, clocks, two at once."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from interruptions.sky import contents

pytestmark = pytest.mark.workflow

SCALARS = "results/outputs/scalar_tokens/datacube_T-2_scalar_tokens.npz"
SEQUENCES = "results/outputs/sequences/datacube_T-2_sequences.safetensors"
HOUR = 3600


def test_an_output_that_appears_late(finished, tally):
    """As on a network file system: waited for as long as the profile of the cluster says."""
    whole = contents(finished.results)
    (finished.folder / SCALARS).unlink()
    (finished.notes / "late").write_text("5")
    finished.run(SCALARS, "--latency-wait", "60")
    assert contents(finished.results) == whole
    tally("output appears late", "same result")


def test_an_output_that_appears_too_late(finished, tally):
    """Snakemake says which file is missing, and how to wait longer; nothing is lost by it."""
    whole = contents(finished.results)
    (finished.folder / SCALARS).unlink()
    (finished.notes / "late").write_text("8")
    done = finished.call(SCALARS, "--latency-wait", "0")
    assert done.returncode != 0
    assert "Missing files after 0 seconds" in done.text
    assert SCALARS in done.text
    time.sleep(10)  # the file appears, or Snakemake has seen to it that it does not
    (finished.notes / "late").unlink()
    finished.run(SEQUENCES)
    assert contents(finished.results) == whole
    tally("output appears late", "named error")


def test_two_at_once(finished, tally):
    """The second says that the folder is locked; the first goes on to the end."""
    whole = contents(finished.results)
    for output in (SCALARS, SEQUENCES):
        (finished.folder / output).unlink()
    (finished.notes / "late").write_text("1")
    locks = finished.folder / ".snakemake/locks"
    with finished.start(SEQUENCES, "--latency-wait", "60") as first:
        while not (locks.is_dir() and any(locks.iterdir())):
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        second = finished.call(SEQUENCES)
        out, said = first.communicate()
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.text
    assert first.returncode == 0, out + said
    assert contents(finished.results) == whole
    tally("two at once", "same result")


@pytest.mark.parametrize("skew", [-HOUR, -2, 2, HOUR])
def test_clocks_that_differ(finished, tally, skew):
    """A job on a node whose clock is ahead or behind: it ends well, and nothing is to be redone."""
    whole = contents(finished.results)
    for output in (SCALARS, SEQUENCES):
        (finished.folder / output).unlink()
    (finished.notes / "skew").write_text(str(skew))
    finished.run(SEQUENCES)
    assert contents(finished.results) == whole
    assert finished.planned(SEQUENCES) == {}
    tally("clocks that differ", "same result")


def test_a_cube_from_the_future(finished, tally):
    """A cube of one's own that a machine whose clock is ahead has written is refused at once."""
    shutil.copytree(finished.results / "cubes", finished.folder / "cubes")
    del finished.config["simulate"]
    finished.config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    cube = finished.folder / "cubes/datacube_T-2.parquet"
    moment = time.time() + HOUR
    os.utime(cube, (moment, moment))
    done = finished.call("--dry-run")
    assert done.returncode != 0
    assert "datacube_T-2.parquet must be written in the past, got a time that is 0:5" in done.text
    cube.touch()
    assert finished.planned("results/splits/datacube_T-2_split.npz")
    tally("cube from the future", "named error")
