"""Real Snakemake on the raw files of a small survey: cubes, what makes them stale, bad files."""

from __future__ import annotations

import os
import shutil
from copy import deepcopy
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.io import fits

from astromodal.config.load import load_config
from astromodal.core.paths import Layout
from astromodal.data.provenance import read_provenance
from astromodal.simulate.raw import raw_sources, write_raw_survey
from helpers.workflow import ROOT, Workflow, made_once, tiny

pytestmark = pytest.mark.workflow

SKY = {
    "n_sources": 60,
    "xp_fraction": 0.3,
    "desi_fraction": 0.4,
    "specz_fraction": 0.4,
    "fields": {"S-1": {}, "S-2": {"absent": ["vista"], "absent_bands": ["U"]}},
}
FIELDS = ("S-1", "S-2")
SIZE = 900  # pixel
PATHS = Layout("results")
SAMPLES = [
    path(field)
    for field in FIELDS
    for path in (PATHS.quantiles, PATHS.spectrum_samples, PATHS.sky, PATHS.summary)
]
"""Files of the first jobs on scalars, spectra, images, and on all of a cube."""


def survey(folder: Path) -> Workflow:
    """A workflow whose config names raw files below its folder."""
    workflow = tiny(folder)
    del workflow.config["simulate"]
    workflow.config["sources"] = raw_sources("raw")
    workflow.config["tokenizers"]["fields"] = list(FIELDS)
    write_raw_survey(load_config({"simulate": SKY}).simulate, folder / "raw", SIZE)
    return workflow


@pytest.fixture(scope="module")
def sampled(tmp_path_factory) -> Workflow:
    """The survey with its cubes and samples of them, made once for all of the test processes."""
    made: list[Workflow] = []

    def make(folder: Path) -> None:
        made.append(survey(folder))
        made[0].run("cubes", *SAMPLES)

    return made_once(tmp_path_factory, "survey", make)


@pytest.fixture
def run(sampled, tmp_path) -> Workflow:
    """A copy of the survey with its results, which a test may change."""
    shutil.copytree(sampled.folder, tmp_path / "copy")
    return Workflow(tmp_path / "copy", deepcopy(sampled.config))


def test_every_field_has_a_cube(sampled):
    """The rows of each cube are those of its catalogue, and its metadata say what else it holds."""
    for field in FIELDS:
        path = sampled.folder / PATHS.cube(field)
        assert pq.read_metadata(path).num_rows == SKY["n_sources"]
        found = read_provenance(path)
        assert list(found) == list(sampled.config["sources"])
        assert found["desi"].matched > 10


def test_nothing_is_left_to_do(run):
    """After the cubes and what is made of them, a plan is empty and reads no raw file."""
    done = run.run("--dry-run", "cubes", *SAMPLES)
    assert "Nothing to be done" in done.text
    assert "indexing" not in done.text


def test_touched_files_plan_nothing(run):
    """Raw files with other times and the same content are read again, and no job is planned."""
    for path in (run.folder / "raw").rglob("*.*"):
        os.utime(path)
    done = run.run("--dry-run", "cubes", *SAMPLES)
    assert "Nothing to be done" in done.text
    assert "source xp: indexing 1 new or changed files" in done.text


def test_a_spectrum_redoes_its_field_and_modality(run):
    """A changed flux of DESI rebuilds one cube, and redoes what reads its spectra."""
    path = next((run.folder / "raw/desi").glob("coadd-s-1-0*"))
    with fits.open(path, mode="update") as hdus:
        hdus["R_FLUX"].data[0, 7] += 1
    assert run.ran("cubes", *SAMPLES) == {
        "cubes", "build_cube S-1", "sample_spectra S-1", "summarize_field S-1",
    }  # fmt: skip
    assert "Nothing to be done" in run.run("--dry-run", "cubes", *SAMPLES).text


def test_a_new_tile_adds_its_field(run):
    """A catalogue of a new field makes a cube of it, and leaves the others as they are."""
    text = (run.folder / "raw/splus/S-1.csv").read_text().replace("S-1", "S-9")
    (run.folder / "raw/splus/S-9.csv").write_text(text)
    assert run.ran("cubes", *SAMPLES) == {"cubes", "build_cube S-9"}


def test_a_new_radius_rebuilds_every_cube(run):
    """A setting of a source rebuilds all cubes, and redoes what reads the source's columns."""
    run.config["sources"]["specz"]["match"] = {"radius": "2 arcsec"}
    planned = run.planned("cubes", *SAMPLES)
    assert planned == {"cubes": 1, "build_cube": 2, "sample_scalars": 2, "summarize_field": 2}


def test_the_index_can_be_made_in_jobs(tmp_path):
    """`snakemake index_sources` has one job a source, after which a plan reads no raw file."""
    run = survey(tmp_path)
    assert {job.split()[0] for job in run.ran("index_sources")} == {"index_sources", "index_source"}
    done = run.run("--dry-run", "cubes")
    assert "indexing" not in done.text
    assert "build_cube" in done.text


def repeat_a_row(run: Workflow) -> None:
    path = run.folder / "raw/splus/S-1.csv"
    table = pyarrow.csv.read_csv(path)
    pyarrow.csv.write_csv(pyarrow.concat_tables([table, table.slice(0, 1)]), path)


def test_a_bad_field_stops_the_run(run):
    """Repeated ids end in one error that names field, source and id, and in no cube."""
    repeat_a_row(run)
    done = run.call("cubes")
    assert done.returncode
    assert "field S-1: ids of source splus must be unique, got 1 that repeat" in done.text
    assert not (run.folder / PATHS.cube("S-1")).exists()


def test_a_bad_field_is_skipped_on_request(run):
    """With `on_bad_field: skip` the run ends well, and says which field it skipped and why."""
    repeat_a_row(run)
    run.config["on_bad_field"] = "skip"
    done = run.run("cubes", *SAMPLES)
    assert "field S-1 was skipped by build_cube: field S-1: ids of source splus" in done.text
    assert '"format": "skipped"' in (run.folder / PATHS.cube("S-1")).read_text()
    assert pq.read_metadata(run.folder / PATHS.cube("S-2")).num_rows == SKY["n_sources"]


def test_a_damaged_file_is_left_out_on_request(run):
    """With `on_bad_field: skip` a coadd that is cut off is left out, and said at the end."""
    path = next((run.folder / "raw/desi").glob("coadd-s-2-0*"))
    path.write_bytes(path.read_bytes()[:-100_000])
    assert f"source desi: raw/desi/{path.name} must be" in run.call("cubes", "--dry-run").text
    run.config["on_bad_field"] = "skip"
    done = run.run("cubes")
    assert done.text.count(f"left out: source desi: raw/desi/{path.name} must be") == 2
    found = read_provenance(run.folder / PATHS.cube("S-2"))["desi"]
    assert found.left_out == [f"raw/desi/{path.name}"]


def test_fields_of_a_catalogue_without_names_are_cells(tmp_path):
    """A catalogue that names no field gives one field a HEALPix cell of the configured order."""
    run = survey(tmp_path)
    names = ("ID_dual", "RA_dual", "DEC_dual", "r_PStotal_dual", "e_r_PStotal_dual")
    table = pyarrow.csv.read_csv(run.folder / "raw/splus/S-1.csv").select(names)
    pyarrow.csv.write_csv(table, run.folder / "raw/plain.csv")
    preset = {
        "title": "A catalogue of one band.",
        "id": "ID_dual",
        "ra": "RA_dual",
        "dec": "DEC_dual",
        "columns": {"mag_pstotal_r": "r_PStotal_dual", "err_mag_pstotal_r": "e_r_PStotal_dual"},
    }
    (run.folder / "preset.yaml").write_text(yaml.safe_dump(preset))
    run.config["sources"] = {
        "plain": {"kind": "catalogue", "files": "raw/plain.csv", "preset": "preset.yaml"}
    }
    del run.config["tokenizers"]["fields"]
    run.config["cubes"] = {"healpix_order": 6}
    run.run("cubes")
    cubes = [pq.read_table(path) for path in (run.results / "cubes").glob("*HPX6-*.parquet")]
    assert len(cubes) > 1
    assert sum(len(cube) for cube in cubes) == len(table)


def test_the_example_of_the_guide_is_valid():
    """The config of docs/cubes.md loads, and its sources are those that it explains."""
    text = (ROOT / "docs/cubes.md").read_text()
    block = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    config = load_config(yaml.safe_load(block))
    assert list(config.sources) == ["splus", "stamps", "gaia", "xp", "desi", "specz"]
