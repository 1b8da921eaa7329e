"""SDSS spectra and their resampling; files of the tests' own making have the published format."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config.sources import SourceSettings
from astromodal.errors import DataError
from astromodal.sources.base import RESERVED
from astromodal.sources.files import RawFile
from astromodal.sources.sdss import SdssReader, grid_edges, resample, wavelength_edges
from astromodal.surveys.sdss import GRID

REAL = Path(__file__).parents[4] / "shared/data/raw/sdss/spec-1325-52762-0133.fits"
SETTINGS = SourceSettings(kind="sdss_spec", files="spec-*.fits")
LOGLAM = 3.58 + 1e-4 * np.arange(3840)  # 3802 to 9204 Angstrom
NAMES = {"f": "D", "i": "J", "U": "25A"}


def reader():
    """Return a reader of a source called spectra."""
    return SdssReader("spectra", SETTINGS)


def table(columns, name):
    """Return a table HDU; columns of None are left out."""
    parts = [
        fits.Column(k, NAMES[np.asarray(v).dtype.kind], array=np.asarray(v))
        for k, v in columns.items()
        if v is not None
    ]
    return fits.BinTableHDU.from_columns(parts, name=name)


def write(folder, pixels=None, target=None, name="spec-1.fits", second="SPECOBJ", vacuum=True):
    """Write a spectrum of flux 3 and inverse variance 4; return it as a raw file."""
    n = len(LOGLAM)
    coadd = {"flux": np.full(n, 3.0), "loglam": LOGLAM.astype(np.float32).astype(float)}
    coadd |= {"ivar": np.full(n, 4.0), "and_mask": np.zeros(n, int), **(pixels or {})}
    row = {"SPECOBJID": "   11202183921424310272", "PLUG_RA": 150.5, "PLUG_DEC": 2.25, "Z": 0.5}
    row |= {"Z_ERR": 1e-4, "ZWARNING": 0, "CLASS": "GALAXY", "SN_MEDIAN_ALL": 7.5}
    row |= {"SOURCETYPE": "GALAXY", **(target or {})}
    one = {k: None if v is None else np.array([v]) for k, v in row.items()}
    primary = fits.PrimaryHDU()
    primary.header["VACUUM"] = vacuum
    hdus = [primary, table(coadd, "COADD"), table(one, second)]
    fits.HDUList(hdus).writeto(folder / name)
    return RawFile(folder / name)


def indexed(file):
    """Return the one row of the index of a file."""
    table = pa.concat_tables(reader().index(file))
    assert table.drop_columns("_key").schema == RESERVED
    (row,) = table.to_pylist()
    return row


def read(file, rows=(0,)):
    """Return some rows of a file as a list."""
    found = reader().read(file, np.array(rows, np.int64))
    assert found.schema == reader().schema()
    return found.to_pylist()


def test_pixels_are_evenly_spaced_in_the_logarithm():
    """By hand: centres at 1, 10, 100 have edges at the square roots of neighbours' products."""
    found = wavelength_edges(np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(found, [10**-0.5, 10**0.5, 10**1.5, 10**2.5])


def test_a_split_pixel_by_hand():
    """Inputs 0-2 and 2-3 with flux 5 and 2, variances 1 and 4; outputs 0-1 and 1-3.

    The second has (1 x 5 + 1 x 2) / 2 = 3.5, and the variance (1 x 1 + 1 x 4) / 4 = 1.25.
    """
    flux, ivar = resample(
        np.array([0.0, 2.0, 3.0]), np.array([5.0, 2.0]), np.array([1.0, 0.25]), np.arange(3.0) * 1.0
        + np.array([0, 0, 1])
    )  # fmt: skip
    np.testing.assert_allclose(flux, [5.0, 3.5])
    np.testing.assert_allclose(ivar, [1.0, 0.8])


def test_bad_pixels_contribute_nothing():
    """Outputs 0-2 and 2-4 of inputs of length 1: one good input each way, or none."""
    edges, to = np.arange(5.0), np.array([0.0, 2.0, 4.0])
    flux, ivar = resample(
        edges, np.array([1.0, np.nan, 7.0, 9.0]), np.array([4.0, 1.0, 0.0, -1.0]), to
    )
    np.testing.assert_array_equal(flux, [1.0, 0.0])
    np.testing.assert_array_equal(ivar, [4.0, 0.0])


def test_pixels_outside_have_no_weight():
    """Inputs from 1 to 2, outputs from 0 to 3 and the other way round."""
    flux, ivar = resample(np.array([1.0, 2.0]), np.ones(1), np.ones(1), np.arange(4.0))
    np.testing.assert_array_equal([flux, ivar], [[0, 1, 0], [0, 1, 0]])
    flux, _ = resample(np.arange(4.0), np.array([5.0, 6.0, 7.0]), np.ones(3), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(flux, [6.0])


@given(
    st.lists(st.floats(3700.0, 10_300.0), min_size=1, max_size=8),
    st.lists(st.floats(0.5, 200.0), min_size=8, max_size=8),
    st.floats(-50.0, 50.0),
)
def test_the_flux_of_lines_is_conserved(lines, widths, level):
    """Wherever lines lie on a level of any sign, and however narrow they are."""
    edges = wavelength_edges(np.log10(3590.0) + 1e-4 * np.arange(4700))
    assert edges[0] < grid_edges()[0]
    assert edges[-1] > grid_edges()[-1]
    wave = (edges[1:] + edges[:-1]) / 2
    flux = np.full(len(wave), level)
    for centre, width in zip(lines, widths, strict=False):
        flux += 1e3 * np.exp(-(((wave - centre) / width) ** 2))
        flux[np.argmin(np.abs(wave - centre))] += 1e3
    out, _ = resample(edges, flux, np.ones(len(flux)), grid_edges())
    inside = np.diff(np.clip(edges, grid_edges()[0], grid_edges()[-1]))
    total = np.sum(flux * inside)
    scale = np.sum(np.abs(flux) * inside)
    assert np.sum(out * GRID.step) == pytest.approx(total, abs=1e-6 * scale)


@given(st.data())
def test_weights_are_the_overlaps(data):
    """Compared with overlaps of all pairs of pixels, for random edges and bad pixels."""
    numbers = st.lists(st.floats(0, 100), min_size=2, max_size=30, unique=True).map(sorted)
    edges, to = (np.array(data.draw(numbers)) for _ in range(2))
    n = len(edges) - 1
    values = st.lists(st.floats(-10, 10), min_size=n, max_size=n)
    flux = np.array(data.draw(values))
    ivar = np.array(data.draw(st.lists(st.sampled_from([0, 0.5, 2.0]), min_size=n, max_size=n)))
    low = np.maximum(edges[:-1, None], to[None, :-1])
    high = np.minimum(edges[1:, None], to[None, 1:])
    weight = np.maximum(high - low, 0) * (ivar > 0)[:, None]
    total = weight.sum(axis=0)
    out, inverse = resample(edges, flux, ivar, to)
    has = total > 1e-9
    np.testing.assert_allclose(
        out[has], (weight * flux[:, None]).sum(axis=0)[has] / total[has], rtol=1e-6, atol=1e-6
    )
    variance = (weight**2 / np.where(ivar > 0, ivar, 1)[:, None]).sum(axis=0)[has] / total[has] ** 2
    np.testing.assert_allclose(inverse[has], 1 / variance, rtol=1e-6)
    np.testing.assert_array_equal(inverse[total == 0], 0)


def test_errors_are_those_of_many_noisy_spectra():
    """The scatter of 4,000 resampled spectra of noise is what the inverse variance says: 5 %."""
    rng = np.random.default_rng(0)
    edges = wavelength_edges(np.log10(5000.0) + 1e-4 * np.arange(60))
    to = np.arange(5001.0, 5060.0, 2.0)
    ivar = rng.uniform(0.5, 3.0, 60)
    noise = rng.normal(size=(4000, 60)) / np.sqrt(ivar)
    found = np.array([resample(edges, flux, ivar, to)[0] for flux in noise])
    _, inverse = resample(edges, np.zeros(60), ivar, to)
    np.testing.assert_allclose(found.std(axis=0) * np.sqrt(inverse), 1.0, atol=0.05)


def test_an_index_has_one_row(tmp_path):
    """The id is text: this one is larger than 2^63, as those of plates from 8192 on."""
    row = indexed(write(tmp_path))
    assert row["_key"] == "11202183921424310272"
    assert (row["_ra"], row["_dec"], row["_rank"]) == (150.5, 2.25, 7.5)
    assert (row["_row"], row["_epoch"], row["_pmra"], row["_reason"]) == (0, None, None, None)


def test_a_spectrum_is_read_on_the_grid(tmp_path):
    """A level stays a level. By hand, at 5000 Angstrom: pixels of 1.1513 have the variance 1/4.

    The output pixel 4999 to 5001 covers parts of two or three of them: its inverse variance is
    between 4 and 4 x 2 / 1.1513 + one more.
    """
    (found,) = read(write(tmp_path))
    wave, flux, ivar = (np.array(found[f"sdss_{k}"]) for k in ("wave", "flux", "ivar"))
    np.testing.assert_array_equal(wave, np.arange(3600.0, 10_401.0, 2.0))
    np.testing.assert_allclose(flux[ivar > 0], 3.0, rtol=1e-6)
    np.testing.assert_array_equal(wave[ivar > 0][[0, -1]], [3802.0, 9204.0])
    assert 4.0 < ivar[wave == 5000.0] < 4.0 * 2 / 1.1513 + 4.0
    assert (found["sdss_z"], found["sdss_zerr"]) == (0.5, 1e-4)
    assert (found["sdss_zwarning"], found["sdss_class"]) == (0, "GALAXY")


def test_masked_pixels_are_left_out(tmp_path):
    """A bit of the and-mask or an inverse variance of 0 takes a line of 1e6 away."""
    wave = 10**LOGLAM
    flux, mask, ivar = np.full(len(wave), 3.0), np.zeros(len(wave), int), np.full(len(wave), 4.0)
    masked, weightless = np.abs(wave - 5000) < 20, np.abs(wave - 6000) < 20
    flux[masked | weightless] = 1e6
    mask[masked] = 1 << 23
    ivar[weightless] = 0
    (found,) = read(write(tmp_path, {"flux": flux, "and_mask": mask, "ivar": ivar}))
    bad = GRID.points()[np.array(found["sdss_ivar"]) == 0]
    assert np.max(found["sdss_flux"]) == pytest.approx(3.0)
    np.testing.assert_array_equal(bad[np.abs(bad - 5000) < 25], np.arange(4982.0, 5019.0, 2))
    np.testing.assert_array_equal(bad[np.abs(bad - 6000) < 25], np.arange(5982.0, 6019.0, 2))


def test_a_redshift_with_a_warning_is_null(tmp_path):
    """The warning and the class stay."""
    (found,) = read(write(tmp_path, target={"ZWARNING": 4}))
    assert (found["sdss_z"], found["sdss_zerr"], found["sdss_zwarning"]) == (None, None, 4)
    assert found["sdss_class"] == "GALAXY"


@pytest.mark.parametrize(
    ("pixels", "target", "reason"),
    [
        ({}, {"SOURCETYPE": "SKY"}, "sky fibre"),
        ({}, {"OBJTYPE": "SKY"}, "sky fibre"),
        ({}, {"PLUG_RA": np.nan}, "no position"),
        ({"ivar": np.zeros(len(LOGLAM))}, {}, "no flux"),
        ({"and_mask": np.ones(len(LOGLAM), int)}, {}, "no flux"),
    ],
)
def test_spectra_that_are_not_used_say_why(tmp_path, pixels, target, reason):
    """The sky, a fibre without a position, and spectra without a good pixel."""
    assert indexed(write(tmp_path, pixels, target))["_reason"] == reason


def test_what_a_file_may_lack(tmp_path):
    """The id and the signal-to-noise ratio; files of BOSS name the second table SPALL."""
    target = {"SPECOBJID": None, "SN_MEDIAN_ALL": None, "SOURCETYPE": None}
    row = indexed(write(tmp_path, target=target, second="SPALL"))
    assert (row["_key"], row["_rank"]) == (None, 0.0)


def test_a_digest_is_that_of_what_is_read(tmp_path):
    """A flux or a redshift changes it; a position or the flux of a masked pixel does not."""
    flux, mask = np.full(len(LOGLAM), 3.0), np.zeros(len(LOGLAM), int)
    mask[7] = 1
    hidden, seen = flux.copy(), flux.copy()
    hidden[7], seen[8] = 99, 3.01
    digests = [
        indexed(write(tmp_path, pixels, target, name=f"spec-{i}.fits"))["_digest"]
        for i, (pixels, target) in enumerate(
            [
                ({"and_mask": mask}, {}),
                ({"and_mask": mask, "flux": hidden}, {"PLUG_RA": 1.0}),
                ({"and_mask": mask, "flux": seen}, {}),
                ({"and_mask": mask}, {"Z": 0.6}),
            ]
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("pixels", "target", "message"),
    [
        ({"loglam": None}, {}, "a column LOGLAM in HDU COADD, got 3 others"),
        ({"and_mask": None}, {}, "a column AND_MASK in HDU COADD"),
        ({}, {"PLUG_RA": None}, "a column PLUG_RA in HDU SPECOBJ, got 8 others; nearest: 'PLUG_D"),
        ({"loglam": 10**LOGLAM}, {}, "with loglam in steps of 0.0001, got 3840 pixels in steps of"),
        ({"loglam": LOGLAM[::-1]}, {}, "steps of -1 to -1 times that"),
        ({"loglam": [*np.delete(LOGLAM, 9).tolist(), 4.0]}, {}, "steps of 1 to "),
    ],
)
def test_a_file_that_lacks_something_is_an_error(tmp_path, pixels, target, message):
    """It names source, file, what is missing, and the nearest name."""
    file = write(tmp_path, pixels, target)
    with pytest.raises(DataError, match=rf"source spectra: {file.path} must be .*{message}"):
        indexed(file)


def test_other_files_are_errors(tmp_path):
    """Wavelengths in air, a file without spectra, and a row beyond the first."""
    with pytest.raises(DataError, match="must be a spectrum with vacuum wavelengths, got VACUUM"):
        indexed(write(tmp_path, vacuum=False))
    with pytest.raises(DataError, match="HDU SPECOBJ or SPALL, got PRIMARY, COADD, SPECOBS; near"):
        indexed(write(tmp_path, name="spec-2.fits", second="SPECOBS"))
    with pytest.raises(DataError, match="must be a spectrum with a row 1, got 1 row"):
        read(write(tmp_path, name="spec-3.fits"), [0, 1])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, share):
    """Wherever it ends: one error that names it."""
    file = write(tmp_path)
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="spectra: .*spec-1.fits must be a whole FITS file"):
        indexed(file)


def test_no_rows_are_no_spectra(tmp_path):
    """The columns are those of the schema."""
    assert read(write(tmp_path), []) == []


@pytest.mark.skipif(not REAL.exists(), reason="needs the real raw files beside the project")
def test_a_real_spectrum_is_read():
    """A quasar at z = 0.456; Mg II (2799 Angstrom in vacuum) then peaks near 4076."""
    row = indexed(RawFile(REAL))
    assert (row["_key"], row["_reason"]) == ("1491853981666797568", None)
    assert (row["_ra"], row["_dec"]) == (213.35116, 53.09084)
    (found,) = read(RawFile(REAL))
    wave, flux, ivar = (np.array(found[f"sdss_{k}"]) for k in ("wave", "flux", "ivar"))
    assert (found["sdss_class"], found["sdss_z"]) == ("QSO", pytest.approx(0.4562511))
    assert (wave[ivar > 0][0], wave[ivar > 0][-1]) == (3794.0, 9192.0)
    near = (wave > 4000) & (wave < 4150) & (ivar > 0)
    smooth = np.convolve(np.where(ivar > 0, flux, 0), np.ones(9) / 9, "same")
    assert abs(wave[near][np.argmax(smooth[near])] - 2799 * 1.4562511) < 20
    pixels = fits.getdata(REAL, 1)
    good = (pixels["and_mask"] == 0) & (pixels["ivar"] > 0)
    edges = wavelength_edges(pixels["loglam"].astype(float))
    overlap = np.diff(np.clip(edges, 6001.0, 6199.0))  # edges of the pixels at 6002 and 6198
    assert good[overlap > 0].all()
    mean = np.average(pixels["flux"], weights=overlap)
    assert flux[(wave > 6001) & (wave < 6199)].mean() == pytest.approx(mean, rel=1e-6)
