"""A survey with bad cubes: they stop it, or it goes on without them and says so."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import cutout_column
from astromodal.data.splits import load_split
from astromodal.storage.arrays import load_arrays
from astromodal.storage.formats import skip_at
from astromodal.storage.json_files import read_json
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from helpers.workflow import Workflow, made_once, tiny

pytestmark = pytest.mark.workflow
TRAINED, HELD_OUT, NO_CUTOUTS, CUT_SHORT = "T-1", "T-2", "T-3", "T-4"
BAD = "skipped by"
KIND, FLAG = "specz_class_spec", "specz_f_z"


def cube(workflow: Workflow, field: str):
    return workflow.folder / f"cubes/datacube_{field}.parquet"


def as_released(table: pa.Table) -> pa.Table:
    """A cube with what catalogues and archives release.

    Magnitudes of 99 and -99, classes with brackets, redshifts of which every third is flagged as
    unreliable, and Gaia XP arrays in round brackets.
    """
    columns = {name: table[name].to_pylist() for name in table.column_names}
    columns["mag_pstotal_i"][:2] = [99.0, -99.0]
    columns[KIND] = [kind and f"{kind}(SIMBAD)" for kind in columns[KIND]]
    redshifts = iter(range(table.num_rows))
    columns[FLAG] = [
        None if z is None else ("KEEP(1)", "KEEP(2)", "REMOVE(3)")[next(redshifts) % 3]
        for z in columns["specz_z"]
    ]
    for name in (name for name in columns if "_coefficient" in name):
        columns[name] = [
            text and text.strip('"').replace("[", "(").replace("]", ")") for text in columns[name]
        ]
    kinds = {name: table.schema.field(name).type for name in table.column_names}
    return pa.table({n: pa.array(v, kinds.get(n, pa.string())) for n, v in columns.items()})


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> tuple[Workflow, str]:
    """A run that ended, of a user's cubes: half of the training fields and of the others are bad.

    One has text for an image, the other is cut short. Beside it stands what the run printed.
    """
    workflow = made_once(tmp_path_factory, "bad_fields", make)
    return workflow, (workflow.folder / "said.txt").read_text()


def make(folder: Path) -> None:
    """Make the cubes, run the workflow on them, and keep what it prints."""
    workflow = tiny(folder, "cluster")
    fields = (TRAINED, HELD_OUT, NO_CUTOUTS, CUT_SHORT)
    workflow.config["simulate"] |= {"fields": {f: {} for f in fields}, "specz_fraction": 1.0}
    workflow.config["tokenizers"]["image"]["bands"] = ["G", "R", "I"]
    workflow.config["evaluation"] = {
        "sections": ["images", "downstream"],  # each section leaves fields out in the same way
        "n_examples": 2,
        "downstream": {"given": ["scalar"]},
    }
    workflow.simulate("cubes")
    for field in fields:
        table = as_released(pq.read_table(cube(workflow, field)))
        pq.write_table(table, cube(workflow, field))
    shutil.copytree(workflow.folder / "cubes", workflow.folder / "good")
    table = pq.read_table(cube(workflow, NO_CUTOUTS))
    name, texts = cutout_column("R"), pa.array(["none"] * table.num_rows)
    spoilt = table.set_column(table.column_names.index(name), name, texts)
    pq.write_table(spoilt, cube(workflow, NO_CUTOUTS))
    whole = cube(workflow, CUT_SHORT).read_bytes()
    cube(workflow, CUT_SHORT).write_bytes(whole[: len(whole) // 2])
    workflow.config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    workflow.config["tokenizers"]["fields"] = [TRAINED, CUT_SHORT]
    workflow.config["on_bad_field"] = "skip"
    workflow.config["photoz"] = {"formats": ["hdf5", "vot"]}
    (folder / "said.txt").write_text(workflow.run("all", "predict", "index", "photoz").text)


def test_a_run_goes_on_without_them(survey):
    """Good fields are encoded, trained on, predicted, and written for other tools."""
    workflow, _ = survey
    for files in ("predictions/*", "photoz/*.hdf5", "photoz/*.vot"):
        made = sorted((workflow.results / "outputs").glob(files))
        good = [path.name.split("_")[1] for path in made if skip_at(path) is None]
        assert len(made) == 4
        assert good == [TRAINED, HELD_OUT]


def test_an_index_is_of_the_good_fields(survey):
    """Similar objects are found among them, and a log names the others."""
    workflow, _ = survey
    paths = Layout(str(workflow.results))
    assert list(read_json(paths.similarity_index)["fields"]) == [TRAINED, HELD_OUT]
    log = Path(paths.log("assemble_index")).read_text()
    assert f"skipped fields are left out: {NO_CUTOUTS}, {CUT_SHORT}" in log


def test_sentinels_are_missing_and_counted(survey):
    """Magnitudes of 99 and -99 have no code, and no bin lies there."""
    workflow, _ = survey
    paths = Layout(str(workflow.results))
    summary = read_json(paths.summary(HELD_OUT))
    assert summary["missing"]["sentinel"] == {"mag_pstotal_i": 2}
    assert any("2 values stand for missing ones: mag_pstotal_i" in w for w in summary["warnings"])
    tokenizer = ScalarTokenizer.load(paths.scalar_tokenizer)
    column = tokenizer.columns.index("mag_pstotal_i")
    assert np.nanmax(np.abs(tokenizer.edges[column])) < 40
    tokens = load_arrays(paths.scalar_tokens(HELD_OUT), format="scalar_tokens", version=1)
    first = tokens["codes"][tokens["row"] < 2, column]
    assert len(first)
    assert (first == MISSING_CODE).all()


def test_unreliable_redshifts_and_stars_are_no_truth(survey):
    """Of the field held out, those flagged unreliable and those of bracketed stars are left out."""
    workflow, _ = survey
    paths, table = Layout(str(workflow.results)), pq.read_table(cube(workflow, HELD_OUT))
    selected = load_split(paths.split(HELD_OUT)).selected
    kinds, flags, z = (table[name].to_pylist() for name in (KIND, FLAG, "specz_z"))
    removed = [flag is not None and flag.startswith("REMOVE") for flag in flags]
    assert read_json(paths.summary(HELD_OUT))["missing"]["unreliable"] == {
        "specz_z": sum(removed), "specz_e_z": sum(removed), KIND: sum(removed)
    }  # fmt: skip
    meant = [
        bool(row and value is not None and not wrong and not kind.startswith("STAR"))
        for row, value, wrong, kind in zip(selected, z, removed, kinds, strict=True)
    ]
    part = read_json(paths.evaluation("downstream"))
    # So few are left of this sky that the report only counts them: to learn from, to score.
    (scored,) = re.findall(r"specz_z from scalar \(\d+, (\d+)\)", "\n".join(part["notes"]))
    assert 0 < int(scored) == sum(meant) < sum(selected)
    classes = part["numbers"]["targets"][KIND]["scalar"]["classes"]
    assert set(classes) == {"GALAXY", "QSO", "STAR"}


def test_spectra_of_the_archive_s_csv_are_read(survey):
    """Arrays in round brackets are those in square ones."""
    workflow, _ = survey
    table = pq.read_table(cube(workflow, HELD_OUT))
    texts = table["gaiaxp_bp_coefficients"].drop_null()
    assert texts[0].as_py().startswith("(")
    summary = read_json(Layout(str(workflow.results)).summary(HELD_OUT))
    assert summary["spectra"]["gaiaxp_bp"]["n_live"] == len(texts)


def test_they_are_listed_at_the_end(survey):
    """With the rule that met the error, and the error."""
    _, text = survey
    end = text.split("steps (100%) done")[-1]
    assert f"field {NO_CUTOUTS} was skipped by encode_images, summarize_field: " in end
    assert end.count(f"field {CUT_SHORT} was {BAD}") == 1
    assert f", split_field, summarize_field: field {CUT_SHORT}: " in end


def test_the_report_lists_them(survey):
    """Under what the fields hold."""
    workflow, _ = survey
    page = (workflow.results / "report/report.html").read_text()
    assert f"field {NO_CUTOUTS} was {BAD}" in page
    assert f"field {CUT_SHORT} was {BAD}" in page


def test_nothing_is_to_be_done_again(survey):
    """They are as finished as the others, and a plan says that they are skipped."""
    workflow, _ = survey
    done = workflow.run("all", "predict", "--dry-run")
    assert "Nothing to be done" in done.text
    assert f"field {CUT_SHORT} was {BAD}" in done.text


def test_a_run_that_may_not_skip_refuses_what_was_skipped(survey):
    """No result without them passes for one with them."""
    workflow, _ = survey
    stopping = Workflow(workflow.folder, workflow.config | {"on_bad_field": "stop"})
    done = stopping.call("all", "--dry-run")
    assert done.returncode != 0
    assert "on_bad_field must be skip, got stop, but field" in done.text


def test_by_default_a_bad_cube_stops_its_job(survey, tmp_path):
    """With the error, and nothing in place of its outputs."""
    workflow, _ = survey
    shutil.copytree(workflow.folder / "cubes", tmp_path / "cubes")
    config = {k: v for k, v in workflow.config.items() if k != "on_bad_field"}
    stopping = Workflow(tmp_path, config)
    split = f"results/splits/datacube_{CUT_SHORT}_split.npz"
    done = stopping.call(split)
    assert done.returncode != 0
    assert f"field {CUT_SHORT}: datacube_{CUT_SHORT}.parquet must be a whole parquet" in done.text
    assert not (tmp_path / split).exists()


def test_a_cube_that_was_mended_takes_part_again(survey, tmp_path):
    """Its own jobs run, and what the run says of it is gone."""
    workflow, _ = survey
    for name in ("cubes", "results", ".snakemake"):
        shutil.copytree(workflow.folder / name, tmp_path / name)
    repaired = Workflow(tmp_path, workflow.config)
    shutil.copy(workflow.folder / f"good/datacube_{NO_CUTOUTS}.parquet", cube(repaired, NO_CUTOUTS))
    tokens = f"results/outputs/image_tokens/datacube_{NO_CUTOUTS}_tokens.npz"
    assert repaired.ran(tokens) == {f"encode_images {NO_CUTOUTS}"}
    assert skip_at(tmp_path / tokens) is None
    assert f"field {NO_CUTOUTS} was skipped by encode_images" not in repaired.run("-n", tokens).text
