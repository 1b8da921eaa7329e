import json
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest

from astromodal.data.columns import group_columns
from astromodal.data.cube import Cube
from astromodal.data.spectra import count_spectra, read_group, read_spectra
from astromodal.errors import DataError
from astromodal.surveys.gaiaxp import basis, evaluate_functions
from astromodal.surveys.registry import grid_group
from helpers.spectra import SETTINGS, xp_columns_of, xp_spectrum

GROUP = "gaiaxp_bp"
GRID = grid_group(GROUP).grid(SETTINGS).points()


@pytest.fixture
def read(write_cube):
    def reader(columns: dict, **options):
        n = len(next(iter(columns.values())))
        cube = Cube(write_cube({"id": [f"o{i}" for i in range(n)], **columns}), "F1")
        return list(read_spectra(cube, GROUP, **options))

    return reader


def with_gaiaxpy(spectrum: dict, band: str) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error as GaiaXPy's own ``convert`` gives them."""
    with matplotlib.rc_context(), warnings.catch_warnings():  # importing it turns LaTeX on
        warnings.simplefilter("ignore")
        from gaiaxpy import convert

        row = {"source_id": 1}
        for name in ("bp", "rp"):
            row |= {f"{name}_{key}": value for key, value in spectrum.items()}
            row |= {f"{name}_n_parameters": 55, f"{name}_standard_deviation": 1.37}
        found, _ = convert(pd.DataFrame([row]), sampling=GRID, save_file=False)
    found = found[found["xp"] == band.upper()].iloc[0]
    return found["flux"], found["flux_error"]


@pytest.mark.parametrize("band", ["bp", "rp"])
def test_fluxes_and_errors_are_gaiaxpys(band):
    """The batched algebra gives what `convert` gives, whatever the standard deviation."""
    spectrum = xp_spectrum()
    values, errors, correlation = (v[None] for v in spectrum.values())
    functions = basis(f"gaiaxp_{band}", tuple(GRID))
    found = evaluate_functions(values, errors**-2, functions, correlation)
    flux, error = with_gaiaxpy(spectrum, band)
    np.testing.assert_allclose(found[0][0], flux, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[1][0] ** -0.5, error, rtol=1e-9)


def test_coefficients_are_read_from_texts(read):
    """Rows without a text are skipped; coefficients are the pixels, and ivar is 1 / error²."""
    spectrum = xp_spectrum()
    (batch,) = read(xp_columns_of([None, spectrum]))
    assert batch.row.tolist() == [1]
    np.testing.assert_allclose(batch.flux[0], spectrum["coefficients"], rtol=1e-6)
    np.testing.assert_allclose(batch.ivar[0], spectrum["coefficient_errors"] ** -2, rtol=1e-6)
    np.testing.assert_array_equal(batch.correlation[0], spectrum["coefficient_correlations"])


def test_codes_need_no_correlations(write_cube):
    """What is encoded and counted is read without them: a bad one does not matter there."""
    columns = xp_columns_of([xp_spectrum()])
    columns["gaiaxp_bp_coefficient_correlations"] = ["[1, 2"]
    cube = Cube(write_cube({"id": ["a"], **columns}), "F1")
    (batch,) = read_group(cube, GROUP)
    assert batch.correlation is None
    assert count_spectra(cube, SETTINGS.groups)[GROUP] == {"n_spectra": 1, "n_live": 1}


@pytest.mark.parametrize("error", [0.0, -1.0, np.inf, 1e30])
def test_an_error_without_an_inverse_variance_makes_a_dead_spectrum(read, error):
    """It would be infinite, or 0: all pixels are bad, not that one alone."""
    spectra = [xp_spectrum(), xp_spectrum()]
    spectra[0]["coefficient_errors"][3] = error
    (batch,) = read(xp_columns_of(spectra))
    assert batch.live().tolist() == [False, True]
    assert not batch.ivar[0].any()


def test_the_other_band_may_be_absent(read):
    """BP is read where the cube has no RP columns at all."""
    (batch,) = read(xp_columns_of([xp_spectrum()]))
    assert batch.live().all()


def test_a_text_may_be_quoted_once_more(read):
    """JSON text within JSON quotes reads the same."""
    plain = xp_columns_of([xp_spectrum()])
    quoted = {name: [json.dumps(text) for text in texts] for name, texts in plain.items()}
    np.testing.assert_array_equal(read(quoted)[0].flux, read(plain)[0].flux)


def test_batches_change_no_bit(read):
    """One row at a time or all at once: the same fluxes and ivars."""
    columns = xp_columns_of([xp_spectrum(seed) for seed in range(5)])
    one, every = read(columns, rows=1), read(columns)
    for name in ("flux", "ivar", "correlation"):
        joined = np.concatenate([getattr(batch, name) for batch in one])
        np.testing.assert_array_equal(joined, getattr(every[0], name))


def test_a_number_that_is_not_finite_makes_a_dead_spectrum(read):
    """A null or NaN coefficient leaves nothing of the spectrum: all its pixels are bad."""
    columns = xp_columns_of([xp_spectrum(), xp_spectrum(), xp_spectrum()])
    texts = columns["gaiaxp_bp_coefficients"]
    texts[0] = json.dumps([None, *json.loads(texts[0])[1:]])
    texts[1] = json.dumps([float("nan"), *json.loads(texts[1])[1:]])
    (batch,) = read(columns)
    assert batch.live().tolist() == [False, False, True]
    assert not batch.ivar[:2].any()


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("[1, 2, 3]", "3 numbers in row 1"),
        ("[1, 2", r"'\[1, 2' in row 1"),
        ("", "'' in row 1"),
        ('{"a": 1}', "in row 1"),
        ('["a"]', "in row 1"),
        (None, "None in row 1"),
    ],
)
def test_a_bad_text_is_named(read, text, got):
    """Field, column and row stand in the message; a null beside two texts is bad too."""
    columns = xp_columns_of([None, xp_spectrum()])
    columns["gaiaxp_bp_coefficient_errors"][1] = text
    message = rf"field F1: column 'gaiaxp_bp_coefficient_errors' .* of 55 numbers, got .*{got}"
    with pytest.raises(DataError, match=message):
        read(columns)


def test_nothing_leaks():
    """GaiaXPy's prints, its warnings and its LaTeX setting of matplotlib stay inside."""
    code = (
        "import matplotlib, numpy as np\n"
        "from astromodal.surveys.gaiaxp import basis\n"
        "assert basis('gaiaxp_rp', (0.0, 30.0, 60.0)).shape == (55, 3)\n"
        "assert not matplotlib.rcParams['text.usetex']\n"
    )
    path = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_basis_cannot_be_changed():
    """It is shared by all calls."""
    with pytest.raises(ValueError, match="read-only"):
        basis(GROUP, tuple(GRID))[0, 0] = 1


@pytest.mark.parametrize(
    "written",
    [
        lambda numbers: f"({', '.join(map(repr, numbers))})",
        lambda numbers: json.dumps(f"({', '.join(map(repr, numbers))})"),
        lambda numbers: f" [{', '.join(map(repr, numbers))}] ",
        list,
    ],
    ids=["round brackets", "quoted", "blanks", "lists"],
)
def test_other_ways_to_write_the_arrays(read, written):
    """Round brackets, as in CSV of the Gaia archive, and lists read as the texts of a cube do."""
    columns = xp_columns_of([xp_spectrum(), xp_spectrum(1)], GROUP)
    other = {name: [written(json.loads(text)) for text in texts] for name, texts in columns.items()}
    (plain,), (batch,) = read(columns), read(other)
    assert np.array_equal(plain.flux, batch.flux)
    assert np.array_equal(plain.ivar, batch.ivar)


@pytest.mark.parametrize("nothing", [None, "", b"", []], ids=repr)
def test_an_empty_array_is_no_spectrum(read, nothing):
    """It is missing, as a null is."""
    columns = xp_columns_of([xp_spectrum()], GROUP)
    convert = json.loads if nothing == [] else str
    if isinstance(nothing, bytes):
        convert = str.encode
    both = {name: [convert(texts[0]), nothing] for name, texts in columns.items()}
    (batch,) = read(both)
    assert batch.row.tolist() == [0]


def test_spectra_of_the_archive_s_own_csv(real_raw, write_cube):
    """Its round brackets give what the arrays of its FITS file give through GaiaXPy."""
    from astropy.table import Table

    csv = pd.read_csv(real_raw / "gaia/XP_CONTINUOUS_RAW.csv", dtype={"source_id": str})
    fits = Table.read(real_raw / "gaia/XP_CONTINUOUS_RAW.fits")
    names = {name.removeprefix("gaiaxp_"): name for name in group_columns(GROUP)}
    columns = {name: csv[raw].tolist() for raw, name in names.items()}
    cube = Cube(write_cube({"id": csv["source_id"].tolist(), **columns}), "F1")
    (batch,) = read_spectra(cube, GROUP)
    places = {str(source): i for i, source in enumerate(fits["source_id"].tolist())}
    assert len(batch.row) == len(csv) > 0
    sampled = evaluate_functions(
        batch.flux, batch.ivar, basis(GROUP, tuple(GRID)), batch.correlation
    )
    for row, flux, ivar in zip(batch.row, *sampled, strict=True):
        found = fits[places[csv["source_id"][row]]]
        arrays = {raw.removeprefix("bp_"): np.asarray(found[raw], np.float64) for raw in names}
        expected, error = with_gaiaxpy(arrays, "bp")
        np.testing.assert_allclose(flux, expected, rtol=1e-5, atol=1e-6 * abs(expected).max())
        np.testing.assert_allclose(ivar, 1 / error**2, rtol=1e-3)
