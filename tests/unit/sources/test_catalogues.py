"""The reader of catalogues."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astromodal.config.sources import SourceSettings
from astromodal.errors import ConfigError, DataError
from astromodal.sources.base import RESERVED
from astromodal.sources.catalogues import CatalogueReader
from astromodal.sources.files import RawFile, list_files

BIG = [2449704931658296064, 2449704931658296065]
PRESET = {"title": "t", "id": "ID", "ra": ["RA", "RAJ"], "dec": ["DEC", "DEJ"]}


def reader(folder: Path, pattern: str, preset: dict | str) -> CatalogueReader:
    """A reader of files in a folder, with a preset of its own."""
    if isinstance(preset, dict):
        path = folder / "preset.json"
        path.write_text(json.dumps({**PRESET, **preset}))
        preset = str(path)
    source = SourceSettings(kind="catalogue", files=f"{folder}/{pattern}", preset=preset)
    return CatalogueReader("s", source)


def indexed(folder: Path, name: str, preset: dict | str, pattern: str | None = None) -> pa.Table:
    """The whole index of a file."""
    return pa.concat_tables(reader(folder, pattern or name, preset).index(RawFile(folder / name)))


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_an_index_has_the_reserved_columns_and_those_of_the_cube(tmp_path):
    """They have their types, also where a file states none of the values."""
    text(tmp_path / "x.csv", "ID,RA,DEC,z\na,1.5,-2.5,0.25\nb,2.5,3.5,\n")
    table = indexed(tmp_path, "x.csv", {"columns": {"specz_z": "z"}})
    assert table.schema.names == ["_key", "_field", *RESERVED.names, "specz_z"]
    assert pa.schema([table.schema.field(n) for n in RESERVED.names]).equals(RESERVED)
    assert table.schema.field("_key").type == table.schema.field("_field").type == pa.string()
    found = table.drop_columns(["_digest"]).to_pylist()
    empty = dict.fromkeys(["_field", "_epoch", "_pmra", "_pmdec", "_reason"])
    assert found == [
        {"_key": "a", "_ra": 1.5, "_dec": -2.5, "_row": 0, "_rank": 0.0, "specz_z": 0.25, **empty},
        {"_key": "b", "_ra": 2.5, "_dec": 3.5, "_row": 1, "_rank": 0.0, "specz_z": None, **empty},
    ]


def test_positions_are_normalised_or_dropped(tmp_path):
    """RA is in [0, 360); a position outside the sphere, or half of one, is none."""
    pairs = [
        (0.0, 0.0), (-10.0, 90.0), (360.0, -90.0), (-1e-20, 1.0),
        (10.0, 90.1), (361.0, 0.0), (-999.0, -99.0), (np.nan, 1.0), (1.0, np.inf),
    ]  # fmt: skip
    ra, dec = np.array(pairs).T
    pq.write_table(pa.table({"RA": ra, "DEC": dec, "z": ra}), tmp_path / "x.parquet")
    table = indexed(tmp_path, "x.parquet", {"columns": {"z": "z"}})
    assert table["_ra"].to_pylist() == [0.0, 350.0, 0.0, 0.0] + [None] * 5
    assert table["_dec"].to_pylist() == [0.0, 90.0, -90.0, 1.0] + [None] * 5
    assert table["_reason"].to_pylist() == [None] * 4 + ["no position"] * 5


def test_names_are_tried_in_order_and_in_any_case(tmp_path):
    """The first name counts; another case only where the file has none of the names."""
    text(tmp_path / "x.csv", "id,raj,dec,z,Z_dual,Z\n1,2,3,4,5,6\n")
    rules = {"a": ["z_DUAL", "z"], "b": ["nothing", "z_dual"], "c": "Z"}
    table = indexed(tmp_path, "x.csv", {"columns": rules})
    assert table.select(["_key", "_ra", "_dec", "a", "b", "c"]).to_pylist() == [
        {"_key": "1", "_ra": 2.0, "_dec": 3.0, "a": 4.0, "b": 5.0, "c": 6.0}
    ]


def test_another_case_that_fits_two_columns_is_not_read(tmp_path):
    """Which of them is meant is not known."""
    text(tmp_path / "x.csv", "RA,DEC,Mag,MAG,z\n1,2,3,4,5\n")
    assert reader(tmp_path, "x.csv", {"columns": {"m": "mag", "z": "z"}}).schema().names == ["z"]


def test_sentinels_are_null(tmp_path):
    """They are those of a rule, and of patterns of columns; a flag of 99 is a flag."""
    text(tmp_path / "x.csv", "RA,DEC,m,e,f,s\n1,2,99,99,99,-1\n1,2,-99.0,-99,3,2\n1,2,20,.1,4,99\n")
    preset = {
        "sentinels": {"mag_*": [99, -99], "err_mag_*": [99, -99]},
        "columns": {
            "mag_u": "m",
            "err_mag_u": {"names": "e", "type": "float32"},
            "flags_u": {"names": "f", "type": "int64"},
            "s": {"names": "s", "type": "int64", "sentinels": [-1]},
        },
    }
    table = indexed(tmp_path, "x.csv", preset)
    assert table["mag_u"].to_pylist() == [None, None, 20.0]
    assert table["err_mag_u"].to_pylist() == [None, None, float(np.float32(0.1))]
    assert table["flags_u"].to_pylist() == [99, 3, 4]
    assert table["s"].to_pylist() == [None, 2, 99]


def test_a_sentinel_is_found_in_either_precision(tmp_path):
    """VISTA's default value is rounded in float32."""
    values = np.array([-9.999995e8, 18.5], np.float32)
    pq.write_table(
        pa.table({"RA2000": [1.0, 2.0], "DEC2000": [1.0, 2.0], "yAperMag6": values}),
        tmp_path / "x.parquet",
    )
    table = indexed(tmp_path, "x.parquet", "vista")
    assert table["vista_yapermag6"].to_pylist() == [None, 18.5]


def test_nan_and_infinity_are_null(tmp_path):
    """So is a number beyond float32 in a column of that type."""
    values = [np.nan, np.inf, -np.inf, 1e300, 1.5]
    table = pa.table({"RA": values, "DEC": [0.0] * 5, "v": values})
    pq.write_table(table, tmp_path / "x.parquet")
    found = indexed(
        tmp_path, "x.parquet", {"columns": {"a": "v", "b": {"names": "v", "type": "float32"}}}
    )
    assert found["a"].to_pylist() == [None, None, None, 1e300, 1.5]
    assert found["b"].to_pylist() == [None, None, None, None, 1.5]


def test_units_are_converted_where_the_file_states_them(tmp_path):
    """1 rad is 57.3 deg, 1 uas is 0.001 mas; sentinels are in the unit of the file."""
    table = Table({"RA": [1.0, np.pi] * u.rad, "DEC": [0.5, 0.0] * u.rad})
    table["plx"] = [1500.0, 99.0] * u.uas
    table["bare"] = [7.0, 8.0]
    table.write(tmp_path / "x.fits")
    rules = {
        "gaia_parallax": {"names": "plx", "unit": "mas", "sentinels": [99]},
        "bare": {"names": "bare", "unit": "mas"},
        "as_is": "plx",
    }
    found = indexed(tmp_path, "x.fits", {"columns": rules})
    assert found["_ra"].to_pylist() == pytest.approx([57.29577951, 180.0])
    assert found["_dec"].to_pylist() == pytest.approx([28.64788976, 0.0])
    assert found["gaia_parallax"].to_pylist() == [1.5, None]
    assert found["bare"].to_pylist() == [7.0, 8.0]
    assert found["as_is"].to_pylist() == [1500.0, 99.0]


def test_a_unit_of_another_kind_is_an_error(tmp_path):
    """A magnitude is no flux."""
    table = Table({"RA": [1.0], "DEC": [1.0], "f": [1.0] * u.mJy})
    table.write(tmp_path / "x.ecsv")
    with pytest.raises(DataError, match=r"source s: .*x\.ecsv: column 'f' must be in mag or .*mJy"):
        indexed(tmp_path, "x.ecsv", {"columns": {"mag": {"names": "f", "unit": "mag"}}})


@pytest.mark.parametrize("name", ["x.csv", "x.fits", "x.parquet", "x.vot", "x.ecsv"])
def test_ids_of_64_bit_are_exact_in_every_format(tmp_path, name):
    """Two ids that float64 cannot tell apart stay two, as text and as numbers."""
    table = Table({"source_id": np.array(BIG), "ra": [1.0, 2.0], "dec": [3.0, 4.0]})
    table.write(tmp_path / name, **({"format": "votable"} if name == "x.vot" else {}))
    found = indexed(tmp_path, name, "gaia_dr3")
    assert found["_key"].to_pylist() == [str(i) for i in BIG]
    assert found["gaia_source_id"].to_pylist() == BIG
    assert found["gaia_designation"].to_pylist() == [f"Gaia DR3 {i}" for i in BIG]


def test_a_prefix_is_added_once(tmp_path):
    """A designation has it already; the file's own column is preferred."""
    text(tmp_path / "x.csv", "source_id,designation,ra,dec\n5,Gaia DR3 5,1,2\n6,7,1,2\n8,,1,2\n")
    found = indexed(tmp_path, "x.csv", "gaia_dr3")
    assert found["gaia_designation"].to_pylist() == ["Gaia DR3 5", "Gaia DR3 7", None]


def test_ids_that_were_floats_are_an_error(tmp_path):
    """They were rounded; smaller whole numbers are exact."""
    pq.write_table(
        pa.table({"RA": [1.0], "DEC": [1.0], "n": [float(BIG[0])], "k": [7.0]}),
        tmp_path / "x.parquet",
    )
    whole = {"columns": {"k": {"names": "k", "type": "int64"}}}
    assert indexed(tmp_path, "x.parquet", whole)["k"].to_pylist() == [7]
    whole = {"columns": {"n": {"names": "n", "type": "int64"}}}
    with pytest.raises(DataError, match=r"column 'n' must be whole numbers, or floats below 2\^53"):
        indexed(tmp_path, "x.parquet", whole)
    prefixed = {"columns": {"n": {"names": "n", "type": "text", "prefix": "DR3 "}}}
    with pytest.raises(DataError, match=r"column 'n' must be text or whole numbers, got double"):
        indexed(tmp_path, "x.parquet", prefixed)


def test_whole_numbers_that_a_table_wrote_as_floats_are_read(tmp_path):
    """Libraries write a column of whole numbers with a missing one as 1.0; a fraction is none."""
    text(tmp_path / "x.csv", "RA,DEC,n\n1,2,3.0\n1,2,\n1,2,4\n")
    whole = {"columns": {"n": {"names": "n", "type": "int64"}}}
    assert indexed(tmp_path, "x.csv", whole)["n"].to_pylist() == [3, None, 4]
    text(tmp_path / "x.csv", "RA,DEC,n\n1,2,3.0\n1,2,1.5\n")
    with pytest.raises(DataError, match=r"without a fraction, got 1\.5 in row 1"):
        indexed(tmp_path, "x.csv", whole)


def test_text_in_a_column_of_numbers_is_an_error(tmp_path):
    """File, column and value are named."""
    text(tmp_path / "x.csv", "RA,DEC,z\n1,2,0.5\n1,2,high\n")
    with pytest.raises(DataError, match=r"source s: .*x\.csv must be .*'high'"):
        indexed(tmp_path, "x.csv", {"columns": {"z": "z"}})
    pq.write_table(pa.table({"RA": [1.0], "DEC": [1.0], "z": ["high"]}), tmp_path / "x.parquet")
    with pytest.raises(
        DataError, match=r"x\.parquet: column 'z' must be a column of numbers.*high"
    ):
        indexed(tmp_path, "x.parquet", {"columns": {"z": "z"}})


def test_numbers_in_text_are_read_from_parquet(tmp_path):
    """Spaces and texts of missing values do not matter."""
    pq.write_table(
        pa.table({"RA": [" 1.5", "2"], "DEC": ["1", "2"], "z": ["0.5 ", "null"]}),
        tmp_path / "x.parquet",
    )
    found = indexed(tmp_path, "x.parquet", {"columns": {"z": "z"}})
    assert found["_ra"].to_pylist() == [1.5, 2.0]
    assert found["z"].to_pylist() == [0.5, None]


def test_classes_of_a_dictionary_column_are_text(tmp_path):
    """Empty text and binary text are read as in CSV."""
    classes = pa.array(["STAR", "", None, " QSO "]).dictionary_encode()
    flags = pa.array([b"KEEP(1)", b"REMOVE", None, b"nan"])
    pq.write_table(
        pa.table({"RA": [1.0] * 4, "DEC": [1.0] * 4, "class_spec": classes, "f_z": flags}),
        tmp_path / "x.parquet",
    )
    found = indexed(tmp_path, "x.parquet", "specz_compilation")
    assert found["specz_class_spec"].to_pylist() == ["STAR", None, None, "QSO"]
    assert found["specz_f_z"].to_pylist() == ["KEEP(1)", "REMOVE", None, None]


def test_ids_of_parts_are_joined(tmp_path):
    """Tile and number make an id; a missing part, none."""
    text(tmp_path / "x.csv", "TILE,NUMBER,RA,DEC,z\n95126,7,1,2,3\n95126,,1,2,3\n")
    preset = {"id": "ID", "id_parts": ["TILE", "NUMBER"], "columns": {"z": "z"}}
    assert indexed(tmp_path, "x.csv", preset)["_key"].to_pylist() == ["95126-7", None]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("ID,Field", "a,F-1", "F-1"),
        ("ID", "iDR3.SPLUS-s26s32.000079", "SPLUS-s26s32"),
        ("ID", "iDR3.HYDRA-D_0.1.000079", "HYDRA-D_0.1"),
        ("ID", "other", None),
    ],
)
def test_the_field_of_a_row_is_in_a_column_or_in_its_id(tmp_path, header, row, expected):
    """The first rule whose column the file has counts."""
    text(tmp_path / "x.csv", f"{header},RA,DEC,r_auto\n{row},1,2,3\n")
    assert indexed(tmp_path, "x.csv", "splus_idr3")["_field"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DR4_3_STRIPE82-0064_0017494", "STRIPE82-0064"),
        ("iDR4_3_SPLUS-n01s10_0000001", "SPLUS-n01s10"),
        ("DR4_3_HYDRA_D-0123_0000001", "HYDRA_D-0123"),
    ],
)
def test_the_field_of_dr4_is_in_the_id(tmp_path, name, expected):
    """Release, version, field and number are parted by underscores, which a field may hold too."""
    text(tmp_path / "x.csv", f"ID,RA,DEC,r_auto\n{name},1,2,3\n")
    assert indexed(tmp_path, "x.csv", "splus_dr4")["_field"].to_pylist() == [expected]


def test_motions_have_their_epoch(tmp_path):
    """It is a number of the preset, or a column; a missing motion is null."""
    text(tmp_path / "x.csv", "RA,DEC,pmra,pmdec,ep,z\n1,2,3,-4,2015.5,1\n1,2,,,2016,1\n")
    motion = {"pmra": "pmra", "pmdec": "pmdec", "epoch": "ep"}
    found = indexed(tmp_path, "x.csv", {"motion": motion, "columns": {"z": "z"}})
    assert found["_epoch"].to_pylist() == [2015.5, 2016.0]
    assert found["_pmra"].to_pylist() == [3.0, None]
    assert found["_pmdec"].to_pylist() == [-4.0, None]
    motion |= {"epoch": 2016.0, "pmra": "not_there"}
    found = indexed(tmp_path, "x.csv", {"motion": motion, "columns": {"z": "z"}})
    assert found["_epoch"].to_pylist() == [2016.0, 2016.0]
    assert found["_pmra"].to_pylist() == [None, None]


def test_the_schema_is_that_of_all_files(tmp_path):
    """A column that one file lacks is null in its index; the preset decides on the order."""
    text(tmp_path / "a.csv", "RA,DEC,y\n1,2,3\n")
    text(tmp_path / "b.csv", "RA,DEC,x\n1,2,3\n")
    preset = {"columns": {"x": {"names": "x", "type": "int64"}, "y": "y", "none": "none"}}
    both = reader(tmp_path, "*.csv", preset)
    assert both.schema() == pa.schema([("x", pa.int64()), ("y", pa.float64())])
    found = indexed(tmp_path, "a.csv", preset, "*.csv")
    assert found.select(["x", "y"]).to_pylist() == [{"x": None, "y": 3.0}]
    alone = indexed(tmp_path, "a.csv", preset)
    assert alone["_digest"] == found["_digest"]


def test_a_file_without_positions_is_an_error(tmp_path):
    """The nearest of its columns is named."""
    text(tmp_path / "x.csv", "RA_J,DECL,z\n1,2,3\n")
    with pytest.raises(DataError, match=r"source s: .*right ascension must be in a column named.*"
                       r"\(RA, RAJ\), got no such column; .*nearest: 'RA_J'"):  # fmt: skip
        indexed(tmp_path, "x.csv", {"columns": {"z": "z"}})


def test_a_file_of_another_survey_is_an_error(tmp_path):
    """It holds none of the preset's columns."""
    text(tmp_path / "x.csv", "RA,DEC,raut\n1,2,3\n")
    with pytest.raises(DataError, match=r"columns must be in a column .*preset splus_idr3 says"):
        indexed(tmp_path, "x.csv", "splus_idr3")


def test_a_preset_without_columns_gives_ids_and_positions(tmp_path):
    """Spectra and images of a list of positions need no more."""
    text(tmp_path / "x.csv", "ID,RA,DEC\na,1,2\n")
    table = indexed(tmp_path, "x.csv", {})
    assert table.schema.names == ["_key", "_field", *RESERVED.names]
    assert table.select(["_key", "_ra", "_digest"]).to_pylist() == [
        {"_key": "a", "_ra": 1.0, "_digest": 0}
    ]


def test_an_unknown_preset_is_an_error(tmp_path):
    """It is known before a file is opened."""
    with pytest.raises(ConfigError, match=r"preset must be one of .*nearest: 'splus_dr4'"):
        reader(tmp_path, "x.csv", "splus_dr5")


def test_read_gives_rows_of_the_index(tmp_path):
    """Rows are those that are wanted, in order, across batches."""
    n = 3000
    table = pa.table({"RA": np.zeros(n), "DEC": np.zeros(n), "z": np.arange(n) / 2})
    pq.write_table(table, tmp_path / "x.parquet")
    each = reader(tmp_path, "x.parquet", {"columns": {"z": "z"}})
    found = each.read(RawFile(tmp_path / "x.parquet"), np.array([0, 1023, 1024, 2999]))
    assert found.to_pydict() == {"z": [0.0, 511.5, 512.0, 1499.5]}


# --- digests


RULES = {
    "v": "v",
    "f": {"names": "f", "type": "float32"},
    "n": {"names": "n", "type": "int64"},
    "t": {"names": "t", "type": "text"},
}


def small(**changes) -> pa.Table:
    """Two rows of each type; the second misses all values."""
    columns = {
        "ID": ["a", "b"], "RA": [1.0, 2.0], "DEC": [1.0, 2.0],
        "v": [0.1, None], "f": [0.1, None], "n": [BIG[1], None], "t": ["x", None],
    }  # fmt: skip
    types = {"n": pa.int64(), "t": pa.string()}
    return pa.table({k: pa.array(v, types.get(k)) for k, v in {**columns, **changes}.items()})


def digests(folder: Path, table: pa.Table, rules=None) -> list[int]:
    pq.write_table(table, folder / "d.parquet")
    return indexed(folder, "d.parquet", {"columns": rules or RULES})["_digest"].to_pylist()


@pytest.mark.parametrize(
    "change",
    [
        {"v": [0.1 + 1e-15, None]},
        {"f": [0.1 + 1e-7, None]},
        {"n": [BIG[0], None]},
        {"t": ["y", None]},
        {"t": [None, None]},
        {"v": [None, None]},
    ],
)
def test_a_digest_changes_with_each_value(tmp_path, change):
    """That of another row does not."""
    before, after = digests(tmp_path, small()), digests(tmp_path, small(**change))
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize(
    "change",
    [
        {"ID": ["c", "d"]},
        {"RA": [5.0, 6.0]},
        {"f": [0.1 + 1e-12, None]},
        {"v": [0.1, np.nan]},
        {"t": ["x", ""]},
        {"other": [1, 2]},
    ],
)
def test_a_digest_is_of_the_measured_values_alone(tmp_path, change):
    """Positions have columns of their own; null, NaN and empty text are the same."""
    assert digests(tmp_path, small(**change)) == digests(tmp_path, small())


def test_equal_values_of_two_columns_do_not_cancel_out(tmp_path):
    """Nor is it the same which of them has a value."""
    zero = digests(tmp_path, small(v=[0.0, None], f=[0.0, None]))
    both = digests(tmp_path, small(v=[2.0, None], f=[2.0, None]))
    one = digests(tmp_path, small(v=[2.0, None], f=[0.0, None]))
    other = digests(tmp_path, small(v=[0.0, None], f=[2.0, None]))
    assert len({zero[0], both[0], one[0], other[0]}) == 4
    minus = digests(tmp_path, small(v=[-0.0, None], f=[0.0, None]))
    assert minus == zero


def test_digests_do_not_depend_on_the_format(tmp_path):
    """The same numbers in CSV, ECSV, FITS, VOTable and parquet have the same digests."""
    table = Table({"ID": ["a", "b"], "RA": [1.0, 2.0], "DEC": [1.0, 2.0]})
    table["v"] = MaskedColumn([0.1, 0.0], mask=[False, True])
    table["f"] = MaskedColumn(np.array([0.5, 0.0], "f4"), mask=[False, True])
    table["n"] = np.array(BIG)
    table["t"] = ["x", "y z"]
    found = {}
    for name in ("x.csv", "x.ecsv", "x.fits", "x.vot", "x.parquet"):
        table.write(tmp_path / name, **({"format": "votable"} if name == "x.vot" else {}))
        index = indexed(tmp_path, name, {"columns": RULES})
        found[name] = (index["_digest"].to_pylist(), index.select(list(RULES)).to_pylist())
    assert len({str(each) for each in found.values()}) == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.floats(width=64) | st.none(),
            st.integers(-(2**63), 2**63 - 1) | st.none(),
            st.text(st.characters(codec="utf-8", categories=("L",)), max_size=5) | st.none(),
        ),
        min_size=1,
        max_size=30,
    ),
    group=st.integers(1, 7),
)
def test_digests_do_not_depend_on_batches(tmp_path, rows, group):
    """Each row's digest is that of a file that holds the row alone."""
    v, n, t = zip(*rows, strict=True)
    types = {"v": pa.float64(), "n": pa.int64(), "t": pa.string()}
    table = pa.table(
        {"RA": [0.0] * len(rows), "DEC": [0.0] * len(rows)}
        | {k: pa.array(c, types[k]) for k, c in zip("vnt", (v, n, t), strict=True)}
    )
    rules = {k: RULES[k] for k in "vnt"}
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=group)
    together = indexed(tmp_path, "d.parquet", {"columns": rules})["_digest"].to_pylist()
    alone = [digests(tmp_path, table.slice(i, 1), rules)[0] for i in range(min(4, len(rows)))]
    assert together[: len(alone)] == alone


# --- arrays


def test_an_element_of_lists_is_read(tmp_path):
    """J-PLUS has one array of twelve bands per magnitude: r, g, i, z, u, J0378, …, J0861."""
    n, bands = 3, 12
    table = Table({"TILE_ID": [95126] * n, "NUMBER": np.arange(n)})
    table["ALPHA_J2000"], table["DELTA_J2000"] = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    values = np.arange(n * bands, dtype=np.float32).reshape(n, bands) + 14
    values[1, 4] = 99
    table["MAG_AUTO"], table["FLAGS"] = values, np.arange(n * bands).reshape(n, bands)
    found = {}
    for name in ("x.fits", "x.vot"):
        table.write(tmp_path / name, **({"format": "votable"} if name == "x.vot" else {}))
        found[name] = indexed(tmp_path, name, "jplus")
    for each in found.values():
        assert each["_key"].to_pylist() == ["95126-0", "95126-1", "95126-2"]
        assert each["_field"].to_pylist() == ["95126"] * 3
        assert each["mag_auto_r"].to_pylist() == [14.0, 26.0, 38.0]
        assert each["mag_auto_u"].to_pylist() == [18.0, None, 42.0]
        assert each["mag_auto_j0861"].to_pylist() == [25.0, 37.0, 49.0]
        assert each["flags_j0378"].to_pylist() == [5, 17, 29]


@pytest.mark.parametrize("form", ["[1.5,{},3]", "(1.5, {}, 3)", "1.5 {} 3", " [1.5  {} 3 ]"])
def test_an_element_of_lists_in_text_is_read(tmp_path, form):
    """Archives write lists into CSV in brackets, in parentheses, or with spaces alone."""
    rows = [("RA", "DEC", "m"), ("1", "2", form.format("2.5")), ("1", "2", form.format("nan"))]
    with (tmp_path / "x.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([*rows, ("1", "2", "")])
    rule = {"columns": {"m": {"names": "m", "element": 1}}}
    assert indexed(tmp_path, "x.csv", rule)["m"].to_pylist() == [2.5, None, None]


@pytest.mark.parametrize(
    ("values", "rule", "message"),
    [
        (
            [[1.0, 2.0], [1.0]],
            {"element": 1},
            r"must be lists of more than 1 values, got 1 in row 1",
        ),
        (
            [1.0, 2.0],
            {"element": 1},
            r"must be a column of lists, of which value 1 is read, got do",
        ),
        ([[1.0], [2.0]], {}, r"must be a column of single values, got lists; name one of its"),
    ],
)
def test_lists_that_do_not_fit_are_an_error(tmp_path, values, rule, message):
    """A band is never read from another's place."""
    pq.write_table(
        pa.table({"RA": [1.0] * 2, "DEC": [1.0] * 2, "m": values}), tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match=r"x\.parquet: column 'm' " + message):
        indexed(tmp_path, "x.parquet", {"columns": {"m": {"names": "m", **rule}}})


def test_files_of_the_multimodal_universe_are_a_catalogue(tmp_path):
    """With a preset of the user's, one HDF5 file per HEALPix cell gives rows and elements."""
    for cell, ids in ((7, BIG), (1107, [3])):
        path = tmp_path / f"desi/healpix={cell}/001-of-001.hdf5"
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as file:
            file["object_id"] = np.array([str(i) for i in ids], "S19")
            file["ra"], file["dec"] = np.full(len(ids), 10.0), np.full(len(ids), float(cell))
            file["Z"] = np.arange(len(ids), dtype=np.float32)
            file["mags"] = np.arange(2.0 * len(ids)).reshape(-1, 2)
    preset = {
        "id": "object_id", "ra": "ra", "dec": "dec",
        "columns": {"specz_z": "Z", "mag": {"names": "mags", "element": 1}},
    }  # fmt: skip
    source = reader(tmp_path, "desi/healpix=*/*.hdf5", preset)
    files = list_files("s", source._settings)
    tables = [pa.concat_tables(source.index(file)) for file in files]
    rows = {path.path.parent.name: t.to_pylist() for path, t in zip(files, tables, strict=True)}
    found = {cell: [(r["_key"], r["specz_z"], r["mag"]) for r in own] for cell, own in rows.items()}
    assert found == {
        "healpix=7": [(str(BIG[0]), 0.0, 1.0), (str(BIG[1]), 1.0, 3.0)],
        "healpix=1107": [("3", 0.0, 1.0)],
    }


def test_a_hats_catalogue_is_read_leaf_by_leaf(tmp_path):
    """Ids, positions, epoch and values are those of its leaves."""
    folder = tmp_path / "gaia/dataset/Norder=0/Dir=0"
    folder.mkdir(parents=True)
    (tmp_path / "gaia/hats.properties").touch()
    for pixel, big in enumerate(BIG):
        leaf = {
            "source_id": [big],
            "ra": [1.0],
            "dec": [2.0],
            "pmra": [3.0],
            "parallax": [pixel / 2],
        }
        pq.write_table(pa.table(leaf), folder / f"Npix={pixel}.parquet")
    each = reader(tmp_path, "gaia", "gaia_dr3")
    assert "gaia_parallax" in each.schema().names
    second = pa.concat_tables(each.index(RawFile(folder / "Npix=1.parquet")))
    found = second.select(["_key", "_epoch", "_pmra", "_pmdec", "gaia_parallax"]).to_pylist()
    assert found == [
        {"_key": str(BIG[1]), "_epoch": 2016.0, "_pmra": 3.0, "_pmdec": None, "gaia_parallax": 0.5}
    ]


# --- files of archives, counted by Python's csv module


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("name", "preset", "suffix", "field"),
    [
        ("splus_dr4_dual.csv", "splus_dr4", "_dual", r"DR4_\d_(.*)_\d{7}"),
        ("splus_idr3.csv", "splus_idr3", "", r"iDR3\.(.*)\.\d{6}"),
    ],
)
def test_real_catalogues_of_splus(real_raw, name, preset, suffix, field):
    """Values, missing ones, fields and ids are those that Python's csv module finds."""
    rows = rows_of(real_raw / name)
    found = indexed(real_raw, name, preset)
    assert found["_key"].to_pylist() == [row[f"ID{suffix}"] for row in rows]
    assert found["_field"].to_pylist() == [
        re.fullmatch(field, row[f"ID{suffix}"])[1] for row in rows
    ]
    assert found["_ra"].to_pylist() == [float(row[f"RA{suffix}"]) % 360 for row in rows]
    assert found["_reason"].null_count == len(rows)
    for band in ("u", "J0378", "g", "r", "J0861", "z"):
        raw = [float(row[f"{band}_auto{suffix}"]) for row in rows]
        expected = [None if abs(v) == 99 else v for v in raw]
        assert found[f"mag_auto_{band.lower()}"].to_pylist() == expected
    assert len(set(found["_digest"].to_pylist())) == len(rows)


def test_real_counts_of_splus(real_raw):
    """Counted by hand with a shell: rows, missing u magnitudes, rows of the largest field."""
    found = indexed(real_raw, "splus_dr4_dual.csv", "splus_dr4")
    assert len(found) == 2000
    assert found["mag_auto_u"].null_count == 28
    assert Counter(found["_field"].to_pylist())["STRIPE82-0047"] == 116
    found = indexed(real_raw, "splus_idr3.csv", "splus_idr3")
    assert len(found) == 500
    assert found["mag_auto_j0378"].null_count == 32
    assert Counter(found["_field"].to_pylist()) == {"SPLUS-s26s32": 500}


def test_a_real_leaf_of_a_hats_catalogue(real_raw, tmp_path):
    """Its eleven objects have ids and positions."""
    path = real_raw / "hats/small_sky_nested_leaf.parquet"
    (tmp_path / "leaf.parquet").symlink_to(path)
    rules = {"id": "id", "columns": {"n": {"names": "ra_error", "type": "int64"}}}
    table = indexed(tmp_path, "leaf.parquet", rules)
    raw = pq.read_table(path).to_pydict()
    assert len(table) == 11
    assert table["_key"].to_pylist() == [str(each) for each in raw["id"]]
    assert table["_ra"].to_pylist() == raw["ra"]
    assert table["n"].to_pylist() == raw["ra_error"]
