"""Cubes that lack what a report asks for: it is made, and says what it could not measure."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from astromodal.inference.model import AstroModel
from astromodal.storage.json_files import read_json
from astromodal.tokenizers.images.autoencoder import UNTRAINED
from helpers.workflow import made_once, tiny

pytestmark = pytest.mark.workflow

TRAINED, HELD_OUT = "W-1", "W-2"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Two cubes of one's own: ids of another name, no redshift, no image in the field that trains.

    The labels named are columns that no cube has. Beside the paths stands what the run printed.
    """
    workflow = made_once(tmp_path_factory, "wandering", make)
    text = (workflow.folder / "said.txt").read_text()
    return Layout(str(workflow.folder / "own")), text


def make(folder: Path) -> None:
    """Make the cubes, run the workflow to the report, and keep what it prints."""
    workflow = tiny(folder)
    simulate = workflow.config.pop("simulate") | {"n_sources": 40}
    absent = {TRAINED: ["specz", "desi", "images"], HELD_OUT: ["specz", "desi"]}
    simulate["fields"] = {name: {"absent": surveys} for name, surveys in absent.items()}
    tokenizers = workflow.config["tokenizers"]
    tokenizers["fields"] = [TRAINED]
    tokenizers["spectrum"]["groups"] = ["gaiaxp_bp"]
    tokenizers["image"]["bands"] = ["G", "R"]
    workflow.config["simulate"] = simulate
    workflow.simulate("cubes")
    for name in absent:
        path = folder / f"cubes/datacube_{name}.parquet"
        table = pq.read_table(path)
        names = ["source" if column == "id" else column for column in table.column_names]
        pq.write_table(table.rename_columns(names), path)
    del workflow.config["simulate"]
    workflow.config["paths"] = {
        "results": "own",
        "datacube_template": "cubes/datacube_{field}.parquet",
    }
    workflow.config["columns"] = {"id": "source"}
    labels = {"redshift": "my_z", "kind": "my_class", "stellar": ["my_teff"], "tied": []}
    workflow.config["evaluation"] |= {"labels": labels, "downstream": {"given": ["scalar"]}}
    (folder / "said.txt").write_text(workflow.run(Layout("own").report).text)


@pytest.fixture(scope="module")
def run(ran):
    """The paths of that run."""
    return ran[0]


def notes(run, part):
    return "\n".join(read_json(run.evaluation(part))["notes"])


def test_the_report_says_what_it_could_not_tell(run):
    """Images, classes and redshifts: each with the reason."""
    for what in ("class (my_class)", "redshift (my_z), stars left out"):
        assert f"not compared in {what}: 0 evaluated objects have one" in notes(run, "embeddings")
    assert "No evaluated object has a code of modality image." in notes(run, "transformer")
    whole = read_json(run.evaluation("images"))["numbers"]["n_whole"]
    counted = re.findall(r"(\d+) whole cutouts", notes(run, "images"))
    assert sum(map(int, counted)) == whole > 0


def test_a_tokenizer_that_was_trained_on_nothing_is_announced(ran):
    """By the plan, by the logs of its jobs, and at the report's top."""
    paths, text = ran
    assert "no cube of tokenizers.fields has cutouts: the image tokenizer is trained on no" in text
    for job in ("train_image_autoencoder/train_image_autoencoder", f"encode_images/{HELD_OUT}"):
        assert UNTRAINED in Path(f"{paths.results}/logs/{job}.log").read_text()
    (headline,) = read_json(paths.evaluation("images"))["headlines"]
    assert (headline["measurement"]["value"], headline["note"]) == (0, UNTRAINED)
    assert UNTRAINED in Path(paths.report).read_text(encoding="utf-8")


def test_objects_without_image_codes_have_no_image(run):
    """Their cutouts are there, the model's block is not."""
    objects = AstroModel.from_run(run.run).open(run.sequences(HELD_OUT))
    assert read_json(run.summary(HELD_OUT))["images"]["n_whole"] > 0
    assert len(objects) > 0
    assert not objects.has("image").any()


def test_the_report_is_whole(run):
    """Every section stands in it, and the notes are on the page."""
    text = Path(run.report).read_text(encoding="utf-8")
    for part in ("scalars", "spectra", "images", "transformer", "embeddings", "coverage"):
        assert f'<section id="{part}">' in text
    assert "no column specz_z, specz_e_z; missing there." in text
    assert "No evaluated object has a code of modality image." in text


def test_no_number_is_made_up(run):
    """No headline is of redshifts or classes."""
    labels = [h["label"] for h in read_json(run.evaluation("embeddings"))["headlines"]]
    assert [label for label in labels if "field predicted" not in label] == []
