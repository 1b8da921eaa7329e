"""Objects to fit on, to tune on and to score, and notes on what cannot be evaluated."""

import numpy as np
import pytest

from astromodal.config.evaluate import DownstreamSettings, EvaluationSettings, LabelSettings
from astromodal.evaluation.downstream.objects import FIT, SCORE, TUNE, Target, find_targets
from astromodal.evaluation.downstream.tasks import (
    most_labelled,
    requested_combinations,
    sample_tasks,
)

LABELS = LabelSettings(stellar=("gaia_teff_gspphot",))


def _tasks(objects, labels=LABELS, given=("scalar",), **settings):
    """Tasks and notes."""
    notes = []
    requested = DownstreamSettings(given=given)
    evaluation = EvaluationSettings(labels=labels, downstream=requested, **settings)
    return sample_tasks(objects, find_targets(objects, labels, notes), evaluation, notes), notes


def test_stars_have_no_redshift(objects):
    """An object whose kind is a star is left out; one of unknown kind stays."""
    kind = np.resize(["GALAXY", "STAR", ""], 70)
    found = find_targets(objects(kind=kind), LABELS, [])
    redshift = found[Target("specz_z", "redshift")]
    assert np.array_equal(np.isnan(redshift), kind == "STAR")


def test_a_label_that_cannot_be_is_missing(objects):
    """A redshift of -1 and a temperature of 0 have no logarithm."""
    sky = objects(kind=np.full(70, ""))
    sky.values["specz_z"][0], sky.values["gaia_teff_gspphot"][1] = -1, 0
    redshift, teff, _ = find_targets(sky, LABELS, []).values()
    assert np.isnan(redshift[0])
    assert np.isnan(teff[1])


def test_objects_have_one_role_each(objects):
    """No object to fit or tune on is scored, and all have the modalities and a label."""
    sky = objects()
    tasks, _ = _tasks(sky, given=("scalar+image",))
    for task in tasks:
        for rows, role in ((task.fit, FIT), (task.tune, TUNE), (task.score, SCORE)):
            assert set(sky.role[rows]) <= {role}
            assert sky.have("scalar+image")[rows].all()
            assert np.isfinite(task.labels[rows]).all()


def test_objects_and_labels_are_limited(objects):
    """No more labels and objects than the settings allow."""
    requested = DownstreamSettings(given=("scalar",), max_labels=16)
    evaluation = EvaluationSettings(labels=LABELS, downstream=requested, max_objects=11)
    sky = objects()
    tasks = sample_tasks(sky, find_targets(sky, LABELS, []), evaluation, [])
    assert [(len(c.fit), len(c.score)) for c in tasks][1] == (16, 11)


def test_all_combinations_that_objects_have(objects):
    """By default: scalars, images and both, but no spectrum, which no object has."""
    assert requested_combinations(objects(), None) == ("scalar", "image", "scalar+image")


def test_a_combination_that_nobody_has_is_noted(objects):
    """A spectrum is requested, and no evaluated object has one."""
    tasks, notes = _tasks(objects(), given=("scalar+spectrum",))
    assert not tasks
    assert "No evaluated object with a label has scalars and a spectrum." in notes


def test_no_images_anywhere_is_noted(objects):
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
def test_a_label_that_does_not_exist_is_noted(objects, labels, note):
    """Null in the settings is said, and the other labels are evaluated."""
    sky = objects(absent=frozenset(("gaia_logg_gspphot", "gaia_mh_gspphot")))
    tasks, notes = _tasks(sky, labels)
    assert any(note in each for each in notes)
    assert len(tasks) == 2


@pytest.mark.parametrize("absent", ["specz_z", "specz_class_spec", "gaia_teff_gspphot"])
def test_a_column_that_no_cube_has_is_noted(objects, absent):
    """Named with the setting that names it."""
    kind = np.full(70, "") if absent == "specz_class_spec" else np.resize(["A", "B"], 70)
    tasks, notes = _tasks(objects(absent=frozenset([absent]), kind=kind))
    assert any(f"No cube has the column {absent} (evaluation.labels." in note for note in notes)
    assert absent not in {task.target.name for task in tasks}


def test_stars_that_are_not_known_are_noted(objects):
    """Without kinds, redshifts of stars cannot be left out."""
    _, notes = _tasks(objects(kind=np.full(70, "")))
    assert any("Stars among specz_z are unknown" in note for note in notes)


def test_renamed_columns_are_followed(objects):
    """Labels of other names are those that the settings name."""
    sky = objects(values={"z_spec": np.linspace(0, 1, 70)})
    labels = LabelSettings(redshift="z_spec", kind="type", stellar=(), stars=("GALAXY",))
    tasks, _ = _tasks(sky, labels)
    assert [task.target.name for task in tasks] == ["z_spec", "type"]
    assert set(sky.kind[tasks[0].fit]) == {"STAR"}


@pytest.mark.parametrize(("n_fit", "n_score"), [(14, 40), (40, 9)])
def test_too_few_labels_are_noted(objects, n_fit, n_score):
    """With the numbers of those that there are."""
    tasks, notes = _tasks(objects(n_fit=n_fit, n_score=n_score))
    assert not tasks
    assert any(f"gaia_teff_gspphot from scalar ({n_fit}, {n_score})" in note for note in notes)


def test_one_class_is_noted(objects):
    """Where all labels say the same there is nothing to learn."""
    tasks, notes = _tasks(objects(kind=np.full(70, "GALAXY")))
    assert any("all labels to fit on are GALAXY" in note for note in notes)
    assert "specz_class_spec" not in {task.target.name for task in tasks}


def test_training_labels_tune_where_validation_has_too_few(objects):
    """A fifth of them is set aside, which is said."""
    tasks, notes = _tasks(objects(n_tune=4))
    teff = tasks[1]
    assert (len(teff.fit), len(teff.tune)) == (32, 8)
    assert not set(teff.fit) & set(teff.tune)
    assert any("gaia_teff_gspphot from scalar (4)" in note for note in notes)


def test_curves_are_made_where_all_methods_can_take_part(objects):
    """Of each target the combination with scalars that has the most labels."""
    tasks, _ = _tasks(objects(n_fit=60), given=("image", "scalar+image", "scalar"))
    chosen = {task.target.name: task.given for task in most_labelled(tasks)}
    assert chosen["gaia_teff_gspphot"] == "scalar"
    assert "image" not in chosen.values()


def test_scales_come_back():
    """Predictions on the inward scale come back in the label's unit."""
    values = np.array([0.5, 3.0, 5000.0])
    for target in (Target("specz_z", "redshift"), Target("gaia_teff_gspphot", "stellar"),
                   Target("gaia_mh_gspphot", "stellar")):  # fmt: skip
        assert target.outward(target.inward(values)) == pytest.approx(values)
    assert Target("gaia_teff_gspphot", "stellar").inward(np.array([1e4])) == pytest.approx(4)
