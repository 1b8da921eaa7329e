"""The objects of the atlas: their sample, map, neighbours and properties."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.atlas.survey import (
    MODALITIES,
    place_objects,
    prepare_survey,
)
from astromodal.config.evaluate import PredictSettings
from astromodal.data.cube import Cube
from astromodal.errors import DataError, FormatError
from astromodal.evaluation.embeddings.measures import embedding_space
from astromodal.inference.model import AstroModel
from astromodal.inference.tables import predict_field, read_meta
from helpers.model import toy_bundle


@pytest.fixture(scope="session")
def survey(pair, as_fields, settings):
    """Every object of the two fields."""
    return prepare_survey(as_fields(*pair), settings())


def test_objects_are_those_of_the_fields(survey):
    """Ids, fields and rows belong together."""
    assert len(survey) == survey.n_objects == 36
    assert survey.ids.tolist() == [f"A-{i}" for i in range(12)] + [f"B-{i}" for i in range(24)]
    assert survey.field.tolist() == [0] * 12 + [1] * 24
    assert survey.row.tolist() == [*range(12), *range(24)]
    assert survey.categories["field"].tolist() == ["A"] * 12 + ["B"] * 24


def test_classes_are_those_of_the_cubes(survey):
    """An object without a class has an empty one."""
    assert survey.categories["class"][:6].tolist() == ["STAR", "GALAXY", ""] * 2


def test_modalities_are_those_of_the_sequences(survey):
    """Every second row has a cutout and every third a spectrum."""
    named = [MODALITIES[(i % 2 == 0) + 2 * (i % 3 == 0)] for i in range(12)]
    assert survey.categories["modalities"][:12].tolist() == named


def test_splits_are_those_of_the_embeddings(survey, pair):
    """They come from the table."""
    table = pq.read_table(pair[0][1]["embeddings"])
    assert survey.categories["split"][:12].tolist() == table["split"].to_pylist()


def test_predictions_come_with_their_interval(survey, pair):
    """Median, 16th and 84th percentile are those of the tables."""
    table = pq.read_table(pair[1][1]["predictions"])
    assert list(survey.predicted) == ["specz_z", "gaia_teff_gspphot"]
    for i, name in enumerate(("median", "p16", "p84")):
        np.testing.assert_array_equal(survey.predicted["specz_z"][12:, i], table[f"specz_z_{name}"])


def test_measured_columns_are_those_of_the_cubes(survey, pair):
    """By default the predicted ones and the magnitudes; missing values are NaN."""
    assert list(survey.measured) == [
        "specz_z", "gaia_teff_gspphot", "mag_pstotal_r", "mag_pstotal_i"
    ]  # fmt: skip
    cube = Cube(pair[0][1]["cube"], "A")
    np.testing.assert_array_equal(survey.measured["specz_z"][:12], cube.scalar("specz_z"))
    assert np.isnan(survey.measured["specz_z"][:12]).any()


def test_columns_can_be_named(pair, as_fields, settings):
    """The setting replaces the default columns."""
    chosen = prepare_survey(as_fields(*pair), settings(columns=["mag_pstotal_i"]))
    assert list(chosen.measured) == ["mag_pstotal_i"]


def test_a_column_of_no_cube_is_an_error(pair, as_fields, settings):
    """The error names the nearest column."""
    with pytest.raises(DataError, match="some cube, got 'mag_pstotal_x'; nearest: 'mag_pstotal_"):
        prepare_survey(as_fields(*pair), settings(columns=["mag_pstotal_x"]))


def test_neighbours_are_the_nearest_in_the_space_of_embeddings(survey, pair):
    """They are compared with all distances; an object is no neighbour of its own."""
    tables = [pq.read_table(files["embeddings"]) for _, files in pair]
    vectors = np.concatenate([np.stack(table["embedding"].to_numpy()) for table in tables])
    pooling = read_meta(pair[0][1]["embeddings"])["pooling"]
    space = embedding_space(vectors, pooling)
    distance = np.linalg.norm(space[:, None] - space, axis=2)
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_array_equal(survey.near, np.argsort(distance, axis=1)[:, :10])


def test_a_survey_is_sampled(pair, as_fields, settings):
    """Of few objects, fields have their shares, and details are among them."""
    few = prepare_survey(as_fields(*pair), settings(max_objects=9, max_details=4))
    assert (len(few), few.n_objects) == (9, 36)
    assert np.bincount(few.field).tolist() == [3, 6]
    assert len(few.detailed) == 4
    assert few.near.shape == (9, 8)
    assert few.detailed.max() < 9


def test_nothing_needs_to_be_predicted(pair, as_fields, settings):
    """Without predictions the page has measurements alone."""
    survey = prepare_survey(as_fields(*pair, without=("predictions",)), settings())
    assert survey.predicted == {}
    assert "specz_z" in survey.measured


def test_columns_that_some_field_lacks_are_not_predicted(
    pair, as_fields, tmp_path, model, settings
):
    """Only what was predicted in every field is shown."""
    name, files = pair[1]
    path, split = tmp_path / "p.parquet", files["cube"].parent / "split.npz"
    predict_field(model, files["sequences"], split, 128, path, ("specz_z",), PredictSettings())
    fields = as_fields(pair[0], (name, files | {"predictions": path}))
    assert list(prepare_survey(fields, settings()).predicted) == ["specz_z"]


def test_another_model_is_refused(pair, made, as_fields, settings):
    """All files must be of one model; the error names both."""
    other = AstroModel(toy_bundle(seed=9))
    fields = as_fields(pair[0], made("C", model=other))
    with pytest.raises(FormatError, match=f"of hash \\w+, got {other.hash}; run the target"):
        prepare_survey(fields, settings())


def test_predictions_of_other_objects_are_refused(pair, as_fields, settings):
    """Their ids must be those of the embeddings."""
    (name, files), (_, others) = pair
    fields = as_fields((name, files | {"predictions": others["predictions"]}))
    with pytest.raises(FormatError, match="objects of predictions.parquet must be those of emb"):
        prepare_survey(fields, settings())


def test_sequences_of_other_objects_are_refused(pair, as_fields, settings):
    """Their ids must be those of the embeddings."""
    (name, files), (_, others) = pair
    fields = as_fields((name, files | {"sequences": others["sequences"]}))
    with pytest.raises(FormatError, match="embeddings.parquet must be those of the sequences"):
        prepare_survey(fields, settings())


def test_no_object_is_an_error(pair, as_fields, settings, tmp_path):
    """An empty survey has no page."""
    name, files = pair[0]
    pq.write_table(pq.read_table(files["embeddings"]).slice(0, 0), tmp_path / "e.parquet")
    fields = as_fields((name, files | {"embeddings": tmp_path / "e.parquet"}))
    with pytest.raises(DataError, match="embeddings must be those of some objects, got none"):
        prepare_survey(fields, settings())


def test_two_objects_have_no_map(made, as_fields, settings):
    """They have no neighbours either, but everything else."""
    survey = prepare_survey(as_fields(made("F", n=2)), settings())
    assert (survey.method, survey.near.shape) == ("no map", (2, 0))
    assert len(survey) == 2


def test_few_objects_are_all_mapped():
    """The map is that of the report's section on embeddings."""
    places, method = place_objects(np.random.default_rng(0).normal(size=(70, 5)), seed=1)
    assert method == "t-SNE"
    assert places.shape == (70, 2)


def test_others_stand_among_their_landmarks():
    """Objects of distant groups lie in the island of their group; landmarks keep their place."""
    rng = np.random.default_rng(0)
    group = np.arange(600) % 2
    space = 50.0 * group[:, None] + rng.normal(size=(600, 4))
    places, method = place_objects(space, seed=1, most=120)
    assert method == "t-SNE of 120 landmarks"
    middle = [places[group == g].mean(axis=0) for g in (0, 1)]
    own, other = (np.linalg.norm(places - np.array(middle)[g], axis=1) for g in (group, 1 - group))
    assert (own < other).all()
    again, _ = place_objects(space, seed=1, most=120)
    np.testing.assert_array_equal(places, again)
