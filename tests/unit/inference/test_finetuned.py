"""Models that are fine-tuned to a label, through the public interface."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from astromodal.config.training import FinetuneSettings
from astromodal.errors import ConfigError, DataError
from astromodal.inference.finetuned import ClassPrediction
from astromodal.inference.model import AstroModel
from astromodal.inference.predict_scalars import ScalarPrediction
from helpers.model import cube_table

SETTINGS = FinetuneSettings(head_epochs=2, epochs=1)
KINDS = ["STAR", "GALAXY", None, "QSO"] * 3 + ["STAR", "GALAXY"] * 10
N = len(KINDS)


@pytest.fixture(scope="module")
def objects(model):
    """Thirty-two objects."""
    return model.encode(cube_table(N))


@pytest.fixture(scope="module")
def tuned(model, objects):
    """A model that is fine-tuned to classes."""
    return model.finetune(objects, KINDS, "kind", settings=SETTINGS)


@pytest.fixture(scope="module")
def numbers(model, objects):
    """A model that is fine-tuned to numbers with errors."""
    values = np.arange(N, dtype=float)
    values[3] = np.nan
    return model.finetune(objects, values, "age", np.ones(N), "Gyr", settings=SETTINGS)


def test_classes_have_probabilities(tuned, objects):
    """One for each class that was given, which sum to 1, for every object."""
    found = tuned.predict(objects, "kind")["kind"]
    assert isinstance(found, ClassPrediction)
    assert found.classes == ("GALAXY", "QSO", "STAR")
    assert found.probabilities.shape == (N, 3)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert set(found.likeliest) <= set(found.classes)
    assert found.ids.tolist() == objects.ids.tolist()
    assert found[:3].n_given.tolist() == found.n_given[:3].tolist()


def test_numbers_have_a_distribution(numbers, objects):
    """In their unit, within the range of the labels."""
    found = numbers.predict(objects, "age")["age"]
    assert isinstance(found, ScalarPrediction)
    assert (found.column, found.unit) == ("age", "Gyr")
    assert ((found.median >= 0) & (found.median <= N - 1)).all()
    assert (found.quantile(0.16) < found.quantile(0.84)).all()


def test_other_targets_are_predicted_beside_the_label(tuned, objects):
    """A column of the model, in the same call."""
    found = tuned.predict(objects, ["kind", "mag_pstotal_r"], given=["desi_r"])
    assert set(found) == {"kind", "mag_pstotal_r"}


def test_batches_change_nothing(tuned, objects):
    """Probabilities of single objects are those of all together."""
    together = tuned.predict(objects, "kind")["kind"].probabilities
    alone = np.concatenate(
        [tuned.predict(objects[[i]], "kind")["kind"].probabilities for i in range(5)]
    )
    np.testing.assert_allclose(alone, together[:5], rtol=1e-4, atol=1e-7)


def test_what_is_given_counts(tuned, objects):
    """The number of codes, and with them the prediction."""
    everything = tuned.predict(objects, "kind")["kind"]
    some = tuned.predict(objects, "kind", given=["mag_pstotal_r"])["kind"]
    assert (some.n_given <= 1).all()
    assert not np.allclose(some.probabilities, everything.probabilities)


def test_the_label_is_never_predicted_from_what_reveals_it(model, tuned, objects):
    """By default from no label of the model's; to give one is an error."""
    assert "specz_z" in model.config.sequences.labels
    other = cube_table(N)
    other = other.set_column(
        other.column_names.index("specz_z"), "specz_z", [np.full(N, 0.4).tolist()]
    )
    same = tuned.predict(model.encode(other), "kind")["kind"].probabilities
    np.testing.assert_array_equal(same, tuned.predict(objects, "kind")["kind"].probabilities)
    with pytest.raises(ConfigError, match="without columns that reveal kind, got 'specz_z'"):
        tuned.predict(objects, "kind", given=["specz_z"])


@pytest.mark.parametrize("fixture", ["tuned", "numbers"])
def test_a_saved_model_predicts_the_same(request, objects, tmp_path, fixture):
    """Its folder is loaded like any other, and says of which label it is."""
    model = request.getfixturevalue(fixture)
    model.save(tmp_path / "model")
    again = AstroModel.from_run(tmp_path / "model")
    assert again.label == model.label
    assert f"`{model.label}`" in (tmp_path / "model/README.md").read_text()
    found, expected = (each.predict(objects, model.label)[model.label] for each in (again, model))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_a_model_without_a_label_is_saved_too(model, encoded, tmp_path):
    """And embeds the same."""
    model.save(tmp_path)
    again = AstroModel.from_run(tmp_path)
    assert again.label is None
    np.testing.assert_array_equal(again.embed(encoded), model.embed(encoded))


def test_labels_are_given_by_id_or_in_order(model, objects, tuned):
    """A dict, or a pandas Series whose index holds ids, is the same as a list."""
    expected = tuned.predict(objects, "kind")["kind"].probabilities
    by_id = dict(zip(objects.ids.tolist(), KINDS, strict=True))
    series = pd.Series(by_id).sample(frac=1.0, random_state=0)
    for labels in (by_id, series):
        again = model.finetune(objects, labels, "kind", settings=SETTINGS)
        found = again.predict(objects, "kind")["kind"].probabilities
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("labels", "name", "error", "message"),
    [
        (KINDS[:-1], "kind", DataError, "must be 32, one per object, got 31"),
        (KINDS, "specz_z", ConfigError, "no scalar column of the model, got 'specz_z'"),
        ([None] * N, "kind", DataError, "at least 10 to fine-tune to, got 0"),
        (["STAR"] * N, "kind", DataError, "classes of label kind must be at least two, got STAR"),
        (["STAR", 2.0] * (N // 2), "kind", DataError, "numbers, or text in every row"),
    ],
)
def test_labels_that_teach_nothing_are_an_error(model, objects, labels, name, error, message):
    """Too few, of one kind, mixed, or of the name of a column."""
    with pytest.raises(error, match=message):
        model.finetune(objects, labels, name, settings=SETTINGS)
