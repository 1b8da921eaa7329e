"""Cubes that lack what a report asks for: it is made, and says what it could not measure."""

import re
from pathlib import Path

import pytest

from astromodal.inference.model import AstroModel
from astromodal.storage.json_files import read_json
from astromodal.tokenizers.images.autoencoder import UNTRAINED

pytestmark = pytest.mark.workflow

HELD_OUT = "W-2"


@pytest.fixture(scope="module")
def run(lacking):
    """The paths of that run."""
    return lacking[0]


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


def test_a_tokenizer_that_was_trained_on_nothing_is_announced(lacking):
    """By the plan, by the logs of its jobs, and at the report's top."""
    paths, text = lacking
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
    assert labels
    assert [label for label in labels if "class" in label or "Δz" in label] == []
