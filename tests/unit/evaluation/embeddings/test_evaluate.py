"""The section on embeddings, with a toy model."""

import pyarrow as pa
import pytest

from astromodal.evaluation.embeddings.evaluate import evaluate_embeddings


@pytest.fixture
def evaluate(context, tmp_path):
    """Evaluate fields; the section can be written as JSON."""

    def run(fields, **settings):
        section = evaluate_embeddings(context(fields, **settings))
        section.save(tmp_path / "embeddings.json")
        return section

    return run


def test_two_fields_have_every_figure(as_fields, model, two, evaluate):
    """A map, offsets, neighbours and retrieval, each with a table; the weights' hash."""
    section = evaluate(as_fields(*two))
    names = [f.file.removesuffix(".png") for f in section.figures]
    assert names == ["map", "fields", "neighbours", "retrieval"]
    assert all(f.table.rows for f in section.figures)
    assert section.hashes["transformer"] == model.hash
    assert len(section.numbers.map.x) == 80
    assert all(list(offsets.fields) == ["A", "B"] for offsets in section.numbers.fields.values())


def test_trained_fields_give_their_test_split(as_fields, two, evaluate):
    """All toy objects are in the training split, so none of a trained field is embedded."""
    section = evaluate(as_fields(*two, trained=("A", "B")))
    assert section.figures == []
    assert "0 embeddings cannot be evaluated: there are fewer than three" in section.notes[0]


def test_without_labels(as_fields, two, evaluate):
    """Without the names of label columns there is a map, and notes list what was not compared."""
    labels = {"redshift": None, "kind": None, "magnitude": None}
    section = evaluate(as_fields(*two), labels=labels)
    notes = "\n".join(section.notes)
    for what in ("class", "redshift", "magnitude"):
        assert f"Neighbours are not compared in {what}" in notes
    assert [f.file for f in section.figures] == ["map.png", "fields.png", "retrieval.png"]


def test_columns_that_the_cubes_lack(as_fields, made, evaluate):
    """Label columns that no cube has are like labels without a value."""
    field = made("N", specz_z=None, specz_class_spec=None)
    notes = "\n".join(evaluate(as_fields(field)).notes)
    assert "class (specz_class_spec): 0 evaluated objects have one" in notes
    assert "redshift (specz_z), stars left out: 0 evaluated objects have one" in notes
    assert "Offsets between fields were not measured" in notes


def test_one_class_only(as_fields, made, evaluate):
    """Where all objects have one class, neighbours are not compared in class."""
    field = made("O", specz_class_spec=pa.array(["GALAXY"] * 40))
    notes = evaluate(as_fields(field)).notes
    assert any("all 40 evaluated objects that have one are of class GALAXY" in n for n in notes)


def test_without_images(as_fields, made, evaluate):
    """Without cutouts a note says that no neighbours are shown."""
    cut = {f"splus_cut_{band}": None for band in ("U", "R", "Z")}
    section = evaluate(as_fields(made("I", **cut)))
    assert "0 evaluated objects have one, and 6 are needed" in section.notes[-1]


def test_columns_of_some_fields_alone_are_noted(as_fields, two, made, evaluate):
    """A column that one field lacks reveals the field."""
    lacking = made("C", mag_pstotal_i=None)
    notes = evaluate(as_fields(two[0], lacking)).notes
    assert any("C (1) lack scalar columns" in note for note in notes)


def test_two_objects(as_fields, two, evaluate):
    """Two objects are too few: a note says so."""
    section = evaluate(as_fields(*two), max_objects=2)
    assert "2 embeddings cannot be evaluated: there are fewer than three" in section.notes[0]
