"""Targets, the objects that are fitted, tuned and scored, and notes on what is not evaluated."""

import numpy as np
import pytest

from astromodal.config.evaluate import DownstreamSettings, EvaluationSettings, LabelSettings
from astromodal.evaluation.downstream.sample import FIT, SCORE, TUNE
from astromodal.evaluation.downstream.tasks import (
    Target,
    find_targets,
    most_labelled,
    requested_combinations,
    sample_tasks,
)

LABELS = LabelSettings(stellar=("gaia_teff_gspphot",))


def _tasks(objects, labels=LABELS, given=("scalar",), **settings):
    """Tasks and notes."""
    notes = []
    downstream = DownstreamSettings(given=given)
    evaluation = EvaluationSettings(labels=labels, downstream=downstream, **settings)
    return sample_tasks(objects, find_targets(objects, labels, notes), evaluation, notes), notes


def test_stars_have_no_redshift(objects):
    """An object of class star is left out; one of unknown class is not."""
    kind = np.resize(["GALAXY", "STAR", ""], 70)
    targets = find_targets(objects(kind=kind), LABELS, [])
    redshift = targets[Target("specz_z", "redshift")]
    assert np.array_equal(np.isnan(redshift), kind == "STAR")


def test_an_impossible_label_is_missing(objects):
    """A redshift of -1 and a temperature of 0 have no logarithm."""
    labelled = objects(kind=np.full(70, ""))
    labelled.values["specz_z"][0], labelled.values["gaia_teff_gspphot"][1] = -1, 0
    redshift, teff, _ = find_targets(labelled, LABELS, []).values()
    assert np.isnan(redshift[0])
    assert np.isnan(teff[1])


def test_objects_have_one_role_each(objects):
    """No fitted or tuned object is scored, and all have a label and the given modalities."""
    labelled = objects()
    tasks, _ = _tasks(labelled, given=("scalar+image",))
    for task in tasks:
        for rows, role in ((task.fit, FIT), (task.tune, TUNE), (task.score, SCORE)):
            assert set(labelled.role[rows]) <= {role}
            assert labelled.have("scalar+image")[rows].all()
            assert np.isfinite(task.labels[rows]).all()


def test_objects_and_labels_are_limited(objects):
    """There are no more labels and objects than the settings allow."""
    downstream = DownstreamSettings(given=("scalar",), max_labels=16)
    evaluation = EvaluationSettings(labels=LABELS, downstream=downstream, max_objects=11)
    labelled = objects()
    tasks = sample_tasks(labelled, find_targets(labelled, LABELS, []), evaluation, [])
    assert [(len(t.fit), len(t.score)) for t in tasks][1] == (16, 11)


def test_by_default_all_combinations_that_objects_have(objects):
    """Scalars, images and both, but no spectrum, because no object has one."""
    assert requested_combinations(objects(), None) == ("scalar", "image", "scalar+image")


def test_a_combination_that_no_object_has_is_noted(objects):
    """A spectrum is requested, and no evaluated object has one."""
    tasks, notes = _tasks(objects(), given=("scalar+spectrum",))
    assert not tasks
    assert "No evaluated object with a label has scalars and a spectrum." in notes


def test_missing_images_are_noted(objects):
    """Images are requested, and there are none."""
    has = np.tile([True, False, False], (70, 1))
    tasks, notes = _tasks(objects(has=has), given=("scalar", "image"))
    assert {task.given for task in tasks} == {"scalar"}
    assert "No evaluated object with a label has an image." in notes


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (LabelSettings(redshift=None), "evaluation.labels.redshift is null"),
        (LabelSettings(kind=None), "evaluation.labels.kind is null"),
    ],
)
def test_a_label_that_is_null_is_noted(objects, labels, note):
    """A note names the setting, and the other labels are evaluated."""
    labelled = objects(absent=frozenset(("gaia_logg_gspphot", "gaia_mh_gspphot")))
    tasks, notes = _tasks(labelled, labels)
    assert any(note in each for each in notes)
    assert len({task.target.column for task in tasks}) == 2


@pytest.mark.parametrize("absent", ["specz_z", "specz_class_spec", "gaia_teff_gspphot"])
def test_a_column_that_no_cube_has_is_noted(objects, absent):
    """A note names the column, and the setting that names it."""
    kind = np.full(70, "") if absent == "specz_class_spec" else np.resize(["A", "B"], 70)
    tasks, notes = _tasks(objects(absent=frozenset([absent]), kind=kind))
    assert any(f"No cube has the column {absent} (evaluation.labels." in note for note in notes)
    assert absent not in {task.target.name for task in tasks}


def test_unknown_stars_are_noted(objects):
    """Without classes, redshifts of stars cannot be left out."""
    _, notes = _tasks(objects(kind=np.full(70, "")))
    assert any("stars are not excluded from specz_z" in note for note in notes)


def test_columns_of_other_names_are_used(objects):
    """Labels are the columns that the settings name."""
    labelled = objects(values={"z_spec": np.linspace(0, 1, 70)})
    labels = LabelSettings(redshift="z_spec", kind="type", stellar=(), stars=("GALAXY",))
    tasks, _ = _tasks(labelled, labels)
    assert [task.target.column for task in tasks] == ["z_spec", "z_spec", "type"]
    assert set(labelled.kind[tasks[0].fit]) == {"STAR"}


def test_stars_are_among_the_redshifts_of_another_target(objects):
    """It has the measured redshift of every object, and is evaluated from one combination."""
    labelled = objects()
    tasks, _ = _tasks(labelled, given=("scalar", "scalar+image"))
    every = [task for task in tasks if task.target.stars]
    assert [(task.target.name, task.given) for task in every] == [
        ("specz_z, stars included", "scalar")
    ]
    assert set(labelled.kind[every[0].score]) == {"GALAXY", "STAR"}


def test_without_stars_there_is_one_redshift(objects):
    """Stars without a redshift, and none at all."""
    for kind in (np.full(70, "GALAXY"), np.full(70, "")):
        tasks, _ = _tasks(objects(kind=kind))
        assert sum(task.target.role == "redshift" for task in tasks) == 1


@pytest.mark.parametrize(("n_fit", "n_score"), [(14, 40), (40, 9)])
def test_too_few_labels_are_noted(objects, n_fit, n_score):
    """The note contains the numbers of labels."""
    tasks, notes = _tasks(objects(n_fit=n_fit, n_score=n_score))
    assert not tasks
    assert any(f"gaia_teff_gspphot from scalar ({n_fit}, {n_score})" in note for note in notes)


def test_a_single_class_is_noted(objects):
    """Where all labels are of one class there is nothing to learn."""
    tasks, notes = _tasks(objects(kind=np.full(70, "GALAXY")))
    assert any("all labels to fit to are GALAXY" in note for note in notes)
    assert "specz_class_spec" not in {task.target.name for task in tasks}


def test_training_labels_tune_where_validation_has_too_few(objects):
    """A fifth of the labels of the training split is used to tune, and a note says so."""
    tasks, notes = _tasks(objects(n_tune=4))
    teff = tasks[1]
    assert (len(teff.fit), len(teff.tune)) == (32, 8)
    assert not set(teff.fit) & set(teff.tune)
    assert any("gaia_teff_gspphot from scalar (4)" in note for note in notes)


def test_curves_are_made_where_all_methods_can_be_used(objects):
    """They use the combination with scalars that has the most labels, for each target."""
    tasks, _ = _tasks(objects(n_fit=60), given=("image", "scalar+image", "scalar"))
    chosen = {task.target.name: task.given for task in most_labelled(tasks)}
    assert chosen["gaia_teff_gspphot"] == "scalar"
    assert "image" not in chosen.values()


def test_transforms_are_inverted():
    """The inverse returns values in the label's own unit."""
    values = np.array([0.5, 3.0, 5000.0])
    for target in (Target("specz_z", "redshift"), Target("gaia_teff_gspphot", "temperature"),
                   Target("gaia_mh_gspphot", "stellar")):  # fmt: skip
        assert target.inverse_transform(target.transform(values)) == pytest.approx(values)
    assert Target("gaia_teff_gspphot", "temperature").transform(np.array([1e4])) == pytest.approx(4)
