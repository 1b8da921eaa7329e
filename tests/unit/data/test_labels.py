"""Labels of one's own: from columns of cubes, and from tables in the field's formats."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table

from astromodal.config.training import LabelSource
from astromodal.data.cube import Cube
from astromodal.data.labels import LabelReader, LabelValues
from astromodal.errors import DataError

IDS = [9007199254740993 + i for i in range(4)]
"""The first odd number that a real number of 64 bits cannot hold, and the next ones."""
KINDS = ["STAR(WD)", "GALAXY", "", "UNCLEAR"]
ROWS = np.array([0, 1, 3])


@pytest.fixture
def cube(write_cube):
    """A cube with classes, numbers and errors."""
    columns = {
        "id": [str(i) for i in IDS],
        "kind": [*KINDS[:2], None, KINDS[3]],
        "age": [1.0, None, 3.0, 4.0],
        "age_error": [0.1, 0.2, 0.3, float("nan")],
        "pair": [[1.0, 2.0]] * 4,
    }
    return Cube(write_cube(columns), "F1")


def read(cube, rows=ROWS, **source):
    return LabelReader("mine", LabelSource(**source)).read(cube, rows)


def test_a_column_of_text_holds_classes(cube):
    """Without what stands in brackets, and without those that are ignored."""
    label = read(cube, column="kind", ignored=["UNCLEAR"])
    assert label.values.tolist() == ["STAR", "GALAXY", ""]
    assert label.errors is None


def test_a_column_of_numbers_has_errors(cube):
    """Missing ones are NaN."""
    label = read(cube, column="age", error="age_error")
    np.testing.assert_array_equal(label.values, [1.0, np.nan, 4.0])
    np.testing.assert_array_equal(label.errors, [0.1, 0.2, np.nan])


@pytest.mark.parametrize(
    ("column", "message"),
    [("kinds", "finetune.labels.mine"), ("pair", "column of numbers")],
)
def test_a_column_without_labels_is_an_error(cube, column, message):
    """One that is absent, and one of lists."""
    with pytest.raises(DataError, match=message):
        read(cube, column=column)


def table_of_numbers():
    """Ages in another order, for another object too; one is missing."""
    ids = [IDS[3], 5, IDS[0], IDS[1]]
    ages = MaskedColumn([4.5, 9.0, 1.5, 0.0], mask=[False, False, False, True])
    return Table({"source": ids, "age": ages, "sigma": [0.4, 0.9, 0.1, 0.2]})


def write(table, path):
    """Write a table in the format of the name's ending."""
    if path.suffix == ".parquet":
        frame = {name: pa.array(np.ma.asarray(table[name]).tolist()) for name in table.colnames}
        pq.write_table(pa.table(frame), path)
    else:
        kinds = {".vot": "votable", ".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}
        table.write(path, format=kinds[path.suffix])
    return path


@pytest.mark.parametrize("ending", ["parquet", "csv", "ecsv", "fits", "vot"])
def test_a_table_is_joined_by_id(cube, tmp_path, ending):
    """Whole-number ids of 64 bits are exact in every format."""
    path = write(table_of_numbers(), tmp_path / f"ages.{ending}")
    label = read(cube, table=str(path), id="source", value="age", error="sigma")
    np.testing.assert_array_equal(label.values, [1.5, np.nan, 4.5])
    np.testing.assert_array_equal(label.errors, [0.1, 0.2, 0.4])


@pytest.mark.parametrize("ending", ["parquet", "csv", "fits"])
def test_a_table_may_hold_classes(cube, tmp_path, ending):
    """And ids as text."""
    table = Table({"id": [str(i) for i in IDS], "kind": ["STAR(WD)", "GALAXY", "QSO", "UNCLEAR"]})
    path = write(table, tmp_path / f"kinds.{ending}")
    label = read(cube, table=str(path), value="kind", ignored=["UNCLEAR"])
    assert label.values.tolist() == ["STAR", "GALAXY", ""]
    assert label.errors is None


@pytest.mark.parametrize(
    ("table", "source", "message"),
    [
        ({"id": [1, 1], "age": [1.0, 2.0]}, {"value": "age"}, "ids must be unique, got 1 twice"),
        ({"id": [1.0, 2.0], "age": [1.0, 2.0]}, {"value": "age"}, "64-bit ids do not fit"),
        ({"id": [1, 2], "age": [1.0, 2.0]}, {"value": "ages"}, "without 'ages'.*age"),
    ],
    ids=["repeated", "rounded", "misspelt"],
)
def test_a_table_that_cannot_be_joined_is_an_error(cube, tmp_path, table, source, message):
    """Repeated or rounded ids, and a column that is not there."""
    path = write(Table(table), tmp_path / "ages.parquet")
    with pytest.raises(DataError, match=message):
        read(cube, table=str(path), **source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "must be a file, got none"),
        ("ages.parquet", b"PAR1 and no more", "must be a table as parquet, CSV"),
        ("ages.fits", b"\x00\x01", "must be a table as parquet, CSV"),
        ("ages.xyz", b"1,2", "must be a file in .parquet, .csv, .ecsv"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(cube, tmp_path, name, content, message):
    """Absent, damaged, or of another format."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(cube, table=str(tmp_path / name), value="age")


def test_fields_are_joined(cube):
    """One after the other, with their errors."""
    parts = [read(cube, np.array(rows), column="age", error="age_error") for rows in ([3], [0, 1])]
    label = LabelValues.joined(parts)
    np.testing.assert_array_equal(label.values, [4.0, 1.0, np.nan])
    np.testing.assert_array_equal(label.errors, [np.nan, 0.1, 0.2])
    assert label.known.tolist() == [True, True, False]


def test_classes_and_numbers_are_not_joined(cube):
    """A column that is text in one field and a number in another is an error."""
    parts = [read(cube, column=column) for column in ("kind", "age")]
    with pytest.raises(DataError, match="must be numbers in every field, or text in every field"):
        LabelValues.joined(parts)
