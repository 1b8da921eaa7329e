"""Which objects teach, tune and score, and what cannot be evaluated."""

import numpy as np
import pytest

from astromodal.config.evaluate import DownstreamSettings, EvaluationSettings, LabelSettings
from astromodal.evaluation.downstream.objects import FIT, SCORE, TUNE, Target, find_targets
from astromodal.evaluation.downstream.tasks import asked_for, most_labelled, sample_tasks

LABELS = LabelSettings(stellar=("gaia_teff_gspphot",))


def _cases(objects, labels=LABELS, given=("scalar",), **settings):
    """Cases and notes."""
    notes = []
    asked = DownstreamSettings(given=given)
    evaluation = EvaluationSettings(labels=labels, downstream=asked, **settings)
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
    """Nothing that teaches or tunes is scored, and all have what is given and a label."""
    sky = objects()
    cases, _ = _cases(sky, given=("scalar+image",))
    for case in cases:
        for rows, role in ((case.fit, FIT), (case.tune, TUNE), (case.score, SCORE)):
            assert set(sky.role[rows]) <= {role}
            assert sky.have("scalar+image")[rows].all()
            assert np.isfinite(case.labels[rows]).all()


def test_objects_and_labels_are_limited(objects):
    """No more labels and objects than asked for."""
    asked = DownstreamSettings(given=("scalar",), max_labels=16)
    evaluation = EvaluationSettings(labels=LABELS, downstream=asked, max_objects=11)
    sky = objects()
    cases = sample_tasks(sky, find_targets(sky, LABELS, []), evaluation, [])
    assert [(len(c.fit), len(c.score)) for c in cases][1] == (16, 11)


def test_all_combinations_that_objects_have(objects):
    """Without a wish: scalars, images and both, but no spectrum, for nobody has one."""
    assert asked_for(objects(), None) == ("scalar", "image", "scalar+image")


def test_a_combination_that_nobody_has_is_noted(objects):
    """A spectrum was asked for, and no evaluated object has one."""
    cases, notes = _cases(objects(), given=("scalar+spectrum",))
    assert not cases
    assert "No evaluated object with a label has scalars and a spectrum." in notes


def test_no_images_anywhere_is_noted(objects):
    """Images were asked for, and there are none."""
    has = np.tile([True, False, False], (70, 1))
    cases, notes = _cases(objects(has=has), given=("scalar", "image"))
    assert {case.given for case in cases} == {"scalar"}
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
    cases, notes = _cases(sky, labels)
    assert any(note in each for each in notes)
    assert len(cases) == 2


@pytest.mark.parametrize("absent", ["specz_z", "specz_class_spec", "gaia_teff_gspphot"])
def test_a_column_that_no_cube_has_is_noted(objects, absent):
    """Named with the setting that names it."""
    kind = np.full(70, "") if absent == "specz_class_spec" else np.resize(["A", "B"], 70)
    cases, notes = _cases(objects(absent=frozenset([absent]), kind=kind))
    assert any(f"No cube has the column {absent} (evaluation.labels." in note for note in notes)
    assert absent not in {case.target.name for case in cases}


def test_stars_that_are_not_known_are_noted(objects):
    """Without kinds, redshifts of stars cannot be left out."""
    _, notes = _cases(objects(kind=np.full(70, "")))
    assert any("Stars among specz_z are not known" in note for note in notes)


def test_renamed_columns_are_followed(objects):
    """Labels of other names are those that the settings name."""
    sky = objects(values={"z_spec": np.linspace(0, 1, 70)})
    labels = LabelSettings(redshift="z_spec", kind="type", stellar=(), stars=("GALAXY",))
    cases, _ = _cases(sky, labels)
    assert [case.target.name for case in cases] == ["z_spec", "type"]
    assert set(sky.kind[cases[0].fit]) == {"STAR"}


@pytest.mark.parametrize(("n_fit", "n_score"), [(14, 40), (40, 9)])
def test_too_few_labels_are_noted(objects, n_fit, n_score):
    """With the numbers of those that there are."""
    cases, notes = _cases(objects(n_fit=n_fit, n_score=n_score))
    assert not cases
    assert any(f"gaia_teff_gspphot from scalar ({n_fit}, {n_score})" in note for note in notes)


def test_one_class_is_noted(objects):
    """Where all labels say the same there is nothing to learn."""
    cases, notes = _cases(objects(kind=np.full(70, "GALAXY")))
    assert any("all labels to learn from say GALAXY" in note for note in notes)
    assert "specz_class_spec" not in {case.target.name for case in cases}


def test_training_labels_tune_where_validation_has_too_few(objects):
    """A fifth of them is set aside, which is said."""
    cases, notes = _cases(objects(n_tune=4))
    teff = cases[1]
    assert (len(teff.fit), len(teff.tune)) == (32, 8)
    assert not set(teff.fit) & set(teff.tune)
    assert any("gaia_teff_gspphot from scalar (4)" in note for note in notes)


def test_curves_are_made_where_all_ways_can_take_part(objects):
    """Of each target the combination with scalars that has the most labels."""
    cases, _ = _cases(objects(n_fit=60), given=("image", "scalar+image", "scalar"))
    chosen = {case.target.name: case.given for case in most_labelled(cases)}
    assert chosen["gaia_teff_gspphot"] == "scalar"
    assert "image" not in chosen.values()


def test_scales_come_back():
    """What is learned inwardly is told in the label's own unit."""
    values = np.array([0.5, 3.0, 5000.0])
    for target in (Target("specz_z", "redshift"), Target("gaia_teff_gspphot", "stellar"),
                   Target("gaia_mh_gspphot", "stellar")):  # fmt: skip
        assert target.outward(target.inward(values)) == pytest.approx(values)
    assert Target("gaia_teff_gspphot", "stellar").inward(np.array([1e4])) == pytest.approx(4)
