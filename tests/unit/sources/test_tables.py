"""Raw tables in the formats of archives."""

from __future__ import annotations

import gzip
from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astromodal.errors import DataError
from astromodal.sources import table_formats
from astromodal.sources.tables import open_table

BIG = [2449704931658296064, 2449704931658296065, 9223372036854775807]
"""Ids that differ by less than float64 resolves, and the largest of all."""


def columns(path: Path, names=None, **options) -> dict[str, list]:
    """All values of a file, by column."""
    table = open_table(path)
    found = pa.concat_tables(table.batches(names or table.names, **options))
    return found.to_pydict()


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def sample() -> Table:
    """Ids, numbers with a missing one, text and arrays."""
    table = Table()
    table["id"] = np.array(BIG, dtype=np.int64)
    table["flux"] = MaskedColumn([1.5, 2.5, 3.5], mask=[False, True, False], unit=u.mJy)
    table["n"] = MaskedColumn(np.array([1, 2, 3], np.int32), mask=[True, False, False])
    table["name"] = ["a", "b c", "d"]
    return table


EXPECTED = {"id": BIG, "flux": [1.5, None, 3.5], "n": [None, 2, 3], "name": ["a", "b c", "d"]}
WRITERS = {
    "x.ecsv": {"format": "ascii.ecsv"},
    "y.ecsv": {"format": "ascii.ecsv", "delimiter": ","},
    "x.fits": {"format": "fits"},
    "x.fits.gz": {"format": "fits"},
    "a.vot": {"format": "votable", "tabledata_format": "tabledata"},
    "b.vot": {"format": "votable", "tabledata_format": "binary"},
    "c.vot": {"format": "votable", "tabledata_format": "binary2"},
}


def write(table: Table, path: Path) -> None:
    """Write a table in the format of a name; binary VOTables need a value for nulls."""
    if path.name != "b.vot":
        table.write(path, **WRITERS[path.name])
        return
    votable = from_table(table)
    for each in votable.get_first_table().fields:
        if each.datatype == "int":
            each.values.null = -1
    votable.to_xml(str(path), tabledata_format="binary")


@pytest.mark.parametrize("name", WRITERS)
def test_a_format_keeps_ids_nulls_and_units(tmp_path, name):
    """64-bit ids are exact, masked values are null, and the stated unit is known."""
    write(sample(), tmp_path / name)
    found = columns(tmp_path / name)
    assert {key: found[key] for key in ("id", "name", "n")} == {
        key: EXPECTED[key] for key in ("id", "name", "n")
    }
    flux = [None if v is None or np.isnan(v) else v for v in found["flux"]]
    assert flux == EXPECTED["flux"]
    assert u.Unit(open_table(tmp_path / name).units["flux"]) == u.mJy
    assert "id" not in open_table(tmp_path / name).units


@pytest.mark.parametrize("name", WRITERS)
def test_batches_do_not_change_a_table(tmp_path, name):
    """A batch has as many rows as are wanted; the last has the rest."""
    write(sample(), tmp_path / name)
    lengths = [len(batch) for batch in open_table(tmp_path / name).batches(["id"], rows=2)]
    assert lengths == [2, 1]
    assert columns(tmp_path / name, ["id"], rows=2) == {"id": BIG}


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "no_suffix"])
def test_csv_is_text_unless_types_are_given(tmp_path, name):
    """No number is guessed: an id keeps its zeros, and a long one all its digits."""
    content = f'id,flux,name\n007,1.5,a\n{BIG[0]},,"b,c"\n{BIG[1]},nan,null\n'
    write = gzip.open if name.endswith(".gz") else open
    with write(tmp_path / name, "wt") as stream:
        stream.write(content)
    assert columns(tmp_path / name) == {
        "id": ["007", str(BIG[0]), str(BIG[1])],
        "flux": ["1.5", None, None],
        "name": ["a", "b,c", None],
    }
    typed = columns(tmp_path / name, types={"id": pa.int64(), "flux": pa.float64()})
    assert typed["id"] == [7, *BIG[:2]]
    assert typed["flux"] == [1.5, None, None]


def test_csv_of_mixed_numbers_does_not_fail_late(tmp_path):
    """A column of whole numbers that has a fraction after many blocks is read as given."""
    lines = [f"{i},{i}" for i in range(400_000)]
    lines[-1] = "399999,0.5"
    path = text(tmp_path / "x.csv", "id,v\n" + "\n".join(lines) + "\n")
    found = columns(path, types={"v": pa.float64()})
    assert found["v"][-2:] == [399998.0, 0.5]
    assert found["id"][-1] == "399999"


def test_csv_may_have_comments_a_bom_spaces_and_tabs(tmp_path):
    """Lines that begin with # before the header are left out."""
    path = text(tmp_path / "x.csv", "\ufeff# made by an archive\n# 2 rows\nid, ra\n1,2\n3,4\n")
    assert columns(path, types={"ra": pa.float64()}) == {"id": ["1", "3"], "ra": [2.0, 4.0]}
    path = text(tmp_path / "x.tsv", "id\tname\n1\ta, b\n")
    assert columns(path) == {"id": ["1"], "name": ["a, b"]}


def test_arrays_in_text_stay_text(tmp_path):
    """The reader of the source knows what they are."""
    path = text(tmp_path / "x.csv", 'id,c\n1,"(1.0, 2.0)"\n2,"[3,4]"\n')
    assert columns(path, ["c"]) == {"c": ["(1.0, 2.0)", "[3,4]"]}


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    """It has its columns, with the types that are wanted."""
    found = list(
        open_table(text(tmp_path / "x.csv", "a,b\n")).batches(["b"], types={"b": pa.int64()})
    )
    assert sum(len(each) for each in found) == 0


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False) | st.none(),
            st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 9),
)
def test_text_keeps_every_number(tmp_path, rows, size):
    """What CSV and ECSV hold is read exactly, in batches of any size."""
    names = [f"x{name}" for *_, name in rows]  # not the text of a missing value
    body = "\n".join(
        f"{i},{'' if v is None else repr(v)},{n}" for (i, v, _), n in zip(rows, names, strict=True)
    )
    path = text(tmp_path / "x.csv", f"id,v,name\n{body}\n")
    found = columns(path, rows=size, types={"id": pa.int64(), "v": pa.float64()})
    assert found == {
        "id": [row[0] for row in rows],
        "v": [row[1] for row in rows],
        "name": names,
    }


def test_ecsv_states_types_and_units_under_any_name(tmp_path):
    """Gaia's bulk files are ECSV named .csv.gz; arrays in it stay text."""
    head = (
        "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n"
        "# - {name: source_id, datatype: int64}\n"
        "# - {name: pmra, unit: mas.yr**-1, datatype: float64}\n"
        "# - {name: ok, datatype: bool}\n"
        "# - {name: c, datatype: string, subtype: 'float64[null]'}\n"
    )
    body = f'source_id,pmra,ok,c\n{BIG[1]},null,"True","[1.0,2.0]"\n{BIG[0]},1.5,"False",null\n'
    with gzip.open(tmp_path / "x.csv.gz", "wt") as stream:
        stream.write(head + body)
    assert columns(tmp_path / "x.csv.gz") == {
        "source_id": [BIG[1], BIG[0]],
        "pmra": [None, 1.5],
        "ok": [True, False],
        "c": ["[1.0,2.0]", None],
    }
    assert open_table(tmp_path / "x.csv.gz").units == {"pmra": "mas.yr**-1"}


def test_fits_columns_of_arrays_and_scaled_numbers(tmp_path):
    """Fixed and variable arrays are lists; TNULL counts as stored, TZERO is added."""
    record = fits.BinTableHDU.from_columns(
        [
            fits.Column("arr", "3E", array=np.arange(6, dtype=np.float32).reshape(2, 3)),
            fits.Column("var", "PJ()", array=np.array([[1], [2, 3]], dtype=object)),
            fits.Column("u16", "I", bzero=32768, null=-32768, array=np.array([0, 65535], "u2")),
            fits.Column("text", "5A", array=np.array(["ab ", ""])),
            fits.Column("flag", "L", array=np.array([True, False])),
        ]
    )
    fits.HDUList([fits.PrimaryHDU(), record]).writeto(tmp_path / "x.fits")
    assert columns(tmp_path / "x.fits") == {
        "arr": [[0, 1, 2], [3, 4, 5]],
        "var": [[1], [2, 3]],
        "u16": [None, 65535],
        "text": ["ab", ""],
        "flag": [True, False],
    }


def test_fits_is_read_in_pieces(tmp_path):
    """Rows of later batches are those of the file, also of variable arrays."""
    arrays = np.array([np.arange(i % 4) for i in range(50)], dtype=object)
    record = fits.BinTableHDU.from_columns(
        [fits.Column("i", "K", array=np.arange(50)), fits.Column("v", "PD()", array=arrays)]
    )
    fits.HDUList([fits.PrimaryHDU(), record]).writeto(tmp_path / "x.fits")
    found = columns(tmp_path / "x.fits", rows=7)
    assert found["i"] == list(range(50))
    assert found["v"] == [list(range(i % 4)) for i in range(50)]


def test_an_ascii_table_of_fits_is_read(tmp_path):
    """Its columns of text are text."""
    record = fits.TableHDU.from_columns(
        [fits.Column("a", "A4", array=np.array(["x", "y"])), fits.Column("b", "F8.2", array=[1, 2])]
    )
    fits.HDUList([fits.PrimaryHDU(), record]).writeto(tmp_path / "x.fits")
    assert columns(tmp_path / "x.fits") == {"a": ["x", "y"], "b": [1.0, 2.0]}


def test_parquet_keeps_nested_columns(tmp_path):
    """A column of records of lists, as in HATS catalogues."""
    nested = [{"t": [1.0, 2.0], "b": ["g", "r"]}, {"t": [], "b": []}]
    pq.write_table(pa.table({"id": BIG[:2], "lc": nested}), tmp_path / "x.parquet")
    assert columns(tmp_path / "x.parquet", ["lc", "id"]) == {"lc": nested, "id": BIG[:2]}
    assert open_table(tmp_path / "x.parquet").n_rows == 2


def test_parquet_of_astropy_states_units(tmp_path):
    """They are in its metadata; so are those of fields."""
    sample().write(tmp_path / "x.parquet", format="parquet")
    assert open_table(tmp_path / "x.parquet").units == {"flux": "mJy"}
    assert columns(tmp_path / "x.parquet", list(EXPECTED)) == EXPECTED  # masks are columns
    schema = pa.schema([pa.field("m", pa.float64(), metadata={"unit": "mag"})])
    pq.write_table(pa.table({"m": [1.0]}, schema=schema), tmp_path / "y.parquet")
    assert open_table(tmp_path / "y.parquet").units == {"m": "mag"}


def test_row_groups_are_joined(tmp_path):
    """A batch does not end where a row group does."""
    pq.write_table(pa.table({"i": range(10)}), tmp_path / "x.parquet", row_group_size=3)
    table = open_table(tmp_path / "x.parquet")
    assert [len(batch) for batch in table.batches(["i"], rows=4)] == [4, 4, 2]


def test_a_votable_with_arrays(tmp_path):
    """Fixed and variable arrays are lists."""
    table = Table({"a": np.arange(6.0).reshape(2, 3)})
    table["v"] = np.array([np.array([1.0]), np.array([2.0, 3.0])], dtype=object)
    table.write(tmp_path / "x.vot", format="votable")
    assert columns(tmp_path / "x.vot") == {"a": [[0, 1, 2], [3, 4, 5]], "v": [[1.0], [2.0, 3.0]]}


def test_a_votable_of_a_sloppy_archive_is_read(tmp_path):
    """Unknown units and names that break the standard are no concern of the user's."""
    path = text(
        tmp_path / "x.xml",
        '<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE><TABLE><FIELD name="RA" ID="1 a" '
        'unit="degree of arc" datatype="double"/><DATA><TABLEDATA><TR><TD>1.5</TD></TR>'
        "</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>",
    )
    assert columns(path) == {"RA": [1.5]}
    assert open_table(path).units == {"RA": "degree of arc"}


def universe(path: Path, n: int = 3, **more) -> Path:
    """A file as scripts of the Multimodal Universe write it: a dataset per column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    datasets = {
        "object_id": np.array([str(i) for i in (BIG * n)[:n]], dtype="S19"),
        "ra": np.linspace(10, 11, n),
        "dec": np.linspace(-5, 5, n).astype(np.float32),
        "healpix": np.full(n, 1107, np.int64),
        "z": np.arange(n, dtype=">f8"),
        "ZWARN": np.arange(n) % 2 == 0,
        "spectrum_flux": rng.normal(size=(n, 7)).astype(np.float32),
        "image_array": np.arange(n * 2 * 3 * 3, dtype=np.float32).reshape(n, 2, 3, 3),
        "image_band": np.array([[b"des-g", b"z"]] * n),
        **more,
    }
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
        file["ra"].attrs["unit"] = "deg"
    return path


def test_hdf5_of_the_multimodal_universe(tmp_path):
    """Ids are exact, bytes are text, and arrays of several axes are lists, in batches."""
    path = universe(tmp_path / "x.hdf5", name=["a", "Å c", ""])
    table, found = open_table(path), columns(path, rows=2)
    assert table.n_rows == 3
    assert table.units == {"ra": "deg"}
    assert found["object_id"] == [str(i) for i in BIG]
    assert found["name"] == ["a", "Å c", ""]
    assert found["z"] == [0.0, 1.0, 2.0]
    assert found["ZWARN"] == [True, False, True]
    assert found["image_array"] == np.arange(54.0).reshape(3, 18).tolist()
    assert found["image_band"] == [["des-g", "z"]] * 3
    with h5py.File(path) as file:
        assert found["spectrum_flux"] == file["spectrum_flux"][:].tolist()


def test_hdf5_states_its_types(tmp_path):
    """They are those that its batches have."""
    table = open_table(universe(tmp_path / "x.hdf5"))
    (batch,) = table.batches(table.names)
    assert {name: batch.schema.field(name).type for name in table.names} == table.types


def test_hdf5_is_read_in_pieces(tmp_path, monkeypatch):
    """Few bytes are read at a time, and the rows are those of the file."""
    monkeypatch.setattr(table_formats, "_BYTES", 1000)
    path = universe(tmp_path / "x.hdf5", n=100)
    with h5py.File(path) as file:
        expected = file["spectrum_flux"][:].tolist()
    assert columns(path, ["spectrum_flux"]) == {"spectrum_flux": expected}


def test_hdf5_datasets_of_another_length_are_no_columns(tmp_path):
    """Neither are single values and groups: only what has one value per object."""
    path = universe(tmp_path / "x.hdf5", wave=np.arange(7.0), version=1.0)
    with h5py.File(path, "a") as file:
        file.create_group("extra").create_dataset("ra", data=np.arange(3))
    assert not {"wave", "version", "extra"} & set(open_table(path).names)


def test_hdf5_without_ids_has_as_many_rows_as_most_datasets(tmp_path):
    """Where no dataset has the name of ids, the length of most counts."""
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for name, n in (("a", 4), ("b", 4), ("wave", 7)):
            file.create_dataset(name, data=np.arange(n))
    assert open_table(tmp_path / "x.hdf5").names == ("a", "b")


def test_hdf5_arrays_of_differing_lengths(tmp_path):
    """They are lists of each row's length."""
    path = universe(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        times = file.create_dataset("time", 3, dtype=h5py.vlen_dtype(np.float64))
        for row, values in enumerate(([1.0, 2.0], [], [3.0])):
            times[row] = values
    assert columns(path, ["time"]) == {"time": [[1.0, 2.0], [], [3.0]]}


def test_hdf5_follows_no_link(tmp_path):
    """What stands in another file, or under another name, is no column."""
    other = universe(tmp_path / "other.hdf5")
    path = universe(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        file["elsewhere"] = h5py.ExternalLink(str(other), "ra")
        file["again"] = h5py.SoftLink("/ra")
    assert not {"elsewhere", "again"} & set(open_table(path).names)


def test_hdf5_that_refers_to_other_files_is_an_error(tmp_path):
    """Values of virtual datasets stand elsewhere, in any file that the data name."""
    path, layout = universe(tmp_path / "x.hdf5"), h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "ra", shape=(3,))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("mag", layout)
    must = r"x\.hdf5 must be an HDF5 file that holds the values of mag, got a reference to another"
    with pytest.raises(DataError, match=must):
        open_table(path)


def test_hdf5_without_datasets_is_an_error(tmp_path):
    """It has no table."""
    h5py.File(tmp_path / "x.hdf5", "w").close()
    with pytest.raises(DataError, match=r"must be an HDF5 file with datasets, got none; name"):
        open_table(tmp_path / "x.hdf5")


STREAM = (
    '<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a" datatype="int"/><DATA><BINARY>'
    '<STREAM encoding="base64"\n href="file:///etc/hostname"/></BINARY></DATA></TABLE></RESOURCE>'
    "</VOTABLE>"
)


@pytest.mark.parametrize("content", [STREAM, '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>'])
def test_a_votable_cannot_name_other_files(tmp_path, content):
    """Neither a file nor an address is opened, and entities are not expanded."""
    with pytest.raises(DataError, match=r"must be a VOTable that holds its data, got a link or an"):
        open_table(text(tmp_path / "x.vot", content))


def test_a_votable_that_is_too_large_is_an_error(tmp_path, monkeypatch):
    """It would be in memory as a whole."""
    sample().write(tmp_path / "x.vot", format="votable")
    monkeypatch.setattr(table_formats, "LARGEST", 100)
    with pytest.raises(DataError, match=r"must be at most .* GiB.*; convert it to FITS or parquet"):
        open_table(tmp_path / "x.vot")


@pytest.mark.parametrize("name", [*WRITERS, "x.parquet", "x.csv.gz", "x.hdf5"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, name, share):
    """A copy that was broken off ends in one error that names the file, never in half the rows."""
    n = 4000
    table = Table({"id": np.arange(n), "v": np.random.default_rng(1).normal(size=n)})
    path = tmp_path / name
    options = WRITERS.get(name, {"format": "parquet"})
    if name.endswith("hdf5"):
        universe(path, n)
    elif name.endswith("csv.gz"):
        with gzip.open(path, "wt") as stream:
            stream.write("id,v\n" + "\n".join(f"{i},{v}" for i, v in table.iterrows()))
    else:
        table.write(path, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    if name.endswith("ecsv"):
        path.write_bytes(path.read_bytes().rpartition(b"\n")[0] + b"\n3")  # within a row
    with pytest.raises(DataError, match=rf"{name}.* must be .*; replace the file"):
        columns(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", r"x\.csv must be a file that can be read, got an empty file"),
        (
            "x.bin",
            b"\x89ABC\r\n\x1a\n\0\0",
            r"got no table in CSV, ECSV, VOTable, FITS,",
        ),
        (
            "x.hdf5",
            b"\x89HDF\r\n\x1a\n\0\0",
            r"x\.hdf5 must be a file that can be read, got",
        ),
        ("x.csv", b"a,b\n1,2\n3\n", r"x\.csv must be .* Expected 2 columns, got 1: 3"),
        ("x.csv", b"a,b\n1,\xff\n", r"x\.csv must be a file that can be read, got"),
        ("x.csv", b"\n\n", r"got no names of columns in the first line"),
        ("x.vot", b"<VOTABLE><RESOURCE></RESOURCE></VOTABLE>", r"got no FIELD of a table"),
        ("x.vot", b"<VOTABLE><RESOURCE>", r"x\.vot must be a file that can be read"),
        ("x.ecsv", b"# %ECSV 1.0\n# ---\n# nothing: 1\na\n1\n", r"x\.ecsv must be a file that can"),
        ("x.parquet", b"PAR1" + bytes(50) + b"PAR1", r"x\.parquet must be a file that can be read"),
    ],
)
def test_a_damaged_file_is_an_error(tmp_path, name, content, message):
    """The error names the file; no library's own error gets through."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        columns(tmp_path / name)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """The error names the source where it is known."""
    with pytest.raises(DataError, match=r"source s: .*x\.csv must be a file, got none"):
        open_table(tmp_path / "x.csv", "s")


def test_a_value_of_another_type_is_an_error(tmp_path):
    """The row is named."""
    path = text(tmp_path / "x.csv", "a\n1\n2\nx3\n")
    with pytest.raises(DataError, match=r"x\.csv must be .*Row #4: CSV conversion error to int64"):
        columns(path, types={"a": pa.int64()})


def test_a_fraction_is_no_whole_number(tmp_path):
    """A type that is wanted does not change a value."""
    pq.write_table(pa.table({"a": [1.0, 2.5]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet must be .*2\.5"):
        columns(tmp_path / "x.parquet", types={"a": pa.int64()})


def test_a_missing_column_is_an_error(tmp_path):
    """The message names the nearest."""
    path = text(tmp_path / "x.csv", "source_id,ra\n1,2\n")
    with pytest.raises(DataError, match=r"column 'sourceid' must be in the file.*'source_id'"):
        columns(path, ["sourceid"])


def test_a_column_that_stands_twice_is_an_error(tmp_path):
    """Others of the file are read."""
    path = text(tmp_path / "x.csv", "a,b,b\n1,2,3\n")
    assert columns(path, ["a"]) == {"a": ["1"]}
    with pytest.raises(DataError, match=r"column 'b' must be in the file once, got 2 times"):
        columns(path, ["b"])


def test_complex_numbers_are_not_read(tmp_path):
    """Other columns of the file are."""
    record = fits.BinTableHDU.from_columns(
        [fits.Column("c", "C", array=np.ones(2, "c8")), fits.Column("r", "D", array=[1, 2])]
    )
    fits.HDUList([fits.PrimaryHDU(), record]).writeto(tmp_path / "x.fits")
    assert columns(tmp_path / "x.fits", ["r"]) == {"r": [1.0, 2.0]}
    with pytest.raises(DataError, match=r"got columns of type .*c8 are not read"):
        columns(tmp_path / "x.fits", ["c"])


def test_fits_without_a_table_is_an_error(tmp_path):
    """An image is none."""
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / "x.fits")
    with pytest.raises(DataError, match=r"must be a FITS file with a table, got 1 extensions"):
        open_table(tmp_path / "x.fits")


def test_a_table_that_fpack_compressed_is_an_error(tmp_path):
    """Astropy would give its bytes for numbers."""
    record = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=[1, 2])])
    record.header["ZTABLE"] = True
    fits.HDUList([fits.PrimaryHDU(), record]).writeto(tmp_path / "x.fits.fz")
    with pytest.raises(DataError, match=r"must be a table that fpack did not compress.*funpack"):
        open_table(tmp_path / "x.fits.fz")
