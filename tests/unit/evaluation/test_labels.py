import numpy as np
import pytest

from astromodal.config.evaluate import LabelSettings
from astromodal.data.cube import Cube
from astromodal.evaluation.held_out import cosmological, has_class, read_kinds

LABELS = LabelSettings()
COLUMN = LABELS.kind


def test_kinds_are_base_classes(write_cube):
    """Of the redshift compilation's classes the brackets are taken off."""
    cube = Cube(write_cube({"id": list("abc"), COLUMN: ["STAR(WD)", "GALAXY(SF)", None]}), "F1")
    assert read_kinds(cube, LABELS).tolist() == ["STAR", "GALAXY", ""]


def test_no_column_of_kinds(write_cube):
    """Nothing is known where the setting is null, or the cube has no such column."""
    cube = Cube(write_cube({"id": list("ab")}), "F1")
    for labels in (LABELS, LabelSettings(kind=None)):
        assert read_kinds(cube, labels).tolist() == ["", ""]


@pytest.mark.parametrize(
    ("kind", "is_class", "is_distance"),
    [
        ("GALAXY", True, True),
        ("QSO", True, True),
        ("STAR", True, False),
        ("GLOBCLUSTER", True, False),
        ("UNCLEAR", False, False),
        ("", False, True),
    ],
)
def test_classes_and_distances(kind, is_class, is_distance):
    """A star has a class and no redshift, an unclear source neither, an unknown one a redshift."""
    kinds = np.array([kind])
    assert has_class(kinds, LABELS).tolist() == [is_class]
    assert np.isfinite(cosmological(np.array([0.1]), kinds, LABELS)).tolist() == [is_distance]


def test_a_redshift_of_minus_one_is_none():
    """Nothing has log(1 + z) there."""
    assert np.isnan(cosmological(np.array([-1.0]), np.array([""]), LABELS)).all()
