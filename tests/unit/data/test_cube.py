from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.errors import DataError


def test_binary_and_text_ids_read_the_same(write_cube):
    """b"i06" and "i06" are the same source."""
    binary = Cube(write_cube({"id": pa.array([b"i06", b"i07"])}, "A"), "A")
    text = Cube(write_cube({"id": ["i06", "i07"]}, "B"), "B")
    assert binary.ids().tolist() == text.ids().tolist() == ["i06", "i07"]


def test_numeric_ids_stay_exact(write_cube):
    """A 64-bit id does not pass through a float."""
    big = 2449704931658296064 + 1
    assert Cube(write_cube({"id": pa.array([big], pa.int64())}), "F1").ids().tolist() == [str(big)]


def test_missing_ids_are_refused(write_cube):
    """A row without an id cannot be joined to anything."""
    cube = Cube(write_cube({"id": ["a", None]}), "F1")
    with pytest.raises(
        DataError,
        match=r"field F1: column 'id' .* present in every row, got 1 of 2 rows not",
    ):
        cube.ids()


def test_ids_that_are_no_text_are_refused(write_cube):
    """Bytes that are not UTF-8 are no id."""
    cube = Cube(write_cube({"id": pa.array([b"\xff\xfe"])}), "F1")
    with pytest.raises(DataError, match="must be UTF-8 text"):
        cube.ids()


def test_null_nan_and_infinity_are_missing(write_cube):
    """Whatever is not a finite number reads as NaN."""
    path = write_cube({"id": list("abcd"), "x": [1.0, None, float("nan"), float("-inf")]})
    assert np.isnan(Cube(path, "F1").scalar("x")).tolist() == [False, True, True, True]


def test_an_absent_column_is_all_missing(write_cube):
    """A survey without a match in the field has no columns: its values are missing."""
    cube = Cube(write_cube({"id": ["a"], "x": [2.0]}), "F1")
    assert np.array_equal(cube.scalars(["y", "x"]), [[np.nan, 2.0]], equal_nan=True)


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int16(), pa.int64()])
def test_numbers_of_any_width_read_as_float64(write_cube, kind):
    """float32 errors, float64 magnitudes and integer flags read alike."""
    values = Cube(write_cube({"id": ["a"], "x": pa.array([3], kind)}), "F1").scalars(["x"])
    assert (values.dtype, values.tolist()) == (np.float64, [[3.0]])


def test_a_column_without_any_value_is_missing(write_cube):
    """A column of Arrow type null reads as NaN."""
    path = write_cube({"id": ["a"], "x": pa.nulls(1)})
    assert np.isnan(Cube(path, "F1").scalar("x")).all()


def test_text_where_numbers_belong_is_refused(write_cube):
    """Text in a number column is named, not guessed at."""
    cube = Cube(write_cube({"id": ["a"], "x": ["1.5"]}), "F1")
    with pytest.raises(DataError, match="column 'x' .* must be a column of numbers, got string"):
        cube.scalar("x")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_text_is_read_without_spaces_around_it(write_cube, kind):
    """What is null is empty."""
    path = write_cube({"id": list("abc"), "kind": pa.array(["STAR ", None, "QSO"], kind)})
    assert Cube(path, "F1").text("kind").tolist() == ["STAR", "", "QSO"]


def test_absent_text_is_empty(write_cube):
    """A column that is not there, or without any value, says nothing of a source."""
    cube = Cube(write_cube({"id": list("ab"), "kind": pa.nulls(2)}), "F1")
    assert cube.text("kind").tolist() == cube.text("class").tolist() == ["", ""]


def test_numbers_where_text_belongs_are_refused(write_cube):
    """A column of codes is no column of names."""
    cube = Cube(write_cube({"id": ["a"], "kind": [3]}), "F1")
    with pytest.raises(DataError, match="column 'kind' .* must be a column of text, got int64"):
        cube.text("kind")


def test_a_missing_id_column_is_named_with_the_nearest(write_cube):
    """The column that identifies sources must be there."""
    with pytest.raises(DataError, match="field F1: column 'id' is missing from .*; nearest: 'ids'"):
        Cube(write_cube({"ids": ["a"], "ra": [1.0]}), "F1", ColumnSettings(id="id"))


def test_an_empty_file_is_refused(tmp_path):
    """A file of zero bytes is no cube."""
    (tmp_path / "datacube_F1.parquet").touch()
    with pytest.raises(
        DataError, match="field F1: datacube_F1.parquet must be a whole parquet file"
    ):
        Cube(tmp_path / "datacube_F1.parquet", "F1")


def test_a_truncated_file_is_refused(write_cube):
    """A cube cut short in copying is named, with a remedy."""
    path = write_cube({"id": ["a"] * 100})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="whole parquet file.*copy the cube again"):
        Cube(path, "F1")


def test_damage_inside_is_refused(write_cube):
    """Damaged pages end in an error that names the field, not in wrong values."""
    path = write_cube({"id": [f"{i}" for i in range(5000)]}, compression="zstd")
    damaged = bytearray(path.read_bytes())
    damaged[100:2000] = bytes(1900)
    path.write_bytes(damaged)
    cube = Cube(path, "F1")
    with pytest.raises(DataError, match="field F1: .* must be readable"):
        cube.ids()


def test_an_absent_file_is_an_absent_file(tmp_path):
    """Absence is not damage."""
    with pytest.raises(FileNotFoundError):
        Cube(tmp_path / "none.parquet", "F1")


def test_slices_cover_all_rows_in_order(write_cube):
    """Slices are consecutive, also across row groups, and hold only the requested columns."""
    path = write_cube({"id": [str(i) for i in range(10)], "x": list(range(10))}, row_group_size=4)
    slices = list(Cube(path, "F1").slices(["x"], rows=3))
    assert np.concatenate([s.rows() for s in slices]).tolist() == list(range(10))
    assert [v for s in slices for v in s.table.column(0).to_pylist()] == list(range(10))
    assert slices[0].table.schema.names == ["x"]


def test_a_cube_of_no_rows_reads_as_nothing(write_cube):
    """Zero rows are no error."""
    cube = Cube(
        write_cube({"id": pa.array([], pa.binary()), "x": pa.array([], pa.float64())}), "F1"
    )
    assert cube.ids().shape == (0,)
    assert cube.scalars(["x", "y"]).shape == (0, 2)


def test_a_column_twice_is_refused(tmp_path):
    """Two columns of one name cannot be distinguished."""
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], ["id", "x", "x"])
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"must be unique, got \['x'\] twice"):
        Cube(tmp_path / "c.parquet", "F1")


def test_the_dtype_of_a_column(write_cube):
    """Readers of lists ask for the Arrow type first."""
    cube = Cube(write_cube({"id": ["a"], "x": [1.0]}), "F1")
    assert cube.dtype("x") == pa.float64()
    with pytest.raises(DataError, match="column 'xx' is missing"):
        cube.dtype("xx")


def test_row_groups_without_a_wanted_row_are_not_read(write_cube):
    """Of groups of four rows, the first and the last hold rows 1 and 9: the second is left out."""
    path = write_cube({"id": [str(i) for i in range(10)], "x": list(range(10))}, row_group_size=4)
    keep = np.isin(np.arange(10), [1, 9])
    slices = list(Cube(path, "F1").slices(["x"], rows=3, keep=keep))
    rows = np.concatenate([s.rows() for s in slices]).tolist()
    assert rows == [0, 1, 2, 3, 8, 9]
    assert [v for s in slices for v in s.table.column(0).to_pylist()] == rows


@pytest.mark.parametrize(
    "kind", [pa.float64(), pa.timestamp("us"), pa.bool_(), pa.list_(pa.int64()), pa.date32()]
)
def test_ids_of_other_types_are_refused(write_cube, kind):
    """Floats are rounded, dates have many printed forms, lists are no ids."""
    cube = Cube(write_cube({"id": pa.nulls(2, kind)}), "F1")
    with pytest.raises(DataError, match="must be a column of text, bytes or whole .*columns.id"):
        cube.ids()


@pytest.mark.parametrize(("ids", "row"), [(["a", "", "b"], 1), (["a", "b", "x" * 257], 2)])
def test_ids_that_are_none(write_cube, ids, row):
    """An empty id, or one that would make every id's array a thousand characters wide."""
    with pytest.raises(DataError, match=rf"got 1 of 3 rows not, from row {row} on; repair"):
        Cube(write_cube({"id": ids}), "F1").ids()


def test_text_in_a_dictionary(write_cube):
    """As pandas writes categories; and bytes."""
    kinds = pa.array(["STAR", None, "QSO"]).dictionary_encode()
    table = {"id": kinds.fill_null("x"), "kind": kinds, "raw": pa.array([b"A", b"B", None])}
    cube = Cube(write_cube(table), "F1")
    assert cube.ids().tolist() == ["STAR", "x", "QSO"]
    assert cube.text("kind").tolist() == ["STAR", "", "QSO"]
    assert cube.text("raw").tolist() == ["A", "B", ""]


def test_lists_where_lists_belong(write_cube):
    """A column of lists of numbers, or of nulls alone."""
    cube = Cube(write_cube({"id": ["a"], "x": [[1.0]], "y": pa.nulls(1), "z": [["b"]]}), "F1")
    cube.require_lists("x")
    cube.require_lists("y")
    with pytest.raises(DataError, match="column 'z' .* must be a column of lists of numbers, got"):
        cube.require_lists("z")


def test_more_rows_than_bytes_are_refused(write_cube, monkeypatch):
    """A footer that counts rows that the file has no room for makes no array of them."""
    monkeypatch.setattr("astromodal.data.parquet._ROWS_A_BYTE", 0)
    with pytest.raises(DataError, match="whole parquet file, got 1 rows, 1 in its row groups, in"):
        Cube(write_cube({"id": ["a"]}), "F1")


def test_a_column_of_two_names_is_refused(write_cube):
    """Arrow writes the names of columns twice: a bit flipped in one is no absent column."""
    path = write_cube({"id": ["a"], "magnitude": [1.0]})
    path.write_bytes(path.read_bytes().replace(b"magnitude", b"magnitudf"))
    with pytest.raises(DataError, match="two names of a column, 'magnitude' and 'magnitudf'; copy"):
        Cube(path, "F1")


@pytest.mark.parametrize("kind", [pa.binary(), pa.binary(4), pa.large_binary()])
def test_padding_is_no_part_of_an_id(write_cube, kind):
    """Bytes of a fixed width, as FITS tables have them, end in blanks or NULs."""
    ids = pa.array([b"a b ", b"ab\0\0", b"abcd"], kind)
    assert Cube(write_cube({"id": ids}), "F1").ids().tolist() == ["a b", "ab", "abcd"]


def test_small_row_groups_are_read_together(write_cube):
    """Neighbouring groups of two rows make slices of at most five rows; a gap divides them."""
    path = write_cube({"id": [str(i) for i in range(10)], "x": list(range(10))}, row_group_size=2)
    cube, keep = Cube(path, "F1"), np.isin(np.arange(10), [1, 3, 9])
    assert [part.rows().tolist() for part in cube.slices(["id", "x"], rows=5)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9],
    ]  # fmt: skip
    kept = [part.rows().tolist() for part in cube.slices(["id", "x"], rows=5, keep=keep)]
    assert kept == [[0, 1, 2, 3], [8, 9]]


def test_small_row_groups_take_few_reads(write_cube):
    """Thirty columns in fifty row groups are fetched by fewer reads than there are row groups."""
    columns = {"id": [str(i) for i in range(500)]}
    columns |= {f"x{k}": np.arange(500.0) + k for k in range(30)}
    cube = Cube(write_cube(columns, row_group_size=10), "F1")
    before = _reads()
    values = cube.scalars([f"x{k}" for k in range(30)])
    assert _reads() - before < 50
    assert np.array_equal(values, np.arange(500.0)[:, None] + np.arange(30))


def _reads() -> int:
    """Calls by which this process has read files so far; its other calls are few."""
    path = Path("/proc/self/io")
    if not path.exists():
        pytest.skip("only Linux counts the reads of a process")
    return int(path.read_text().split("syscr:")[1].split()[0])
