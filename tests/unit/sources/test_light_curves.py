"""Light curves, nested and in long form; small files with numbers that are checked by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astromodal.config.sources import SourceSettings
from astromodal.errors import ConfigError, DataError
from astromodal.sources.base import RESERVED
from astromodal.sources.files import RawFile
from astromodal.sources.light_curves import LightCurveReader

REAL = Path(__file__).parents[4] / "shared/data/raw/hats/small_sky_nested_leaf.parquet"
BIG = 1447113400032768001  # more digits than float64 has
PARTS = ("hmjd", "mag", "magerr", "filterid", "catflags")
SEEN = {
    # object 0: two bands, not in the order of time, one measurement with a flag
    0: [
        (58002.0, 18.2, 0.02, 1, 0),
        (58001.0, 18.1, 0.01, 1, 0),
        (58003.0, 17.5, 0.03, 2, 0),
        (58004.0, 99.0, 0.03, 2, 32768),
    ],
    # object 1: nothing that can be used
    1: [(58001.0, np.nan, 0.1, 1, 0), (58002.0, 19.0, 0.0, 1, 0), (58003.0, 19.0, 0.1, 7, 0)],
    # object 2: the band i only; an infinite error
    2: [(58009.0, 16.0, 0.05, 3, 0), (58010.0, 16.0, np.inf, 3, 0)],
}
POSITION = {0: (10.0, -1.0), 1: (11.0, -2.0), 2: (12.0, -3.0)}
ORDER = [0, 2, 1, 0, 0, 1, 2, 1, 0]  # rows in long form: first at 0, 2 (object 1) and 1 (object 2)


def reader(preset="ztf", folder=None, **curves):
    """Return a reader of a source called curves, with the preset ztf or one changed."""
    if curves or not isinstance(preset, str):
        base = {"title": "made here", "id": "oid", "ra": "ra", "dec": "dec", "curves": curves}
        path = folder / "preset.yaml"
        path.write_text(yaml.safe_dump(base | (preset if isinstance(preset, dict) else {})))
        preset = str(path)
    return LightCurveReader("curves", SourceSettings(kind="light_curves", files="x", preset=preset))


def objects():
    """Return the columns of a table with one row per object."""
    return {
        "objectid": pa.array([BIG + i for i in SEEN]),
        "objra": pa.array([POSITION[i][0] for i in SEEN]),
        "objdec": pa.array([POSITION[i][1] for i in SEEN]),
    }


def struct_of_lists(folder):
    """Write a struct of lists, as in HATS catalogues."""
    parts = [pa.array([[m[k] for m in curve] for curve in SEEN.values()]) for k in range(5)]
    nested = pa.StructArray.from_arrays(parts, list(PARTS))
    pq.write_table(pa.table({**objects(), "lightcurve": nested}), folder / "lc.parquet")
    return RawFile(folder / "lc.parquet")


def list_of_structs(folder):
    """Write a list of structs."""
    rows = [[dict(zip(PARTS, m, strict=True)) for m in curve] for curve in SEEN.values()]
    pq.write_table(pa.table({**objects(), "lightcurve": pa.array(rows)}), folder / "lc.parquet")
    return RawFile(folder / "lc.parquet")


def plain_lists(folder):
    """Write a column of lists for each part of a measurement, as in IRSA's parquet files."""
    parts = {
        name: pa.array([[m[k] for m in curve] for curve in SEEN.values()])
        for k, name in enumerate(PARTS)
    }
    pq.write_table(pa.table({**objects(), **parts}), folder / "lc.parquet")
    return RawFile(folder / "lc.parquet")


def long_table(order=ORDER):
    """Return a table with one row per measurement, those of objects interleaved."""
    left = {i: list(curve) for i, curve in SEEN.items()}
    rows = [(i, *left[i].pop(0)) for i in order]
    columns = dict(zip(("oid", *PARTS), zip(*rows, strict=True), strict=True))
    columns["oid"] = [BIG + i for i in columns["oid"]]
    position = {k: [POSITION[i][j] for i in order] for j, k in enumerate(("ra", "dec"))}
    return pa.table({k: pa.array(v) for k, v in {**columns, **position}.items()})


def long_parquet(folder):
    """Write the long form as parquet."""
    pq.write_table(long_table(), folder / "lc.parquet")
    return RawFile(folder / "lc.parquet")


def long_csv(folder):
    """Write the long form as CSV, which states no types."""
    pcsv.write_csv(long_table(), folder / "lc.csv")
    return RawFile(folder / "lc.csv")


NESTED = [struct_of_lists, list_of_structs, plain_lists]
LONG = [long_parquet, long_csv]


def indexed(file, own=None):
    """Return the index of a file, sorted by row, as a list."""
    table = pa.concat_tables((own or reader()).index(file))
    assert table.drop_columns("_key").schema == RESERVED
    return table.sort_by("_row").to_pylist()


def read(file, rows, own=None):
    """Return some objects of a file as a table."""
    own = own or reader()
    found = own.read(file, np.array(rows, np.int64))
    assert found.schema == own.schema()
    return found


@pytest.mark.parametrize("write", NESTED + LONG)
def test_measurements_are_sorted_and_bad_ones_left_out(tmp_path, write):
    """By hand from the numbers above; float32, as cubes have them."""
    file = write(tmp_path)
    rows = [0, 1, 2] if write in NESTED else [0, 2, 1]  # of the objects 0, 1, 2
    found = {i: read(file, [row]).to_pylist()[0] for i, row in enumerate(rows)}
    for column, g, r in (
        ("hmjd", [58001.0, 58002.0], [58003.0]),
        ("mag", [18.1, 18.2], [17.5]),
        ("magerr", [0.01, 0.02], [0.03]),
    ):
        assert found[0][f"ztf_{column}_g"] == pytest.approx(g, rel=1e-6)
        assert found[0][f"ztf_{column}_r"] == pytest.approx(r, rel=1e-6)
        assert found[0][f"ztf_{column}_i"] is None
    assert set(found[1].values()) == {None}
    assert (found[2]["ztf_hmjd_i"], found[2]["ztf_mag_i"]) == ([58009.0], [16.0])


@pytest.mark.parametrize("write", NESTED + LONG)
def test_an_index_has_one_row_per_object(tmp_path, write):
    """With exact ids, positions, the number of good measurements, and the reason for none."""
    found = indexed(write(tmp_path))
    order = [0, 1, 2] if write in NESTED else [0, 2, 1]  # by their rows
    ids = [BIG + i for i in order]
    assert [row["_key"] for row in found] == ([str(i) for i in ids] if write is long_csv else ids)
    assert [(row["_ra"], row["_dec"]) for row in found] == [POSITION[i] for i in order]
    assert [row["_row"] for row in found] == [0, 1, 2]
    assert [row["_rank"] for row in found] == [[3, 0, 1][i] for i in order]
    reasons = [None, "no good measurement", None]
    assert [row["_reason"] for row in found] == [reasons[i] for i in order]


def test_all_forms_have_the_same_digests(tmp_path):
    """They depend on the measurements alone, not on the format or the order in the file."""
    digests = []
    for write in NESTED + LONG:
        folder = tmp_path / write.__name__
        folder.mkdir()
        by_id = {int(row["_key"]): row["_digest"] for row in indexed(write(folder))}
        digests.append([by_id[BIG + i] for i in SEEN])
    assert digests == [digests[0]] * 5
    assert len(set(digests[0])) == 3


def test_a_digest_is_that_of_what_is_read(tmp_path):
    """A magnitude changes that of its object; an unused measurement or a position none."""
    table = long_table()
    before = {row["_key"]: row["_digest"] for row in indexed(long_parquet(tmp_path))}
    mag = table["mag"].to_numpy().copy()
    mag[6] += 1  # of object 2, with an infinite error
    moved = table.set_column(2, "mag", pa.array(mag)).set_column(7, "dec", pa.array(np.zeros(9)))
    path = tmp_path / "changed.parquet"
    pq.write_table(moved, path)
    assert {row["_key"]: row["_digest"] for row in indexed(RawFile(path))} == before
    mag[1] += 1
    pq.write_table(moved.set_column(2, "mag", pa.array(mag)), path)
    after = {row["_key"]: row["_digest"] for row in indexed(RawFile(path))}
    assert [after[BIG + i] == before[BIG + i] for i in SEEN] == [True, True, False]


@pytest.mark.parametrize("write", NESTED + LONG)
def test_some_objects_are_read_in_their_order(tmp_path, write):
    """Equal to the same rows of all; no rows give an empty table."""
    file = write(tmp_path)
    whole = read(file, [0, 1, 2])
    assert read(file, [1, 2]).equals(whole.slice(1))
    assert read(file, []).equals(whole.slice(0, 0))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(ORDER), st.integers(1, 9))
def test_any_order_in_any_batches_gives_the_same_curves(tmp_path, monkeypatch, order, rows):
    """In long form: the index and what is read, when a batch has fewer rows than the file."""
    table = long_table(order)
    path = tmp_path / "any.parquet"
    pq.write_table(table, path)
    batches = "astromodal.sources.raw_table.RawTable.batches"
    with monkeypatch.context() as patch:
        patch.setattr(batches, cut_to(rows))
        found = indexed(RawFile(path))
        firsts = {i: order.index(i) for i in SEEN}
        assert {row["_key"]: row["_row"] for row in found} == {BIG + i: firsts[i] for i in SEEN}
        assert {row["_key"]: row["_rank"] for row in found} == {BIG: 3, BIG + 1: 0, BIG + 2: 1}
        wanted = sorted(firsts.values())
        curves = read(RawFile(path), wanted).to_pylist()
    assert curves[wanted.index(firsts[0])]["ztf_hmjd_g"] == [58001.0, 58002.0]
    assert curves[wanted.index(firsts[2])]["ztf_hmjd_i"] == [58009.0]


def cut_to(rows):
    """Return a method that reads a table in batches of some rows."""
    from astromodal.sources.raw_table import RawTable

    whole = RawTable.batches

    def batches(self, columns, _=0, types=None):
        yield from whole(self, columns, rows, types)

    return batches


def test_objects_are_yielded_as_they_are_complete(tmp_path, monkeypatch):
    """Sorted by object, a limit of 3 measurements is enough; interleaved, 4 are held at once.

    Batches have 3 rows. After the second of the interleaved ones, three good measurements of object
    0 and one of object 2 wait for their last rows, 8 and 6.
    """
    monkeypatch.setattr("astromodal.sources.raw_table.RawTable.batches", cut_to(3))
    monkeypatch.setattr("astromodal.sources.light_curves._MOST", 3)
    pq.write_table(long_table(sorted(ORDER)), tmp_path / "sorted.parquet")
    found = indexed(RawFile(tmp_path / "sorted.parquet"))
    assert [row["_rank"] for row in found] == [3, 0, 1]
    message = r"at most 3 measurements between those of an object, got more; sort it by 'oid'"
    with pytest.raises(DataError, match=message):
        indexed(long_parquet(tmp_path))


def test_a_preset_names_bands_columns_and_flags(tmp_path):
    """One band of the file, under another name; columns of one's own; a sentinel."""
    own = reader(
        {"sentinels": {"ztf_mag_*": [16.0], "ztf_magerr_r": [-1.0, 0.5], "ztf_mag_g": [17.0]}},
        tmp_path,
        time="t",
        mag="m",
        error="e",
        band="b",
        bands={"zg": "r"},
        good={},
    )
    assert own.schema().names == ["ztf_mag_r", "ztf_magerr_r", "ztf_hmjd_r"]
    columns = {"oid": ["a"] * 5, "ra": [1.0] * 5, "dec": [2.0] * 5}
    columns |= {"b": ["zg", "zr", "zg", None, "zg"], "t": [3.0, 1.0, 2.0, 4.0, 5.0]}
    columns |= {"m": [17.0, 18.0, 16.0, 19.0, 17.0], "e": [0.1, 0.1, 0.1, 0.1, 0.5]}
    pq.write_table(pa.table(columns), tmp_path / "lc.parquet")
    file = RawFile(tmp_path / "lc.parquet")
    assert read(file, [0], own)["ztf_hmjd_r"].to_pylist() == [[3.0]]
    assert indexed(file, own)[0]["_key"] == "a"


def test_a_band_may_belong_to_the_object(tmp_path):
    """As in ZTF's own catalogues, where an object has one band and a number beside its curve."""
    parts = [pa.array([[58002.0, 58001.0], None]), pa.array([[18.0, 19.0], None])]
    parts += [pa.array([[0.1, 0.2], None]), pa.array([[0, 0], None])]
    nested = pa.StructArray.from_arrays(parts, ["hmjd", "mag", "magerr", "catflags"])
    table = {"objectid": [1, 2], "objra": [0.0, np.nan], "objdec": [0.0, 0.0], "filterid": [2, 1]}
    pq.write_table(pa.table({**table, "lightcurve": nested}), tmp_path / "lc.parquet")
    file = RawFile(tmp_path / "lc.parquet")
    assert read(file, [0, 1])["ztf_mag_r"].to_pylist() == [[19.0, 18.0], None]
    assert [row["_reason"] for row in indexed(file)] == [None, "no position"]


def test_ids_are_needed_in_long_form_only(tmp_path):
    """Nested rows are objects without one."""
    pq.write_table(long_table(), tmp_path / "long.parquet")
    plain = {k: pa.array([[m[i] for m in SEEN[0]]]) for i, k in enumerate(PARTS)}
    pq.write_table(pa.table({"ra": [1.0], "dec": [2.0], **plain}), tmp_path / "lists.parquet")
    own = reader({"id": None}, tmp_path, good={"catflags": [0]})
    assert indexed(RawFile(tmp_path / "lists.parquet"), own)[0]["_key"] is None
    with pytest.raises(DataError, match=r"a table of measurements with ids, got no .*\(id\)"):
        indexed(RawFile(tmp_path / "long.parquet"), own)


def test_a_preset_without_curves_is_an_error():
    """Such as that of a catalogue."""
    with pytest.raises(ConfigError, match="sources.curves.preset must be a preset with curves, g"):
        reader("vista")


@pytest.mark.parametrize("write", [long_parquet, plain_lists])
@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("magerr", "magerror", "a column 'magerr' of measurements, got .*; nearest: 'magerror'"),
        ("catflags", "flags", "a column 'catflags' of measurements, got .*; nearest: 'flags'"),
        ("filterid", "filter", "a column 'filterid' of measurements"),
    ],
)
def test_a_missing_column_is_an_error(tmp_path, write, name, other, message):
    """It names source, file, column and the nearest name."""
    file = write(tmp_path)
    table = pq.read_table(file.path)
    names = [other if each == name else each for each in table.column_names]
    pq.write_table(table.rename_columns(names), file.path)
    with pytest.raises(DataError, match=f"source curves: {file.path} must be .*{message}"):
        indexed(file)
    with pytest.raises(DataError, match=message):
        read(file, [0])


def test_a_missing_part_of_a_nested_column_is_an_error(tmp_path):
    """The nearest name is looked for inside and beside it."""
    file = struct_of_lists(tmp_path)
    table = pq.read_table(file.path)
    nested = table["lightcurve"].combine_chunks()
    parts = [nested.field(name) for name in PARTS]
    changed = pa.StructArray.from_arrays(parts, ["hmjd", "mag", "mag_err", "filterid", "catflags"])
    pq.write_table(table.set_column(3, "lightcurve", changed), file.path)
    with pytest.raises(DataError, match="column 'magerr' of measurements, .*nearest: 'mag_err'"):
        indexed(file)


def test_a_missing_position_is_an_error(tmp_path):
    """All names of the preset are in the message."""
    file = long_parquet(tmp_path)
    pq.write_table(pq.read_table(file.path).drop_columns("ra"), file.path)
    message = r"a column 'objra' or 'ra' \(preset: ra\), got 7 others"
    with pytest.raises(DataError, match=message):
        indexed(file)


def test_a_table_without_measurements_is_an_error(tmp_path):
    """Neither nested nor in long form: the nearest name of the nested column is in the message."""
    table = pa.table({"objectid": [1], "objra": [0.0], "objdec": [0.0], "light_curve": [[1.0]]})
    pq.write_table(table, tmp_path / "lc.parquet")
    message = "a column 'lightcurve', or 'hmjd' in long form, got 4 others; nearest: 'light_curve'"
    with pytest.raises(DataError, match=message):
        indexed(RawFile(tmp_path / "lc.parquet"))
    numbers = pa.table({**table.drop_columns("light_curve").to_pydict(), "lightcurve": [1.0]})
    pq.write_table(numbers, tmp_path / "lc.parquet")
    with pytest.raises(DataError, match="a column 'hmjd' of measurements"):
        indexed(RawFile(tmp_path / "lc.parquet"))


def test_lists_of_one_row_have_one_length(tmp_path):
    """As measurements would not be distinct."""
    file = plain_lists(tmp_path)
    table = pq.read_table(file.path)
    short = pa.array([[18.0], [19.0] * 3, [16.0] * 2])
    pq.write_table(table.set_column(table.column_names.index("mag"), "mag", short), file.path)
    with pytest.raises(DataError, match="lists of one length in a row, 4 in 'mag' too, got 1"):
        indexed(file)


def test_other_errors_of_content(tmp_path):
    """Julian dates, ids that are null or too large, other types, and rows that are not there."""
    file, table = long_parquet(tmp_path), long_table()
    with pytest.raises(DataError, match="must be a table with a row 9, got 9 rows"):
        read(file, [0, 9])
    with pytest.raises(DataError, match="must be a table with a row 3, got 3 rows"):
        read(plain_lists(tmp_path), [0, 3])
    julian = pa.array(table["hmjd"].to_numpy() + 2400000.5)
    pq.write_table(table.set_column(1, "hmjd", julian), file.path)
    with pytest.raises(DataError, match="times in MJD in 'hmjd', got 2458009.5; subtract 2400000"):
        indexed(file)
    lost = pa.array([None, *table["oid"].to_pylist()[1:]])
    pq.write_table(table.set_column(0, "oid", lost), file.path)
    with pytest.raises(DataError, match="a table with 'oid' in each row, got a row without"):
        indexed(file)
    pq.write_table(table.set_column(2, "mag", pa.array(["bright"] * 9)), file.path)
    with pytest.raises(DataError, match=f"source curves: {file.path} must be .*bright"):
        indexed(file)
    large = pa.array(np.full(9, 2**63, np.uint64))
    pq.write_table(table.set_column(0, "oid", large), file.path)
    with pytest.raises(DataError, match=f"{file.path} must be .*9223372036854775808"):
        indexed(file)
    bands = pa.array([{"name": "g"}] * 9)
    pq.write_table(table.set_column(4, "filterid", bands), file.path)
    with pytest.raises(DataError, match=f"source curves: {file.path} must be .*struct"):
        indexed(file)
    pq.write_table(table.slice(0, 0), file.path)
    with pytest.raises(DataError, match="must be a table with rows, got none"):
        indexed(file)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("write", [struct_of_lists, long_parquet])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, write, share):
    """One error that names it."""
    file = write(tmp_path)
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=f"source curves: {file.path}"):
        indexed(file)


@pytest.mark.skipif(not REAL.exists(), reason="needs the real raw files beside the project")
def test_a_real_leaf_is_read(tmp_path):
    """A nested leaf of a HATS catalogue. It has no errors: magnitudes stand in for them here."""
    table = pq.read_table(REAL)
    own = {"id": "id", "curves": {"nested": "lc", "time": "mjd", "band": "band", "error": "mag"}}
    found = indexed(RawFile(REAL), reader(own, tmp_path))
    assert [row["_key"] for row in found] == table["id"].to_pylist()
    assert [row["_ra"] for row in found] == table["ra"].to_pylist()
    nested = table["lc"].to_pylist()
    for i in (0, len(nested) - 1):
        curve = read(RawFile(REAL), [i], reader(own, tmp_path)).to_pylist()[0]
        for band in "gri":
            mine = sorted(
                (t, m)
                for t, m, b in zip(*(nested[i][k] for k in ("mjd", "mag", "band")), strict=True)
                if b == band
            )
            assert curve[f"ztf_hmjd_{band}"] == pytest.approx([t for t, _ in mine], rel=1e-6)
            assert curve[f"ztf_mag_{band}"] == pytest.approx([m for _, m in mine], rel=1e-6)
    with pytest.raises(DataError, match="a column 'magerr' of measurements"):
        indexed(RawFile(REAL), reader(own | {"curves": {"nested": "lc", "time": "mjd"}}, tmp_path))
