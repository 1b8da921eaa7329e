"""Tables of any kind are read as the same rows, or are an error that names the table."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import warnings
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.errors import DataError, MachineError
from astromodal.inference.frame_values import columns_read
from astromodal.inference.frames import frame_cube
from helpers.cutouts import cutouts
from helpers.frames import FORMS, Stream, blocks, columns, plain_table

BLOCKS = ("image", "scalar", "desi_r", "gaiaxp_bp")


@pytest.fixture(scope="module")
def table():
    return plain_table()


@pytest.fixture(scope="module")
def expected(model, table):
    return model.encode(table)


def assert_same(found, expected):
    """The same ids and the same codes of the same objects."""
    np.testing.assert_array_equal(found.ids, expected.ids)
    for block in BLOCKS:
        np.testing.assert_array_equal(found.has(block), expected.has(block))
        np.testing.assert_array_equal(found.codes(block), expected.codes(block))


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_have_the_same_codes(model, table, expected, form):
    """Every kind of table gives the same codes, with the same missing values."""
    assert_same(model.encode(FORMS[form](table)), expected)


def minimal(**changes):
    """A mapping of three rows, with changes."""
    return {"id": ["a", "b", "c"], "mag_pstotal_r": [20.0, 21.0, 22.0], **changes}


MASKED = np.ma.array([1, 2, 3], mask=[False, True, False])
REFUSED = {
    "text in numbers": (
        {"ra": np.array([1.0, "x", 2.0], dtype=object)},
        "column 'ra' of the mapping of columns must be a column of numbers, got 'x' .str. in row 1",
    ),
    "strings": ({"dec": ["1", "2", "3"]}, "must be a column of numbers, got '1' .str. in row 0"),
    "times": (
        {"ra": np.array(["2020-01-01"] * 3, dtype="datetime64[ns]")},
        "column 'ra' .* must be a column of numbers, got datetime64",
    ),
    "complex": ({"ra": np.ones(3, complex)}, "'ra' .* must be a column of numbers, got complex128"),
    "flags": ({"ra": [True, False, True]}, "must be a column of numbers, got True"),
    "pairs": ({"ra": np.ones((3, 2))}, r"must be a column of numbers, got arrays of shape \(2,\)"),
    "a scalar": ({"ra": 3.0}, "'ra' .* must be a column of one value per row, got 3.0"),
    "a text": ({"ra": "abc"}, "'ra' .* must be a column of one value per row, got 'abc'"),
    "dicts as cutouts": (
        {"splus_cut_R": [{}, None, None]},
        "'splus_cut_R' .* lists or arrays of numbers, got {} .dict. in row 0",
    ),
    "texts as cutouts": (
        {"splus_cut_R": [["x"], None, None]},
        "'splus_cut_R' .* must be a column of numbers, got 'x' .str. in row 0",
    ),
    "numbers as cutouts": (
        {"splus_cut_R": np.arange(3)},
        "'splus_cut_R' .* must be a column of lists or arrays of numbers, got int64",
    ),
    "a number among cutouts": (
        {"splus_cut_R": [5.0, None, None]},
        "'splus_cut_R' .* must be a column of lists .* got 5.0 .float. in row 0",
    ),
    "flags as cutouts": (
        {"splus_cut_R": np.ones((3, 1024), bool)},
        "'splus_cut_R' .* must be a column of lists .* got arrays of bool",
    ),
    "numbers as texts": (
        {"gaiaxp_bp_coefficients": [1, 2, 3]},
        "'gaiaxp_bp_coefficients' .* must be a column of text, or .* got 1 .int. in row 0",
    ),
    "floats as ids": (
        {"id": [1.0, 2.0, 3.0]},
        "column 'id' .* text, bytes or whole numbers, got 1.0 .float. in row 0",
    ),
    "an array of floats as ids": (
        {"id": np.arange(3.0)},
        "column 'id' .* got float64; give them as text or as integers: floats may round them",
    ),
    "a masked id": (
        {"id": MASKED},
        "column 'id' .* must be present in every row, got 1 of 3 rows not, from row 1 on",
    ),
    "an empty id": ({"id": np.array([b"a", b"  ", b"c"])}, "must be present .* from row 1 on"),
    "an id that is no text": (
        {"id": [b"a", b"\xff", b"c"]},
        "column 'id' of the mapping of columns must be UTF-8 text, got b'.xff' .bytes. in row 1",
    ),
    "lengths": (
        {"ra": [1.0]},
        "column 'ra' of the mapping of columns must be as long as column '.*', 3, got 1; give",
    ),
    "a name that is no text": (
        {7: [1, 2, 3]},
        r"names of columns of the mapping of columns must be text, got 7 \(int\); rename",
    ),
    "a spectrum without its wavelengths": (
        {"desi_flux_r": np.ones((3, 5)), "desi_ivar_r": np.ones((3, 5))},
        "column 'desi_wave_r' is missing from the mapping of columns",
    ),
    "a spectrum on another grid": (
        {f"desi_{part}_r": np.ones((3, 5)) for part in ("flux", "ivar", "wave")},
        "column 'desi_flux_r' of the mapping of columns must be a list of 2326 .* repair the",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_column_of_its_kind_is_refused(model, case):
    """The error names the table, the column, its valid kind and, for a cell, the row."""
    changes, words = REFUSED[case]
    with pytest.raises(DataError, match=words) as caught:
        model.encode(minimal() | changes)
    assert "parquet" not in str(caught.value)
    assert "field" not in str(caught.value)


def test_columns_that_are_not_read_break_nothing(model):
    """Columns of dicts, complex numbers, times, ragged shapes or repeated names are ignored."""
    frame = pd.DataFrame(minimal())
    frame["notes"] = [{"a": 1}, None, 3]
    frame["phase"] = np.ones(3, complex)
    frame["seen"] = pd.Timestamp("2020-01-01")
    frame = pd.concat([frame, frame[["notes"]]], axis=1)
    assert_same(model.encode(frame), model.encode(minimal()))
    other = minimal(length=[1], text="abc", none=None)
    assert_same(model.encode(other), model.encode(minimal()))


def test_what_is_not_read_is_not_written(model, monkeypatch):
    """The temporary file holds what the model reads; the cube knows all names."""
    seen = []
    monkeypatch.setattr(
        "astromodal.inference.encode._check_bands",
        lambda cube, bands: seen.append((cube.columns, pq.read_schema(cube.path).names)),
    )
    model.encode(minimal(wide=np.ones((3, 1000)), mag_pstotal_u=[1.0, 2.0, 3.0]))
    names, written = seen[0]
    assert {"wide", "mag_pstotal_u"} < names
    assert set(written) == {"id", "mag_pstotal_r"}


def test_every_column_that_encoding_reads_is_taken(model, tmp_path, table, monkeypatch):
    """The columns read from a table are those that the workflow reads from a cube."""
    path = tmp_path / "datacube_F1.parquet"
    pq.write_table(table, path)
    read, slices = set(), Cube.slices

    def spied(self, columns, *args, **kwargs):
        read.update(columns)
        return slices(self, columns, *args, **kwargs)

    monkeypatch.setattr(Cube, "slices", spied)
    model.encode(path)
    known = set(columns_read(model.tokenizers, ColumnSettings()))
    assert known >= read >= known & set(table.column_names)


def test_names_that_stand_twice_are_refused(model):
    """Two columns of the same name are an error."""
    frame = pd.DataFrame(minimal())
    twice = pd.concat([frame, frame[["mag_pstotal_r"]]], axis=1)
    words = "names of columns of the DataFrame must be unique, got 'mag_pstotal_r' twice; rename"
    with pytest.raises(DataError, match=words):
        model.encode(twice)
    words = words.replace("DataFrame", "pyarrow Table")
    with pytest.raises(DataError, match=words):
        model.encode(pa.table([["a"], [1.0], [2.0]], names=["id", *["mag_pstotal_r"] * 2]))


def test_an_index_is_no_column(model):
    """Columns in the index of a DataFrame are an error, not ignored."""
    frame = pd.DataFrame(minimal()).set_index("id")
    with pytest.raises(
        DataError, match=r"column 'id' of the DataFrame is its index; .*reset_index"
    ):
        model.encode(frame)
    frame = pd.DataFrame(minimal()).set_index("mag_pstotal_r")
    with pytest.raises(DataError, match=r"'mag_pstotal_r' of the DataFrame is its index"):
        model.encode(frame)
    unnamed = pd.DataFrame({"ra": [1.0]}, index=["a"])
    with pytest.raises(DataError, match=r"column 'id' is missing from the DataFrame.* reset_index"):
        model.encode(unnamed)
    found = model.encode(pd.DataFrame(minimal()).set_index("id").reset_index())
    assert_same(found, model.encode(minimal()))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.ones((2, 2)), r"got an array of shape \(2, 2\) and dtype float64"),
        (pd.Series([1, 2]), "a structured array or a mapping of columns, got Series"),
        ([{"id": "a"}], "got list"),
        (Stream(pa.table({"id": ["a"]})["id"]), "got the Stream .*"),
    ],
)
def test_what_is_no_frame_is_refused(model, source, words):
    """The error lists the kinds of tables."""
    with pytest.raises(DataError, match=f"what to encode must be a path, a Cube, .*{words}"):
        model.encode(source)


def test_frames_without_rows(model):
    """Tables without rows give no objects, whatever their dtypes."""
    empty = pa.table({"id": pa.array([], pa.string()), "ra": pa.array([], pa.float64())})
    frame = empty.to_pandas()
    sources = [empty, frame, {"id": [], "splus_cut_R": []}, pd.DataFrame({"id": []})]
    sources += [Table({"id": np.array([], "S4")}), np.empty(0, [("id", "S4"), ("ra", ">f8")])]
    sources += [{"id": [], "splus_cut_R": np.empty((0, 32, 32))}, plain_table().slice(0, 0)]
    assert [len(model.encode(source)) for source in sources] == [0] * len(sources)
    with pytest.raises(DataError, match="column 'id' is missing from the mapping of columns"):
        model.encode({})


def test_long_integers_stay_what_they_are(model):
    """Gaia's ids keep all digits, also masked, big-endian or unsigned ones."""
    ids = np.array([4295806720, 6917528997577384321, 2**63 - 1])
    texts = [str(i) for i in ids.tolist()]
    rows = minimal(id=np.ma.array(ids.astype(">i8"), mask=False))
    for form in (ids, ids.astype(">i8"), ids.astype(np.uint64), rows["id"], ids.tolist()):
        assert model.encode(minimal(id=form)).ids.tolist() == texts
    frame = pd.DataFrame(minimal(id=pd.array(ids, dtype="Int64")))
    assert model.encode(frame).ids.tolist() == texts


def test_ids_need_not_differ(model):
    """A file with many equal ids is not taken for a truncated one."""
    rows = {"id": ["a"] * 100_000, "mag_pstotal_r": np.full(100_000, 18.0)}
    assert len(model.encode(rows)) == 100_000


def test_padding_is_no_part_of_an_id(model):
    """Blanks and NULs at the end of fixed-width bytes are removed."""
    for ids in (np.array([b"a ", b"b\0", b"c"]), [b"a  ", b"b\0\0", "c"]):
        assert model.encode(minimal(id=ids)).ids.tolist() == ["a", "b", "c"]
    fixed = pa.array([b"a ", b"b\0", b"c "], pa.binary(2))
    assert model.encode(minimal(id=fixed)).ids.tolist() == ["a", "b", "c"]


def test_masked_pixels_are_not_measured(model, table):
    """A masked pixel is NaN, and its fill value does not change codes."""
    cut = blocks(table, side=True)
    name, spoilt = "splus_cut_R", dict(blocks(table, side=True))
    mask = np.zeros(cut[name].shape, bool)
    mask[:, 3:6, 4:9] = True
    holed = {**cut, name: np.where(mask, np.float32(np.nan), cut[name])}
    spoilt[name] = np.ma.array(np.where(mask, np.float32(1e6), cut[name]), mask=mask)
    expected = model.encode(holed)
    assert (expected.codes("image") != model.encode(cut).codes("image")).any()
    assert_same(model.encode(spoilt), expected)
    cells = [np.ma.array(row.data, mask=row.mask) for row in spoilt[name]]
    assert_same(model.encode({**spoilt, name: cells}), expected)
    squares = [np.where(row.mask, None, row.data).tolist() for row in spoilt[name]]
    assert_same(model.encode({**spoilt, name: squares}), expected)


def test_a_cutout_of_another_size_is_missing(model, table):
    """A cutout of another size is missing, as in a cube."""
    found = columns(table)
    name = "splus_cut_R"
    found[name] = [c if c is None or i else np.ones((31, 32)) for i, c in enumerate(found[name])]
    assert model.encode(found).has("image").tolist() == [i > 0 and i % 2 == 0 for i in range(12)]


def test_spectra_of_gaia_may_be_arrays(model, table, expected):
    """Coefficients as text, lists or a two-dimensional array give the same codes."""
    found = columns(table)
    names = [name for name in found if name.startswith("gaiaxp_bp_")]
    texts = {name: [None if v is None else json.loads(v) for v in found[name]] for name in names}
    lists = {name: [None if v is None else np.array(v) for v in texts[name]] for name in names}
    wide = {
        name: np.stack([np.full(len(v[0]), np.nan) if c is None else c for c in v])
        for name, v in lists.items()
    }
    for form in (texts, lists, wide):
        assert_same(model.encode({**found, **form}), expected)


def seen_values(model, source):
    """Numbers that a model reads in columns, by name."""
    columns = ("ra", "mag_pstotal_r", "gaia_teff_gspphot")
    with TemporaryDirectory() as folder:
        read = partial(columns_read, model.tokenizers)
        cube = frame_cube(source, Path(folder) / "x.parquet", read, None)
        return dict(zip(columns, cube.scalars(columns).T, strict=True))


def test_units_are_converted(model):
    """Units of a QTable, of a Table and of cells are converted to those of the model."""
    plain = {"id": ["a", "b"], "ra": [180.0, 90.0], "mag_pstotal_r": [20.0, 21.0],
             "gaia_teff_gspphot": [5000.0, 6000.0]}  # fmt: skip
    quantities = {
        "id": ["a", "b"],
        "ra": np.deg2rad([180.0, 90.0]) * u.rad,
        "mag_pstotal_r": ([20.0, 21.0] * u.ABmag).to(u.mag(u.nJy)),
        "gaia_teff_gspphot": [5.0, 6.0] * u.kK,
    }
    plainly = Table(plain)
    plainly["ra"] = [12.0, 6.0]
    plainly["ra"].unit = "hourangle"
    cells = {**plain, "ra": [0.5 * u.cycle, 90.0], "gaia_teff_gspphot": [5 * u.kK, 6000 * u.K]}
    for source in (quantities, QTable(quantities), plainly, cells):
        for name, values in seen_values(model, source).items():
            np.testing.assert_allclose(values, plain[name], rtol=1e-12)


def test_units_of_lists_are_converted(model, table, expected):
    """Units of cutouts and spectra are converted, of columns and of cells."""
    found = blocks(table)
    flux = found["desi_flux_r"] * u.Unit("1e-17 erg / (s cm2 Angstrom)")
    found["desi_flux_r"] = flux.astype(np.float64).to("W / (m2 nm)")
    found["desi_wave_r"] = (found["desi_wave_r"].astype(np.float64) * u.AA).to(u.nm)
    converted = model.encode(found)
    np.testing.assert_array_equal(converted.has("desi_r"), expected.has("desi_r"))
    assert (converted.codes("desi_r") == expected.codes("desi_r")).mean() > 0.99
    cells = [None if np.isnan(row).all() else row for row in found["desi_wave_r"]]
    other = {**columns(table), "desi_wave_r": cells}
    np.testing.assert_array_equal(model.encode(other).codes("desi_r"), expected.codes("desi_r"))


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        (
            "ra",
            [1, 2, 3] * u.m,
            r"'ra' of the QTable must be in deg, got m \(.*convert it",
        ),
        ("mag_pstotal_r", [1, 2, 3] * u.Jy, "must be in mag, got Jy"),
        ("mag_pstotal_r", [1, 2, 3] * u.STmag, r"must be in mag, got mag\(ST\)"),
        ("vista_japermag6", [1, 2, 3] * u.ABmag, r"must be in mag, got mag\(AB\) .* Vega"),
        ("specz_z", [1, 2, 3] * u.km / u.s, "'specz_z' .* must be without a unit, got km / s"),
        ("splus_cut_R", np.ones((3, 1024)) * u.electron, r"must be in ct / s, got electron"),
    ],
)
def test_units_of_another_kind_are_refused(model, column, values, words):
    """The error names the column, its valid unit and the unit given."""
    with pytest.raises(DataError, match=words):
        model.encode(QTable({"id": ["a", "b", "c"], column: values}))


def test_a_unit_that_nobody_knows_is_refused(model):
    """A column whose unit astropy does not know is an error."""
    frame = Table(minimal())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame["mag_pstotal_r"].unit = u.Unit("furlongs", parse_strict="silent")
    with pytest.raises(DataError, match="must be in mag, got furlongs"):
        model.encode(frame)


def test_a_null_of_fits_is_missing(model):
    """TNULL marks a missing value, although the array is not masked."""
    column = fits.Column("gaia_teff_gspphot", "J", array=[5000, -99, 6000], null=-99)
    ids = fits.Column("id", "4A", array=["a", "b", "c"])
    data = fits.BinTableHDU.from_columns([ids, column]).data
    expected = model.encode({"id": ["a", "b", "c"], "gaia_teff_gspphot": [5000.0, None, 6000.0]})
    assert_same(model.encode(data), expected)


def test_astropy_is_not_imported_for_a_mapping():
    """Reading a mapping does not import astropy, which takes a second."""
    code = (
        "import sys, numpy as np; from astromodal.inference.frames import frame_of; "
        "from astromodal.inference.frame_columns import convert; "
        "from astromodal.inference.frame_values import Expected, Kind; "
        "frame = frame_of({'ra': np.arange(3.0)}); "
        "convert(frame.column(0), Expected('ra', Kind.NUMBER, 'deg', '')); "
        "print([n for n in ('astropy', 'astropy.units') if n in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"


def test_a_full_disk_is_said_to_be_full(model, monkeypatch):
    """The error names the full disk, not the temporary file."""

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("astromodal.inference.frames.pq.write_table", full)
    with pytest.raises(MachineError, match="must be on a disk with room for it"):
        model.encode(minimal())


CELLS = st.one_of(
    st.none(), st.floats(width=32), st.integers(), st.booleans(), st.text(max_size=3),
    st.binary(max_size=3), st.just(np.ma.masked), st.just(pd.NA), st.just(pd.NaT),
    st.lists(st.one_of(st.none(), st.floats(width=32)), max_size=4), st.just({}), st.just(1j),
    st.just(20 * u.mag), st.just([1, 2] * u.ct / u.s), st.just(np.ones((2, 2), ">f4")),
    st.just(np.ma.array([1.0, 2.0], mask=[True, False])), st.decimals(), st.just([[1], [2, 3]]),
    st.just(np.datetime64("2020-01-01")), st.just(pd.Timestamp("2020-01-01")), st.just({1}),
    st.just(np.array(["a"])), st.just(np.array(None)), st.just(range(3)), st.just(b"\xff"),
)  # fmt: skip
DTYPES = st.sampled_from(
    [">f8", "<f4", ">f2", "g", ">i2", "<u8", "?", "S3", "U3", ">c8", "M8[ns]", "m8[s]", "V2", "O"]
)
NAMES = ("ra", "mag_pstotal_r", "splus_cut_R", "gaiaxp_bp_coefficients", "desi_flux_r", "id", "new")


@st.composite
def odd_columns(draw, n=3):
    """Strategy of columns of any values, with any number of rows."""
    if draw(st.booleans()):
        return draw(st.lists(CELLS, min_size=n, max_size=draw(st.sampled_from([n, n, n, n + 1]))))
    shape = (n, *draw(st.sampled_from([(), (2,), (2, 2), (0,)])))
    values = np.zeros(shape, draw(DTYPES))
    if draw(st.booleans()):
        values = np.ma.array(values, mask=np.zeros(shape, bool))
        if values.size:
            values.mask[draw(st.integers(0, n - 1))] = True
    elif draw(st.booleans()) and values.dtype.kind in "fiu":
        values = values * draw(st.sampled_from([u.deg, u.mag, u.one, u.ct / u.s, u.m]))
    return values


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(NAMES), odd_columns(), max_size=4), st.integers(0, 3))
def test_a_frame_is_encoded_or_refused(model, found, form):
    """Any table gives codes or an error of the package, never another error."""
    frame = {"id": ["a", "b", "c"], **found}
    try:
        if form == 1:
            frame = pd.DataFrame({k: pd.Series(list(v), dtype=object) for k, v in frame.items()})
        elif form == 2:
            frame = Table(frame)
        elif form == 3:
            frame = pa.table(frame)
    except (
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        NotImplementedError,
        np.ma.MaskError,
        pa.ArrowException,
    ):
        assume(False)  # no such frame can be made
    try:
        n_found = len(model.encode(frame))
    except DataError as error:
        message = str(error)
    else:
        message = f"{n_found} rows of the frame"
        assert n_found == len(frame["id"])
    assert "parquet" not in message
    assert " of the " in message or " from the " in message


GAPS = st.lists(st.booleans(), min_size=12, max_size=12).map(np.array)


def _filled(values, gaps):
    """Values with other measurements under the mask."""
    return np.where(gaps.reshape(-1, *[1] * (values.ndim - 1)), values[::-1] + 1, values)


def _mask(values, gaps):
    return np.broadcast_to(gaps.reshape(-1, *[1] * (values.ndim - 1)), values.shape)


def _cells_of(values, gaps):
    return [None if gap else value for value, gap in zip(values, gaps, strict=True)]


def _gapped(values, gaps):
    return np.where(_mask(values, gaps), values.dtype.type(np.nan), values)


def _masked(values, gaps):
    return np.ma.array(_filled(values, gaps), mask=_mask(values, gaps))


ONE_NUMBER = {
    "NaN": _gapped,
    "big-endian": lambda v, g: _gapped(v, g).astype(">f8"),
    "objects": _cells_of,
    "numpy's in a Series": lambda v, g: pd.Series(_cells_of(v, g), dtype=object),
    "nullable": lambda v, g: pd.array(_cells_of(v, g), dtype="Float64"),
    "Arrow": lambda v, g: pa.array(v, mask=g),
    "dictionary": lambda v, g: pa.array(v, mask=g).dictionary_encode(),
    "categorical": lambda v, g: pd.Series(_cells_of(v, g)).astype("category"),
    "decimals": lambda v, g: _cells_of([Decimal(x) for x in v.tolist()], g),
    "masked": _masked,
    "Column": lambda v, g: MaskedColumn(_masked(v, g), unit="mag"),
    "Quantity": lambda v, g: _gapped(v, g) * u.ABmag,
    "masked Quantity": lambda v, g: Masked(_filled(v, g) * u.mag, g),
    "sparse": lambda v, g: pd.arrays.SparseArray(_gapped(v, g)),
}
ONE_LIST = {
    "cells": _cells_of,
    "big-endian": lambda v, g: _cells_of(v.astype(">f4"), g),
    "wider": lambda v, g: _cells_of(v.astype(np.float64), g),
    "squares": lambda v, g: _cells_of(v.reshape(-1, 32, 32), g),
    "lists": lambda v, g: _cells_of(v.tolist(), g),
    "a Series": lambda v, g: pd.Series(_cells_of(list(v), g), dtype=object),
    "Arrow": lambda v, g: pa.array(_cells_of(list(v), g), pa.list_(pa.float32(), 1024)),
    "pandas of Arrow": lambda v, g: pd.Series(
        pa.array(_cells_of(list(v), g)).to_pandas(), dtype=pd.ArrowDtype(pa.list_(pa.float32()))
    ),
    "an array": _gapped,
    "an array of squares": lambda v, g: _gapped(v, g).reshape(-1, 32, 32).astype(">f4"),
    "masked": _masked,
    "masked cells": lambda v, g: list(_masked(v, g)),
    "Column": lambda v, g: MaskedColumn(_masked(v, g), unit="ct / s"),
    "Quantity": lambda v, g: _gapped(v, g) * u.ct / u.s,
    "quantities": lambda v, g: _cells_of([row * u.ct / u.s for row in v], g),
    "masked Quantity": lambda v, g: Masked(_filled(v, g) * u.ct / u.s, _mask(v, g)),
}


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(GAPS, GAPS, st.sampled_from(list(ONE_NUMBER)), st.sampled_from(list(ONE_LIST)))
def test_a_column_of_any_form_has_the_codes_of_the_plain_one(model, some, others, number, lists):
    """Random values and gaps give the same codes in any kind of column."""
    magnitudes = np.linspace(16, 24, 12)
    pixels = cutouts(12)[:, 1].reshape(12, -1)
    ids = [f"o{i}" for i in range(12)]
    plain = pa.table({
        "id": ids,
        "mag_pstotal_r": pa.array(magnitudes, mask=some),
        "splus_cut_R": pa.array(_cells_of(list(pixels), others), pa.list_(pa.float32())),
    })  # fmt: skip
    columns = {
        "id": ids,
        "mag_pstotal_r": ONE_NUMBER[number](magnitudes, some),
        "splus_cut_R": ONE_LIST[lists](pixels, others),
    }
    assert_same(model.encode(columns), model.encode(plain))
