"""The index of raw files: cells, fields, digests, and what is read from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.splits import healpix_cells
from astromodal.errors import DataError
from astromodal.sources import index
from astromodal.sources.base import RESERVED
from astromodal.sources.files import RawFile
from astromodal.sources.index import (
    CELL_ORDER,
    Cells,
    Fields,
    Part,
    index_file,
    index_files,
    index_path,
    load_cells,
    parts_of,
    read_cells,
    read_field,
    surrounding,
)

CELLS = Fields(healpix_order=1)


def objects(
    ra: Sequence[float | None], dec: Sequence[float | None], **columns: Sequence
) -> pa.Table:
    """Indexed objects at some positions; other reserved columns are null."""
    n = len(ra)
    given = {
        "_key": pa.array([f"k{i}" for i in range(n)], pa.string()),
        "_ra": pa.array(ra, pa.float64()),
        "_dec": pa.array(dec, pa.float64()),
        "_row": pa.array(range(n), pa.int64()),
        "_rank": pa.array([0.0] * n),
        "_digest": pa.array(range(n), pa.uint64()),
        **columns,
    }
    for field in RESERVED:
        given.setdefault(field.name, pa.nulls(n, field.type))
    return pa.table(given)


class Reader:
    """A reader of tables that a test makes."""

    in_index = True

    def __init__(self, *tables: pa.Table) -> None:
        self._tables = tables

    def schema(self) -> pa.Schema:
        return pa.schema([n for n in self._tables[0].schema if not n.name.startswith("_")])

    def index(self, _: RawFile) -> Iterator[pa.Table]:
        yield from self._tables

    def read(self, file: RawFile, rows: np.ndarray) -> pa.Table:
        raise NotImplementedError


@pytest.fixture
def file(tmp_path) -> RawFile:
    path = tmp_path / "raw.csv"
    path.write_text("raw")
    return RawFile(path)


def cells_of(folder, file, *tables, fields=None, maker="m") -> Cells:
    index_file(Reader(*tables), file, folder, maker, fields)
    found = load_cells(folder, file, maker)
    assert found is not None
    return found


def test_objects_are_counted_by_cell(tmp_path, file):
    """Two objects within 4 arcsec share a cell of order 8, one at the pole has its own."""
    found = cells_of(tmp_path, file, objects([10, 10.001, 0], [5, 5, 90]))
    expected = healpix_cells(np.array([10.0, 0]), np.array([5.0, 90]), 2**CELL_ORDER)
    assert dict(zip(found.cell.tolist(), found.count.tolist(), strict=True)) == {
        expected[0]: 2,
        expected[1]: 1,
    }
    assert set(found.field.tolist()) == {""}


def test_objects_without_a_position_have_no_cell(tmp_path, file):
    """An object without a position and with a text id is counted in the cell -1."""
    assert cells_of(tmp_path, file, objects([None], [None])).cell.tolist() == [-1]


def test_rows_of_an_index_that_was_killed_are_not_used(tmp_path, file, monkeypatch):
    """With new rows and no new digests yet, the settings of the old digests do not count again."""
    cells_of(tmp_path, file, objects([10], [5]), maker="old")

    def killed(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "save_arrays", killed)
    with pytest.raises(KeyboardInterrupt):
        index_file(Reader(objects([10, 20], [5, 5])), file, tmp_path, "new")
    assert len(read_cells([index_path(tmp_path, file)], np.arange(12 * 4**CELL_ORDER))) == 2
    assert load_cells(tmp_path, file, "old") is None


def test_gaia_ids_hold_the_cell(tmp_path, file):
    """Where no object has a position, an integer id gives its HEALPix cell as Gaia's do."""
    twelve = healpix_cells(np.array([123.0]), np.array([-45.0]), 2**12)
    table = objects([None], [None], _key=pa.array((twelve << 35) | 4711, pa.int64()))
    eight = healpix_cells(np.array([123.0]), np.array([-45.0]), 2**CELL_ORDER)
    assert cells_of(tmp_path, file, table).cell.tolist() == eight.tolist()


def test_digests_do_not_depend_on_order_or_batches(tmp_path, file):
    """The same objects in another order, and in two batches, have the same digests."""
    table = objects([10, 10.001, 200], [5, 5, -60])
    one = cells_of(tmp_path, file, table)
    two = cells_of(tmp_path, file, table.slice(2, 1), table.slice(0, 2).take([1, 0]))
    np.testing.assert_array_equal(one.digest, two.digest)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("_digest", pa.array([9], pa.uint64())),
        ("_rank", pa.array([1.0])),
        ("_reason", pa.array(["bad fibre"])),
        ("_key", pa.array(["other"])),
        ("_pmra", pa.array([3.0])),
        ("_ra", pa.array([10.0001])),
    ],
)
def test_digests_change_with_content(tmp_path, file, column, value):
    """A change of the measured values, of the position or of the id changes the digest."""
    table = objects([10], [5])
    changed = table.set_column(table.column_names.index(column), column, value)
    one, two = (cells_of(tmp_path, file, each) for each in (table, changed))
    assert one.digest.tolist() != two.digest.tolist()


def test_the_row_in_the_file_does_not_count(tmp_path, file):
    """An object that stands elsewhere in its file has the same digest."""
    moved = objects([10], [5], _row=pa.array([77]))
    one, two = (cells_of(tmp_path, file, each) for each in (objects([10], [5]), moved))
    assert one.digest.tolist() == two.digest.tolist()


def named(*fields: str | None) -> dict[str, pa.Array]:
    return {"_field": pa.array(fields, pa.string())}


def test_fields_come_from_the_rows(tmp_path, file):
    """A field is what its column says, and a row without a name belongs to none."""
    table = objects([10, 20, 30], [5, 5, 5], **named("F-1", "F-2", None))
    assert set(cells_of(tmp_path, file, table, fields=CELLS).field.tolist()) == {"F-1", "F-2", ""}


def test_the_field_in_the_path_comes_first(tmp_path, file):
    """Where the pattern of files has a field, all rows of the file belong to it."""
    table = objects([10, 20], [5, 5], **named("F-1", None))
    found = cells_of(tmp_path, RawFile(file.path, field="P-7"), table, fields=CELLS)
    assert set(found.field.tolist()) == {"P-7"}


def test_cells_are_fields_where_nothing_names_any(tmp_path, file):
    """Without names, rows belong to the HEALPix cell of the configured order."""
    table = objects([10.0, None], [5.0, None], **named(None, None))
    cell = healpix_cells(np.array([10.0]), np.array([5.0]), 2)[0]
    found = cells_of(tmp_path, file, table, fields=CELLS)
    assert set(found.field.tolist()) == {f"HPX1-{cell:02d}", ""}


def test_a_field_must_have_a_valid_name(tmp_path, file):
    """A field whose name cannot be part of a path is an error."""
    table = objects([10], [5], **named("../F"))
    with pytest.raises(DataError, match=r"the field of a row must be a name of letters.*'\.\./F'"):
        index_file(Reader(table), file, tmp_path, "m", CELLS)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_field_is_read(tmp_path, file):
    """Only rows of the field are returned, with the number of their file."""
    other = RawFile(file.path.with_name("other.csv"))
    other.path.write_text("other")
    for each, names in ((file, ("F-1", "F-2")), (other, ("F-2", "F-2"))):
        index_file(Reader(objects([10, 20], [5, 5], **named(*names))), each, tmp_path, "m", CELLS)
    found = read_field([index_path(tmp_path, each) for each in (file, other)], "F-2")
    assert found.column("_key").to_pylist() == ["k1", "k0", "k1"]
    assert found.column("_file").to_pylist() == [0, 1, 1]


def test_cells_are_read(tmp_path, file):
    """Objects in the cells and those without a position are returned, no others."""
    index_file(Reader(objects([10, 20, None], [5, 5, None])), file, tmp_path, "m")
    cells = healpix_cells(np.array([20.0]), np.array([5.0]), 2**CELL_ORDER)
    found = read_cells([index_path(tmp_path, file)], cells)
    assert set(found.column("_key").to_pylist()) == {"k1", "k2"}


@given(st.floats(0, 359.99), st.floats(-90, 90), st.floats(0, 2 * np.pi))
def test_neighbours_hold_what_is_near(ra, dec, angle):
    """A position 5 arcmin away, the largest radius of a match, is in the surrounding cells."""
    from astropy import units as u
    from astropy.coordinates import offset_by

    there = offset_by(ra * u.deg, dec * u.deg, angle * u.rad, 5 * u.arcmin)
    cell = healpix_cells(np.array([ra]), np.array([dec]), 2**CELL_ORDER)
    near = healpix_cells(*(np.array([c.to_value(u.deg)]) for c in there), 2**CELL_ORDER)
    assert near[0] in surrounding(cell)


def test_an_index_is_used_while_its_file_stays(tmp_path, file):
    """After a change of the file or of the settings, the index counts no more."""
    cells_of(tmp_path, file, objects([10], [5]))
    assert load_cells(tmp_path, file, "another maker") is None
    os.utime(file.path, ns=(0, 1))
    assert load_cells(tmp_path, file, "m") is None


def test_an_index_without_its_rows_is_not_used(tmp_path, file):
    """Where the parquet file was deleted, the raw file is indexed again."""
    cells_of(tmp_path, file, objects([10], [5]))
    index_path(tmp_path, file).unlink()
    assert load_cells(tmp_path, file, "m") is None


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path, file):
    """A raw file that is written to while it is read has no index."""

    class Writing(Reader):
        def index(self, file: RawFile) -> Iterator[pa.Table]:
            yield from super().index(file)
            file.path.write_text("longer than before")

    with pytest.raises(DataError, match=r"raw\.csv must be unchanged while it is read"):
        index_file(Writing(objects([10], [5])), file, tmp_path, "m")
    assert load_cells(tmp_path, file, "m") is None


def test_an_empty_file_is_an_error(tmp_path, file):
    """A file without any row is an error that names it."""
    with pytest.raises(DataError, match=r"raw\.csv must be a file with rows, got none"):
        index_file(Reader(), file, tmp_path, "m")


def test_damaged_files_do_not_stop_others(tmp_path, file):
    """Each file is returned with its own error, or with none."""
    bad = RawFile(file.path.with_name("bad.csv"))
    bad.path.write_text("bad")

    class Half(Reader):
        def index(self, file: RawFile) -> Iterator[pa.Table]:
            if file.path.name == "bad.csv":
                raise DataError("it is bad")
            yield from super().index(file)

    done = dict(index_files(Half(objects([10], [5])), [bad, file], tmp_path, "m", threads=2))
    assert str(done[bad]) == "it is bad"
    assert done[file] is None
    assert load_cells(tmp_path, file, "m") is not None


def cells(*rows: tuple[str, int, int]) -> Cells:
    field, cell, digest = zip(*rows, strict=True)
    ones = np.ones(len(rows), np.int64)
    return Cells(np.array(field), np.array(cell), ones, np.array(digest, np.uint64), ())


def parts(base: list[Cells], **sources: list[Cells]) -> dict[str, dict[str, Part]]:
    """What each source has for each field; its files are named by their place in the list."""
    named = {
        name: {RawFile(Path(f"{name}{k}")): each for k, each in enumerate(files)}
        for name, files in {"base": base, **sources}.items()
    }
    return parts_of(named, "base")


def test_only_fields_near_a_change_have_another_digest():
    """An object in a field's cells or beside them changes its digest, one farther away does not."""
    base = [cells(("F-1", 1000, 1), ("F-2", 400000, 2))]
    before = parts(base, gaia=[cells(("", 1000, 5), ("", 400000, 6))])
    beside = int(surrounding(np.array([1000]))[0])
    after = parts(base, gaia=[cells(("", 1000, 5), ("", 400000, 6), ("", beside, 7))])
    assert before["F-1"]["gaia"].digest != after["F-1"]["gaia"].digest
    assert before["F-2"] == after["F-2"]
    assert before["F-1"]["base"] == after["F-1"]["base"]


def test_the_division_into_files_does_not_change_digests():
    """The objects of a cell may stand in one file or in two."""
    base = [cells(("F-1", 1000, 1))]
    one = parts(base, gaia=[cells(("", 1000, 5), ("", 1001, 7))])
    two = parts(base, gaia=[cells(("", 1001, 7)), cells(("", 1000, 5))])
    assert one["F-1"]["gaia"].digest == two["F-1"]["gaia"].digest


def test_digests_of_a_cell_are_summed():
    """Objects of two files in one cell have the digest of their sum, modulo 2^64."""
    base = [cells(("F-1", 1000, 1))]
    large = 2**64 - 1
    one = parts(base, gaia=[cells(("", 1000, large), ("", 1000, 3))])
    two = parts(base, gaia=[cells(("", 1000, large)), cells(("", 1000, 3))])
    three = parts(base, gaia=[cells(("", 1000, 1), ("", 1000, 1))])
    assert one["F-1"]["gaia"].digest == two["F-1"]["gaia"].digest
    assert one["F-1"]["gaia"].digest == three["F-1"]["gaia"].digest


def test_a_field_has_the_files_in_whose_cells_it_is():
    """Files with an object in or beside the field's cells, or without a cell, are listed."""
    base = [cells(("F-1", 1000, 1)), cells(("F-2", 400000, 2))]
    gaia = [cells(("", 400000, 1)), cells(("", 1000, 1)), cells(("", -1, 1))]
    found = parts(base, gaia=gaia)
    assert [str(file.path) for file in found["F-1"]["gaia"].files] == ["gaia1", "gaia2"]
    assert [str(file.path) for file in found["F-1"]["base"].files] == ["base0"]
    assert [str(file.path) for file in found["F-2"]["base"].files] == ["base1"]


def test_rows_without_a_field_belong_to_none():
    """Rows of the base catalogue without a field make no field."""
    assert set(parts([cells(("F-1", 1000, 1), ("", 7, 1))])) == {"F-1"}


def test_objects_without_a_position_count_in_every_field():
    """What has no position may belong to any field, as it is joined by its id."""
    base = [cells(("F-1", 1000, 1), ("F-2", 400000, 2))]
    before, after = (parts(base, xp=[cells(("", -1, each))]) for each in (5, 6))
    assert all(before[field]["xp"] != after[field]["xp"] for field in ("F-1", "F-2"))


def test_a_source_without_files_has_a_digest():
    """A source of which no file could be read is as good as one without objects."""
    found = parts([cells(("F-1", 9, 1))], xp=[])
    assert found["F-1"]["xp"].files == ()
    assert (
        found["F-1"]["xp"].digest
        == parts([cells(("F-1", 9, 1))], xp=[cells(("", 500, 1))])["F-1"]["xp"].digest
    )
