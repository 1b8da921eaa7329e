"""Which objects are evaluated, and what is known of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config.evaluate import LabelSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, TRAIN, VALIDATION, Split
from astromodal.errors import FormatError
from astromodal.evaluation.context import (
    check_ids,
    cosmological,
    described,
    evaluated_fields,
    evaluation_rows,
    has_class,
    read_kinds,
    sample_rows,
)

LABELS = LabelSettings()
COLUMN = LABELS.kind
SPLIT = Split(
    ids=np.array(["a", "b", "c", "d"]),
    healpix=np.zeros(4, np.int64),
    split=np.array([TRAIN, VALIDATION, TEST, TEST], np.uint8),
    selected=np.array([True, True, True, False]),
)


def test_trained_field_gives_its_test_split():
    """Of a field that trained, only selected test objects count."""
    assert evaluation_rows(SPLIT, trained=True).tolist() == [False, False, True, False]


def test_held_out_field_gives_every_selected_row():
    """Of a field that nothing was trained on, all selected objects count."""
    assert evaluation_rows(SPLIT, trained=False).tolist() == [True, True, True, False]


@given(st.lists(st.integers(0, 30), max_size=4), st.integers(0, 40), st.integers(0, 9))
def test_sample_takes_as_many_as_it_may(sizes, most, seed):
    """A sample has min(most, all) distinct rows, ascending, all of them candidates."""
    candidates = [np.arange(n) * 3 + i for i, n in enumerate(sizes)]
    sampled = sample_rows(candidates, most, seed)
    assert sum(map(len, sampled)) == min(most, sum(sizes))
    for rows, own in zip(sampled, candidates, strict=True):
        assert np.all(np.diff(rows) > 0)
        assert set(rows.tolist()) <= set(own.tolist())


def test_sample_is_deterministic():
    """The same seed samples the same objects, another seed others."""
    candidates = [np.arange(100)]
    first, again, other = (sample_rows(candidates, 10, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_files_must_be_parallel_to_fields():
    """A list of another length than the fields is refused."""
    with pytest.raises(FormatError, match="files of 'cube' must be 2, one per field, got 1"):
        evaluated_fields(["A", "B"], ["A"], cube=["a.parquet"])


def test_fields_know_whether_they_trained():
    """Only the fields that trained are marked so, and each has its own files."""
    fields = evaluated_fields(["A", "B"], ["B"], cube=["a", "b"])
    assert [(f.name, f.trained, str(f.files["cube"])) for f in fields] == [
        ("A", False, "a"),
        ("B", True, "b"),
    ]


def test_described_names_what_counts():
    """The words distinguish held-out fields from test splits."""
    fields = evaluated_fields(["A", "B"], ["B"])
    assert described(fields) == (
        "all selected objects of A, where nothing was trained; the test split of B"
    )
    assert described([]) == "no field"


def test_described_shortens_long_lists():
    """Of many fields only the first are named."""
    assert "and 4 more" in described(evaluated_fields(list("ABCDEFGHIJ"), []))


@pytest.mark.parametrize("ids", [["b", "x"], ["b"]])
def test_ids_must_be_the_cubes(tmp_path, ids):
    """Codes of other objects than the cube's are refused."""
    with pytest.raises(FormatError, match="ids of t.npz must be those of the cube's rows"):
        check_ids(np.array(["a", "b", "c"]), np.array([1, 2]), np.array(ids), tmp_path / "t.npz")


def test_rows_must_be_inside_the_cube(tmp_path):
    """Codes of rows that the cube does not have are refused."""
    with pytest.raises(FormatError, match="must be those of the cube's rows"):
        check_ids(np.array(["a"]), np.array([5]), np.array(["a"]), tmp_path / "t.npz")


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
