"""Which objects are evaluated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.splits import TEST, TRAIN, VALIDATION, Split
from astromodal.errors import FormatError
from astromodal.evaluation.held_out import (
    check_ids,
    described,
    evaluated_fields,
    evaluation_rows,
    sample_rows,
)

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
def test_draw_takes_as_many_as_it_may(sizes, most, seed):
    """A draw has min(most, all) distinct rows, ascending, all of them candidates."""
    candidates = [np.arange(n) * 3 + i for i, n in enumerate(sizes)]
    drawn = sample_rows(candidates, most, seed)
    assert sum(map(len, drawn)) == min(most, sum(sizes))
    for rows, own in zip(drawn, candidates, strict=True):
        assert np.all(np.diff(rows) > 0)
        assert set(rows.tolist()) <= set(own.tolist())


def test_draw_is_deterministic():
    """The same seed draws the same objects, another seed others."""
    candidates = [np.arange(100)]
    first, again, other = (sample_rows(candidates, 10, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_files_must_be_parallel_to_fields():
    """A list of another length than the fields is refused."""
    with pytest.raises(FormatError, match="files of 'cube' must be 2, one a field, got 1"):
        evaluated_fields(["A", "B"], ["A"], cube=["a.parquet"])


def test_fields_know_whether_they_trained():
    """Only the fields that trained are marked so, and each has its own files."""
    fields = evaluated_fields(["A", "B"], ["B"], cube=["a", "b"])
    assert [(f.name, f.trained, str(f.files["cube"])) for f in fields] == [
        ("A", False, "a"),
        ("B", True, "b"),
    ]


def test_described_names_what_counts():
    """The words tell held-out fields from test splits."""
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
