"""The section on embeddings, with a toy model."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config import load_config
from astromodal.config.evaluate import LabelSettings
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.errors import FormatError
from astromodal.evaluation.context import ModelContext
from astromodal.evaluation.embeddings.evaluate import evaluate_embeddings
from astromodal.evaluation.embeddings.figures import OTHERS, UNKNOWN, categories
from astromodal.evaluation.embeddings.measures import sample_in_turns
from astromodal.evaluation.embeddings.sample import names_to_give, sample_embeddings
from astromodal.evaluation.held_out import evaluated_fields
from astromodal.inference.encode import _encode
from astromodal.inference.model import AstroModel
from helpers.model import cube_table, toy_bundle

KINDS = ("STAR", "GALAXY", None)


@pytest.fixture(scope="module")
def model():
    return AstroModel(toy_bundle())


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """Write a field of n rows with some columns changed, or removed where None."""
    folder = tmp_path_factory.mktemp("fields")

    def make(name, n=40, seed=0, **changes):
        table = cube_table(n, seed)
        columns = {c: table.column(c) for c in table.column_names}
        columns |= {"id": [f"{name}-{i}" for i in range(n)]}
        columns |= {"specz_class_spec": pa.array([KINDS[i % 3] for i in range(n)])}
        columns |= changes
        path = folder / f"datacube_{name}.parquet"
        pq.write_table(pa.table({c: v for c, v in columns.items() if v is not None}), path)
        (folder / name).mkdir()
        cube = Cube(path, name, ColumnSettings())
        _encode(cube, model.bundle, folder / name, folder / f"{name}.safetensors")
        return name, path, folder / f"{name}.safetensors"

    return make


@pytest.fixture(scope="module")
def two(made):
    """Two fields."""
    return made("A"), made("B", seed=1)


def as_fields(*made, trained=()):
    names, cubes, sequences = zip(*made, strict=True)
    return evaluated_fields(list(names), trained, cube=cubes, sequences=sequences)


@pytest.fixture
def context(model, tmp_path):
    """Make the context of an evaluation of fields, with settings of the evaluation."""

    def make(fields, **settings):
        config = load_config({"evaluation": {"n_examples": 3, **settings}})
        context = ModelContext(fields, config, tmp_path / "figures", run=tmp_path / "run")
        vars(context)["model"] = model  # in place of the model of the run
        return context

    return make


@pytest.fixture
def evaluate(context, tmp_path):
    """Evaluate fields; the section can be written as JSON."""

    def run(fields, **settings):
        section = evaluate_embeddings(context(fields, **settings))
        section.save(tmp_path / "embeddings.json")
        return section

    return run


def test_two_fields_have_every_figure(model, two, evaluate):
    """A map, offsets, neighbours and retrieval, each with a table; the weights' hash."""
    section = evaluate(as_fields(*two))
    names = [f.file.removesuffix(".png") for f in section.figures]
    assert names == ["map", "fields", "neighbours", "retrieval"]
    assert all(f.table.rows for f in section.figures)
    assert section.hashes["transformer"] == model.hash
    assert len(section.numbers.map.x) == 80
    assert all(list(offsets.fields) == ["A", "B"] for offsets in section.numbers.fields.values())


def test_labels_are_not_given(model):
    """Redshift, stellar parameters and what is tied to them are hidden; all else is given."""
    names = names_to_give(model, LabelSettings().hidden)
    expected = ["image", "desi_r", "gaiaxp_bp", "mag_pstotal_r", "mag_pstotal_i", "vista_japermag6"]
    assert names == expected


def test_an_embedding_does_not_change_with_the_label(made, context):
    """Another redshift in the cube, the same vectors."""
    fields = as_fields(made("L1"), made("L2", specz_z=pa.array(np.linspace(0.1, 0.9, 40))))
    sample = sample_embeddings(context(fields))
    first, second = sample.vectors[sample.field == 0], sample.vectors[sample.field == 1]
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_stars_have_no_redshift(two, context):
    """Their velocity is no redshift; modalities are in words."""
    sample = sample_embeddings(context(as_fields(*two)))
    assert np.isnan(sample.redshift[sample.kind == "STAR"]).all()
    assert np.isfinite(sample.redshift[sample.kind == "GALAXY"]).any()
    assert sample.modalities[0] == "scalar + image + spectrum"
    assert sample.modalities[1] == "scalar"


def test_trained_fields_give_their_test_split(two, evaluate):
    """The toy cubes lie in one HEALPix cell, and that trains: nothing is left to embed."""
    section = evaluate(as_fields(*two, trained=("A", "B")))
    assert section.figures == []
    assert "0 embeddings cannot be evaluated: there are fewer than three" in section.notes[0]


def test_without_labels(two, evaluate):
    """No class, redshift or magnitude is named: the map is there, and notes say what is not."""
    labels = {"redshift": None, "kind": None, "magnitude": None}
    section = evaluate(as_fields(*two), labels=labels)
    notes = "\n".join(section.notes)
    for what in ("class", "redshift", "magnitude"):
        assert f"Neighbours are not compared in {what}" in notes
    assert [f.file for f in section.figures] == ["map.png", "fields.png", "retrieval.png"]


def test_columns_that_the_cubes_lack(made, evaluate):
    """Named labels that no cube has are the same as unknown ones."""
    field = made("N", specz_z=None, specz_class_spec=None)
    notes = "\n".join(evaluate(as_fields(field)).notes)
    assert "class (specz_class_spec): 0 evaluated objects have one" in notes
    assert "redshift (specz_z), stars left out: 0 evaluated objects have one" in notes
    assert "Offsets between fields were not measured" in notes


def test_one_class_only(made, evaluate):
    """Where all objects have one class, neighbours are not compared in class."""
    field = made("O", specz_class_spec=pa.array(["GALAXY"] * 40))
    notes = evaluate(as_fields(field)).notes
    assert any("all 40 evaluated objects that have one are of class GALAXY" in n for n in notes)


def test_without_images(made, evaluate):
    """No cutouts: no neighbours are shown."""
    cut = {f"splus_cut_{band}": None for band in ("U", "R", "Z")}
    section = evaluate(as_fields(made("I", **cut)))
    assert "0 evaluated objects have one, and 6 are needed" in section.notes[-1]


def test_columns_of_some_fields_alone_are_noted(two, made, evaluate):
    """A column that one field lacks reveals the field."""
    lacking = made("C", mag_pstotal_i=None)
    notes = evaluate(as_fields(two[0], lacking)).notes
    assert any("C (1) lack scalar columns" in note for note in notes)


def test_two_objects(two, evaluate):
    """Two objects are no map."""
    section = evaluate(as_fields(*two), max_objects=2)
    assert "2 embeddings cannot be evaluated: there are fewer than three" in section.notes[0]


def test_categories_by_hand():
    """The five commonest names stay, others and the unknown are called so."""
    names = np.array([*"aabbccddeef", ""])
    assert categories(names).tolist() == [*"aabbccddee", OTHERS, UNKNOWN]


def test_classes_take_turns():
    """Of ten stars and one quasar, two samples are one of each."""
    kind = np.array(["STAR"] * 10 + ["QSO"])
    for seed in range(5):
        assert set(kind[sample_in_turns(kind, 2, seed)]) == {"STAR", "QSO"}


def test_codes_of_an_earlier_cube_are_refused(made, context):
    """Where scalars changed since, objects are not embedded from what they were."""
    name, _, sequences = made("old")
    _, newer, _ = made("new", seed=1, id=[f"old-{i}" for i in range(40)])
    fields = as_fields((name, newer, sequences))
    with pytest.raises(FormatError, match="field old: codes of scalars must be those of .* as it"):
        sample_embeddings(context(fields))
