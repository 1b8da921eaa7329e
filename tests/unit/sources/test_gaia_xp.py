"""Gaia XP spectra in the formats of the archive."""

import gzip
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from astromodal.config.sources import SourceSettings
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_spectra
from astromodal.errors import DataError
from astromodal.sources.base import RESERVED
from astromodal.sources.files import RawFile
from astromodal.sources.gaia_xp import GaiaXPReader, texts
from astromodal.surveys.gaiaxp import evaluate_functions

REAL = Path(__file__).parents[4] / "shared/data/raw/gaia"
SETTINGS = SourceSettings(kind="gaia_xp", files="xp/*")
BIG = 5853498713190525696  # more digits than float64 has
LENGTHS = {"coefficients": 55, "coefficient_errors": 55, "coefficient_correlations": 1485}
N = 3
real = pytest.mark.skipif(not REAL.exists(), reason="needs the real raw files beside the project")


def reader():
    """Return a reader of a source called xp."""
    return GaiaXPReader("xp", SETTINGS)


def spectra():
    """Return the table of the archive: three sources, of which the second lacks BP.

    Coefficients are float64, everything else float32, as the archive has them.
    """
    rng = np.random.default_rng(0)
    columns = {"source_id": BIG + np.arange(N), "solution_id": np.full(N, 4545469030156206080)}
    for band in ("bp", "rp"):
        columns[f"{band}_n_parameters"] = np.full(N, 55, np.int16)
        columns[f"{band}_standard_deviation"] = rng.uniform(1, 2, N).astype(np.float32)
        for part, length in LENGTHS.items():
            kind = np.float64 if part == "coefficients" else np.float32
            scale = 10.0 ** rng.integers(-8, 5, (N, length))
            columns[f"{band}_{part}"] = (rng.normal(size=(N, length)) * scale).astype(kind)
    return columns


def cell(values, brackets="()", separator=", "):
    """Return numbers as the archive writes them, with the fewest digits."""
    return brackets[0] + separator.join(map(str, values.tolist())) + brackets[1]


def as_text(columns, null="", **form):
    """Return the lines of a CSV file; the second source has no BP."""
    lines = [",".join(columns)]
    for i in range(N):
        row = []
        for name, values in columns.items():
            if i == 1 and name.startswith("bp_"):
                row.append(null)
            elif values.ndim == 2:
                # Of a float32, the shortest digits that are that float32.
                shown = np.array([float(str(v)) for v in values[i]])
                row.append(f'"{cell(shown, **form)}"')
            else:
                row.append(str(values[i]))
        lines.append(",".join(row))
    return "\n".join(lines) + "\n"


def write_csv(folder, columns):
    """Write CSV as the archive's web page returns it."""
    (folder / "xp.csv").write_text(as_text(columns))
    return folder / "xp.csv"


def write_packed(folder, columns):
    """Write compressed CSV with other brackets, without blanks."""
    text = as_text(columns, brackets="[]", separator=",")
    with gzip.open(folder / "xp.csv.gz", "wt") as stream:
        stream.write(text)
    return folder / "xp.csv.gz"


def write_ecsv(folder, columns):
    """Write ECSV as the bulk archive has it: types in a header of comments, and null."""
    kinds = {"i": "int64", "f": "float32"}
    head = ["%ECSV 1.0", "---", "delimiter: ','", "datatype:"]
    for name, values in columns.items():
        head += ["-", f"  name: {name}"]
        if values.ndim == 2:
            kind = "float64" if name.endswith("coefficients") else "float32"
            head += ["  datatype: string", f"  subtype: {kind}[null]"]
        else:
            head += [f"  datatype: {kinds[values.dtype.kind]}"]
    text = "".join(f"# {line}\n" for line in head)
    text += as_text(columns, null="null", brackets="[]", separator=",")
    with gzip.open(folder / "XpContinuousMeanSpectrum_000000-003111.csv.gz", "wt") as stream:
        stream.write(text)
    return folder / "XpContinuousMeanSpectrum_000000-003111.csv.gz"


def write_fits(folder, columns):
    """Write FITS with arrays of variable length, as the archive does; missing ones are empty."""
    parts = []
    for name, values in columns.items():
        if values.ndim == 2:
            letter = "D" if values.dtype == np.float64 else "E"
            cells = np.empty(N, object)
            for i in range(N):
                cells[i] = values[i][:0] if i == 1 and name.startswith("bp_") else values[i]
            parts.append(fits.Column(name, f"P{letter}()", array=cells))
        else:
            letter = {"i8": "K", "i2": "I", "f4": "E"}[values.dtype.str[1:]]
            parts.append(fits.Column(name, letter, array=values))
    fits.BinTableHDU.from_columns(parts).writeto(folder / "xp.fits")
    return folder / "xp.fits"


def write_votable(folder, columns):
    """Write a VOTable with arrays of one length; missing ones are masked."""
    table = Table()
    for name, values in columns.items():
        mask = np.zeros(values.shape, bool)
        if name.startswith("bp_"):
            mask[1] = True
        table[name] = MaskedColumn(values, mask=mask)
    from_table(table).to_xml(str(folder / "xp.vot"), tabledata_format="binary2")
    return folder / "xp.vot"


WRITERS = [write_csv, write_packed, write_ecsv, write_fits, write_votable]


def indexed(path):
    """Return the index of a file as one table."""
    return pa.concat_tables(reader().index(RawFile(path)))


def read(path, rows=range(N)):
    """Return some rows of a file."""
    return reader().read(RawFile(path), np.array(rows, np.int64))


def changed(name, row, value, columns=None):
    """Return spectra as CSV with one cell replaced by a text."""
    columns = spectra() if columns is None else columns
    lines = as_text(columns).splitlines()
    cells = lines[1 + row].split('"')
    names = [n for n in columns if np.ndim(columns[n]) == 2]
    if row == 1:
        names = [n for n in names if n.startswith("rp_")]
    cells[1 + 2 * names.index(name)] = value
    lines[1 + row] = '"'.join(cells)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("write", WRITERS)
def test_numbers_come_back_exactly(tmp_path, write):
    """From every format: float64 as it is, float32 as its shortest decimal."""
    columns = spectra()
    found = read(write(tmp_path, columns))
    assert found.schema == reader().schema()
    assert found["gaiaxp_source_id"].to_pylist() == [BIG, BIG + 1, BIG + 2]
    for name, values in columns.items():
        if not name.startswith(("bp_", "rp_")):
            continue
        own = found[f"gaiaxp_{name}"].to_pylist()
        for i in (0, 1, 2):
            if i == 1 and name.startswith("bp_"):
                assert own[i] is None
            elif values.ndim == 2:
                expected = [float(str(v)) for v in values[i]]
                assert from_json(own[i]) == expected
            else:
                assert own[i] == float(str(values[i]))


@pytest.mark.parametrize("write", WRITERS)
def test_an_index_has_exact_ids_and_no_positions(tmp_path, write):
    """And the same digests from every format as from CSV."""
    found = indexed(write(tmp_path, spectra()))
    assert found.drop_columns("_key").schema == RESERVED
    assert found["_key"].to_pylist() == [BIG, BIG + 1, BIG + 2]
    assert found["_row"].to_pylist() == [0, 1, 2]
    assert found["_ra"].null_count == found["_reason"].null_count == 3
    (tmp_path / "csv").mkdir()
    same = indexed(write_csv(tmp_path / "csv", spectra()))
    assert found["_digest"].equals(same["_digest"])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("rows", [[], [0], [1, 2], [2]])
def test_some_rows_are_read(tmp_path, write, rows):
    """In their order, equal to the same rows of the whole."""
    path = write(tmp_path, spectra())
    assert read(path, rows).equals(read(path).take(pa.array(rows, pa.int64())))


def test_rows_of_later_batches_are_read(tmp_path, monkeypatch):
    """As in a file of many spectra, of which a part is in memory."""
    path = write_csv(tmp_path, spectra())
    whole, index = read(path), indexed(path)
    monkeypatch.setattr("astromodal.sources.gaia_xp._ROWS", 2)
    assert read(path, [0, 2]).equals(whole.take([0, 2]))
    assert indexed(path).equals(index)


def test_cubes_with_these_columns_are_read(tmp_path, write_cube):
    """By the groups of BP and RP: coefficients as float32, and correlations."""
    columns = spectra()
    for name, values in columns.items():
        if name.endswith("errors"):
            columns[name] = np.abs(values) + np.float32(0.01)
    found = read(write_csv(tmp_path, columns)).to_pydict()
    cube = Cube(write_cube({"id": ["a", "b", "c"], **found}), "F1")
    for band, rows in (("bp", [0, 2]), ("rp", [0, 1, 2])):
        (batch,) = list(read_spectra(cube, f"gaiaxp_{band}"))
        assert batch.row.tolist() == rows
        expected = columns[f"{band}_coefficients"][rows].astype(np.float32)
        np.testing.assert_array_equal(batch.flux, expected)
        assert (batch.ivar > 0).all()


def test_a_source_without_spectra_says_so(tmp_path):
    """Both arrays are empty: the row stays, with a reason and null columns."""
    columns = {k: v for k, v in spectra().items() if not k.startswith("rp_")}
    rp = {k: v for k, v in spectra().items() if k.startswith("rp_")}
    text = as_text(columns).splitlines()
    text = [text[0] + "," + ",".join(rp)] + [line + "," * len(rp) for line in text[1:]]
    path = tmp_path / "xp.csv"
    path.write_text("\n".join(text) + "\n")
    assert indexed(path)["_reason"].to_pylist() == [None, "no spectrum", None]
    assert read(path)["gaiaxp_rp_coefficients"].null_count == N


def test_a_digest_is_that_of_what_is_read(tmp_path):
    """A last digit of a coefficient changes it; the solution_id does not."""
    columns = spectra()
    before = indexed(write_csv(tmp_path, columns))["_digest"].to_numpy()
    columns["rp_coefficients"][2, 54] = np.nextafter(columns["rp_coefficients"][2, 54], 1e9)
    columns["solution_id"] += 1
    after = indexed(write_csv(tmp_path, columns))["_digest"].to_numpy()
    np.testing.assert_array_equal(before != after, [False, False, True])


@given(st.lists(st.lists(st.floats(), max_size=4) | st.none(), max_size=5))
def test_texts_are_read_back_exactly(values):
    """Any float64, not-a-number and infinity too; a null list is null."""
    found = texts(pa.array(values, pa.list_(pa.float64()))).to_pylist()
    for text, numbers in zip(found, values, strict=True):
        if numbers is None:
            assert text is None
        else:
            np.testing.assert_array_equal(np.array(from_json(text), float), numbers)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bp_coefficients", "(1.0, 2.0)", "lists of 55 numbers in bp_coefficients, got 2 numbers"),
        ("rp_coefficient_errors", "1.0, 2.0", "in rp_coefficient_errors, got '1.0, 2.0' in row 2"),
        ("rp_coefficients", "(1.0, x)", r"in rp_coefficients, got '\(1.0, x\)' in row 2"),
        (
            "bp_coefficient_correlations",
            "()",
            "all arrays of a spectrum, bp_coefficient_correlations too, got none in row 2",
        ),
        ("rp_coefficients", "", "all arrays of a spectrum, rp_coefficients too, got none in row 2"),
    ],
)
def test_an_array_that_is_wrong_is_an_error(tmp_path, name, value, message):
    """It names source, file, column and row."""
    path = tmp_path / "xp.csv"
    path.write_text(changed(name, 2, value))
    with pytest.raises(DataError, match=rf"source xp: {path} must be a table .*{message}"):
        indexed(path)
    with pytest.raises(DataError, match=message):
        read(path, [2])
    assert len(read(path, [0, 1])) == 2


def test_nulls_in_an_array_are_not_numbers(tmp_path):
    """The surveys take such a spectrum for a bad one."""
    path = tmp_path / "xp.csv"
    numbers = ", ".join(["1.5"] * 54)
    path.write_text(changed("rp_coefficients", 0, f"({numbers}, null)"))
    found = np.array(from_json(read(path, [0])["gaiaxp_rp_coefficients"][0].as_py()))
    np.testing.assert_array_equal(found, [1.5] * 54 + [np.nan])


def test_arrays_of_another_length_in_fits_are_errors(tmp_path):
    """As in text."""
    columns = spectra()
    columns["rp_coefficients"] = columns["rp_coefficients"][:, :50]
    with pytest.raises(DataError, match="55 numbers in rp_coefficients, got 50 numbers in row 0"):
        indexed(write_fits(tmp_path, columns))


def test_other_tables_are_errors(tmp_path):
    """A missing column, with the nearest name; numbers in place of arrays; a row without an id."""
    columns = spectra()
    columns["rp_coefs"] = columns.pop("rp_coefficients")
    with pytest.raises(DataError, match=r"column 'rp_coefficients' must be .*; nearest: 'bp_coef"):
        indexed(write_csv(tmp_path, columns))
    columns = spectra()
    columns["bp_coefficients"] = np.arange(3.0).astype(np.float32)
    with pytest.raises(DataError, match="in bp_coefficients, got a column of float in row 0"):
        indexed(write_fits(tmp_path, columns))
    path = tmp_path / "none.csv"
    path.write_text(as_text(spectra()).replace(f"\n{BIG + 1},", "\n,"))
    with pytest.raises(DataError, match="must be a table with a source_id in each row, got a row"):
        indexed(path)


def test_ids_that_are_no_whole_numbers_are_errors(tmp_path):
    """Such as those that passed through float64."""
    path = tmp_path / "xp.csv"
    path.write_text(as_text(spectra()).replace(f"\n{BIG},", f"\n{float(BIG)},"))
    with pytest.raises(DataError, match=f"source xp: {path} must be .*CSV conversion error"):
        indexed(path)


def test_a_row_that_is_not_there_is_an_error(tmp_path):
    """As when the file was changed after its index."""
    with pytest.raises(DataError, match="must be a table with a row 3, got 3 rows"):
        read(write_csv(tmp_path, spectra()), [0, 3])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, write, share):
    """Wherever it ends, in every format: one error that names it."""
    path = write(tmp_path, spectra())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=f"source xp: {path}"):
        indexed(path)


@real
def test_real_csv_and_fits_are_equal():
    """The two sources of the archive's example, with GaiaXPy's own reading of the file."""
    paths = [REAL / f"XP_CONTINUOUS_RAW.{kind}" for kind in ("csv", "fits")]
    csv, table = (read(path, [0, 1]) for path in paths)
    assert csv.equals(table)
    first, second = (indexed(path) for path in paths)
    assert first.equals(second)
    assert first["_key"].to_pylist() == [5853498713190525696, 5762406957886626816]
    assert csv["gaiaxp_bp_n_parameters"].to_pylist() == [55, 55]
    assert csv["gaiaxp_bp_standard_deviation"].to_pylist() == [1.1224667, 1.0479343]


@real
def test_correlations_have_the_order_that_gaiaxpy_reads(write_cube):
    """The covariance of GaiaXPy and that of the group give the same errors of a spectrum."""
    with warnings.catch_warnings(), matplotlib.rc_context():  # as in `surveys.gaiaxp.basis`
        warnings.simplefilter("ignore")
        from gaiaxpy.core.generic_functions import array_to_symmetric_matrix
    frame = pd.read_csv(REAL / "XP_CONTINUOUS_RAW.csv")
    found = read(REAL / "XP_CONTINUOUS_RAW.csv", [0, 1]).to_pydict()
    cube = Cube(write_cube({"id": ["a", "b"], **found}), "F1")
    (batch,) = list(read_spectra(cube, "gaiaxp_bp"))
    functions = np.random.default_rng(0).normal(size=(55, 7))
    _, ivar = evaluate_functions(batch.flux, batch.ivar, functions, batch.correlation)
    for i in (0, 1):
        row = frame.iloc[i]
        parts = {part: np.array(from_json(f"[{row[f'bp_{part}'][1:-1]}]")) for part in LENGTHS}
        matrix = array_to_symmetric_matrix(parts["coefficient_correlations"], 55)
        errors = parts["coefficient_errors"]
        covariance = matrix * np.outer(errors, errors)
        variance = np.diag(functions.T @ covariance @ functions)
        np.testing.assert_allclose(1 / ivar[i], variance, rtol=1e-4)
